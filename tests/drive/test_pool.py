"""The pool against a real stand-in: how many at once, and what can end a run early."""

import gc
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import anyio
import httpx
import pytest

from harness.drive.pool import drive, plain_errors
from harness.drive.reins import Reins, cut_at
from harness.drive.transport import transports
from harness.errors import RunDirectoryError
from harness.plan.trials import Trial, make_plan
from harness.result import Result, Skip
from harness.sigma.client import Address, Client
from harness.suite.phases import Phase
from harness.suite.read import parse_suite
from tests.conftest import Standin, serving

pytestmark = pytest.mark.anyio


def trials(count: int, model: str, extra: str = "") -> tuple[Trial, ...]:
    text = f"""
suite: s
target: standin
budget: {{deep_research: 100}}
defaults:
  repeat: {count}
  llm_override: {{model_provider: Simulated, model_version: "{model}"}}
{extra}
prompts: [{{id: p, message: hello}}]
"""
    return make_plan(parse_suite(text, Path("s.yaml"), {})).trials


async def driven(
    target: Standin, planned: tuple[Trial, ...], *, workers: int = 4, reins: Reins | None = None
) -> list[Result]:
    return await under(target, planned, Phase(workers=workers), reins or Reins())


async def under(target: Standin, planned: Iterable[Trial], load: Phase, reins: Reins) -> list[Result]:
    results: list[Result] = []
    transport = transports(target.url)
    await drive(planned, load, lambda: Client(Address(target.url), transport()), results.append, reins=reins)
    return results


async def in_flight(target: Standin) -> int:
    async with httpx.AsyncClient() as http:
        return int((await http.get(f"{target.url}/_standin/stats")).json()["in_flight"])


async def test_every_trial_leaves_one_result_and_no_more_are_in_flight_than_there_are_workers() -> None:
    planned = trials(30, "sim:ttft=40ms,tokens=3")
    with serving() as target:
        results = await driven(target, planned, workers=5)
        async with httpx.AsyncClient() as http:
            stats = (await http.get(f"{target.url}/_standin/stats")).json()
    assert sorted(one.trial_id for one in results) == sorted(one.trial_id for one in planned)
    assert all(one.failure is None and one.skip is None for one in results)
    assert 2 <= stats["max_in_flight"] <= 5


async def test_more_workers_than_trials_do_no_harm(sigma: Standin) -> None:
    assert len(await driven(sigma, trials(2, "sim:tokens=2"), workers=16)) == 2


async def test_a_budget_of_deep_research_is_a_hard_stop_and_the_rest_is_not_run(sigma: Standin) -> None:
    planned = trials(5, "swift", "  deep_research: true")
    results = await driven(sigma, planned, workers=2, reins=Reins(deep_research=2))
    assert [one.skip for one in results].count(Skip.BUDGET) == 3
    assert sum(bool(one.exchanges) for one in results) == 2


async def test_stopping_lets_those_under_way_finish_and_sends_no_other(sigma: Standin) -> None:
    reins, results = Reins(), []
    planned = trials(20, "sim:ttft=200ms,tokens=3")

    async def run() -> None:
        results.extend(await driven(sigma, planned, workers=2, reins=reins))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        while reins.in_flight < 2:
            await anyio.lowlevel.checkpoint()
        reins.stop(Skip.INTERRUPTED)
    assert len(results) == 20
    finished = [one for one in results if one.skip is None]
    assert len(finished) == 2
    assert all(one.failure is None for one in finished)


async def test_cutting_ends_those_under_way_where_they_stand(sigma: Standin) -> None:
    reins, results = Reins(), []
    planned = trials(6, "sim:ttft=10ms,gap=50ms,tokens=2000")

    async def run() -> None:
        results.extend(await driven(sigma, planned, workers=3, reins=reins))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            while reins.in_flight < 3:
                await anyio.lowlevel.checkpoint()
            reins.cut(Skip.INTERRUPTED)
    assert [one.skip for one in results] == [Skip.INTERRUPTED] * 6


async def test_the_budget_of_minutes_cuts_what_is_under_way(sigma: Standin) -> None:
    reins = Reins()
    planned = trials(4, "sim:ttft=10ms,gap=50ms,tokens=2000")
    results: list[Result] = []

    async def cut_once_they_answer() -> None:
        while await in_flight(sigma) < 2:
            await anyio.lowlevel.checkpoint()
        await cut_at(reins.now() + 300_000_000, reins)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cut_once_they_answer)
            results = await driven(sigma, planned, workers=2, reins=reins)
    assert {one.skip for one in results} == {Skip.BUDGET}
    begun = [one for one in results if one.exchanges]
    assert len(begun) == 2
    assert all(one.exchanges[0].transcript and one.exchanges[0].transcript.answer for one in begun)


