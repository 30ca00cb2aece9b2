"""The pool: trials are taken up when a worker is free (closed), or when they are due (open).

A closed load caps what is in flight; overload shows as lower throughput. Its first starts are spread over a
moment, since a wave of equal starts measures only itself (perf.md 4). An open load begins conversations at
their due times however many are under way; overload shows as a queue that grows. Within a conversation both
are closed: a turn follows the answer before it, and the time that a person would take to think.

Every trial leaves one result, whatever ends the run: those that are never sent
say why. The due times are absolute: a late start moves no other.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel

from harness.drive.alarm import Alarm
from harness.drive.attempt import Running, attempt
from harness.drive.collector import out_of_reach
from harness.drive.reins import Reins, room
from harness.errors import HarnessError
from harness.plan.schedule import ends_ns, window
from harness.plan.trials import Trial
from harness.result import Result, Skip
from harness.sigma.client import Client
from harness.suite.phases import Phase

Sink = Callable[[Result], None]
OpenClient = Callable[[], AbstractAsyncContextManager[Client]]

SPREAD_NS = 23_700_000
LONGEST_SPREAD_NS = 2_370_000_000
"""Odd on purpose: starts that lie a divisor of the gap between packets apart make streams speak at once."""

_GLANCE_NS = 100_000_000
"""How long an arrival that is far off is waited for before looking whether the run goes on at all."""

_IDLE_S = 1.0


@dataclass(frozen=True, slots=True)
class Part:
    """The *index*-th *of* so many parts of a load, each of which another process drives.

    The phase began at *start_ns*, or begins then: it is one instant for all parts of it. None is now.
    """

    index: int = 0
    of: int = 1
    start_ns: int | None = None

    def among(self, slots: int) -> range:
        """Those of *slots* that are of this part."""
        return range(self.index, slots, self.of)


WHOLE = Part()


async def drive(
    trials: Iterable[Trial],
    load: Phase,
    open_client: OpenClient,
    sink: Sink,
    *,
    reins: Reins,
    part: Part = WHOLE,
) -> None:
    """Send *trials* in order as *load* says; *sink* gets one result for each of them.

    *trials* are those of one *part* of the load, which has its share of the workers, or of the room.

    Of a closed phase that lasts for a time, as many of them as it comes to. Every worker has a client of its
    own, opened by *open_client* (one that shares a transport costs nothing). An error that *sink* raises
    ends the run.
    """
    with plain_errors(), out_of_reach():
        phase = _Phase(load, sink, reins, reins.now() if part.start_ns is None else part.start_ns, part)
        if load.is_open:
            await _open(trials, phase, open_client)
        else:
            await _closed(trials, phase, open_client)


@dataclass(slots=True)
class _Phase:
    """A phase under way, since *start_ns*."""

    load: Phase
    sink: Sink
    reins: Reins
    start_ns: int
    part: Part = WHOLE
    conversations: dict[str, anyio.Lock] = field(default_factory=dict)

    def book(self, trial: Trial, why: Skip) -> None:
        """A result for a trial that is not sent."""
        running = self._running(trial)
        running.skip = why
        self.sink(running.result(None))

    async def send(self, trial: Trial, client: Client, free_ns: int | None = None) -> None:
        """Send *trial*, unless something speaks against it, and hand on what came of it."""
        refused = self.reins.refuses(trial)
        if refused is not None:
            self.book(trial, refused)
            # A long tail of refusals must not hold up the streams that are still being read.
            await anyio.lowlevel.checkpoint()
            return
        going_on = trial.settings[0].chat_session_id
        if going_on is None:
            await self._send(trial, client, free_ns)
        else:  # two sends in one session both "succeed", each without seeing the other (wire 1.6)
            async with self.conversations.setdefault(going_on, anyio.Lock()):
                await self._send(trial, client, free_ns)

    async def _send(self, trial: Trial, client: Client, free_ns: int | None) -> None:
        running = self._running(trial)
        running.free_ns = free_ns
        with self.reins.hold(running):
            result = await attempt(running, client, self.reins.now)
        self.sink(result)
        self.reins.heed(result)

    def _running(self, trial: Trial) -> Running:
        since_start = self.reins.now() - self.start_ns if trial.due_ns is None else trial.due_ns
        return Running(
            trial,
            due_ns=None if trial.due_ns is None else self.start_ns + trial.due_ns,
            window=trial.window or window(self.load, since_start),
        )


async def _closed(trials: Iterable[Trial], phase: _Phase, open_client: OpenClient) -> None:
    waiting, load, reins = iter(trials), phase.load, phase.reins
    ends, begins_ns = ends_ns(load), max(phase.start_ns, reins.now())

    async def worker(number: int) -> None:
        await anyio.sleep(max(0, begins_ns + _starts_ns(number, load) - reins.now()) / 1e9)
        async with open_client() as client:
            for trial in waiting:
                if ends is not None:
                    if reins.stopped is not None or reins.now() - phase.start_ns >= ends:
                        return
                    if trial.deep_research and reins.deep_research == 0:
                        await anyio.sleep(_IDLE_S)  # there is no end of trials: refusing them would spin
                await reins.first_is_counted()
                await phase.send(trial, client)

    async with anyio.create_task_group() as tasks:
        for number in phase.part.among(load.slots):
            tasks.start_soon(worker, number)


def _starts_ns(number: int, load: Phase) -> int:
    """When a worker starts: over the ramp, or else over a moment."""
    if load.ramp is not None:
        return load.ramp * number // load.slots
    return min(number * SPREAD_NS, number * LONGEST_SPREAD_NS // load.slots)


async def _open(trials: Iterable[Trial], phase: _Phase, open_client: OpenClient) -> None:
    load, reins = phase.load, phase.reins
    most = room()
    if load.max_in_flight is not None:
        most = min(most, len(phase.part.among(load.max_in_flight)))
    free = anyio.Semaphore(most)
    free_ns: int | None = None

    async def one(trial: Trial, client: Client, free_ns: int | None) -> None:
        try:
            await phase.send(trial, client, free_ns)
        finally:
            free.release()

    with Alarm() as alarm:
        async with open_client() as client, anyio.create_task_group() as tasks:
            for trial in trials:
                due_ns = phase.start_ns + (trial.due_ns or 0)
                while reins.stopped is None and reins.now() < due_ns:
                    await alarm.until(min(due_ns, reins.now() + _GLANCE_NS))
                if reins.stopped is not None:
                    phase.book(trial, reins.stopped)
                    continue
                reins.fell_due += 1
                full = not free.value
                if full and load.when_full == "drop":
                    reins.dropped += 1
                    phase.book(trial, Skip.DROPPED)
                    await anyio.lowlevel.checkpoint()
                    continue
                await free.acquire()
                if full:  # and those that fell due in the meantime have waited for it, too
                    free_ns = reins.now()
                tasks.start_soon(one, trial, client, free_ns if due_ns < (free_ns or 0) else None)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Let a `HarnessError` out of the groups that tasks wrap it in: it is a message, not a traceback.

    A bug beside it stays one.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        ours, bugs = group.split(HarnessError)
        if ours is None or bugs is not None:
            raise
        first: BaseException = ours
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
