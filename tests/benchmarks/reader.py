"""Reads many streams of a source at once, one way or another, and prints what that cost as JSON.

`reader.py ours|stock|aiohttp URL STREAMS ROUNDS`. A process of its own, so that its CPU time and memory are
the reader's alone.
"""

import gc
import json
import re
import sys
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import anyio
import httpx

from harness.drive.tape import Tape
from harness.drive.transport import transports
from harness.sigma.client import Address, Client
from harness.stats.quantiles import quantile

STAMP = re.compile(rb'"message_delta"[^\n]*"ts":"(\d{19})"}\n')
"""A packet of answer text. The opening of a reply is several lines in one write and would count as merged."""

SPREAD_S = 2.37  # over which the first streams begin: no multiple of a gap, or they would all speak at once

Times = list[tuple[int, int, bool, bool]]
"""Of each packet: when it was sent, when it came, whether it shared its read, whether it is a first one."""

Read = Callable[[], Awaitable[Times]]


@asynccontextmanager
async def ours(url: str) -> AsyncIterator[Read]:
    """As `harness.drive` does it: past httpx's client, onto a tape."""
    base, _, path = url.rpartition("/chat/")
    async with Client(Address(base), transports(url)()) as client:

        async def read() -> Times:
            tape = Tape()
            response = await client.send({}, path=f"/chat/{path}", extensions={"tape": tape})
            async for _ in response.aiter_raw():
                raise AssertionError("a taped body yields nothing")
            assert tape.stamps == "kernel", "without kernel stamps the errors would mean something else"
            found = [(match, bisect_left(tape.ends, match.end())) for match in STAMP.finditer(tape.body)]
            shared = {a for (_, a), (_, b) in pairwise(found) if a == b}
            return timed((int(match[1]), tape.arrived[read], read in shared) for match, read in found)

        yield read


@asynccontextmanager
async def stock(url: str) -> AsyncIterator[Read]:
    """As httpx's own documentation does it."""
    unlimited = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(limits=unlimited, timeout=60) as client:

        async def read() -> Times:
            lines: list[tuple[str, int]] = []
            async with client.stream("POST", url, json={}) as response:
                async for line in response.aiter_lines():
                    lines.append((line, time.perf_counter_ns()))  # noqa: PERF401 - what a caller writes
            return from_lines([(line.encode(), came) for line, came in lines])

        yield read


@asynccontextmanager
async def with_aiohttp(url: str) -> AsyncIterator[Read]:
    """As aiohttp's own documentation does it."""
    import aiohttp  # noqa: PLC0415  a peer, and no dependency of ours

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:

        async def read() -> Times:
            async with client.post(url, json={}) as response:
                return from_lines([(line, time.perf_counter_ns()) async for line in response.content])

        yield read


def from_lines(lines: list[tuple[bytes, int]]) -> Times:
    found = ((STAMP.search(line.rstrip() + b"\n"), came) for line, came in lines)
    return timed((int(match[1]), came, False) for match, came in found if match)


def timed(found: Iterator[tuple[int, int, bool]]) -> Times:
    return [(sent, came, shared, number == 0) for number, (sent, came, shared) in enumerate(found)]


async def read_all(way: str, url: str, streams: int, rounds: int) -> tuple[Times, float, float]:
    """All packets, the CPU seconds they took, and MB of memory per stream while all of them are open."""
    times: Times = []
    before, grown, opened = resident_mb(), 0.0, 0
    opening = {"ours": ours, "stock": stock, "aiohttp": with_aiohttp}[way]

    async def one(delay: float) -> None:
        nonlocal grown, opened
        await anyio.sleep(delay)
        opened += 1
        if opened == streams:
            grown = resident_mb() - before
        for _ in range(rounds):
            times.extend(await read())

    # As `harness.drive.pool` does, and for everybody: what is compared is the way of reading.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 100, 10)
    async with opening(url) as read:
        cpu = time.process_time()
        async with anyio.create_task_group() as group:
            for number in range(streams):
                group.start_soon(one, number * SPREAD_S / streams)
        return times, time.process_time() - cpu, grown


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def main(way: str, url: str, streams: int, rounds: int) -> None:
    times, cpu, grown = anyio.run(read_all, way, url, streams, rounds, backend_options={"use_uvloop": True})
    alone = [came - sent for sent, came, shared, _ in times if not shared]
    first = [came - sent for sent, came, _, begins in times if begins]
    print(
        json.dumps(
            {
                "packets": len(times),
                "cpu_us": cpu / len(times) * 1e6,
                "cpu_us_reply": cpu / (streams * rounds) * 1e6,
                "error_p50_us": (quantile(alone, 500) or 0) / 1e3,
                "error_p99_us": (quantile(alone, 990) or 0) / 1e3,
                "first_p99_us": (quantile(first, 990) or 0) / 1e3,
                "merged": sum(shared for _, _, shared, _ in times) / len(times),
                "mb_per_1000": grown / streams * 1000,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
