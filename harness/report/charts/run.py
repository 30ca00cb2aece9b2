"""The charts of one run: each is there where the run has something for it."""

from collections.abc import Iterator

import altair as alt
import polars as pl

from harness.arms import Scan
from harness.record.store import Manifest
from harness.report import figures
from harness.report.charts import lines, rows
from harness.report.charts.course import course
from harness.report.charts.drawing import INK, Chart
from harness.report.charts.lines import Row
from harness.report.charts.series import Series, distinct, series_of
from harness.report.charts.steps import where_time_went
from harness.report.figures.times import Latency

_ROWS = 30
_STATES = {"passed": "c3", "failed": "c2", "error": "bad", "invalid": "odd", "not_run": "warn"}


def of_run(scan: Scan, manifest: Manifest) -> list[Chart]:
    """The charts of the run of *manifest*, in the order in which they are read."""
    series = series_of(scan)
    made = (
        *_results(scan, series),
        *_of_prompts(scan, series),
        *_of_tags(scan, series),
        *_percentiles(scan, series, "ttft_ms", "TTFT"),
        *_distribution(scan, series),
        *_percentiles(scan, series, "total_ms", "total time"),
        *_waiting(scan, series),
        *_percentiles(scan, series, "gap", "gap"),
        *_crowd(scan, series),
        *course(figures.timeline(scan, manifest)),
        *where_time_went(scan, series),
        *_tools(scan, series),
    )
    return list(made)


def _results(scan: Scan, series: Series) -> Iterator[Chart]:
    """What the trials of each series came to."""
    counted = list(series.rows(figures.variants(scan)))
    ends = {row["series"]: _rate(row) for row in counted}
    parts: list[Row] = []
    for row in counted:
        at = 0
        for state in _STATES:
            if row[state]:
                whole = {"row": row["series"], "part": state.replace("_", " "), "text": f"{row[state]:,}"}
                parts.append({**whole, "from": at / row["trials"], "upto": (at + row[state]) / row["trials"]})
                at += row[state]
    colors = {state.replace("_", " "): INK[color] for state, color in _STATES.items()}
    if not parts:
        return
    trials = sum(row["trials"] for row in counted)
    says = (
        f"What {trials:,} trials came to, as shares of those of each variant; the numbers are trials. "
        f"The rate behind each bar is passed / (passed + failed).{series.says}"
    )
    x = alt.X("from:Q", title="share of trials", scale=alt.Scale(domain=[0, 1]), axis=_share())
    yield Chart("results", "Results", says, lambda width: rows.bars(parts, colors, width, x=x, ends=ends))


def _share() -> alt.Axis:
    return alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1])


def _rate(row: Row) -> str:
    rate = row["pass_rate"]
    return "no rate" if rate is None else f"{rate:.0%} of {row['passed'] + row['failed']:,}"


def _of_prompts(scan: Scan, series: Series) -> Iterator[Chart]:
    yield from _rates(figures.by_prompt(scan), "case_id", series, "prompts")


def _of_tags(scan: Scan, series: Series) -> Iterator[Chart]:
    yield from _rates(figures.by_tag(scan), "tag", series, "tags")


def _rates(frame: pl.DataFrame, by: str, series: Series, what: str) -> Iterator[Chart]:
    """Pass rates by prompt or tag, those that pass least first."""
    known = [row for row in series.rows(frame) if row["pass_rate"] is not None]
    if not known:
        return
    worst: dict[str, float] = {}
    for row in known:
        worst[row[by]] = min(worst.get(row[by], 1.0), row["pass_rate"])
    chosen = sorted(worst, key=lambda name: worst[name])[:_ROWS]
    called = dict(zip(chosen, distinct(chosen), strict=True))
    drawn = [
        {
            "row": called[row[by]],
            "series": row["series"],
            "low": row["low"],
            "mid": row["pass_rate"],
            "high": row["high"],
            "text": f"{row['passed']:,} of {row['passed'] + row['failed']:,}",
        }
        for row in known
        if row[by] in called
    ]
    names = [name for name in series.names.values() if any(row["series"] == name for row in drawn)]
    left = len(worst) - len(chosen)
    says = (
        f"The share of trials that passed, of those that passed or failed, with Wilson's 95 % interval, for "
        f"{len(chosen):,} {what}, those that pass least first"
        f"{f'; {left:,} that pass more often are not drawn' if left else ''}.{series.says}"
    )
    x = alt.X("mid:Q", title="pass rate", scale=alt.Scale(domain=[0, 1]), axis=_share())
    order = list(called.values())
    yield Chart(
        what, f"Pass rate by {what[:-1]}", says, lambda width: rows.dots(drawn, order, names, width, x)
    )


def _percentiles(scan: Scan, series: Series, metric: Latency, what: str) -> Iterator[Chart]:
    curve = [row for row in series.rows(figures.quantile_curve(scan, metric)) if row["percent"] > 0]
    if not curve:
        return
    says = (
        f"Percentiles of {_meaning(metric)}, by nearest rank over {_of_what(metric)}. A curve ends at the last "
        f"percentile that its n values are enough for.{series.says}"
    )
    names = list(series.names.values())
    name = f"{metric.removesuffix('_ms').replace('_', '-')}-percentiles"
    title = f"{what[0].upper()}{what[1:]} by percentile"
    yield Chart(name, title, says, lambda width: lines.percentiles(curve, names, width, what))


