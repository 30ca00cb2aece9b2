"""What a series of arrivals is like, what it should be like, and how late its requests went out.

Of a true Poisson process the gaps have a coefficient of variation of 1, counts per second a dispersion of 1,
and successive gaps nothing to do with each other; of even arrivals the first two are 0; of gamma ones with
gaps of the variation *c* they are *c* and, over long windows, *c*² (statistics.md 1.4).

All of this is about a constant rate: for a ramp or stages hand in times moved to where one arrival falls due
per unit (`harness.plan.schedule` draws them there).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import exp, lgamma, log, sqrt
from statistics import NormalDist, fmean, pstdev
from typing import Literal, NamedTuple

from msgspec import Struct

from harness.stats.quantiles import quantile

_SECOND = 1_000_000_000
_MS = 1e6
_LEVEL = 0.99
_Z = NormalDist().inv_cdf((1 + _LEVEL) / 2)
_LEAST = 100
"""Of fewer arrivals, or bunches, the bands are off by a tenth of their width: they are series in 1/√n."""
_KS_99 = 1.308
"""Stephens 1974: 99 % of KS distances, modified as in `_ks_band`, from an exponential of estimated mean."""


class Conformance(Struct, frozen=True):
    """*n* arrivals: how many a second, the variation of their gaps, and what else tells even from random.

    *dispersion* is variance over mean of the counts of whole windows, *lag_1* the correlation of successive
    gaps, *ks* the greatest distance of their distribution from an exponential one. A figure is None where
    there are too few arrivals, or windows, for it.
    """

    n: int
    rate_per_s: float | None = None
    gap_cv: float | None = None
    dispersion: float | None = None
    lag_1: float | None = None
    ks: float | None = None


class Band(NamedTuple):
    """Where a figure lies 99 % of the time, ends included."""

    low: float
    high: float

    def __contains__(self, figure: object) -> bool:
        return isinstance(figure, (int, float)) and self.low <= figure <= self.high


class Bands(Struct, frozen=True):
    """Where the figures of a `Conformance` lie, each 99 % of the time; None where nothing can be said."""

    rate_per_s: Band | None = None
    gap_cv: Band | None = None
    dispersion: Band | None = None
    lag_1: Band | None = None
    ks: Band | None = None


class Lateness(Struct, frozen=True):
    """How much later than due *n* requests went out, in ms, and the *share_later* than a limit.

    *unsent* more were due and never went out; they are in none of the other figures. A quantile is None of
    too few.
    """

    n: int
    unsent: int
    p50_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None
    share_later: float | None = None


def conformance(
    stamps_ns: Sequence[int], *, window_ns: int = _SECOND, rate_per_s: float | None = None
) -> Conformance:
    """What arrivals at these stamps, in any order, were like.

    *rate_per_s* is that of the exponential distribution for *ks*; None takes the one of the arrivals, which
    brings them nearer to it (`expected` allows for that).
    """
    stamps = sorted(stamps_ns)
    gaps = [later - earlier for earlier, later in pairwise(stamps)]
    if len(gaps) < 2 or stamps[0] == stamps[-1]:
        return Conformance(len(stamps))
    mean = fmean(gaps)
    return Conformance(
        n=len(stamps),
        rate_per_s=_SECOND / mean,
        gap_cv=pstdev(gaps) / mean,
        dispersion=_dispersion(stamps, window_ns),
        lag_1=_lag_1(gaps, mean),
        ks=_ks(gaps, mean if rate_per_s is None else _SECOND / rate_per_s),
    )


def _dispersion(stamps: Sequence[int], window_ns: int) -> float | None:
    whole = (stamps[-1] - stamps[0]) // window_ns
    if whole < 2:
        return None
    counted = Counter((stamp - stamps[0]) // window_ns for stamp in stamps)
    counts = [counted[window] for window in range(whole)]
    return pstdev(counts) ** 2 * whole / (whole - 1) / fmean(counts) if any(counts) else None


def _lag_1(gaps: Sequence[int], mean: float) -> float | None:
    spread = sum((gap - mean) ** 2 for gap in gaps)
    if spread < len(gaps):  # even to the nanosecond: what is left is rounding
        return None
    return sum((one - mean) * (next_ - mean) for one, next_ in pairwise(gaps)) / spread


def _ks(gaps: Sequence[int], mean: float) -> float:
    below = [1 - exp(-gap / mean) for gap in sorted(gaps)]
    n = len(below)
    return max(max((rank + 1) / n - share, share - rank / n) for rank, share in enumerate(below))


def expected(
    kind: Literal["constant", "poisson", "gamma"], n: int, duration_s: float, *, shape: float = 1.0
) -> Bands:
    """Where the figures of about *n* arrivals in *duration_s* lie if they are of this *kind*, by the second.

    *shape* is that of the gamma distribution of the gaps: their variation is 1/√shape, so that below 1 they
    come in bunches. Random kinds have no bands below 100 arrivals, or 100/shape in bunches.
    """
    windows, rate = int(duration_s), n / duration_s
    if kind == "constant":
        return _even(windows, rate)
    shape = 1.0 if kind == "poisson" else shape
    if n * min(1.0, shape) < _LEAST:
        return Bands()
    return Bands(
        rate_per_s=_rate_band(n, duration_s, shape),
        gap_cv=_gap_cv_band(n - 1, shape),
        dispersion=_dispersion_band(windows, rate, shape),
        lag_1=_lag_1_band(n - 1, shape),
        ks=_ks_band(n - 1) if shape == 1.0 else None,
    )


def achieved(due_ns: Sequence[int], sent_ns: Sequence[int | None], *, limit_ms: float) -> Lateness:
    """How late requests due at *due_ns* were *sent_ns*, None if never, and how many later than *limit_ms*.

    The two are in the same order. Nothing is clipped: one that went out early is early.
    """
    late = [(sent - due) / _MS for due, sent in zip(due_ns, sent_ns, strict=True) if sent is not None]
    if not late:
        return Lateness(0, len(due_ns))
    return Lateness(
        n=len(late),
        unsent=len(due_ns) - len(late),
        p50_ms=quantile(late, 500),
        p99_ms=quantile(late, 990),
        max_ms=max(late),
        share_later=sum(each > limit_ms for each in late) / len(late),
    )


def _even(windows: int, rate: float) -> Bands:
    """Of even arrivals only rounding to whole ns, and which window the one at its edge falls in, are left."""
    rounding = rate / _SECOND
    uneven = (
        0.25 / rate * windows / (windows - 1) if windows > 1 else None
    )  # counts of two neighbouring sizes
    return Bands(
        rate_per_s=Band(rate * (1 - rounding), rate * (1 + rounding)),
        gap_cv=Band(0.0, rounding),
        dispersion=None if uneven is None else Band(0.0, uneven),
    )


def _rate_band(n: int, duration_s: float, shape: float) -> Band:
    off = _Z * sqrt(n / shape + (1 - shape**-2) / 6)
    return Band((n - off) / duration_s, (n + off) / duration_s)


def _dispersion_band(windows: int, rate: float, shape: float) -> Band | None:
    """(w - 1) D / mean is nearly chi-square with w - 1 degrees; the mean is 1/shape for long windows only."""
    if windows < 2:
        return None
    mean = 1 / shape + (1 - shape**-2) / (6 * rate)
    low, high = (chi_square(tail, windows - 1) for tail in _tails())
    return Band(mean * low / (windows - 1), mean * high / (windows - 1))


def _lag_1_band(gaps: int, shape: float) -> Band:
    """About -1/n by ± 2.58/√n, and skew as the gaps are: products of two neighbours are mostly small."""
    return _cornish_fisher(0.0, 1.0, gaps, bias=-1.0, skew=4 / shape)


def _gap_cv_band(gaps: int, shape: float) -> Band:
    """The delta method to second order for √(mean(y²) - mean(y)²) / (1 + mean(y)), y = gap - 1.

    First order would be ± 2.58·√((1 + 1/shape) / 2·shape·n) and symmetric, which it is not before n = 10,000.
    """
    m2, m3 = 1 / shape, 2 / shape**2
    m4, m5 = 3 / shape**2 + 6 / shape**3, 20 / shape**3 + 24 / shape**4
    m6 = 15 / shape**3 + 130 / shape**4 + 120 / shape**5
    c = sqrt(m2)
    by_a, by_b, by_aa, by_ab, by_bb = -c, 0.5 / c, 2 * c - 1 / c, -0.5 / c, -0.25 / c**3  # a = y, b = y²
    aa, ab, bb = m2, m3, m4 - m2**2
    along_a, along_b = by_a * aa + by_b * ab, by_a * ab + by_b * bb
    spread = sqrt(by_a * along_a + by_b * along_b)
    third = by_a**3 * m3 + 3 * by_a**2 * by_b * bb + 3 * by_a * by_b**2 * (m5 - 2 * m2 * m3)
    third += by_b**3 * (m6 - 3 * m4 * m2 + 2 * m2**3)
    third += 3 * (along_a**2 * by_aa + 2 * along_a * along_b * by_ab + along_b**2 * by_bb)
    bias = (by_aa * aa + 2 * by_ab * ab + by_bb * bb) / 2
    return _cornish_fisher(c, spread, gaps, bias=bias, skew=third / spread**3)


def _cornish_fisher(centre: float, spread: float, n: int, *, bias: float, skew: float) -> Band:
    """Quantiles of an estimate with a standard deviation of spread/√n, a bias of bias/n, and a skew/√n."""
    shift = (bias + spread * skew / 6 * (_Z**2 - 1)) / n
    off = _Z * spread / sqrt(n)
    return Band(centre - off + shift, centre + off + shift)


def _ks_band(gaps: int) -> Band:
    """A distance is never too small, so this one has one end."""
    root = sqrt(gaps)
    return Band(0.0, _KS_99 / (root + 0.26 + 0.5 / root) + 0.2 / gaps)


def _tails() -> Iterator[float]:
    yield (1 - _LEVEL) / 2
    yield (1 + _LEVEL) / 2


def chi_square(probability: float, degrees: int) -> float:
    """The quantile of chi-square: Newton's steps from Wilson and Hilferty's cube."""
    part = 2 / (9 * degrees)
    found = degrees * max(0.01, 1 - part + NormalDist().inv_cdf(probability) * sqrt(part)) ** 3
    for _ in range(50):
        below, density = _chi_square_below(found, degrees)
        step = (below - probability) / density
        found = max(found - step, found / 2)
        if abs(step) <= 1e-12 * found:
            break
    return found


def _chi_square_below(x: float, degrees: int) -> tuple[float, float]:
    """The probability of less than *x*, by the series of the incomplete gamma function, and the density."""
    a, half = degrees / 2, x / 2
    first = exp(a * log(half) - half - lgamma(a + 1))
    total, term, nth = 0.0, first, a
    while term > total * 1e-17:
        total, nth = total + term, nth + 1
        term *= half / nth
    return total, first * a / x
