"""What can end a run early, what it may spend, and what is under way."""

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import anyio

from harness.drive.attempt import Clock, Running
from harness.drive.faults import refused_until, refuses_the_key
from harness.drive.purse import Purse
from harness.errors import UsageError
from harness.plan.trials import Trial
from harness.result import Result, Skip

if sys.platform != "win32":
    import resource

SPARE_FILES = 64


@dataclass(slots=True)
class Reins:
    """What can end a run early, and what it may spend.

    *deep_research* is how many such runs are left, None for any number; *purse* has the rest of the budget.
    *fail_fast* stops the run at the first failure of Sigma or the network. *stopped* says why the run ends
    early, and *said* what for, in a sentence; *interrupted* that the user asked for it, be it after it was
    ending anyway, and *abandoned* that what follows the trials is not to be waited for either.
    *cutting* says why trials under way are ended where they stand. *before* are trials of an earlier leg of
    the run that the purse has counted, *elsewhere* those under way in other processes, by phase and variant.
    *in_flight_ns* is the area beneath the number of trials under way: what Little's law is checked with.
    """

    now: Clock = time.perf_counter_ns
    deep_research: int | None = None
    purse: Purse = field(default_factory=Purse)
    fail_fast: bool = False
    stopped: Skip | None = None
    cutting: Skip | None = None
    said: str = ""
    interrupted: bool = False
    abandoned: bool = False
    fell_due: int = 0
    began: int = 0
    before: int = 0
    dropped: int = 0
    in_flight_ns: int = 0
    elsewhere: "Counter[tuple[str, str]]" = field(default_factory=Counter)
    _is_counted: anyio.Event = field(default_factory=anyio.Event)
    _counted_ns: int = 0
    _running: dict[int, Running] = field(default_factory=dict)

    @property
    def in_flight(self) -> int:
        """How many trials are under way."""
        return len(self._running) + self.elsewhere.total()

    def going(self) -> "Counter[tuple[str, str]]":
        """How many trials are under way, by phase and variant. May be asked by another thread."""
        here = Counter((each.trial.phase, each.trial.variant) for each in self.under_way())
        return here + self.elsewhere

    def under_way(self) -> list[Running]:
        """The trials under way in this process. May be asked by another thread."""
        return list(self._running.values())

    def stop(self, why: Skip) -> None:
        """Send no further trial; those under way finish. The first reason to stop is the one that stands."""
        self.stopped = self.stopped or why
        self._is_counted.set()  # none will be waited for
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
        self.cutting = self.cutting or why
        for running in list(self._running.values()):
            running.cut(why)

    def refuses(self, trial: Trial) -> Skip | None:
        """Why *trial* may not be sent, None where it may; a deep-research run is spent by asking."""
        if self.stopped is None and self.deep_research is not None and trial.deep_research:
            if trial.deep_research > self.deep_research:
                return Skip.BUDGET
            self.deep_research -= trial.deep_research
        if self.stopped is None and self.purse.is_limited and not self.purse.has_room(self.uncounted):
            beside = f", and {self.uncounted} trials under way" if self.uncounted else ""
            self.said = f"the budget would be overdrawn: {self.purse.told} spent{beside}"
            self.stop(Skip.BUDGET)
        return self.stopped

    async def first_is_counted(self) -> None:
        """With a budget, the first trial goes alone: the others wait until it is known what one costs."""
        if self.purse.is_limited and self.began and self.stopped is None:
            await self._is_counted.wait()

    @property
    def uncounted(self) -> int:
        """Trials that were sent and whose cost is not known yet."""
        return self.began + self.before - self.purse.counted

    def booked(self) -> None:
        """Cut the run where more is spent than there was, now that more is known of that."""
        self._is_counted.set()
        if self.purse.is_overdrawn:
            self.said = self.said or f"the budget is used up: {self.purse.told} spent"
            self.cut(Skip.BUDGET)

    @contextmanager
    def hold(self, running: Running) -> Iterator[None]:
        """Count *running* among what is in flight, where `cut` can reach it."""
        self._count()
        self._running[id(running)] = running
        self.began += 1
        try:
            yield
        finally:
            self._count()
            del self._running[id(running)]

    def _count(self) -> None:
        now = self.now()
        self.in_flight_ns += len(self._running) * (now - self._counted_ns)
        self._counted_ns = now


async def cut_at(deadline_ns: int, reins: Reins) -> None:
    """Cut the run when *deadline_ns* is reached: the hard stop of `budget.minutes`."""
    await anyio.sleep(max(0, deadline_ns - reins.now()) / 1e9)
    reins.cut(Skip.BUDGET)


def make_room(in_flight: int, *, what: str = "workers") -> None:
    """Let this process open as many files as *in_flight* trials may need: two sockets each.

    Raises `UsageError` where the system does not allow it: sockets that cannot be
    opened would be booked as Sigma's refusals.
    """
    if sys.platform == "win32":  # has no such limit
        return
    needed = 2 * in_flight + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
        except (ValueError, OSError):
            raise UsageError(
                f"{in_flight} {what} need up to {needed} open files, and this system allows {hard}: "
                f"raise it with ulimit -n, or use fewer {what}"
            ) from None


def room() -> int:
    """How many trials may be in flight for the limit of open files, once that is as high as it goes."""
    if sys.platform == "win32":
        return sys.maxsize
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        return sys.maxsize
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return (hard - SPARE_FILES) // 2
