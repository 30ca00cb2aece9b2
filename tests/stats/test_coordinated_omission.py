"""One stalled server, seen by five ways of sending: what a load generator hides by when it begins to count.

100 requests a second for 100 s, 50 ms of service, and 10 s in which the server starts nothing. The clock is a
number: all of this is exact.
"""

import heapq
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import pytest

from harness.stats.quantiles import quantile

ORACLE: dict[str, Any] = json.loads(Path(__file__).with_name("oracles.json").read_text())[
    "coordinated_omission"
]
SETUP = ORACLE["setup"]
PERIOD = 1000 // SETUP["rate_per_s"]
DUE = range(0, SETUP["duration_ms"], PERIOD)


class Sent(NamedTuple):
    """A request: when the schedule wanted it, when it was sent, when it was answered; ms."""

    due: int
    sent: int
    ended: int


def answered(sent: int) -> int:
    """When the server has answered what it received at this time."""
    begins, ends = SETUP["stall_ms"]
    return (ends if begins <= sent < ends else sent) + int(SETUP["service_ms"])


def open_schedule() -> Iterator[Sent]:
    for due in DUE:
        yield Sent(due, due, answered(due))


def skipping_loops(loops: int) -> Iterator[Sent]:
    """Loops that take every so manieth tick each, and drop the ticks that they were busy in."""
    for loop in range(loops):
        free = 0
        for due in DUE[loop::loops]:
            if due >= free:
                free = answered(due)
                yield Sent(due, due, free)


def pool_that_catches_up(workers: int) -> Iterator[Sent]:
    """Every tick is sent, by the first worker that is free."""
    free = [0] * workers
    for due in DUE:
        sent = max(due, free[0])
        heapq.heapreplace(free, answered(sent))
        yield Sent(due, sent, answered(sent))


def service(request: Sent) -> int:
    return request.ended - request.sent


def response(request: Sent) -> int:
    return request.ended - request.due


SEEN: list[tuple[Iterator[Sent], Callable[[Sent], int]]] = [
    (open_schedule(), response),
    (skipping_loops(5), service),
    (skipping_loops(10), service),
    (pool_that_catches_up(10), service),
    (pool_that_catches_up(10), response),
    (pool_that_catches_up(20), service),
    (pool_that_catches_up(20), response),
]


@pytest.mark.parametrize(
    ("requests", "latency", "row"),
    [(*seen, row) for seen, row in zip(SEEN, ORACLE["rows"], strict=True)],
    ids=[row["method"] for row in ORACLE["rows"]],
)
def test_a_stall_looks_as_is_known_to_each_way_of_sending(
    requests: Iterator[Sent], latency: Callable[[Sent], int], row: dict[str, Any]
) -> None:
    seen = [latency(request) for request in requests]
    assert len(seen) == row["n"]
    assert round(fmean(seen), 3) == row["mean_ms"]
    quantiles = {name: row[f"{name}_ms"] for name in ("p50", "p99", "p99_9")}
    assert {
        name: quantile(seen, round(float(name[1:].replace("_", ".")) * 10)) for name in quantiles
    } == quantiles
    assert max(seen) == row["max_ms"]


def test_a_pool_that_counts_from_the_sending_reports_a_hundred_and_eightieth_of_what_users_waited() -> None:
    told = quantile(map(service, pool_that_catches_up(10)), 990)
    waited = quantile(map(response, open_schedule()), 990)
    assert (told, waited) == (50, 9050)
