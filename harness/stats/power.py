"""What a test can see before it is made: the smallest difference, and how many repeats a smaller one takes.

`MDE = (z_{1-alpha} + z_{power}) * SE` (statistics.md 4.3). The variance of a candidate is that at the drop
which is to be found: one that falls from .89 varies more than one that stays.
"""

from collections.abc import Sequence
from math import ceil, sqrt
from statistics import NormalDist

_NORMAL = NormalDist()
POWER = 0.8
PLANNED = 0.84
"""What to plan a drop of a pass rate with so that it is found 80 % of the time: a sample that shows more of a
drop shows more noise, too, which the formula does not know (simulated in docs/statistics.md)."""
_ROUNDS = 40


def reach(alpha: float, power: float = POWER) -> float:
    """How many standard errors a difference must have to be found with the chance *power*."""
    return _NORMAL.inv_cdf(1 - alpha) + _NORMAL.inv_cdf(power)


def smallest(error: float, alpha: float, power: float = POWER) -> float:
    """The smallest difference that a one-sided test of *alpha* finds with *power*, by its standard error."""
    return reach(alpha, power) * error


def pass_error(rates: Sequence[float], repeats_before: int, repeats_after: int, drop: float = 0.0) -> float:
    """The standard error of a paired difference, suite question, of prompts that pass at *rates*.

    *drop* is taken off every rate in the arm after. Without repeats before, that arm is known exactly.
    """
    m = len(rates)
    fallen = [min(1.0, max(0.0, rate - drop)) for rate in rates]
    before = sum(p * (1 - p) for p in rates) / repeats_before if repeats_before else 0.0
    after = sum(p * (1 - p) for p in fallen) / repeats_after
    return sqrt(before + after) / m


def smallest_drop(
    rates: Sequence[float], repeats_before: int, repeats_after: int, *, alpha: float, power: float = PLANNED
) -> float:
    """The smallest drop of pass rates that is found, with the variance that it has itself; at most 1."""
    drop = 0.5  # from above: prompts that always pass vary only once they drop
    for _ in range(_ROUNDS):
        drop = min(1.0, smallest(pass_error(rates, repeats_before, repeats_after, drop), alpha, power))
    return drop


def repeats_for(wanted: float, seen: float, repeats: int) -> int:
    """How many repeats it takes to see *wanted*, where *repeats* see *seen*: errors fall by their root."""
    return ceil(repeats * (seen / wanted) ** 2 - 1e-9)
