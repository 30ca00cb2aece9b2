"""Is a red prompt really red? It is asked again with fresh repeats, until a sequential test says so.

A confirmation is a run of its own: the same suite, only the prompts that failed, each until Wald's test of
two pass rates decides (`harness.stats.sprt`). One that is found good was flaky; one found bad is confirmed,
and what is undecided after 30 repeats stays so.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
from msgspec import Struct

from harness.conduct.consult import Desk
from harness.conduct.going import Round, Wanted
from harness.decide.sitting import graded
from harness.errors import Exit
from harness.grade.states import State
from harness.plan.trials import Trial
from harness.record.store import Manifest
from harness.record.tables import scan
from harness.report.live import say
from harness.stats.sprt import Sprt
from harness.stats.sprt import Word as Found

_SAID: Mapping[Found, str] = {"bad": "confirmed", "good": "flaky", "open": "undecided"}

Pair = tuple[str, str]
"""A prompt and a variant."""


class Confirmed(Struct, frozen=True):
    """What became of one red prompt: *bad*, *good* or *open*, after so many fresh repeats."""

    case_id: str
    variant: str
    word: Found
    passed: int
    failed: int

    @property
    def says(self) -> str:
        """One line for people."""
        which = f"{_SAID[self.word]:<9}  {self.case_id} [{self.variant}]"
        return f"{which}: {self.passed} of {self.passed + self.failed} fresh repeats passed"


def red(folder: Path) -> list[Pair]:
    """The prompts of a run that failed and are in no quarantine."""
    cases = scan("cases", folder).filter(pl.col("quarantined").is_null())
    by_state = pl.col("state") == str(State.FAILED)
    by_repeat = pl.col("state").is_null() & (pl.col("failed") > 0)
    found = cases.filter(by_state | by_repeat).select("case_id", "variant").unique(maintain_order=True)
    return list(found.collect().iter_rows())


@dataclass(slots=True)
class Confirming:
    """Counts the fresh repeats of *pairs* as they come, and asks only those on which nothing is decided."""

    pairs: tuple[Pair, ...]
    trials: Mapping[str, Trial]
    manifest: Manifest
    desk: Desk
    test: Sprt = field(default_factory=Sprt)
    states: dict[Pair, Counter[State]] = field(default_factory=dict)

    async def look(self, over: Round) -> Wanted:
        """Count in what came of a round, and say who is still to be asked."""
        for judged in await graded(over, self.trials, self.manifest, self.desk):
            pair = judged.result.case_id, judged.result.variant
            self.states.setdefault(pair, Counter())[judged.standing.state] += 1
        words = Counter(self.word(pair) for pair in self.pairs)
        told = ", ".join(f"{count} {_SAID[word]}" for word, count in words.items())
        say(self.desk.console, f"confirming: {told}")
        return lambda trial: self.word((trial.case.case_id, trial.variant)) == "open"

    def word(self, pair: Pair) -> Found:
        """What is known of one prompt."""
        counts = self.states.get(pair, Counter())
        return self.test.decides(counts[State.PASSED], counts[State.FAILED])

    def found(self) -> list[Confirmed]:
        """What became of each, the confirmed ones first."""
        rows = [
            Confirmed(*pair, self.word(pair), counts[State.PASSED], counts[State.FAILED])
            for pair in self.pairs
            for counts in (self.states.get(pair, Counter()),)
        ]
        return sorted(rows, key=lambda row: ("bad", "open", "good").index(row.word))


def exit_of(found: Iterable[Confirmed]) -> Exit:
    """1 where some prompt is confirmed, 3 where some are open, else 0: what is left was flaky."""
    words = {row.word for row in found}
    if "bad" in words:
        return Exit.FAILED
    return Exit.INCOMPLETE if "open" in words or not words else Exit.OK
