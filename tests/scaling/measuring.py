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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from time import perf_counter_ns
from typing import Any

from harness import journal
from harness.calibrate.probe import Stamped
from harness.result import Exchange, Moment, Result
from harness.stats.quantiles import quantile

Figures = dict[str, Any]

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
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
        return f"/m/ttft={self.ttft_ms:g},gap={1000 / self.packets_per_s:g},n={self.packets},bytes={self.bytes}"


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
    """What was seen of each process, by its id, and what all others had used."""

    looks: dict[int, list[Look]] = field(default_factory=dict)
    others: list[tuple[int, dict[int, float]]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def between(self, begin: int, end: int) -> list[list[Look]]:
        """Of each process what was seen from *begin* to *end*, where that is anything."""
        found = [[look for look in looks if begin <= look.at_ns <= end] for looks in self.looks.values()]
        return [looks for looks in found if len(looks) > 1]


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
def watched(pids: Sequence[int]) -> Iterator[Watch]:
    """Look at the processes ten times a second until the block is left."""
    watch = Watch({pid: [] for pid in pids})

    def look() -> None:
        while not watch.over.wait(LOOK_S):
            watch.others.append((perf_counter_ns(), busy(pids)))
            for pid, looks in watch.looks.items():
                if (found := look_at(pid)) is not None:
                    looks.append(found)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield watch
    finally:
        watch.over.set()
        thread.join()


def suite_of(offered: Offered, url: str, streams: int) -> str:
    return f"""
suite: scale
target: {{base_url: "{url}{offered.path}", audit: 0%}}
defaults: {{repeat: {streams * offered.rounds}, retry: {{attempts: 1}}}}
load: {{workers: {streams}}}
prompts: [{{id: stream, message: "go"}}]
"""


def measured(offered: Offered, url: str, source: int) -> Figures:
    """Drive *offered* against the source at *url*, whose process is *source*; what that was like."""
    each = offered.streams // offered.processes
    with TemporaryDirectory() as folder:
        places = [Path(folder) / str(number) for number in range(offered.processes)]
        for place in places:
            place.mkdir()
            (place / "suite.yaml").write_text(suite_of(offered, url, each))
        runs = [run_in(place) for place in places]
        with watched([*(run.pid for run in runs), source]) as watch:
            for run in runs:
                _, told = run.communicate(timeout=300)
                assert run.returncode == 0, told
        found = [path for place in places for path in place.glob("results/scale/2*/journal-*.jsonl")]
        assert len(found) == offered.processes
        return figures(offered, found, watch, source)


def run_in(place: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "harness", "run", "suite.yaml", "--quiet"]
    return subprocess.Popen(command, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def figures(offered: Offered, journals: Sequence[Path], watch: Watch, source: int) -> Figures:
    """What the journals and the looks say of the time in which all streams were going."""
    results = [result for path in journals for result in journal.read(path)]
    exchanges = [exchange for result in results for exchange in result.exchanges]
    assert all(each.failure is None and each.stamps == "kernel" for each in exchanges)
    begin, end = steady(results, offered.streams)
    moments = [[each for each in journal.moments(path) if _within(each, begin, end)] for path in journals]
    seconds = [sum(each.span_ns for each in mine) / 1e9 for mine in moments]
    cpu_s = [sum(each.cpu_ns for each in mine) / 1e9 for mine in moments]
    reads = [
        (seen, seen - arrived)
        for each in exchanges
        for arrived, seen in zip(each.arrived_ns, each.seen_ns, strict=True)
        if begin <= seen <= end
    ]
    packets = [each for exchange in exchanges for each in packets_of(exchange) if begin <= each.sent_ns <= end]
    delays = sorted(delay for _, delay in reads)
    errors = sorted(each.arrived_ns - each.sent_ns for each in packets)
    alone = sorted(each.arrived_ns - each.sent_ns for each in packets if not each.merged)
    late = sorted(each.seen_ns - each.sent_ns for each in packets)
    span_s = (end - begin) / 1e9
    whole = sum(begin <= (result.ended_ns or 0) <= end for result in results)
    mine = watch.between(begin, end)
    driving = [looks for pid, looks in watch.looks.items() if pid != source]
    served = [look for look in watch.looks[source] if begin <= look.at_ns <= end]
    share = sum(cpu / each for cpu, each in zip(cpu_s, seconds, strict=True))
    return {
        "streams": offered.streams,
        "packets_per_s": offered.packets_per_s,
        "packets": offered.packets,
        "ttft_ms": offered.ttft_ms,
        "rounds": offered.rounds,
        "processes": offered.processes,
        "span_s": round(span_s, 3),
        "replies_s": round(whole / span_s, 2),
        "packets_s": round(len(packets) / span_s, 1),
        "reads_s": round(len(reads) / span_s, 1),
        "waits_s": round(sum(_rate(looks) for looks in mine[: offered.processes]), 1),
        "cpu": round(share, 4),
        "source_cpu": round((served[-1].cpu_s - served[0].cpu_s) / ((served[-1].at_ns - served[0].at_ns) / 1e9), 4),
        "source_waits_s": round(_rate(served), 1),
        "merged": round(sum(each.merged for each in packets) / max(1, len(packets)), 4),
        "delay_ms": quantiles(delays),
        "error_ms": quantiles(errors),
        "alone_ms": quantiles(alone),
        "seen_ms": quantiles(late),
        "others_cpu": round(others_cpu(watch, begin, end), 3),
        "waited": round(fmean(each.waited_ns or 0 for mine in moments for each in mine) / 1e9, 3),
        "files": max(look.files for looks in driving for look in looks),
        "resident_mb": round(sum(max(look.resident for look in looks) for looks in mine[: offered.processes]) / 2**20, 1),
    }


def packets_of(exchange: Exchange) -> list[Stamped]:
    """The packets of answer text in a reply. Its opening is several lines of one write, and none of them."""
    body, ends = exchange.body, exchange.read_ends
    found = [(int(match[1]), bisect_left(ends, match.end())) for match in STAMP.finditer(body)]
    shared = {a for (_, a), (_, b) in pairwise(found) if a == b}
    return [
        Stamped(sent, exchange.arrived_ns[read], exchange.seen_ns[read], read in shared) for sent, read in found
    ]


def steady(results: Sequence[Result], streams: int) -> tuple[int, int]:
    """From when as many trials had begun as there are streams, until as many were the last of theirs."""
    began = sorted(result.began_ns or 0 for result in results)
    ended = sorted(result.ended_ns or 0 for result in results)
    begin, end = began[streams - 1], ended[-streams]
    assert begin < end, "the streams were never all going"
    return begin, end


def _within(moment: Moment, begin: int, end: int) -> bool:
    return begin <= moment.at_ns - moment.span_ns and moment.at_ns <= end


def _rate(looks: Sequence[Look]) -> float:
    return (looks[-1].waits - looks[0].waits) / ((looks[-1].at_ns - looks[0].at_ns) / 1e9)


def others_cpu(watch: Watch, begin: int, end: int) -> float:
    """The CPUs that every other process of this machine used, but for those that came and went between two looks."""
    looks = [(at_ns, used) for at_ns, used in watch.others if begin <= at_ns <= end]
    (first_ns, before), (last_ns, after) = looks[0], looks[-1]
    return sum(used - before.get(pid, 0.0) for pid, used in after.items()) / ((last_ns - first_ns) / 1e9)


def quantiles(nanoseconds: Sequence[int]) -> dict[str, float | int | None]:
    """Of how many, and two quantiles in ms; None of too few. *nanoseconds* are in their order."""
    found = {name: quantile(nanoseconds, at) for name, at in (("p50", 500), ("p99", 990))}
    return {"n": len(nanoseconds)} | {
        name: None if each is None else round(each / 1e6, 4) for name, each in found.items()
    }
