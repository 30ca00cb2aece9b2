"""The measurement error and the ceiling of this machine, taken by the harness's own driving path.

What is calibrated is what runs: trials of a plan, over the pool, the transport and the tape, against a source
that writes into each packet when it sent it. Errors are stamps less that: of `arrived`, which every latency
is made of, and of `seen`, which is when our code got round to it.
"""

import os
import re
import subprocess
import sys
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import NamedTuple

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream
from msgspec import Struct
from msgspec.json import decode

from harness.drive.monitor import watch
from harness.drive.pool import LONGEST_SPREAD_NS, SPREAD_NS, drive
from harness.drive.reins import Reins, make_room
from harness.drive.transport import transports
from harness.errors import StandinError
from harness.plan.trials import make_plan
from harness.redact.veil import last
from harness.result import Exchange, Moment, Result
from harness.sigma.client import Address, Client
from harness.stats.quantiles import quantile
from harness.suite.read import parse_suite

_READY_S = 20.0
_MS = 1e6
_HOLD_S = 1.0
"""So long at least all streams are going, once the last of them has begun."""

_MOST_REPLIES = 10_000
_LIMIT = 0.05
_STAMPED = re.compile(rb'"ts":"(\d{19})"}\n')


class Shape(Struct, frozen=True):
    """A load: so many streams at once, each with *packets* of *bytes* bytes, at *packets_per_s*."""

    streams: int
    packets_per_s: float = 50.0
    packets: int = 160
    bytes: int = 100
    ttft_ms: float = 200.0

    @property
    def path(self) -> str:
        """Where the source gives such replies."""
        gap_ms = 1000 / self.packets_per_s
        return f"/m/ttft={self.ttft_ms:g},gap={gap_ms:.6g},n={self.packets},bytes={self.bytes}"

    @property
    def reply_s(self) -> float:
        """How long a reply takes."""
        return self.ttft_ms / 1000 + self.packets / self.packets_per_s

    @property
    def rounds(self) -> int:
        """How many replies each stream takes for all of them to be going together for a while."""
        spread_s = min(self.streams * SPREAD_NS, LONGEST_SPREAD_NS) / 1e9
        enough = ceil((spread_s + _HOLD_S) / self.reply_s)
        return max(1, min(enough, _MOST_REPLIES // self.streams))


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
    *achieved_per_s* packets of *bytes_achieved* came a second while all streams were going, *cpu* is the
    highest share of one CPU that this process used in a second. *source_late_ms* (p99), with its p50 and max,
    is how late the source itself sent, which is in no error; *source_ceiling_per_s* packets a second is what
    it could send by its own CPU.
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
    bytes_achieved: float = 0.0
    source_late_ms: float | None
    source_late_p50_ms: float | None = None
    source_late_max_ms: float | None = None
    source_ceiling_per_s: float | None = None

    @property
    def client_bound(self) -> bool:
        """Whether this machine was too slow for the load: times would be about us (statistics.md 1.6).

        That is when a stamp (p99) is off by 5 % of what it is there to measure, the gap between packets or
        the time to the first, and by 1 ms at least; or when no CPU was left. Too few packets tell nothing.
        """
        gap_ms = 1000 / self.shape.packets_per_s
        stamps, first = self.arrived_all.p99_ms or 0.0, self.first.p99_ms or 0.0
        off = stamps > max(1.0, _LIMIT * gap_ms) or first > max(1.0, _LIMIT * self.shape.ttft_ms)
        return off or self.cpu >= 0.9


@asynccontextmanager
async def stream_source(module: str = "harness.calibrate.source") -> AsyncIterator[str]:
    """A source in a process of its own, on a free port of loopback; its URL. It ends with the block.

    Raises `StandinError` where it does not come up.
    """
    command, env = [sys.executable, "-m", module], last().without(os.environ)
    async with await anyio.open_process(
        command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True, env=env
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
                with suppress(ProcessLookupError):  # it may have ended by itself, and have been heard of
                    process.kill()
                await process.wait()


async def measure(shape: Shape, source: str, *, rounds: int | None = None) -> Measurement:
    """Read *shape* from the source at this URL, each stream *rounds* times over (`Shape.rounds`).

    The first starts are spread as those of any closed load are, and it is watched as any run is.
    """
    suite = _suite(shape, source, shape.rounds if rounds is None else rounds)
    plan = make_plan(parse_suite(suite, Path("calibration.yaml"), {}))
    load = plan.suite.load["main"]
    transport, address = transports(source), Address(plan.suite.target.base_url or source)
    results: list[Result] = []
    moments: list[Moment] = []
    reins = Reins()
    make_room(shape.streams)
    async with Client(Address(source), transport()) as client:
        await client.post("/stats/reset", {})
        async with anyio.create_task_group() as beside:
            beside.start_soon(watch, "main", reins, moments.append)
            await drive(
                plan.phase("main"), load, lambda: Client(address, transport()), results.append, reins=reins
            )
            beside.cancel_scope.cancel()
        told = decode((await client.get("/stats")).content, type=_Stats)
    exchanges = [exchange for result in results for exchange in result.exchanges]
    return _measured(shape, exchanges, moments, told)


class _Stats(Struct):
    late_p50_us: float | None
    late_p99_us: float | None
    late_max_us: float | None
    ceiling_per_s: float | None


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
    shape: Shape, exchanges: Sequence[Exchange], moments: Sequence[Moment], told: _Stats
) -> Measurement:
    whole = [exchange for exchange in exchanges if exchange.failure is None]
    # The opening of a reply is one packet less a first: it is made of three lines in one write.
    replies = [stamped(exchange)[2:] for exchange in whole]
    packets = [packet for reply in replies for packet in reply]
    first = [reply[0] for reply in replies if reply]
    cpu_us = sum(moment.cpu_ns for moment in moments) / 1000
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
        cpu_us_per_packet=cpu_us / max(1, len(packets)),
        cpu_us_per_reply=cpu_us / max(1, len(whole)),
        cpu=_busiest(moments),
        achieved_per_s=achieved_per_s(
            [[packet.sent_ns for packet in reply] for reply in replies], shape.streams
        ),
        longest_collection_ms=max((moment.longest_collection_ns for moment in moments), default=0) / _MS,
        bytes_achieved=sum(len(exchange.body) for exchange in whole) / max(1, len(packets)),
        source_late_ms=_thousandth(told.late_p99_us),
        source_late_p50_ms=_thousandth(told.late_p50_us),
        source_late_max_ms=_thousandth(told.late_max_us),
        source_ceiling_per_s=told.ceiling_per_s,
    )


def _busiest(moments: Sequence[Moment]) -> float:
    """The highest share of a CPU over a moment; the last one may be short, and then says little."""
    whole = [moment for moment in moments if moment.span_ns >= 0.5e9] or moments
    return max((moment.cpu_ns / moment.span_ns for moment in whole), default=0.0)


def _thousandth(value: float | None) -> float | None:
    return None if value is None else value / 1000


def error(nanoseconds: Iterator[int]) -> Error:
    """The quantiles of errors."""
    known = sorted(nanoseconds)

    def at(per_mille: int) -> float | None:
        found = quantile(known, per_mille)
        return None if found is None else found / _MS

    return Error(len(known), at(500), at(990), at(999), known[-1] / _MS if known else None)


def achieved_per_s(replies: Sequence[Sequence[int]], streams: int) -> float:
    """Packets a second while all *streams* were going, by when the packets of each reply were sent, in ns.

    That is from when as many replies had begun until as many were the last of theirs: what a run comes to
    once it is under way. Over all of the time, where there was no such moment.
    """
    begun, last = (
        sorted(reply[0] for reply in replies if reply),
        sorted(reply[-1] for reply in replies if reply),
    )
    times = sorted(sent for reply in replies for sent in reply)
    if len(times) < 2:
        return 0.0
    begin, end = times[0], times[-1]
    if len(begun) >= streams and begun[streams - 1] < last[-streams]:
        begin, end = begun[streams - 1], last[-streams]
    count = bisect_right(times, end) - bisect_left(times, begin)
    return (count - 1) / (end - begin) * 1e9 if end > begin else 0.0
