"""One arm against a limit: how much speaks for keeping it, and how much for missing it.

Both are z-values: standard errors of distance, or those that an exact probability comes to. A limit is kept
for certain where the first reaches the quantile of a normal that alpha asks for, missed where the second
does.
"""

from math import inf
from statistics import NormalDist
from typing import NamedTuple

from harness.stats.paired import binomial_at_most
from harness.stats.repeats import beta_cdf

_NORMAL = NormalDist()
_FARTHEST = 8.0


class Evidence(NamedTuple):
    """How many standard errors speak for a limit being *kept*, and for it being *missed*."""

    kept: float
    missed: float


def of_mean(value: float, error: float, limit: float, *, freedom: int | None, is_least: bool) -> Evidence:
    """Evidence of a mean with its standard error; *is_least*: the limit is the least that it may be."""
    off = value - limit if is_least else limit - value
    if error == 0:
        return Evidence(inf if off >= 0 else -inf, inf if off < 0 else -inf)
    return Evidence(as_normal(off / error, freedom), as_normal(-off / error, freedom))


def of_share(hits: float, n: float, limit: float, *, is_least: bool) -> Evidence:
    """Evidence of *hits* of *n* independent tries, by the exact binomial; *n* may be what they are worth."""
    at_most, at_least = binomial_at_most(hits, n, limit), 1 - binomial_at_most(hits - 1, n, limit)
    high, low = z_of_p(at_least), z_of_p(at_most)  # so many hits are improbably many, improbably few
    return Evidence(high, low) if is_least else Evidence(low, high)


def as_normal(t: float, freedom: int | None) -> float:
    """The z that is as improbable as *t* with so many degrees of freedom."""
    if freedom is None:
        return t
    tail = beta_cdf(freedom / (freedom + t * t), freedom / 2, 0.5) / 2
    z = z_of_p(tail)
    return z if t > 0 else -z


def p_of(z: float) -> float:
    """The one-sided p-value of *z*."""
    return 1 - _NORMAL.cdf(z) if z < _FARTHEST else 0.0


def z_of(alpha: float) -> float:
    """The z that a one-sided test of *alpha* asks for."""
    return _NORMAL.inv_cdf(1 - alpha)


def z_of_p(p: float) -> float:
    """The z that is as improbable as *p*, one-sided; at most 8 on either side."""
    if p <= 0:
        return _FARTHEST
    return -_FARTHEST if p >= 1 else max(-_FARTHEST, min(_FARTHEST, -_NORMAL.inv_cdf(p)))
