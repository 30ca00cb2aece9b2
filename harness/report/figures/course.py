"""The course of a run: what happened in each of its seconds."""

from typing import NamedTuple

import polars as pl

from harness.compare.arms import Scan
from harness.record.store import Manifest
from harness.report.figures.crowd import nearest_rank

_BINS = 300
_WIDTHS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)


class Course(NamedTuple):
    """A run in stretches of *width_s* seconds since its start.

    *bins*: `at_s` (where a stretch begins), `in_flight` (trials under way, the mean over the stretch), `due`,
    `began` and `ended` (trials). `due` is null outside of phases in which trials fall due. *ttft*: `at_s`,
    `variant`, `p50_ms` of the *n* counted exchanges that were sent in it, null of fewer than 2. *faults*:
    `at_s`, `fault`, `count` of exchanges that broke in it, retries too. *phases*: `phase`, `began_s`,
    `ended_s`.
    """

    width_s: int
    bins: pl.DataFrame
    ttft: pl.DataFrame
    faults: pl.DataFrame
    phases: pl.DataFrame


def timeline(scan: Scan, manifest: Manifest) -> Course:
    """The course of the run of *manifest*, in at most 300 stretches.

    The last stretch is as wide as the others, though the run may end within it: `in_flight` times the width,
    summed, is what all trials took together.
    """
    start = manifest.started_ns
    trials = _trials(scan, start)
    exchanges = _exchanges(scan, start)
    last = [frame.select(pl.col("ended").max()).item() for frame in (trials, exchanges)]
    span = max(0.0, *(each or 0.0 for each in last))
    width = next((width for width in _WIDTHS if span <= width * _BINS), int(span // _BINS) + 1)
    count = int(span // width) + 1 if len(trials) else 0
    bins = pl.DataFrame({"bin": range(count)}, schema={"bin": pl.Int64})
    for name in ("due", "began", "ended"):
        bins = bins.join(_count(trials[name], width, name), on="bin", how="left", maintain_order="left")
    due = pl.when(_is_open(trials, width)).then(pl.col("due").fill_null(0)).alias("due")
    counts = bins.with_columns(due, pl.col("began", "ended").fill_null(0))
    made = counts.with_columns(in_flight=_in_flight(trials, width, count), at_s=pl.col("bin") * width)
    whole = made.select("at_s", "in_flight", "due", "began", "ended")
    return Course(width, whole, _ttft(exchanges, width), _faults(exchanges, width), _phases(trials))


def _is_open(trials: pl.DataFrame, width: int) -> pl.Expr:
    """Whether a stretch lies within a phase in which trials fall due."""
    due = trials.filter(pl.col("due").is_not_null()).group_by("phase")
    spans = due.agg(first=pl.col("due").min() // width, last=pl.col("due").max() // width)
    within = (pl.col("bin").is_between(first, last) for first, last in spans.select("first", "last").rows())
    return pl.any_horizontal(pl.lit(value=False), *within)


def _trials(scan: Scan, start: int) -> pl.DataFrame:
    """Trials that were due or sent, with their stamps in seconds since *start*."""
    seconds = ((pl.col(f"{name}_ns") - start) / 1e9 for name in ("due", "began", "ended"))
    named = (each.alias(name) for each, name in zip(seconds, ("due", "began", "ended"), strict=True))
    happened = pl.col("due_ns").is_not_null() | pl.col("began_ns").is_not_null()
    return scan("trials").filter(happened).select("phase", *named).collect()


def _exchanges(scan: Scan, start: int) -> pl.DataFrame:
    sent, ended = ((pl.col(f"{name}_ns") - start) / 1e9 for name in ("sent", "ended"))
    ttft = pl.when("counted").then("ttft_ms").alias("ttft_ms")
    variants = scan("trials").select("trial_id", "variant")
    sent_by = scan("exchanges").join(variants, on="trial_id", how="left", maintain_order="left")
    return sent_by.select("variant", "fault", ttft, sent=sent, ended=ended).collect()


def _count(seconds: pl.Series, width: int, name: str) -> pl.DataFrame:
    at = (seconds.drop_nulls() // width).cast(pl.Int64).alias("bin")
    return at.to_frame().group_by("bin").agg(pl.len().cast(pl.Int64).alias(name))


def _ttft(exchanges: pl.DataFrame, width: int) -> pl.DataFrame:
    known = exchanges.filter(pl.col("ttft_ms").is_not_null(), pl.col("sent").is_not_null())
    at = (pl.col("sent") // width).cast(pl.Int64) * width
    median = nearest_rank(pl.col("ttft_ms"), 500)
    return known.group_by("variant", at_s=at).agg(p50_ms=median, n=pl.len()).sort("variant", "at_s")


def _in_flight(trials: pl.DataFrame, width: int, count: int) -> pl.Series:
    """The mean number of trials under way in each stretch, from the area beneath it up to each edge.

    Up to t that is what has begun by then, t - began of each, less what has ended, t - ended of each.
    """
    sent = trials.filter(pl.col("began").is_not_null(), pl.col("ended").is_not_null())
    edges = pl.DataFrame({"at": [float(edge * width) for edge in range(count + 1)]})
    area = _area(sent["began"], edges) - _area(sent["ended"], edges)
    return (area.diff().slice(1) / width).alias("in_flight")


def _area(stamps: pl.Series, edges: pl.DataFrame) -> pl.Series:
    ordered = stamps.sort().alias("at").to_frame()
    sums = ordered.with_columns(count=pl.int_range(1, pl.len() + 1), total=pl.col("at").cum_sum())
    upto = edges.join_asof(sums, on="at").with_columns(pl.col("count", "total").fill_null(0))
    return upto["at"] * upto["count"] - upto["total"]


def _faults(exchanges: pl.DataFrame, width: int) -> pl.DataFrame:
    broke = exchanges.filter(pl.col("fault").is_not_null(), pl.col("ended").is_not_null())
    at = (pl.col("ended") // width).cast(pl.Int64) * width
    return (
        broke.group_by("fault", at_s=at)
        .agg(count=pl.len())
        .sort("at_s", "fault")
        .select("at_s", "fault", "count")
    )


def _phases(trials: pl.DataFrame) -> pl.DataFrame:
    began = pl.min_horizontal("due", "began").min()
    made = trials.group_by("phase", maintain_order=True).agg(began_s=began, ended_s=pl.col("ended").max())
    return made.filter(pl.col("ended_s").is_not_null()).sort("began_s")
