"""How many cores and machines a load needs, and what runs out first: from what was measured.

Pure: figures in (tests/scaling/figures.json), numbers out. What is not measured stands here as a constant
with its source. A process is planned to be busy 70 % of the time, as `harness calibrate` does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from statistics import median
from typing import Any

import numpy as np

from tests.scaling.simulating import Costs

Figures = Mapping[str, Any]

BUSY = 0.7
"""Of a core, for a process that drives."""

REPLY_S = 30.0
RATES = (20, 50)
STREAMS = (10_000, 100_000, 1_000_000)

PORTS = 60_999 - 32_768 + 1
"""net.ipv4.ip_local_port_range as Linux sets it: Documentation/networking/ip-sysctl.rst."""

FILES = 524_288
"""The most files that a process may open where systemd (240 or later) starts it: man systemd-system.conf."""

CONNTRACK = 262_144
"""nf_conntrack_max where it is not set: as many as there are buckets, and of those there are never more
(Documentation/networking/nf_conntrack-sysctl.rst)."""

FRAME = 14 + 4 + 20
"""Bytes of Ethernet around an IP packet: header, checksum, preamble and gap (IEEE 802.3)."""

SPARE_FILES, FILES_A_STREAM = 64, 2
"""What a run makes room for before it begins: `harness.drive.reins.make_room`."""

STAMP_US = 3.0
"""How much of a read lies before its stamp; a system call that copies 100 bytes."""


SHARE = 0.95
"""How much of a second a core goes to those that go first, where all cores are wanted by others, too:
sched_rt_runtime_us of sched_rt_period_us (Documentation/scheduler/sched-rt-group.rst)."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine to plan with."""

    cores: int = 16
    memory_gb: float = 64.0
    gigabits: float = 10.0


@dataclass(frozen=True, slots=True)
class Constants:
    """What a load costs: µs of CPU, bytes.

    For a packet the process that reads it takes *packet_us* when it comes and *keep_us* when its reply has
    ended, and the kernel *network_us* at most where it comes over a network; a request takes *request_us*
    besides. A process has *process_bytes*, a stream
    *stream_bytes*, and the kernel *socket_bytes* for it; *packet_bytes* of a packet are held until its reply
    has ended. A packet is *wire_bytes* on the wire, both directions, and *journal_bytes* in the journal; its
    tables take *table_us* and *table_bytes* of memory afterwards.
    """

    packet_us: float
    keep_us: float
    request_us: float
    network_us: float
    process_bytes: float
    stream_bytes: float
    packet_bytes: float
    socket_bytes: float
    wire_bytes: float
    journal_bytes: float
    table_us: float
    table_bytes: float


@dataclass(frozen=True, slots=True)
class Need:
    """What so many *streams* need, each of *rate* packets a second in replies of `REPLY_S`."""

    streams: int
    rate: int
    packets_s: float
    requests_s: float
    cores: float
    processes: int
    machines: int
    memory_gb: float
    addresses: int
    gigabits: float
    journal_mb_s: float
    table_cpu_h: float
    table_gb: float


@dataclass(frozen=True, slots=True)
class Limit:
    """The most streams that one machine holds for the want of *what*, and *how* that is worked out."""

    what: str
    streams: int
    how: str


def middle(row: Figures) -> dict[str, Any]:
    """The median of each figure of one point, over its repeats."""
    runs = row["runs"]
    found: dict[str, Any] = {}
    for key, value in runs[0].items():
        if isinstance(value, dict):
            found[key] = {part: _median([run[key][part] for run in runs]) for part in value}
        elif isinstance(value, int | float):
            found[key] = _median([run[key] for run in runs])
    return found


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if len(known) == len(values) else None


