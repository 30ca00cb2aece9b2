"""Quantiles of values while they come, in little memory however many there are: each is right to 0.5 %.

By Masson, Rim and Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees"
(VLDB 2019): a value is counted in the bin of its logarithm, and the bins are so narrow that the middle of one
is near enough. A run of a day with a board has as many bins as one of a minute. An HdrHistogram does the same
in 200 kB each and 2 ms for a quantile; the board has two for each variant and each stretch of time.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import ceil, log

from harness.stats.quantiles import rank

ACCURACY = 0.005
_GROWTH = (1 + ACCURACY) / (1 - ACCURACY)
_LOG = log(_GROWTH)


@dataclass(slots=True)
class Sketch:
    """How many values there are near each size; *total* is their exact sum. What is below 1 counts as 1."""

    bins: Counter[int] = field(default_factory=Counter)
    count: int = 0
    total: int = 0

    def add(self, value: int) -> None:
        """Count *value* in."""
        self.bins[_bin(value)] += 1
        self.count += 1
        self.total += value

    def merge(self, other: "Sketch") -> None:
        """Count in all that *other* has."""
        self.bins.update(other.bins)
        self.count += other.count
        self.total += other.total

    def quantiles(self, *per_milles: int) -> list[int | None]:
        """Each of these quantiles by nearest rank, None of too few (`harness.stats.quantiles`)."""
        ordered, ends = self._ends()
        ranks = (rank(self.count, each) for each in per_milles)
        return [None if nth is None else _middle(ordered[bisect_right(ends, nth)]) for nth in ranks]

    def at_most(self, bounds: Sequence[int]) -> list[int]:
        """For each of *bounds* how many values are no higher, those in its own bin among them."""
        ordered, ends = self._ends()
        return [[0, *ends][bisect_right(ordered, _bin(bound))] for bound in bounds]

    def _ends(self) -> tuple[list[int], list[int]]:
        """The bins in order, and how many values there are up to the end of each."""
        ordered = sorted(self.bins)
        return ordered, list(accumulate(map(self.bins.__getitem__, ordered)))


def _middle(of: int) -> int:
    """The value that is as far from the one end of a bin as from the other, for its size."""
    return round(2 * _GROWTH**of / (_GROWTH + 1))


def _bin(value: int) -> int:
    return ceil(log(value) / _LOG) if value > 1 else 0
