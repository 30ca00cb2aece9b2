"""How unevenly arrivals are spaced: nothing where they are even, as asked where they are random."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.stats.arrivals import Conformance, conformance

SECOND = 1_000_000_000


def gamma(seed: int, *, shape: float = 1.0, rate: float = 20.0, seconds: float = 60.0) -> list[int]:
    random = Random(seed)
    at, stamps = 0.0, []
    while (at := at + random.gammavariate(shape, 1 / (shape * rate))) < seconds:
        stamps.append(round(at * SECOND))
    return stamps


def test_even_arrivals_have_no_variation() -> None:
    assert conformance([nth * SECOND // 20 for nth in range(1200)]) == Conformance(1200, 0.0)


@pytest.mark.parametrize(("shape", "cv"), [(1.0, 1.0), (4.0, 0.5), (0.25, 2.0)])
def test_random_arrivals_vary_as_their_distribution_does(shape: float, cv: float) -> None:
    assert conformance(gamma(3, shape=shape, seconds=600)).gap_cv == pytest.approx(cv, rel=0.05)


def test_ten_workers_with_the_same_poisson_gaps_are_told_from_one_poisson_load() -> None:
    """The defect of a peer: ten arrivals at once, and then a gap ten times as long."""
    told = conformance([at for at in gamma(3, rate=2) for _ in range(10)])
    assert told.gap_cv is not None
    assert told.gap_cv > 2


def test_the_order_in_which_stamps_are_told_makes_no_difference() -> None:
    stamps = gamma(1)
    assert conformance(stamps[::-1]) == conformance(stamps)


@given(st.lists(st.integers(0, 10**12), max_size=50), st.integers(0, 10**15))
def test_when_arrivals_begin_makes_no_difference(stamps: list[int], later: int) -> None:
    assert conformance([at + later for at in stamps]) == conformance(stamps)


@pytest.mark.parametrize("stamps", [[], [5], [5, 9], [5, 5, 5, 5]])
def test_too_few_arrivals_have_no_variation(stamps: list[int]) -> None:
    assert conformance(stamps) == Conformance(len(stamps))
