"""Processes on the nodes of a Ray cluster: `harness run --cluster local | auto | HOST:PORT | ray://HOST:PORT`.

Ray brings a relay (`harness.crew.relay`) to each node and carries calls to it; what is said is what is said
to a process of this machine. The journal of each comes back as it grows and lies in the run's folder, so what
a node had told before it was lost is on record here.

A cluster has to be one that you trust: who may send it work runs code on its nodes, and what we send there
has the API key.
"""

import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import anyio

from harness import __version__
from harness.crew.clocks import Ping, Reading, compared, read_clock
from harness.crew.driver import ClusterError, Node, brief, driving, errors, on_node, ray
from harness.crew.processes import ENDS_S, SeatLostError
from harness.crew.relay import About, Relay, machine
from harness.crew.station import Station, follow
from harness.errors import UsageError
from harness.record.nodes import NodeClock

READY_S = 60.0
"""How long nodes may take to start our processes."""

PULSE_S = 2.0
"""How often each relay hears that we are there, whatever else goes on here: before it thinks we are not."""

PINGS, PINGS_S = 200, 1.0
"""A clock is read from so many round trips, or from as many as there are in so many seconds."""

_PING_S = 5.0


@dataclass(slots=True)
class Cluster:
    """The nodes that we joined, with our processes on them, and how their clocks stood to ours at *first*.

    *is_here* says that all of them are this very machine.
    """

    stations: list[Station]
    first: dict[str, Reading]
    is_here: bool

    @property
    def clocks(self) -> tuple[NodeClock, ...]:
        """What is known of each node's clock since the start."""
        return self._compared({})

    async def clocks_again(self) -> tuple[NodeClock, ...]:
        """The same, once each was read again, now; one that is lost has no last reading."""
        last: dict[str, Reading] = {}
        for node_id, station in _first_of_each(self.stations).items():
            with suppress(SeatLostError):
                last[node_id] = await anyio.to_thread.run_sync(_read_clock, station)
        return self._compared(last)

    def _compared(self, last: dict[str, Reading]) -> tuple[NodeClock, ...]:
        many = Counter(station.node for station in self.stations)
        return tuple(
            compared(
                NodeClock(node=node.name, address=node.address, processes=count, is_here=self.is_here),
                self.first[node.node_id],
                last.get(node.node_id),
            )
            for node, count in many.items()
        )

    @asynccontextmanager
    async def seats(self) -> AsyncIterator[list[Station]]:
        """The processes, heard as long as the block lasts."""
        async with anyio.create_task_group() as around:
            for station in self.stations:
                around.start_soon(follow, station)
            yield self.stations
            around.cancel_scope.cancel()


@asynccontextmanager
async def joined(where: str, processes: int, say: Callable[[str], None]) -> AsyncIterator[Cluster]:
    """Our *processes* on the nodes of the cluster that is *where*, spread evenly; 1 means one on each node.

    *where* is as in `harness.crew.driver.driving`. *say* tells how far it has come. Raises `UsageError` and
    `ClusterError`.
    """
    say("starting Ray on this machine …" if where == "local" else f"joining the cluster at {where} …")
    async with driving(where, processes) as nodes:
        stations = await _stations(placed(nodes, processes))
        with _pulse(stations):
            try:
                yield await _with_clocks(stations, say)
            finally:
                with anyio.CancelScope(shield=True):
                    await _leave(stations)


def placed(nodes: Sequence[Node], processes: int) -> list[Node]:
    """The node of each process, in their order: as many on each as on any other, as far as there are slots.

    1 means one on each. Raises `UsageError` where there are fewer slots than processes.
    """
    free = {node: node.slots for node in nodes if node.slots}
    wanted = len(free) if processes == 1 else processes
    if not free or wanted > sum(free.values()):
        slots = ", ".join(f"{node.name}: {node.slots}" for node in nodes) or "no node is alive"
        raise UsageError(
            f"--cluster: {max(1, wanted)} processes need as many CPUs, as Ray counts them, and there are "
            f"{sum(free.values())} ({slots}): ask for fewer with --processes, or start nodes with more "
            "(ray start --num-cpus)"
        )
    found: list[Node] = []
    while len(found) < wanted:
        for node in [each for each, left in free.items() if left][: wanted - len(found)]:
            free[node] -= 1
            found.append(node)
    return sorted(found, key=list(free).index)


