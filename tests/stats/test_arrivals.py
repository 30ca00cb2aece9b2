"""What arrivals are like, held against what is known of even and of Poisson ones."""

from random import Random

import pytest

from harness.stats.arrivals import Conformance, conformance

SECOND = 1_000_000_000

# Central 99 % of 20,000 true Poisson schedules at 20/s for 60 s (oracle `arrival_conformance`).
GAP_CV, DISPERSION, LAG_1 = (0.929, 1.081), (0.594, 1.563), (-0.072, 0.078)


def poisson(seed: int) -> list[int]:
    random = Random(seed)  # noqa: S311  a load, no secret
    at, stamps = 0.0, []
    while (at := at + random.expovariate(20)) < 60:
        stamps.append(round(at * SECOND))
    return stamps


def test_even_arrivals_have_no_variation_and_no_dispersion() -> None:
    told = conformance([n * SECOND // 20 for n in range(1200)])
    assert (told.n, told.rate_per_s, told.gap_cv, told.dispersion, told.lag_1) == (1200, 20.0, 0.0, 0.0, None)


def test_poisson_arrivals_lie_in_the_bands_of_true_ones() -> None:
    inside = [0, 0, 0]
    for seed in range(200):
        told = conformance(poisson(seed))
        figures = (told.gap_cv, told.dispersion, told.lag_1)
        for which, (figure, (low, high)) in enumerate(zip(figures, (GAP_CV, DISPERSION, LAG_1), strict=True)):
            assert figure is not None
            inside[which] += low <= figure <= high
    assert min(inside) >= 194


def test_the_order_in_which_stamps_are_told_makes_no_difference() -> None:
    stamps = poisson(1)
    assert conformance(stamps[::-1]) == conformance(stamps)


def test_bunches_are_more_uneven_than_poisson_and_neighbouring_gaps_tell_of_each_other() -> None:
    bunches = [n * SECOND + k * SECOND // 100 for n in range(60) for k in range(20)]
    told = conformance(bunches)
    assert told.gap_cv is not None
    assert told.gap_cv > 2
    trend = conformance([SECOND * n * n // 1000 for n in range(200)])
    assert trend.lag_1 is not None
    assert trend.lag_1 > 0.9


@pytest.mark.parametrize("stamps", [[], [5], [5, 9], [5, 5, 5, 5]])
def test_too_few_arrivals_have_no_figures(stamps: list[int]) -> None:
    assert conformance(stamps) == Conformance(len(stamps))


def test_less_than_two_whole_seconds_have_no_dispersion() -> None:
    told = conformance([n * SECOND // 100 for n in range(150)])
    assert told.dispersion is None
    assert told.gap_cv == pytest.approx(0)
