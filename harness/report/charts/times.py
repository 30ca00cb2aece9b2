"""Charts of how long things took."""

from collections.abc import Iterator

import polars as pl

from harness.compare.arms import Scan
from harness.report import figures
from harness.report.charts import lines
from harness.report.charts.drawing import Chart
from harness.report.charts.lines import Row
from harness.report.charts.series import MOST, Series
from harness.report.figures import Latency

_SHORT: dict[Latency, str] = {"ttft_ms": "TTFT", "total_ms": "total time", "gap": "gap"}


def percentiles(scan: Scan, series: Series, metric: Latency) -> Iterator[Chart]:
    """Percentiles of *metric* on the scale of HdrHistogram's plots."""
    yield from of_curve(list(series.rows(figures.quantile_curve(scan, metric))), series, metric)


def of_curve(curve: list[Row], series: Series, metric: Latency) -> Iterator[Chart]:
    """The same, of a *curve* that is already there."""
    if not curve:
        return
    over = "all gaps of the exchanges that count" if metric == "gap" else "the exchanges that count"
    at_once = " Packets that came in one read have a gap of 0." if metric == "gap" else ""
    says = (
        f"Percentiles of {meaning(metric)}, by nearest rank over {over}. A curve ends at the last "
        f"percentile that its n values are enough for.{at_once}{series.says}"
    )
    what, slots = _SHORT[metric], series.among(curve)
    name = f"{metric.removesuffix('_ms')}-percentiles"
    title = f"{what[0].upper()}{what[1:]} by percentile"
    yield Chart(name, title, says, lambda width: lines.percentiles(curve, slots, width, what))


def meaning(metric: Latency) -> str:
    """What *metric* is, as a part of a sentence."""
    short, told = _SHORT[metric], figures.LATENCIES[metric]
    return f"the {short} ({told})"


def distribution(scan: Scan, series: Series) -> Iterator[Chart]:
    """The whole distribution of TTFT."""
    steps = list(series.rows(figures.ecdf(scan, "ttft_ms")))
    if not steps:
        return
    says = (
        f"The share of the exchanges that count with {meaning('ttft_ms')} of at most so long. A steep line "
        f"is an even one; a long way to the right at the top is a slow tail.{series.says}"
    )
    slots = series.among(steps)
    yield Chart(
        "ttft-distribution",
        "TTFT, its distribution",
        says,
        lambda width: lines.distribution(steps, slots, width, "TTFT"),
    )


def waiting(scan: Scan, series: Series) -> Iterator[Chart]:
    """Response beside service time, of what was due by a schedule."""
    response = list(series.rows(figures.quantile_curve(scan, "response_ttft_ms")))
    due = {row["series"] for row in response}
    service = [row for row in series.rows(figures.quantile_curve(scan, "ttft_ms")) if row["series"] in due]
    names = [f"{name}, {kind}" for name in series.among(response) for kind in ("response", "service")]
    both = [*_as(response, "response"), *_as(service, "service")]
    slots = {name: at for at, name in enumerate(names[:MOST])}
    drawn = [row for row in both if row["series"] in slots]
    if not drawn:
        return
    more = f" {len(names) - MOST} more lines are not drawn." if len(names) > MOST else ""
    says = (
        "TTFT counted from when a turn was due (response: what a user waits) and from when it was written "
        "(service: what Sigma takes), of the exchanges that count. Where the two part, turns waited on our "
        f"side before they went out.{more}{series.says}"
    )
    yield Chart(
        "response-percentiles",
        "Response and service TTFT by percentile",
        says,
        lambda width: lines.percentiles(drawn, slots, width, "TTFT"),
    )


def _as(curve: list[Row], kind: str) -> Iterator[Row]:
    return ({**row, "series": f"{row['series']}, {kind}"} for row in curve)


def crowd(scan: Scan, series: Series) -> Iterator[Chart]:
    """TTFT against concurrency, where that was not the same throughout."""
    found = figures.by_concurrency(scan)
    if found.points["in_flight"].n_unique() < 2:
        return
    called = series.variants
    points, medians = _of(found.points, called), _of(found.bins, called)
    some = len(found.points)
    sampled = "" if some == found.n else f", a dot for {some:,} of them drawn at random"
    says = (
        f"TTFT of {found.n:,} exchanges that count{sampled}, against how many exchanges were in flight when "
        "each was sent, itself among them. Lines are medians over stretches of concurrency, of 2 values at "
        f"least, in all phases.{series.says}"
    )
    slots = series.variants_among(points)
    if points:
        yield Chart(
            "concurrency",
            "TTFT by concurrency",
            says,
            lambda width: lines.cloud(points, medians, slots, width),
        )


def _of(frame: pl.DataFrame, called: dict[str, str]) -> list[Row]:
    drawn = (row for row in frame.iter_rows(named=True) if row["variant"] in called)
    return [{**row, "series": called[row["variant"]]} for row in drawn]
