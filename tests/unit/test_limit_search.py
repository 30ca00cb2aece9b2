"""The search for a limit, of servers that are simulated: what is asked, what is found, when it gives up."""

from collections.abc import Callable
from math import exp
from random import Random

import pytest

from harness.limit.search import MOST_PROBES, Ask, Bracket, Span, Word, most_asked, search


def server(capacity: float) -> tuple[Ask, list[float]]:
    """A server that holds up to *capacity* for certain, and what it was asked."""
    asked: list[float] = []

    def ask(load: float, longer: bool, why: str) -> Word:
        del longer, why
        asked.append(load)
        return "holds" if load <= capacity else "past"

    return ask, asked


def wavering(capacity: float, width: float, random: Random) -> Ask:
    """A server whose answers near *capacity* are chance, less so where it is asked for longer."""

    def ask(load: float, longer: bool, why: str) -> Word:
        del why
        off = (load / capacity - 1) / (width / (2 if longer else 1))
        return "past" if random.random() < 1 / (1 + exp(-max(-500.0, min(500.0, off)))) else "holds"

    return ask


def answering(*words: Word) -> Ask:
    """A server that says *words* in turn."""
    left = iter(words)
    return lambda load, longer, why: next(left)


@pytest.mark.parametrize("capacity", [0.3, 1.0, 1.7, 11.3, 40.0, 64.0, 999.0])
def test_what_holds_and_what_does_not_lie_on_both_sides_of_the_capacity_and_close(capacity: float) -> None:
    ask, _ = server(capacity)
    found = search(ask, Span(start=1.0, least=0.01))
    assert found.ended == "found"
    assert found.holds is not None
    assert found.past is not None
    assert found.holds <= capacity < found.past
    assert found.past <= found.holds * 1.06


@pytest.mark.parametrize("tolerance", [0.01, 0.05, 0.5])
@pytest.mark.parametrize("most", [1.0, 1.7, 40.0, 1000.0])
def test_no_server_that_says_the_same_each_time_is_asked_for_more_than_is_told_before(
    tolerance: float, most: float
) -> None:
    span = Span(start=1.0, least=0.3, most=most, tolerance=tolerance)
    bound = most_asked(span)
    assert bound is not None
    random = Random(1)
    takes = []
    for capacity in (*(random.uniform(0.2, 1.1) * most for _ in range(300)), most):
        loads: list[float] = []

        def ask(
            load: float, longer: bool, why: str, at: float = capacity, asked: list[float] = loads
        ) -> Word:
            del why
            asked.append(load * (2 if longer else 1))
            return "holds" if load <= at else "past"

        search(ask, span)
        takes.append(sum(loads))
    assert 0.98 * bound <= max(takes) <= 1.001 * bound


def test_how_much_is_asked_at_most_is_not_known_without_a_most() -> None:
    assert most_asked(Span(start=1.0, least=0.3)) is None


def test_three_hundred_servers_whose_answers_waver_are_found_within_a_tenth_in_nine_of_ten() -> None:
    close = 0
    for seed in range(300):
        random = Random(seed)
        capacity = random.uniform(2, 500)
        found = search(wavering(capacity, 0.06, random), Span(start=1.0, least=0.01))
        close += found.holds is not None and abs(found.holds / capacity - 1) <= 0.1
    assert close >= 270


def test_no_load_is_more_than_twice_what_held() -> None:
    ask, asked = server(100.0)
    search(ask, Span(start=3.0, least=1.0))
    held = 0.0
    for load in asked:
        assert load <= max(3.0, 2 * held)
        held = max(held, load if load <= 100.0 else 0.0)


def test_both_ends_are_asked_again_for_longer_before_they_are_told() -> None:
    told: list[tuple[float, bool]] = []

    def ask(load: float, longer: bool, why: str) -> Word:
        del why
        told.append((load, longer))
        return "holds" if load <= 10 else "past"

    found = search(ask, Span(start=1.0, least=0.1))
    assert [load for load, longer in told if longer] == [found.holds, found.past]


def test_an_end_that_does_not_hold_for_longer_is_given_up() -> None:
    def ask(load: float, longer: bool, why: str) -> Word:
        del why
        return "holds" if load <= (20 if not longer else 15) else "past"

    found = search(ask, Span(start=1.0, least=0.1))
    assert found.holds is not None
    assert 13 < found.holds <= 15.5


