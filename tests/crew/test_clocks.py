"""Another machine's clock is found within what is said of it, however its network behaves."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from harness.crew.clocks import Ping, compared, read_clock
from harness.record.nodes import NodeClock, spread_ns
from harness.report.nodes import milliseconds

QUICK = settings(max_examples=200)
DELAY = st.integers(0, 50_000_000)
AHEAD = st.integers(-(10**18), 10**18)
LINKS = st.lists(st.tuples(DELAY, DELAY), min_size=1, max_size=30)
"""Of each ping the way there and the way back, in nanoseconds, as different as they like to be."""

A = NodeClock(node="a", address="10.0.0.1", processes=1)


def pings(links: list[tuple[int, int]], *, ahead_ns: int, begin_ns: int = 0, ppm: int = 0) -> list[Ping]:
    """What a node answers than whose clock ours is ahead by *ahead_ns* at 0, and *ppm* faster."""
    asked, now = [], begin_ns
    for there, back in links:
        answered = now + there
        theirs = answered - ahead_ns - Fraction(answered * ppm, 10**6)
        asked.append(Ping(now, round(theirs), answered + back))
        now = answered + back + 1_000
    return asked


@QUICK
@given(LINKS, AHEAD)
def test_a_clock_is_found_within_half_of_the_shortest_round_trip(
    links: list[tuple[int, int]], ahead: int
) -> None:
    reading = read_clock(pings(links, ahead_ns=ahead))
    shortest = min(there + back for there, back in links)
    assert abs(reading.ahead_ns - ahead) <= reading.residual_ns
    assert reading.residual_ns == -(-shortest // 2)
    assert (reading.round_trips, reading.shortest_ns) == (len(links), shortest)


@QUICK
@given(DELAY, AHEAD)
def test_the_bound_is_reached_where_one_way_takes_no_time_at_all(delay: int, ahead: int) -> None:
    there = read_clock(pings([(delay, 0)], ahead_ns=ahead))
    back = read_clock(pings([(0, delay)], ahead_ns=ahead))
    assert abs(there.ahead_ns - ahead) == delay - delay // 2 == there.residual_ns
    assert abs(back.ahead_ns - ahead) == delay // 2


@QUICK
@given(LINKS, AHEAD, st.lists(st.tuples(DELAY, DELAY), max_size=30))
def test_more_pings_never_make_the_bound_wider(
    links: list[tuple[int, int]], ahead: int, more: list[tuple[int, int]]
) -> None:
    few, many = read_clock(pings(links, ahead_ns=ahead)), read_clock(pings([*links, *more], ahead_ns=ahead))
    assert many.residual_ns <= few.residual_ns


def test_one_quick_answer_among_slow_ones_is_the_one_that_counts() -> None:
    slow = [(40_000_000, 1_000_000)] * 99
    reading = read_clock(pings([*slow, (100_000, 100_000)], ahead_ns=7_000))
    assert (reading.ahead_ns, reading.residual_ns) == (7_000, 100_000)
    assert reading.median_ns == 41_000_000


def test_without_an_answer_there_is_no_reading() -> None:
    with pytest.raises(ValueError, match="empty"):
        read_clock([])


@QUICK
@given(
    LINKS,
    LINKS,
    AHEAD,
    st.integers(-200, 200),
    st.integers(1, 3600).map(lambda seconds: seconds * 10**9),
    st.floats(0, 1),
)
def test_every_stamp_of_a_drifting_clock_is_within_what_is_told_of_it(
    early: list[tuple[int, int]],
    late: list[tuple[int, int]],
    ahead: int,
    ppm: int,
    end_ns: int,
    share: float,
) -> None:
    first = read_clock(pings(early, ahead_ns=ahead, ppm=ppm))
    last = read_clock(pings(late, ahead_ns=ahead, begin_ns=end_ns + 10**10, ppm=ppm))
    told = compared(A, first, last)
    at = first.at_ns + round(share * (last.at_ns - first.at_ns))  # a moment of the run, on our clock
    stamp = at - ahead - Fraction(at * ppm, 10**6) + told.ahead_ns
    assert told.within_ns is not None
    # Within a round trip the clock drifts, too: 200 ppm of 50 ms, and the rounding of a stamp.
    assert abs(stamp - at) <= told.within_ns + 20_002


def drifting(ppm: int, after_s: int) -> NodeClock:
    quick = [(200_000, 300_000)] * 5
    first = read_clock(pings(quick, ahead_ns=10**15, ppm=ppm))
    last = read_clock(pings(quick, ahead_ns=10**15, begin_ns=after_s * 10**9, ppm=ppm))
    return compared(A, first, last)


def test_a_drift_is_told_where_it_is_more_than_the_two_readings_may_be_off() -> None:
    told = drifting(50, 3600)
    assert told.drift_ppm == pytest.approx(50, rel=0.01)
    assert told.moved_ns == pytest.approx(180_000_000, rel=0.01)


def test_a_drift_within_the_residuals_is_none_that_could_be_seen() -> None:
    told = drifting(1, 60)
    assert told.drift_ppm is None
    assert told.within_ns is not None
    assert told.moved_ns is not None
    assert told.within_ns >= abs(told.moved_ns)


def test_a_node_that_was_lost_has_no_bound() -> None:
    first = read_clock([Ping(0, 5, 10)])
    told = compared(A, first, None)
    assert (told.within_ns, told.moved_ns, told.drift_ppm) == (None, None, None)
    assert (told.ahead_ns, told.residual_ns) == (0, 5)


@pytest.mark.parametrize(
    ("within", "apart"),
    [
        ([], 0),
        ([300], 0),
        ([300, 200, 100], 500),
        ([300, None], None),
    ],
)
def test_moments_on_two_nodes_are_as_far_off_as_both_clocks_are(
    within: list[int | None], apart: int | None
) -> None:
    assert spread_ns([structs.replace(A, within_ns=each) for each in within]) == apart


@pytest.mark.parametrize(
    ("nanoseconds", "told"),
    [
        (0, "0"),
        (1, "0.0000010"),
        (250_000, "0.25"),
        (251_000, "0.26"),
        (999_000, "1.00"),
        (1_234_000, "1.3"),
        (12_000_000, "12"),
        (180_400_000, "181"),
    ],
)
def test_a_bound_in_milliseconds_is_rounded_up(nanoseconds: int, told: str) -> None:
    assert milliseconds(nanoseconds) == told


@QUICK
@given(st.integers(1, 10**12))
def test_a_bound_that_is_told_is_never_smaller_than_the_bound(nanoseconds: int) -> None:
    assert float(milliseconds(nanoseconds)) * 1e6 >= nanoseconds * (1 - 1e-9)
