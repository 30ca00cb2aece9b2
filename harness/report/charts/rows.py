"""Rows: bars of parts that add up, and dots with the range in which they lie."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from harness.report.charts.drawing import BROADER, INK, NARROW, SMALL, Drawing
from harness.report.charts.lines import Row
from harness.report.charts.series import COLORS, SHAPES, Slots, legend, rows_of

_LETTER = 7.2
_LABEL = 260
_BAR = 20


@dataclass(frozen=True, slots=True)
class Across:
    """The axis of values: its title, what it spans at least, and how its ticks are written."""

    title: str
    low: float = 0.0
    high: float = 0.0
    is_share: bool = False

    def axis(self, field: str, span: tuple[float, float], width: int) -> alt.X:
        """The axis over *span*; that of a share has a tick at each quarter."""
        scale = alt.Scale(domain=span, nice=False)
        if self.is_share:
            ticks = alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1])
        else:
            ticks = alt.Axis(format=",~r", tickCount=4 if width < NARROW else 8)
        return alt.X(f"{field}:Q", title=self.title, scale=scale, axis=ticks)


def bars(
    rows: Sequence[Row], parts: Mapping[str, str], ends: Mapping[str, str], *, across: Across, width: int
) -> Drawing:
    """A bar for each of *ends*, which is said behind it, of segments: `row`, `part`, `from`, `upto`, `text`.

    *parts* are the colours of the parts, in order. A text stands in its segment where there is room.
    """
    order, narrow = list(ends), width < NARROW
    low = min(across.low, *(row["from"] for row in rows))
    high = max(across.high, *(row["upto"] for row in rows))
    inside = _inside(order, width)
    span = (low, _with_room(low, high, list(ends.values()), inside))
    used = [part for part in parts if any(row["part"] == part for row in rows)]
    scale = alt.Scale(domain=used, range=[parts[part] for part in used])
    color = alt.Color("part:N", scale=scale, legend=legend(width, used, offset=10))
    y = _band(order, narrow=narrow)
    bar = rows_of(rows).mark_bar(height=_BAR, stroke=INK["ground"], strokeWidth=1)
    text = rows_of(list(_fitting(rows, inside / (span[1] - span[0]))))
    last = rows_of([{"row": name, "at": _end(rows, name), "text": said} for name, said in ends.items()])
    return _layered(
        [
            bar.encode(x=across.axis("from", span, width), x2="upto", y=y, color=color),
            text.mark_text(color=INK["ground"], fontSize=SMALL).encode(x="mid:Q", y=y, text="text:N"),
            last.mark_text(**_BEHIND).encode(x="at:Q", y=y, text="text:N"),
            *_labels(order, low, narrow=narrow, dy=-_BAR / 2 - 8),
        ],
        len(order) * (46 if narrow else 30),
        width,
    )


_BEHIND: dict[str, Any] = {"align": "left", "dx": 7, "color": INK["soft"], "fontSize": SMALL}


def _end(rows: Sequence[Row], name: str) -> float:
    return max((row["upto"] for row in rows if row["row"] == name), default=0.0)


def _fitting(rows: Sequence[Row], room: float) -> Iterator[Row]:
    """The rows whose text is no broader than they are, with *room* pixels for each unit."""
    for row in rows:
        if (row["upto"] - row["from"]) * room > len(row["text"]) * _LETTER + 6:
            yield {**row, "mid": (row["from"] + row["upto"]) / 2}


def dots(rows: Sequence[Row], slots: Slots, *, across: Across, width: int, from_to: bool = False) -> Drawing:
    """A dot at `mid` for each `row` and `series`, on a line from `low` to `high` where there is one.

    The series of a row stand beneath each other, in the order of *slots*; `text` is said behind the dot. With
    *from_to* the line ends in an empty dot at `low`: what it was before.
    """
    narrow = width < NARROW
    lines, order = _lines(rows, list(slots), narrow=narrow)
    high = max(across.high, *(_rightmost(row) for row in lines))
    room = _with_room(across.low, high, [row["text"] for row in lines], _inside(order, width))
    told = legend(width, list(slots), offset=10) if len(slots) > 1 else None
    scale = alt.Scale(domain=list(slots), range=[COLORS[at] for at in slots.values()])
    color = alt.Color("series:N", scale=scale, legend=told)
    shapes = alt.Scale(domain=list(slots), range=[SHAPES[at] for at in slots.values()])
    shape = alt.Shape("series:N", scale=shapes, legend=told)
    y = _band(order, narrow=narrow)
    ranged = rows_of([row for row in lines if row["low"] is not None and row["low"] != row["high"]])
    rule = ranged.mark_rule(strokeWidth=2, opacity=0.45)
    before = ranged.mark_point(filled=True, size=60, opacity=1, fill=INK["ground"], strokeWidth=1.6)
    stroke = alt.Stroke("series:N", scale=scale, legend=None)
    dot = rows_of(lines).mark_point(filled=True, size=60, opacity=1)
    text = rows_of([{**row, "at": _rightmost(row)} for row in lines]).mark_text(**_BEHIND)
    layers = [
        rule.encode(x=across.axis("low", (across.low, room), width), x2="high", y=y, color=color),
        *([before.encode(x="low:Q", y=y, stroke=stroke)] if from_to else []),
        dot.encode(x=across.axis("mid", (across.low, room), width), y=y, color=color, shape=shape),
        text.encode(x="at:Q", y=y, text="text:N"),
        *_labels([name for name in order if name.strip()], across.low, narrow=narrow, dy=0),
    ]
    return _layered(layers, len(order) * 17, width)


def _rightmost(row: Row) -> float:
    return max(float(row[end] or 0.0) for end in ("mid", "low", "high"))


def _lines(rows: Sequence[Row], names: Sequence[str], *, narrow: bool) -> tuple[list[Row], list[str]]:
    """*rows* with a `line` each, and the lines in order.

    The first line of a row is called as the row is, the others by blanks, which nobody sees; on a phone all
    are, and the row has a line to itself.
    """
    order: list[str] = []
    placed: list[Row] = []
    of_rows = list(dict.fromkeys(row["row"] for row in rows))
    is_dense = all(sum(row["row"] == name for row in rows) == 1 for name in of_rows)
    for name in of_rows:
        mine = sorted((row for row in rows if row["row"] == name), key=lambda row: names.index(row["series"]))
        if narrow:
            order.append(name)
        for at, row in enumerate(mine):
            order.append(name if at == 0 and not narrow else " " * (len(order) + 1))
            placed.append({**row, "row": order[-1]})
        if not is_dense and not narrow:
            order.append(" " * (len(order) + 1))
    return placed, order


def _inside(order: Sequence[str], width: int) -> float:
    """About how wide the chart is without its labels."""
    labels = 0.0 if width < NARROW else max((len(name) for name in order), default=0) * _LETTER
    return width - min(_LABEL, labels) - 20


def _with_room(low: float, high: float, texts: Sequence[str], inside: float) -> float:
    """Where the axis ends so that there is room for *texts* behind *high*."""
    pixels = max((len(text) for text in texts), default=0) * _LETTER + 12
    return low + (high - low or 1.0) / max(0.3, 1 - pixels / inside)


def _band(order: Sequence[str], *, narrow: bool) -> alt.Y:
    axis = alt.Axis(labels=not narrow, title=None, labelColor=INK["ink"], labelLimit=_LABEL * BROADER)
    return alt.Y("row:N", sort=list(order), scale=alt.Scale(domain=list(order)), axis=axis)


def _labels(order: Sequence[str], at: float, *, narrow: bool, dy: float) -> list[alt.Chart]:
    """On a phone the label of a row stands above it: beside it there is no room."""
    if not narrow:
        return []
    text = rows_of([{"row": name, "at": at, "label": name} for name in order])
    marked = text.mark_text(align="left", dy=dy, color=INK["ink"], limit=_LABEL * BROADER)
    return [marked.encode(x="at:Q", y=alt.Y("row:N"), text="label:N")]


def _layered(layers: Sequence[alt.Chart], height: int, width: int) -> Drawing:
    fit = alt.AutoSizeParams(type="fit-x", contains="padding")
    return alt.layer(*layers, width=width, height=height, autosize=fit)
