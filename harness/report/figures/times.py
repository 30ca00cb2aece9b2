"""How long things took: percentile curves and distributions, per phase and variant."""

from collections.abc import Iterator
from fractions import Fraction
from math import ceil
from typing import Literal

import polars as pl

from harness.compare.arms import Scan

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
    rows: list[tuple[object, ...]] = []
    for key, ordered in _ordered(scan, metric):
        n = len(ordered)
        levels = [level for level in _LEVELS if n >= ceil(Fraction(_WHOLE, _WHOLE - level))]
        found = ordered.gather([max(0, ceil(Fraction(n * level, _WHOLE)) - 1) for level in levels])
        rows += [(*key, level * 100 / _WHOLE, value, n) for level, value in zip(levels, found, strict=True)]
    return pl.DataFrame(rows, schema={**_KEYS, "percent": pl.Float64, **_VALUE, "n": pl.Int64}, orient="row")


def ecdf(scan: Scan, metric: Latency) -> pl.DataFrame:
    """Shares of values of at most so much: `phase`, `variant`, `value_ms`, `share`, `n`.

    At most 201 points of each series, its least and its highest value among them; at these the share is
    exact.
    """
    rows: list[tuple[object, ...]] = []
    for key, ordered in _ordered(scan, metric):
        n = len(ordered)
        chosen = ordered.gather([*range(0, n, -(-n // _POINTS)), n - 1]).unique(maintain_order=True)
        upto = ordered.search_sorted(chosen, side="right")
        rows += [(*key, value, at / n, n) for value, at in zip(chosen, upto, strict=True)]
    return pl.DataFrame(rows, schema={**_KEYS, **_VALUE, "share": pl.Float64, "n": pl.Int64}, orient="row")


_KEYS = dict.fromkeys(SERIES, pl.String)
_VALUE = {"value_ms": pl.Float64}


def _ordered(scan: Scan, metric: Latency) -> Iterator[tuple[tuple[str, str], pl.Series]]:
    """The values of each series in order, by phase and variant; series in the order of the run."""
    values = gaps(scan) if metric == "gap" else _latency(scan, metric)
    named_as = named(scan).select("order", *SERIES).unique("order").collect()
    names = {order: (phase, variant) for order, phase, variant in named_as.iter_rows()}
    parts = values.partition_by("order", as_dict=True)
    for (order,), part in sorted(parts.items()):
        yield names[order], part["value"].sort()


def named(scan: Scan) -> pl.LazyFrame:
    """The trials by `trial_id` with their phase and variant, and the `order` in which these came first."""
    trials = scan("trials").select("trial_id", *SERIES)
    order = trials.unique(SERIES, keep="first", maintain_order=True).select(*SERIES).with_row_index("order")
    return trials.join(order, on=SERIES, how="left")


def _latency(scan: Scan, metric: str) -> pl.DataFrame:
    known = scan("exchanges").filter("counted", pl.col(metric).is_not_null()).select("trial_id", value=metric)
    return known.join(named(scan), on="trial_id", how="inner").select("order", "value").collect()


def gaps(scan: Scan) -> pl.DataFrame:
    """Every gap of the exchanges that count, in ms: `order` of the series, and `value`.

    A final answer's packets are those with text from its first to its last. Where that makes another number
    of gaps than the exchange has, as of models side by side, the exchange is left out.

    Packets of an exchange stand together, so they are looked up by the run of rows that they are in: millions
    of ids are dear to join.
    """
    columns = ("first_answer_ns", "last_answer_ns", "gaps")
    counted = scan("exchanges").filter("counted", pl.col("gaps") > 0)
    whole = counted.select("exchange_id", "trial_id", *columns).join(named(scan), on="trial_id", how="inner")
    text = pl.col("kind").is_in(["message_start", "message_delta"]) & (pl.col("text").str.len_bytes() > 0)
    packets = scan("packets").filter(text).select("exchange_id", "arrived_ns").collect()
    of = packets["exchange_id"].rle_id()
    heads = packets.lazy().select("exchange_id").filter(of != of.shift(1).fill_null(of.len()))
    runs = heads.join(whole, on="exchange_id", how="left", maintain_order="left").collect()
    first, last = (runs[name].gather(of) for name in columns[:2])
    kept = packets.select(pl.col("arrived_ns"), of.alias("of")).filter(
        pl.col("arrived_ns").is_between(first, last)
    )
    return _between(kept, runs)


def _between(kept: pl.DataFrame, runs: pl.DataFrame) -> pl.DataFrame:
    """The gaps between the rows of each run, where there are as many as there should be."""
    sizes = kept.group_by("of").agg(found=pl.len() - 1)
    told = runs.select("order", "gaps", of=pl.int_range(pl.len(), dtype=pl.UInt32))
    sound = told.join(sizes, on="of", how="inner").filter(pl.col("found") == pl.col("gaps"))
    gap = (pl.col("arrived_ns") - pl.col("arrived_ns").shift(1)) / 1e6
    inside = kept.select("of", value=gap).filter(kept["of"] == kept["of"].shift(1))
    return inside.join(sound.select("of", "order"), on="of", how="inner").select("order", "value")
