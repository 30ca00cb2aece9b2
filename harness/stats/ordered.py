"""Values in order while they come: exact quantiles at any time, however many there are.

A list that is kept in order takes longer for each value the longer it is, and an HdrHistogram 2 ms for a
quantile. This is a list of short lists: a value costs a few µs among ten of them as among a million.
"""

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.stats.quantiles import rank

_LONGEST = 1000


@dataclass(slots=True)
class Ordered:
    """Integers in order. *total* is their sum."""

    total: int = 0
    _parts: list[list[int]] = field(default_factory=lambda: [[]])
    _firsts: list[int] = field(default_factory=list)
    """The first value of every part but the first one."""
    _count: int = 0

    def __len__(self) -> int:
        return self._count

    def add(self, value: int) -> None:
        """Put *value* where it belongs."""
        nth = bisect_right(self._firsts, value)
        part = self._parts[nth]
        insort(part, value)
        self._count += 1
        self.total += value
        if len(part) > _LONGEST:
            half = len(part) // 2
            self._parts[nth : nth + 1] = [part[:half], part[half:]]
            self._firsts.insert(nth, part[half])

    def quantile(self, per_mille: int) -> int | None:
        """The *per_mille* quantile by nearest rank, None of too few: that of `harness.stats.quantiles`."""
        nth = rank(self._count, per_mille)
        if nth is None:
            return None
        for part in self._parts:
            if nth < len(part):
                return part[nth]
            nth -= len(part)
        raise AssertionError("unreachable")

    def at_most(self, bounds: Sequence[int]) -> list[int]:
        """For each of *bounds* how many values are no higher."""
        found = []
        for bound in bounds:
            nth = bisect_right(self._firsts, bound)
            found.append(sum(map(len, self._parts[:nth])) + bisect_right(self._parts[nth], bound))
        return found
