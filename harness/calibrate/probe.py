"""The measurement error and the ceiling of this machine, taken by the harness's own driving path.

What is calibrated is what runs: trials of a plan, over the pool, the transport and the tape, against a source
that writes into each packet when it sent it. Errors are stamps less that: of `arrived`, which every latency
is made of, and of `seen`, which is when our code got round to it.
"""

import re
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream
from msgspec import Struct
from msgspec.json import decode

from harness.drive.monitor import collections
from harness.drive.pool import drive
from harness.drive.reins import Reins, make_room
from harness.drive.transport import transports
from harness.errors import StandinError
from harness.plan import make_plan
from harness.result import Exchange, Result
from harness.sigma.client import Address, Client
from harness.stats.quantiles import quantile
from harness.suite.read import parse_suite

_READY_S = 20.0
_MS = 1e6
_STAMPED = re.compile(rb'"ts":"(\d{19})"}\n')


class Shape(Struct, frozen=True):
    """A load: so many streams at once, each with *packets* of *bytes* bytes, at *packets_per_s*."""

    streams: int
    packets_per_s: float = 50.0
    packets: int = 100
    bytes: int = 100
    ttft_ms: float = 200.0

    @property
    def path(self) -> str:
        """Where the source gives such replies."""
        gap_ms = 1000 / self.packets_per_s
        return f"/m/ttft={self.ttft_ms:g},gap={gap_ms:.6g},n={self.packets},bytes={self.bytes}"


class Error(Struct, frozen=True):
    """Quantiles of stamps less the true time of sending, in ms, and of how many; None of too few."""

    n: int
    p50_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    max_ms: float | None


class Measurement(Struct, frozen=True, kw_only=True):
    """What reading a shape was like.

    *arrived* is of packets that were alone in their read, *arrived_all* of all: the earlier packets of a read
    are known to have come no later than its stamp. *first* is of each reply's first packet of answer text.
    *achieved_per_s* packets came a second while all streams were going, *cpu* is the share of one CPU that
    this process used, *source_late_ms* how late the source itself sent (p99), which is in no error.
    """

    shape: Shape
    packets: int
    replies: int
    broken: int
    stamps: str
    arrived: Error
    arrived_all: Error
    seen: Error
    first: Error
    merged: float
    cpu_us_per_packet: float
    cpu_us_per_reply: float
    cpu: float
    achieved_per_s: float
    longest_collection_ms: float
    source_late_ms: float | None


@asynccontextmanager
async def stream_source(module: str = "harness.calibrate.source") -> AsyncIterator[str]:
    """A source in a process of its own, on a free port of loopback; its URL. It ends with the block.

    Raises `StandinError` where it does not come up.
    """
    command = [sys.executable, "-m", module]
    async with await anyio.open_process(
        command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            line = b""
            broken = (anyio.EndOfStream, anyio.IncompleteRead, anyio.DelimiterNotFound)
            if process.stdout is not None:
                with anyio.move_on_after(_READY_S), suppress(*broken):
                    line = await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 1000)
            if not line.startswith(b"ready "):
                raise StandinError("the stream source did not come up; it needs Linux")
            yield line.split()[1].decode()
        finally:
            with anyio.CancelScope(shield=True):
                process.kill()
                await process.wait()


async def measure(shape: Shape, source: str, *, rounds: int = 2) -> Measurement:
    """Read *shape* from the source at this URL, each stream *rounds* times over.

    The first starts are spread as those of any closed load are.
    """
    plan = make_plan(parse_suite(_suite(shape, source, rounds), Path("calibration.yaml"), {}))
    load = plan.suite.load["main"]
    transport = transports(source)
    results: list[Result] = []
    make_room(shape.streams)
    address = Address(plan.suite.target.base_url or source)
    async with Client(Address(source), transport()) as client:
        await client.post("/stats/reset", {})
        with collections(time.perf_counter_ns) as pauses:
            began, cpu = time.perf_counter_ns(), time.process_time_ns()
            await drive(
                plan.phase("main"),
                load,
                lambda: Client(address, transport()),
                results.append,
                reins=Reins(),
            )
            cpu, took = time.process_time_ns() - cpu, time.perf_counter_ns() - began
        late = decode((await client.get("/stats")).content, type=_Stats)
    exchanges = [exchange for result in results for exchange in result.exchanges]
    return _measured(shape, exchanges, cpu_ns=cpu, took_ns=took, pauses=pauses, late=late)


