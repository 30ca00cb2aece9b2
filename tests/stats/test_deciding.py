"""The estimators of deciding: against their oracles, exact values, and what they promise in the long run."""

import json
from collections.abc import Sequence
from itertools import product
from math import comb, inf, isclose, log
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.gate.ruling import fixed
from harness.gate.weighing import Better, How, of_drop
from harness.stats import censored, many, sequential
from harness.stats.betting import stakes, wealth
from harness.stats.limits import Evidence, as_normal, of_mean, of_share, p_of, z_of
from harness.stats.paired import (
    Arm,
    binomial_at_most,
    difference,
    fisher,
    sign_flip,
    standard_error,
)
from harness.stats.power import pass_error, repeats_for, smallest, smallest_drop
from harness.stats.quantiles import quantile
from harness.stats.ratios import Sample, mean_error, ratio, timed
from harness.stats.sequential import bounds, spent
from harness.stats.sprt import Sprt

ORACLES: dict[str, Any] = json.loads((Path(__file__).parent / "oracles" / "deciding.json").read_text())
EIGHTHS = [at / 8 for at in range(1, 9)]


def crossing_probability(fractions: Sequence[float], z: Sequence[float]) -> float:
    """The chance that a drift of nothing crosses one of the bounds *z* at these looks."""
    total = 0.0
    paths: Any = None
    for at, bound in enumerate(z):
        total += sequential._crossing(paths, fractions, at)(bound)
        step = fractions[at] - (fractions[at - 1] if at else 0.0)
        paths = sequential._surviving(paths, bound, fractions, at=at, step=step)
    return total


def quantile_of(weighed: censored.Weighed, per_mille: int) -> float:
    """The first time by which at least *per_mille* are over."""
    reached = zip(weighed.times, np.cumsum(weighed.shares), strict=True)
    return next((float(time) for time, share in reached if share >= per_mille / 1000 - 1e-9), inf)


def arm(*passes: int, of: int = 5, missing: int = 0) -> Arm:
    total = np.array(passes, float)
    nothing = np.zeros(len(passes))
    return Arm(nothing + of, total, total, nothing + missing)


# Many tests


def test_adjusted_p_values_are_the_oracle_s() -> None:
    told = ORACLES["multiplicity"]
    assert many.holm(told["p"]) == pytest.approx(told["holm"], abs=1e-6)
    assert many.benjamini_hochberg(told["p"]) == pytest.approx(told["bh"], abs=1e-6)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_adjusting_keeps_the_order_and_never_makes_anything_surer(p: list[float]) -> None:
    for adjust in (many.holm, many.benjamini_hochberg):
        adjusted = adjust(p)
        assert all(after >= before - 1e-12 for before, after in zip(p, adjusted, strict=True))
        ordered = [after for _, after in sorted(zip(p, adjusted, strict=True))]
        assert ordered == sorted(ordered)


# Early looks


@pytest.mark.parametrize(
    ("looks", "alpha", "spending", "power", "name"),
    [
        (EIGHTHS, 0.05, "obrien-fleming", 1.5, "lan_demets_obf_K8_alpha05"),
        ([at / 4 for at in range(1, 5)], 0.05, "obrien-fleming", 1.5, "lan_demets_obf_K4_alpha05"),
        ([at / 10 for at in range(1, 11)], 0.05, "obrien-fleming", 1.5, "lan_demets_obf_K10_alpha05"),
        ([at / 5 for at in range(1, 6)], 0.025, "obrien-fleming", 1.5, "lan_demets_obf_K5_alpha025"),
        (EIGHTHS, 0.05, "power", 1.5, "kim_demets_rho1_5_K8_alpha05"),
        (EIGHTHS, 0.05, "power", 3.0, "kim_demets_rho3_K8_alpha05"),
    ],
)
def test_bounds_are_the_oracle_s(
    looks: list[float], alpha: float, spending: Any, power: float, name: str
) -> None:
    found = bounds(looks, alpha, spending, power=power)
    assert found == pytest.approx(ORACLES["group_sequential"][name], abs=1e-3)
    assert crossing_probability(looks, found) == pytest.approx(alpha, abs=1e-6)


def test_looks_need_not_be_equally_far_apart() -> None:
    told = ORACLES["group_sequential"]["lan_demets_obf_unequal"]
    assert bounds(told["t"], told["alpha"]) == pytest.approx(told["z"], abs=1e-3)


