"""The process that leads: shares out, starts all at one instant, hears what came, and sees who is lost.

A process that is gone takes nothing with it: what it journalled is there, and what it had not finished is
handed to another, once. If that one is lost, too, nobody is asked a third time: something is wrong with the
trials, or with this machine.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from math import inf
from pathlib import Path
from typing import NoReturn

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from harness import journal
from harness.crew import split
from harness.crew.messages import Beat, Broke, End, Go, Halt, Hello, Over, Set, Source, Start, ToProcess
from harness.crew.processes import Seat, SeatLostError
from harness.drive.reins import Reins
from harness.errors import Exit, HarnessError
from harness.plan.trials import Plan, Trial
from harness.report.tally import Believed, Tally
from harness.sigma.client import Address
from harness.suite.phases import Phase
from harness.verdict.word import Word as Worth

SOON_NS = 50_000_000
"""How long after the last process was ready all of them start."""

_AHEAD = 100_000
_HEED_S = 0.05
_LOOK_S = 1.0


class CrewLostError(HarnessError):
    """No process of a run is left."""

    exit_code = Exit.ENVIRONMENT


@dataclass(frozen=True, slots=True)
class Lost:
    """That a seat is gone, and *how*."""

    how: str


@dataclass(slots=True)
class Member:
    """One seat and the last that was heard of it."""

    seat: Seat
    beat: Beat | None = None
    is_here: bool = True

    async def say(self, message: ToProcess) -> None:
        """Say it, if anybody is there; that nobody is tells who listens."""
        with suppress(SeatLostError):
            await self.seat.send(message)


Meet = Callable[[str, tuple[str, ...]], None]
"""What is done with the sessions of a trial."""

Warn = Callable[[str], None]
Word = tuple[Member, Set | Over | Lost]


@dataclass(slots=True)
class Crew:
    """The processes of a run. *plan* has all that is to be sent; *folder* is where their journals are.

    *source* tells our own, once it is up.
    """

    plan: Plan
    folder: Path
    reins: Reins
    tally: Tally
    meet: Meet
    warn: Warn
    source: Callable[[], Address | None]
    members: list[Member] = field(default_factory=list)
    deep_research: int | None = None
    is_ending: bool = False
    give: MemoryObjectSendStream[Word] = field(init=False)
    words: MemoryObjectReceiveStream[Word] = field(init=False)

    def __post_init__(self) -> None:
        self.give, self.words = anyio.create_memory_object_stream[Word](inf)
        self.deep_research = self.reins.deep_research

    @property
    def clock_steps(self) -> int:
        """How often the processes saw the wall clock set."""
        return sum(member.beat.clock_steps for member in self.members if member.beat)

    async def drive(self, phase: str, trials: Iterable[Trial], *, load: Phase, elapsed_ns: int = 0) -> None:
        """Have *trials* of a phase sent; each leaves a result.

        Of the phase *elapsed_ns* are over already. Raises `CrewLostError` where nobody is left to send them.
        """
        here = [member for member in self.members if member.is_here]
        if not here:
            raise CrewLostError("no process is left to send trials")
        most = load.max_in_flight if load.is_open else load.slots
        of = min(len(here), most or len(here))
        shared = _Phase(self, phase, load, of)
        await shared.hand_out(here[:of], trials)
        await shared.start(self.reins.now() + SOON_NS - elapsed_ns)
        await shared.until_over()

    def heard(self, member: Member, beat: Beat) -> None:
        """Count in what a process came to."""
        member.beat = beat
        self.tally.merge(beat.came, by=str(member.seat.number), ahead_ns=member.seat.ahead_ns)
        for trial_id, sessions in beat.met:
            self.meet(trial_id, sessions)
        self.recount()
        if beat.stopped is not None and self.reins.stopped is None:
            self.reins.said = beat.said
            self.reins.stop(beat.stopped)

    def recount(self) -> None:
        """Add up what all processes came to."""
        beats = [each.beat for each in self.members if each.beat]
        reins = self.reins
        reins.fell_due = sum(each.fell_due for each in beats)
        reins.began = sum(each.began for each in beats)
        reins.dropped = sum(each.dropped for each in beats)
        reins.in_flight_ns = sum(each.in_flight_ns for each in beats)
        reins.elsewhere = sum((Counter(each.going) for each in beats), Counter())
        if self.deep_research is not None:
            reins.deep_research = self.deep_research - sum(each.spent_deep for each in beats)
        self.tally.believed = worst([each.believed for each in beats if each.believed])


@dataclass(slots=True)
class _Share:
    """What one member has of a phase; *is_second* where another was lost that had it first."""

    member: Member
    go: Go
    is_ready: bool = False
    is_over: bool = False
    is_second: bool = False


@dataclass(slots=True)
class _Phase:
    """A phase under way, in *of* shares."""

    crew: Crew
    name: str
    load: Phase
    of: int
    shares: list[_Share] = field(default_factory=list)
    start_ns: int | None = None

    async def hand_out(self, members: list[Member], trials: Iterable[Trial]) -> None:
        """Give each of *members* its share, and wait until all are ready.

        Where a phase lasts for a time each goes through the cycle of its trials itself: it has no end.
        """
        every = [] if self.name in self.crew.plan.cycles else list(trials)
        parts = None if self.name in self.crew.plan.cycles else split.shares(every, self.of)
        left = self._allowed(parts, every)
        for index, member in enumerate(members):
            go = Go(
                self.name,
                self.load,
                index,
                self.of,
                None if parts is None else parts[index],
                deep_research=None if left is None else left[index],
                probes=index == 0,
            )
            self.shares.append(_Share(member, go))
            await member.say(go)
        while not all(share.is_ready or share.is_over for share in self.shares):
            await self._next_word()

    def _allowed(self, parts: list[tuple[Trial, ...]] | None, every: list[Trial]) -> list[int] | None:
        left = self.crew.reins.deep_research
        if left is None:
            return None
        if parts is None:  # of a phase that lasts for a time, as far as anybody will come in it
            every = list(islice(self.crew.plan.phase(self.name), _AHEAD))
            parts = split.shares(every, self.of)
        return split.allowed(parts, every, left)

    async def start(self, start_ns: int) -> None:
        """Have all begin at *start_ns*."""
        self.start_ns = start_ns
        for share in self.shares:
            await share.member.say(Start(share.go.index, start_ns))

    async def until_over(self) -> None:
        """Wait until every trial has a result."""
        while not all(share.is_over for share in self.shares):
            await self._next_word()

    async def _next_word(self) -> None:
        member, word = await self.crew.words.receive()
        match word:
            case Set(index):
                share = self._share(member, index)
                share.is_ready = True
                if self.start_ns is not None:  # it was handed on while the others are under way
                    await member.say(Start(index, self.start_ns))
            case Over(index):
                self._share(member, index).is_over = True
            case Lost(how):
                await self._lost(member, f"{member.seat.name} {how}")

    def _share(self, member: Member, index: int) -> _Share:
        return next(each for each in self.shares if each.member is member and each.go.index == index)

    async def _lost(self, member: Member, said: str) -> None:
        """Hand on what *member* has not finished."""
        member.is_here = False
        mine = [share for share in self.shares if share.member is member and not share.is_over]
        if not mine:
            self.crew.warn(f"{said}; it had nothing under way")
        done = self._done(member)
        for share in mine:
            await self._hand_on(share, done, said)

    def _done(self, member: Member) -> frozenset[str]:
        """The trials that the journal of *member* has a result of, which are all that it counts for now."""
        path = self.crew.folder / journal.of_process(member.seat.number)
        found = [head for head in journal.heads(path) if not head.is_open] if path.exists() else []
        for head in found:
            self.crew.meet(head.trial_id, tuple(filter(None, (each.session_id for each in head.exchanges))))
        if member.beat is not None:
            took_ns = sum(head.ended_ns - head.began_ns for head in found if head.began_ns and head.ended_ns)
            member.beat = replace(member.beat, going={}, in_flight_ns=took_ns, believed=None)
            self.crew.recount()
        return frozenset(head.trial_id for head in found)

    async def _hand_on(self, share: _Share, done: frozenset[str], said: str) -> None:
        share.is_over = True
        go = share.go
        trials = None if go.trials is None else tuple(each for each in go.trials if each.trial_id not in done)
        if trials == ():
            self.crew.warn(f"{said}; all of its trials had a result")
            return
        of_them = "its trials" if trials is None else f"{len(trials)} of its trials"
        others = [each for each in self.crew.members if each.is_here]
        if share.is_second or not others:
            raise CrewLostError(
                f"{said}, and {'so was another before it' if share.is_second else 'no other is left'}: "
                f"{of_them} have no result; `harness run --resume {self.crew.folder.name}` goes on with them"
            )
        heir = min(others, key=lambda each: sum(one.member is each for one in self.shares))
        self.crew.warn(
            f"{said}; {of_them} without a result were handed to {heir.seat.name}: those that were under "
            "way are sent again, and those that fell due meanwhile are late"
        )
        second = replace(go, trials=trials, done=go.done | done, deep_research=_unspent(share))
        self.shares.append(_Share(heir, second, is_second=True))
        await heir.say(second)


def _unspent(share: _Share) -> int | None:
    """The deep-research runs of a share that whoever had it has not sent."""
    allowed, beat = share.go.deep_research, share.member.beat
    return None if allowed is None else max(0, allowed - (beat.spent_deep if beat else 0))


def worst(believed: Sequence[Believed]) -> Believed | None:
    """What a run of several processes is worth: what the least of them is, by all their replies.

    How long reads lay unread is of that process alone, with its count: percentiles are not averaged.
    """
    if not believed:
        return None
    words = list(Worth)
    least = min(
        believed,
        key=lambda each: (
            len(words) if each.verdict.word is None else words.index(each.verdict.word),
            -(each.delay_p99_ms or 0.0),
        ),
    )
    return replace(least, replies=sum(each.replies for each in believed))


@asynccontextmanager
async def leading(crew: Crew, seats: Sequence[Seat], hello: Hello) -> AsyncIterator[None]:
    """*crew* has these *seats*, each told *hello* with its own number, clock and journal.

    Where the block ends well, all close their journals; where it ends by an error they end on the spot.
    """
    crew.members += [Member(seat) for seat in seats]
    async with crew.give, crew.words, anyio.create_task_group() as around:
        async with anyio.create_task_group() as heard:
            for member in crew.members:
                number = member.seat.number
                path = crew.folder / journal.of_process(number)
                told = replace(hello, number=number, journal=path, ahead_ns=member.seat.ahead_ns)
                await member.say(told)
                heard.start_soon(_listen, crew, member)
            around.start_soon(_forward, crew)
            around.start_soon(_look, crew)
            yield
            crew.is_ending = True
            for member in crew.members:
                await member.say(End())
        around.cancel_scope.cancel()


async def _listen(crew: Crew, member: Member) -> None:
    """Hear *member* as long as it is there. Raises what it broke with."""
    while True:
        try:
            message = await member.seat.receive()
        except SeatLostError as lost:
            if not crew.is_ending:
                crew.give.send_nowait((member, Lost(str(lost))))
            return
        match message:
            case Beat():
                crew.heard(member, message)
            case Broke(error, trace):
                raise error or RuntimeError(f"{member.seat.name}: {trace}")
            case Set() | Over():
                crew.give.send_nowait((member, message))


async def _forward(crew: Crew) -> NoReturn:
    """Pass on that our source is up, that the run stops, or that what is under way is to be cut."""
    passed: set[Source | Halt] = set()
    while True:
        for told in _told(crew):
            if told not in passed:
                passed.add(told)
                for member in crew.members:
                    await member.say(told)
        await anyio.sleep(_HEED_S)


def _told(crew: Crew) -> Iterator[Source | Halt]:
    reins, source = crew.reins, crew.source()
    if source is not None:
        yield Source(source)
    if reins.stopped is not None:
        yield Halt(reins.stopped, cut=False)
    if reins.cutting is not None:
        yield Halt(reins.cutting, cut=True)


async def _look(crew: Crew) -> NoReturn:
    while True:
        await anyio.sleep(_LOOK_S)
        crew.tally.look()
