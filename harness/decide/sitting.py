"""A gate that sits while the run goes on: asked after every round, it says what is still worth asking.

A round is each prompt once under each variant, and between two of them nothing is under way. The results so
far are graded (also by the judge: this is no load), and every rule is looked at with bounds that allow for
all the looks (`harness.gate.ruling`). A rule that is decided stays so. A variant is asked no further once
each of its rules is decided or one has failed; a prompt, once no open rule is about it; the baseline, once
nothing is held against it. What is left of the planned trials is then not sent, and booked as decided.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import anyio
import polars as pl
from msgspec import structs

from harness.audit import Evidence
from harness.conduct.consult import Desk, asks_others, consult, known_of
from harness.conduct.finish import case_rows, judge
from harness.conduct.going import Round, Wanted
from harness.decide.sides import Against, Standing, bench, live_source
from harness.gate.ruling import Bench, Held, Look, Ruled, Ruling, Word, ruling, worst
from harness.plan.trials import Plan, Trial
from harness.record.store import Manifest
from harness.record.tables import Judged, Tables
from harness.record.tokens import count_tokens
from harness.report.live import say
from harness.suite.gates import held_on

_LOOKED_AT = ("trials", "exchanges", "tool_calls", "audits", "grades", "cases")
_NOT_KEPT = ("packets", "steps", "models", "moments")


async def graded(
    over: Round, all_trials: Mapping[str, Trial], manifest: Manifest, desk: Desk
) -> list[Judged]:
    """The results of a round, graded: everybody is asked who has to be, and the rest is done in a thread."""
    trials = {result.trial_id: all_trials[result.trial_id] for result in over.results}
    known = known_of(desk, lambda: over.results, trials, count_tokens)
    if asks_others(trials.values()):
        for words in await consult(desk, lambda: over.results, trials, known):
            say(desk.console, f"warning: {words}", style="yellow")
        known = known_of(desk, lambda: over.results, trials, count_tokens)
    evidence = Evidence(manifest.called, manifest.providers)

    def of_all() -> list[Judged]:
        return [
            judge(result, trials[result.trial_id], evidence, over.details, known=known)
            for result in over.results
        ]

    return await anyio.to_thread.run_sync(of_all)


@dataclass(slots=True)
class Sitting:
    """A gate while its run goes on.

    *settled* are the rules that were decided, as they were then, and *fractions* how much of each phase had
    come in at each look. *sent* counts the trials of rounds that are over.
    """

    plan: Plan
    manifest: Manifest
    than: Against | None
    desk: Desk
    tables: Tables = field(init=False)
    trials: dict[str, Trial] = field(init=False)
    settled: dict[Held, Ruled] = field(default_factory=dict)
    fractions: dict[str, list[float]] = field(default_factory=dict)
    sent: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.tables = Tables(count_tokens, None, self.plan.suite.prices)
        self.trials = {trial.trial_id: trial for trial in (*self.plan.trials, *self.plan.more)}

    async def look(self, over: Round) -> Wanted:
        """What of the rest is still to be sent, after the round that is *over*."""
        await self._grade(over)
        return await anyio.to_thread.run_sync(partial(self._decided, over))

    async def _grade(self, over: Round) -> None:
        """Add what came of the round to the tables, once everybody was asked who has to be."""
        for judged in await graded(over, self.trials, self.manifest, self.desk):
            self.tables.add(judged)
        for name in _NOT_KEPT:
            for column in self.tables.columns[name].values():
                column.clear()

    def _decided(self, over: Round) -> Wanted:
        self.sent[over.phase] += sum(result.skip is None for result in over.results)
        self._advance(over)
        on = bench(
            Standing(self.plan, self.manifest, live_source(self.manifest.run_id, self._frames())), self.than
        )
        found = ruling(on, self._looks(is_last=False))
        for held, ruled in zip(on.held(), found.rules, strict=True):
            if held.phase == over.phase and ruled.word is not Word.INCONCLUSIVE and not self._waits(held):
                self.settled.setdefault(held, ruled)
        self._tell(on, over)
        return self._wanted(on)

    def _waits(self, held: Held) -> bool:
        """Whether a rule is about what a judge found, which labels correct at the end."""
        judge = self.plan.suite.judge
        return held.rule.metric.kind == "check" and judge is not None and judge.labels is not None

    def _advance(self, over: Round) -> None:
        """How much of all that could come in this phase has, by rounds: what is saved changes nothing."""
        every = [trial for trial in (*self.plan.trials, *self.plan.more) if trial.phase == over.phase]
        last = max(self.trials[result.trial_id].repeat for result in over.results)
        done = sum(trial.repeat <= last for trial in every)
        self.fractions.setdefault(over.phase, []).append(done / len(every))

    def _frames(self) -> Mapping[str, pl.DataFrame]:
        frames = {name: self.tables.frame(name) for name in _LOOKED_AT}
        fresh = Tables(count_tokens)
        held = held_on(self.plan.suite, self.manifest.started_at[:10])
        for row in case_rows(frames["trials"], self.trials, held):
            fresh.add_case(row)
        return frames | {"cases": fresh.frame("cases")}

    def _looks(self, *, is_last: bool) -> dict[str, Look]:
        return {phase: Look(tuple(seen), is_last=is_last) for phase, seen in self.fractions.items()}

    def _tell(self, on: Bench, over: Round) -> None:
        words = Counter(
            str(self.settled[held].word) if held in self.settled else "undecided" for held in on.held()
        )
        told = ", ".join(f"{count} {word}" for word, count in words.items())
        share = self.fractions[over.phase][-1]
        say(self.desk.console, f"gate after {share:.0%} of {over.phase}: {told}")

    def _wanted(self, on: Bench) -> Wanted:
        """Which trials some open rule is about. A variant that failed one is asked no further."""
        failed = {held.variant for held, ruled in self.settled.items() if ruled.word is Word.FAIL}
        open_ = [held for held in on.held() if held not in self.settled and held.variant not in failed]
        ruled_on = {(held.variant, held.phase) for held in on.held()}

        def wanted(trial: Trial) -> bool:
            mine = [held for held in open_ if held.phase == trial.phase and _is_about(held, trial)]
            if any(held.variant == trial.variant for held in mine):
                return True
            if self.than is not None and self.than.is_variant and trial.variant == self.than.name:
                return any(held.rule.compares for held in mine)
            return (trial.variant, trial.phase) not in ruled_on

        return wanted

    def final(self, run: Standing) -> Ruling:
        """The ruling on all that came: what was settled stays, the rest is looked at for the last time.

        A doubt that only the whole run can raise (that its times are not to be believed) undoes what was
        settled.
        """
        on = bench(run, self.than)
        found = ruling(on, self._looks(is_last=True))
        rules = tuple(
            self.settled.get(held, ruled) if not on.doubt(held.rule, held.variant) else ruled
            for held, ruled in zip(on.held(), found.rules, strict=True)
        )
        return structs.replace(
            found,
            rules=_stopped(rules),
            word=worst([ruled.word for ruled in rules]),
            planned=len(self.plan.trials),
            sent=self._sent(run),
            decided=sum((run.manifest.decided or {}).values()),
        )

    def _sent(self, run: Standing) -> int:
        trials = run.own.scan("trials").filter(pl.col("began_ns").is_not_null())
        return int(trials.select(pl.len()).collect().item())


def _is_about(held: Held, trial: Trial) -> bool:
    return held.rule.tag is None or held.rule.tag in trial.case.tags


def _stopped(rules: Sequence[Ruled]) -> tuple[Ruled, ...]:
    """Say of what is open for a variant that failed why it was not followed any further."""
    failed = {ruled.variant: ruled.rule for ruled in rules if ruled.word is Word.FAIL}
    return tuple(
        structs.replace(
            ruled, reason=f"not followed further, since {failed[ruled.variant]} failed; {ruled.reason}"
        )
        if ruled.word is Word.INCONCLUSIVE and ruled.variant in failed
        else ruled
        for ruled in rules
    )
