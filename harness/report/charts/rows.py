"""Rows: bars of parts that add up, and dots with the range in which they lie."""

from collections.abc import Mapping, Sequence

import altair as alt

from harness.report.charts.drawing import INK, NARROW
from harness.report.charts.lines import Row
from harness.report.charts.series import COLORS, SHAPES, legend

_LETTER = 6.6
_LABEL = 260


def bars(
    rows: Sequence[Row],
    parts: Mapping[str, str],
    width: int,
    *,
    x: alt.X,
    ends: Mapping[str, str],
) -> alt.TopLevelMixin:
    """A bar for each of *ends*, of segments `row`, `part`, `from`, `upto` and `text`; *ends* is said behind it.

    *parts* are the colours of the parts, in order; a text stands in its segment where there is room.
    """
    order = list(ends)
    narrow = width < NARROW
    low = min([0.0, *(row["from"] for row in rows)])
    high = max([row["upto"] for row in rows])
    room = (width - (0 if narrow else label_width(order)) - 90) / ((high - low) or 1)
    texts = [row for row in rows if (row["upto"] - row["from"]) * room > len(row["text"]) * _LETTER + 8]
    texts = [{**row, "mid": (row["from"] + row["upto"]) / 2} for row in texts]
    used = [part for part in parts if any(row["part"] == part for row in rows)]
    color = alt.Color(
        "part:N",
        scale=alt.Scale(domain=used, range=[parts[part] for part in used]),
        legend=legend(width, columns=8),
    )
    y = _band(order, narrow=narrow)
    last = [
        {"row": name, "at": max([row["upto"] for row in rows if row["row"] == name] or [0]), "text": text}
        for name, text in ends.items()
    ]
    size = 20
    made = [
        _of(rows)
        .mark_bar(height=size, stroke=INK["ground"], strokeWidth=1)
        .encode(x=x, x2="upto", y=y, color=color),
        _of(texts)
        .mark_text(color=INK["ground"], fontSize=11, baseline="middle")
        .encode(x="mid:Q", y=y, text="text:N"),
        _of(last)
        .mark_text(align="left", dx=6, color=INK["soft"], fontSize=11)
        .encode(x="at:Q", y=y, text="text:N"),
    ]
    return _stacked([*made, *_labels(order, low, narrow=narrow)], len(order), width)


def dots(
    rows: Sequence[Row], order: Sequence[str], names: Sequence[str], width: int, x: alt.X
) -> alt.TopLevelMixin:
    """A dot at `mid` for each `row` and `series`, on a line from `low` to `high` where there is one.

    The series of a row stand beneath each other; `text` is said behind the dot.
    """
    narrow = width < NARROW
    y = _band(order, narrow=narrow)
    offset = alt.YOffset("series:N", scale=alt.Scale(domain=list(names), paddingOuter=0.3))
    told = legend(width) if len(names) > 1 else None
    color = alt.Color(
        "series:N", scale=alt.Scale(domain=list(names), range=list(COLORS[: len(names)])), legend=told
    )
    shape = alt.Shape(
        "series:N", scale=alt.Scale(domain=list(names), range=list(SHAPES[: len(names)])), legend=told
    )
    known = [row for row in rows if row["mid"] is not None]
    ranged = [row for row in known if row["low"] is not None]
    said = [{**row, "at": max(row["high"] or 0, row["mid"])} for row in known]
    title = x.to_dict().get("title")
    made = [
        _of(ranged)
        .mark_rule(strokeWidth=2, opacity=0.45)
        .encode(x=alt.X("low:Q"), x2="high", y=y, yOffset=offset, color=color),
        _of(known)
        .mark_point(filled=True, size=55, opacity=1)
        .encode(x=x, y=y, yOffset=offset, color=color, shape=shape),
        _of(said)
        .mark_text(align="left", dx=8, color=INK["soft"], fontSize=11)
        .encode(x="at:Q", y=y, yOffset=offset, text="text:N"),
    ]
    each = max(1, len(names))
    return _stacked(
        [*made, *_labels(order, 0, narrow=narrow)], len(order), width, each=14 * each + (22 if narrow else 8)
    )


def label_width(names: Sequence[str]) -> float:
    """About how wide the labels of rows are."""
    return min(_LABEL, max((len(name) for name in names), default=0) * _LETTER)


def _of(rows: Sequence[Row]) -> alt.Chart:
    return alt.Chart(alt.Data(values=list(rows)))


def _band(order: Sequence[str], *, narrow: bool) -> alt.Y:
    axis = alt.Axis(labels=not narrow, title=None, labelColor=INK["ink"], labelLimit=_LABEL)
    return alt.Y("row:N", sort=list(order), scale=alt.Scale(domain=list(order)), axis=axis)


def _labels(order: Sequence[str], at: float, *, narrow: bool) -> list[alt.Chart]:
    """On a phone the label of a row stands above it: beside it there is no room."""
    if not narrow:
        return []
    rows = [{"row": name, "at": at, "label": name} for name in order]
    y = alt.Y("row:N", sort=list(order), bandPosition=0)
    text = _of(rows).mark_text(align="left", baseline="top", dy=1, fontSize=12, color=INK["ink"])
    return [text.encode(x="at:Q", y=y, text="label:N")]


def _stacked(
    layers: Sequence[alt.Chart], count: int, width: int, each: int | None = None
) -> alt.TopLevelMixin:
    fit = alt.AutoSizeParams(type="fit-x", contains="padding")
    height = count * (each or (44 if width < NARROW else 30))
    return alt.layer(*layers, width=width, height=height, autosize=fit)
