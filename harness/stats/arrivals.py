"""What a series of arrivals is like: how unevenly they are spaced.

Of a true Poisson process the gaps have a coefficient of variation of 1, of even arrivals one of 0, and of
gamma gaps that of the gamma distribution (statistics.md 1.4). All of this is about a constant rate.
"""

from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, pstdev

from msgspec import Struct


class Conformance(Struct, frozen=True):
    """*n* arrivals, and the variation of their gaps; None of fewer than three, or all at once."""

    n: int
    gap_cv: float | None = None


def conformance(stamps_ns: Sequence[int]) -> Conformance:
    """What arrivals at these stamps, in any order, were like."""
    stamps = sorted(stamps_ns)
    gaps = [later - earlier for earlier, later in pairwise(stamps)]
    if len(gaps) < 2 or stamps[0] == stamps[-1]:
        return Conformance(len(stamps))
    return Conformance(len(stamps), pstdev(gaps) / fmean(gaps))
