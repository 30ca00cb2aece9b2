"""Two arms' times or amounts: the ratio of their quantiles or means, and how sure that is.

Resampled are *groups*, the same in both arms where they are paired: all repeats of a prompt, or a stretch of
time of a load, since requests of one queue depend on each other (statistics.md 2.5). A draw is a weight for
each group. What a quantile needs of a group is only how many of its values lie below each of some thresholds
around the quantile, so that a draw costs as much for a million values as for a thousand.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, inf, isfinite, log, sqrt
from statistics import NormalDist

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from harness.stats.censored import kaplan_meier
from harness.stats.quantiles import least_count

Array = NDArray[np.float64]
Groups = NDArray[np.intp]

NORMAL = NormalDist()
LEAST_GROUPS = 10
"""Of fewer groups a bootstrap has no interval."""
_DRAWS = 2_000
_MOST_GROUPS = 500
"""More are put together at random, which leaves them as independent as they were."""
_THRESHOLDS = 512
_FINE = 0.975


@dataclass(frozen=True, slots=True)
class Sample:
    """Values and the number of the group that each belongs to; *shares* are their weights, all 1 if None.

    A value of infinity is one that lies beyond the longest that was watched for.
    """

    values: Array
    groups: Groups
    shares: Array | None = None


class Ratio(Struct, frozen=True):
    """After over before, with its 95 % interval; None where there is none, and *note* says why.

    *log_ratio* and *error*, its standard error, are on the scale of the logarithm. *p* is two-sided, by
    exchanging the arms within groups. *n_before* and *n_after* values are behind it, in *groups*.
    """

    before: float | None
    after: float | None
    value: float | None
    log_ratio: float | None
    error: float | None
    low: float | None
    high: float | None
    p: float | None
    n_before: int
    n_after: int
    groups: int
    note: str = ""


def timed(values: Array, censored: NDArray[np.bool_], groups: Groups) -> Sample:
    """A sample of times of which those *censored* are only known to be longer (`stats.censored`)."""
    if not censored.any():
        return Sample(values, groups)
    weighed = kaplan_meier(values, censored)
    seen = np.lexsort((censored, values))
    seen = seen[~censored[seen]]
    lost = np.flatnonzero(censored)
    shares = np.concatenate((weighed.shares, np.full(len(lost), weighed.beyond / len(lost)))) * len(values)
    everything = np.concatenate((weighed.times, np.full(len(lost), inf)))
    return Sample(everything, np.concatenate((groups[seen], groups[lost])), shares)


def ratio(
    before: Sample, after: Sample, per_mille: int | None, *, paired: bool = True, seed: int = 0
) -> Ratio:
    """The ratio of the *per_mille* quantiles of both arms, or of their means where that is None.

    *paired*: a group has the same number in both arms, and only groups with values in both count. Else the
    groups of one arm have nothing to do with those of the other.
    """
    if paired:
        before, after = _in_both(before, after)
    n = len(before.values), len(after.values)
    least = 1 if per_mille is None else least_count(per_mille)
    if min(n) < least:
        note = f"{least} values in each arm are wanted" if min(n) else "no values in one of the arms"
        return Ratio(None, None, None, None, None, None, None, None, *n, 0, note=note)
    tables = _tables(before, after, per_mille, paired=paired)
    was, now = (float(tables.read(table.sum(axis=0)[None, :])[0]) for table in tables.arms)
    value = now / was if isfinite(was) and isfinite(now) and was > 0 and now > 0 else None
    known = was if isfinite(was) else None, now if isfinite(now) else None
    groups = max(_count(arm.groups) for arm in (before, after))
    if value is None:
        note = "lies beyond the time limit" if inf in (was, now) else "nothing to divide by"
        return Ratio(*known, None, None, None, None, None, None, *n, groups, note=note)
    if groups < LEAST_GROUPS:
        note = f"an interval asks for {LEAST_GROUPS} prompts or stretches of time, and there are {groups}"
        return Ratio(*known, value, log(value), None, None, None, None, *n, groups, note=note)
    random = np.random.default_rng(seed)
    logs = _resampled(tables, random, paired=paired)
    if logs is None:
        note = "values lie beyond the time limit too often for an interval"
        return Ratio(*known, value, log(value), None, None, None, None, *n, groups, note=note)
    error = float(logs.std(ddof=1))
    low, high = np.quantile(logs, (0.025, 0.975))
    p = _swapped(tables, random, abs(log(value))) if paired else _normal(log(value), error)
    return Ratio(*known, value, log(value), error, exp(low), exp(high), p, *n, groups)


@dataclass(frozen=True, slots=True)
class _Tables:
    """For each arm a row for each group, so that a draw is a sum of rows, and how a sum is *read*."""

    arms: tuple[Array, Array]
    read: Callable[[Array], Array]
    groups: int


def _tables(before: Sample, after: Sample, per_mille: int | None, *, paired: bool) -> _Tables:
    count, folded = _folded(before, after, paired=paired)
    if per_mille is None:
        sums = tuple(_totals(arm, count) for arm in folded)
        return _Tables((sums[0], sums[1]), _mean, count)
    thresholds = np.unique(np.concatenate([_around(arm, per_mille) for arm in folded]))
    below = tuple(_below(arm, thresholds, count) for arm in folded)

    def read(sums: Array) -> Array:
        wanted = sums[:, -1:] * (per_mille / 1000 - 1e-9)
        found: Array = np.append(thresholds, inf)[(sums >= wanted).argmax(axis=1)]
        return found

    return _Tables((below[0], below[1]), read, count)


def _folded(before: Sample, after: Sample, *, paired: bool) -> tuple[int, tuple[Sample, Sample]]:
    """Both arms with at most so many groups, numbered from 0; more are put together at random."""
    if paired:
        count = int(before.groups.max()) + 1
        arms = before, after
    else:
        numbers = [np.unique(arm.groups, return_inverse=True) for arm in (before, after)]
        count = min(len(names) for names, _ in numbers)
        first, second = (
            Sample(arm.values, groups % count, arm.shares)
            for arm, (_, groups) in zip((before, after), numbers, strict=True)
        )
        arms = first, second
    if count <= _MOST_GROUPS:
        return count, arms
    place = np.random.default_rng(count).permutation(count) % _MOST_GROUPS
    return _MOST_GROUPS, (
        Sample(arms[0].values, place[arms[0].groups], arms[0].shares),
        Sample(arms[1].values, place[arms[1].groups], arms[1].shares),
    )


def _totals(arm: Sample, count: int) -> Array:
    return np.column_stack((np.bincount(arm.groups, arm.values, count), np.bincount(arm.groups, None, count)))


def _mean(sums: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        means: Array = sums[:, 0] / sums[:, 1]
    return means


def _around(arm: Sample, per_mille: int) -> Array:
    """Values of an arm around its quantile: all that a draw's quantile may well be, thinned out evenly."""
    n, q = len(arm.values), per_mille / 1000
    far = 8 * sqrt(q * (1 - q) / _count(arm.groups))  # as if a group were one value: no draw is further
    shares = np.array((max(0.0, q - far), min(1.0, q + far), q - 1e-9))
    if arm.shares is None:
        ordered = np.sort(arm.values)
        low, high, exact = np.ceil(shares * n).astype(int) - 1
    else:
        order = np.argsort(arm.values, kind="stable")
        ordered = arm.values[order]
        low, high, exact = np.searchsorted(np.cumsum(arm.shares[order]) / n, shares)
    wanted = np.append(np.linspace(low, high, _THRESHOLDS), exact).astype(int)
    values: Array = ordered[np.clip(wanted, 0, n - 1)]
    return values[np.isfinite(values)]


