"""Stable, flaky or unknown: the beliefs of the oracle, changes that are planted, alarms that are rare."""

import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.stats.flaky import (
    Night,
    belief,
    clean_runs_to_exclude,
    drift,
    entropy,
    flip_rate,
    since,
)

ORACLES = json.loads((Path(__file__).parent / "oracles" / "flaky.json").read_text())


@pytest.mark.parametrize("case", ORACLES["flaky_prompt"]["cases"], ids=lambda case: case["class"])
def test_beliefs_are_those_of_the_oracle(case: dict[str, Any]) -> None:
    found = belief([Night(case["passes"], case["n"] - case["passes"])])
    expected = [case[mass] for mass in ("stable_pass", "stable_fail", "flaky")]
    assert tuple(found) == pytest.approx(expected, abs=1e-6)
    assert found.name.replace(" ", "_") == case["class"]


def test_of_a_prompt_that_was_never_asked_nothing_is_known() -> None:
    assert belief([]).name == "unknown"
    assert sum(belief([])) == pytest.approx(1)


def test_nights_of_one_day_weigh_as_one_night_of_their_sum() -> None:
    apart, together = [Night(3, 1, 7.0)] * 3, [Night(9, 3, 7.0)]
    assert belief(apart, 14.0) == pytest.approx(belief(together, 14.0))


@given(st.integers(0, 60), st.integers(0, 60), st.floats(0, 400))
def test_passes_and_failures_mirror_each_other(passes: int, failures: int, age: float) -> None:
    found = belief([Night(passes, failures, age)], 14.0)
    other = belief([Night(failures, passes, age)], 14.0)
    assert sum(found) == pytest.approx(1)
    assert tuple(found) == pytest.approx((other.stable_fail, other.stable_pass, other.flaky), abs=1e-9)


def test_a_night_of_long_ago_counts_less() -> None:
    nights = [Night(0, 30, age_days=60), Night(60, 0)]
    assert belief(nights).name == "flaky"
    assert belief(nights, half_life_days=5).name == "stable pass"


def test_fifty_nine_clean_runs_exclude_a_flake_of_five_percent() -> None:
    assert clean_runs_to_exclude(0.05) == ORACLES["flaky_prompt"]["clean_runs_to_exclude_5pct"] == 59
    assert 0.95**59 <= 0.05 < 0.95**58


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1])
def test_a_rate_that_is_no_share_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="shares between 0 and 1"):
        clean_runs_to_exclude(rate)


def test_flips_are_counted_between_nights_that_came_to_something() -> None:
    nights = [Night(3, 0), Night(2, 1), Night(0, 0), Night(3, 0), Night(3, 0)]
    assert flip_rate(nights) == pytest.approx(2 / 3)
    assert flip_rate(nights[:1]) is None


def test_a_planted_change_is_found_where_it_is() -> None:
    nights = [Night(5, 0) for _ in range(12)] + [Night(2, 3) for _ in range(8)]
    found = since(nights)
    assert found is not None
    assert (found.night, found.before, found.after) == (12, 1.0, 0.4)
    assert found.p < 0.001


def test_nights_that_came_to_nothing_move_no_change() -> None:
    nights = [Night(5, 0), Night(0, 0)] * 6 + [Night(0, 0), Night(1, 4)] * 6
    found = since(nights)
    assert found is not None
    assert (found.night, found.before, found.after) == (13, 1.0, 0.2)


@pytest.mark.parametrize(
    "nights", [[], [Night(2, 3)], [Night(5, 0)] * 9, [Night(0, 5)] * 9, [Night(0, 0)] * 4]
)
def test_where_nothing_can_have_changed_nothing_is_said(nights: list[Night]) -> None:
    assert since(nights) is None


def test_the_chance_of_a_change_is_that_of_all_orders() -> None:
    """Of six nights, three green and three red, 2 of 20 orders part as well as these: chance 1/10."""
    found = since([Night(1, 0)] * 3 + [Night(0, 1)] * 3, seed=1)
    assert found is not None
    assert found.p == pytest.approx(0.1, abs=0.07)  # it ends with 20 hits: a deviation is 0.021


def test_changes_that_are_chance_are_found_in_few_of_many_series() -> None:
    random = Random(3)
    found = [
        since([Night(k := sum(random.random() < 0.8 for _ in range(5)), 5 - k) for _ in range(15)], seed)
        for seed in range(400)
    ]
    shares = [sum(each is not None and each.p <= level for each in found) / 400 for level in (0.05, 0.2)]
    assert shares[0] <= 0.05 + 0.033  # three deviations
    assert shares[1] <= 0.2 + 0.06


def test_repeats_of_a_night_that_are_alike_are_no_change() -> None:
    """Whole nights go red, here and there: as repeats on their own that would be beyond all chance."""
    random = Random(4)
    series = [[Night(*random.choice([(8, 0), (0, 8)])) for _ in range(12)] for _ in range(200)]
    found = [since(nights, seed) for seed, nights in enumerate(series)]
    assert sum(each is not None and each.p <= 0.05 for each in found) / 200 <= 0.05 + 0.047


def test_entropy_is_in_bits() -> None:
    assert entropy([]) is None
    assert entropy(["a"] * 7) == 0
    assert entropy(["a", "b"] * 4) == 1
    assert entropy(range(8)) == pytest.approx(3)
    assert entropy(["a", "a", "a", "b"]) == pytest.approx(0.811278, abs=1e-6)


def test_a_rise_is_no_alarm() -> None:
    assert drift([0.5, 0.6, 0.5, 0.6, 0.5] + [1.0] * 20, [0.01] * 25) is None


@pytest.mark.slow
def test_alarms_are_as_rare_where_mean_and_spread_are_not_known() -> None:
    """250 nights each: with an alarm in 335 on average, 1 - exp(-250/335) of the series have one."""
    random = np.random.default_rng(6)
    series = [random.normal(0.9, 0.02, 250).tolist() for _ in range(200)]
    share = sum(drift(values, [1e-9] * 250) is not None for values in series) / 200
    assert share == pytest.approx(0.526, abs=0.106)  # three standard errors


def test_a_drop_by_two_spreads_is_an_alarm_that_knows_since_when() -> None:
    random = np.random.default_rng(7)
    found = [
        drift([*random.normal(0.9, 0.02, 30), *random.normal(0.86, 0.02, 15)], [1e-9] * 45) for _ in range(50)
    ]
    seen = [alarm for alarm in found if alarm is not None and alarm.night >= 30]
    assert len(seen) >= 40
    assert sorted(alarm.since for alarm in seen)[len(seen) // 2] in range(28, 33)


def test_nights_that_are_alike_by_chance_make_no_alarm_of_the_first_failure() -> None:
    values = [1.0] * 10 + [0.98]
    assert drift(values, [0.02] * 11) is None
    assert drift(values, [1e-9] * 11) is not None


def test_a_second_drop_is_held_against_what_came_after_the_first() -> None:
    steps = [0.9] * 20 + [0.8] * 20 + [0.7] * 20
    values = [value + (0.01 if at % 2 else -0.01) for at, value in enumerate(steps)]
    last = drift(values, [0.01] * 60)
    assert last is not None
    assert last.since == 40