def _meaning(metric: Latency) -> str:
    told = figures.LATENCIES[metric]
    return told if told.startswith("TTFT") else f"the time {told}"


def _of_what(metric: Latency) -> str:
    return "all gaps of the exchanges that count" if metric == "gap" else "the exchanges that count"


def _distribution(scan: Scan, series: Series) -> Iterator[Chart]:
    steps = list(series.rows(figures.ecdf(scan, "ttft_ms")))
    if not steps:
        return
    says = (
        f"The share of exchanges that count with at most so long a {_meaning('ttft_ms')}."
        f" Steep is even, a long foot to the right is a slow tail.{series.says}"
    )
    names = list(series.names.values())
    draw = lambda width: lines.distribution(steps, names, width, "TTFT")  # noqa: E731  as the others have it
    yield Chart("ttft-distribution", "TTFT, all of it", says, draw)


def _waiting(scan: Scan, series: Series) -> Iterator[Chart]:
    """Service beside response time, of what was due by a schedule."""
    response = list(series.rows(figures.quantile_curve(scan, "response_ttft_ms")))
    if not response:
        return
    open_series = {row["series"] for row in response}
    service = list(series.rows(figures.quantile_curve(scan, "ttft_ms")))
    both = [
        {**row, "series": f"{row['series']}, {kind}"}
        for kind, of in (("response", response), ("service", service))
        for row in of
        if row["series"] in open_series and row["percent"] > 0
    ]
    names = [f"{name}, {kind}" for name in series.names.values() if name in open_series for kind in _KINDS]
    drawn = names[:8]
    kept = [row for row in both if row["series"] in drawn]
    more = len(names) - len(drawn)
    says = (
        "TTFT counted from when a turn was due (response: what a user waits) and from when it was written "
        "(service: what Sigma takes). Where the two part, requests waited on our side."
        f"{f' {more} more lines are not drawn.' if more else ''}{series.says}"
    )
    yield Chart(
        "response-percentiles",
        "Response and service TTFT by percentile",
        says,
        lambda width: lines.percentiles(kept, drawn, width, "TTFT"),
    )


_KINDS = ("response", "service")


def _crowd(scan: Scan, series: Series) -> Iterator[Chart]:
    crowd = figures.by_concurrency(scan)
    variants = list(dict.fromkeys(variant for _, variant in series.names))
    called = dict(zip(variants, distinct(variants), strict=True))
    points = _called(crowd.points, called)
    bins = _called(crowd.bins, called)
    if not points or len({row["in_flight"] for row in points}) < 2:
        return
    sampled = "" if crowd.every == 1 else f"; a dot for each {crowd.every}th, by when it was sent"
    says = (
        f"TTFT of {crowd.n:,} exchanges that count against how many exchanges were in flight when each was "
        f"sent, itself among them{sampled}. Lines are medians of stretches of concurrency, with 2 values at "
        f"least.{series.says}"
    )
    names = [name for name in called.values() if any(row["series"] == name for row in points)]
    title = "TTFT by concurrency"
    yield Chart("concurrency", title, says, lambda width: lines.cloud(points, bins, names, width, "TTFT"))


def _called(frame: pl.DataFrame, called: dict[str, str]) -> list[Row]:
    named = ({**row, "series": called.get(row["variant"])} for row in frame.iter_rows(named=True))
    return [row for row in named if row["series"] is not None]


def _tools(scan: Scan, series: Series) -> Iterator[Chart]:
    used = list(series.rows(figures.tools(scan)))
    most = sorted(used, key=lambda row: -row["calls"])[:_ROWS]
    kept = [row for row in used if row in most and row["p50_ms"] is not None]
    if not kept:
        return
    tools = list(dict.fromkeys(row["tool"] for row in kept))
    called = dict(zip(tools, distinct([tool or "(never said)" for tool in tools]), strict=True))
    of = lines.unit(max(row["max_ms"] for row in kept))
    drawn = [
        {
            "row": called[row["tool"]],
            "series": row["series"],
            "low": None if row["p95_ms"] is None else row["p50_ms"] / of.ms,
            "mid": row["p50_ms"] / of.ms,
            "high": None if row["p95_ms"] is None else row["p95_ms"] / of.ms,
            "text": _calls(row),
        }
        for row in kept
    ]
    names = [name for name in series.names.values() if any(row["series"] == name for row in drawn)]
    left = len(used) - len(kept)
    says = (
        f"The median time of the calls of each tool, with a line up to p95 where there are 20 calls, and how "
        f"many calls there were, over all exchanges"
        f"{f'; {left:,} rows with fewer calls are not drawn' if left else ''}.{series.says}"
    )
    x = alt.X("mid:Q", title=f"time of a call, {of.name}", scale=alt.Scale(zero=True, nice=True))
    order = list(called.values())
    yield Chart("tools", "Tool calls", says, lambda width: rows.dots(drawn, order, names, width, x))


def _calls(row: Row) -> str:
    broken = f", {row['error']:,} failed" if row["error"] else ""
    return f"{row['calls']:,} call{'' if row['calls'] == 1 else 's'}{broken}"
