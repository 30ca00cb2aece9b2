"""Quantiles by nearest rank.

The value at rank ⌈nq⌉ of the sorted values: one that happened. Interpolation
makes up values that never did, and gives NaN beside an infinity.
"""

from collections.abc import Iterable
from fractions import Fraction
from math import ceil


def least_count(per_mille: int) -> int:
    """How many values a quantile asks for: 2 for the median, 20 for p95, 100 for p99.

    With fewer, the highest value would be called p95 whatever it is. In integers:
    in floats "10 values for p90" fails on a rounding error.
    """
    return ceil(Fraction(1000, 1000 - per_mille))


def quantile(values: Iterable[float], per_mille: int) -> float | None:
    """The *per_mille* quantile of *values* by nearest rank, None of too few (`least_count`)."""
    ordered = sorted(values)
    if len(ordered) < least_count(per_mille):
        return None
    return ordered[ceil(Fraction(len(ordered) * per_mille, 1000)) - 1]
