"""Warm-ups and trends, held against known answers."""

from math import exp
from random import Random

from harness.stats.steady import mser5, trend


def warming_up() -> list[float]:
    """The series of the oracle `mser5`."""
    return [round(100 * exp(-i / 8) + 10 + ((7919 * i % 11) - 5) / 5, 4) for i in range(400)]


def test_mser5_cuts_the_known_series_where_it_is_known_to_settle() -> None:
    assert mser5(warming_up()) == 50


def test_mser5_cuts_nothing_of_a_series_that_is_constant() -> None:
    assert mser5([7.0] * 200) == 0


def test_mser5_finds_no_steady_state_where_there_is_none() -> None:
    assert mser5([float(i) for i in range(400)]) is None
    assert mser5([1.0] * 10) is None


def test_a_line_has_its_slope_and_bounds_without_width() -> None:
    found = trend([i / 10 for i in range(400)], [3 + 2 * i / 10 for i in range(400)])
    assert found is not None
    assert (round(found.slope, 9), round(found.low, 6), round(found.high, 6)) == (2, 2, 2)


def test_noise_has_a_trend_as_seldom_as_its_bounds_say() -> None:
    """One-sided 95 % bounds: 5 % of 2,000 series, give or take three standard errors of 0.5 %."""
    random = Random(7)  # noqa: S311  noise, no secret
    times = [float(i) for i in range(100)]
    rising = 0
    for _ in range(2000):
        found = trend(times, [random.gauss(0, 1) for _ in times])
        assert found is not None
        rising += found.low > 0
    assert 0.035 <= rising / 2000 <= 0.065


def test_too_few_values_have_no_trend() -> None:
    assert trend([1.0] * 99, [1.0] * 99) is None
    assert trend([1.0] * 100, [1.0] * 100) is None