def test_what_is_spent_is_the_oracle_s_and_never_more_than_alpha() -> None:
    told = ORACLES["group_sequential"]["spent_alpha_obf_K8_alpha05"]
    assert [spent(t, 0.05) for t in EIGHTHS] == pytest.approx(told, abs=1e-6)
    assert spent(0, 0.05) == 0
    assert spent(1.2, 0.05) == 0.05


def test_peeking_without_bounds_raises_the_alarms_of_the_oracle() -> None:
    for looks, rate in ORACLES["group_sequential"]["naive_peeking_crossing_probability_z1_645"].items():
        count = int(looks)
        even = [at / count for at in range(1, count + 1)]
        assert crossing_probability(even, [z_of(0.05)] * count) == pytest.approx(rate, abs=1e-4)


def test_a_last_look_before_the_plan_is_over_spends_what_is_left() -> None:
    found = bounds([0.25, 0.5], 0.05, is_last=True)
    assert crossing_probability([0.25, 0.5], found) == pytest.approx(0.05, abs=1e-6)
    assert bounds([0.3], 0.05, is_last=True) == pytest.approx([z_of(0.05)], abs=1e-6)


def test_a_look_that_may_spend_nothing_decides_nothing() -> None:
    assert bounds([0.001, 1.0], 0.05)[0] == inf
    with pytest.raises(ValueError, match="later and later"):
        bounds([0.5, 0.5], 0.05)


# Bets


def test_bets_are_the_oracle_s() -> None:
    told = ORACLES["anytime_valid"]
    values = told["x_pattern"] * told["x_pattern_repeats"]
    assert stakes(values, 0.05)[:5] == pytest.approx(told["lambda_first5"], abs=1e-5)
    assert wealth(values, 0.5, 0.05).higher == pytest.approx(told["log_K_plus_at_0_5"], abs=1e-5)
    assert wealth(values, 0.5, 0.05).lower == pytest.approx(told["log_K_minus_at_0_5"], abs=1e-5)
    assert wealth(values, 0.3, 0.05).higher == pytest.approx(told["log_K_plus_at_0_3"], abs=1e-5)


def test_who_bets_against_the_truth_hardly_ever_gets_rich_at_any_time() -> None:
    random = np.random.default_rng(3)
    rich = 0
    for _ in range(300):
        values = list(random.integers(0, 2, 120).astype(float))
        staked = stakes(values, 0.05)
        rich += any(wealth(values[:n], 0.5, 0.05, staked[:n]).lower >= log(20) for n in range(5, 121, 5))
    assert rich / 300 <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5


# Pairs


def test_the_paired_test_is_the_oracle_s() -> None:
    told = ORACLES["paired_tests"]
    assert sign_flip(np.array(told["d"])) == pytest.approx(told["sign_flip_p_two_sided"], abs=1e-6)


def test_random_signs_come_to_what_all_signs_do() -> None:
    d = np.random.default_rng(1).normal(0.3, 1, 22)
    every = np.array(list(product((-1.0, 1.0), repeat=11)))
    sums = np.abs((every @ d[:11])[:, None] + (every @ d[11:])[None, :])
    assert sign_flip(d) == pytest.approx(float((sums >= abs(d.sum())).mean()), abs=0.02)


def test_signs_are_flipped_by_cluster() -> None:
    d = np.array([0.5, 0.5, 0.5, 0.5])
    assert sign_flip(d) == pytest.approx(2 / 16)
    assert sign_flip(d, np.array([0, 0, 1, 1])) == pytest.approx(2 / 4)


@settings(max_examples=50)
@given(st.integers(0, 12), st.integers(0, 12))
def test_fisher_is_symmetric_and_a_p_value(one: int, other: int) -> None:
    p = fisher((one, other), (12, 12))
    assert 0 < p <= 1 + 1e-12
    assert p == pytest.approx(fisher((other, one), (12, 12)))


def test_fisher_of_ten_against_none_is_exact() -> None:
    assert fisher((10, 0), (10, 10)) == pytest.approx(2 / 184_756)  # 20 choose 10


def test_the_binomial_is_the_sum_of_its_terms() -> None:
    for n, share in ((20, 0.3), (7, 0.95)):
        total = 0.0
        for k in range(n):
            total += comb(n, k) * share**k * (1 - share) ** (n - k)
            assert binomial_at_most(k, n, share) == pytest.approx(total, abs=1e-9)


