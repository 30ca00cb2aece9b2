"""Processes that read streams on a few cores, simulated: how much they read, and how late they see it.

A discrete-event simulation, the same for the same seed. Each process is one event loop: it asks which sockets
have something, and reads each of them once; a read takes all that waits there, so a process that is behind
reads more at a time and pays less a packet. When a reply has ended (its stop comes with the last packet) its
process pays for that once all sockets are read, sends the next request, and goes on. The source is a process
like them, and has its share of the cores. A core is given to whoever is ready in turn, for as long as there
is something to do, or for a slice.

What it leaves out: caches, the sharing of a core by two hyperthreads, who of those that wait for a core the
kernel thinks should be next, and whatever else stalls a process for a moment, be it garbage collection or an
interrupt.
"""

import heapq
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from math import inf
from random import Random

BLOCK = -1.0
"""What a process says in place of a time when it has nothing to do."""

Steps = Generator[float, None, None]
"""What a process does: CPU µs after CPU µs, or `BLOCK`."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What things cost, in µs of CPU.

    Of a client: a *read* with one packet in it, each *packet* more in the same read, a *wake* when nothing
    had been there to read, a whole *request* (sent, ended, and the next one begun), and of that what it takes
    to *keep* each packet of its reply: decoded, journalled, counted. Of the source: to *send* a packet, a
    *source_wake*, and to *answer* a request. *stamp* is how much of a read lies before its stamp. *latency*
    is how long a process that waits takes to run on a free core, and *slice* how long it keeps one that
    others want; both in µs too, but of nobody's CPU. *share* is how much of a second a process may run.
    """

    read: float
    packet: float
    wake: float
    request: float
    keep: float
    send: float
    source_wake: float
    answer: float
    latency: float
    slice: float = inf
    share: float = 1.0
    stamp: float = 3.0


@dataclass(frozen=True, slots=True)
class Load:
    """So many *streams* over *processes* on *cores*, each one reply of *packets* packets after another.

    *gap* is from packet to packet and *ttft* from request to first packet, in µs.
    """

    streams: int
    processes: int
    cores: int
    packets: int
    gap: float
    ttft: float = 200_000.0
    endless: bool = False
    spread: float | None = None


@dataclass(frozen=True, slots=True)
class Simulated:
    """What came of it, a second: *packets_s*, *reads_s*, *waits_s* and *replies_s* of all processes together.

    *cpu* is the CPUs that they used, *source_cpu* those of the source. The delays are of reads, from the
    arrival of their last packet until they were seen, in ms.
    """

    packets_s: float
    reads_s: float
    waits_s: float
    replies_s: float
    cpu: float
    source_cpu: float
    merged: float
    delay_p50_ms: float
    delay_p99_ms: float


@dataclass(slots=True, eq=False)
class Stream:
    """One stream: *due* is its next packet, *left* of the reply are to be sent, *unread* have arrived."""

    owner: "Process"
    due: float = 0.0
    left: int = 0
    unread: int = 0
    arrived: float = 0.0
    ends: bool = False
    queued: bool = False


@dataclass(slots=True, eq=False)
class Process:
    """One event loop: how long it *ran* on its core, the CPU it *used*, how often it *waits* for work."""

    steps: Steps | None = None
    blocked: bool = False
    ran: float = 0.0
    used: float = 0.0
    waits: int = 0
    second: int = -1
    spent: float = 0.0
    ready: deque[Stream] = field(default_factory=deque)


@dataclass(slots=True)
class World:
    """Cores, processes, and what is to happen."""

    load: Load
    costs: Costs
    now: float = 0.0
    number: int = 0
    free: int = 0
    events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    queue: deque[Process] = field(default_factory=deque)
    source: Process = field(default_factory=Process)
    clients: list[Process] = field(default_factory=list)
    due: list[tuple[float, int, Stream]] = field(default_factory=list)
    asked: deque[Stream] = field(default_factory=deque)
    delays: list[float] = field(default_factory=list)
    packets: int = 0
    shared: int = 0
    replies: int = 0

    def at(self, when: float, what: Callable[[], None]) -> None:
        self.number += 1
        heapq.heappush(self.events, (when, self.number, what))

    def run_until(self, end: float) -> None:
        while self.events and self.events[0][0] <= end:
            self.now, _, what = heapq.heappop(self.events)
            what()
        self.now = end

    def wake(self, process: Process) -> None:
        """Have *process* run, soon on a free core, or after those that are before it."""
        if not process.blocked:
            return
        process.blocked = False
        if self.free:
            self.free -= 1
            process.ran = 0.0
            self.at(self.now + self.costs.latency, lambda: self._go_on(process))
        else:
            self.queue.append(process)

    def _go_on(self, process: Process) -> None:
        """*process* has a core: it does the next thing, unless it had that long enough and others wait."""
        if self.queue and process.ran >= self.costs.slice:
            self.queue.append(process)
            self._give()
            return
        assert process.steps is not None
        if self._has_had_its_share(process):
            self.at((process.second + 1) * 1e6, lambda: self.wake(process))
            process.blocked = True
            self._give()
            return
        took = next(process.steps)
        if took == BLOCK:
            process.blocked, process.waits = True, process.waits + 1
            self._give()
            return
        process.ran += took
        process.used += took
        process.spent += took
        self.at(self.now + took, lambda: self._go_on(process))

    def _has_had_its_share(self, process: Process) -> bool:
        if (second := int(self.now / 1e6)) > process.second:
            process.second, process.spent = second, 0.0
        return process.spent >= self.costs.share * 1e6

    def _give(self) -> None:
        """Give a core that was let go of to the next in the queue."""
        if not self.queue:
            self.free += 1
            return
        process = self.queue.popleft()
        process.ran = 0.0
        self._go_on(process)


