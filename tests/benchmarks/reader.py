"""Reads many streams of a source at once, one way or another, and prints what that cost as JSON.

`reader.py ours|stock URL STREAMS`. A process of its own, so that its CPU time is the reader's alone.
"""

import json
import re
import sys
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable
from itertools import pairwise

import anyio
import httpx

from harness.drive.tape import Tape
from harness.drive.transport import transports

STAMP = re.compile(rb'"ts":"(\d{19})"[^\n]*\n')
SPREAD_S = 0.0043  # no divisor of the gap: the streams must not speak all at once

Times = list[tuple[int, int, bool]]
"""Of each packet: when it was sent, when it came, whether it was not alone in its read."""

Read = Callable[[httpx.AsyncClient, str], Awaitable[Times]]


async def read_ours(client: httpx.AsyncClient, url: str) -> Times:
    tape = Tape()
    request = client.build_request("POST", url, json={}, extensions={"tape": tape})
    response = await client.send(request, stream=True)
    async for _ in response.aiter_raw():
        raise AssertionError("a taped body yields nothing")
    return on_tape(tape)


def on_tape(tape: Tape) -> Times:
    assert tape.stamps == "kernel", "no kernel stamps on this machine: the errors would mean something else"
    found = [(int(match[1]), bisect_left(tape.ends, match.end())) for match in STAMP.finditer(tape.body)]
    shared = {a for (_, a), (_, b) in pairwise(found) if a == b}
    return [(sent, tape.arrived[piece], piece in shared) for sent, piece in found]


async def read_stock(client: httpx.AsyncClient, url: str) -> Times:
    lines: list[tuple[str, int]] = []
    async with client.stream("POST", url, json={}) as response:
        async for line in response.aiter_lines():
            lines.append((line, time.perf_counter_ns()))  # noqa: PERF401 - what a caller of httpx writes
    return [
        (int(match[1]), came, False) for line, came in lines if (match := STAMP.search(line.encode() + b"\n"))
    ]


async def read_all(
    read: Callable[[httpx.AsyncClient, str], Awaitable[Times]],
    client: httpx.AsyncClient,
    url: str,
    streams: int,
) -> Times:
    times: Times = []

    async def one(delay: float) -> None:
        await anyio.sleep(delay)
        times.extend(await read(client, url))

    async with client, anyio.create_task_group() as group:
        for number in range(streams):
            group.start_soon(one, number * SPREAD_S)
    return times


def main(way: str, url: str, streams: int) -> None:
    unlimited = httpx.Limits(max_connections=None)
    match way:
        case "ours":
            read: Read = read_ours
            client = httpx.AsyncClient(transport=transports(url)(), timeout=60)
        case "stock":
            read = read_stock
            client = httpx.AsyncClient(limits=unlimited, timeout=60)
        case _:
            raise SystemExit(f"{way}: no such way; ours or stock")
    before = time.process_time()
    times = anyio.run(read_all, read, client, url, streams, backend_options={"use_uvloop": True})
    spent = time.process_time() - before
    errors = sorted(came - sent for sent, came, shared in times if not shared)
    print(
        json.dumps(
            {
                "packets": len(times),
                "cpu_us": spent / len(times) * 1e6,
                "error_p50_us": errors[len(errors) // 2] / 1e3,
                "error_p99_us": errors[len(errors) * 99 // 100] / 1e3,
                "error_max_us": errors[-1] / 1e3,
                "merged": sum(shared for _, _, shared in times) / len(times),
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
