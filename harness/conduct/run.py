"""A run while it goes on: every trial driven and journalled, then what follows the last of them.

What the server keeps of the conversations is looked at, what the run made is taken away, and the target is
held against what it was at the start. A Ctrl-C ends any of it in order: the first lets trials under way
finish, the second cuts them off, the third skips what would follow.
"""

import threading
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from pathlib import Path

import anyio
from msgspec import structs
from rich.console import Console

from harness import journal
from harness.calibrate.probe import stream_source
from harness.conduct.accounts import accounts
from harness.conduct.earlier import Earlier
from harness.conduct.interrupts import rein_in
from harness.crew.cluster import Cluster
from harness.crew.crew import Crew, leading
from harness.crew.messages import Hello
from harness.crew.processes import Seat, processes
from harness.drive.access import Access
from harness.drive.monitor import Probe, watch
from harness.drive.pool import Part, Sink, drive, plain_errors
from harness.drive.preflight import looked_up_again
from harness.drive.purse import Purse
from harness.drive.reins import Reins, cut_at
from harness.drive.sessions import Errand, Ids, delete_sessions, look_at
from harness.drive.transport import transport_of, transports
from harness.errors import StandinError, TargetError
from harness.metrics.figures import CountTokens, cost_usd, spent
from harness.plan.trials import Choice, Plan, Trial
from harness.record.nodes import NodeClock
from harness.record.store import Rerun
from harness.record.tokens import count_tokens
from harness.report.live import counted, say, shown
from harness.report.tally import Tally
from harness.result import Moment, Result, Skip
from harness.sigma.catalogue import Catalogue
from harness.sigma.client import Address, Client
from harness.sigma.fingerprint import changed, fingerprint
from harness.sigma.session import SessionDetail
from harness.sigma.usage import Usage
from harness.suite.phases import Phase


@dataclass(frozen=True, slots=True)
class Options:
    """How a suite is run, beside what it says itself.

    *target* is a URL or ``standin``, *access* the way there. *workers* takes the place of the `workers`
    of every phase. Several *processes* share the load between them, on this machine or on the nodes of a
    *cluster* (``local``, ``auto``, HOST:PORT, ray://HOST:PORT), where 1 means one on each node. *console*
    shows the progress; None shows nothing. *onlooker* gets what is known of the run while it goes on, before
    anything is sent.
    *agree* is handed what is to be sent, and the target, before anything is; it raises to stop it.
    *rerun*: the trials of *choice* are a selection of another run's, and the run says so.
    *gate*: the rules of the suite decide how much of it is asked, and the exit code, held against *baseline*
    (what the suite names, if None). *confirm*: the pairs of *choice* are asked until each is decided.
    *interruptible*: the first Ctrl-C lets trials under way finish (for at most
    30 s), the second cuts them off, the third skips looking at sessions and
    cleaning up; all leave a whole record.
    """

    choice: Choice = field(default_factory=Choice)
    seed: int = 0
    target: str | None = None
    access: Access = field(default_factory=Access)
    workers: int | None = None
    processes: int = 1
    cluster: str | None = None
    fail_fast: bool = False
    gate: bool = False
    baseline: str | None = None
    confirm: bool = False
    agree: Callable[[Plan, str | None], None] | None = None
    rerun: Rerun | None = None
    results: Path = Path("results")
    console: Console | None = None
    onlooker: Callable[[Tally], None] | None = None
    interruptible: bool = False


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


async def conduct(run: Conduct) -> None:
    """Send every trial, look at what the server keeps of each, and clean up after it."""
    left, reins, before = run.left, run.reins, run.before
    leg = None if before is None else before.leg
    with plain_errors(), journal.Journal(run.folder / journal.JOURNAL, leg) as book:
        if before is not None:
            run.warn(before.says(run.plan))
        async with anyio.create_task_group() as around:
            around.start_soon(journal.keep_on_disk, book)
            if run.options.interruptible and threading.current_thread() is threading.main_thread():
                around.start_soon(rein_in, reins, run.options.console)
            if left.suite.budget.minutes is not None:
                may_take = round(left.suite.budget.minutes * 60e9) - (before.ran_ns if before else 0)
                around.start_soon(cut_at, reins.now() + may_take, reins)
            around.start_soon(_source_of_ours, run)
            tally = Tally(left, reins, run.folder.name, run.address.base_url, run.options.processes)
            async with accounts(run), _shown(run, tally), _crew(run, tally):
                for name, load in left.loads.items():
                    if before is None or not before.is_over(name, left):
                        await _drive(run, name, load, book=book, tally=tally)
                    await _look(run, book)
            await _delete_sessions(run)
            await compare_target(run)
            around.cancel_scope.cancel()
    if reins.said:
        run.warn(f"the run was stopped: {reins.said}")


