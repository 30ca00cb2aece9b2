"""The tables of docs/robustness.md: ``python -m tests.robustness_tables NAME...`` measures, and writes them.

What was measured last stands in tests/endurance/figures.json, with the day and the machine, and the page is a
function of it: a test holds it to that, and to the lists of faults and kill points. Names: faults, kills,
random, shared, soak, fuzzing; ``random:50``, ``soak:20000`` and ``fuzzing:10`` are smaller ones.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

import anyio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.drive.transport import StampedTransport
from tests.conftest import serving
from tests.drive.broken import BROKEN, Broken, lost, met, places
from tests.e2e.test_kill_points import POINTS
from tests.endurance.killing import Fate, Moment, at_random, fate
from tests.endurance.soaking import Soak, soak
from tests.fuzz.mutated import bytes_of
from tests.fuzz.readers import READERS, seeds
from tests.properties.test_fuzzing import EXAMPLES

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "robustness.md"
FIGURES = ROOT / "tests" / "endurance" / "figures.json"

LOOPS = {"uvloop": True, "asyncio": False}

Figures = dict[str, Any]


def faults() -> Figures:
    """Every fault, met by a trial on both loops: what it became, and what of it was not as it must be."""
    wrong: dict[str, list[list[str]]] = {one.name: [] for one in BROKEN}
    with serving() as standin, places(standin.url) as where:

        async def meet() -> None:
            for one in BROKEN:
                wrong[one.name].append(lost(one, await met(one, where, StampedTransport())))

        for use_uvloop in LOOPS.values():
            anyio.run(meet, backend_options={"use_uvloop": use_uvloop})
    return {"rows": [_fault_of(one, wrong[one.name]) for one in BROKEN]}


def _fault_of(one: Broken, wrong: Sequence[list[str]]) -> Figures:
    well = sum(not each for each in wrong)
    return {"name": one.name, "becomes": _becomes(one), "tried": len(wrong), "well": well, "wrong": wrong}


def _becomes(one: Broken) -> str:
    if one.fault is None:
        return "a whole reply" + (", sent once more" if one.resent else "")
    return f"`{one.fault}` ({one.step})" + (", after it was sent once more" if one.resent else "")


def kills() -> Figures:
    """The kill points of every check."""
    return _fates(POINTS)


def at_random_moments(runs: int = 200) -> Figures:
    """Kills at random moments."""
    return _fates({f"seed {seed}": at_random(seed) for seed in range(runs)})


def shared(runs: int = 100) -> Figures:
    """The same of runs of two processes: one that sends is killed, then the one that leads, and so on."""
    return _fates({f"seed {seed}": at_random(seed) for seed in range(runs)}, processes=2)


def _fates(points: Mapping[str, Sequence[Moment]], *, processes: int = 1) -> Figures:
    rows = []
    with serving() as standin:
        for name, moments in points.items():
            with TemporaryDirectory() as folder:
                rows.append(_fate_of(name, fate(Path(folder), standin, *moments, processes=processes)))
    return {"rows": rows}


def _fate_of(name: str, found: Fate) -> Figures:
    columns = ("kills", "had", "acknowledged", "lost", "missing", "twice", "sent", "again", "in_flight")
    told = {column: getattr(found, column) for column in columns}
    return {"name": name, **told, "left": len(found.left), "whole": found.is_whole}


def soaked(trials: int = 200_000) -> Figures:
    """The soak: `harness run`, 500 exchanges in flight."""
    with TemporaryDirectory() as folder:
        return _soak_of(soak(Path(folder), trials=trials, in_flight=500))


def _soak_of(found: Soak) -> Figures:
    fewest, most = found.files
    return {
        "trials": found.trials,
        "in_flight": found.in_flight,
        "code": found.code,
        "looks": len(found.driven),
        "from": found.driven[0][0],
        "to": found.driven[-1][0],
        "slope": found.slope,
        "files": [fewest, most],
        "driven_mb": found.peak_driven,
        "peak_mb": found.peak,
        "warnings": found.warnings,
    }


def fuzzing(times: int = 100) -> Figures:
    """Each reader of what others write, with so many times the inputs of every check."""
    rows = []
    for name in READERS:
        tried, broke = fuzzed(name, times * EXAMPLES)
        rows.append({"name": name, "tried": tried, "broke": broke})
    return {"times": times, "rows": rows}


def fuzzed(name: str, examples: int) -> tuple[int, str]:
    """How many inputs the reader called *name* was given, and what it raised that is no error of its own."""
    tried = 0

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(bytes_of(seeds(name)) | st.binary(max_size=200))
    def reads(data: bytes) -> None:
        nonlocal tried
        tried += 1
        READERS[name](data)

    try:
        reads()
    except Exception as error:  # noqa: BLE001  whatever it is, it is counted
        return tried, repr(error)[:200]
    return tried, ""


MEASURE: dict[str, Callable[..., Figures]] = {
    "faults": faults,
    "kills": kills,
    "random": at_random_moments,
    "shared": shared,
    "soak": soaked,
    "fuzzing": fuzzing,
}


def fault_rows(figures: Figures) -> Iterator[str]:
    """A line for each fault."""
    yield "| fault | becomes | tried | as it must | lost |"
    yield "|---|---|--:|--:|--:|"
    for row in figures["rows"]:
        tried, well = row["tried"], row["well"]
        yield f"| {row['name']} | {row['becomes']} | {tried} | {well} | {tried - well} |"


def kill_rows(figures: Figures) -> Iterator[str]:
    """A line for each kill point."""
    yield "| killed | kills | results lost | missing | twice | sent again | in flight, at most |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    for row in figures["rows"]:
        counts = (row[name] for name in ("kills", "lost", "missing", "twice", "again", "in_flight"))
        yield f"| {row['name']} | {' | '.join(map(str, counts))} |"


def all_rows(figures: Figures) -> Iterator[str]:
    """A line for each kind of trouble."""
    yield "| | tried | survived | lost | counted twice | measured |"
    yield "|---|--:|--:|--:|--:|---|"
    if told := figures.get("faults"):
        tried, well = (sum(row[name] for row in told["rows"]) for name in ("tried", "well"))
        what = f"{len(told['rows'])} faults of the network, each on {len(LOOPS)} event loops"
        yield _line(told, what, tried, well, tried - well, None)
    for name, what in (
        ("kills", "kill points, in every check"),
        ("random", "runs killed at random moments"),
        ("shared", "runs of two processes, of which one or the leading one is killed at random moments"),
    ):
        if told := figures.get(name):
            yield _killed(told, what)
    if told := figures.get("fuzzing"):
        tried, broke = (
            sum(row["tried"] for row in told["rows"]),
            sum(bool(row["broke"]) for row in told["rows"]),
        )
        what = f"changed inputs, over {len(told['rows'])} readers"
        yield _line(told, what, tried, tried - broke, broke, None)


def _killed(told: Figures, what: str) -> str:
    rows = told["rows"]
    kills, lost_, missing, twice = (
        sum(row[name] for row in rows) for name in ("kills", "lost", "missing", "twice")
    )
    well = sum(row["whole"] for row in rows)
    return _line(told, f"{what} ({kills} kills)", len(rows), well, lost_ + missing, twice)


def _line(told: Figures, what: str, tried: int, well: int, gone: int, twice: int | None) -> str:
    doubled = "–" if twice is None else f"{twice}"
    return f"| {what} | {tried:,} | {well:,} | {gone:,} | {doubled} | {_when(told)} |"


def fuzz_rows(figures: Figures) -> Iterator[str]:
    """A line for each reader."""
    yield "| reader | inputs | of them broke it |"
    yield "|---|--:|--:|"
    for row in figures["rows"]:
        yield f"| {row['name']} | {row['tried']:,} | {1 if row['broke'] else 0} |"


def soak_rows(figures: Figures) -> Iterator[str]:
    """What the soak came to."""
    fewest, most = figures["files"]
    yield "| | |"
    yield "|---|--:|"
    yield f"| exchanges, at {figures['in_flight']} in flight | {figures['trials']:,} |"
    span = f"{figures['looks']} looks from exchange {figures['from']:,} to {figures['to']:,}"
    yield f"| memory that 10,000 exchanges leave behind ({span}) | {figures['slope']:.2f} MB |"
    yield f"| open files meanwhile | {fewest} to {most} |"
    yield f"| most memory up to the last trial | {figures['driven_mb']:,.0f} MB |"
    yield f"| most memory of the whole run, its tables included | {figures['peak_mb']:,.0f} MB |"
    yield f"| warnings | {len(figures['warnings'])} |"
    yield f"| exit code | {figures['code']} |"
    yield f"| measured | {_when(figures)} |"


def _when(told: Figures) -> str:
    return f"{told['on']}, {told['took_s']:.0f} s, {told['cores']} cores under a load of {told['load']:.1f}"


def rendered(page: str, figures: Figures) -> str:
    """*page* with every table as *figures* have it."""
    tables: dict[str, Iterable[str]] = {"all": all_rows(figures)}
    made = {"faults": fault_rows, "kills": kill_rows, "fuzzing": fuzz_rows, "soak": soak_rows}
    tables |= {name: rows(figures[name]) for name, rows in made.items() if name in figures}
    for name, rows in tables.items():
        before, mark, rest = page.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        page = before + mark + "\n".join(rows) + "\n" + end + after
    return page


def main(names: Sequence[str]) -> None:
    """Measure what is named, keep it, and write the page."""
    for asked in names:
        name, _, many = asked.partition(":")
        began, load = monotonic(), os.getloadavg()[0]
        told = MEASURE[name](*map(int, filter(None, [many])))
        keep(name, told, took_s=monotonic() - began, load=max(load, os.getloadavg()[0]))
    PAGE.write_text(rendered(PAGE.read_text(), kept()))


def kept() -> Figures:
    """What was measured last."""
    told: Figures = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    return told


def keep(name: str, told: Figures, *, took_s: float, load: float) -> None:
    """Keep what was measured, with the day and the machine."""
    where = {"on": f"{datetime.now(UTC):%Y-%m-%d}", "took_s": took_s, "cores": os.cpu_count(), "load": load}
    FIGURES.write_text(json.dumps(kept() | {name: told | where}, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