def client(world: World, me: Process) -> Steps:
    """An event loop that reads what has come, and asks anew where a reply has ended."""
    costs = world.costs
    while True:
        if not me.ready:
            yield BLOCK
            yield costs.wake
        batch, me.ready = me.ready, deque()
        ended: list[Stream] = []
        for stream in batch:
            count = stream.unread
            if stream.ends:
                ended.append(stream)
            stream.unread, stream.queued, stream.ends = 0, False, False
            world.delays.append(world.now + costs.stamp - stream.arrived)
            world.packets += count
            world.shared += count if count > 1 else 0
            yield costs.read + costs.packet * (count - 1)
        for stream in ended:
            world.replies += 1
            yield costs.request + costs.keep * world.load.packets
            _ask(world, stream)


def source(world: World, me: Process) -> Steps:
    """A server that sends each packet when it is due, or as soon after that as it can."""
    costs, load = world.costs, world.load
    while True:
        if not world.asked and (not world.due or world.due[0][0] > world.now):
            if world.due:
                world.at(world.due[0][0], lambda: world.wake(me))
            yield BLOCK
            yield costs.source_wake
        while world.due and world.due[0][0] <= world.now:
            _, _, stream = heapq.heappop(world.due)
            yield costs.send
            _deliver(world, stream)
        while world.asked:
            stream = world.asked.popleft()
            yield costs.answer
            stream.left, stream.due = load.packets, world.now + load.ttft
            _schedule(world, stream)


def _deliver(world: World, stream: Stream) -> None:
    """The packet has arrived; its reader has something to read."""
    stream.left -= 1
    stream.unread, stream.arrived = stream.unread + 1, world.now
    stream.ends |= not stream.left
    if not stream.queued:
        stream.queued = True
        stream.owner.ready.append(stream)
        world.wake(stream.owner)
    if stream.left:
        stream.due += world.load.gap
        _schedule(world, stream)


def _schedule(world: World, stream: Stream) -> None:
    world.number += 1
    heapq.heappush(world.due, (stream.due, world.number, stream))


def simulate(
    load: Load, costs: Costs, *, seconds: float = 3.0, warm_up: float = 1.0, seed: int = 0
) -> Simulated:
    """What *load* comes to in so many simulated *seconds*, after those of *warm_up* that do not count."""
    random, world = Random(seed), World(load, costs, free=load.cores)
    world.clients = [Process() for _ in range(load.processes)]
    world.source.steps = source(world, world.source)
    for process in world.clients:
        process.steps = client(world, process)
    for number in range(load.streams):
        _begin(world, Stream(world.clients[number % load.processes]), number, random)
    for process in (world.source, *world.clients):
        process.blocked = True
        world.wake(process)
    world.run_until(warm_up * 1e6)
    return _counted(world, seconds)


def _begin(world: World, stream: Stream, number: int, random: Random) -> None:
    """Have the *number*-th stream send its first request, or be in the middle of its reply."""
    load = world.load
    if load.spread is not None:
        world.at(number * load.spread, lambda: _ask(world, stream))
        return
    into = random.random() * (load.ttft + load.packets * load.gap)
    left = load.packets - int(max(0.0, into - load.ttft) / load.gap)
    stream.left = 2**60 if load.endless else max(1, left)
    stream.due = max(load.ttft - into, random.random() * load.gap)
    _schedule(world, stream)


def _ask(world: World, stream: Stream) -> None:
    world.asked.append(stream)
    world.wake(world.source)


def _counted(world: World, seconds: float) -> Simulated:
    """What comes to pass in so many seconds from now on."""
    used, served = _used(world.clients), world.source.used
    waits = sum(each.waits for each in world.clients)
    world.delays.clear()
    world.packets = world.shared = world.replies = 0
    world.run_until(world.now + seconds * 1e6)
    delays = sorted(world.delays)
    return Simulated(
        packets_s=world.packets / seconds,
        reads_s=len(delays) / seconds,
        waits_s=(sum(each.waits for each in world.clients) - waits) / seconds,
        replies_s=world.replies / seconds,
        cpu=(_used(world.clients) - used) / seconds / 1e6,
        source_cpu=(world.source.used - served) / seconds / 1e6,
        merged=world.shared / max(1, world.packets),
        delay_p50_ms=delays[len(delays) // 2] / 1000,
        delay_p99_ms=delays[len(delays) * 99 // 100] / 1000,
    )


def _used(processes: Sequence[Process]) -> float:
    return sum(process.used for process in processes)
