"""Whether a prompt is stable or flaky, by what it came to over many nights, and since when.

Believed of its pass rate is a beta distribution, half a pass and half a failure before anything was seen, and
each night weighed the less the longer it is ago. A prompt is called something only where that is nine times
as likely as not (statistics.md 7).
"""

import itertools
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from math import ceil, log, log2, sqrt
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.stats.repeats import beta_cdf

Class = Literal["stable pass", "stable fail", "flaky", "unknown"]

STABLE, FAILING = 0.95, 0.05
"""A stable prompt passes more often than this; a failing one less often than that."""
SURE = 0.9
ALARM = 4.0
"""Where small drops have added up: of nights without a change one in 335 is called one."""

_NORMAL = NormalDist()
_SHUFFLES = (200, 4_800)
"""A few first: they tell of most prompts that nothing changed."""
_ENOUGH = 20
_FURTHEST = 1e-9


class Night(NamedTuple):
    """What a prompt came to in one run, *age_days* ago."""

    passes: int
    failures: int
    age_days: float = 0.0


class Belief(NamedTuple):
    """How likely a prompt is to be each of three things, and what it is therefore called."""

    stable_pass: float
    stable_fail: float
    flaky: float

    @property
    def name(self) -> Class:
        """What is likely enough to be said."""
        if self.stable_pass > SURE:
            return "stable pass"
        if self.stable_fail > SURE:
            return "stable fail"
        return "flaky" if self.flaky > SURE else "unknown"


class Since(NamedTuple):
    """A change: up to the *night* of this number it passed at *before*, from then on at *after*.

    *p* is how often shuffled nights show one as great.
    """

    night: int
    before: float
    after: float
    p: float


class Alarm(NamedTuple):
    """The *night* on which small drops had added up, and the first *since* which they did."""

    night: int
    since: int


def belief(nights: Sequence[Night], half_life_days: float | None = None) -> Belief:
    """What is believed of a prompt; a night *half_life_days* ago counts half."""
    passes = failures = 0.5
    for night in nights:
        weight = 1.0 if half_life_days is None else 0.5 ** (night.age_days / half_life_days)
        passes += weight * night.passes
        failures += weight * night.failures
    below, above = beta_cdf(FAILING, passes, failures), 1 - beta_cdf(STABLE, passes, failures)
    return Belief(above, below, max(0.0, 1 - above - below))


def flip_rate(nights: Sequence[Night]) -> float | None:
    """How often one night is green (all passed) and the next red, or the other way; None of one night."""
    green = [night.failures == 0 for night in nights if night.passes + night.failures]
    if len(green) < 2:
        return None
    return sum(one is not other for one, other in itertools.pairwise(green)) / (len(green) - 1)


def since(nights: Sequence[Night], seed: int = 0) -> Since | None:
    """Where the pass rate changed most; None where there is nothing that can have changed.

    The nights, oldest first, are parted in two where the likelihood of two pass rates exceeds that of one by
    most. Its p-value is by up to 5,000 shuffles of the nights, so that repeats of one night may be alike;
    they end where 20 of them showed a change as great (Besag and Clifford 1991). Whether it is a change at
    all, the caller says: of many prompts some have a low p-value by chance.
    """
    seen = [at for at, night in enumerate(nights) if night.passes + night.failures]
    counts = np.array([(nights[at].passes, nights[at].failures) for at in seen], dtype=float).reshape(-1, 2)
    if len(seen) < 2 or not counts.sum(0).all():
        return None
    gains = _gains(counts[None])[0]
    at = int(gains.argmax())
    before, after = counts[: at + 1].sum(0), counts[at + 1 :].sum(0)
    was, now = float(before[0] / before.sum()), float(after[0] / after.sum())
    return Since(seen[at + 1], was, now, _chance(counts, float(gains[at]), seed))


