"""What one load costs the process that drives it: `harness run` against a source of known times, watched.

Nothing here is a model. Everything is read from the journal that the run left (when its packets came, when it
saw them, what its seconds cost) and from /proc while it went on (memory, open files, idle waits). CPU is user
and system time of the run's own processes.
"""

import os
import re
import subprocess
import sys
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter_ns
from typing import Any, Literal, TypeVar

from harness import journal
from harness.calibrate.probe import Stamped
from harness.result import Exchange, Moment, Result
from harness.stats.quantiles import quantile
from tests.bounds import started

Figures = dict[str, Any]
At = TypeVar("At", bound=tuple[Any, ...])
After = Callable[[Path], Figures]

HARNESS = (sys.executable, "-m", "harness")
SLABS = ("TCP", "sock_inode_cache", "filp", "eventpoll_epi")
"""What the kernel keeps for an open socket: the caches that it takes that from."""

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
TRIES = 3
OWN_FILES = 24
"""So many files a run has open, or a few less, before it has connected anywhere."""

LOOK_S = 1.0
"""Seldom: to list a thousand open files takes a millisecond, in which they are not read."""

STAMP = re.compile(rb'"message_delta"[^\n]*"ts":"(\d{19})"}\n')


@dataclass(frozen=True, slots=True)
class Offered:
    """A closed load of *streams* at once over *processes*: replies of *packets* packets, *rounds* each.

    *packets_per_s* is of one stream, *ttft_ms* the wait for its first packet of answer text, *bytes* the
    length of a line.
    """

    streams: int
    packets_per_s: float = 50.0
    packets: int = 500
    rounds: int = 1
    ttft_ms: float = 200.0
    bytes: int = 100
    processes: int = 1

    @property
    def path(self) -> str:
        """Where a source gives such replies."""
        return (
            f"/m/ttft={self.ttft_ms:g},gap={1000 / self.packets_per_s:g},n={self.packets},bytes={self.bytes}"
        )


def short_replies(processes: int) -> Offered:
    """Replies of two packets, as fast as they come: what a process does then is requests."""
    return Offered(20 * processes, 1000.0, packets=2, rounds=400, ttft_ms=1.0, processes=processes)


@dataclass(frozen=True, slots=True)
class Look:
    """A process at one moment: resident bytes, open files, how often it had waited, CPU seconds so far."""

    at_ns: int
    resident: int
    files: int
    waits: int
    cpu_s: float


@dataclass(slots=True)
class Watch:
    """What was seen of each process, by its id, and what all others had used.

    *wire* has the bytes and frames that loopback had carried, *kernel* the bytes that the kernel keeps for
    sockets.
    """

    looks: dict[int, list[Look]] = field(default_factory=dict)
    wire: list[tuple[int, int, int]] = field(default_factory=list)
    kernel: list[tuple[int, int]] = field(default_factory=list)
    others: list[tuple[int, dict[int, float]]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)


def look_at(pid: int) -> Look | None:
    """How the process is now, None where it is gone."""
    where = Path("/proc") / str(pid)
    try:
        resident = int((where / "statm").read_text().split()[1]) * PAGE_BYTES
        files = sum(1 for _ in (where / "fd").iterdir())
        told = dict(line.split(":", 1) for line in (where / "status").read_text().splitlines())
        user, system = (where / "stat").read_text().rpartition(")")[2].split()[11:13]
    except (OSError, IndexError):
        return None
    waits = int(told["voluntary_ctxt_switches"])
    return Look(perf_counter_ns(), resident, files, waits, (int(user) + int(system)) * TICK_S)


def carried() -> tuple[int, int]:
    """Bytes and frames that loopback has carried, with their IP and TCP headers; of both directions."""
    (line,) = (
        line for line in Path("/proc/net/dev").read_text().splitlines() if line.strip().startswith("lo:")
    )
    told = line.partition(":")[2].split()
    return int(told[0]), int(told[1])


