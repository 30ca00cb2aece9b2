"""Two trials of one prompt side by side: what differs between their answers, and where they first part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from harness.compare.arms import Arm, Prompts, Source
from harness.compare.traces import Divergence, divergences
from harness.record.tables import SCHEMAS
from harness.view.seen import Seen
from harness.view.texts import Change, changes

Row = Mapping[str, Any]
MEASURES = (
    ("ttft_ms", "TTFT"),
    ("first_tool_ms", "first tool"),
    ("answer_ms", "first of the answer"),
    ("total_ms", "total"),
    ("longest_gap_ms", "longest gap"),
    ("answer_tokens", "answer, tokens (estimate)"),
    ("tokens_per_s", "tokens per second (estimate)"),
    ("packets", "packets"),
)
_ONE = "one"


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: its run, its trial, and the last attempt of each of its turns."""

    seen: Seen
    row: Row
    tables: Mapping[str, pl.DataFrame]

    @property
    def turns(self) -> dict[str, Row]:
        """The last attempts, by turn, in the order of sending."""
        rows = self.tables["exchanges"].sort("began_ns", maintain_order=True).iter_rows(named=True)
        return {row["turn_id"]: row for row in rows}


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn of both sides; one that a side has not is None there."""

    turn_id: str
    before: Row | None
    after: Row | None
    diff: Sequence[Change]
    note: str
    parts: Divergence | None
    calls: Sequence[tuple[Row | None, Row | None]]
    steps: Sequence[tuple[str, float | None, float | None]]


def side(seen: Seen, case_id: str, variant: str, repeat: int, *, phase: str = "") -> Side | None:
    """The trial of this prompt, variant and repeat, in the phase or else in the first that has it."""
    mine = (pl.col("case_id") == case_id) & (pl.col("variant") == variant) & (pl.col("repeat") == repeat)
    found = seen.scan("trials").filter(mine).collect()
    in_phase = found.filter(pl.col("phase") == phase)
    row = next((in_phase if len(in_phase) else found).iter_rows(named=True), None)
    return None if row is None else Side(seen, row, seen.of_trial(row["trial_id"]))


def turns(before: Side, after: Side) -> list[Turn]:
    """The turns of both, in the order of the first."""
    was, now = before.turns, after.turns
    return [
        _turn(name, before, after, (was.get(name), now.get(name))) for name in dict.fromkeys([*was, *now])
    ]


def _turn(name: str, before: Side, after: Side, rows: tuple[Row | None, Row | None]) -> Turn:
    was, now = rows
    diff, note = changes(_answer(was), _answer(now))
    parts = None if was is None or now is None else _parts(before, after, was, now)
    return Turn(name, was, now, diff, note, parts, _calls(before, after, rows), _steps(before, after, rows))


def _answer(row: Row | None) -> str:
    return "" if row is None else row["answer"] or ""


def _of(side: Side, table: str, row: Row | None) -> pl.DataFrame:
    frame = side.tables[table]
    return frame.head(0) if row is None else frame.filter(pl.col("exchange_id") == row["exchange_id"])


def _calls(
    before: Side, after: Side, rows: tuple[Row | None, Row | None]
) -> list[tuple[Row | None, Row | None]]:
    was = list(_of(before, "tool_calls", rows[0]).iter_rows(named=True))
    now = list(_of(after, "tool_calls", rows[1]).iter_rows(named=True))
    return [
        (was[at] if at < len(was) else None, now[at] if at < len(now) else None)
        for at in range(max(len(was), len(now)))
    ]


def _steps(
    before: Side, after: Side, rows: tuple[Row | None, Row | None]
) -> list[tuple[str, float | None, float | None]]:
    """The time in each step, of both; None where a side never was in it."""
    sums = [_sums(_of(side, "steps", row)) for side, row in zip((before, after), rows, strict=True)]
    longer, other = sorted(sums, key=len, reverse=True)
    return [(step, sums[0].get(step), sums[1].get(step)) for step in dict.fromkeys([*longer, *other])]


def _sums(steps: pl.DataFrame) -> dict[str, float]:
    summed = steps.group_by("step", maintain_order=True).agg(pl.col("duration_ms").sum())
    return dict(summed.iter_rows())


def _parts(before: Side, after: Side, was: Row, now: Row) -> Divergence | None:
    """Where the two replies first part, as a comparison of whole arms tells it, of this one pair."""
    prompts = Prompts(
        pl.DataFrame({"number": [0], "case_id": [_ONE], "cluster": [None], "asked": [""], "checks": [""]}),
        None,
    )
    arms = [_arm(side, row) for side, row in ((before, was), (after, now))]
    return next(iter(divergences(arms[0], arms[1], prompts)), None)


def _arm(side: Side, row: Row) -> Arm:
    """An arm of this one exchange. It counts whatever its state: nothing is claimed of its variant here."""
    named = {"case_id": _ONE, "variant": _ONE, "phase": _ONE}
    same = {**named, "repeat": 1, "state": "passed", "window": "measured", "skip": None}
    exchange = _of(side, "exchanges", row).with_columns(turn_id=pl.lit(_ONE), attempt=pl.lit(1, pl.Int32))
    frames = {
        "trials": side.tables["trials"].with_columns(
            pl.lit(value).cast(side.tables["trials"].schema[name]).alias(name) for name, value in same.items()
        ),
        "cases": pl.DataFrame([named], schema=dict(SCHEMAS["cases"])),
        "exchanges": exchange,
        "tool_calls": _of(side, "tool_calls", row),
    }
    return Arm((Source(side.seen.place.run_id, lambda name: frames[name].lazy()),), _ONE, _ONE)