async def _source_of_ours(run: Conduct) -> None:
    """A server of ours on this machine, to be asked beside the target: what slows both is not the target."""
    with suppress(StandinError, OSError):  # without it that is not known, and the verdict says so
        async with stream_source() as url:
            run.source = Address(url)
            await anyio.sleep_forever()


async def _drive(run: Conduct, name: str, load: Phase, *, book: journal.Journal, tally: Tally) -> None:
    """One phase: its trials sent and journalled, and what it was like for us."""
    if run.options.workers is not None and not load.is_open:
        load = load.model_copy(update={"workers": run.options.workers})
    elapsed_ns = 0 if run.before is None else run.before.elapsed_ns(name, run.left)
    tally.enter(name, load, elapsed_ns=elapsed_ns)

    def sink(result: Result) -> None:
        book.append(result)
        tally.add(result)
        run.meet(result)

    def keep(moment: Moment) -> None:
        book.append(moment)
        tally.note(moment)

    async with _sender(run, load, sink, keep, elapsed_ns=elapsed_ns) as send:
        await _send_all(run, name, book, send, sink=sink)


Send = Callable[[str, Iterable[Trial]], Awaitable[None]]
"""Sends trials of a phase, until each has a result."""


@asynccontextmanager
async def _sender(
    run: Conduct, load: Phase, sink: Sink, keep: Callable[[Moment], None], *, elapsed_ns: int
) -> AsyncIterator[Send]:
    """Who sends the trials of a phase: the crew, or this process, which is watched while it does."""
    if run.crew is not None:
        yield partial(run.crew.drive, load=load, elapsed_ns=elapsed_ns)
        return
    transport = transport_of(run.plan.suite, run.address.base_url)
    async with transport() as kept:
        target = Probe(lambda: Client(run.address, kept))
        own = Probe(
            lambda: None if run.source is None else Client(run.source, transports(run.source.base_url)())
        )

        async def send(phase: str, trials: Iterable[Trial]) -> None:
            # Watched is what is sent, not what we make of it between two rounds.
            async with anyio.create_task_group() as watched:
                watched.start_soon(partial(watch, phase, run.reins, keep, target=target, own=own))
                await drive(
                    trials,
                    load,
                    lambda: Client(run.address, transport()),
                    sink,
                    reins=run.reins,
                    part=Part(start_ns=run.reins.now() - elapsed_ns),
                )
                watched.cancel_scope.cancel()

        yield send
        run.clock_steps += kept.clock_steps


async def _send_all(run: Conduct, phase: str, book: journal.Journal, send: Send, *, sink: Sink) -> None:
    load = run.left.loads[phase]
    if run.at_round_end is None or load.is_open or load.is_timed:
        await send(phase, run.left.phase(phase))
    else:
        await _in_rounds(run, phase, book, send, sink=sink)


@asynccontextmanager
async def _crew(run: Conduct, tally: Tally) -> AsyncIterator[None]:
    """The processes that send the trials, where there are to be several."""
    left, options, cluster = run.left, run.options, run.cluster
    if options.processes == 1 and cluster is None:
        yield
        return
    run.read = journal.ends(run.folder)
    async with _seats(run) as seats:
        hello = Hello(
            number=0,
            plan=replace(left, trials=(), more=()),
            address=run.address,
            journal=run.folder,
            leg=None if run.before is None else run.before.leg,
            fail_fast=options.fail_fast,
            results=None if options.console is None and options.onlooker is None else options.results,
        )
        run.crew = Crew(
            left,
            run.folder,
            run.reins,
            tally,
            meet=run.met,
            warn=run.warn,
            # It is on the loopback of this machine, and nobody else's.
            source=lambda: run.source if cluster is None or cluster.is_here else None,
        )
        async with leading(run.crew, seats, hello):
            yield
        run.clock_steps += run.crew.clock_steps
        if cluster is not None:
            run.nodes = run.of_this_leg(await cluster.clocks_again())


@asynccontextmanager
async def _seats(run: Conduct) -> AsyncIterator[Sequence[Seat]]:
    """The processes that send the trials, of this machine or on the nodes that were joined."""
    if run.cluster is not None:
        async with run.cluster.seats() as stations:
            yield stations
        return
    say(run.options.console, f"starting {run.options.processes} processes …")
    async with processes(run.options.processes) as seats:
        yield seats


