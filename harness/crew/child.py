"""One process of a run: `python -m harness.crew.child`, told what to do on standard input.

It sends its share of each phase and journals what came; the process that leads hears of it on standard
output. Where that is gone, this one is too, at once: what it had under way is nobody's, and a resumed run
sends it again.
"""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import BinaryIO, NoReturn

import anyio
from anyio.abc import TaskGroup
from msgspec import structs

from harness import journal
from harness.crew import split, wire
from harness.crew.messages import (
    Beat,
    Broke,
    End,
    FromProcess,
    Go,
    Halt,
    Hello,
    Over,
    Set,
    Source,
    Start,
    ToProcess,
)
from harness.drive.loop import in_a_loop
from harness.drive.monitor import Probe, watch
from harness.drive.pool import Part, drive, plain_errors
from harness.drive.reins import Reins
from harness.drive.transport import StampedTransport, transport_of, transports
from harness.errors import HarnessError
from harness.plan.trials import Plan, Trial
from harness.report.sofar import keep_judging
from harness.report.tally import Tally
from harness.result import Moment, Result
from harness.sigma.client import Address, Client

BEAT_S = 0.25
"""How often the process that leads is told what came."""

Receive = Callable[[], Awaitable[ToProcess]]
Tell = Callable[[FromProcess], None]


@dataclass(slots=True)
class Process:
    """What one process was told, and what it has come to.

    *shares* are those that wait for their start, by their index; *watches* ends the watch of a phase when so
    many shares of it have. *granted* deep-research runs may be sent in all, *source* is our own once it is
    up.
    """

    hello: Hello
    tell: Tell
    book: journal.Journal
    reins: Reins
    tally: Tally
    shares: dict[int, Go] = field(default_factory=dict)
    met: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    watches: dict[str, tuple[anyio.CancelScope, int]] = field(default_factory=dict)
    granted: int | None = None
    source: Address | None = None
    clock_steps: int = 0

    def sink(self, result: Result) -> None:
        """Keep *result*, and count it in."""
        self.book.append(result)
        self.tally.add(result)
        names = dict.fromkeys(filter(None, (each.session_id for each in result.exchanges)))
        if names:
            self.met.append((result.trial_id, tuple(names)))

    def keep(self, moment: Moment) -> None:
        """Keep *moment*, a second of this process."""
        moment = structs.replace(moment, process=self.hello.number)
        self.book.append(moment)
        self.tally.note(moment)

    def beat(self) -> Beat:
        """What came since the last one."""
        reins, met = self.reins, tuple(self.met)
        self.met.clear()
        return Beat(
            self.tally.taken(),
            met,
            reins.going(),
            fell_due=reins.fell_due,
            began=reins.began,
            dropped=reins.dropped,
            in_flight_ns=reins.in_flight_ns,
            spent_deep=(self.granted or 0) - (reins.deep_research or 0),
            clock_steps=self.clock_steps,
            stopped=reins.stopped,
            said=reins.said,
            believed=self.tally.believed,
        )


async def serve(receive: Receive, tell: Tell) -> None:
    """Do what is *received* until that was all, and *tell* what comes of it. Errors are told, too."""
    try:
        with plain_errors():
            await _serve(receive, tell)
    except HarnessError as error:
        tell(Broke(error))
    except Exception:  # noqa: BLE001  whatever it is, the process that leads has the user to tell
        tell(Broke(None, traceback.format_exc()))


async def _serve(receive: Receive, tell: Tell) -> None:
    hello = await receive()
    assert isinstance(hello, Hello)  # noqa: S101  the first message is one
    reins = Reins(fail_fast=hello.fail_fast)
    with journal.Journal(hello.journal, hello.leg, ahead_ns=hello.ahead_ns) as book:
        process = Process(hello, tell, book, reins, Tally(hello.plan, reins))
        async with anyio.create_task_group() as around:
            around.start_soon(journal.keep_on_disk, book)
            around.start_soon(_beat, process)
            if hello.results is not None:
                around.start_soon(keep_judging, process.tally, hello.results)
            async with anyio.create_task_group() as tasks:
                while not isinstance(message := await receive(), End):
                    _heed(process, message, tasks)
            around.cancel_scope.cancel()
    tell(process.beat())


async def _beat(process: Process) -> NoReturn:
    while True:
        await anyio.sleep(BEAT_S)
        process.tell(process.beat())


