from bisect import bisect_right

from hypothesis import example, given
from hypothesis import strategies as st

from harness.stats.ordered import Ordered
from harness.stats.quantiles import quantile

BOUNDS = [0, 3, 10, 500, 10**9]


def filled(values: list[int]) -> Ordered:
    ordered = Ordered()
    for value in values:
        ordered.add(value)
    return ordered


@given(st.lists(st.integers(0, 1000), max_size=300), st.sampled_from([500, 900, 950, 990]))
@example([5] * 5000, 500)
@example(list(range(5000)), 950)
@example(list(range(5000, 0, -1)), 990)
@example([n * 7919 % 3001 for n in range(6000)], 950)
def test_quantiles_sums_and_counts_are_those_of_a_sorted_list(values: list[int], per_mille: int) -> None:
    ordered = filled(values)
    assert len(ordered) == len(values)
    assert ordered.total == sum(values)
    assert ordered.quantile(per_mille) == quantile(values, per_mille)
    assert ordered.at_most(BOUNDS) == [bisect_right(sorted(values), bound) for bound in BOUNDS]
