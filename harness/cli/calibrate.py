"""`harness calibrate [SUITE]`: how far off this machine's times are, and how much it can read."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import complete

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.calibrate.kept import Calibration
    from harness.calibrate.probe import Shape


def calibrate(
    suite: Annotated[
        Path | None,
        typer.Argument(
            metavar="[SUITE]",
            help="Take the load of this suite.",
            show_default=False,
            autocompletion=complete.suites,
        ),
    ] = None,
    streams: Annotated[int | None, typer.Option(min=1, help="So many streams at once.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Do not look for the ceiling.")] = False,
    results: Annotated[Path, typer.Option(help="Where calibrations and runs are kept.")] = Path("results"),
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, on standard output.")] = False,
) -> None:
    """Measure this machine against a server of ours that says of each packet when it sent it.

    Streams are read as a run reads them. Printed are the errors of the stamps, the CPU a packet and a reply
    take, and the most that can be read; `harness run` then says how exact its own times are.
    """
    from functools import partial

    import msgspec
    from rich.console import Console

    from harness.calibrate.kept import keep
    from harness.calibrate.shapes import USUAL, remarks, shape_of, unsearched
    from harness.drive.loop import in_a_loop
    from harness.report.calibration import calibration_table
    from harness.report.visible import document
    from harness.suite.read import load_suite

    talk = Console(stderr=True)
    shape, said = USUAL, f"{USUAL.streams} streams of {USUAL.packets_per_s:g} packets/s"
    if suite is not None:
        shape, said = shape_of(load_suite(suite), results)
    if streams is not None:
        shape, said = msgspec.structs.replace(shape, streams=streams), f"{streams} streams"
    talk.print(f"measuring {said} …", style="dim", highlight=False, markup=False)
    told = in_a_loop(partial(_measured, shape, lambda words: talk.print(words, style="dim"), quick=quick))
    path = keep(told, results)
    if as_json:
        typer.echo(document(told))
    else:
        figures = Console()
        figures.width = figures.width if figures.is_terminal else 200
        figures.print(calibration_table(told))
        open_end = "" if quick else unsearched(told.points)
        for line in remarks(told.points, open_end):
            figures.print(line, style="dim", highlight=False, markup=False)
    talk.print(f"kept: {path}", highlight=False, markup=False, soft_wrap=True)


async def _measured(shape: "Shape", say: "Callable[[str], None]", *, quick: bool) -> "Calibration":
    from harness.calibrate.kept import calibration
    from harness.calibrate.probe import measure, stream_source
    from harness.calibrate.shapes import gave_out, holds, search

    async with stream_source() as source:
        points = [await measure(shape, source)]
        if not quick:
            say(f"{shape.streams} streams read; now others, to find the most that is read well …")
            async for point in search(points[0], source):
                say(f"{point.shape.streams} streams read: {'held' if holds(point) else 'not held'}")
                points.append(point)
    held = [point for point in points if holds(point)]
    best = max(held, key=lambda point: point.achieved_per_s, default=None)
    searched = None if quick else best
    ended = all(map(holds, points)) and gave_out(points[-1])
    return calibration(tuple(points), ceiling=searched, gave_out=ended)
