"""The pool: so many slots, each taking up the next trial when it is free.

A closed load caps what is in flight; overload shows as lower throughput. The
first starts are spread over a moment, since a wave of equal starts measures
only itself (perf.md 4).

Every trial leaves one result, whatever ends the run: those that are never sent
say why.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel

from harness.drive.attempt import Clock, Running, attempt
from harness.drive.faults import refused_until, refuses_the_key
from harness.errors import HarnessError, UsageError
from harness.plan import Trial
from harness.result import Result, Skip
from harness.sigma.client import Client

Sink = Callable[[Result], None]
OpenClient = Callable[[], AbstractAsyncContextManager[Client]]

if sys.platform != "win32":
    import resource

SPARE_FILES = 64
SPREAD_S = 0.0237
LONGEST_SPREAD_S = 2.37
"""Odd on purpose: starts that lie a divisor of the gap between packets apart make streams speak at once."""


@dataclass(slots=True)
class Reins:
    """What can end a run early, and what it may spend.

    *deep_research* is how many such runs are left, None for any number.
    *fail_fast* stops the run at the first failure of Sigma or the network. *stopped* says why the run ends
    early, and *said* what for, in a sentence; *interrupted* that the user asked for it, be it after it was
    ending anyway, and *abandoned* that what follows the trials is not to be waited for either.
    """

    deep_research: int | None = None
    fail_fast: bool = False
    stopped: Skip | None = None
    said: str = ""
    interrupted: bool = False
    abandoned: bool = False
    _running: list[Running] = field(default_factory=list)

    @property
    def in_flight(self) -> int:
        """How many trials are under way."""
        return len(self._running)

    def stop(self, why: Skip) -> None:
        """Send no further trial; those under way finish. The first reason to stop is the one that stands."""
        self.stopped = self.stopped or why
        self.interrupted |= why is Skip.INTERRUPTED

    def heed(self, result: Result) -> None:
        """Stop where *result* shows that no trial would fare better; with *fail_fast*, at any failure."""
        failure = result.failure
        if failure is None or self.stopped is not None:
            return
        if (until := refused_until(failure)) is not None:
            self.said = f"Sigma refuses everything {until} (429: {failure.detail})"
            self.stop(Skip.RATE_LIMITED)
        elif refuses_the_key(failure):
            self.said = f"Sigma does not take the API key any more ({failure.http_status}: {failure.detail})"
            self.stop(Skip.REFUSED)
        elif self.fail_fast:
            self.said = f"the first failure ends the run (--fail-fast): {failure}"
            self.stop(Skip.FAIL_FAST)

    def cut(self, why: Skip) -> None:
        """Send no further trial, and end those under way where they stand."""
        self.stop(why)
        for running in list(self._running):
            running.cut(why)

    def refuses(self, trial: Trial) -> Skip | None:
        """Why *trial* may not be sent, None where it may; a deep-research run is spent by asking."""
        if self.stopped is None and self.deep_research is not None and trial.deep_research:
            if trial.deep_research > self.deep_research:
                return Skip.BUDGET
            self.deep_research -= trial.deep_research
        return self.stopped

    @contextmanager
    def hold(self, running: Running) -> Iterator[None]:
        """Count *running* among what is in flight, where `cut` can reach it."""
        self._running.append(running)
        try:
            yield
        finally:
            self._running.remove(running)


def make_room(workers: int) -> None:
    """Let this process open as many files as *workers* slots may need: a socket each, and one for its stop.

    Raises `UsageError` where the system does not allow it: sockets that cannot be
    opened would be booked as Sigma's refusals.
    """
    if sys.platform == "win32":  # has no such limit
        return
    needed = 2 * workers + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
        except (ValueError, OSError):
            raise UsageError(
                f"{workers} workers need up to {needed} open files, and this system allows {hard}: "
                "raise it with ulimit -n, or use fewer --workers"
            ) from None


async def drive_closed(
    trials: Iterable[Trial], open_client: OpenClient, sink: Sink, *, workers: int, reins: Reins, now: Clock
) -> None:
    """Send *trials* in order over *workers* slots; *sink* gets one result for each of them.

    Every slot has a client of its own, opened by *open_client* (one that shares
    a transport costs nothing). An error that *sink* raises ends the run.
    """
    waiting = iter(trials)

    conversations: dict[str, anyio.Lock] = {}

    async def one(trial: Trial, client: Client) -> None:
        running = Running(trial)
        running.skip = reins.refuses(trial)
        if running.skip is not None:
            sink(running.result(None))
            # A long tail of refusals must not hold up the streams that are still being read.
            await anyio.lowlevel.checkpoint()
            return
        with reins.hold(running):
            result = await attempt(running, client, now)
        sink(result)
        reins.heed(result)

    async def slot(number: int) -> None:
        await anyio.sleep(min(number * SPREAD_S, number * LONGEST_SPREAD_S / workers))
        async with open_client() as client:
            for trial in waiting:
                going_on = trial.settings[0].chat_session_id
                if going_on is None:
                    await one(trial, client)
                else:  # two sends in one session both "succeed", each without seeing the other (wire 1.6)
                    async with conversations.setdefault(going_on, anyio.Lock()):
                        await one(trial, client)

    with plain_errors():
        async with anyio.create_task_group() as tasks:
            for number in range(workers):
                tasks.start_soon(slot, number)


async def cut_at(deadline_ns: int, reins: Reins, *, now: Clock) -> None:
    """Cut the run when *deadline_ns* is reached: the hard stop of `budget.minutes`."""
    await anyio.sleep(max(0, deadline_ns - now()) / 1e9)
    reins.cut(Skip.BUDGET)


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