def kernel_bytes() -> int:
    """Bytes that the kernel keeps for sockets of all processes, and for what lies in them; 0 if untold."""
    try:
        lines = [line.split() for line in Path("/proc/slabinfo").read_text().splitlines()]
    except PermissionError:
        return 0
    objects = sum(int(each[1]) * int(each[3]) for each in lines if each[0] in SLABS)
    (tcp,) = re.findall(r"^TCP:.* mem (\d+)", Path("/proc/net/sockstat").read_text(), re.MULTILINE)
    return objects + int(tcp) * PAGE_BYTES


def busy(but: Sequence[int]) -> dict[int, float]:
    """CPU seconds so far of every process of this machine, by its id; not of us and *but* those."""
    found = {}
    for where in Path("/proc").iterdir():
        if where.name.isdigit() and int(where.name) not in (os.getpid(), *but):
            with suppress(OSError):
                user, system = (where / "stat").read_text().rpartition(")")[2].split()[11:13]
                found[int(where.name)] = (int(user) + int(system)) * TICK_S
    return found


@contextmanager
def watched(leader: int, source: int, *, first: int | None = None) -> Iterator[Watch]:
    """Look at the process *leader*, at those that it has started for its run, and at the *source*.

    Once one that drives has *first* files open, all of them go before whatever else this machine does. Not
    sooner: while a process waits for the kernel to begin with its stamps, the kernel must have its turn.
    """
    watch = Watch()

    def look() -> None:
        while not watch.over.wait(LOOK_S):
            pids = [leader, *crew_of(leader), source]
            watch.others.append((perf_counter_ns(), busy(pids)))
            watch.wire.append((perf_counter_ns(), *carried()))
            watch.kernel.append((perf_counter_ns(), kernel_bytes()))
            for pid in pids:
                if (found := look_at(pid)) is not None:
                    watch.looks.setdefault(pid, []).append(found)
                    if first is not None and pid != source and found.files >= first:
                        go_first(pids)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield watch
    finally:
        watch.over.set()
        thread.join()


def go_first(pids: Sequence[int]) -> None:
    """Have the kernel run these processes before all others, the first that is ready until it waits."""
    for pid in pids:
        with suppress(OSError):
            for thread in (Path("/proc") / str(pid) / "task").iterdir():
                os.sched_setscheduler(int(thread.name), os.SCHED_FIFO, os.sched_param(1))


def crew_of(leader: int) -> list[int]:
    """The processes that share the load of the run that *leader* leads; none, where it sends all itself."""
    try:
        children = (Path("/proc") / str(leader) / "task" / str(leader) / "children").read_text().split()
        return [
            int(pid) for pid in children if b"harness.crew" in (Path("/proc") / pid / "cmdline").read_bytes()
        ]
    except OSError:
        return []


def suite_of(offered: Offered, url: str) -> str:
    return f"""
suite: scale
target: {{base_url: "{url}{offered.path}", audit: 0%}}
defaults: {{repeat: {offered.streams * offered.rounds}, retry: {{attempts: 1}}}}
load: {{workers: {offered.streams}}}
prompts: [{{id: stream, message: "go"}}]
"""


def measured(
    offered: Offered, url: str, source: int, *, after: After | None = None, first: bool = False
) -> Figures:
    """Drive *offered* against the source at *url*, whose process is *source*; what that was like.

    *after* is called with the folder of the run, and what it returns is added. With *first*, which only root
    may ask for, client and source go before whatever else the machine does.

    A kernel that is busy may be too late to begin with its stamps, and a run without them is done again.
    """
    for _ in range(TRIES):
        if (found := _measured(offered, url, source, after=after, first=first)) is not None:
            return found
    raise AssertionError(f"the kernel gave no stamps in {TRIES} runs")


