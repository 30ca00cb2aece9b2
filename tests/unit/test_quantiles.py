from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.stats.quantiles import least_count, quantile


@pytest.mark.parametrize(("per_mille", "count"), [(500, 2), (900, 10), (950, 20), (990, 100), (999, 1000)])
def test_a_quantile_asks_for_so_many_values_that_it_is_not_the_highest_of_them_by_default(
    per_mille: int, count: int
) -> None:
    assert least_count(per_mille) == count
    assert quantile(range(count), per_mille) is not None
    assert quantile(range(count - 1), per_mille) is None


@pytest.mark.parametrize(
    ("values", "per_mille", "expected"),
    [
        ([3.0, 1.0, 2.0], 500, 2.0),
        ([4.0, 1.0, 3.0, 2.0], 500, 2.0),
        ([float(n) for n in range(1, 101)], 950, 95.0),
        ([float(n) for n in range(1, 101)], 990, 99.0),
        ([1.0, float("inf")], 500, 1.0),
    ],
)
def test_a_quantile_is_a_value_that_happened(values: list[float], per_mille: int, expected: float) -> None:
    assert quantile(values, per_mille) == expected


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=300), st.sampled_from([500, 750, 900]))
def test_at_least_its_share_of_the_values_is_at_or_below_a_quantile_and_no_smaller_value_has_as_many(
    values: list[int], per_mille: int
) -> None:
    found = quantile(values, per_mille)
    if found is None:
        assert len(values) < least_count(per_mille)
        return
    wanted = ceil(Fraction(len(values) * per_mille, 1000))
    assert sum(value <= found for value in values) >= wanted
    assert sum(value < found for value in values) < wanted