async def test_fail_fast_stops_at_the_first_failure_of_sigma(sigma: Standin) -> None:
    results = await driven(sigma, trials(10, "sim:fault=http:500"), workers=1, reins=Reins(fail_fast=True))
    assert [one.skip for one in results] == [None, *[Skip.FAIL_FAST] * 9]


async def test_an_error_in_keeping_a_result_ends_the_run_as_itself(sigma: Standin) -> None:
    def full(_: Result) -> None:
        raise RunDirectoryError("journal: cannot be written: No space left on device")

    transport = transports(sigma.url)
    with pytest.raises(RunDirectoryError, match="No space left"):
        await drive(
            trials(4, "sim:tokens=2"),
            Phase(workers=2),
            lambda: Client(Address(sigma.url), transport()),
            full,
            reins=Reins(),
        )


@pytest.mark.parametrize(
    "load", [Phase(workers=3), Phase.model_validate({"rate": "100/s", "for": "1s"})], ids=["closed", "open"]
)
async def test_an_error_beside_the_trials_sends_no_other_and_books_none_of_those_under_way(
    load: Phase,
) -> None:
    """Their replies are cut by us and not by Sigma: without a result they are sent again by `--resume`."""
    results: list[Result] = []
    planned = trials(30, "sim:ttft=10ms,gap=50ms,tokens=2000")
    if load.is_open:
        planned = tuple(replace(trial, due_ns=0) for trial in planned[:3])

    async def run(target: Standin) -> None:
        transport = transports(target.url)
        address = Address(target.url)
        await drive(planned, load, lambda: Client(address, transport()), results.append, reins=Reins())

    async def fail_beside(target: Standin) -> None:
        with plain_errors():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run, target)
                while await in_flight(target) < 3:
                    await anyio.lowlevel.checkpoint()
                raise RunDirectoryError("journal: was deleted")

    with serving() as target, anyio.fail_after(20):
        with pytest.raises(RunDirectoryError, match="deleted"):
            await fail_beside(target)
        async with httpx.AsyncClient() as http:
            stats = (await http.get(f"{target.url}/_standin/stats")).json()
    assert stats["requests"] == 3
    assert results == []


def test_an_error_comes_out_of_its_groups_but_not_where_it_would_hide_a_bug() -> None:
    full, bug = RunDirectoryError("no space"), KeyError("trial")
    with pytest.raises(RunDirectoryError), plain_errors():
        raise ExceptionGroup("outer", [ExceptionGroup("inner", [full])])
    with pytest.raises(ExceptionGroup), plain_errors():
        raise ExceptionGroup("outer", [full, bug])


def test_an_interruption_is_known_also_after_the_run_was_ending_anyway() -> None:
    reins = Reins()
    reins.stop(Skip.FAIL_FAST)
    assert not reins.interrupted
    reins.stop(Skip.INTERRUPTED)
    assert (reins.stopped, reins.interrupted) == (Skip.FAIL_FAST, True)


async def test_a_spent_budget_stops_the_run_and_says_until_when(sigma: Standin) -> None:
    reins = Reins()
    results = await driven(sigma, trials(6, "sim:fault=http:429"), workers=1, reins=reins)
    assert [one.skip for one in results] == [None, *[Skip.RATE_LIMITED] * 5]
    assert len(results[0].exchanges) == 1
    assert "Sigma refuses everything until 20" in reins.said


async def test_a_key_that_is_refused_midway_stops_the_run(sigma: Standin) -> None:
    reins = Reins()
    results = await driven(sigma, trials(4, "sim:fault=http:403"), workers=1, reins=reins)
    assert [one.skip for one in results] == [None, *[Skip.REFUSED] * 3]
    assert "API key" in reins.said


async def test_trials_that_go_on_in_one_conversation_go_one_after_the_other(sigma: Standin) -> None:
    session_id = sigma.ask("hello").session_id
    planned = trials(4, "sim:ttft=30ms,tokens=3", f"  chat_session_id: {session_id}")
    results = await driven(sigma, planned, workers=4)
    assert all(one.failure is None for one in results)
    assert {one.exchanges[0].session_id for one in results} == {session_id}
    sent = sorted((one.exchanges[0].sent_ns or 0, one.exchanges[0].ended_ns or 0) for one in results)
    assert all(ended <= sent for (_, ended), (sent, _) in pairwise(sent))
    assert len(sent) == 4


async def test_trials_leave_no_garbage_for_the_collector_to_find(sigma: Standin) -> None:
    """What is in a cycle is kept until the collector comes round: tapes, and 10 ms to free them."""
    left = []
    gc.collect()
    gc.disable()
    try:
        for count in (10, 60):
            await driven(sigma, trials(count, "sim:gap=1ms,tokens=3"))
            left.append(gc.collect())
    finally:
        gc.enable()
    assert left[1] - left[0] < 50, left
