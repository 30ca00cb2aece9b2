"""A test that may be looked at after every observation, and stopped whenever one likes.

A fair game against the hypothesis: who bets on the mean of values in [0, 1] being another than *m* can
multiply a capital of 1 by 1/alpha with the chance alpha at most, if the mean is *m* and however long one
plays (Waudby-Smith and Ramdas, arXiv 2010.09686). So a capital that large is evidence, at any time.

For pairs of prompts, X = (difference + 1) / 2: no drop is a mean of one half.
"""

from collections.abc import Sequence
from math import log, log1p, sqrt
from typing import NamedTuple


class Wealth(NamedTuple):
    """The logarithms of the capital of who bet on a higher, and on a lower mean."""

    higher: float
    lower: float


def stakes(values: Sequence[float], alpha: float) -> list[float]:
    """What is staked before each of *values*, from those before it: more where they hardly vary."""
    found: list[float] = []
    total, squares = 0.0, 0.25
    variance = 0.25
    for i, value in enumerate(values, 1):
        found.append(sqrt(2 * log(2 / alpha) / (variance * i * log1p(i))))
        total += value
        mean = (0.5 + total) / (i + 1)
        squares += (value - mean) ** 2
        variance = squares / (i + 1)
    return found


def wealth(values: Sequence[float], m: float, alpha: float, staked: Sequence[float] | None = None) -> Wealth:
    """The capitals after all of *values* against a mean of *m*, strictly between 0 and 1; in logarithms."""
    higher = lower = 0.0
    for value, stake in zip(values, stakes(values, alpha) if staked is None else staked, strict=True):
        higher += log1p(min(stake, 0.5 / m) * (value - m))
        lower += log1p(-min(stake, 0.5 / (1 - m)) * (value - m))
    return Wealth(higher, lower)
