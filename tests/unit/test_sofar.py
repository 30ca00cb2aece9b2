"""The verdict so far: that of a finished run, on what there is."""

from pathlib import Path

import pytest
from msgspec import structs

from harness.drive.attempt import Running
from harness.plan.trials import Plan
from harness.report.sofar import SoFar, Tables
from harness.result import Moment, Result, Skip
from harness.stats.quantiles import quantile
from harness.verdict.word import Word
from tests.going import SECOND, answered, broken, moment, plan, skipped
from tests.replies import MS

OPEN = "{main: {rate: 10/s, for: 20s, max_in_flight: 4}}"
SEEN_LATE_MS = 2


def late(result: Result) -> Result:
    """The same, each read of it seen 2 ms after it came."""
    exchanges = (
        structs.replace(each, seen_ns=tuple(at + SEEN_LATE_MS * MS for at in each.arrived_ns))
        for each in result.exchanges
    )
    return structs.replace(result, exchanges=tuple(exchanges))


def a_run(replies: int = 40, *, lag_ms: int = 1) -> list[Result | Moment]:
    """Replies every 50 ms, and what each second was like."""
    told: list[Result | Moment] = []
    for n in range(replies):
        told.append(late(answered(ttft_ms=100 + n, at_ns=SECOND + n * SECOND // 20)))
        if n % 20 == 19:
            told.append(moment(2 + n // 20, began=n, in_flight=7, lag_ms=lag_ms))
    return told


def tables(folder: Path, *, load: str = "{main: {workers: 2}}", many: int = 10_000) -> Tables:
    planned: Plan = plan(folder, "base", load=load)
    return Tables(planned.loads, folder, many)


def heard(told: list[Result | Moment]) -> SoFar:
    found = SoFar()
    for each in told:
        found.hear(each)
    return found


def test_before_anything_was_measured_there_is_no_verdict(tmp_path: Path) -> None:
    found = tables(tmp_path).look(SoFar())
    assert found.verdict.word is None
    assert (found.replies, found.delay_n, found.delay_p50_ms, found.delay_p99_ms) == (0, 0, None, None)


def test_an_even_run_is_valid_so_far_and_our_delays_are_told_with_their_number(tmp_path: Path) -> None:
    found = tables(tmp_path).look(heard(a_run()).taken())
    assert found.verdict.word is Word.VALID
    reads = sum(
        len(each.arrived_ns) for result in a_run() if isinstance(result, Result) for each in result.exchanges
    )
    assert (found.replies, found.delay_n) == (40, reads)
    assert (found.delay_p50_ms, found.delay_p99_ms) == (SEEN_LATE_MS, SEEN_LATE_MS)
    (signs,) = found.verdict.signs
    assert signs.ttft_p50_ms == 119
    assert signs.merged is None


def test_a_loop_that_is_held_up_is_seen_while_the_run_goes_on(tmp_path: Path) -> None:
    found = tables(tmp_path).look(heard(a_run(lag_ms=80)).taken())
    assert found.verdict.word is Word.CLIENT_BOUND
    assert "event loop was held up" in found.verdict.reasons[0].says


def test_many_looks_come_to_the_same_as_one(tmp_path: Path) -> None:
    once, again, pieces = tables(tmp_path), tables(tmp_path), SoFar()
    for each in a_run(80):
        pieces.hear(each)
        found = again.look(pieces.taken())
    assert found == once.look(heard(a_run(80)).taken())


@pytest.mark.parametrize("apart_ns", [SECOND // 20, 0], ids=["spread", "at once"])
def test_a_verdict_can_be_asked_for_after_any_result_of_an_open_load(tmp_path: Path, apart_ns: int) -> None:
    looked, pieces, words = tables(tmp_path, load=OPEN), SoFar(), set()
    for n in range(60):
        due_ns = SECOND + n * apart_ns
        kinds = (answered(ttft_ms=100 + n, at_ns=due_ns), broken(at_ns=due_ns), skipped(why=Skip.DROPPED))
        pieces.hear(structs.replace(kinds[n % 7 % 3], due_ns=due_ns))
        words.add(looked.look(pieces.taken()).verdict.word)
    assert Word.SERVER_SATURATED in words  # a seventh and more found no room
    assert looked.look(pieces.taken()).verdict.signs[0].arrivals == 60


def test_stamps_that_are_not_the_kernels_say_nothing_of_our_delay(tmp_path: Path) -> None:
    reply = late(answered())
    ours = structs.replace(
        reply, exchanges=tuple(structs.replace(each, stamps="user") for each in reply.exchanges)
    )
    found = tables(tmp_path).look(heard([ours]).taken())
    assert (found.replies, found.delay_n, found.delay_p50_ms) == (1, 0, None)


@pytest.mark.parametrize("reads", [50, 99, 100, 101])
def test_our_delay_is_by_nearest_rank_as_all_quantiles_are(reads: int, tmp_path: Path) -> None:
    reply = answered()
    arrived = tuple(SECOND + n * MS for n in range(reads))
    seen = tuple(at + n * MS for n, at in enumerate(arrived))
    exchanges = (structs.replace(reply.exchanges[0], arrived_ns=arrived, seen_ns=seen),)
    found = tables(tmp_path).look(heard([structs.replace(reply, exchanges=exchanges)]).taken())
    delays = range(reads)
    assert found.delay_n == reads
    assert (found.delay_p50_ms, found.delay_p99_ms) == (quantile(delays, 500), quantile(delays, 990))


def test_what_broke_is_no_reply(tmp_path: Path) -> None:
    assert tables(tmp_path).look(heard([broken(), answered()]).taken()).replies == 1


@pytest.mark.anyio
async def test_arrivals_that_are_under_way_count_though_nothing_came_of_them_yet(tmp_path: Path) -> None:
    planned = plan(tmp_path, "base", load=OPEN)
    done = [structs.replace(answered(at_ns=n * SECOND), due_ns=n * SECOND) for n in range(1, 4)]
    trial = planned.trials[0]
    going = [
        Running(trial, due_ns=n * SECOND, began_ns=n * SECOND, free_ns=9 * SECOND if n > 4 else None)
        for n in range(4, 6)
    ]
    found = Tables(planned.loads, tmp_path).look(heard([*done, moment(5, began=5)]).taken(), going)
    (signs,) = found.verdict.signs
    assert (signs.arrivals, signs.unserved) == (5, 1 / 5)
    assert found.replies == 3


def test_of_very_many_reads_some_are_kept_and_the_quantiles_stay(tmp_path: Path) -> None:
    few, pieces = tables(tmp_path, many=50), SoFar()
    for each in a_run(400):
        pieces.hear(each)
        found = few.look(pieces.taken())
    assert 25 <= found.delay_n <= 50
    assert found.delay_p50_ms == SEEN_LATE_MS
    assert found.replies == 400


@pytest.mark.parametrize("replies", [0, 40])
def test_without_a_calibration_it_says_why_there_is_none(tmp_path: Path, replies: int) -> None:
    exact = tables(tmp_path).look(heard(a_run(replies)).taken()).exact
    assert exact.p99_ms is None
    assert "harness calibrate" in exact.why_not
