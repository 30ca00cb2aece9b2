"""Looking before the end, without looking too often: bounds that spend a chance of error bit by bit.

To look eight times at a test of 5 % is to raise 16 % of false alarms. Lan and DeMets 1983: an error of alpha
is spent as information comes in, by a function of its fraction *t* of all that was planned, and the bound of
each look is where the increment is spent. Looks need not be equally far apart, nor known ahead.

The probabilities are integrals over the paths that crossed no bound before, by Gauss-Legendre nodes look by
look (Armitage, McPherson and Rowe 1969): 400 nodes give four digits where an even grid of 4,000 does not.
"""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from math import erfc, inf, sqrt
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Spending = Literal["obrien-fleming", "power"]

_NORMAL = NormalDist()
_NODES = 400
_LOWEST = -9.0
_HIGHEST = 9.0
POWER = 1.5
"""The exponent of the spending function ``power`` (Kim and DeMets 1987): early looks may decide, too."""


def spent(t: float, alpha: float, spending: Spending = "obrien-fleming", power: float = POWER) -> float:
    """How much of a one-sided *alpha* may be spent when a fraction *t* of the information is in."""
    if t <= 0:
        return 0.0
    if t >= 1:
        return alpha
    if spending == "power":
        return alpha * float(t**power)
    return 2 - 2 * _NORMAL.cdf(_NORMAL.inv_cdf(1 - alpha / 2) / sqrt(t))


def bounds(
    fractions: Sequence[float],
    alpha: float,
    spending: Spending = "obrien-fleming",
    *,
    power: float = POWER,
    is_last: bool = False,
) -> list[float]:
    """The upper bound of z at each look, for looks at rising *fractions* of the information.

    A z at or above its bound decides; infinity where a look may spend nothing yet. With *is_last* the last
    look spends all that is left, as it does at a fraction of 1. Raises `ValueError` unless fractions rise.
    """
    if any(later <= earlier for earlier, later in pairwise(fractions)):
        raise ValueError(f"looks come later and later, and these do not: {fractions}")
    found: list[float] = []
    paths: tuple[Array, Array] | None = None
    before = 0.0
    for at, t in enumerate(fractions):
        to_spend = alpha if is_last and at == len(fractions) - 1 else spent(t, alpha, spending, power)
        step = t - (fractions[at - 1] if at else 0.0)
        bound = _solve(_crossing(paths, fractions, at), to_spend - before)
        before = to_spend
        found.append(bound)
        if at + 1 < len(fractions):
            paths = _surviving(paths, bound, fractions, at=at, step=step)
    return found


def _crossing(
    paths: tuple[Array, Array] | None, fractions: Sequence[float], at: int
) -> Callable[[float], float]:
    """The chance to cross a bound at look *at*, and none before, as a function of the bound."""
    if paths is None:
        return lambda bound: 1 - _NORMAL.cdf(bound)
    nodes, mass = paths
    now, earlier = fractions[at], fractions[at - 1]

    def crossed(bound: float) -> float:
        far = (bound * sqrt(now) - nodes * sqrt(earlier)) / sqrt(now - earlier)
        return float(mass @ _above(far))

    return crossed


def _solve(crossed: Callable[[float], float], increment: float) -> float:
    """The bound that is crossed with the chance *increment*, by bisection."""
    if increment <= 0 or crossed(_HIGHEST) > increment:
        return inf
    low, high = _LOWEST, _HIGHEST
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if crossed(middle) > increment else (low, middle)
    return (low + high) / 2


def _surviving(
    paths: tuple[Array, Array] | None, bound: float, fractions: Sequence[float], *, at: int, step: float
) -> tuple[Array, Array]:
    """Nodes and the mass at each of the paths that have not crossed by look *at*."""
    unit, weights = _nodes()
    high = min(bound, _HIGHEST)
    nodes = (unit + 1) / 2 * (high - _LOWEST) + _LOWEST
    weights = weights * (high - _LOWEST) / 2
    if paths is None:
        return nodes, weights * _density(nodes)
    before, mass = paths
    far = (nodes[:, None] * sqrt(fractions[at]) - before[None, :] * sqrt(fractions[at - 1])) / sqrt(step)
    return nodes, weights * sqrt(fractions[at] / step) * (_density(far) @ mass)


@cache
def _nodes() -> tuple[Array, Array]:
    """Where to look between -1 and 1, and how much each place weighs."""
    unit, weights = np.polynomial.legendre.leggauss(_NODES)
    return unit, weights


def _above(z: Array) -> Array:
    """The chance of a standard normal to be above each of *z*."""
    return np.array([erfc(each) for each in z / sqrt(2)]) / 2


def _density(x: Array) -> Array:
    return np.exp(-(x**2) / 2) / sqrt(2 * np.pi)