def clean_runs_to_exclude(rate: float, confidence: float = 0.95) -> int:
    """How many runs without a failure it takes to exclude that one in 1 / *rate* fails.

    *rate* and *confidence* are shares between 0 and 1, raises `ValueError` otherwise.
    """
    if not (0 < rate < 1 and 0 < confidence < 1):
        raise ValueError(f"a rate of {rate} at a confidence of {confidence}: both are shares between 0 and 1")
    return ceil(log(1 - confidence) / log(1 - rate))


def entropy(paths: Iterable[Hashable]) -> float | None:
    """How unlike each other *paths* are, in bits: 0 of the same each time, 1 of two halves; None of none.

    That of the shares seen: of a few paths it is less than of many of the same prompt.
    """
    counts = Counter(paths)
    if not counts:
        return None
    return sum(count / counts.total() * log2(counts.total() / count) for count in counts.values())


def drift(values: Sequence[float], noise: Sequence[float], limit: float = ALARM) -> Alarm | None:
    """The last night on which small drops added up, where nobody knows the mean and the spread beforehand.

    Each night is held against all before it (Hawkins 1987), which makes of nights without a change normal
    ones, whatever their mean: a false alarm is as rare as `ALARM` says. After an alarm it begins anew.
    *noise* is the standard error that each night has at least, above 0: a few may be alike by chance.
    """
    begin, last = 0, None
    while (alarm := _first_alarm(_against_those_before(values[begin:], noise[begin:]), limit)) is not None:
        last = Alarm(begin + alarm.night, begin + alarm.since)
        begin = last.since  # beyond where it began: the first two nights add nothing
    return last


def _first_alarm(scores: Sequence[float], limit: float) -> Alarm | None:
    total, began = 0.0, 0
    for at, score in enumerate(scores):
        if total == 0.0:
            began = at
        total = max(0.0, total - score - 0.5)
        if total >= limit:
            return Alarm(at, began)
    return None


def _against_those_before(values: Sequence[float], noise: Sequence[float]) -> list[float]:
    """Standard normal scores of each value, 0 of the first two: there is nothing to hold them against."""
    scores: list[float] = []
    mean = squares = noises = 0.0
    for n, (value, least) in enumerate(zip(values, noise, strict=True), 1):
        noises += least
        off = value - mean
        if n > 2:
            spread = max(sqrt(squares / (n - 2)), noises / n)
            share = _t_cdf(sqrt((n - 1) / n) * off / spread, n - 2)
            scores.append(_NORMAL.inv_cdf(min(max(share, _FURTHEST), 1 - _FURTHEST)))
        else:
            scores.append(0.0)
        mean += off / n
        squares += off * (value - mean)
    return scores


def _t_cdf(t: float, freedom: int) -> float:
    tail = beta_cdf(freedom / (freedom + t * t), freedom / 2, 0.5) / 2
    return 1 - tail if t > 0 else tail


def _chance(counts: NDArray[np.float64], best: float, seed: int) -> float:
    """How often shuffled nights can be parted so well."""
    random = np.random.default_rng(seed)
    hits = done = 0
    for count in _SHUFFLES:
        order = random.permuted(np.tile(np.arange(len(counts)), (count, 1)), axis=1)
        hit = _gains(counts[order]).max(axis=1) >= best - 1e-9
        if hits + hit.sum() >= _ENOUGH:
            last = int(np.flatnonzero(hit)[_ENOUGH - hits - 1])
            return _ENOUGH / (done + last + 1)
        hits, done = hits + int(hit.sum()), done + count
    return (1 + hits) / (1 + done)


def _gains(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each series of nights, and each place, by how much two pass rates explain them better than one."""
    left = counts.cumsum(axis=1)
    whole = left[:, -1:]
    left = left[:, :-1]
    gains: NDArray[np.float64] = _likelihood(left) + _likelihood(whole - left) - _likelihood(whole)
    return gains


def _likelihood(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logarithm of the likelihood of so many passes and failures at their own rate."""
    n = counts.sum(axis=-1, keepdims=True)
    logs = np.log(np.where(counts > 0, counts / n, 1.0))
    told: NDArray[np.float64] = (counts * logs).sum(axis=-1)
    return told
