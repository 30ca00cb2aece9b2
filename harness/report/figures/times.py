"""How long things took: percentile curves and distributions, per phase and variant."""

from fractions import Fraction
from math import ceil
from typing import Literal

import polars as pl

from harness.arms import Scan

Latency = Literal[
    "ttft_ms", "answer_ms", "total_ms", "first_packet_ms", "response_ttft_ms", "response_total_ms", "gap"
]
LATENCIES: dict[Latency, str] = {
    "ttft_ms": "from the request being written to the first packet of answer text",
    "answer_ms": "from the request being written to the first packet of the final answer",
    "total_ms": "from the request being written to the stop",
    "first_packet_ms": "from the request being written to the first packet that is no heartbeat",
    "response_ttft_ms": "from when the turn was due to the first packet of answer text",
    "response_total_ms": "from when the turn was due to the stop",
    "gap": "between two successive packets of a final answer",
}
"""What can be drawn as a distribution, and what it is. ``gap`` has a value for each gap."""

SERIES = ("phase", "variant")

_WHOLE = 100_000
_LEVELS = (
    *(0, 10_000, 20_000, 30_000, 40_000, 50_000, 60_000, 70_000, 75_000, 80_000, 85_000, 90_000, 92_500),
    *(95_000, 97_500, 98_000, 99_000, 99_500, 99_750, 99_900, 99_950, 99_975, 99_990, 99_995, 99_999),
)
_POINTS = 200


def quantile_curve(scan: Scan, metric: Latency) -> pl.DataFrame:
    """Quantiles of *metric*: `phase`, `variant`, `percent`, `value_ms`, `n`, from the least to the tail.

    By nearest rank, as all quantiles here; the curve of a series ends at the last one that its *n* values are
    enough for (`stats.quantiles.least_count`: 20 for 95 %, 100 for 99 %).
    """
    values = _ranked(scan, metric)
    counts = values.group_by(*SERIES, maintain_order=True).agg(n=pl.len().cast(pl.Int64))
    least = [ceil(Fraction(_WHOLE, _WHOLE - level)) for level in _LEVELS]
    percents = [level * 100 / _WHOLE for level in _LEVELS]  # polars divides by a constant otherwise: 50.00…01
    levels = pl.DataFrame({"level": _LEVELS, "percent": percents, "least": least})
    rank = pl.max_horizontal((pl.col("n") * pl.col("level") + _WHOLE - 1) // _WHOLE, 1)
    wanted = counts.join(levels, how="cross").filter(pl.col("n") >= pl.col("least")).with_columns(rank=rank)
    return wanted.join(values, on=[*SERIES, "rank"], how="left", maintain_order="left").select(
        *SERIES, "percent", value_ms="value", n="n"
    )


def ecdf(scan: Scan, metric: Latency) -> pl.DataFrame:
    """Shares of values of at most so much: `phase`, `variant`, `value_ms`, `share`, `n`.

    At most 201 points of each series, its least and its highest value among them; at these the share is
    exact.
    """
    values = _ranked(scan, metric)
    n = pl.len().over(SERIES).cast(pl.Int64)
    step = (n + _POINTS - 1) // _POINTS
    at_most = pl.col("rank").max().over(*SERIES, "value")
    chosen = ((pl.col("rank") - 1) % step == 0) | (pl.col("rank") == n)
    return (
        values.with_columns(n=n, share=at_most / n, chosen=chosen)
        .filter("chosen")
        .unique([*SERIES, "value"], keep="last", maintain_order=True)
        .select(*SERIES, value_ms="value", share="share", n="n")
    )


def _ranked(scan: Scan, metric: Latency) -> pl.DataFrame:
    """The values of each series in order, with their rank from 1; series in the order of the run."""
    of = gaps(scan) if metric == "gap" else _latency(scan, metric)
    joined = of.join(named(scan), on="trial_id", how="inner")
    ranked = joined.select("order", *SERIES, value="value").collect().sort("order", "value")
    return ranked.with_columns(rank=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("order")).drop("order")


def named(scan: Scan) -> pl.LazyFrame:
    """The trials by `trial_id` with their phase and variant, and the `order` in which these came first."""
    trials = scan("trials").select("trial_id", *SERIES)
    order = trials.unique(SERIES, keep="first", maintain_order=True).select(*SERIES).with_row_index("order")
    return trials.join(order, on=SERIES, how="left")


def _latency(scan: Scan, metric: str) -> pl.LazyFrame:
    return scan("exchanges").filter("counted", pl.col(metric).is_not_null()).select("trial_id", value=metric)


def gaps(scan: Scan) -> pl.LazyFrame:
    """Every gap of the exchanges that count, in ms: `trial_id`, `value`.

    A final answer's packets are those with text from its first to its last. Where that makes another number
    of gaps than the exchange has, as of models side by side, the exchange is left out.
    """
    counted = scan("exchanges").filter("counted", pl.col("gaps") > 0)
    whole = counted.select("exchange_id", "trial_id", "first_answer_ns", "last_answer_ns", "gaps")
    text = pl.col("kind").is_in(["message_start", "message_delta"]) & (pl.col("text").str.len_bytes() > 0)
    packets = scan("packets").filter(text).select("exchange_id", "arrived_ns")
    within = pl.col("arrived_ns").is_between("first_answer_ns", "last_answer_ns")
    kept = packets.join(whole, on="exchange_id", how="inner", maintain_order="left").filter(within)
    gap = (pl.col("arrived_ns") - pl.col("arrived_ns").shift(1)) / 1e6
    same = pl.col("exchange_id") == pl.col("exchange_id").shift(1)
    found = kept.with_columns(value=pl.when(same).then(gap)).filter(pl.col("value").is_not_null())
    sound = found.group_by("exchange_id").agg(found=pl.len(), gaps=pl.col("gaps").first())
    sound = sound.filter(pl.col("found") == pl.col("gaps"))
    return found.join(sound, on="exchange_id", how="semi").select("trial_id", "value")
