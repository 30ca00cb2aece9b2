"""TTFT against how many others were being answered at the time."""

from typing import NamedTuple

import polars as pl

from harness.compare.arms import Scan
from harness.report.figures.times import SERIES, named
from harness.stats.quantiles import least_count

_POINTS, _BINS = 1_000, 12


class Crowd(NamedTuple):
    """TTFT by how many exchanges were in flight.

    *points*: `phase`, `variant`, `in_flight`, `ttft_ms` of the *n* exchanges that count, in the order in
    which they were sent; of many, 1,000 drawn at random, since of variants that take turns each twentieth
    would always be of the same. *bins*, of all: `variant`, `from`, `upto`, `p50_ms`, `p95_ms`, `n`.
    Variants are told apart, as one that is slow is busier, too; phases are not, as they are what the load
    differs by.
    """

    points: pl.DataFrame
    bins: pl.DataFrame
    n: int


def by_concurrency(scan: Scan) -> Crowd:
    """TTFT against how many exchanges were in flight when one was sent, itself among them: 1 is alone.

    In flight is what was written and had not ended, whatever became of it and in whichever phase; TTFT is of
    those that count.
    """
    crowd = _crowded(scan("exchanges"))
    counted = crowd.filter("counted", pl.col("ttft_ms").is_not_null())
    rows = counted.join(named(scan), on="trial_id", how="inner", maintain_order="left").collect()
    drawn = rows.sample(min(len(rows), _POINTS), seed=1).sort("at")
    return Crowd(drawn.select(*SERIES, "in_flight", "ttft_ms"), _bins(rows), len(rows))


def _crowded(exchanges: pl.LazyFrame) -> pl.LazyFrame:
    """Exchanges in the order in which they were sent, with `in_flight`: by one sort of all that happened."""
    columns = ("trial_id", "counted", "ttft_ms")
    sent = exchanges.filter(pl.col("sent_ns").is_not_null())
    sends = sent.select(*columns, at="sent_ns", step=pl.lit(1, pl.Int64))
    none = (pl.lit(None, exchanges.collect_schema()[name]).alias(name) for name in columns)
    ends = sent.filter(pl.col("ended_ns").is_not_null()).select(
        *none, at="ended_ns", step=pl.lit(-1, pl.Int64)
    )
    events = pl.concat([sends, ends]).sort("at", "step", maintain_order=True)
    return events.with_columns(in_flight=pl.col("step").cum_sum()).filter(pl.col("step") == 1)


def _bins(rows: pl.DataFrame) -> pl.DataFrame:
    """Quantiles in stretches of equal width, each of whole numbers."""
    most = rows.select(pl.col("in_flight").max()).item() or 0
    width = max(1, -(-most // _BINS))
    low = (pl.col("in_flight") - 1) // width * width + 1
    grouped = rows.with_columns(low=low).group_by("variant", "low")
    levels = (nearest_rank(pl.col("ttft_ms"), level).alias(f"p{level // 10}_ms") for level in (500, 950))
    made = grouped.agg(*levels, n=pl.len(), order=pl.col("order").min()).sort("order", "low")
    upto = pl.min_horizontal(pl.col("low") + width - 1, most)
    return made.select("variant", pl.col("low").alias("from"), upto.alias("upto"), "p50_ms", "p95_ms", "n")


def nearest_rank(values: pl.Expr, per_mille: int) -> pl.Expr:
    """The quantile of *values* in a group, null of too few of them (`stats.quantiles.quantile`)."""
    known = values.drop_nulls().sort()
    rank = (known.len().cast(pl.Int64) * per_mille + 999) // 1000 - 1
    return pl.when(known.len() >= least_count(per_mille)).then(known.get(rank, null_on_oob=True))
