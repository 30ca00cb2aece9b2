"""What a series of arrivals is like: its rate, and how even it is.

Of a true Poisson process the gaps have a coefficient of variation of 1, counts per second a dispersion of 1,
and successive gaps nothing to do with each other; of even arrivals the first two are 0; of gamma ones with
gaps of the variation *c* they are *c* and, over long windows, *c*² (statistics.md 1.4).
"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, pstdev

from msgspec import Struct

_SECOND = 1_000_000_000


class Conformance(Struct, frozen=True):
    """*n* arrivals: how many a second, the variation of their gaps, and what else tells even from random.

    *dispersion* is variance over mean of the counts of whole seconds, *lag_1* the correlation of successive
    gaps. A figure is None where there are too few arrivals, or seconds, for it.
    """

    n: int
    rate_per_s: float | None = None
    gap_cv: float | None = None
    dispersion: float | None = None
    lag_1: float | None = None


def conformance(stamps_ns: Sequence[int]) -> Conformance:
    """What arrivals at these stamps, in any order, were like."""
    stamps = sorted(stamps_ns)
    gaps = [later - earlier for earlier, later in pairwise(stamps)]
    if len(gaps) < 2 or stamps[0] == stamps[-1]:
        return Conformance(len(stamps))
    mean = fmean(gaps)
    return Conformance(
        n=len(stamps),
        rate_per_s=_SECOND / mean,
        gap_cv=pstdev(gaps) / mean,
        dispersion=_dispersion(stamps),
        lag_1=_lag_1(gaps, mean),
    )


def _dispersion(stamps: Sequence[int]) -> float | None:
    whole = (stamps[-1] - stamps[0]) // _SECOND
    if whole < 2:
        return None
    counted = Counter((stamp - stamps[0]) // _SECOND for stamp in stamps)
    counts = [counted[second] for second in range(whole)]
    return pstdev(counts) ** 2 * whole / (whole - 1) / fmean(counts) if any(counts) else None


def _lag_1(gaps: Sequence[int], mean: float) -> float | None:
    spread = sum((gap - mean) ** 2 for gap in gaps)
    if spread < len(gaps):  # even to the nanosecond: what is left is rounding
        return None
    return sum((one - mean) * (next_ - mean) for one, next_ in pairwise(gaps)) / spread
