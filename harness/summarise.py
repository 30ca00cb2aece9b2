"""Tables -> figures per variant, each with its count.

A quantile is nearest rank over the exchanges that count (whole, first attempt,
not failed, of a trial that is not invalid); with too few of them it is None, never the highest value under a
grander name. Rates are over passed + failed; the other states are counted
beside them.
"""

from collections.abc import Iterable, Mapping

import polars as pl
from msgspec import Struct

from harness.grade.states import State
from harness.stats.quantiles import quantile


class Figure(Struct, frozen=True):
    """A quantile and the number of values behind it; None where there are too few."""

    value: float | None
    n: int


class Row(Struct, frozen=True, kw_only=True):
    """The figures of one variant in one phase. Times in ms; rates in estimated o200k tokens per second."""

    variant: str
    phase: str
    trials: int
    passed: int
    failed: int
    error: int
    invalid: int
    not_run: int
    pass_rate: float | None
    ttft_p50_ms: Figure
    ttft_p95_ms: Figure
    total_p50_ms: Figure
    tokens_per_s_p50: Figure
    tool_calls: int
    tool_errors: int
    retried: int


class Summary(Struct, frozen=True):
    """The rows of a run, in the order of the suite, and what a reader should know beside them."""

    rows: tuple[Row, ...]
    faults: dict[str, int]
    stamps: dict[str, int]
    merged_share: Figure
    unknown_kinds: int

    def count(self, state: State) -> int:
        """How many trials are in *state*."""
        return sum(getattr(row, state) for row in self.rows)


def summarise(frames: Mapping[str, pl.DataFrame], variants: Iterable[str]) -> Summary:
    """The summary of a run's tables; *variants* gives the order of the rows."""
    trials, exchanges = frames["trials"], frames["exchanges"]
    sent = exchanges.join(trials.select("trial_id", "variant", "phase"), on="trial_id")
    calls = frames["tool_calls"].join(sent.select("exchange_id", "variant", "phase"), on="exchange_id")
    phases = trials["phase"].unique(maintain_order=True).to_list()
    rows = [
        _row(variant, phase, {"trials": trials, "sent": sent, "calls": calls})
        for phase in phases
        for variant in variants
    ]
    reads = int(exchanges["reads"].sum())
    merged = int(exchanges["merged_reads"].sum())
    return Summary(
        rows=tuple(row for row in rows if row.trials),
        faults=_counts(exchanges["fault"]),
        stamps=_counts(exchanges.filter(pl.col("reads") > 0)["stamps"]),  # what never came has none
        merged_share=Figure(merged / reads if reads else None, reads),
        unknown_kinds=int(exchanges["unknown_packets"].sum()),
    )


def _row(variant: str, phase: str, frames: Mapping[str, pl.DataFrame]) -> Row:
    here = (pl.col("variant") == variant) & (pl.col("phase") == phase)
    trials, sent, calls = (frames[name].filter(here) for name in ("trials", "sent", "calls"))
    states = _counts(trials["state"])
    counts = {state: states.get(state, 0) for state in State}
    judged = counts[State.PASSED] + counts[State.FAILED]
    whole = sent.filter("counted")
    return Row(
        variant=variant,
        phase=phase,
        trials=len(trials),
        **counts,
        pass_rate=counts[State.PASSED] / judged if judged else None,
        ttft_p50_ms=_figure(whole["ttft_ms"], 500),
        ttft_p95_ms=_figure(whole["ttft_ms"], 950),
        total_p50_ms=_figure(whole["total_ms"], 500),
        tokens_per_s_p50=_figure(whole["tokens_per_s"], 500),
        tool_calls=len(calls),
        tool_errors=int((calls["status"] == "error").sum()),
        retried=int((sent["attempt"] > 1).sum()),
    )


def _figure(values: pl.Series, per_mille: int) -> Figure:
    known = values.drop_nulls().to_list()
    return Figure(quantile(known, per_mille), len(known))


def _counts(values: pl.Series) -> dict[str, int]:
    known = values.drop_nulls()
    return dict(known.value_counts(sort=True).iter_rows())
