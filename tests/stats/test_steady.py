"""Warm-ups and trends, held against known answers."""

import json
from fractions import Fraction
from math import exp
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.stats.steady import Trend, mser5, trend

ORACLE: dict[str, Any] = json.loads(Path(__file__).with_name("oracles.json").read_text())["mser5"]


def warming_up() -> list[float]:
    """The series of the oracle."""
    return [round(100 * exp(-i / 8) + 10 + ((7919 * i % 11) - 5) / 5, 4) for i in range(400)]


def statistics_of_cuts(values: list[Any]) -> list[Fraction]:
    """What MSER-5 minimises, for each cut of the first half, by the book and without rounding."""
    means = [Fraction(sum(map(Fraction, values[at : at + 5]))) / 5 for at in range(0, len(values) - 4, 5)]
    found = []
    for cut in range(len(means) // 2 + 1):
        left = means[cut:]
        centre = sum(left, Fraction()) / len(left)
        found.append(sum(((mean - centre) ** 2 for mean in left), Fraction()) / len(left) ** 2)
    return found


def test_mser5_cuts_the_known_series_where_it_is_known_to_settle() -> None:
    assert mser5(warming_up()) == ORACLE["cut"]
    lowest = statistics_of_cuts(warming_up())[ORACLE["cut"] // 5]
    assert float(lowest) == pytest.approx(ORACLE["statistic"], abs=5e-9)


@given(st.lists(st.integers(0, 30), min_size=20, max_size=150))
def test_mser5_cuts_where_its_statistic_is_lowest(values: list[int]) -> None:
    of_cuts = statistics_of_cuts(values)
    lowest = min(of_cuts)
    found = mser5(values)
    # Of two cuts that are equally good in whole numbers, floats may take either.
    assert of_cuts[-1 if found is None else found // 5] == lowest
    assert found is None or found // 5 < len(of_cuts) - 1


@given(st.lists(st.integers(0, 30), min_size=20, max_size=150), st.integers(-(10**6), 10**6))
def test_mser5_cuts_at_the_same_place_whatever_is_added_to_all(values: list[int], added: int) -> None:
    of_cuts = statistics_of_cuts(values)
    found = mser5([value + added for value in values])
    assert of_cuts[-1 if found is None else found // 5] == min(of_cuts)


@given(st.floats(-1e12, 1e12), st.integers(20, 203))
def test_mser5_cuts_nothing_of_a_series_that_is_constant(value: float, n: int) -> None:
    assert mser5([value] * n) == 0


def test_mser5_finds_no_steady_state_where_there_is_none() -> None:
    assert mser5([float(i) for i in range(400)]) is None
    assert mser5([1.0] * 10) is None


def test_a_line_has_its_slope_and_bounds_without_width() -> None:
    found = trend([i / 10 for i in range(400)], [3 + 2 * i / 10 for i in range(400)])
    assert found is not None
    assert (round(found.slope, 9), round(found.low, 6), round(found.high, 6)) == (2, 2, 2)


def test_noise_has_a_trend_as_seldom_as_its_bounds_say() -> None:
    """One-sided 95 % bounds: 5 % of 2,000 series, give or take three standard errors of 0.5 %."""
    random = Random(7)
    times = [float(i) for i in range(100)]
    rising = 0
    for _ in range(2000):
        found = trend(times, [random.gauss(0, 1) for _ in times])
        assert found is not None
        rising += found.low > 0
    assert 0.035 <= rising / 2000 <= 0.065


def test_too_few_values_or_batches_or_a_time_that_stands_still_have_no_trend() -> None:
    times = [float(i) for i in range(200)]
    assert trend(times[:99], times[:99]) is None
    assert trend(times[:100], times[:100]) is not None
    assert trend([1.0] * 100, times[:100]) is None
    assert trend(times, times, batches=19) is None
    assert trend(times, times, batches=40) is not None
    assert trend(times, times, batches=41) is None


@pytest.mark.parametrize(("batches", "student"), [(20, 1.734063607), (42, 1.683851013), (102, 1.660234326)])
def test_bounds_are_those_of_a_line_through_so_many_points(batches: int, student: float) -> None:
    """Values that alternate by batch: slope and error are those of the textbook's formulas."""
    times = [float(i) for i in range(5 * batches)]
    values = [float(i // 5 % 2) for i in range(5 * batches)]
    found = trend(times, values, batches=batches)
    assert found is not None
    xs, ys = [5 * i + 2.0 for i in range(batches)], [i % 2 for i in range(batches)]
    x_mean, y_mean = sum(xs) / batches, sum(ys) / batches
    spread = sum((x - x_mean) ** 2 for x in xs)
    slope = sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True)) / spread
    left = sum((y - y_mean - slope * (x - x_mean)) ** 2 for x, y in zip(xs, ys, strict=True))
    error = student * (left / (batches - 2) / spread) ** 0.5
    assert (found.slope, found.low, found.high) == pytest.approx(
        (slope, slope - error, slope + error), rel=1e-5
    )


def test_a_line_is_found_however_its_values_came_in_batches() -> None:
    found = trend([i / 10 for i in range(417)], [3 - 2 * i / 10 for i in range(417)], batches=23)
    assert found is not None
    assert (found.slope, found.low, found.high) == pytest.approx((-2, -2, -2), abs=1e-6)
    assert found.n == 417


def waiting(load: float) -> Trend:
    """How the waiting time of a single queue with random arrivals goes; one arrival a second."""
    random, waited, series = Random(12), 0.0, []
    for _ in range(2000):
        series.append(waited)
        waited = max(0.0, waited + random.expovariate(1 / load) - random.expovariate(1.0))
    found = trend([float(i) for i in range(2000)], series)
    assert found is not None
    return found


def test_a_queue_that_grows_has_a_trend_and_one_that_is_at_rest_has_none() -> None:
    """A server with room for all, and one that gets 20 % more than it can do: waiting times by Lindley."""
    assert waiting(0.5).low < 0 < waiting(0.5).high
    assert waiting(1.2).low > 0
