"""A run while it goes on: every trial driven and journalled, then what follows the last of them.

What the server keeps of the conversations is looked at, what the run made is taken away, and the target is
held against what it was at the start. A Ctrl-C ends any of it in order: the first lets trials under way
finish, the second cuts them off, the third skips what would follow.
"""

import threading
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial

import anyio

from harness import journal
from harness.calibrate.probe import stream_source
from harness.conduct.accounts import accounts
from harness.conduct.errands import compare_target, delete_made, look_at_sessions
from harness.conduct.going import Conduct
from harness.conduct.interrupts import rein_in
from harness.conduct.rounds import Send, in_rounds
from harness.crew.crew import Crew, leading
from harness.crew.messages import Hello
from harness.crew.processes import Seat, processes
from harness.drive.monitor import Probe, watch
from harness.drive.pool import Part, Sink, drive, plain_errors
from harness.drive.reins import cut_at
from harness.drive.transport import transport_of, transports
from harness.errors import StandinError
from harness.plan.trials import Trial
from harness.report.live import say, shown
from harness.report.tally import Tally
from harness.result import Moment, Result
from harness.sigma.client import Address, Client
from harness.suite.phases import Phase


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
                    await look_at_sessions(run, book)
            await delete_made(run)
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
        if run.at_round_end is not None and load.asks_each_once:
            await in_rounds(run, name, book, send, sink=sink)
        else:
            await send(name, run.left.phase(name))


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


def _shown(run: Conduct, tally: Tally) -> AbstractAsyncContextManager[None]:
    """Shown to whoever looks on; where nobody does, nothing of it is worked out."""
    options = run.options
    if options.onlooker is not None:
        options.onlooker(tally)
    elif options.console is None:
        return nullcontext()
    return shown(tally, options.console, options.results)
