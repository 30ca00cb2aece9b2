"""Lines and clouds: a value against another, a line for each series."""

from collections.abc import Sequence
from itertools import product
from math import floor, log10
from typing import Any, NamedTuple

import altair as alt

from harness.report.charts.drawing import NARROW, Drawing
from harness.report.charts.series import Slots, rows_of, told_apart, with_n

Row = dict[str, Any]
_WIDE_RANGE = 30
_IN_SECONDS = 20_000


class Unit(NamedTuple):
    """A unit of time for an axis, and how many ms it has."""

    name: str
    ms: int


def unit(highest_ms: float) -> Unit:
    """Milliseconds, or seconds where the values are many thousands."""
    return Unit("s", 1000) if highest_ms >= _IN_SECONDS else Unit("ms", 1)


def is_wide(values: Sequence[float]) -> bool:
    """Whether *values* spread over so much that they want a logarithmic axis; none is 0."""
    return bool(values) and min(values) > 0 and max(values) / min(values) >= _WIDE_RANGE


def scale(values: Sequence[float], *, of: int = 1) -> dict[str, Any]:
    """Scale and axis for *values*: logarithmic for a wide range, else from 0; *of* ms a unit."""
    if not is_wide(values):
        return {"scale": alt.Scale(zero=True, nice=True), "axis": alt.Axis(tickCount=5, format=",~r")}
    low, high = min(values) / of, max(values) / of
    powers = range(floor(log10(low)), floor(log10(high)) + 2)
    steps = (1, 2, 5) if len(powers) <= 4 else (1,)
    ticks = [step * 10.0**power for power, step in product(powers, steps)]
    inside = [tick for tick in ticks if low * 0.8 <= tick <= high * 1.25]
    return {
        "scale": alt.Scale(type="log", domain=[low * 0.9, high * 1.1], nice=False),
        "axis": alt.Axis(values=inside, format=",~r"),
    }


_PERCENTS = (0, 50, 75, 90, 95, 99, 99.5, 99.9, 99.99, 99.999)


def percentiles(rows: Sequence[Row], slots: Slots, width: int, what: str) -> Drawing:
    """Quantiles against how rare they are: each step to the right halves what is left to 100 %.

    *rows* have `series`, `percent`, `value_ms` and `n`.
    """
    values = [row["value_ms"] for row in rows]
    of = unit(max(values))
    labels = with_n(rows, lambda row: row["n"])
    drawn = [
        {"label": labels[row["series"]], "x": 1 / (1 - row["percent"] / 100), "y": row["value_ms"] / of.ms}
        for row in rows
    ]
    last = max(row["x"] for row in drawn)
    narrow = width < NARROW
    ticks = [1 / (1 - percent / 100) for percent in (_PERCENTS[:2] + _PERCENTS[3:] if narrow else _PERCENTS)]
    x = alt.X(
        "x:Q",
        title="percentile",
        scale=alt.Scale(type="log", domain=[1, max(last, 2) * 1.02], nice=False),
        axis=alt.Axis(
            values=[tick for tick in ticks if tick <= last * 1.02],
            labelExpr="format(100 - 100 / datum.value, '.3~f') + ' %'",
            labelOverlap="greedy",
        ),
    )
    y = alt.Y("y:Q", title=f"{what}, {of.name}{_log(values)}", **scale(values, of=of.ms))
    return _lines(drawn, width, "linear").encode(x=x, y=y, **told_apart(slots, width, labels))


def distribution(rows: Sequence[Row], slots: Slots, width: int, what: str) -> Drawing:
    """Shares of at most so much; *rows* have `series`, `value_ms`, `share` and `n`."""
    values = [row["value_ms"] for row in rows]
    of = unit(max(values))
    labels = with_n(rows, lambda row: row["n"])
    drawn = [
        {"label": labels[row["series"]], "x": row["value_ms"] / of.ms, "y": row["share"]} for row in rows
    ]
    x = alt.X("x:Q", title=f"{what}, {of.name}{_log(values)}", **scale(values, of=of.ms))
    y = alt.Y("y:Q", title="share of exchanges", axis=alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1]))
    return _lines(drawn, width, "step-after").encode(x=x, y=y, **told_apart(slots, width, labels))


def _lines(rows: Sequence[Row], width: int, interpolate: Any) -> alt.Chart:
    line = rows_of(rows).mark_line(interpolate=interpolate, strokeWidth=2, strokeCap="butt")
    made: alt.Chart = line.properties(**_size(width))
    return made


def _size(width: int) -> dict[str, Any]:
    """As wide as *width* with all its labels."""
    fit = alt.AutoSizeParams(type="fit-x", contains="padding")
    return {"width": width, "height": 230 if width < NARROW else 300, "autosize": fit}


def _log(values: Sequence[float]) -> str:
    return " (log scale)" if is_wide(values) else ""


def cloud(points: Sequence[Row], medians: Sequence[Row], slots: Slots, width: int) -> Drawing:
    """TTFT by how many were in flight: a dot for each of *points*, and a line through the *medians*."""
    values = [row["ttft_ms"] for row in points]
    of = unit(max(values))
    # A dot is a line to where it begins, with round ends: one path for a series, not one for each dot.
    dots = [
        {"label": row["series"], "x": row["in_flight"], "y": y, "at": at}
        for at, row in enumerate(points)
        for y in (row["ttft_ms"] / of.ms, row["ttft_ms"] / of.ms, None)
    ]
    middles = [
        {"label": row["series"], "x": (row["from"] + row["upto"]) / 2, "y": row["p50_ms"] / of.ms}
        for row in medians
        if row["p50_ms"] is not None
    ]
    ticks = alt.Axis(tickMinStep=1, format=",d", tickCount=5 if width < NARROW else 12)
    x = alt.X(
        "x:Q",
        title="exchanges in flight when it was sent",
        scale=alt.Scale(nice=False, zero=False, padding=8),
        axis=ticks,
    )
    y = alt.Y("y:Q", title=f"TTFT, {of.name}{_log(values)}", **scale(values, of=of.ms))
    told = told_apart(slots, width, {})
    dot = rows_of(dots).mark_line(
        strokeCap="round", strokeWidth=5, opacity=0.35, invalid="break-paths-filter-domains"
    )
    line = rows_of(middles).mark_line(strokeWidth=2.5)
    layers = dot.encode(x=x, y=y, color=told["color"], order="at:Q"), line.encode(x=x, y=y, **told)
    return alt.layer(*layers).properties(**_size(width))
