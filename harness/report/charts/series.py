"""What is told apart in a chart: names with a colour, a dash and a shape each."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import altair as alt
import polars as pl

from harness.compare.arms import Scan
from harness.report.charts.drawing import BROADER, INK, NARROW
from harness.report.visible import shortened

MOST = 8
COLORS = tuple(INK[f"c{at}"] for at in range(1, MOST + 1))
DASHES = ([1, 0], [7, 3], [2, 3], [9, 3, 2, 3], [5, 2], [1, 2], [12, 4], [4, 2, 1, 2, 1, 2])
SHAPES = (
    "circle",
    "square",
    "triangle-up",
    "diamond",
    "cross",
    "triangle-down",
    "triangle-right",
    "triangle-left",
)
_LONGEST = 34

Key = tuple[str, str]
"""A phase and a variant."""
Slots: TypeAlias = Mapping[str, int]
"""Which of the 8 colours, dashes and shapes each series has, by what it is called, in order."""


@dataclass(frozen=True, slots=True)
class Series:
    """The phases and variants of a run that are drawn, in their order, by what they are called.

    At most 8, and *says* begins with a space and tells of the others, if there are any.
    """

    names: Mapping[Key, str]
    says: str = ""

    def rows(self, frame: pl.DataFrame) -> Iterator[dict[str, Any]]:
        """The rows of *frame* that are drawn, each with the `series` that it belongs to."""
        for row in frame.iter_rows(named=True):
            name = self.names.get((row["phase"], row["variant"]))
            if name is not None:
                yield {**row, "series": name}

    def among(self, rows: Sequence[Mapping[str, Any]]) -> Slots:
        """The series of *rows*, in order, with the slot of each: its colour is the same in every chart."""
        found = {row["series"] for row in rows}
        return {name: at for at, name in enumerate(self.names.values()) if name in found}

    @property
    def variants(self) -> dict[str, str]:
        """The variants, whatever the phase, by what they are called."""
        known = list(dict.fromkeys(variant for _, variant in self.names))
        return dict(zip(known, distinct(known), strict=True))

    def variants_among(self, rows: Sequence[Mapping[str, Any]]) -> Slots:
        """As `among`, of rows whose series are variants: a variant has the slot of its first series."""
        found = {row["series"] for row in rows}
        slots: dict[str, int] = {}
        for at, (_, variant) in enumerate(self.names):
            slots.setdefault(self.variants[variant], at)
        return {name: at for name, at in slots.items() if name in found}


def series_of(scan: Scan) -> Series:
    """The series of a run; the phase is in a name only where there are several phases."""
    found = scan("trials").group_by("phase", "variant", maintain_order=True).len().collect()
    most = set(
        found.sort("len", descending=True, maintain_order=True)
        .head(MOST)
        .select("phase", "variant")
        .iter_rows()
    )
    several = found["phase"].n_unique() > 1
    keys = [key for key in found.select("phase", "variant").iter_rows() if key in most]
    called = distinct(f"{variant} · {phase}" if several else variant for phase, variant in keys)
    left = len(found) - len(keys)
    says = f" The {MOST} with most trials are drawn; {left:,} more are not." if left else ""
    return Series(dict(zip(keys, called, strict=True)), says)


def distinct(names: Iterator[str] | Sequence[str], longest: int = _LONGEST) -> list[str]:
    """*names* as they are shown: nothing hidden, cut, and still all different."""
    shown: list[str] = []
    for name in names:
        short = shortened(name, longest) or "(no name)"
        same = sum(each == short or each.startswith(f"{short} ~") for each in shown)
        shown.append(f"{short} ~{same + 1}" if same else short)
    return shown


def legend(width: int, names: Sequence[str], *, offset: int = 26) -> alt.Legend:
    """A legend of *names* above a wide chart, *offset* for the title of its axis, or beneath a narrow one."""
    if width < NARROW:
        return alt.Legend(title=None, orient="bottom", columns=1, labelLimit=(width - 80) * BROADER)
    broad = max((len(name) for name in names), default=1) * 7.2 + 60
    columns = max(1, min(len(names), int(width / broad)))
    return alt.Legend(title=None, orient="top", direction="horizontal", columns=columns, offset=offset)


def rows_of(rows: Sequence[dict[str, Any]]) -> alt.Chart:
    """A chart of *rows*, with nothing said yet of how it looks."""
    return alt.Chart(alt.InlineData(values=list(rows)))


def told_apart(slots: Slots, width: int, labels: Mapping[str, str]) -> dict[str, Any]:
    """Encodings by the field `label`: the colour and dash of each series, called as *labels* says."""
    shown = [labels.get(name, name) for name in slots]
    told = legend(width, shown)
    told.symbolType = "stroke"
    color = alt.Scale(domain=shown, range=[COLORS[at] for at in slots.values()])
    dash = alt.Scale(domain=shown, range=[DASHES[at] for at in slots.values()])
    return {
        "color": alt.Color("label:N", scale=color, legend=told),
        "strokeDash": alt.StrokeDash("label:N", scale=dash, legend=told),
    }


def with_n(rows: Sequence[Mapping[str, Any]], n: Callable[[Mapping[str, Any]], int]) -> dict[str, str]:
    """What each series of *rows* is called with its count: steady (n = 60)."""
    counts = {row["series"]: n(row) for row in rows}
    return {name: f"{name} (n = {count:,})" for name, count in counts.items()}
