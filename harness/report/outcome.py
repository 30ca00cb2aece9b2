"""What became of each prompt of a run, in rows that JUnit, Markdown and GitHub are made of."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from msgspec import Struct, ValidationError, convert, json

from harness.errors import RunDirectoryError
from harness.gate.ruling import Ruling
from harness.grade.states import State
from harness.journal import UNREADABLE
from harness.record.store import SUMMARY, Manifest, read_manifest
from harness.record.tables import scan
from harness.report.terminal import verdict_lines
from harness.result import Skip
from harness.summarise.fairness import Fairness
from harness.verdict.word import Verdict


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt under one variant, in one phase.

    *state* is that of all its repeats: by the reduction of the suite, or else the worst of them. *counts* are
    repeats by state, *seconds* what they took together. *quarantined* is the day until which it decides
    nothing, and *decided* says that what was not sent was not needed.
    """

    case_id: str
    variant: str
    phase: str
    state: State
    reason: str
    seconds: float
    counts: dict[State, int]
    quarantined: str | None = None
    decided: bool = False

    @property
    def repeats(self) -> str:
        """How many repeats came to what: 3 passed, 1 failed."""
        return ", ".join(f"{count} {state}" for state, count in self.counts.items() if count)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run as reports tell of it: where it is, may it be believed, each prompt, the gate, fairness."""

    folder: Path
    manifest: Manifest
    verdict: Verdict | None
    prompts: tuple[Prompt, ...]
    ruling: Ruling | None = None
    fairness: tuple[Fairness, ...] = ()

    @property
    def verdict_says(self) -> list[str]:
        """The verdict and its reasons, a line each."""
        return [] if self.verdict is None else [str(line) for line in verdict_lines(self.verdict)]

    def of_state(self, *states: State) -> list[Prompt]:
        """The prompts in one of *states*, but for those in quarantine."""
        return [each for each in self.prompts if each.state in states and each.quarantined is None]


def outcome(folder: Path, ruling: Ruling | None = None) -> Outcome:
    """What the tables in *folder* say; with the ruling of its gate, its own unless there is another.

    Raises `RunDirectoryError` where they are not there, or of another version.
    """
    manifest = read_manifest(folder)
    verdict, own = judged(manifest)
    return Outcome(folder, manifest, verdict, tuple(_prompts(folder)), ruling or own, _fairness(folder))


class _Shared(Struct):
    """Of a summary what variants did to each other."""

    fairness: tuple[Fairness, ...] = ()


def _fairness(folder: Path) -> tuple[Fairness, ...]:
    try:
        return json.decode((folder / SUMMARY).read_bytes(), type=_Shared).fairness
    except (OSError, *UNREADABLE):  # none yet, or of another version: nothing is said of it
        return ()


def judged(manifest: Manifest) -> tuple[Verdict | None, Ruling | None]:
    """The verdict of a run and the ruling of its gate. Raises `RunDirectoryError` for another version's."""
    try:
        verdict = None if manifest.verdict is None else convert(manifest.verdict, Verdict)
        return verdict, None if manifest.gate is None else convert(manifest.gate, Ruling)
    except ValidationError as error:
        raise RunDirectoryError(
            f"{manifest.run_id}: its verdict or ruling is of another version: {error}; "
            f"harness grade {manifest.run_id} --retime makes them anew"
        ) from error


_KEY = ["case_id", "variant", "phase"]


def _prompts(folder: Path) -> Iterator[Prompt]:
    bad = pl.col("state") != str(State.PASSED)
    took = (pl.col("ended_ns") - pl.col("began_ns")).sum() / 1e9
    early = pl.col("skip").fill_null("") == str(Skip.DECIDED)
    trials = (
        scan("trials", folder)
        .group_by(_KEY)
        .agg(seconds=took, why=pl.col("reason").filter(bad & ~early).first(), early=early.sum(), all=pl.len())
    )
    cases = scan("cases", folder).join(trials, on=_KEY, how="left", maintain_order="left").collect()
    for row in cases.iter_rows(named=True):
        counts = {state: int(row[state]) for state in State}
        yield Prompt(
            row["case_id"],
            row["variant"],
            row["phase"],
            _state(row, counts),
            (row["reason"] if row["state"] else row["why"]) or "",
            float(row["seconds"] or 0.0),
            counts,
            row["quarantined"],
            decided=row["early"] == row["all"],
        )


_WORST_FIRST = (State.INVALID, State.FAILED, State.ERROR, State.NOT_RUN)


def _state(row: dict[str, Any], counts: dict[State, int]) -> State:
    """The state of all repeats: those that were not needed say nothing, as long as there are others."""
    if row["state"] is not None:
        return State(row["state"])
    counts = counts | {State.NOT_RUN: counts[State.NOT_RUN] - (row["early"] or 0)}
    worst = next((state for state in _WORST_FIRST if counts[state]), None)
    return worst or (State.PASSED if counts[State.PASSED] else State.NOT_RUN)
