"""Intervals of quantiles: exact ranks, what dependent values are worth, and how often the truth is inside."""

import json
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice
from math import ceil, comb, floor, inf, sqrt
from pathlib import Path
from random import Random
from statistics import NormalDist, median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.stats.intervals import (
    Interval,
    binomial_quantile,
    dependent_interval,
    interval,
    n_eff,
    needed,
    ranks,
)
from harness.stats.quantiles import least_count, quantile

ORACLES: dict[str, Any] = json.loads(Path(__file__).with_name("oracles.json").read_text())
MIN_N: dict[str, dict[str, int]] = ORACLES["order_statistic_min_n"]["by_quantile"]
RANKS: list[dict[str, Any]] = ORACLES["order_statistic_ranks"]["cases"]
DEPENDENT: dict[str, Any] = ORACLES["dependent_quantiles"]
PER_MILLE = {"p50": 500, "p95": 950, "p99": 990}
CORRELATIONS = ("0", "0.5", "0.9", "0.97", "0.99")


def per_mille(q: float | str) -> int:
    return round(float(q) * 1000)


def at_most(k: int, n: int, share: Fraction) -> Fraction:
    """The probability of at most *k* of *n*, in whole numbers."""
    up, of = share.numerator, share.denominator
    return Fraction(sum(comb(n, j) * up**j * (of - up) ** (n - j) for j in range(k + 1)), of**n)


def autoregressive(random: Random, phi: float) -> Iterator[float]:
    """Standard normal values, each of which keeps so much of the one before."""
    value, fresh = random.gauss(0, 1), sqrt(1 - phi * phi)
    while True:
        yield value
        value = phi * value + fresh * random.gauss(0, 1)


def switching(random: Random, phi: float) -> Iterator[float]:
    """0 or 1, equally often, with a correlation of *phi* from one to the next: of phi**lag at each lag."""
    value = float(random.getrandbits(1))
    while True:
        yield value
        value = 1 - value if random.uniform(0, 1) < (1 - phi) / 2 else value


@pytest.mark.parametrize("q", MIN_N)
def test_a_quantile_needs_as_many_values_as_are_known_to_be_needed(q: str) -> None:
    wanted = MIN_N[q]["two_sided_equal_tails"]
    assert needed(per_mille(q)) == wanted
    assert None not in ranks(wanted, per_mille(q))
    assert ranks(wanted - 1, per_mille(q)).high is None


@given(st.integers(1, 999))
def test_an_interval_needs_more_values_than_a_quantile_does(which: int) -> None:
    wanted = needed(which)
    assert wanted >= least_count(which)
    assert None not in ranks(wanted, which)
    assert None in ranks(wanted - 1, which)


@pytest.mark.parametrize("case", RANKS, ids=lambda case: f"{case['q']} of {case['n']}")
def test_the_ranks_of_an_interval_and_its_coverage_are_those_that_are_known(case: dict[str, Any]) -> None:
    n, found = case["n"], ranks(case["n"], per_mille(case["q"]))
    assert tuple(found) == (case["l"], case["u"])
    share = Fraction(per_mille(case["q"]), 1000)
    low, high = found.low or 0, found.high or n + 1
    inside = sum(
        comb(n, j) * share.numerator**j * (share.denominator - share.numerator) ** (n - j)
        for j in range(low, high)
    )
    assert float(Fraction(inside, share.denominator**n)) == pytest.approx(case["exact_coverage"], abs=1e-6)


@given(st.integers(0, 120), st.integers(1, 999), st.sampled_from(["0.025", "0.5", "0.975", "0.001"]))
def test_a_quantile_of_the_binomial_distribution_is_exact(n: int, which: int, wanted: str) -> None:
    share, found = Fraction(which, 1000), binomial_quantile(float(wanted), n, which)
    # Of a tie in whole numbers floats may see either side.
    assert at_most(found, n, share) >= Fraction(wanted) - Fraction(1, 10**12)
    assert found == 0 or at_most(found - 1, n, share) < Fraction(wanted) + Fraction(1, 10**12)


@pytest.mark.parametrize(("which", "n"), [(500, 10**6), (990, 10**6), (999, 10**5), (1, 10**5)])
def test_a_quantile_of_many_trials_is_where_the_normal_distribution_with_its_skew_says(
    which: int, n: int
) -> None:
    share = which / 1000
    spread, skew = sqrt(n * share * (1 - share)), 1 - 2 * share
    for tail in (0.025, 0.975):
        z = NormalDist().inv_cdf(tail)
        assert abs(binomial_quantile(tail, n, which) - (n * share + z * spread + skew * (z * z - 1) / 6)) < 1


