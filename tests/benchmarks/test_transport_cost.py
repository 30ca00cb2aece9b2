"""What reading many streams costs, and how far off the times are: ours beside stock httpx and aiohttp.

    pytest tests/benchmarks/test_transport_cost.py --benchmark-only -s

prints figures and ratios; nothing here asserts a time, since a busy machine would turn it red. The streams
come from `harness.calibrate.source`, or from the program HARNESS_STREAMSERVER=FILE, started as `FILE PORT`,
which has to understand the same paths and write the same stamps. HARNESS_EPOLLCLIENT=FILE is a native client
to compare with, called as `FILE PORT PATH STREAMS ROUNDS 1 SPREAD_MS`, which prints JSON with its CPU seconds
as "cpu".
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.benchmarks.sources import serving_streams

READER = Path(__file__).parent / "reader.py"
SHAPES = {
    "100 streams": (100, 1, "ttft=200,gap=20,n=300"),
    "500 streams": (500, 1, "ttft=200,gap=20,n=300"),
    "short replies": (20, 60, "ttft=1,gap=1,n=2"),
    "1,000 open streams": (1000, 1, "ttft=200,gap=500,n=12"),
}
AT_MOST = {"stock": 100}
"""Stock httpx takes seconds of CPU a second at 500 streams, and longer than anybody waits."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving_streams() as (url, _):
        yield int(url.rpartition(":")[2])


def path_of(settings: str) -> str:
    return f"/m/{settings}/chat/send-chat-message"


def read(way: str, port: int, shape: str) -> dict[str, Any]:
    streams, rounds, settings = SHAPES[shape]
    url = f"http://127.0.0.1:{port}{path_of(settings)}"
    command = [sys.executable, str(READER), way, url, str(streams), str(rounds)]
    figures: dict[str, Any] = json.loads(subprocess.check_output(command, text=True, timeout=200))
    return figures


def natively(port: int, shape: str) -> float | None:
    """CPU µs that a native client takes for all replies, on the same machine; None without one."""
    binary = os.environ.get("HARNESS_EPOLLCLIENT")
    if binary is None:
        return None
    streams, rounds, settings = SHAPES[shape]
    command = [binary, str(port), path_of(settings), str(streams), str(rounds), "1", "2370"]
    told = re.search(r'"cpu":([\d.]+)', subprocess.check_output(command, text=True, timeout=200))
    return None if told is None else float(told[1]) * 1e6


RATIOS = {
    "cpu_us": "CPU a packet",
    "cpu_us_reply": "CPU a reply",
    "error_p99_us": "error p99",
    "first_p99_us": "first p99",
    "mb_per_1000": "memory",
}


def ratios(theirs: dict[str, Any], ours: dict[str, Any]) -> Iterator[str]:
    """How many times what it is for us, of each figure that is not nothing for us."""
    for key, name in RATIOS.items():
        if ours[key] > 0:
            yield f"{name} {theirs[key] / ours[key]:,.1f}"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("shape", SHAPES)
def test_reading_costs_a_fraction_of_what_it_costs_others(
    benchmark: BenchmarkFixture, port: int, shape: str
) -> None:
    streams, rounds, settings = SHAPES[shape]
    own = benchmark.pedantic(read, args=("ours", port, shape), rounds=1)  # type: ignore[no-untyped-call]
    others = ["stock", *(["aiohttp"] if find_spec("aiohttp") else [])]
    told = {"ours": own}
    told |= {way: read(way, port, shape) for way in others if streams <= AT_MOST.get(way, streams)}
    print(f"\n{shape}: {streams} at once, {rounds} replies each of {settings}; CPU is user and system")
    for way, figures in told.items():
        print(
            f"{way:8} {figures['cpu_us']:7.1f} µs a packet, {figures['cpu_us_reply']:8.0f} a reply;"
            f" error p50 {figures['error_p50_us']:.1f} p99 {figures['error_p99_us']:.1f} µs,"
            f" first p99 {figures['first_p99_us']:.1f} µs; {figures['merged']:.2%} merged;"
            f" {figures['mb_per_1000']:.0f} MB per 1,000 streams"
        )
    for way in told.keys() - {"ours"}:
        print(f"{way} / ours: {', '.join(ratios(told[way], own))}")
    if (native := natively(port, shape)) is not None:
        native /= own["packets"]  # it counts other lines, too, but the replies are the same
        print(f"native   {native:7.1f} µs a packet; ours is {own['cpu_us'] / native:.2f} × that")
    assert {figures["packets"] for figures in told.values()} == {own["packets"]}
    assert own["packets"] >= streams * rounds * 2
