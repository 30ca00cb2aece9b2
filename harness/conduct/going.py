"""A run while it goes on: what it was asked to do, what is known of it, and what it has to remember."""

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import structs

from harness import journal
from harness.conduct.earlier import Earlier
from harness.conduct.options import Options
from harness.crew.cluster import Cluster
from harness.crew.crew import Crew
from harness.drive.purse import Purse
from harness.drive.reins import Reins
from harness.drive.sessions import Ids
from harness.metrics.figures import CountTokens, cost_usd, spent
from harness.plan.trials import Plan, Trial
from harness.record.nodes import NodeClock
from harness.record.tokens import count_tokens
from harness.report.live import say
from harness.result import Result
from harness.sigma.catalogue import Catalogue
from harness.sigma.client import Address
from harness.sigma.session import SessionDetail
from harness.sigma.usage import Usage

Wanted = Callable[[Trial], bool]
"""Whether a trial is still worth sending."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one round of a phase came to: each prompt once under each variant.

    *details* are what the server keeps of its conversations. *left* says that there are planned rounds still.
    """

    phase: str
    results: tuple[Result, ...]
    details: Mapping[str, SessionDetail]
    left: bool


AtRoundEnd = Callable[[Round], Awaitable[Wanted]]
"""Asked after every round of a closed phase, while nothing is under way: what of the rest is to be sent?"""


@dataclass(slots=True)
class Conduct:
    """A run while it goes on.

    *made* are the sessions that it made, where it is to delete them, *to_look* those that are to be looked
    at; *given* by the suite are conversations that were there before. *before* is what the run had come to,
    if it goes on after a stop.
    *source* is our own, once it is up, *crew* the processes that send the trials where that is not this one,
    on the nodes of a *cluster* if there is one, with their clocks as they were last read (*nodes*), and
    *read* how far their journals were read. *warnings* are what a reader of the results should know.
    *at_round_end* says after each round what is still to be sent; *fresh* and *details* are what came since
    the last. *decided* counts what was not sent for it, by variant. *to_count* are the results whose cost is
    not known yet, *used* is what the server says that it has counted.
    """

    plan: Plan
    address: Address
    options: Options
    folder: Path
    catalogue: Catalogue
    before: Earlier | None = None
    cluster: Cluster | None = None
    nodes: tuple[NodeClock, ...] = ()
    reins: Reins = field(init=False)
    given: frozenset[str] = field(init=False)
    made: Ids = field(default_factory=Ids)
    to_look: Ids = field(default_factory=Ids)
    warnings: list[str] = field(default_factory=list)
    deleted: dict[str, int] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    clock_steps: int = 0
    source: Address | None = None
    crew: Crew | None = None
    read: dict[Path, int] = field(default_factory=dict)
    at_round_end: AtRoundEnd | None = None
    fresh: list[Result] = field(default_factory=list)
    details: dict[str, SessionDetail] = field(default_factory=dict)
    decided: Counter[str] = field(default_factory=Counter)
    to_count: deque[Result] = field(default_factory=deque)
    used: Usage | None = None
    count: CountTokens = count_tokens

    def __post_init__(self) -> None:
        self.nodes = self.of_this_leg(self.cluster.clocks if self.cluster else ())
        budget = self.plan.suite.budget
        self.reins = Reins(
            deep_research=budget.deep_research,
            purse=Purse(budget.tokens, budget.usd),
            fail_fast=self.options.fail_fast,
        )
        settings = (each for asked in self.plan.asked() for each in asked.settings)
        self.given = frozenset(each.chat_session_id for each in settings if each.chat_session_id)
        if self.before is not None:
            self._go_on(self.before)

    def of_this_leg(self, nodes: Iterable[NodeClock]) -> tuple[NodeClock, ...]:
        """*nodes*, each with the leg of the run in which it was one."""
        number = 0 if self.before is None else self.before.leg.number
        return tuple(structs.replace(node, leg=number) for node in nodes)

    def _go_on(self, before: Earlier) -> None:
        """Take up where the run had stopped: what it spent stays spent, and what it made is its own."""
        if self.plan.suite.target.cleanup.sessions:
            self.made = Ids.of(each for each in before.sessions if each not in self.given)
        self.to_look = Ids.of(name for name, trial_id in before.unseen.items() if self._looks_at(trial_id))
        self.decided = Counter(before.decided)
        if self.reins.deep_research is not None:
            spent = sum(
                trial.deep_research * before.sent.get(trial.trial_id, 0) for trial in self._begun(before)
            )
            self.reins.deep_research = max(0, self.reins.deep_research - spent)
        if self.reins.purse.is_limited:
            for result in journal.read(self.folder):
                if result.began_ns is not None:
                    self.reins.purse.book(*self.cost(result))
            self.reins.before = self.reins.purse.counted

    def _begun(self, before: Earlier) -> Iterator[Trial]:
        yield from (*self.plan.trials, *self.plan.more)
        for name in self.plan.cycles:
            mine = [trial_id for trial_id, phase in before.phases.items() if phase == name]
            yield from self.plan.upto(name, mine).values()

    @property
    def left(self) -> Plan:
        """What of the plan is still to be sent."""
        return self.plan if self.before is None else self.plan.without(self.before.done)

    def _looks_at(self, trial_id: str) -> bool:
        return int(trial_id[:8], 16) < self.plan.suite.target.audit * (1 << 32)

    def meet(self, result: Result) -> None:
        """Remember the conversations of *result*."""
        if self.at_round_end is not None:
            self.fresh.append(result)
        if self.reins.purse.is_limited and result.began_ns is not None:
            self.to_count.append(result)
        self.met(result.trial_id, filter(None, (each.session_id for each in result.exchanges)))

    def met(self, trial_id: str, sessions: Iterable[str]) -> None:
        """Remember the conversations of a trial."""
        looked = self._looks_at(trial_id)
        for session_id in dict.fromkeys(sessions):
            if self.plan.suite.target.cleanup.sessions and session_id not in self.given:
                self.made.add(session_id)
            if looked:
                self.to_look.add(session_id)

    def cost(self, result: Result) -> tuple[int, float]:
        """The tokens of a trial and what they cost in USD, as far as the suite says what its model costs."""
        tokens = [spent(exchange, self.count) for exchange in result.exchanges]
        pairs = zip(result.exchanges, tokens, strict=True)
        usd = [cost_usd(exchange, each, self.plan.suite.prices) or 0.0 for exchange, each in pairs]
        return sum(map(sum, tokens)), sum(usd)

    def warn(self, words: str) -> None:
        """Say it now, and keep it with the results."""
        self.warnings.append(words)
        say(self.options.console, f"warning: {words}", style="yellow")