def _measured(offered: Offered, url: str, source: int, *, after: After | None, first: bool) -> Figures | None:
    enough = OWN_FILES + offered.streams // offered.processes // 2
    with TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "suite.yaml").write_text(suite_of(offered, url))
        command = [*HARNESS, "run", "suite.yaml", "--quiet"]
        if offered.processes > 1:
            command += ["--processes", str(offered.processes)]
        with (
            subprocess.Popen(
                command, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            ) as run,
            watched(run.pid, source, first=enough if first else None) as watch,
        ):
            _, told = run.communicate(timeout=300)
        assert run.returncode == 0, told
        (found,) = place.glob("results/scale/2*")
        seen = figures(offered, found, watch, leader=run.pid, source=source)
        return None if seen is None else seen | (after(found) if after else {})


def graded(run: Path) -> Figures:
    """What it takes to make all tables of a run anew: as at the end of it, in a process of its own."""
    command = [*HARNESS, "grade", str(run), "--retime"]
    with started(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return {
        "tables_cpu_s": round(used.ru_utime + used.ru_stime, 2),
        "tables_mb": round(used.ru_maxrss / 1024, 1),
    }


def figures(offered: Offered, run: Path, watch: Watch, *, leader: int, source: int) -> Figures | None:
    """What the journals and the looks say of the time in which all streams were going.

    None where the kernel stamped nothing.
    """
    results = list(journal.read(run))
    exchanges = [exchange for result in results for exchange in result.exchanges]
    broken = [each.failure for each in exchanges if each.failure is not None]
    assert not broken, f"{len(broken)} of {len(exchanges)} replies broke: {broken[0]}"
    if any(each.stamps != "kernel" for each in exchanges):
        return None
    begin, end = steady(results, offered.streams)
    span_s = (end - begin) / 1e9
    looks = {pid: [look for look in seen if begin <= look.at_ns <= end] for pid, seen in watch.looks.items()}
    driving = [
        seen for pid, seen in looks.items() if pid != source and (pid != leader or offered.processes == 1)
    ]
    assert len(driving) == offered.processes
    return (
        asdict(offered)
        | {"span_s": round(span_s, 3)}
        | _seen(exchanges, begin, end)
        | _used(journal.moments(run), begin, end)
        | {
            "replies_s": round(sum(begin <= (result.ended_ns or 0) <= end for result in results) / span_s, 2),
            "waits_s": round(sum(_rate(each, "waits") for each in driving), 1),
            "source_cpu": round(_rate(looks[source], "cpu_s"), 4),
            "source_waits_s": round(_rate(looks[source], "waits"), 1),
            "leader_cpu": round(_rate(looks[leader], "cpu_s"), 4) if offered.processes > 1 else None,
            "others_cpu": round(others_cpu(watch, begin, end), 3),
            "wire_s": [round(each, 1) for each in _carried(watch, begin, end)],
            "kernel_bytes": _within(watch.kernel, begin, end)[-1][1] - watch.kernel[0][1],
            "files": max(look.files for each in driving for look in each),
            "resident_mb": [round(each[-1].resident / 2**20, 1) for each in driving],
            "read_by_then": sum(seen <= driving[0][-1].at_ns for each in exchanges for seen in each.seen_ns),
            "journal_bytes": sum(path.stat().st_size for path in journal.journals(run)),
        }
    )


def _seen(exchanges: Sequence[Exchange], begin: int, end: int) -> Figures:
    """How much came, and how late it was seen. Errors are as in `harness calibrate`: stamp less sending."""
    reads = [
        (seen, seen - arrived)
        for each in exchanges
        for arrived, seen in zip(each.arrived_ns, each.seen_ns, strict=True)
        if begin <= seen <= end
    ]
    packets = [
        each for exchange in exchanges for each in packets_of(exchange) if begin <= each.sent_ns <= end
    ]
    span_s = (end - begin) / 1e9
    return {
        "packets_s": round(len(packets) / span_s, 1),
        "reads_s": round(len(reads) / span_s, 1),
        "merged": round(sum(each.merged for each in packets) / max(1, len(packets)), 4),
        "delay_ms": quantiles(sorted(delay for _, delay in reads)),
        "error_ms": quantiles(sorted(each.arrived_ns - each.sent_ns for each in packets)),
        "alone_ms": quantiles(sorted(each.arrived_ns - each.sent_ns for each in packets if not each.merged)),
    }


def _used(moments: Sequence[Moment], begin: int, end: int) -> Figures:
    """What the processes that drive used, their garbage collection, and how late their loops came.

    *cpu* is the CPUs of all of them, *waited* how long some task of the machine waited for one, a second;
    *collected* how much of a second the collections of one process took, *collections_s* how many those were,
    *lag_ms* the median of the longest that a loop came late in a second.
    """
    within = [each for each in moments if begin <= each.at_ns - each.span_ns and each.at_ns <= end]
    processes = {each.process for each in within}
    shares = []
    for process in processes:
        mine = [each for each in within if each.process == process]
        shares.append(sum(each.cpu_ns for each in mine) / sum(each.span_ns for each in mine))
    seconds = sum(each.span_ns for each in within) / 1e9
    return {
        "cpu": round(sum(shares), 4),
        "waited": round(sum(each.waited_ns or 0 for each in within) / 1e9 / seconds, 3),
        "collections_s": round(sum(each.collections for each in within) / seconds, 3),
        "collected": round(sum(each.collected_ns for each in within) / 1e9 / seconds, 5),
        "lag_ms": round(median(each.lag_ns for each in within) / 1e6, 3),
    }


def packets_of(exchange: Exchange) -> list[Stamped]:
    """The packets of answer text in a reply. Its opening is several lines of one write, and none of them."""
    body, ends = exchange.body, exchange.read_ends
    found = [(int(match[1]), bisect_left(ends, match.end())) for match in STAMP.finditer(body)]
    shared = {a for (_, a), (_, b) in pairwise(found) if a == b}
    return [
        Stamped(sent, exchange.arrived_ns[read], exchange.seen_ns[read], read in shared)
        for sent, read in found
    ]


def steady(results: Sequence[Result], streams: int) -> tuple[int, int]:
    """From when as many trials had begun as there are streams, until as many were the last of theirs."""
    began = sorted(result.began_ns or 0 for result in results)
    ended = sorted(result.ended_ns or 0 for result in results)
    begin, end = began[streams - 1], ended[-streams]
    assert begin < end, "the streams were never all going"
    return begin, end


def _rate(looks: Sequence[Look], what: Literal["waits", "cpu_s"]) -> float:
    first, last = looks[0], looks[-1]
    return float(getattr(last, what) - getattr(first, what)) / ((last.at_ns - first.at_ns) / 1e9)


def _within(looks: Sequence[At], begin: int, end: int) -> list[At]:
    return [look for look in looks if begin <= look[0] <= end]


def _carried(watch: Watch, begin: int, end: int) -> tuple[float, float]:
    """Bytes and frames a second."""
    (first_ns, *before), *_, (last_ns, *after) = _within(watch.wire, begin, end)
    seconds = (last_ns - first_ns) / 1e9
    bytes_, frames = ((b - a) / seconds for a, b in zip(before, after, strict=True))
    return bytes_, frames


def others_cpu(watch: Watch, begin: int, end: int) -> float:
    """The CPUs that all other processes used, but for those that came and went between two looks."""
    (first_ns, before), *_, (last_ns, after) = _within(watch.others, begin, end)
    return sum(used - before.get(pid, 0.0) for pid, used in after.items()) / ((last_ns - first_ns) / 1e9)


def quantiles(nanoseconds: Sequence[int]) -> dict[str, float | int | None]:
    """Of how many, and two quantiles in ms; None of too few. *nanoseconds* are in their order."""
    found = {name: quantile(nanoseconds, at) for name, at in (("p50", 500), ("p99", 990))}
    return {"n": len(nanoseconds)} | {
        name: None if each is None else round(each / 1e6, 4) for name, each in found.items()
    }