async def _stations(nodes: Sequence[Node]) -> list[Station]:
    """A process on each of *nodes*, which may come more than once. Raises `ClusterError` and `UsageError`."""
    actor = ray().remote(num_cpus=1, max_restarts=0, max_concurrency=8)(Relay)
    relays = [actor.options(scheduling_strategy=on_node(node)).remote() for node in nodes]
    until = anyio.current_time() + READY_S
    pairs = enumerate(zip(nodes, relays, strict=True), 1)
    return [Station(number, node, relay, await _about(node, relay, until)) for number, (node, relay) in pairs]


async def _about(node: Node, relay: Any, until: float) -> About:
    missing = f"node {node.name} does not start our process"
    try:
        with anyio.fail_after(until - anyio.current_time()):
            about: About = await relay.about.remote()
    except TimeoutError as error:
        raise ClusterError(f"{missing} within {READY_S:g} s: is another job using its CPUs?") from error
    except errors() as error:
        if "No module named" in str(error):
            raise UsageError(
                f"{missing}: sigma-harness is not installed there, or not this version: "
                f"pip install 'sigma-harness[ray]=={__version__}' on every node"
            ) from error
        raise ClusterError(f"{missing}: {brief(error)}") from error
    if about.version != __version__:
        raise UsageError(
            f"node {node.name} has sigma-harness {about.version}, and this is {__version__}: what the two "
            "make of a trial may differ; install the same on every node"
        )
    return about


async def _with_clocks(stations: list[Station], say: Callable[[str], None]) -> Cluster:
    """The nodes with their clocks read, one after the other: two at a time would wait for each other."""
    first = {}
    for node_id, station in _first_of_each(stations).items():
        try:
            first[node_id] = await anyio.to_thread.run_sync(_read_clock, station)
        except SeatLostError as error:
            raise ClusterError(f"{station.name} {error}") from error
    for station in stations:
        station.ahead_ns = first[station.node.node_id].ahead_ns
    say(_says(stations, first))
    return Cluster(stations, first, all(each.about.machine == machine() for each in stations))


def _says(stations: Sequence[Station], first: dict[str, Reading]) -> str:
    many = Counter(station.node for station in stations)
    nodes = ", ".join(
        f"{node.name} ({count} {'process' if count == 1 else 'processes'}, clock "
        f"±{first[node.node_id].residual_ns / 1e6:.2f} ms)"
        for node, count in many.items()
    )
    return f"{len(many)} {'node' if len(many) == 1 else 'nodes'}: {nodes}"


def _first_of_each(stations: Sequence[Station]) -> dict[str, Station]:
    """One process of each node: they share its clock."""
    return {station.node.node_id: station for station in reversed(stations)}


def _read_clock(station: Station) -> Reading:
    """Ask what time it is there, again and again; in a thread, since a loop has other things to do.

    Raises `SeatLostError`.
    """
    get, pings = ray().get, list[Ping]()
    until = time.perf_counter_ns() + round(PINGS_S * 1e9)
    try:
        while not pings or (len(pings) < PINGS and time.perf_counter_ns() < until):
            sent = time.perf_counter_ns()
            theirs: int = get(station.relay.now.remote(), timeout=_PING_S)
            pings.append(Ping(sent, theirs, time.perf_counter_ns()))
    except errors() as error:
        raise SeatLostError(f"is lost: {brief(error)}") from error
    return read_clock(pings)


@contextmanager
def _pulse(stations: Sequence[Station]) -> Iterator[None]:
    """Have each relay hear that we are there, from a thread: our loop may be busy with figures meanwhile."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(PULSE_S):
            for station in stations:
                with suppress(*errors()):
                    station.relay.now.remote()

    thread = threading.Thread(target=beat, name="pulse", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


async def _leave(stations: Sequence[Station]) -> None:
    """End our processes and take away what they wrote on their nodes, as far as those are there."""
    with anyio.move_on_after(ENDS_S):
        for station in stations:
            with suppress(*errors()):
                await station.relay.close.remote()
    for station in stations:
        station.close()
        with suppress(*errors()):
            ray().kill(station.relay)
