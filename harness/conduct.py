"""A run while it goes on: every trial driven and journalled, then what follows the last of them.

What the server keeps of the conversations is looked at, what the run made is taken away, and the target is
held against what it was at the start. A Ctrl-C ends any of it in order: the first lets trials under way
finish, the second cuts them off, the third skips what would follow.
"""

import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
from rich.console import Console

from harness import journal
from harness.drive.pool import Reins, cut_at, drive_closed, plain_errors
from harness.drive.preflight import looked_up_again
from harness.drive.sessions import Errand, delete_sessions, look_at
from harness.drive.transport import transports
from harness.errors import TargetError
from harness.plan import Choice, Plan
from harness.record import store
from harness.record.histograms import Histograms
from harness.report.live import Tally, counted, keep_showing, live
from harness.result import Result, Skip
from harness.sigma.catalogue import Catalogue
from harness.sigma.client import Address, Client
from harness.sigma.fingerprint import changed, fingerprint

GRACE_S = 30.0
"""How long trials under way may go on after the first Ctrl-C."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a suite is run, beside what it says itself.

    *target* is a URL or ``standin``. *workers* takes the place of the `workers`
    of every phase. *console* shows the progress; None shows nothing.
    *interruptible*: the first Ctrl-C lets trials under way finish (for at most
    30 s), the second cuts them off, the third skips looking at sessions and
    cleaning up; all leave a whole record.
    """

    choice: Choice = field(default_factory=Choice)
    seed: int = 0
    target: str | None = None
    workers: int | None = None
    fail_fast: bool = False
    results: Path = Path("results")
    console: Console | None = None
    interruptible: bool = False


@dataclass(slots=True)
class Conduct:
    """A run while it goes on.

    *made* are the sessions that it made, *to_look* those that are to be looked at; *given* by the suite are
    conversations that were there before. *warnings* are what a reader of the results should know.
    """

    plan: Plan
    address: Address
    options: Options
    folder: Path
    catalogue: Catalogue
    reins: Reins = field(init=False)
    given: frozenset[str] = field(init=False)
    made: dict[str, None] = field(default_factory=dict)
    to_look: dict[str, None] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    deleted: dict[str, int] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reins = Reins(
            deep_research=self.plan.suite.budget.deep_research, fail_fast=self.options.fail_fast
        )
        asked = (settings for trial in self.plan.trials for settings in trial.settings)
        self.given = frozenset(one.chat_session_id for one in asked if one.chat_session_id)

    def meet(self, result: Result) -> None:
        """Remember the conversations of *result*."""
        looked = int(result.trial_id[:8], 16) < self.plan.suite.target.audit * (1 << 32)
        for session_id in filter(None, (exchange.session_id for exchange in result.exchanges)):
            if session_id not in self.given:
                self.made[session_id] = None
            if looked:
                self.to_look[session_id] = None

    def warn(self, words: str) -> None:
        """Say it now, and keep it with the results."""
        self.warnings.append(words)
        say(self.options.console, f"warning: {words}", style="yellow")


async def conduct(run: Conduct) -> None:
    """Send every trial, look at what the server keeps of each, and clean up after it."""
    plan, address, options, reins, now = run.plan, run.address, run.options, run.reins, time.perf_counter_ns
    histograms, transport = Histograms(), transports(address.base_url)
    tally = Tally(len(plan.trials), histograms, lambda: reins.in_flight, now, began_ns=now())
    minutes = plan.suite.budget.minutes
    with plain_errors(), journal.Journal(run.folder / store.JOURNAL) as book:
        async with anyio.create_task_group() as around:
            if options.interruptible and threading.current_thread() is threading.main_thread():
                around.start_soon(_rein_in, reins, options.console)
            if minutes is not None:
                around.start_soon(partial(cut_at, now() + round(minutes * 60e9), reins, now=now))
            for phase, load in plan.suite.load.items():
                with _shown(tally, options.console) as show:

                    def sink(result: Result, show: Callable[[], None] = show) -> None:
                        book.append(result)
                        histograms.add(result)
                        tally.add(result)
                        run.meet(result)
                        show()

                    async with anyio.create_task_group() as shown:
                        shown.start_soon(keep_showing, show)
                        await drive_closed(
                            plan.phase(phase),
                            lambda: Client(address, transport()),
                            sink,
                            workers=options.workers or load.workers,
                            reins=reins,
                            now=now,
                        )
                        shown.cancel_scope.cancel()
                await _look(run, book)
            await _delete_sessions(run)
            await compare_target(run)
            around.cancel_scope.cancel()
    if reins.said:
        run.warn(f"the run was stopped: {reins.said}")


async def _look(run: Conduct, book: journal.Journal) -> None:
    """Journal what the server keeps of the conversations so far: which model answered, and the rest."""
    wanted, run.to_look = list(run.to_look), {}
    async with _errand(run, "sessions looked at", len(wanted)) as errand:
        await look_at(errand, wanted, book.append)
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
    async with _errand(run, "sessions deleted", len(run.made)) as errand:
        await delete_sessions(errand, list(run.made))
    run.deleted["sessions"] = errand.done
    if errand.done < len(run.made):
        run.warn(
            f"{len(run.made) - errand.done} of {len(run.made)} sessions could not be deleted: "
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
    transport = transports(run.address.base_url)
    async with Client(run.address, transport()) as client:
        with counted(run.options.console, what, total) as advance:
            yield Errand(client, advance, lambda: run.reins.abandoned)


async def _rein_in(reins: Reins, console: Console | None) -> None:
    """First Ctrl-C: no new trials, those under way may finish. Second: cut them off. Third: that is all."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with anyio.create_task_group() as grace:
            asked = 0
            async for _ in signals:
                asked += 1
                match asked:
                    case 1:
                        may = f"{reins.in_flight} trials may finish, for {GRACE_S:g} s; Ctrl-C cuts them off"
                        say(console, f"stopping: {may}")
                        reins.stop(Skip.INTERRUPTED)
                        grace.start_soon(_cut_after_grace, reins)
                    case 2:
                        say(
                            console,
                            "cut off; what the run made is looked at and cleaned up; Ctrl-C skips that",
                        )
                        reins.cut(Skip.INTERRUPTED)
                    case _:
                        reins.abandoned = True


async def _cut_after_grace(reins: Reins) -> None:
    await anyio.sleep(GRACE_S)
    reins.cut(Skip.INTERRUPTED)


def say(console: Console | None, words: str, *, style: str = "dim") -> None:
    """Talk to whoever watches, if anybody does."""
    if console is not None:
        console.print(words, style=style, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def _shown(tally: Tally, console: Console | None) -> Iterator[Callable[[], None]]:
    if console is None:
        yield lambda: None
    else:
        with live(tally, console) as show:
            yield show