def _heed(process: Process, message: ToProcess, tasks: TaskGroup) -> None:
    match message:
        case Go():
            process.shares[message.index] = message
            if message.deep_research is not None:
                process.granted = (process.granted or 0) + message.deep_research
                process.reins.deep_research = (process.reins.deep_research or 0) + message.deep_research
            process.tell(Set(message.index))
        case Start():
            tasks.start_soon(_send, process, process.shares.pop(message.index), message.start_ns, tasks)
        case Source(address):
            process.source = address
        case Halt(why, cut=True):
            process.reins.cut(why)
        case Halt(why):
            process.reins.stop(why)
        case other:
            raise AssertionError(other)


async def _send(process: Process, share: Go, start_ns: int, tasks: TaskGroup) -> None:
    """Send the trials of a *share* of a phase that begins or began at *start_ns*; tell when it is over."""
    hello, reins = process.hello, process.reins
    transport = transport_of(hello.plan.suite, hello.address.base_url)
    here_ns = start_ns - hello.ahead_ns
    process.tally.enter(share.phase, share.load, elapsed_ns=reins.now() - here_ns)
    async with transport() as kept:
        with _watched(process, share, _probes(process, share, kept), tasks):
            await drive(
                _trials(hello.plan, share),
                share.load,
                lambda: Client(hello.address, transport()),
                process.sink,
                reins=reins,
                part=Part(share.index, share.of, here_ns),
            )
        process.clock_steps += kept.clock_steps
    process.tell(process.beat())
    process.tell(Over(share.index))


def _trials(plan: Plan, share: Go) -> Iterable[Trial]:
    if share.trials is not None:
        return share.trials
    mine = split.mine(plan.phase(share.phase), Part(share.index, share.of))
    return (trial for trial in mine if trial.trial_id not in share.done)


Probes = tuple[Probe | None, Probe | None]


def _probes(process: Process, share: Go, kept: StampedTransport) -> Probes:
    """What asks the target, and a source of our own, where this process is the one to do that."""
    if not share.probes:
        return None, None

    def own() -> Client | None:
        source = process.source
        return None if source is None else Client(source, transports(source.base_url)())

    return Probe(lambda: Client(process.hello.address, kept)), Probe(own)


@contextmanager
def _watched(process: Process, share: Go, probes: Probes, tasks: TaskGroup) -> Iterator[None]:
    """Look at this process as long as it sends anything of the phase, be it more than one share."""
    scope, ends = process.watches.get(share.phase, (anyio.CancelScope(), 0))
    process.watches[share.phase] = scope, ends + 1
    if not ends:
        tasks.start_soon(_watch, process, share.phase, probes, scope)
    try:
        yield
    finally:
        scope, ends = process.watches.pop(share.phase)
        if ends > 1:
            process.watches[share.phase] = scope, ends - 1
        else:
            scope.cancel()


async def _watch(process: Process, phase: str, probes: Probes, scope: anyio.CancelScope) -> None:
    target, own = probes
    with scope:
        await watch(phase, process.reins, process.keep, target=target, own=own)


def main() -> NoReturn:
    """Serve whoever started this process, over its standard input and output."""
    for stop in (signal.SIGINT, signal.SIGTERM):  # they are for the process that leads, which has us told
        signal.signal(stop, signal.SIG_IGN)
    pipe = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a library prints is no message
    told: SimpleQueue[FromProcess | None] = SimpleQueue()
    writer = threading.Thread(target=_write, args=(pipe, told), daemon=True)
    writer.start()
    in_a_loop(partial(serve, _received, told.put))
    told.put(None)
    writer.join()
    os._exit(0)  # a thread may be waiting for a message that will not come


def _write(pipe: BinaryIO, told: "SimpleQueue[FromProcess | None]") -> None:
    """Write what is *told*, off the loop, which must not wait for a pipe that is full."""
    try:
        while (message := told.get()) is not None:
            line = wire.packed(message)
            while line:
                line = line[pipe.write(line) :]
    except OSError:
        os._exit(1)


async def _received() -> ToProcess:
    """The next message. Where nobody is left to send one, this process ends on the spot."""
    try:
        message: ToProcess = await anyio.to_thread.run_sync(wire.read, _exactly, abandon_on_cancel=True)
    except EOFError:
        os._exit(1)
    return message


def _exactly(count: int) -> bytes:
    told = sys.stdin.buffer.read(count)
    if len(told) < count:
        raise EOFError
    return told


if __name__ == "__main__":
    main()
