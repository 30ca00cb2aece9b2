"""Open loads against a real stand-in: due times that nothing moves, and what happens without room."""

import os
import signal
from itertools import pairwise
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from harness.drive.alarm import Alarm
from harness.drive.pool import drive
from harness.drive.reins import Reins
from harness.drive.transport import transports
from harness.metrics.figures import ttft_ns
from harness.plan.trials import Plan, make_plan
from harness.result import Result, Skip
from harness.sigma.client import Address, Client
from harness.stats.quantiles import quantile
from harness.suite.read import parse_suite
from tests.conftest import Serving, Standin

pytestmark = pytest.mark.anyio
MS = 1_000_000


def plan(load: str, model: str = "sim:ttft=5ms,gap=1ms,tokens=3", **keys: str) -> Plan:
    more = "".join(f"  {key}: {value}\n" for key, value in keys.items())
    return make_plan(
        parse_suite(
            f"""
suite: s
target: standin
defaults:
  llm_override: {{model_provider: Simulated, model_version: "{model}"}}
{more}
load: {{p: {load}}}
prompts: [{{id: one, message: hello}}]
""",
            Path("s.yaml"),
            {},
        )
    )


async def driven(target: Standin, planned: Plan, reins: Reins | None = None) -> list[Result]:
    results: list[Result] = []
    transport = transports(target.url)
    await drive(
        planned.phase("p"),
        planned.suite.load["p"],
        lambda: Client(Address(target.url), transport()),
        results.append,
        reins=reins or Reins(),
    )
    return sorted(results, key=lambda result: result.due_ns or 0)


def late(results: list[Result]) -> list[int]:
    return [result.began_ns - result.due_ns for result in results if result.began_ns and result.due_ns]


async def test_an_arrival_is_due_when_the_schedule_says_however_late_those_before_it_were(
    sigma: Standin,
) -> None:
    planned = plan("{rate: 100/s, arrivals: poisson, ramp: 200ms, for: 500ms}")
    results = await driven(sigma, planned)
    assert [result.trial_id for result in results] == [trial.trial_id for trial in planned.trials]
    start = (results[0].due_ns or 0) - (planned.trials[0].due_ns or 0)
    assert [(result.due_ns or 0) - start for result in results] == [trial.due_ns for trial in planned.trials]
    assert [result.window for result in results] == [trial.window for trial in planned.trials]
    assert all(each >= 0 for each in late(results))
    assert all(result.failure is None and result.free_ns is None for result in results)


async def test_those_under_way_at_the_end_are_finished_not_cut(sigma: Standin) -> None:
    results = await driven(sigma, plan("{rate: 20/s, for: 200ms}", "sim:ttft=300ms,gap=1ms,tokens=3"))
    assert len(results) == 4
    assert all(result.failure is None and result.skip is None for result in results)


async def test_where_there_is_no_room_an_arrival_is_sent_late_and_keeps_its_due_time(sigma: Standin) -> None:
    planned = plan("{rate: 100/s, for: 100ms, max_in_flight: 2}", "sim:ttft=60ms,gap=1ms,tokens=2")
    results = await driven(sigma, planned)
    assert len(results) == 10
    assert [result.free_ns is None for result in results[:2]] == [True, True]
    waited = [result for result in results[2:] if result.free_ns is not None]
    assert len(waited) >= 4  # all eight, but on a machine that stood still meanwhile
    assert all((result.began_ns or 0) >= (result.free_ns or 0) > (result.due_ns or 0) for result in waited)
    under_way = [
        sum((a.began_ns or 0) < (b.began_ns or 0) < (a.ended_ns or 0) for a in results) for b in results
    ]
    assert max(under_way) < 2


async def test_where_there_is_no_room_an_arrival_may_be_dropped_and_is_counted(sigma: Standin) -> None:
    reins = Reins()
    planned = plan(
        "{rate: 100/s, for: 100ms, max_in_flight: 2, when_full: drop}", "sim:ttft=500ms,gap=1ms,tokens=2"
    )
    results = await driven(sigma, planned, reins)
    dropped = [result for result in results if result.skip is not None]
    assert {result.skip for result in dropped} == {Skip.DROPPED}
    assert all(result.due_ns and result.began_ns is None for result in dropped)
    assert len(dropped) >= 4  # eight, but on a machine that stood still meanwhile
    assert (reins.fell_due, reins.began, reins.dropped) == (10, 10 - len(dropped), len(dropped))


