"""When the target was away: what is called an outage, from when to when, and what is none."""

from itertools import count

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from harness.metrics.outages import LEAST, Sent, broke, outages
from harness.result import Fault
from harness.verdict.signs import Signs
from harness.verdict.word import Word, reasons_of

SECOND = 1_000_000_000
_numbers = count()


def whole(began_s: float, ended_s: float) -> Sent:
    began, ended = round(began_s * SECOND), round(ended_s * SECOND)
    return Sent(f"t{next(_numbers)}", began, ended, (began, ended), None, is_lost=False)


def broken(began_s: float, ended_s: float, *, fault: str = "connect", lost: bool = True) -> Sent:
    began, ended = round(began_s * SECOND), round(ended_s * SECOND)
    return Sent(f"t{next(_numbers)}", began, ended, None, fault, is_lost=lost)


def replies(first_s: float, last_s: float) -> list[Sent]:
    """One after the other, each a tenth of a second long."""
    return [whole(at / 10, (at + 1) / 10) for at in range(round(first_s * 10), round(last_s * 10))]


def test_an_outage_is_from_the_last_sign_of_life_to_the_last_exchange_that_broke() -> None:
    away = [broken(5.0 + nth / 10, 5.05 + nth / 10) for nth in range(20)]
    (found,) = outages([*replies(1, 5), *away, *replies(7.2, 10)])
    assert (found.from_s, found.to_s) == (4.0, 5.95)  # the first trial began at 1 s, a reply was whole at 5 s
    assert (found.exchanges, found.trials, found.faults, found.is_over) == (20, 20, {"connect": 20}, True)
    assert found.says == (
        "outage: the target was away for 2.0 s, from 4.0 s to 6.0 s after the first trial began: "
        "20 exchanges in succession broke (connect 20), 20 trials ended in an error"
    )


def test_what_was_under_way_when_the_target_went_is_part_of_it() -> None:
    cut = [
        Sent(f"c{nth}", 4 * SECOND, 5 * SECOND, (4 * SECOND, 5 * SECOND - 9), "disconnected", True)
        for nth in range(8)
    ]
    (found,) = outages(
        [*replies(0, 4), *cut, *(broken(5 + nth, 5.5 + nth) for nth in range(3)), *replies(9, 12)]
    )
    assert found.exchanges == 11
    assert found.faults == {"disconnected": 8, "connect": 3}
    assert found.from_s == 5 - 9e-9


def test_what_was_sent_again_and_answered_is_no_trial_lost() -> None:
    away = [broken(5, 5.5, lost=nth < 2) for nth in range(6)]
    (found,) = outages([*replies(0, 5), *away, *replies(6, 9)])
    assert (found.exchanges, found.trials) == (6, 2)
    (found,) = outages([*replies(0, 5), *(one._replace(is_lost=False) for one in away), *replies(6, 9)])
    assert found.says.endswith("(connect 6), all were sent again")


def test_a_target_that_does_not_come_back_is_said_to() -> None:
    (found,) = outages([*replies(0, 5), *(broken(5 + nth, 6 + nth) for nth in range(10))])
    assert not found.is_over
    assert found.says.endswith("; nothing was answered after it")


def test_of_a_run_in_which_nothing_was_answered_all_is_one_outage() -> None:
    (found,) = outages([broken(2 + nth, 2.5 + nth) for nth in range(7)])
    assert (found.from_s, found.to_s, found.exchanges) == (0.0, 6.5, 7)


def test_few_in_succession_are_none() -> None:
    away = [broken(5, 5.5) for _ in range(LEAST - 1)]
    assert outages([*replies(0, 5), *away, *replies(6, 9)]) == []


def test_a_reply_that_came_whole_meanwhile_shows_that_the_target_was_there() -> None:
    away = [broken(5, 5.2 + nth / 100) for nth in range(30)]
    assert len(outages([*replies(0, 5), *away, *replies(6, 9)])) == 1
    assert outages([*replies(0, 5), *away, whole(4.9, 5.9), *replies(6, 9)]) == []


def test_a_share_that_always_breaks_is_no_outage_however_long_its_longest_run() -> None:
    often = [
        broken(nth, nth + 0.9) if (nth * 7919) % 10 < 8 else whole(nth, nth + 0.9) for nth in range(3_000)
    ]
    runs = [*often, *(broken(3_000 + nth, 3_000.9 + nth) for nth in range(6)), whole(3_010, 3_011)]
    assert outages(runs) == []
    long = [*often, *(broken(3_000 + nth, 3_000.9 + nth) for nth in range(90)), whole(3_100, 3_101)]
    (found,) = outages(long)
    assert found.exchanges >= 90


def test_two_outages_are_told_one_by_one() -> None:
    first, second = ([broken(at, at + 0.5) for _ in range(6)] for at in (5, 10))
    found = outages([*replies(0, 5), *first, *replies(6, 10), *second, *replies(11, 15)])
    assert [(round(one.from_s, 6), one.to_s) for one in found] == [(5.0, 5.5), (10.0, 10.5)]


def test_nothing_that_was_sent_shows_nothing() -> None:
    assert outages([]) == []
    assert outages(replies(0, 3)) == []


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 20), st.booleans()), max_size=80))
def test_no_sign_of_life_is_in_an_outage_and_no_exchange_in_two(told: list[tuple[int, int, bool]]) -> None:
    sent = [(whole if ok else broken)(at, at + took) for at, took, ok in told]
    found = outages(sent)
    for one in found:
        assert one.exchanges >= LEAST
        assert one.began_ns <= one.ended_ns
        ends = [
            each.ended_ns for each in sent if each.fault and one.began_ns <= each.ended_ns <= one.ended_ns
        ]
        assert len(ends) >= one.exchanges
        lived = [
            each for each in sent if each.answered and each.answered[0] < one.ended_ns < each.answered[1]
        ]
        assert not lived
    assert sum(one.exchanges for one in found) <= sum(each.fault is not None for each in sent)


def test_what_a_target_says_of_itself_is_no_outage() -> None:
    gone = {Fault.CONNECT, Fault.DISCONNECTED, Fault.TIMED_OUT, Fault.TRUNCATED}
    assert {fault for fault in Fault if broke(fault, 200)} == gone
    assert broke("http", 503)
    assert not broke("http", 429)
    assert not broke(None, 200)


def test_an_outage_degrades_the_verdict_and_none_does_not() -> None:
    signs = Signs(phase="main", is_open=True, n=100, seconds=9.0, away_s=2.04, away_n=40)
    (reason,) = reasons_of(signs)
    assert (reason.word, reason.sign, reason.value) == (Word.DEGRADED, "away_s", 2.04)
    assert reason.says == "the target was away for 2.0 s: all 40 exchanges in it broke"
    assert list(reasons_of(structs.replace(signs, away_s=0.0, away_n=0))) == []
