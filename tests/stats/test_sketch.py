from hypothesis import given
from hypothesis import strategies as st

from harness.stats.quantiles import quantile
from harness.stats.sketch import ACCURACY, Sketch

LISTS = st.lists(st.integers(1, 10**11), max_size=300)


def sketch(values: list[int]) -> Sketch:
    made = Sketch()
    for value in values:
        made.add(value)
    return made


@given(LISTS, st.sampled_from([500, 900, 950, 990]))
def test_a_quantile_is_that_of_all_values_to_half_a_percent_and_none_of_too_few(
    values: list[int], per_mille: int
) -> None:
    (found,), exact = sketch(values).quantiles(per_mille), quantile(values, per_mille)
    assert (found is None) == (exact is None)
    if found is not None and exact is not None:
        assert abs(found - exact) <= ACCURACY * exact + 1


@given(LISTS, LISTS)
def test_two_that_are_merged_are_that_of_all_their_values(some: list[int], more: list[int]) -> None:
    merged = sketch(some)
    merged.merge(sketch(more))
    assert merged == sketch(some + more)
    assert (merged.count, merged.total) == (len(some) + len(more), sum(some) + sum(more))


@given(LISTS)
def test_counts_up_to_a_bound_are_right_but_for_values_within_a_percent_of_it(values: list[int]) -> None:
    bounds = [1, 1000, 10**6, 10**9, 10**12]
    for bound, found in zip(bounds, sketch(values).at_most(bounds), strict=True):
        assert sum(v <= bound for v in values) <= found <= sum(v <= 1.011 * bound for v in values)


def test_a_million_values_take_no_more_room_than_their_sizes_differ() -> None:
    made = sketch([1_000_000 + n % 9_000_000 for n in range(0, 100_000_000, 1000)])
    assert made.count == 100_000
    assert len(made.bins) < 300
