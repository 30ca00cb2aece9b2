"""What is known of a run while it goes on: counts, rates, times and what is left."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.drive.reins import Reins
from harness.plan.trials import make_plan
from harness.report.board import board, plain
from harness.report.live import told as line_of
from harness.report.tally import Progress, Snapshot, Tally, snapshot
from harness.report.times import BUCKETS, Latency, Times
from harness.result import Fault, Skip
from harness.stats.quantiles import quantile
from harness.stats.sketch import ACCURACY
from harness.suite.read import load_suite
from tests.going import SECOND, answered, broken, moment, plan, skipped, tally

OPEN = "{main: {rate: 10/s, for: 20s}}"
TIMED = "{main: {workers: 2, for: 20s}}"


def only(shot: Snapshot) -> Progress:
    (row,) = shot.rows
    return row


def test_before_the_first_result_nothing_is_claimed(tmp_path: Path) -> None:
    shot = snapshot(tally(plan(tmp_path, "base"))[0])
    assert (shot.done, shot.planned, shot.phase, shot.load) == (0, 10, "main", "2 workers")
    assert only(shot).ttft == shot.ttft == shot.gap == Latency()
    unknown = (shot.remaining_s, shot.asked_per_s, shot.began_per_s, shot.ended_per_s, shot.lag_ms)
    assert unknown == (None,) * 5
    assert shot.believed is None
    assert (shot.faults, shot.budget) == ((), ())


def test_trials_are_counted_by_how_they_ended_and_exchanges_by_how_they_broke(tmp_path: Path) -> None:
    told, _ = tally(plan(tmp_path, "base", "other"))
    for result in (answered("base"), broken("other"), broken("other", fault=Fault.HTTP), skipped("base")):
        told.add(result)
    shot = snapshot(told)
    assert [(row.variant, row.answered, row.error, row.not_run) for row in shot.rows] == [
        ("base", 1, 0, 1),
        ("other", 0, 2, 0),
    ]
    assert (shot.done, shot.errors, shot.not_run) == (3, 2, 1)
    assert shot.faults == (("disconnected", 1), ("http", 1))


def test_a_variant_is_over_when_each_of_its_trials_has_ended_or_is_not_run(tmp_path: Path) -> None:
    told, _ = tally(plan(tmp_path, "base", repeat=2))
    told.add(answered())
    assert not only(snapshot(told)).is_over
    told.add(skipped())
    assert only(snapshot(told)).is_over


def test_rows_stand_in_the_order_of_the_suite_whatever_comes_first(tmp_path: Path) -> None:
    told, _ = tally(plan(tmp_path, "zebra", "ape", load="{late: {workers: 1}, early: {workers: 1}}"))
    told.add(answered("ape", phase="early"))
    rows = [(row.phase, row.variant) for row in snapshot(told).rows]
    assert rows == [("late", "zebra"), ("late", "ape"), ("early", "zebra"), ("early", "ape")]


def test_times_are_those_of_the_replies_that_count_and_quantiles_need_their_number(tmp_path: Path) -> None:
    told, _ = tally(plan(tmp_path, "base"))
    told.add(broken())
    told.add(answered(ttft_ms=40))
    assert only(snapshot(told)).ttft == Latency(1, None, None, (None, None), 1.0)
    times = [40, *range(100, 119)]
    for ttft_ms in times[1:]:
        told.add(answered(ttft_ms=ttft_ms))
    ttft = only(snapshot(told)).ttft
    assert ttft.n == 20
    assert (ttft.p50_ms, ttft.p95_ms) == pytest.approx((108, quantile(times, 950)), rel=ACCURACY)


def test_the_history_of_a_time_is_the_median_of_each_stretch_and_where_nothing_ended_there_is_none() -> None:
    times = Times(since_ns=0)
    for at_s, took_ms in ((0.1, 10), (0.2, 30), (0.9, 20), (3.5, 5), (3.6, 7)):
        times.add(round(at_s * SECOND), took_ms * 1_000_000)
    first, *between, last = times.latency().history
    assert between == [None, None]
    assert (first, last) == pytest.approx((20, 5), rel=ACCURACY)


def test_of_a_long_run_the_stretches_get_longer_and_nothing_is_lost() -> None:
    times = Times(since_ns=0)
    for second in range(1000):
        times.add(second * SECOND, second * 1_000_000)
    latency = times.latency()
    assert latency.bucket_s == 64
    assert len(latency.history) == 1000 // 64 + 1 <= BUCKETS
    assert latency.history[0] == pytest.approx(quantile(range(64), 500), rel=ACCURACY)
    assert sum(each.count for each in times.buckets) == latency.n == 1000


def test_rates_are_over_the_last_ten_seconds_and_what_was_asked_is_what_the_schedule_says(
    tmp_path: Path,
) -> None:
    told, now = tally(plan(tmp_path, "base", load=OPEN))
    for second in range(1, 16):
        now[0] = second * SECOND + 1
        for _ in range(8 if second > 5 else 2):
            told.add(answered(at_ns=now[0]))
        told.note(moment(second, began=9 * second))
    shot = snapshot(told)
    assert (shot.looked_s, shot.asked_per_s, shot.began_per_s, shot.ended_per_s) == (10, 10, 9, 8)
    assert shot.remaining_s == pytest.approx(5)
    assert shot.is_timed


def test_of_less_than_a_second_no_rate_is_told(tmp_path: Path) -> None:
    told, now = tally(plan(tmp_path, "base"))
    told.add(answered())
    now[0] = SECOND // 2
    assert snapshot(told).ended_per_s is None


def test_a_closed_load_asks_for_no_rate_and_ends_when_its_trials_do(tmp_path: Path) -> None:
    told, now = tally(plan(tmp_path, "base"))
    for second in (1, 2):
        told.add(answered())
        told.note(moment(second, began=2 * second))
    told.add(skipped())
    now[0] = 4 * SECOND + 1
    shot = snapshot(told)
    assert shot.asked_per_s is None
    assert (shot.ended_per_s, shot.remaining_s) == (1, 14)  # 7 of 10 are left, and 2 took 4 s


def test_a_phase_without_end_has_no_number_of_trials(tmp_path: Path) -> None:
    told, _ = tally(plan(tmp_path, "base", load=TIMED))
    told.add(answered())
    shot = snapshot(told)
    assert (shot.planned, only(shot).planned, only(shot).is_over) == (None, None, False)
    assert shot.remaining_s == 20


def test_a_new_phase_begins_with_nothing_known_of_its_own(tmp_path: Path) -> None:
    planned = plan(tmp_path, "base", load="{first: {workers: 1}, second: {workers: 1}}")
    told, now = tally(planned)
    for _ in range(3):
        told.add(answered(phase="first"))
    told.note(moment(1, began=3))
    now[0] = 2 * SECOND
    told.enter("second", planned.loads["second"])
    shot = snapshot(told)
    assert (shot.phase, shot.ttft.n, shot.ended_per_s) == ("second", 0, None)
    assert [row.ttft.n for row in shot.rows] == [3, 0]


def test_the_budget_is_told_where_it_is_limited(tmp_path: Path) -> None:
    planned = plan(tmp_path, "base")
    path = planned.suite.path
    path.write_text(f"{path.read_text()}budget: {{tokens: 1000, minutes: 2, deep_research: 3}}\n")
    now = [1]
    reins = Reins(now=lambda: now[0], deep_research=1)
    told = Tally(make_plan(load_suite(path)), reins)
    reins.purse.tokens = 1000
    reins.purse.book(250, 0.0)
    now[0] = 30 * SECOND + 1
    assert snapshot(told).budget == (("tokens", 250, 1000), ("deep research", 2, 3), ("minutes", 0.5, 2))


def test_how_late_the_loop_came_is_told_with_its_worst_second(tmp_path: Path) -> None:
    told, _ = tally(plan(tmp_path, "base"))
    told.note(moment(1, began=0, lag_ms=5))
    assert snapshot(told).lag_ms is None
    for second, lag_ms in ((2, 1), (3, 40)):
        told.note(moment(second, began=0, lag_ms=lag_ms))
    shot = snapshot(told)
    assert (shot.lag_ms, shot.lag_n) == ((5, 40), 3)


def test_a_run_that_stops_says_why(tmp_path: Path) -> None:
    told, _ = tally(plan(tmp_path, "base"))
    told.reins.stop(Skip.INTERRUPTED)
    assert snapshot(told).stopping == "interrupted"


def test_a_target_that_seems_to_be_away_is_told_of_from_the_fifth_exchange_on_until_one_is_answered(
    tmp_path: Path,
) -> None:
    told, _ = tally(plan(tmp_path, "base"))
    for _ in range(4):
        told.add(broken())
    assert snapshot(told).away is None
    told.add(broken())
    away = snapshot(told).away
    assert away is not None
    assert away[0] == 5
    told.add(answered())
    assert snapshot(told).away is None
    for _ in range(9):
        told.add(broken(fault=Fault.PROTOCOL))  # it says something, if nothing that makes sense
    assert snapshot(told).away is None


def test_who_watches_is_told_how_many_exchanges_broke_in_succession() -> None:
    shot = Snapshot(suite="nightly", elapsed_s=9.0, away=(1038, 64.2))
    assert any(
        "the last 1,038 exchanges all broke, for 1:04 now" in plain(line) for line in board(shot, 120, 40)
    )
    assert "the last 1,038 exchanges all broke" in line_of(shot)
    calm = replace(shot, away=None)
    assert not any("broke" in plain(line) for line in board(calm, 120, 40))
    assert "broke" not in line_of(calm)


def test_that_several_processes_share_the_load_is_said_with_it(tmp_path: Path) -> None:
    told, _ = tally(plan(tmp_path, "base"))
    assert snapshot(told).load == "2 workers"
    told.processes = 3
    assert snapshot(told).load == "2 workers, 3 processes"
