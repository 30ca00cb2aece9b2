"""Evidence that may be looked at after every try: its closed form, and how often it is wrong."""

from math import comb, exp, log
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.stats.mixture import evidence

ALPHA = 0.01


def by_summing(hits: int, n: int, limit: float) -> tuple[float, float]:
    """The mixtures of likelihood ratios over each side of *limit*, by the midpoint rule."""
    steps = 20_000
    sums = [0.0, 0.0]
    for low, high, side in ((limit, 1.0, 0), (0.0, limit, 1)):
        width = (high - low) / steps
        for at in range(steps):
            share = low + (at + 0.5) * width
            sums[side] += exp(hits * log(share / limit) + (n - hits) * log((1 - share) / (1 - limit)))
        sums[side] /= steps
    return sums[0], sums[1]


@pytest.mark.parametrize(("hits", "n", "limit"), [(0, 10, 0.05), (3, 20, 0.05), (9, 30, 0.5), (40, 50, 0.9)])
def test_it_is_the_mixture_of_likelihood_ratios_on_either_side(hits: int, n: int, limit: float) -> None:
    above, below = evidence(hits, n, limit)
    summed = by_summing(hits, n, limit)
    assert exp(above) == pytest.approx(summed[0], rel=1e-3)
    assert exp(below) == pytest.approx(summed[1], rel=1e-3)


@pytest.mark.parametrize("limit", [0.01, 0.05, 0.5])
@pytest.mark.parametrize("n", [1, 7, 40])
def test_of_a_share_at_its_limit_the_capital_is_worth_one_on_average(limit: float, n: int) -> None:
    chances = [comb(n, hits) * limit**hits * (1 - limit) ** (n - hits) for hits in range(n + 1)]
    for side in (0, 1):
        mean = sum(chance * exp(evidence(hits, n, limit)[side]) for hits, chance in enumerate(chances))
        assert mean == pytest.approx(1)


@pytest.mark.slow
@pytest.mark.parametrize(("share", "side"), [(0.05, 0), (0.02, 0), (0.05, 1), (0.12, 1)])
def test_looked_at_after_every_try_it_is_wrong_in_no_more_than_alpha_of_runs(share: float, side: int) -> None:
    wrong = 0
    for seed in range(500):
        random, hits = Random(seed), 0
        for n in range(1, 301):
            hits += random.random() < share
            if evidence(hits, n, 0.05)[side] >= log(1 / ALPHA):
                wrong += 1
                break
    assert wrong <= 12  # P(Binomial(500, 0.01) > 12) is 0.2 %


@given(hits=st.integers(0, 200), misses=st.integers(0, 20_000), limit=st.floats(0.001, 0.999))
def test_both_sides_are_never_bet_right_at_once(hits: int, misses: int, limit: float) -> None:
    above, below = evidence(hits, hits + misses, limit)
    assert min(above, below) <= 1e-6
