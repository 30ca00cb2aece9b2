"""Where the time of one exchange went, as a drawing: a bar for each step, and a tick for each packet.

Drawn here and not as a chart of the report: a page with four turns must be there at once. Positions are
numbers; the template makes SVG of them, and colours are classes of the style sheet.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl

from harness.report.pages import ms

ROW, GAP, HEAD, LANE = 18, 4, 18, 16
BARS = 40
"""Steps that are drawn; there are more only where a reply goes to and fro between many."""


class Bar(NamedTuple):
    """A step: its row, where it begins, and how long it is."""

    name: str
    colour: str
    x: float
    y: float
    width: float
    told: str


class Tick(NamedTuple):
    """Packets that came at the same place of the drawing."""

    x: float
    packets: int


class Lane(NamedTuple):
    """The packets of one sort."""

    name: str
    colour: str
    y: float
    ticks: tuple[Tick, ...]
    packets: int


class Mark(NamedTuple):
    """A line of the scale."""

    x: float
    told: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """All of it, in a box of *width* by *height*; names stand left of *left*."""

    width: int
    height: float
    left: int
    bars: tuple[Bar, ...]
    lanes: tuple[Lane, ...]
    marks: tuple[Mark, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class _Scale:
    zero_ns: int
    from_ns: int
    span_ns: int
    left: int
    room: float

    def x(self, at_ns: float) -> float:
        """Where *at_ns* is in the drawing."""
        return round(self.left + (at_ns - self.from_ns) / self.span_ns * self.room, 1)


def drawing(steps: pl.DataFrame, packets: pl.DataFrame, sent_ns: int | None, width: int) -> Drawing | None:
    """The steps and packets of one exchange; None where nothing was timed. Times count from *sent_ns*."""
    steps = steps.drop_nulls(["began_ns", "ended_ns"])
    ends = [*steps["began_ns"], *steps["ended_ns"], *packets["arrived_ns"].drop_nulls()]
    if not ends or max(ends) == min(ends):
        return None
    left = 140 if width > 600 else 112
    zero = sent_ns if sent_ns is not None else min(ends)
    scale = _Scale(zero, min(ends), max(ends) - min(ends), left, width - left - (64 if width > 600 else 56))
    bars = tuple(_bars(steps.head(BARS), scale))
    top = HEAD + len(bars) * ROW + GAP
    lanes = tuple(_lanes(packets, scale, top))
    height = top + len(lanes) * LANE + GAP
    marks = tuple(_marks(scale, 4 if width <= 600 else 8))
    return Drawing(width, height, left, bars, lanes, marks, max(0, len(steps) - BARS))


def _bars(steps: pl.DataFrame, scale: _Scale) -> Iterator[Bar]:
    columns = ("step", "began_ns", "ended_ns", "duration_ms")
    for row, (step, began, ended, took) in enumerate(steps.select(columns).iter_rows()):
        x = scale.x(began)
        yield Bar(step, colour(step), x, HEAD + row * ROW, max(1.0, round(scale.x(ended) - x, 1)), ms(took))


def colour(step: str) -> str:
    """The class of a step: what waits is grey, what thinks, calls and answers has a colour of its own."""
    return _COLOURS.get(step.split(" ", 1)[0], "k-wait")


_COLOURS = {
    "answer": "k-answer",
    "narration": "k-narration",
    "plan": "k-narration",
    "reasoning": "k-reasoning",
    "tool": "k-tool",
    "first_packet": "k-first",
    "reply": "k-first",
    "broken": "k-broken",
}


_SORTS = (("text", "k-answer"), ("reasoning", "k-reasoning"), ("tools", "k-tool"), ("other", "k-wait"))


def _sort() -> pl.Expr:
    kind = pl.col("kind").fill_null("")
    return (
        pl.when(kind.str.starts_with("message") | kind.str.contains("plan_delta", literal=True))
        .then(pl.lit("text"))
        .when(kind.str.starts_with("reasoning"))
        .then(pl.lit("reasoning"))
        .when(kind.str.contains("tool|agent|report|python|bash|open_url|image"))
        .then(pl.lit("tools"))
        .otherwise(pl.lit("other"))
    )


def _lanes(packets: pl.DataFrame, scale: _Scale, top: float) -> Iterator[Lane]:
    """A lane for each sort of packets that came. Those that fall on one place of the drawing are one tick."""
    x = (pl.col("arrived_ns") - scale.from_ns) / scale.span_ns * scale.room + scale.left
    timed = packets.filter(pl.col("arrived_ns").is_not_null())
    ticks = timed.select(sort=_sort(), x=x.round(0)).group_by("sort", "x").len().sort("x")
    row = 0
    for name, colour_of in _SORTS:
        own = ticks.filter(pl.col("sort") == name)
        if own.is_empty():
            continue
        points = tuple(Tick(at, count) for at, count in own.select("x", "len").iter_rows())
        yield Lane(name, colour_of, top + row * LANE, points, int(own["len"].sum()))
        row += 1


def _marks(scale: _Scale, most: int) -> Iterator[Mark]:
    """Round times on the scale, counted from the sending."""
    step = _round_step(scale.span_ns / 1e6 / most)
    first = (scale.from_ns - scale.zero_ns) / 1e6
    last = first + scale.span_ns / 1e6
    at = -(-first // step) * step
    while at <= last:
        told = f"{at / 1000 or 0:g} s" if last >= 10_000 else f"{at or 0:g} ms"
        yield Mark(scale.x(scale.zero_ns + at * 1e6), told)
        at = round(at + step, 9)


def _round_step(least: float) -> float:
    """The next of 1, 2, 5, 10 ... that is no less than *least*."""
    size = 10.0 ** (len(f"{least:.0f}") - 1 if least >= 1 else -3)
    while True:
        for one in (1, 2, 5):
            if one * size >= least:
                return one * size
        size *= 10