async def _in_rounds(
    run: Conduct,
    phase: str,
    book: journal.Journal,
    send: Send,
    *,
    sink: Sink,
) -> None:
    """The rounds of one phase, each sent as a whole, and what is still wanted asked after each.

    What is no longer wanted is booked as decided; of the rounds by which a phase may be extended nothing is.
    """
    assert run.at_round_end is not None  # noqa: S101  else there would be no rounds
    left = run.left
    planned = _rounds(left.phase(phase))
    more = _rounds(each for each in left.more if each.phase == phase)
    wanted = await _wanted_so_far(run, phase, book, [*planned, *more])
    for number, trials in enumerate([*planned, *more], 1):
        sent = [trial for trial in trials if wanted(trial)]
        for trial in (each for each in trials if not wanted(each)) if number <= len(planned) else ():
            run.decided[trial.variant] += 1
            sink(_not_sent(trial))
        if not sent or (number > len(planned) and run.reins.stopped is not None):
            continue
        await send(phase, sent)
        if run.crew is not None:
            run.fresh += journal.read_on(run.folder, run.read)
        if run.reins.stopped is not None:
            continue  # what is left is booked for that; there is nothing to decide
        await _look(run, book)
        fresh, run.fresh = tuple(run.fresh), []
        details, run.details = run.details, {}
        wanted = await run.at_round_end(Round(phase, fresh, details, left=number < len(planned)))


async def _wanted_so_far(
    run: Conduct, phase: str, book: journal.Journal, rounds: list[list[Trial]]
) -> Wanted:
    """What is wanted before the first of the *rounds* that are left: all, unless others were sent before."""
    if run.before is None or run.at_round_end is None or not rounds:
        return lambda _: True
    await _look(run, book)
    done = [
        each for each in journal.read(run.folder) if each.phase == phase and each.trial_id in run.before.done
    ]
    over = tuple(each for each in done if each.repeat < rounds[0][0].repeat)
    run.fresh, run.details = [each for each in done if each not in over], {}
    if not over:
        return lambda _: True
    return await run.at_round_end(Round(phase, over, journal.sessions(run.folder), left=True))


def _rounds(trials: Iterable[Trial]) -> list[list[Trial]]:
    """*trials*, which are in the order of their rounds, a list for each."""
    return [list(each) for _, each in groupby(trials, key=lambda trial: trial.repeat)]


def _not_sent(trial: Trial) -> Result:
    case_id = trial.case.case_id
    skip = Skip.DECIDED
    return Result(trial.trial_id, case_id, trial.variant, trial.repeat, trial.phase, skip=skip)


async def _look(run: Conduct, book: journal.Journal) -> None:
    """Journal what the server keeps of the conversations so far: which model answered, and the rest."""
    wanted, run.to_look = list(run.to_look), Ids()

    def keep(detail: SessionDetail) -> None:
        book.append(detail)
        if run.at_round_end is not None:
            run.details[detail.chat_session_id] = detail

    async with _errand(run, "sessions looked at", len(wanted)) as errand:
        await look_at(errand, wanted, keep)
    missing = len(wanted) - errand.done
    if missing:
        run.warn(
            f"{missing} of {len(wanted)} sessions could not be looked at ({errand.why() or 'interrupted'}): "
            "which model answered there is not shown"
        )


async def _delete_sessions(run: Conduct) -> None:
    """Delete the sessions that this run made, where the suite asks for that."""
    if not run.plan.suite.target.cleanup.sessions:
        return
    made = list(run.made)
    async with _errand(run, "sessions deleted", len(made)) as errand:
        await delete_sessions(errand, made)
    run.deleted["sessions"] = errand.done
    if errand.done < len(made):
        run.warn(
            f"{len(made) - errand.done} of {len(made)} sessions could not be deleted: "
            f"{errand.why() or 'interrupted'}"
        )


async def compare_target(run: Conduct) -> None:
    """Flag what changed on the server while the run went on: its first half was asked of something else."""
    if run.reins.abandoned:
        return
    try:
        after = await looked_up_again(run.plan, run.address)
    except TargetError as error:
        run.warn(f"whether the target changed during the run is not known: {error}")
        return
    run.changed = changed(fingerprint(run.catalogue), fingerprint(after))
    if run.changed:
        run.warn(
            f"the target changed during the run: {', '.join(run.changed)}; "
            "what was asked before and after is not the same"
        )


@asynccontextmanager
async def _errand(run: Conduct, what: str, total: int) -> AsyncIterator[Errand]:
    transport = transport_of(run.plan.suite, run.address.base_url)
    async with Client(run.address, transport()) as client:
        with counted(run.options.console, what, total) as advance:
            yield Errand(client, advance, lambda: run.reins.abandoned)


def _shown(run: Conduct, tally: Tally) -> AbstractAsyncContextManager[None]:
    """Shown to whoever looks on; where nobody does, nothing of it is worked out."""
    options = run.options
    if options.onlooker is not None:
        options.onlooker(tally)
    elif options.console is None:
        return nullcontext()
    return shown(tally, options.console, options.results)
