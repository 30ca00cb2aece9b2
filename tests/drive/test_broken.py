"""Every fault of the network that there is, met by real trials: none hangs, none leaks, none is lost."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import perf_counter_ns
from typing import Any
from uuid import uuid4

import anyio
import httpx
import pytest

from harness.drive.attempt import Running, attempt
from harness.drive.pool import drive
from harness.drive.reins import Reins
from harness.drive.transport import StampedTransport
from harness.result import Fault, Result, Step
from harness.sigma.client import Address, Client
from harness.suite.phases import Phase
from tests.conftest import Serving
from tests.drive.broken import BROKEN, Broken, Places, lost, met, places
from tests.drive.streaming import LOOPS
from tests.drive.test_attempt import trial

pytestmark = pytest.mark.anyio

DOCS = Path(__file__).parents[2] / "docs" / "faults.md"


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def where(serving: Serving) -> Iterator[Places]:
    with serving() as standin, places(standin.url) as found:
        yield found


def opened() -> set[str]:
    """The files that this process has open, and what each of them is."""
    found = set()
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208 - the names are all there is
        with suppress(OSError):
            found.add(f"{number} {os.readlink(f'/proc/self/fd/{number}')}")  # noqa: PTH115 - no path either
    return found


@pytest.mark.parametrize(
    "broken",
    [pytest.param(one, id=one.name, marks=[pytest.mark.slow] if one.takes_long else []) for one in BROKEN],
)
async def test_a_fault_ends_as_what_it_is_in_time_and_leaves_nothing_behind(
    broken: Broken, where: Places
) -> None:
    await anyio.to_thread.run_sync(int)  # the loop opens its own files at the first thread
    files, tasks = opened(), len(anyio.get_running_tasks())
    transport = StampedTransport()
    async with Client(Address(where.standin), transport) as client:
        assert lost(broken, await met(broken, where, transport)) == []
        assert [one for one in transport._connections if not one.reusable] == []
        after = await attempt(Running(trial("sim:ttft=0,tokens=3")), client, perf_counter_ns)
        assert after.failure is None
        assert len(anyio.get_running_tasks()) == tasks
    assert transport._connections == set()
    assert opened() == files


@pytest.mark.slow
async def test_all_at_once_they_are_one_result_each_and_harm_no_neighbour(where: Places) -> None:
    met_at_once = [one for one in BROKEN if one.place == "standin" and not one.resent]
    well = [trial(f"sim:ttft=0,gap=1ms,tokens={number}") for number in range(1, 21)]
    trials = [*(one.trial() for one in met_at_once), *well]
    results: dict[str, Result] = {}

    def keep(result: Result) -> None:
        assert result.trial_id not in results
        results[result.trial_id] = result

    transport = StampedTransport()
    load = Phase(workers=len(trials))
    await drive(trials, load, lambda: Client(Address(where.standin), transport), keep, reins=Reins())
    wrong = {one.name: lost(one, results[one.trial().trial_id]) for one in met_at_once}
    assert {name: found for name, found in wrong.items() if found} == {}
    assert [results[one.trial_id].failure for one in well] == [None] * len(well)
    assert len(results) == len(trials)


async def test_a_request_that_a_server_took_and_left_unanswered_is_sent_twice_and_never_a_third_time(
    where: Places,
) -> None:
    """Whoever closes without a word may have taken the turn: the price of not losing it to an idle close."""
    transport = StampedTransport()
    async with Client(Address(where.standin), transport) as client, httpx.AsyncClient() as outside:

        async def asked(message: str) -> int:
            ledger = (await outside.get(f"{where.standin}/_standin/requests")).json()
            return sum(message in one["body"] for one in ledger)

        once, new, kept = "  retry: {attempts: 1}", str(uuid4()), str(uuid4())
        hangup = "sim:fault=hangup"
        first = await attempt(Running(trial(hangup, once, turns=(new,))), client, perf_counter_ns)
        assert (first.exchanges[0].resent, await asked(new)) == (False, 1)
        await attempt(Running(trial("sim:ttft=0,tokens=1")), client, perf_counter_ns)
        second = await attempt(Running(trial(hangup, once, turns=(kept,))), client, perf_counter_ns)
        assert (second.exchanges[0].resent, await asked(kept)) == (True, 2)
        assert second.failure is not None
        assert (second.failure.fault, second.failure.step) == (Fault.DISCONNECTED, Step.HEADERS)


def test_the_docs_say_of_every_fault_how_it_ends() -> None:
    rows = [line.split(" | ") for line in DOCS.read_text().splitlines() if line.startswith("| `")]
    told = 0
    for broken in BROKEN:
        if (name := re.fullmatch(r"fault=([a-z]+)\b[^,]*", broken.script)) is None:
            continue  # two together, or none
        (ends,) = [row[-1] for row in rows if re.search(rf"`{name[1]}\b", row[0])]
        wanted = ["whole reply"] if broken.fault is None else [str(broken.fault), f"({broken.step})"]
        assert [each for each in wanted if each not in ends] == [], broken.name
        told += 1
    assert told > 20
