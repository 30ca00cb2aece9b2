"""Quantiles by nearest rank.

The value at rank ⌈nq⌉ of the sorted values: one that happened. Interpolation
makes up values that never did, and gives NaN beside an infinity.
"""

from collections.abc import Iterable


def least_count(per_mille: int) -> int:
    """How many values a quantile asks for: 2 for the median, 20 for p95, 100 for p99.

    With fewer, the highest value would be called p95 whatever it is. In integers:
    in floats "10 values for p90" fails on a rounding error.
    """
    return -(-1000 // (1000 - per_mille))


def rank(count: int, per_mille: int) -> int | None:
    """Which of *count* values in order is their *per_mille* quantile, from 0; None of too few."""
    return None if count < least_count(per_mille) else -(-count * per_mille // 1000) - 1


def quantile(values: Iterable[float], per_mille: int) -> float | None:
    """The *per_mille* quantile of *values* by nearest rank, None of too few (`least_count`)."""
    ordered = sorted(values)
    nth = rank(len(ordered), per_mille)
    return None if nth is None else ordered[nth]