def _count(groups: Groups) -> int:
    """How many different groups there are."""
    return int((np.bincount(groups) > 0).sum())


def _below(arm: Sample, thresholds: Array, count: int) -> Array:
    """How much of each group lies at or below each threshold; all of it in the last column."""
    width = len(thresholds) + 1
    cells = arm.groups * width + np.searchsorted(thresholds, arm.values)
    counts = np.bincount(cells, arm.shares, count * width).reshape(count, width)
    return np.cumsum(counts, axis=1, dtype=float)


def _in_both(before: Sample, after: Sample) -> tuple[Sample, Sample]:
    """The values of groups that have some in both arms; these are numbered anew, without gaps."""
    size = 1 + int(max(arm.groups.max(initial=-1) for arm in (before, after)))
    shared = np.ones(size, bool)
    for arm in (before, after):
        shared &= np.bincount(arm.groups, minlength=size) > 0
    anew = np.cumsum(shared) - 1
    return _only(before, shared, anew), _only(after, shared, anew)


def _only(arm: Sample, shared: NDArray[np.bool_], anew: Groups) -> Sample:
    if shared.all():
        return arm
    kept = shared[arm.groups]
    shares = None if arm.shares is None else arm.shares[kept]
    return Sample(arm.values[kept], anew[arm.groups[kept]], shares)


def _resampled(tables: _Tables, random: np.random.Generator, *, paired: bool) -> Array | None:
    """The logarithms of the ratios of many draws; None where too many have none."""
    even = np.full(tables.groups, 1 / tables.groups)
    weights = random.multinomial(tables.groups, even, _DRAWS).astype(float)
    others = weights if paired else random.multinomial(tables.groups, even, _DRAWS).astype(float)
    was, now = (tables.read(w @ arm) for w, arm in zip((weights, others), tables.arms, strict=True))
    fine = np.isfinite(was) & np.isfinite(now) & (was > 0) & (now > 0)
    return np.log(now[fine] / was[fine]) if fine.mean() > _FINE else None


def _swapped(tables: _Tables, random: np.random.Generator, seen: float) -> float:
    """How often arms that are exchanged within groups at random differ as much; what was seen included."""
    swap = random.integers(0, 2, (_DRAWS, tables.groups)).astype(float)
    one, other = tables.arms
    was = tables.read(one.sum(axis=0) + swap @ (other - one))
    now = tables.read(other.sum(axis=0) + swap @ (one - other))
    with np.errstate(invalid="ignore", divide="ignore"):
        far = np.abs(np.log(now / was)) >= seen * (1 - 1e-9)
    return float((1 + (far | ~np.isfinite(now) | ~np.isfinite(was)).sum()) / (1 + _DRAWS))


def mean_error(values: Array, groups: Groups) -> tuple[float, float | None, int]:
    """A mean, its standard error by groups, and how many groups there are; no error of fewer than two.

    The error of a ratio of sums (values over their number), the sums taken within groups first.
    """
    _, numbers = np.unique(groups, return_inverse=True)
    totals, counts = np.bincount(numbers, values), np.bincount(numbers)
    mean, m = float(values.mean()), len(counts)
    if m < 2:
        return mean, None, m
    squares = float(((totals - mean * counts) ** 2).sum())
    return mean, sqrt(squares * m / (m - 1)) / float(counts.sum()), m


def _normal(log_ratio: float, error: float) -> float:
    return 2 * (1 - NORMAL.cdf(abs(log_ratio) / error)) if error else float(log_ratio == 0)
