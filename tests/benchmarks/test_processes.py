"""What a second process brings, and what the one that leads takes: ratios, each of one run of the benchmark.

    pytest tests/benchmarks/test_processes.py --benchmark-only -s

The streams come from `harness.calibrate.source`, or from the program HARNESS_STREAMSERVER=FILE.
CPU is user and system time of the processes that drive, from their own moments. Held against the targets
are medians of several rounds, one and two processes in turn: the machine may do other things meanwhile. As
root, they go before those (SCHED_FIFO).
"""

import os
from collections.abc import Iterator
from statistics import median

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.benchmarks.sources import serving_streams
from tests.scaling.measuring import Figures, Offered, measured, short_replies

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROUNDS = 3
EACH = 300
"""Streams of one process. Twice as many at 50 packets a second are within what our own source can send."""

LEAST_PER_CPU = 0.9
LEAST_FASTER = 1.8
MOST_LEADING = 0.05


@pytest.fixture(scope="module")
def streams() -> Iterator[tuple[str, int]]:
    with serving_streams() as found:
        yield found


def in_turn(one: Offered, two: Offered, streams: tuple[str, int]) -> list[tuple[Figures, Figures]]:
    return [(measured(one, *streams, first=True), measured(two, *streams, first=True)) for _ in range(ROUNDS)]


def per_cpu_s(told: Figures) -> float:
    return float(told["packets_s"] / told["cpu"])


def said(told: Figures) -> str:
    alone, every = told["alone_ms"], told["error_ms"]
    each = told["streams"] // told["processes"]
    return (
        f"{told['processes']} × {each} streams: {told['packets_s']:,.0f} packets/s,"
        f" {1e6 / per_cpu_s(told):.1f} µs each; error of packets read alone p50 {alone['p50'] * 1e3:.1f} p99"
        f" {alone['p99'] * 1e3:.1f} µs (n = {alone['n']:,}), of all p99 {every['p99']:.3f} ms;"
        f" {told['others_cpu']:.2f} CPUs used by others"
    )


def test_two_processes_read_as_many_packets_per_cpu_second_as_one(
    benchmark: BenchmarkFixture, streams: tuple[str, int]
) -> None:
    """Each of the two has the load that the one has, so that their errors can be the same."""
    one, two = Offered(EACH), Offered(2 * EACH, processes=2)
    rounds = benchmark.pedantic(in_turn, args=(one, two, streams), rounds=1)  # type: ignore[no-untyped-call]
    for pair in rounds:
        print("", *map(said, pair), sep="\n")
    ratios = [per_cpu_s(both) / per_cpu_s(alone) for alone, both in rounds]
    print(f"packets per CPU-second, two / one: {', '.join(f'{each:.2f}' for each in ratios)}")
    assert median(ratios) >= LEAST_PER_CPU


def test_the_process_that_leads_costs_a_fraction_of_a_core_at_1000_streams(
    benchmark: BenchmarkFixture, streams: tuple[str, int]
) -> None:
    load = Offered(1000, packets_per_s=10, packets=50, rounds=2, processes=2)
    told = benchmark.pedantic(  # type: ignore[no-untyped-call]
        lambda: [measured(load, *streams) for _ in range(ROUNDS)], rounds=1
    )
    shares = [each["leader_cpu"] for each in told]
    replies_s = median(each["replies_s"] for each in told)
    took = ", ".join(f"{each:.2%}" for each in shares)
    print(f"\n1,000 streams, {replies_s:,.0f} replies/s: the process that leads took {took} of a core")
    assert median(shares) < MOST_LEADING


@pytest.mark.skipif(
    (os.cpu_count() or 1) < 4,
    reason="two processes and their source want a core each: fewer than four cores here",
)
def test_two_processes_read_nearly_twice_the_packets_a_second_of_one(
    benchmark: BenchmarkFixture, streams: tuple[str, int]
) -> None:
    """Short replies, since in those a process reaches its limit before our own source does."""
    one, two = short_replies(1), short_replies(2)
    rounds = benchmark.pedantic(in_turn, args=(one, two, streams), rounds=1)  # type: ignore[no-untyped-call]
    ratios = [both["packets_s"] / alone["packets_s"] for alone, both in rounds]
    for alone, both in rounds:
        print(f"\none {alone['packets_s']:,.0f}, two {both['packets_s']:,.0f} packets/s of replies of two")
    print(f"packets a second, two / one: {', '.join(f'{each:.2f}' for each in ratios)}")
    assert median(ratios) >= LEAST_FASTER