def costs(points: Figures) -> Costs:
    """What fits the CPU of the points of one process, and of their source, best.

    Least squares of the relative error, so that a point of little load counts as much as one of a lot. Points
    of several processes are not looked at: what is simulated of them is a prediction. *latency* is what is
    left of the delay at the lowest load.
    """
    ones = [middle(row) for row in points["rows"] if row["runs"][0]["processes"] == 1]
    read, packet, wake, request, keep = fitted(
        [
            [
                at["reads_s"],
                max(0.0, at["packets_s"] - at["reads_s"]),
                at["waits_s"],
                ended := at["replies_s"] if at["rounds"] > 1 else 0.0,
                ended * at["packets"],
            ]
            for at in ones
        ],
        [at["cpu"] for at in ones],
    )
    send, source_wake, answer = fitted(
        [[at["packets_s"], at["source_waits_s"], at["replies_s"]] for at in ones],
        [at["source_cpu"] for at in ones],
    )
    least = min((at for at in ones), key=lambda at: float(at["reads_s"]))
    latency = max(0.0, least["delay_ms"]["p50"] * 1000 - wake - STAMP_US)
    return Costs(
        read,
        packet,
        wake,
        request,
        keep,
        send,
        source_wake,
        answer,
        latency=latency,
        share=SHARE,
        stamp=STAMP_US,
    )


def fitted(counts: Sequence[Sequence[float]], cpus: Sequence[float]) -> list[float]:
    """µs each of what was counted a second, so that all together come to *cpus*; none is below nothing."""
    cpu = np.asarray(cpus, float)
    matrix = np.asarray(counts, float) / 1e6 / cpu[:, None]
    kept = list(range(matrix.shape[1]))
    while True:
        found, *_ = np.linalg.lstsq(matrix[:, kept], np.ones(len(cpu)), rcond=None)
        if (found >= 0).all():
            return [float(found[kept.index(at)]) if at in kept else 0.0 for at in range(matrix.shape[1])]
        kept.pop(int(found.argmin()))


def constants(figures: Figures) -> Constants:
    """What the measurements come to.

    The CPU of a packet that comes is that of the point of one process nearest to `BUSY`, as measured.
    """
    fit = costs(figures["points"])
    at = planned(figures["points"], fit)
    sizes = [run for row in figures["memory"]["rows"] for run in row["runs"]]
    steady = [[1, run["streams"], run["read_by_then"]] for run in sizes]
    process, stream, packet = line(steady, [run["resident_mb"][0] * 2**20 for run in sizes])
    long = [run for row in figures["tables"]["rows"] for run in row["runs"]]
    sent = [[run["streams"] * run["rounds"], _sent(run)] for run in sizes]
    _, journal = line(sent, [run["journal_bytes"] for run in sizes])
    made = [[1, run["streams"] * run["rounds"], _sent(run)] for run in (*sizes, *long)]
    *_, table_us = line(made, [run["tables_cpu_s"] * 1e6 for run in (*sizes, *long)])
    *_, table = line(made, [run["tables_mb"] * 2**20 for run in (*sizes, *long)])
    return Constants(
        packet_us=at["cpu"] / at["packets_s"] * 1e6,
        keep_us=fit.keep,
        request_us=fit.request,
        network_us=fit.send,
        process_bytes=process,
        stream_bytes=stream,
        packet_bytes=packet,
        socket_bytes=median(
            run["kernel_bytes"] / run["streams"] / 2 for run in sizes if run["streams"] >= 1000
        ),
        wire_bytes=median(_on_the_wire(run) for run in sizes if run["packets_s"] > 5000),
        journal_bytes=journal,
        table_us=table_us,
        table_bytes=table,
    )


def planned(points: Figures, fit: Costs) -> dict[str, Any]:
    """The point of one process nearest to `BUSY`, if its replies ended as often as in the long run."""

    def busy(at: dict[str, Any]) -> float:
        return float(at["cpu"] + at["packets_s"] * fit.keep / 1e6)

    ones = [middle(row) for row in points["rows"] if row["runs"][0]["processes"] == 1]
    return min((at for at in ones if at["rounds"] == 1), key=lambda at: abs(busy(at) - BUSY))


def line(counts: Sequence[Sequence[float]], totals: Sequence[float]) -> list[float]:
    """What each of the *counts* comes to, by least squares."""
    found, *_ = np.linalg.lstsq(np.asarray(counts, float), np.asarray(totals, float), rcond=None)
    return [float(each) for each in found]