@given(st.lists(st.integers(0, 50), min_size=1, max_size=200), st.randoms(), st.sampled_from([500, 900, 950]))
def test_the_order_of_independent_values_makes_no_difference(
    values: list[int], random: Random, which: int
) -> None:
    assert interval(random.sample(values, len(values)), which) == interval(values, which)


@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=300), st.sampled_from([500, 900, 950]))
def test_a_quantile_lies_in_its_interval(values: list[float], which: int) -> None:
    for found in (interval(values, which), dependent_interval(values, which)):
        assert found.value == quantile(values, which)
        if found.value is not None:
            assert found.low is None or found.low <= found.value
            assert found.high is None or found.high >= found.value
        assert (found.high is None or found.low is None) == (found.why is not None)


def test_an_interval_is_between_two_values_that_happened() -> None:
    assert interval(range(1, 101), 500) == Interval(100, 100.0, 50, 40, 61)
    assert interval(range(1, 10_001), 990) == Interval(10_000, 10_000.0, 9900, 9880, 9920)


def test_values_too_few_for_an_upper_end_bound_the_quantile_from_below_and_say_how_many_are_needed() -> None:
    found = interval(range(1, 121), 990)
    assert (found.value, found.low, found.high) == (119, 116, None)
    assert found.why == "p99 asks for 368 independent values; there are 120"
    assert interval([], 999) == Interval(
        0, 0.0, None, why="p99.9 asks for 3,688 independent values; there are 0"
    )


def test_failures_that_count_as_infinite_are_an_upper_end() -> None:
    values = [float(n) for n in range(1, 98)] + [inf] * 3
    found = interval(values, 950)
    assert (found.value, found.low, found.high) == (95, 90, inf)
    shuffled = Random(1).sample(values, 100)
    assert dependent_interval(shuffled, 950).value == 95


@pytest.mark.slow
@pytest.mark.parametrize("phi", ["0.5", "0.9", "0.99"])
def test_values_that_keep_to_their_side_are_worth_what_theory_says(phi: str) -> None:
    """(1 - phi) / (1 + phi) of them: the median of many series of 50,000, for the 1,000 of the oracle."""
    random = Random(4)
    found = [n_eff(list(islice(switching(random, float(phi)), 50_000)), 500) for _ in range(101)]
    middle = median(worth for worth in found if worth is not None)
    assert middle / 50 == pytest.approx(ORACLES["ar1_effective_n"][phi], rel=0.05)


def test_independent_values_are_worth_nearly_as_many_as_they_are() -> None:
    """The median within 5 % of the number, the 5th percentile above three quarters of it."""
    random = Random(6)
    found = sorted(n_eff([random.uniform(0, 1) for _ in range(1000)], 500) or 0.0 for _ in range(400))
    assert 950 <= median(found) <= 1000
    assert found[20] > 750


@pytest.mark.parametrize("phi", CORRELATIONS)
@pytest.mark.parametrize("name", ["p50", "p95"])
def test_correlated_values_are_worth_what_they_are_known_to_be_worth(phi: str, name: str) -> None:
    """The median of 200 series; that of the oracle is one of 400.

    Where a series of 1,000 leaves the tail about as often as it can be counted on one hand, the two differ by
    more than chance (43 and 39): both are refused.
    """
    random = Random(8)
    series = (list(islice(autoregressive(random, float(phi)), 1000)) for _ in range(200))
    found = median(n_eff(values, PER_MILLE[name]) or 0.0 for values in series)
    assert found == pytest.approx(DEPENDENT[f"phi={phi}"][name]["n_eff"], rel=0.1 if found >= 60 else 0.15)