def test_a_wrong_answer_early_on_does_not_send_the_search_into_the_wrong_half() -> None:
    lied = False

    def ask(load: float, longer: bool, why: str) -> Word:
        nonlocal lied
        del longer, why
        if load == 8 and not lied:
            lied = True
            return "past"
        return "holds" if load <= 50 else "past"

    found = search(ask, Span(start=1.0, least=0.1))
    assert found.holds is not None
    assert 46 < found.holds <= 50


def test_the_highest_load_that_is_allowed_ends_the_search_where_it_holds_twice() -> None:
    ask, asked = server(1000.0)
    assert search(ask, Span(start=1.0, least=0.1, most=10.0)) == Bracket(10.0, None, "most")
    assert asked == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_where_nothing_holds_it_is_halved_down_to_the_least() -> None:
    ask, asked = server(0.01)
    assert search(ask, Span(start=2.0, least=0.4)) == Bracket(None, 0.4, "least")
    assert asked == [2.0, 1.0, 0.5, 0.4]


@pytest.mark.parametrize("capacity", range(1, 40))
def test_of_workers_the_exact_number_is_found(capacity: int) -> None:
    ask, asked = server(float(capacity))
    found = search(ask, Span(start=1.0, least=1.0, tolerance=0.01, whole=True))
    assert found == Bracket(float(capacity), float(capacity + 1), "found")
    assert all(load == int(load) for load in asked)


def slow_from(least: float, capacity: float = 1e9, upto: float = 1e9) -> tuple[Ask, list[float]]:
    """A server asked by a machine that is too slow for loads from *least* to *upto*, and what was asked."""
    asked: list[float] = []

    def ask(load: float, longer: bool, why: str) -> Word:
        del longer, why
        asked.append(load)
        if least <= load <= upto:
            return "client"
        return "holds" if load <= capacity else "past"

    return ask, asked


def test_a_machine_that_is_too_slow_from_some_load_on_is_the_limit_and_what_held_is_kept() -> None:
    ask, asked = slow_from(40.0)
    found = search(ask, Span(start=1.0, least=0.1))
    assert (found.past, found.ended) == (None, "client")
    assert found.holds is not None
    assert 16 <= found.holds < 40
    assert sum(load >= 40 for load in asked) <= 6  # three loads, each of them twice


def test_a_machine_that_is_always_too_slow_knows_nothing() -> None:
    ask, asked = slow_from(0.0)
    assert search(ask, Span(start=4.0, least=1.0)) == Bracket(None, None, "client")
    assert asked == [4.0, 4.0]


def test_a_machine_that_was_too_slow_for_a_while_is_asked_again() -> None:
    found = search(answering("client", "holds", "holds"), Span(start=5.0, least=1.0, most=5.0))
    assert found == Bracket(5.0, None, "most")


def test_a_load_that_cannot_be_told_is_passed_by_where_those_beside_it_can() -> None:
    ask, asked = slow_from(60.0, capacity=70.0, upto=66.0)
    found = search(ask, Span(start=2.0, least=0.1))
    assert found.holds is not None
    assert found.past is not None
    assert found.holds <= 70 < found.past <= found.holds * 1.2
    held = 0.0
    for load in asked:
        assert load <= max(2.0, 2 * held)
        held = max(held, load if load < 60 or 66 < load <= 70 else 0.0)


def test_an_end_that_cannot_be_told_a_second_time_stays_as_it_was_told() -> None:
    def ask(load: float, longer: bool, why: str) -> Word:
        del why
        if longer:
            return "client"
        return "holds" if load <= 10 else "past"

    found = search(ask, Span(start=1.0, least=0.1))
    assert found.ended == "found"
    assert found.holds is not None
    assert 9 < found.holds <= 10


def test_a_search_that_is_stopped_keeps_what_is_known() -> None:
    assert search(answering("holds", "past", "stopped"), Span(start=4.0, least=1.0)) == Bracket(
        4.0, 8.0, "stopped"
    )


def test_a_server_that_contradicts_itself_without_an_end_is_given_up() -> None:
    counts: dict[float, int] = {}
    answers: Callable[[], int] = lambda: sum(counts.values())  # noqa: E731

    def ask(load: float, longer: bool, why: str) -> Word:
        del why, longer
        counts[load] = counts.get(load, 0) + 1
        return "holds" if Random(answers()).random() < 0.5 else "past"

    search(ask, Span(start=8.0, least=1.0))
    assert answers() <= MOST_PROBES
