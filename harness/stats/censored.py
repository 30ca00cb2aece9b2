"""Times of which some are known to be longer than they could be watched: a reply that timed out.

Such a time is neither missing nor equal to its limit. Kaplan and Meier 1958: whoever is lost from sight
leaves its share to all that were still waiting; what nobody is left to take lies beyond all that was seen.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Weighed(NamedTuple):
    """Times that were seen, in order, and the share of all that each stands for; the rest is *beyond*."""

    times: Array
    shares: Array
    beyond: float


def kaplan_meier(times: Iterable[float], censored: Iterable[bool]) -> Weighed:
    """The distribution of *times*, of which those *censored* are only known to be longer."""
    at = np.fromiter(times, float)
    lost = np.fromiter(censored, bool, count=len(at))
    order = np.lexsort((lost, at))  # at the same time, what was seen comes before what was lost from sight
    at, lost = at[order], lost[order]
    waiting = len(at) - np.arange(len(at))
    steps = np.where(lost, 1.0, 1 - 1 / waiting)
    after = np.cumprod(steps)
    shares = np.concatenate(([1.0], after[:-1])) - after
    seen = ~lost
    return Weighed(at[seen], shares[seen], float(after[-1]) if len(after) else 1.0)
