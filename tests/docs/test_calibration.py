"""docs/calibration.md shows what `harness calibrate`, and a run, print of calibration.json beside this."""

import io
from collections.abc import Iterator
from pathlib import Path

import msgspec
from rich.console import Console

from harness.calibrate.kept import Calibration, Exactness
from harness.calibrate.shapes import remarks, unsearched
from harness.report.calibration import calibration_table
from harness.report.terminal import exactness
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "calibration.md").read_text()
KEPT = msgspec.json.decode((Path(__file__).parent / "calibration.json").read_bytes(), type=Calibration)


def printed() -> Iterator[str]:
    """The lines of the calibration that was kept."""
    console = Console(file=io.StringIO(), width=200)
    console.print(calibration_table(KEPT))
    for line in remarks(KEPT.points, unsearched(KEPT.points)):
        console.print(line, highlight=False, markup=False)
    assert isinstance(console.file, io.StringIO)
    yield from (line.rstrip() for line in console.file.getvalue().splitlines())


def of_a_run() -> Iterator[str]:
    """What a run of that load says of its times."""
    (point,) = KEPT.points
    error = point.arrived_all
    told = Exactness(
        error.p50_ms, error.p99_ms, error.n, point.shape.streams, round(point.achieved_per_s, 1), KEPT.at
    )
    yield from map(str, exactness(msgspec.to_builtins(told)))


def shown(mark: str) -> list[str]:
    block = PAGE.partition(f"<!-- {mark} -->\n```text\n")[2].partition("\n```\n<!-- end -->")[0]
    return block.splitlines()


def test_the_page_shows_what_harness_calibrate_prints() -> None:
    assert shown("calibration") == list(printed())


def test_the_page_shows_what_a_run_says_of_its_times() -> None:
    assert shown("exactness") == list(of_a_run())
