"""What reading 100 streams of 50 packets/s costs, and how far off the times are: ours and stock httpx.

    pytest tests/benchmarks/test_transport_cost.py --benchmark-only -s

prints the figures; nothing here asserts a time, since a busy machine would turn it red. With
HARNESS_STREAMSERVER=FILE the streams come from that program instead of `source.py`: started as
`FILE PORT`, it has to understand the same paths and write the same stamps.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

HERE = Path(__file__).parent
STREAMS = 100
PACKETS = 300  # at 50 a second
PATH = f"/m/ttft=20,gap=20,n={PACKETS}/chat/send-chat-message"


@contextmanager
def python_source() -> Iterator[int]:
    with subprocess.Popen([sys.executable, HERE / "source.py"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.terminate()


@contextmanager
def native_source(binary: str) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([binary, str(port)]) as process:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                continue
        yield port
        process.terminate()


@pytest.fixture(scope="module")
def source() -> Iterator[str]:
    native = os.environ.get("HARNESS_STREAMSERVER")
    with native_source(native) if native else python_source() as port:
        yield f"http://127.0.0.1:{port}{PATH}"


def read(way: str, url: str) -> dict[str, Any]:
    command = [sys.executable, str(HERE / "reader.py"), way, url, str(STREAMS)]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    figures: dict[str, Any] = json.loads(said)
    return figures


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_reading_costs_a_fraction_of_stock_httpx(benchmark: BenchmarkFixture, source: str) -> None:
    ours = benchmark.pedantic(read, args=("ours", source), rounds=1)  # type: ignore[no-untyped-call]
    stock = read("stock", source)
    print(f"\n{STREAMS} streams of 50 packets/s, {PACKETS} packets each")
    for way, figures in (("ours", ours), ("stock", stock)):
        print(
            f"{way:6} {figures['cpu_us']:7.1f} µs of CPU a packet, {figures['merged']:.2%} merged;"
            f" came - sent: p50 {figures['error_p50_us']:.1f} µs, p99 {figures['error_p99_us']:.1f} µs,"
            f" max {figures['error_max_us']:.1f} µs"
        )
    print(f"stock / ours: {stock['cpu_us'] / ours['cpu_us']:.1f} × the CPU")
    assert ours["packets"] == stock["packets"] == STREAMS * PACKETS
