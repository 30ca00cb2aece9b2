"""Whether a load holds, by what was seen of it: early, at the end, and over searches in virtual time."""

from math import inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.limit.deciding import Observed, Seen, counted, ended, figure, looked, surely_broke
from harness.limit.search import Span, search
from harness.limit.slo import Term, read_slo
from tests.limit_queue import Queue, asking

(TTFT,) = read_slo("ttft.p95<1s")
(ERRORS,) = read_slo("error_rate<5%")


def seen(
    *values: float,
    is_open: int = 0,
    planned: int | None = None,
    passed_s: float = 10.0,
    longest_s: float = 10.0,
) -> Seen:
    """What was seen of *values*, evenly over the time that is over."""
    n = len(values)
    observed = [Observed(passed_s * at / n, value) for at, value in enumerate(values)]
    return Seen(observed, is_open, planned, passed_s, longest_s)


def test_more_than_may_break_it_of_all_that_will_come_is_past_for_certain() -> None:
    finding = looked(TTFT, seen(*[200.0] * 60, *[1500.0] * 11, planned=200, passed_s=4))
    assert (finding.word, finding.n, finding.broke) == ("past", 71, 11)
    assert finding.why == "11 broke it by now: more than 5 % of all 200 there would be"
    assert looked(TTFT, seen(*[200.0] * 60, *[1500.0] * 10, planned=200, passed_s=4)).word != "past"


@given(flags=st.lists(st.booleans(), min_size=1, max_size=300), cut=st.integers(1, 300))
def test_what_is_certain_early_is_what_the_whole_probe_says(flags: list[bool], cut: int) -> None:
    values = [2000.0 if broke else 100.0 for broke in flags]
    so_far = seen(*values[:cut], planned=len(values), passed_s=1)
    if surely_broke(TTFT, so_far) > TTFT.allowed * len(values):
        assert looked(TTFT, so_far).word == "past"
        assert not counted(TTFT, seen(*values).observed).is_kept


def test_enough_that_kept_it_hold_before_the_end_where_times_do_not_rise() -> None:
    assert looked(TTFT, seen(*[200.0, 210.0] * 80, passed_s=4)).word == "holds"
    assert looked(TTFT, seen(*[200.0, 210.0] * 50, passed_s=4)).word == "open"  # too few


def test_no_load_holds_before_a_queue_had_time_to_grow() -> None:
    assert looked(TTFT, seen(*[200.0, 210.0] * 200, passed_s=2.4)).word == "open"
    assert looked(TTFT, seen(*[200.0, 210.0] * 200, passed_s=2.6)).word == "holds"


def test_no_load_holds_early_while_times_rise_that_fast() -> None:
    rising = [200.0 + 2 * at for at in range(200)]  # 400 ms in 4 s: at 10 s it would be 1,200
    assert looked(TTFT, seen(*rising, passed_s=4)).word == "open"


def test_what_is_under_way_may_still_break_it() -> None:
    quick = [200.0, 210.0] * 120
    assert looked(TTFT, seen(*quick, passed_s=4, is_open=2)).word == "holds"
    assert looked(TTFT, seen(*quick, passed_s=4, is_open=10)).word == "open"


def test_the_end_goes_by_the_share_and_says_how_sure_that_is() -> None:
    held, missed = ended(TTFT, seen(*[200.0] * 19, 1500.0)), ended(TTFT, seen(*[200.0] * 18, 1500.0, 1500.0))
    assert (held.word, missed.word) == ("holds", "past")
    assert held.why == "1 of 20 broke it (0.13 to 24.9 %), 5 % may"


def test_times_that_rise_beyond_the_limit_in_another_probe_do_not_hold() -> None:
    finding = ended(TTFT, seen(*[100.0 + 4 * at for at in range(200)]))
    assert finding.is_kept
    assert finding.word == "past"
    assert finding.why.startswith("kept so far, but times rise")


