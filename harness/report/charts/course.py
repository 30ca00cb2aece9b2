"""The course of a run, in panels beneath each other that share their seconds."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import altair as alt
import polars as pl

from harness.report.charts.drawing import INK, NARROW, SMALL, Chart, Drawing
from harness.report.charts.lines import Row, unit
from harness.report.charts.series import COLORS, Series, distinct, legend, rows_of, told_apart
from harness.report.figures import Course

_MARGIN = 52
_IN_MINUTES = 1_800


def course(of: Course, series: Series) -> Iterator[Chart]:
    """How the run went, second by second, where it has any."""
    if of.bins.is_empty():
        return
    each = "second" if of.width_s == 1 else f"{of.width_s:,} seconds"
    faults = int(of.faults["count"].sum())
    says = (
        f"Each {each} since the start: trials under way (the mean), trials that fell due, began and ended, "
        f"by variant the median TTFT of the counted exchanges sent in it (of 2 at least)"
        f"{f', and {faults:,} exchanges that broke' if faults else '; nothing broke'}."
    )
    yield Chart("timeline", "The course of the run", says, lambda width: _panels(of, series, width))


class _Time(NamedTuple):
    """The axis of time: *per* seconds a unit, up to *last*."""

    name: str
    per: int
    last: float

    def axis(self, width: int, *, is_last: bool) -> alt.X:
        """The axis, with labels beneath the last panel only."""
        ticks = alt.Axis(
            labels=is_last, ticks=is_last, tickCount=5 if width < NARROW else 12, format=",~r", domain=is_last
        )
        title = f"{self.name} since the start" if is_last else None
        return alt.X(
            "x:Q", title=title, scale=alt.Scale(domain=[0, self.last], nice=False, padding=0), axis=ticks
        )


def _panels(of: Course, series: Series, width: int) -> Drawing:
    end = (int(of.bins["at_s"].to_list()[-1]) + of.width_s) or 1
    per = 60 if end > _IN_MINUTES else 1
    time = _Time("minutes" if per == 60 else "seconds", per, end / per)
    makers: list[Callable[..., Drawing]] = [_in_flight, _rates]
    makers += [partial(_ttft, series=series)] if _has_ttft(of, series) else []
    makers += [_broken] if len(of.faults) else []
    inside = width - _MARGIN - 24
    shown: list[Drawing] = [
        make(of, time.axis(width, is_last=make is makers[-1]), per, width).properties(width=inside)
        for make in makers
    ]
    above = [_phases(of, time, inside)] if len(of.phases) > 1 else []
    whole: Drawing = alt.vconcat(*above, *shown, spacing=10).resolve_scale(
        color="independent", strokeDash="independent"
    )
    return whole


def _has_ttft(of: Course, series: Series) -> bool:
    return of.ttft.filter(pl.col("variant").is_in(list(series.variants)))["p50_ms"].count() > 0


def _steps(of: Course, column: str, per: int, *, by: float = 1) -> list[Row]:
    """A value for each stretch, from its beginning to its end."""
    values = of.bins.select("at_s", column).rows()
    last = [(values[-1][0] + of.width_s, values[-1][1])]
    return [{"x": at / per, "y": None if y is None else y / by} for at, y in (*values, *last)]


def _y(title: str, field: str = "y:Q", ticks: Sequence[int] = (), *, stack: bool = False) -> alt.Y:
    where = {"values": list(ticks)} if ticks else {"tickCount": 3}
    axis = alt.Axis(
        **where,
        minExtent=_MARGIN - 8,
        maxExtent=_MARGIN - 8,
        titleX=-(_MARGIN - 8),
        format=",~r",
    )
    return alt.Y(field, title=title, axis=axis, scale=alt.Scale(zero=True, nice=True), stack=stack)


def _panel(rows: Sequence[Row], height: int = 90) -> alt.Chart:
    panel: alt.Chart = rows_of(rows).properties(height=height)
    return panel


def _in_flight(of: Course, x: alt.X, per: int, width: int) -> alt.Chart:
    area = _panel(_steps(of, "in_flight", per)).mark_area(
        interpolate="step-after",
        color=INK["c1"],
        fillOpacity=0.2,
        line={"color": INK["c1"], "strokeWidth": 1.5},
    )
    drawn: alt.Chart = area.encode(x=x, y=_y("trials in flight"))
    return drawn


def _rates(of: Course, x: alt.X, per: int, width: int) -> Drawing:
    """What began and ended in front of what was due: where the two part, the schedule was not kept."""
    is_open = of.bins["due"].count() > 0
    kinds = [*(["due"] if is_open else []), "began", "ended"]
    told = legend(width, kinds)
    told.symbolType = "square"
    colors = {"due": INK["line"], "began": INK["c1"], "ended": INK["c2"]}
    scale = alt.Scale(domain=kinds, range=[colors[kind] for kind in kinds])
    dash = alt.Scale(domain=["began", "ended"], range=[[1, 0], [2, 3]])
    same = {"x": x, "y": _y("trials a second"), "color": alt.Color("kind:N", scale=scale, legend=told)}
    due = _panel([*_blocks(of, per)]).mark_area(interpolate="linear", invalid="break-paths-filter-domains")
    rows = ({**row, "kind": kind} for kind in kinds[-2:] for row in _steps(of, kind, per, by=of.width_s))
    line = _panel([*rows]).mark_line(interpolate="step-after", strokeWidth=1.8)
    lines = line.encode(**same, strokeDash=alt.StrokeDash("kind:N", scale=dash, legend=None))
    return alt.layer(*([due.encode(**same)] if is_open else []), lines)


def _blocks(of: Course, per: int) -> Iterator[Row]:
    """The corners of what fell due: drawn in steps, the last stretch before a hole would be lost."""
    for at, due in of.bins.select("at_s", "due").iter_rows():
        height = None if due is None else due / of.width_s
        yield {"x": at / per, "y": height, "kind": "due"}
        yield {"x": (at + of.width_s) / per, "y": height, "kind": "due"}


def _ttft(of: Course, x: alt.X, per: int, width: int, *, series: Series) -> alt.Chart:
    called = series.variants
    known = of.ttft.filter(pl.col("variant").is_in(list(called)), pl.col("p50_ms").is_not_null())
    medians = {(row["variant"], row["at_s"]): row["p50_ms"] for row in known.iter_rows(named=True)}
    by = unit(max(medians.values()))
    drawn = [variant for variant in called if variant in set(known["variant"])]
    rows = [
        {"label": called[variant], "x": x_s / per, "y": y and y / by.ms}
        for variant in drawn
        for x_s, y in _marked([(at, medians.get((variant, at))) for at in of.bins["at_s"]], of.width_s)
    ]
    line = _panel(rows).mark_line(strokeWidth=1.8, strokeCap="round", invalid="break-paths-filter-domains")
    slots = series.variants_among([{"series": row["label"]} for row in rows])
    told = told_apart(slots, width, {})
    made: alt.Chart = line.encode(x=x, y=_y(f"median TTFT, {by.name}"), **told)
    return made


def _marked(values: Sequence[tuple[int, float | None]], width_s: int) -> Iterator[tuple[float, float | None]]:
    """*values* in the middle of their stretches; one with none beside it is a short line, to be seen."""
    padded = [(0, None), *values, (0, None)]
    for (_, before), (at, value), (_, after) in zip(padded, values, padded[2:], strict=False):
        middle = at + width_s / 2
        if value is not None and before is None and after is None:
            yield middle - width_s / 6, value
            middle += width_s / 6
        yield middle, value


def _broken(of: Course, x: alt.X, per: int, width: int) -> alt.Chart:
    kinds = list(dict.fromkeys(of.faults["fault"]))
    called = dict(zip(kinds, distinct(kinds), strict=True))
    rows = [
        {"x": at / per, "x2": (at + of.width_s) / per, "count": count, "kind": called[fault]}
        for at, fault, count in of.faults.select("at_s", "fault", "count").iter_rows()
    ]
    most = max(sum(row["count"] for row in rows if row["x"] == at) for at in {row["x"] for row in rows})
    scale = alt.Scale(domain=list(called.values()), range=[INK["bad"], *COLORS[1:]][: len(called)])
    bars = _panel(rows, 60).mark_bar(orient="vertical", stroke=INK["ground"], strokeWidth=0.5)
    color = alt.Color("kind:N", scale=scale, legend=legend(width, list(called.values())))
    drawn: alt.Chart = bars.encode(
        x=x,
        x2="x2",
        y=_y("exchanges that broke", "count:Q", sorted({0, most // 2, most}), stack=True),
        color=color,
    )
    return drawn


def _phases(of: Course, time: _Time, inside: int) -> Drawing:
    """A strip with the name of each phase."""
    names = distinct(of.phases["phase"].to_list())
    rows = [
        {"x": began / time.per, "x2": ended / time.per, "mid": (began + ended) / 2 / time.per, "name": name}
        for name, (began, ended) in zip(
            names, of.phases.select("began_s", "ended_s").iter_rows(), strict=True
        )
    ]
    room = inside / time.last
    fitting = [row for row in rows if (row["x2"] - row["x"]) * room > len(row["name"]) * 7]
    x = alt.X("x:Q", title=None, axis=None, scale=alt.Scale(domain=[0, time.last], nice=False, padding=0))
    made = [
        _panel(rows, 18).mark_bar(height=16, color=INK["grid"], stroke=INK["ground"]).encode(x=x, x2="x2"),
        _panel(fitting, 18)
        .mark_text(color=INK["ink"], fontSize=SMALL)
        .encode(x=alt.X("mid:Q"), text="name:N"),
    ]
    return alt.layer(*made, width=inside)
