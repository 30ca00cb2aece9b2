"""How sure a quantile is: two values with the true one between them 95 % of the time, or why there are none.

Order statistics assume no distribution, but that values have nothing to do with each other. Requests of one
run share a queue: of 1,000 with a correlation of 0.9 from one to the next, such an interval holds the true
median in 39 % of runs. They are taken for the fewer independent values that they are worth (statistics.md
2.3). The road not taken is a bootstrap of blocks: it holds the true one in 83 % where this holds it in 92 %.
"""

from collections.abc import Iterable, Iterator, Sequence
from math import ceil, floor, log
from typing import NamedTuple

from msgspec import Struct

from harness.stats.quantiles import quantile

_TAIL = 0.025
_LEAST_MEDIAN, _LEAST_TAIL = 30, 100
_HOPELESS = 5


class Ranks(NamedTuple):
    """Ranks, from 1, of the two ends of an interval; None is an end that does not exist."""

    low: int | None
    high: int | None


class Interval(Struct, frozen=True):
    """A quantile of *n* values and the ends of its 95 % interval; *why* says what is missing, if anything is.

    *value* is None of too few values (`quantiles.least_count`). *worth* is how many independent values the
    *n* are worth: all of them where they were said to be independent, None where that cannot be told. A *low*
    without a *high* bounds the quantile from below only.
    """

    n: int
    worth: float | None
    value: float | None
    low: float | None = None
    high: float | None = None
    why: str | None = None


def needed(per_mille: int) -> int:
    """The smallest number of independent values of which a quantile has an interval with two ends."""
    return ceil(log(_TAIL) / log(max(per_mille, 1000 - per_mille) / 1000))


def ranks(n: int, per_mille: int) -> Ranks:
    """Which of *n* sorted independent values are the ends of a 95 % interval, with equal tails."""
    low = binomial_quantile(_TAIL, n, per_mille)
    high = binomial_quantile(1 - _TAIL, n, per_mille) + 1
    return Ranks(low if low >= 1 else None, high if high <= n else None)


def interval(values: Iterable[float], per_mille: int) -> Interval:
    """A quantile of independent *values*, in any order, and its interval."""
    ordered = sorted(values)
    return _between(ordered, per_mille, float(len(ordered)))


def dependent_interval(values: Sequence[float], per_mille: int) -> Interval:
    """A quantile of *values* that may depend on each other, in order of when they were due, and its interval.

    Refused where they are worth fewer than 30 independent ones for the median, or 100 for another quantile:
    from so few the dependence itself cannot be told.
    """
    n, worth, name = len(values), n_eff(values, per_mille), _name(per_mille)
    least = _LEAST_MEDIAN if per_mille == 500 else _LEAST_TAIL
    if n < least:
        why = (
            f"{name} of values that may depend on each other asks for {least:,} of them, and there are {n:,}"
        )
    elif worth is None:
        why = f"all {n:,} values are alike, which does not show whether they depend on each other"
    elif worth < least:
        why = f"{n:,} values so much like their neighbours are worth {worth:,.0f}; {name} asks for {least:,}"
    else:
        return _between(sorted(values), per_mille, worth)
    return Interval(n, worth, quantile(values, per_mille), why=why)


def n_eff(values: Sequence[float], per_mille: int) -> float | None:
    """How many independent values these, in order of when they were due, are worth for a quantile.

    The number over the time that it takes to forget whether a value was above the quantile: 2·Σ(pairs of
    autocorrelations) - 1, summed while pairs are positive and made to fall (Geyer 1992, initial sequence). It
    is never more than there are, and of fewer than 5 an upper bound: no quantile has an interval of so few.
    None where all values are alike, or too few for the quantile.
    """
    flags = _at_most_quantile(values, per_mille)
    if flags is None:
        return None
    n, total, pair = len(flags), 0.0, float("inf")
    correlations = _autocorrelations(flags)
    for even, odd in zip(correlations, correlations, strict=False):
        pair = min(pair, even + odd)
        if pair <= 0 or n < _HOPELESS * (2 * total - 1):
            break
        total += pair
    return n / max(1.0, 2 * total - 1)


def binomial_quantile(probability: float, n: int, per_mille: int) -> int:
    """The smallest *k* such that at most *k* of *n* are below a quantile with at least this *probability*.

    Probabilities relative to the likeliest *k*, from there to where they vanish: no factorials or logarithms,
    and 10,000 steps for a million values.
    """
    odds = per_mille / (1000 - per_mille)
    mode = (n + 1) * per_mille // 1000
    below, weight = [], 1.0
    for k in range(mode, 0, -1):
        weight *= k / ((n - k + 1) * odds)
        if weight < 1e-20:
            break
        below.append(weight)
    weights, weight = [*reversed(below), 1.0], 1.0
    for k in range(mode, n):
        weight *= (n - k) / (k + 1) * odds
        if weight < 1e-20:
            break
        weights.append(weight)
    wanted, reached = probability * sum(weights), 0.0
    for k, weight in enumerate(weights, mode - len(below)):
        reached += weight
        if reached >= wanted:
            return k
    return n


def _between(ordered: Sequence[float], per_mille: int, worth: float) -> Interval:
    """The interval of values that are worth so many: the ranks of those, spread over all there are."""
    n = len(ordered)
    low, high = ranks(floor(worth), per_mille)
    why = None
    if low is None or high is None:
        why = f"{_name(per_mille)} asks for {needed(per_mille):,} independent values; there are {worth:,.0f}"
    return Interval(
        n=n,
        worth=worth,
        value=quantile(ordered, per_mille),
        low=None if low is None else ordered[floor(low * n / worth) - 1],
        high=None if high is None else ordered[ceil(high * n / worth) - 1],
        why=why,
    )


def _at_most_quantile(values: Sequence[float], per_mille: int) -> Sequence[bool] | None:
    found = quantile(values, per_mille)
    if found is None:
        return None
    flags = [value <= found for value in values]
    if all(flags):  # the highest are all the same, as failures are that count as infinite
        flags = [value < found for value in values]
    return flags if any(flags) else None


def _autocorrelations(flags: Sequence[bool]) -> Iterator[float]:
    """The autocorrelation of each lag from 0. Yes and no are the bits of one number: 64 products at once."""
    n, ones = len(flags), sum(flags)
    bits = int("".join("01"[flag] for flag in flags), 2)
    spread, outside = n * ones * (n - ones), 0
    for lag in range(n):
        together = (bits & bits >> lag).bit_count()
        # n² times the sum of products of what is above the mean, in whole numbers.
        yield (n * n * together - n * ones * (2 * ones - outside) + (n - lag) * ones * ones) / spread
        outside += flags[lag] + flags[n - 1 - lag]


def _name(per_mille: int) -> str:
    return f"p{per_mille / 10:g}"
