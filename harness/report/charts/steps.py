"""Where the time went: steps in the same colours everywhere, with the tools that took longest told apart."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.compare.arms import Scan
from harness.report import figures
from harness.report.charts import rows
from harness.report.charts.drawing import INK, Chart
from harness.report.charts.lines import Row, Unit, unit
from harness.report.charts.rows import Across
from harness.report.charts.series import Series, distinct
from harness.report.figures.work import BEFORE, place

_OTHER = "other tools"
_TOOL = "tool "
_COLORS = {
    **dict.fromkeys(BEFORE, "c8"),
    "first_packet": "c7",
    "plan": "c4",
    "reasoning": "c4",
    "narration": "c6",
    "answer": "c1",
    "reply": "c1",
    "other": "ink",
    "end": "ink",
    "broken": "bad",
}
_OF_TOOLS = ("c2", "c5", "c3")
_CALLED = {
    **dict.fromkeys(BEFORE, "before it was sent"),
    "first_packet": "first packet",
    "end": "rest",
    "other": "rest",
    "plan": "reasoning and plan",
    "reasoning": "reasoning and plan",
}


def where_time_went(scan: Scan, series: Series) -> Iterator[Chart]:
    """The mean exchange of each series, step by step."""
    yield from of_spent(list(series.rows(figures.waterfall(scan))), series.says)


def of_spent(spent: Sequence[Row], left_out: str = "") -> Iterator[Chart]:
    """The same, of rows of `series`, `step`, `mean_ms` and `n`."""
    if not any(row["mean_ms"] > 0 for row in spent):
        return
    parts, totals = parts_of(spent), _totals(spent)
    of = unit(max(totals.values()))
    segments = list(_segments(spent, parts, of))
    counts = {row["series"]: row["n"] for row in spent}
    ends = {name: f"{said(totals[name] / of.ms)} {of.name}, n = {n:,}" for name, n in counts.items()}
    says = (
        f"The mean time of each step over {sum(counts.values()):,} exchanges that count, those without a "
        "step as 0: from 0, the sending, the steps add up to the mean total, which stands behind the bar. "
        "What lies to the left was before that. The time up to a packet belongs to the step of that packet."
        f"{left_out}"
    )
    across = Across(f"{of.name} since it was sent")
    yield Chart(
        "steps",
        "Where the time went",
        says,
        lambda width: rows.bars(segments, parts.inks, ends, across=across, width=width),
    )


@dataclass(frozen=True, slots=True)
class Parts:
    """Which part of a bar each step is drawn as, and the colour of each part, in order."""

    names: Mapping[str, str]
    colors: Mapping[str, str]

    @property
    def inks(self) -> dict[str, str]:
        """The colours as charts are drawn with them."""
        return {name: INK[color] for name, color in self.colors.items()}


def parts_of(spent: Sequence[Row]) -> Parts:
    """The parts of *spent*, whose rows have `step` and `mean_ms`: 3 tools at most, the others together."""
    took: dict[str, float] = {}
    for row in spent:
        took[row["step"]] = took.get(row["step"], 0.0) + row["mean_ms"]
    tools = sorted((step for step in took if step.startswith(_TOOL)), key=lambda step: -took[step])
    own = tools if len(tools) <= len(_OF_TOOLS) else tools[: len(_OF_TOOLS) - 1]
    shown = dict(zip(own, distinct([step.removeprefix(_TOOL) for step in own], 24), strict=True))
    names, colors = {}, {}
    for step in sorted(took, key=place):
        if step in tools:
            names[step] = shown.get(step, _OTHER)
        else:
            names[step] = _CALLED.get(step, step if step in _COLORS else "rest")
            colors[names[step]] = _COLORS.get(step, "ink")
    of_tools = dict(zip(dict.fromkeys(names[step] for step in tools), _OF_TOOLS, strict=False))
    before_answer = {name: color for name, color in colors.items() if name in _BEFORE_TOOLS}
    return Parts(names, {**before_answer, **of_tools, **colors})


_BEFORE_TOOLS = ("before it was sent", "first packet", "reasoning and plan")


def _totals(spent: Sequence[Row]) -> dict[str, float]:
    """The mean total of each series: what came after the sending."""
    totals: dict[str, float] = {}
    for row in spent:
        after = 0.0 if row["step"] in BEFORE else row["mean_ms"]
        totals[row["series"]] = totals.get(row["series"], 0.0) + after
    return totals


def _segments(spent: Sequence[Row], parts: Parts, of: Unit) -> Iterator[Row]:
    """The parts of each bar, one after the other; the time before the sending lies left of 0."""
    for name in dict.fromkeys(row["series"] for row in spent):
        mine = [row for row in spent if row["series"] == name]
        at = -sum(row["mean_ms"] for row in mine if row["step"] in BEFORE)
        for part in parts.colors:
            took = sum(row["mean_ms"] for row in mine if parts.names[row["step"]] == part)
            if took > 0:
                yield {
                    "row": name,
                    "part": part,
                    "from": at / of.ms,
                    "upto": (at + took) / of.ms,
                    "text": said(took / of.ms),
                }
            at += took


def said(value: float) -> str:
    """*value* as a number in a chart."""
    return f"{value:,.0f}" if value >= 10 else f"{value:,.1f}"
