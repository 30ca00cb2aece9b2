"""Where the time went, and what the tools did."""

import polars as pl

from harness.compare.arms import Scan
from harness.report.figures.crowd import nearest_rank
from harness.report.figures.times import SERIES, named

BEFORE = ("queue", "retry", "session", "dns", "tcp", "tls", "connect", "send")
"""Steps before the request was written: they are in no total."""
_FIRST = ("first_packet", "plan", "reasoning")
_LAST = ("narration", "other", "reply", "answer", "end", "broken")
_AMONG = len(BEFORE) + len(_FIRST)


def waterfall(scan: Scan) -> pl.DataFrame:
    """Where the time went, a row for each step: `phase`, `variant`, `step`, `mean_ms`, `with_it`, `n`.

    `mean_ms` is over all *n* exchanges of the series that count, those without the step as 0, so that the
    steps after the sending add up to the mean total; `with_it` had the step. Steps are in the order in which
    they come, tools by name. Of models side by side the steps are of all, up to the stop of the last.
    """
    counted = scan("exchanges").filter("counted").select("exchange_id", "trial_id")
    mine = counted.join(named(scan), on="trial_id", how="inner")
    sizes = mine.group_by(*SERIES).agg(n=pl.len())
    of_step = scan("steps").join(mine, on="exchange_id", how="inner").group_by("order", *SERIES, "step")
    summed = of_step.agg(took=pl.col("duration_ms").sum(), with_it=pl.col("exchange_id").n_unique())
    joined = summed.join(sizes, on=SERIES, how="left").with_columns(mean_ms=pl.col("took") / pl.col("n"))
    places = pl.col("step").replace_strict(_PLACES, default=_AMONG, return_dtype=pl.Int64)
    ordered = joined.sort("order", places, "step")
    return ordered.select(*SERIES, "step", "mean_ms", "with_it", "n").collect()


def place(step: str) -> int:
    """Where *step* stands among the others: its turn in a reply, tools between thinking and the answer."""
    return _PLACES.get(step, _AMONG)


_PLACES = {name: at for at, name in enumerate((*BEFORE, *_FIRST))}
_PLACES |= {name: _AMONG + 1 + at for at, name in enumerate(_LAST)}


def tools(scan: Scan) -> pl.DataFrame:
    """What each tool did: a row for each phase, variant and `tool`.

    `calls`, by status `ok`, `error` and `unknown`; `p50_ms`, `p95_ms` and `max_ms` of the `timed` calls that
    were seen to end, null of too few; `share` of the *n* exchanges of the series that called it. All
    exchanges are meant, those that do not count in latencies too. `tool` is null for calls that failed before
    they said what they were.
    """
    sent = scan("exchanges").select("exchange_id", "trial_id").join(named(scan), on="trial_id", how="inner")
    sizes = sent.group_by(*SERIES).agg(n=pl.len())
    took = pl.col("duration_ms")
    statuses = {name: (pl.col("status") == name).sum() for name in ("ok", "error", "unknown")}
    made = (
        scan("tool_calls")
        .join(sent, on="exchange_id", how="inner")
        .group_by("order", *SERIES, tool="name")
        .agg(
            pl.len().alias("calls"),
            **statuses,
            p50_ms=nearest_rank(took, 500),
            p95_ms=nearest_rank(took, 950),
            max_ms=took.max(),
            timed=took.count(),
            callers=pl.col("exchange_id").n_unique(),
        )
        .join(sizes, on=SERIES, how="left")
        .sort("order", "tool", nulls_last=True)
    )
    share = (pl.col("callers") / pl.col("n")).alias("share")
    return made.with_columns(share).drop("order", "callers").collect()
