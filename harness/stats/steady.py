"""Whether a series is at rest: where a warm-up ends, and whether something goes on growing.

Both work on means of batches, since values that follow each other in a queue are alike, and an interval
that takes them for independent is far too narrow (statistics.md 2.3).
"""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt
from statistics import NormalDist, fmean

from msgspec import Struct

BATCHES = 20
"""At least so many, or the bounds say nothing."""
_IN_BATCH = 5
_Z = NormalDist().inv_cdf(0.95)


class Trend(Struct, frozen=True):
    """A line through means of batches: its *slope* per second, and a 95 % bound of it on each side."""

    slope: float
    low: float
    high: float
    n: int


def trend(times_s: Sequence[float], values: Sequence[float], *, batches: int = BATCHES) -> Trend | None:
    """How *values* at *times_s*, in that order, went over time; None of fewer than 20 batches, of five each.

    Ordinary least squares over batch means; the bounds hold as far as the batches are independent.
    """
    n = len(values)
    if batches < BATCHES or n < _IN_BATCH * batches:
        return None
    edges = [n * batch // batches for batch in range(batches + 1)]
    spans = [slice(begin, end) for begin, end in pairwise(edges)]
    xs, ys = ([fmean(series[span]) for span in spans] for series in (times_s, values))
    x_mean, y_mean = fmean(xs), fmean(ys)
    spread = sum((x - x_mean) ** 2 for x in xs)
    if spread == 0:
        return None
    slope = sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True)) / spread
    left = sum((y - y_mean - slope * (x - x_mean)) ** 2 for x, y in zip(xs, ys, strict=True))
    error = _student(batches - 2) * sqrt(left / (batches - 2) / spread)
    return Trend(slope, slope - error, slope + error, n)


def _student(degrees: int) -> float:
    """The 95 % quantile of Student's t, by Fisher and Cornish: to six digits from 18 degrees on."""
    z, tail = _Z, 0.0
    for divisor, powers in (
        (92160, (-945, -1920, 1482, 776, 79)),
        (384, (-15, 17, 19, 3)),
        (96, (3, 16, 5)),
        (4, (1, 1)),
    ):
        term = sum(factor * z ** (2 * nth + 1) for nth, factor in enumerate(powers)) / divisor
        tail = (tail + term) / degrees
    return z + tail


def mser5(values: Sequence[float]) -> int | None:
    """How many of *values*, in order of arrival, belong to the warm-up, by MSER-5; None if they never settle.

    White 1997: of means of five, cut where the sum of squares over the square of what is left is smallest. A
    cut at the end of the half that is searched says that there is no steady state in sight.
    """
    means = [fmean(values[start : start + 5]) for start in range(0, len(values) - 4, 5)]
    if len(means) < 4:
        return None
    half = len(means) // 2
    count, total, squares, lowest, cut = 0, 0.0, 0.0, float("inf"), 0
    centre = fmean(means)  # sums of squares of small differences lose no digits
    for start in range(len(means) - 1, -1, -1):
        value = means[start] - centre
        count, total, squares = count + 1, total + value, squares + value * value
        if start <= half and (found := (squares - total * total / count) / count**2) <= lowest:
            lowest, cut = found, start
    return None if cut == half else cut * 5