def test_the_error_of_prompts_that_show_their_noise_is_unbiased() -> None:
    random = np.random.default_rng(5)
    rates = random.beta(6, 1.2, 80)
    draws = random.binomial(5, rates, (4_000, 80)), random.binomial(5, rates, (4_000, 80))
    true = float(((draws[1] - draws[0]).mean(axis=1) / 5).std())
    told = [
        standard_error(arm(*a), arm(*b), question="suite", groups=None)[0]
        for a, b in zip(*draws, strict=True)
    ]
    assert float(np.sqrt(np.mean(np.square(told)))) == pytest.approx(true, rel=0.04)


def test_a_suite_that_never_fails_has_a_noise_above_nothing() -> None:
    error, freedom, note = standard_error(arm(*[5] * 60), arm(*[5] * 60), question="suite", groups=None)
    assert 0 < error < 0.01
    assert freedom is None
    assert "bounded" in note


def test_single_repeats_take_the_population_s_error() -> None:
    one = arm(1, 1, 0, 1, 1, 0, 1, 1, 1, 1, 0, 1, of=1)
    other = arm(1, 0, 1, 1, 1, 0, 1, 0, 1, 1, 1, 1, of=1)
    suite = standard_error(one, other, question="suite", groups=None)
    assert suite[:2] == standard_error(one, other, question="population", groups=None)[:2]
    assert "upper bound" in suite[2]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=20))
def test_swapping_the_arms_negates_the_difference(pairs: list[tuple[int, int]]) -> None:
    one, other = arm(*(a for a, _ in pairs)), arm(*(b for _, b in pairs))
    there, back = difference(one, other), difference(other, one)
    assert there.value == pytest.approx(-(back.value or 0.0))
    assert there.error == pytest.approx(back.error)


# Limits


@pytest.mark.parametrize("case", ORACLES["three_way_verdict"]["cases"])
@pytest.mark.parametrize("fail_when", ["any_drop", "beyond_margin"])
def test_three_way_rulings_are_the_oracle_s(case: dict[str, Any], fail_when: Any) -> None:
    evidence = of_drop(Better(case["delta"], case["se"]), case["margin"], How(fail_when=fail_when))
    assert fixed(0.05)([evidence]) == [case[f"fail_when_{fail_when}"]]


def test_a_share_of_59_without_a_miss_is_the_least_that_proves_95_percent() -> None:
    assert of_share(59, 59, 0.95, is_least=True).kept > z_of(0.05)
    assert of_share(58, 58, 0.95, is_least=True).kept < z_of(0.05)
    assert of_share(0, 299, 0.01, is_least=False).kept > z_of(0.05)
    assert of_share(0, 298, 0.01, is_least=False).kept < z_of(0.05)


def test_a_mean_without_noise_is_certain() -> None:
    assert of_mean(0.9, 0.0, 0.8, freedom=None, is_least=True) == Evidence(inf, -inf)
    assert of_mean(0.9, 0.0, 0.8, freedom=None, is_least=False) == Evidence(-inf, inf)


def test_few_degrees_of_freedom_make_a_t_less_sure() -> None:
    assert as_normal(2.0, None) == 2.0
    assert as_normal(2.0, 5) < as_normal(2.0, 50) < 2.0
    assert as_normal(-2.0, 5) == pytest.approx(-as_normal(2.0, 5))
    assert p_of(as_normal(2.015048, 5)) == pytest.approx(0.05, abs=1e-6)


# Power and one prompt


def test_smallest_differences_are_the_oracle_s() -> None:
    told = ORACLES["mde"]
    noisy = 0.5 - (0.25 - 0.1) ** 0.5  # whose variance is .10
    for name, points in told["suite_pp"].items():
        m, k = map(int, name.split("x"))
        error = pass_error([noisy] * m, k, k)
        assert 100 * smallest(error, 0.05) == pytest.approx(points, abs=0.01)
    for kept, name in ((1, "m=100,kb=1"), (5, "m=100,kb=5"), (30, "m=100,kb=30")):
        floor = smallest(pass_error([noisy] * 100, kept, 10**9), 0.05)
        assert 100 * floor == pytest.approx(told["stored_baseline_floor_pp"][name], abs=0.01)


def test_power_at_the_smallest_difference_is_what_was_asked() -> None:
    found = smallest(0.02, 0.05) / 0.02 - z_of(0.05)
    assert NormalDist().cdf(found) == pytest.approx(0.8)


def test_more_repeats_see_less_and_never_nothing() -> None:
    seen = [smallest_drop([1.0] * 50, k, k, alpha=0.05) for k in (1, 2, 5, 20)]
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] > 0
    assert repeats_for(0.03, 0.06, 5) == 20


