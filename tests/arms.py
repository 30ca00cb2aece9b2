"""Runs made up: the tables of a run, from what its trials came to, for whatever compares and rules."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from harness.compare.arms import Arm, Source
from harness.record.tables import SCHEMAS

Came = Mapping[str, Sequence[str]]
"""For each prompt the states of its repeats."""


def table(name: str, rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """A table with all its columns; what a row does not have is null."""
    schema = SCHEMAS[name]
    whole = [{column: row.get(column) for column in schema} for row in rows]
    return pl.DataFrame(whole, schema=dict(schema), orient="row")


def source(
    variants: Mapping[str, Came],
    *,
    run: str = "run",
    ttft: Mapping[str, Sequence[float]] | None = None,
    cases: Mapping[str, Mapping[str, Any]] | None = None,
    calls: Iterable[Mapping[str, Any]] = (),
    audits: Iterable[Mapping[str, Any]] = (),
    exchanges: Mapping[str, Mapping[str, Any]] | None = None,
    trials: Mapping[str, Mapping[str, Any]] | None = None,
) -> Source:
    """A run in which each variant came to this.

    The trial of prompt ``a``, variant ``v``, repeat 2 is called ``v/a/2``, and so is its one exchange. *ttft*
    has the times of a variant, one for each of its trials in order; *cases*, *exchanges* and *trials* have
    further columns.
    """
    made: dict[str, list[dict[str, Any]]] = {name: [] for name in ("trials", "cases", "exchanges")}
    for variant, came in variants.items():
        times = iter((ttft or {}).get(variant, ()))
        for case, states in came.items():
            own = {"case_id": case, "variant": variant, "phase": "main"}
            said = {"asked": case, "checks": "checks", "tags": []}
            made["cases"].append(own | said | dict((cases or {}).get(case, {})))
            for repeat, state in enumerate(states, 1):
                name = f"{variant}/{case}/{repeat}"
                trial = {"trial_id": name, **own, "repeat": repeat, "state": state, "window": "measured"}
                made["trials"].append(trial | dict((trials or {}).get(name, {})))
                if state != "not_run":
                    sent = {"exchange_id": name, "trial_id": name, "turn_id": "1", "attempt": 1, "sent_ns": 0}
                    time = {"ttft_ms": next(times, 100.0), "total_ms": 200.0, "ended_ns": 200_000_000}
                    counted = {"counted": state in {"passed", "failed"}, "answer": "yes"}
                    made["exchanges"].append(sent | time | counted | dict((exchanges or {}).get(name, {})))
    rows: dict[str, list[Any]] = {**made, "tool_calls": list(calls), "audits": list(audits), "grades": []}
    frames = {name: table(name, each) for name, each in rows.items()}
    return Source(run, lambda name: frames[name].lazy())


def arm(of: Source, variant: str, phase: str = "main") -> Arm:
    """One variant of it."""
    return Arm((of,), variant, phase)


def passes(*counts: int, of: int = 5) -> dict[str, list[str]]:
    """Prompts ``p0``, ``p1`` ... of which so many repeats passed, the others failed, here and there."""
    came = {f"p{at}": ["passed"] * count + ["failed"] * (of - count) for at, count in enumerate(counts)}
    return {case: [*came[case][at % of :], *came[case][: at % of]] for at, case in enumerate(came)}