def _sent(run: Figures) -> int:
    return int(run["streams"] * run["rounds"] * run["packets"])


def _on_the_wire(run: Figures) -> float:
    bytes_s, frames_s = run["wire_s"]
    return float((bytes_s + frames_s * FRAME) / run["packets_s"])


def stream_us(cost: Constants, rate: int) -> float:
    """CPU µs a second of one stream."""
    return rate * (cost.packet_us + cost.keep_us) + cost.request_us / REPLY_S


def streams_a_process(cost: Constants, rate: int) -> int:
    """How many streams one process is planned to have."""
    return floor(BUSY * 1e6 / stream_us(cost, rate))


def stream_memory(cost: Constants, rate: int) -> float:
    """Bytes of one stream, with the packets that it has on average: those of half a reply."""
    return cost.stream_bytes + cost.socket_bytes + cost.packet_bytes * rate * REPLY_S / 2


def processes_a_machine(cost: Constants, rate: int, machine: Machine) -> int:
    """How many processes a machine takes: a core each, what the kernel takes to receive, one core to lead."""
    kernel = streams_a_process(cost, rate) * rate * cost.network_us / 1e6
    return floor((machine.cores - 1) / (1 + kernel))


def need(cost: Constants, streams: int, rate: int, machine: Machine) -> Need:
    """What *streams* streams need."""
    packets_s = streams * rate
    processes = ceil(streams / streams_a_process(cost, rate))
    machines = ceil(streams / fewest(limits(cost, rate, machine)))
    replies = streams * rate * REPLY_S
    return Need(
        streams=streams,
        rate=rate,
        packets_s=packets_s,
        requests_s=streams / REPLY_S,
        cores=(streams * stream_us(cost, rate) + packets_s * cost.network_us) / 1e6,
        processes=processes,
        machines=machines,
        memory_gb=(processes * cost.process_bytes + streams * stream_memory(cost, rate)) / 1e9,
        addresses=ceil(streams / PORTS),
        gigabits=packets_s * cost.wire_bytes * 8 / 1e9,
        journal_mb_s=packets_s * cost.journal_bytes / 1e6,
        table_cpu_h=replies * cost.table_us / 3.6e9,
        table_gb=replies * cost.table_bytes / 1e9,
    )


def fewest(found: Sequence[Limit]) -> int:
    """How many streams one machine holds, if it has as many source addresses and files as it takes."""
    return min(each.streams for each in found if each.what in HARD)


CORES, MEMORY, NETWORK = "cores", "memory", "network"
HARD = (CORES, MEMORY, NETWORK)
"""What can only be had more of by another machine; the other limits are settings."""


def limits(cost: Constants, rate: int, machine: Machine) -> list[Limit]:
    """What ends on one machine, and at how many streams."""
    processes, each = processes_a_machine(cost, rate, machine), streams_a_process(cost, rate)
    memory = machine.memory_gb * 1e9 - processes * cost.process_bytes
    return [
        Limit(CORES, processes * each, f"{processes} processes of {each:,} streams"),
        Limit("ports", PORTS, "of one source address to one address of the target"),
        Limit("conntrack", CONNTRACK, "entries of a firewall or NAT on the way, one for each stream"),
        Limit(
            "open files",
            processes * ((FILES - SPARE_FILES) // FILES_A_STREAM),
            f"{FILES:,} a process, {FILES_A_STREAM} reserved for each stream",
        ),
        Limit(
            MEMORY,
            floor(memory / stream_memory(cost, rate)),
            f"{stream_memory(cost, rate) / 1000:,.0f} kB a stream",
        ),
        Limit(
            NETWORK,
            floor(machine.gigabits * 1e9 / (rate * cost.wire_bytes * 8)),
            f"{cost.wire_bytes:,.0f} bytes a packet, both directions",
        ),
    ]


def packets_in_tables(cost: Constants, machine: Machine) -> int:
    """How many packets a run may have for its tables to be made in the memory of one machine."""
    return floor(machine.memory_gb * 1e9 / cost.table_bytes)
