"""The chart of tool calls."""

from collections.abc import Iterator

from harness.compare.arms import Scan
from harness.report import figures
from harness.report.charts import rows
from harness.report.charts.drawing import Chart
from harness.report.charts.lines import Row, Unit, unit
from harness.report.charts.rows import Across
from harness.report.charts.series import Series, distinct

_ROWS = 30


def tools(scan: Scan, series: Series) -> Iterator[Chart]:
    """How long the calls of each tool took, and how many there were."""
    used = [row for row in series.rows(figures.tools(scan)) if row["p50_ms"] is not None]
    kept = sorted(used, key=lambda row: -row["calls"])[:_ROWS]
    if not kept:
        return
    names = list(dict.fromkeys(row["tool"] for row in kept))
    called = dict(zip(names, distinct([name or "(never said which)" for name in names]), strict=True))
    of = unit(max(row["p95_ms"] or row["p50_ms"] for row in kept))
    drawn = [_dot(row, called[row["tool"]], of) for name in names for row in kept if row["tool"] == name]
    left = len(used) - len(kept)
    more = f" {left:,} rows of fewer calls are not drawn." if left else ""
    says = (
        "The median time of the calls of each tool of which 2 at least were seen to end, with a line up to "
        "the 95th percentile where 20 were, and how many calls there were in all exchanges, those that do "
        f"not count in latencies too.{more}{series.says}"
    )
    slots = series.among(drawn)
    across = Across(f"time of a call, {of.name}")
    yield Chart(
        "tools",
        "Tool calls",
        says,
        lambda width: rows.dots(drawn, slots, across=across, width=width),
    )


def _dot(row: Row, name: str, of: Unit) -> Row:
    tail = row["p95_ms"]
    range_ = {
        "low": None if tail is None else row["p50_ms"] / of.ms,
        "mid": row["p50_ms"] / of.ms,
        "high": None if tail is None else tail / of.ms,
    }
    failed = f", {row['error']:,} failed" if row["error"] else ""
    text = f"{row['calls']:,} call{'' if row['calls'] == 1 else 's'}{failed}"
    return {"row": name, "series": row["series"], "text": text, **range_}
