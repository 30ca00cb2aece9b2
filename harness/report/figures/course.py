"""The course of a run: what happened in each of its seconds."""

from typing import NamedTuple

import polars as pl

from harness.arms import Scan
from harness.record.store import Manifest
from harness.report.figures.crowd import nearest_rank

_BINS = 300
_WIDTHS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)


class Course(NamedTuple):
    """A run in stretches of *width_s* seconds since its start.

    *bins*: `at_s` (where a stretch begins), `in_flight` (trials under way, the mean over the stretch), `due`,
    `began` and `ended` (trials), `ttft_p50_ms` of the `ttft_n` counted exchanges that were sent in it, null
    of fewer than 2. `due` is null throughout where nothing was ever due. *faults*: `at_s`, `fault`, `count`
    of exchanges that broke in it, retries too. *phases*: `phase`, `began_s`, `ended_s`.
    """

    width_s: int
    bins: pl.DataFrame
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
    never = trials["due"].null_count() == len(trials)
    counts = (pl.lit(None).alias("due") if never else pl.col("due").fill_null(0), "began", "ended")
    bins = bins.with_columns(pl.col("began", "ended").fill_null(0)).with_columns(*counts)
    bins = bins.join(_ttft(exchanges, width), on="bin", how="left", maintain_order="left")
    bins = bins.with_columns(pl.col("ttft_n").fill_null(0), in_flight=_in_flight(trials, width, count))
    made = bins.select(pl.col("bin") * width, "in_flight", *_REST).rename({"bin": "at_s"})
    return Course(width, made, _faults(exchanges, width), _phases(trials))


_REST = ("due", "began", "ended", "ttft_p50_ms", "ttft_n")


def _trials(scan: Scan, start: int) -> pl.DataFrame:
    """Trials that were due or sent, with their stamps in seconds since *start*."""
    seconds = ((pl.col(f"{name}_ns") - start) / 1e9 for name in ("due", "began", "ended"))
    named = (each.alias(name) for each, name in zip(seconds, ("due", "began", "ended"), strict=True))
    happened = pl.col("due_ns").is_not_null() | pl.col("began_ns").is_not_null()
    return scan("trials").filter(happened).select("phase", *named).collect()


def _exchanges(scan: Scan, start: int) -> pl.DataFrame:
    sent, ended = ((pl.col(f"{name}_ns") - start) / 1e9 for name in ("sent", "ended"))
    ttft = pl.when("counted").then("ttft_ms").alias("ttft_ms")
    return scan("exchanges").select("fault", ttft, sent=sent, ended=ended).collect()


def _count(seconds: pl.Series, width: int, name: str) -> pl.DataFrame:
    at = (seconds.drop_nulls() // width).cast(pl.Int64).alias("bin")
    return at.to_frame().group_by("bin").agg(pl.len().cast(pl.Int64).alias(name))


def _ttft(exchanges: pl.DataFrame, width: int) -> pl.DataFrame:
    known = exchanges.filter(pl.col("ttft_ms").is_not_null(), pl.col("sent").is_not_null())
    binned = known.with_columns(bin=(pl.col("sent") // width).cast(pl.Int64))
    return binned.group_by("bin").agg(ttft_p50_ms=nearest_rank(pl.col("ttft_ms"), 500), ttft_n=pl.len())


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