async def test_a_load_that_is_stopped_sends_nothing_more_and_books_the_rest(sigma: Standin) -> None:
    reins, results = Reins(), []

    async def run() -> None:
        results.extend(await driven(sigma, plan("{rate: 10/s, for: 10m}"), reins))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            while reins.began < 2:
                await anyio.lowlevel.checkpoint()
            reins.stop(Skip.INTERRUPTED)
    assert len(results) == 6000
    assert sum(result.skip is None for result in results) == reins.began
    assert {result.skip for result in results} == {None, Skip.INTERRUPTED}


async def test_a_closed_phase_for_a_time_ends_by_itself_and_marks_its_windows(sigma: Standin) -> None:
    planned = plan("{workers: 4, ramp: 100ms, for: 300ms, cool_down: 400ms}")
    results = await driven(sigma, planned)
    assert {result.window for result in results} == {"warm_up", "measured", "cool_down"}
    assert all(result.failure is None for result in results)
    assert len({result.trial_id for result in results}) == len(results)


async def test_in_a_conversation_a_turn_is_due_when_the_answer_before_has_been_thought_about(
    sigma: Standin,
) -> None:
    planned = make_plan(
        parse_suite(
            """
suite: s
target: standin
defaults: {think_time: 80ms}
load: {p: {rate: 10/s}}
prompts: [{id: talk, turns: [{message: hello}, {message: and now}, {message: bye, think_time: 0s}]}]
""",
            Path("s.yaml"),
            {},
        )
    )
    (result,) = await driven(sigma, planned)
    first, second, third = result.exchanges
    assert first.due_ns == result.due_ns
    assert [
        (b.due_ns or 0) - (a.ended_ns or 0) >= t
        for (a, b), t in zip(pairwise(result.exchanges), (80 * MS, 0), strict=True)
    ] == [True, True]
    assert (second.sent_ns or 0) >= (second.due_ns or 0)
    assert (third.sent_ns or 0) >= (third.due_ns or 0)


async def test_nobody_thinks_for_less_time_than_the_suite_says(sigma: Standin) -> None:
    """uvloop's timers, in steps of 1 ms, come up to half of one early: before the turn is due."""
    turns = ", ".join(f"{{message: turn {number}}}" for number in range(20))
    text = f"""
suite: s
target: standin
defaults: {{think_time: 7300us, llm_override: {{model_provider: Simulated, model_version: "sim:tokens=1"}}}}
load: {{p: {{rate: 10/s}}}}
prompts: [{{id: talk, turns: [{turns}]}}]
"""
    (result,) = await driven(sigma, make_plan(parse_suite(text, Path("s.yaml"), {})))
    assert len(result.exchanges) == 20
    assert [each.turn_id for each in result.exchanges if each.began_ns < (each.due_ns or 0)] == []


@pytest.mark.slow
async def test_a_server_that_stands_still_shows_in_the_response_times_though_service_is_quick(
    serving: Serving,
) -> None:
    """Coordinated omission in small: 10 slots, 50/s for 4 s, and 1 s in which the server starts nothing."""
    with serving() as target:
        reins = Reins()
        results: list[Result] = []

        async def run() -> None:
            results.extend(await driven(target, plan("{rate: 50/s, for: 4s, max_in_flight: 10}"), reins))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            while reins.began < 25:
                await anyio.lowlevel.checkpoint()
            os.kill(target.pid, signal.SIGSTOP)
            stopped = anyio.current_time()
            await anyio.sleep(1)
            os.kill(target.pid, signal.SIGCONT)
            stood_s = anyio.current_time() - stopped
    service = [ttft_ns(exchange) or 0 for result in results for exchange in result.exchanges]
    response = [
        (ttft_ns(exchange) or 0) + (exchange.sent_ns or 0) - (exchange.due_ns or 0)
        for result in results
        for exchange in result.exchanges
    ]
    assert len(service) == len(response) == 200
    # Only the ten that were in flight saw the stall as service; fifty fell due meanwhile.
    assert sum(each > 500 * MS for each in service) <= 20
    assert sum(each > 200 * MS for each in response) >= 35
    assert (quantile(response, 990) or 0) > 0.8 * stood_s * 1e9
    assert (quantile(service, 900) or 0) < 200 * MS


async def test_an_alarm_never_rings_early_and_rings_at_once_for_what_is_past() -> None:
    with Alarm() as alarm:
        now = Reins().now
        for ahead in (3 * MS, 1 * MS, 200_000, 0, -5 * MS, 10_000):
            due = now() + ahead
            await alarm.until(due)
            assert now() >= due


async def test_an_alarm_that_was_given_up_on_can_be_set_again() -> None:
    with Alarm() as alarm:
        now = Reins().now
        with anyio.move_on_after(0.01):
            await alarm.until(now() + 60_000 * MS)
        due = now() + 20 * MS
        await alarm.until(due)
        assert now() >= due
