"""A run while it goes on: every trial driven and journalled, then what follows the last of them.

What the server keeps of the conversations is looked at, what the run made is taken away, and the target is
held against what it was at the start. A Ctrl-C ends any of it in order: the first lets trials under way
finish, the second cuts them off, the third skips what would follow.
"""

import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
from rich.console import Console

from harness import journal
from harness.calibrate.probe import stream_source
from harness.drive.monitor import Probe, watch
from harness.drive.pool import drive, plain_errors
from harness.drive.preflight import looked_up_again
from harness.drive.reins import Reins, cut_at
from harness.drive.sessions import Errand, delete_sessions, look_at
from harness.drive.transport import transport_of, transports
from harness.errors import StandinError, TargetError
from harness.plan import Choice, Plan
from harness.record import store
from harness.record.histograms import Histograms
from harness.report.live import Tally, counted, keep_showing, live
from harness.result import Result, Skip
from harness.schedule import ends_ns
from harness.sigma.catalogue import Catalogue
from harness.sigma.client import Address, Client
from harness.sigma.fingerprint import changed, fingerprint
from harness.suite.model import Phase

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
    conversations that were there before. *source* is our own, once it is up. *warnings* are what a reader of
    the results should know.
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
    clock_steps: int = 0
    source: Address | None = None

    def __post_init__(self) -> None:
        self.reins = Reins(
            deep_research=self.plan.suite.budget.deep_research,
            fail_fast=self.options.fail_fast,
        )
        settings = (each for asked in self.plan.asked() for each in asked.settings)
        self.given = frozenset(each.chat_session_id for each in settings if each.chat_session_id)

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
    plan, reins = run.plan, run.reins
    with plain_errors(), journal.Journal(run.folder / store.JOURNAL) as book:
        async with anyio.create_task_group() as around:
            if run.options.interruptible and threading.current_thread() is threading.main_thread():
                around.start_soon(_rein_in, reins, run.options.console)
            if plan.suite.budget.minutes is not None:
                around.start_soon(cut_at, reins.now() + round(plan.suite.budget.minutes * 60e9), reins)
            around.start_soon(_source_of_ours, run)
            total = None if plan.cycles else len(plan.trials)
            tally = Tally(total, Histograms(), lambda: reins.in_flight, reins.now)
            for name, load in plan.suite.load.items():
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
    options, transport = run.options, transport_of(run.plan.suite, run.address.base_url)
    if options.workers is not None and not load.is_open:
        load = load.model_copy(update={"workers": options.workers})
    lasts_ns = ends_ns(load)
    tally.ends_ns = None if lasts_ns is None else run.reins.now() + lasts_ns
    with _shown(tally, options.console) as show:

        def sink(result: Result) -> None:
            book.append(result)
            tally.add(result)
            run.meet(result)
            show()

        async with transport() as kept, anyio.create_task_group() as beside:
            beside.start_soon(keep_showing, show)
            target = Probe(lambda: Client(run.address, kept))
            own = Probe(
                lambda: None if run.source is None else Client(run.source, transports(run.source.base_url)())
            )
            beside.start_soon(partial(watch, name, run.reins, book.append, target=target, own=own))
            await drive(
                run.plan.phase(name),
                load,
                lambda: Client(run.address, transport()),
                sink,
                reins=run.reins,
            )
            beside.cancel_scope.cancel()
            run.clock_steps += kept.clock_steps


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
    transport = transport_of(run.plan.suite, run.address.base_url)
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