def test_the_sequential_test_of_one_prompt_is_the_oracle_s() -> None:
    told, test = ORACLES["sprt_one_prompt"], Sprt()
    assert (test.bound, test.pass_step, test.fail_step) == pytest.approx(
        (told["bound"], told["pass_step"], told["fail_step"]), abs=1e-4
    )
    assert next(n for n in range(1, 31) if test.decides(n, 0) == "good") == told["shortest_all_pass"]
    assert next(n for n in range(1, 31) if test.decides(0, n) == "bad") == told["shortest_all_fail"]
    for rate, expected in told["by_true_p"].items():
        runs, good, bad = exactly(test, float(rate))
        assert runs == pytest.approx(expected["mean_runs"], abs=1e-3)
        assert good == pytest.approx(expected["accept_good"], abs=1e-4)
        assert bad == pytest.approx(expected["accept_bad"], abs=1e-4)


def exactly(test: Sprt, rate: float) -> tuple[float, float, float]:
    """Mean runs, and how often the test finds good and bad, by all its paths."""
    open_, runs, good, bad = {0: 1.0}, 0.0, 0.0, 0.0
    for n in range(1, test.most + 1):
        runs += sum(open_.values())
        after: dict[int, float] = {}
        for passes, mass in open_.items():
            for more, chance in ((1, rate), (0, 1 - rate)):
                match test.decides(passes + more, n - passes - more):
                    case "good":
                        good += mass * chance
                    case "bad":
                        bad += mass * chance
                    case "open":
                        after[passes + more] = after.get(passes + more, 0.0) + mass * chance
        open_ = after
    return runs, good, bad


# Times


def test_kaplan_meier_is_the_oracle_s() -> None:
    told = ORACLES["censoring"]
    found = censored.kaplan_meier(told["times"], [bool(each) for each in told["censored"]])
    assert [1 - found.shares[found.times <= time].sum() for time in told["event_times"]] == pytest.approx(
        told["survival"], abs=1e-6
    )
    assert quantile_of(found, 500) == told["q50"]
    assert quantile_of(found, 600) == inf


@settings(max_examples=50)
@given(st.lists(st.floats(0.1, 100), min_size=20, max_size=80), st.sampled_from([500, 900, 950]))
def test_without_censoring_kaplan_meier_is_the_nearest_rank(times: list[float], per_mille: int) -> None:
    found = censored.kaplan_meier(times, [False] * len(times))
    assert quantile_of(found, per_mille) == quantile(times, per_mille)


def test_a_ratio_of_quantiles_is_that_of_the_nearest_ranks() -> None:
    random = np.random.default_rng(2)
    one, other = random.lognormal(0, 1, 300), random.lognormal(0.2, 1, 300)
    groups = np.arange(300) // 5
    for per_mille in (500, 900):
        found = ratio(Sample(one, groups), Sample(other, groups), per_mille)
        assert found.before == quantile(list(one), per_mille)
        assert found.after == quantile(list(other), per_mille)
    mean = ratio(Sample(one, groups), Sample(other, groups), None)
    assert mean.value is not None
    assert isclose(mean.value, float(other.mean() / one.mean()))


def test_arms_that_are_alike_are_found_different_5_percent_of_the_time() -> None:
    random = np.random.default_rng(4)
    found, held = 0, 0
    for seed in range(200):
        base = random.lognormal(0, 0.5, 40)
        arms = [
            Sample(np.repeat(base, 5) * random.lognormal(0, 0.6, 200), np.arange(200) // 5) for _ in range(2)
        ]
        told = ratio(arms[0], arms[1], 500, seed=seed)
        assert told.p is not None
        assert told.low is not None
        assert told.high is not None
        found += told.p < 0.05
        held += told.low <= 1 <= told.high
    assert found / 200 <= 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5
    assert held / 200 >= 0.95 - 3 * (0.05 * 0.95 / 200) ** 0.5


def test_a_quantile_beyond_the_time_limit_has_no_ratio_and_says_so() -> None:
    values, groups = np.full(100, 5.0), np.arange(100)
    lost = timed(values, np.arange(100) < 60, groups)
    found = ratio(Sample(values, groups), lost, 500)
    assert (found.value, found.note) == (None, "lies beyond the time limit")


def test_a_mean_has_the_error_of_its_groups() -> None:
    alone, grouped = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0, 0, 1, 1])
    mean, error, groups = mean_error(alone, np.arange(4))
    assert (mean, groups) == (2.5, 4)
    assert error == pytest.approx(float(alone.std(ddof=1)) / 2)
    assert mean_error(alone, grouped)[1] == pytest.approx(1.0)
    assert mean_error(alone, np.zeros(4, int))[1] is None
