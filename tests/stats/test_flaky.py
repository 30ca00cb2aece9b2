"""Stable, flaky or unknown: the beliefs of the oracle, changes that are planted, alarms that are rare."""

from random import Random

import pytest

from harness.stats.flaky import Night, belief, clean_runs_to_exclude, cusum, flip_rate, since

CASES = [
    (10, 10, 0.694938, 0.0, 0.305062, "unknown"),
    (50, 50, 0.976822, 0.0, 0.023178, "stable pass"),
    (60, 60, 0.987087, 0.0, 0.012913, "stable pass"),
    (40, 20, 0.0, 0.0, 1.0, "flaky"),
    (60, 0, 0.0, 0.987087, 0.012913, "stable fail"),
    (20, 18, 0.147173, 0.0, 0.852827, "unknown"),
]


@pytest.mark.parametrize(("n", "passes", "stable", "failing", "flaky", "name"), CASES)
def test_beliefs_are_those_of_the_oracle(
    n: int, passes: int, stable: float, failing: float, flaky: float, name: str
) -> None:
    found = belief([Night(passes, n - passes)])
    assert tuple(found) == pytest.approx((stable, failing, flaky), abs=1e-6)
    assert found.name == name


def test_a_night_of_long_ago_counts_less() -> None:
    nights = [Night(0, 30, age_days=60), Night(60, 0)]
    assert belief(nights).name == "flaky"
    assert belief(nights, half_life_days=5).name == "stable pass"


def test_fifty_nine_clean_runs_exclude_a_flake_of_five_percent() -> None:
    assert clean_runs_to_exclude(0.05) == 59


def test_flips_are_counted_between_nights_that_came_to_something() -> None:
    nights = [Night(3, 0), Night(2, 1), Night(0, 0), Night(3, 0), Night(3, 0)]
    assert flip_rate(nights) == pytest.approx(2 / 3)
    assert flip_rate(nights[:1]) is None


def test_a_planted_change_is_found_where_it_is() -> None:
    nights = [Night(5, 0) for _ in range(12)] + [Night(2, 3) for _ in range(8)]
    found = since(nights)
    assert found is not None
    assert (found.night, found.before, found.after) == (12, 1.0, 0.4)


def test_changes_that_are_chance_are_found_in_few_of_many_series() -> None:
    random = Random(3)  # noqa: S311
    series = [
        [Night(k := sum(random.random() < 0.8 for _ in range(5)), 5 - k) for _ in range(15)]
        for _ in range(100)
    ]
    assert sum(since(nights) is not None for nights in series) <= 12  # 5 % of 100, and three deviations


def test_alarms_of_cusum_are_as_rare_as_the_oracle_says() -> None:
    random = Random(5)  # noqa: S311
    lengths = []
    for _ in range(300):
        at = cusum([random.gauss(0, 1) for _ in range(4_000)], 0.0, 1.0)
        lengths.append(4_000 if at is None else at + 1)
    assert sum(lengths) / len(lengths) == pytest.approx(335.4, rel=0.18)  # three standard errors


def test_small_drops_add_up_to_an_alarm() -> None:
    assert cusum([-1.0] * 20, 0.0, 1.0) == 7
    assert cusum([0.0] * 1_000, 0.0, 1.0) is None