def naive_n_eff(flags: list[bool]) -> float:
    """The same by the book: every product of every lag, all lags."""
    n, mean = len(flags), sum(flags) / len(flags)
    away = [flag - mean for flag in flags]
    power = sum(one * one for one in away)
    r = [sum(away[i] * away[i + lag] for i in range(n - lag)) / power for lag in range(n)]
    total, pair = 0.0, inf
    for k in range(n // 2):
        pair = min(pair, r[2 * k] + r[2 * k + 1])
        if pair <= 1e-12:
            break
        total += pair
    return n / max(1.0, 2 * total - 1)


@given(st.lists(st.booleans(), min_size=4, max_size=80))
def test_counting_bits_finds_the_same_as_multiplying(flags: list[bool]) -> None:
    found = n_eff([0.0 if flag else 1.0 for flag in flags], 500)
    if found is None:
        assert len(set(flags)) == 1
        return
    exact = naive_n_eff(flags)
    if exact >= 5:
        assert found == pytest.approx(exact)
    else:
        assert exact * (1 - 1e-9) <= found < 5


def test_values_that_are_all_alike_do_not_show_what_they_are_worth() -> None:
    found = dependent_interval([7.0] * 500, 500)
    assert (found.value, found.worth, found.low, found.high) == (7.0, None, None, None)
    assert found.why == "all 500 values are alike, which does not show whether they depend on each other"


def test_values_that_only_rise_are_worth_next_to_nothing_and_have_no_interval() -> None:
    found = dependent_interval(range(1000), 500)
    assert found.value == 499
    assert (found.low, found.high) == (None, None)
    assert found.why is not None
    assert found.why.startswith("1,000 values so much like their neighbours are worth ")
    assert found.why.endswith("; p50 asks for 30")


@pytest.mark.parametrize(("n", "which", "least"), [(29, 500, 30), (99, 950, 100), (99, 900, 100)])
def test_values_too_few_to_show_how_they_depend_have_no_interval(n: int, which: int, least: int) -> None:
    random = Random(3)
    few = dependent_interval([random.uniform(0, 1) for _ in range(n)], which)
    assert (few.low, few.high) == (None, None)
    assert few.why is not None
    assert few.why.endswith(f"asks for {least} of them, and there are {n}")
    assert few.value is not None


def test_the_interval_of_dependent_values_is_as_wide_as_that_of_what_they_are_worth() -> None:
    random = Random(2)
    values = list(islice(autoregressive(random, 0.5), 1000))
    found, ordered = dependent_interval(values, 500), sorted(values)
    assert found.worth is not None
    assert 300 < found.worth < 600
    low, high = ranks(floor(found.worth), 500)
    assert low is not None
    assert high is not None
    assert found.low == ordered[floor(low * 1000 / found.worth) - 1]
    assert found.high == ordered[ceil(high * 1000 / found.worth) - 1]
    naive = interval(values, 500)
    assert naive.low is not None
    assert naive.high is not None
    assert found.low < naive.low
    assert naive.high < found.high


def coverage(
    how: Callable[[list[float]], tuple[float | None, float | None]], phi: float, which: int, *, repeats: int
) -> tuple[float, float]:
    """How often the truth lies between both ends where there are two, and how often there are not."""
    random = Random(1906)
    truth, inside, refused = NormalDist().inv_cdf(which / 1000), 0, 0
    for _ in range(repeats):
        low, high = how(list(islice(autoregressive(random, phi), 1000)))
        if low is None or high is None:
            refused += 1
        else:
            inside += low <= truth <= high
    return inside / max(1, repeats - refused), refused / repeats


@pytest.mark.endurance
@pytest.mark.timeout(300)
@pytest.mark.parametrize("phi", ["0", "0.5", "0.9", "0.99"])
@pytest.mark.parametrize("name", ["p50", "p95", "p99"])
def test_an_interval_that_assumes_independence_covers_as_little_as_is_known(phi: str, name: str) -> None:
    known = ORACLES["simulated"]["iid_order_statistic_coverage_under_ar1_n1000"][f"phi={phi}"]
    which = PER_MILLE[name]

    def how(values: list[float]) -> tuple[float | None, float | None]:
        found = interval(values, which)
        return found.low, found.high

    assert coverage(how, float(phi), which, repeats=4000)[0] == pytest.approx(known[name], abs=0.03)


@pytest.mark.endurance
@pytest.mark.timeout(300)
@pytest.mark.parametrize("phi", ["0", "0.5", "0.9"])
@pytest.mark.parametrize("name", ["p50", "p95"])
def test_an_interval_that_knows_of_dependence_covers_as_much_as_is_known(phi: str, name: str) -> None:
    known, which = DEPENDENT[f"phi={phi}"][name], PER_MILLE[name]

    def how(values: list[float]) -> tuple[float | None, float | None]:
        found = dependent_interval(values, which)
        return found.low, found.high

    covered, refused = coverage(how, float(phi), which, repeats=2000)
    assert covered == pytest.approx(known["effective_n"], abs=0.03)
    assert refused < 0.25


@pytest.mark.endurance
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["p50", "p95"])
def test_an_interval_of_values_that_hardly_change_is_nearly_always_refused(name: str) -> None:
    """At 0.99 an interval at what they seem worth would cover 85 and 43 %, by the oracle."""
    which = PER_MILLE[name]

    def how(values: list[float]) -> tuple[float | None, float | None]:
        found = dependent_interval(values, which)
        return found.low, found.high

    assert coverage(how, 0.99, which, repeats=2000)[1] > 0.9


@pytest.mark.endurance
@pytest.mark.parametrize("which", [500, 900, 950, 990])
def test_an_interval_of_independent_values_covers_what_it_says(which: int) -> None:
    """0.94 and more of 2,000 lognormal samples."""
    random = Random(77)
    truth, inside = NormalDist().inv_cdf(which / 1000), 0
    for _ in range(2000):
        found = interval([random.gauss(0, 1) for _ in range(400)], which)
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= truth <= found.high
    assert inside / 2000 >= 0.94
