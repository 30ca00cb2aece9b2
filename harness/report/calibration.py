"""A calibration as a table and a chart for the terminal."""

from collections.abc import Iterator
from math import log10

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.calibrate.kept import Calibration
from harness.calibrate.probe import Error, Measurement

DASH = "–"
_BAR = 40
_LOWEST_MS, _HIGHEST_MS = 0.001, 1000.0


def calibration_table(told: Calibration) -> RenderableType:
    """A row for each load that was measured, a chart of the errors, and what the figures mean."""
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for title in (
        "streams",
        "packets/s",
        "n",
        "arrived p50",
        "p99",
        "p99.9",
        "max",
        "seen p50",
        "p99",
        "merged",
    ):
        table.add_column(title, justify="right")
    for title in ("first answer p99", "µs/packet", "µs/reply", "CPU", "source late p99"):
        table.add_column(title, justify="right")
    for point in told.points:
        table.add_row(*_cells(point))
    chart = [line for point in told.points for line in _chart(point)]
    return Group(table, Text(), *chart, *(Text(line, style="dim") for line in _notes(told)))


def _cells(point: Measurement) -> Iterator[str]:
    yield f"{point.shape.streams:,}"
    yield f"{point.achieved_per_s:,.0f}"
    yield f"{point.packets:,}"
    for value in (point.arrived.p50_ms, point.arrived.p99_ms, point.arrived.p999_ms, point.arrived.max_ms):
        yield _ms(value)
    yield _ms(point.seen.p50_ms)
    yield _ms(point.seen.p99_ms)
    yield f"{point.merged:.2%}"
    yield _ms(point.first.p99_ms)
    yield f"{point.cpu_us_per_packet:.1f}"
    yield f"{point.cpu_us_per_reply:,.0f}"
    yield f"{point.cpu:.0%}"
    yield _ms(point.source_late_ms)


def _chart(point: Measurement) -> Iterator[Text]:
    """How far off the stamps were, on a scale from 1 µs to 1 s."""
    yield Text(f"{point.shape.streams:,} streams, error from 1 µs to 1 s", style="bold")
    for name, error in (("arrived", point.arrived_all), ("seen", point.seen)):
        for level, value in _levels(error):
            yield Text(f"{name:8} {level:6} ").append(_bar(value), style="cyan").append(f" {_ms(value)}")


def _levels(error: Error) -> Iterator[tuple[str, float | None]]:
    yield from (("p50", error.p50_ms), ("p99", error.p99_ms), ("p99.9", error.p999_ms), ("max", error.max_ms))


def _bar(milliseconds: float | None) -> str:
    if milliseconds is None:
        return ""
    within = min(_HIGHEST_MS, max(_LOWEST_MS, milliseconds))
    share = log10(within / _LOWEST_MS) / log10(_HIGHEST_MS / _LOWEST_MS)
    return "█" * max(1, round(share * _BAR))


def _notes(told: Calibration) -> Iterator[str]:
    yield (
        "error: stamp less the time at which the source sent the packet. arrived is the kernel's stamp, "
        "of packets alone in their read (the chart: of all); seen is when our code had it."
    )
    if any(point.stamps == "user" for point in told.points):
        yield "There are no kernel stamps here: arrived is our own."
    yield "CPU is of this process: request, reading, decoding; µs/reply is that over all replies."
    fastest = min(point.cpu_us_per_packet for point in told.points)
    yield f"by CPU alone one process could read {1e6 / fastest:,.0f} packets/s (1 s / {fastest:.1f} µs)"
    per_stream = told.points[0].shape.packets_per_s
    if told.ceiling_per_s is not None:
        at_least = "at least " if told.source_gave_out else ""
        why = " (the source gave out first)" if told.source_gave_out else ""
        most = f"{at_least}{told.ceiling_per_s:,.0f} packets/s"
        yield f"ceiling: {most} with 99 % of the stamps right to 1 ms{why}"
        yield (
            f"recommended: {told.in_flight(per_stream):,} in flight at most, of {per_stream:,.0f} packets/s "
            "each (70 % of the ceiling)"
        )


def _ms(milliseconds: float | None) -> str:
    if milliseconds is None:
        return DASH
    if milliseconds < 1:
        return f"{milliseconds * 1000:,.0f} µs"
    return f"{milliseconds:,.1f} ms"