class _Stats(Struct):
    late_p99_us: float | None


def _suite(shape: Shape, source: str, rounds: int) -> str:
    return f"""
suite: calibration
target: {{base_url: "{source}{shape.path}"}}
defaults: {{repeat: {shape.streams * rounds}, retry: {{attempts: 1}}}}
load: {{workers: {shape.streams}}}
prompts: [{{id: stream, message: "go"}}]
"""


class Stamped(NamedTuple):
    """One packet: when it was sent, when it came, when we saw it, and whether it shared its read."""

    sent_ns: int
    arrived_ns: int
    seen_ns: int
    merged: bool


def stamped(exchange: Exchange) -> list[Stamped]:
    """The packets of one reply of the source, in order, as far as they were stamped."""
    body, ends = exchange.body, exchange.read_ends
    found = [(int(match[1]), bisect_left(ends, match.end())) for match in _STAMPED.finditer(body)]
    shared = {a for (_, a), (_, b) in pairwise(found) if a == b}
    return [
        Stamped(sent, exchange.arrived_ns[read], exchange.seen_ns[read], read in shared)
        for sent, read in found
        if read < len(ends)
    ]


def _measured(
    shape: Shape,
    exchanges: Sequence[Exchange],
    *,
    cpu_ns: int,
    took_ns: int,
    pauses: Sequence[int],
    late: _Stats,
) -> Measurement:
    whole = [exchange for exchange in exchanges if exchange.failure is None]
    # The opening of a reply is one packet less a first: it is made of three lines in one write.
    packets = [packet for exchange in whole for packet in stamped(exchange)[2:]]
    first = [packets_of[2] for packets_of in map(stamped, whole) if len(packets_of) > 2]
    return Measurement(
        shape=shape,
        packets=len(packets),
        replies=len(whole),
        broken=len(exchanges) - len(whole),
        stamps="kernel" if all(exchange.stamps == "kernel" for exchange in whole) else "user",
        arrived=error(packet.arrived_ns - packet.sent_ns for packet in packets if not packet.merged),
        arrived_all=error(packet.arrived_ns - packet.sent_ns for packet in packets),
        seen=error(packet.seen_ns - packet.sent_ns for packet in packets),
        first=error(packet.arrived_ns - packet.sent_ns for packet in first),
        merged=sum(packet.merged for packet in packets) / len(packets) if packets else 0.0,
        cpu_us_per_packet=cpu_ns / 1000 / max(1, len(packets)),
        cpu_us_per_reply=cpu_ns / 1000 / max(1, len(whole)),
        cpu=cpu_ns / took_ns,
        achieved_per_s=_achieved(packets),
        longest_collection_ms=max(pauses, default=0) / _MS,
        source_late_ms=None if late.late_p99_us is None else late.late_p99_us / 1000,
    )


def error(nanoseconds: Iterator[int]) -> Error:
    """The quantiles of errors."""
    known = sorted(nanoseconds)

    def at(per_mille: int) -> float | None:
        found = quantile(known, per_mille)
        return None if found is None else found / _MS

    return Error(len(known), at(500), at(990), at(999), known[-1] / _MS if known else None)


def _achieved(packets: Sequence[Stamped]) -> float:
    """Packets a second in the middle half of the time, when no stream is yet to begin or has ended."""
    times = sorted(packet.arrived_ns for packet in packets)
    if len(times) < 4:
        return 0.0
    quarter = (times[-1] - times[0]) // 4
    begin, end = times[0] + quarter, times[-1] - quarter
    return (bisect_left(times, end) - bisect_left(times, begin)) / (2 * quarter) * 1e9 if quarter else 0.0
