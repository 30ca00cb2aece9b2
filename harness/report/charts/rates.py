"""Charts of what trials came to: in all, by prompt and by tag."""

from collections.abc import Iterator, Sequence

import polars as pl

from harness.compare.arms import Scan
from harness.report import figures
from harness.report.charts import rows
from harness.report.charts.drawing import INK, Chart
from harness.report.charts.lines import Row
from harness.report.charts.rows import Across
from harness.report.charts.series import Series, distinct

_STATES = {"passed": "c3", "failed": "c2", "error": "bad", "invalid": "odd", "not_run": "warn"}
_ROWS, _LINES = 30, 60
RATE = Across("pass rate", high=1.0, is_share=True)


def results(scan: Scan, series: Series) -> Iterator[Chart]:
    """What the trials of each series came to."""
    counted = list(series.rows(figures.variants(scan)))
    if not counted:
        return
    segments = [segment for row in counted for segment in _states(row)]
    colors = {_called(state): INK[color] for state, color in _STATES.items()}
    ends = {row["series"]: _rate(row) for row in counted}
    trials = sum(row["trials"] for row in counted)
    says = (
        f"What {trials:,} trials came to, as shares of those of each variant; the numbers are trials. "
        f"The rate behind each bar is passed / (passed + failed).{series.says}"
    )
    across = Across("share of trials", is_share=True)
    yield Chart(
        "results",
        "Results",
        says,
        lambda width: rows.bars(segments, colors, ends, across=across, width=width),
    )


def _states(row: Row) -> Iterator[Row]:
    """The segments of one bar."""
    at = 0
    for state in _STATES:
        upto = at + row[state]
        if row[state]:
            share = {"from": at / row["trials"], "upto": upto / row["trials"]}
            yield {"row": row["series"], "part": _called(state), "text": f"{row[state]:,}", **share}
        at = upto


def _called(state: str) -> str:
    return state.replace("_", " ")


def _rate(row: Row) -> str:
    rate = row["pass_rate"]
    return "no rate" if rate is None else f"{rate:.0%} of {row['passed'] + row['failed']:,}"


def of_prompts(scan: Scan, series: Series) -> Iterator[Chart]:
    """Pass rates by prompt."""
    sure = "with Wilson's 95 % interval for asking the same again"
    yield from _rates(figures.by_prompt(scan), "case_id", series, ("prompt", sure))


def of_tags(scan: Scan, series: Series) -> Iterator[Chart]:
    """Pass rates by tag."""
    sure = "with Wilson's 95 % interval at what the repeats of those prompts are worth together"
    yield from _rates(figures.by_tag(scan), "tag", series, ("tag", sure))


def _rates(frame: pl.DataFrame, by: str, series: Series, what: tuple[str, str]) -> Iterator[Chart]:
    """Pass rates, those that pass least first; *what* is a row, and how sure it is."""
    known = [row for row in series.rows(frame) if row["pass_rate"] is not None]
    if not known:
        return
    chosen = _least(known, by)[: max(8, _LINES // len(series.among(known)))]
    called = dict(zip(chosen, distinct(chosen), strict=True))
    drawn = [_dot(row, called[row[by]]) for name in chosen for row in known if row[by] == name]
    slots = series.among(drawn)
    left = len({row[by] for row in known}) - len(chosen)
    one, sure = what
    more = f"; {left:,} that pass more often are not drawn" if left else ""
    says = (
        f"The share of trials that passed, of those that passed or failed, {sure}: {len(chosen):,} {one}s, "
        f"those that pass least first{more}.{series.says}"
    )
    draw = lambda width: rows.dots(drawn, slots, across=RATE, width=width)  # noqa: E731  a chart draws itself
    yield Chart(f"{one}s", f"Pass rate by {one}", says, draw)


def _least(known: Sequence[Row], by: str) -> list[str]:
    """The names of the rows that pass least under any variant."""
    least: dict[str, float] = {}
    for row in known:
        least[row[by]] = min(least.get(row[by], 1.0), row["pass_rate"])
    return sorted(least, key=lambda name: least[name])[:_ROWS]


def _dot(row: Row, name: str) -> Row:
    judged = row["passed"] + row["failed"]
    range_ = {"low": row["low"], "mid": row["pass_rate"], "high": row["high"]}
    return {"row": name, "series": row["series"], "text": f"{row['passed']:,} of {judged:,}", **range_}