def test_of_too_few_nothing_is_known_and_no_figure_is_told() -> None:
    assert ended(TTFT, seen()).word == "open"
    few, enough = ended(TTFT, seen(*[200.0] * 19)), ended(TTFT, seen(*[200.0] * 20))
    assert (few.word, few.value, few.why) == ("open", None, "19 observed, and it asks for 20")
    assert (enough.word, enough.value) == ("holds", 200.0)


def test_none_may_break_what_allows_none() -> None:
    (none,) = read_slo("error_rate<=0")
    assert looked(none, seen(*[0.0] * 50, 1.0)).word == "past"
    assert ended(none, seen(*[0.0] * 50)).word == "holds"


def test_what_comes_in_bursts_is_worth_less_than_what_does_not() -> None:
    apart = counted(TTFT, seen(*([200.0] * 9 + [1500.0]) * 20).observed)
    bursts = counted(TTFT, seen(*[200.0] * 90, *[1500.0] * 10, *[200.0] * 90, *[1500.0] * 10).observed)
    assert apart.broke == bursts.broke
    assert bursts.worth < apart.worth / 3
    assert bursts.high - bursts.low > apart.high - apart.low


def test_what_our_machine_may_have_added_breaks_nothing() -> None:
    slow = seen(*[200.0, 1200.0] * 30)
    certain = seen(*[200.0] * 50, *[1500.0] * 11, planned=200)._replace(slack_ms=300.0)
    assert looked(TTFT, certain).why.startswith("11 broke it by 300 ms and more, which may be ours, by now")
    assert looked(TTFT, slow).word == "past"
    assert looked(TTFT, slow._replace(slack_ms=300.0)).word == "open"
    assert looked(ERRORS, seen(*[0.0, 1.0] * 20)._replace(slack_ms=300.0)).word == "past"


def test_a_figure_that_lies_among_what_failed_or_is_awaited_is_none() -> None:
    values = [Observed(0.0, 300.0)] * 90
    assert figure(TTFT, [*values, *[Observed(0.0, 900.0)] * 10]) == 900.0
    assert figure(TTFT, [*values, *[Observed(0.0, inf)] * 10]) is None
    assert figure(TTFT, [*values, *[Observed(0.0, 1100.0, more=True)] * 10]) is None
    assert figure(ERRORS, [Observed(0.0, 1.0), Observed(0.0, 0.0)] * 10) == 0.5


@pytest.mark.slow
def test_a_share_that_is_at_its_limit_is_called_past_early_in_no_more_than_alpha_of_probes() -> None:
    wrong = 0
    for seed in range(120):
        random = Random(seed)
        values = [1500.0 if random.random() < TTFT.allowed else 200.0 for _ in range(600)]
        wrong += any(
            looked(TTFT, seen(*values[:upto], passed_s=upto / 20, longest_s=60)).word == "past"
            for upto in range(20, 601, 20)
        )
    assert wrong <= 5  # P(Binomial(120, 0.01) > 5) is 0.15 %


@pytest.mark.slow
@pytest.mark.parametrize(("arrive", "slo"), [("poisson", "ttft.p95<1s"), ("constant", "ttft.p95<400ms")])
def test_the_capacity_of_a_queue_in_virtual_time_is_found_within_a_tenth(arrive: str, slo: str) -> None:
    term: Term
    (term,), queue, close = read_slo(slo), Queue(), 0
    for seed in range(40):
        ask = asking(queue, term, longest_s=8.0, seed=seed, spent=lambda _: None, arrive=arrive)
        found = search(ask, Span(start=20.0, least=1.0))
        close += found.holds is not None and abs(found.holds / queue.capacity - 1) <= 0.1
    assert close >= 36


@pytest.mark.slow
def test_a_load_that_is_far_past_ends_long_before_its_time() -> None:
    took: list[float] = []
    for seed in range(20):
        ask = asking(Queue(), TTFT, longest_s=60.0, seed=seed, spent=took.append, arrive="poisson")
        assert ask(80.0, False, "") == "past"
        assert ask(8.0, False, "") == "holds"
    assert max(took) <= 40  # of 72
