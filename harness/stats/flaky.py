"""Whether a prompt is stable or flaky, by what it came to over many nights, and since when.

Believed of its pass rate is a beta distribution, half a pass and half a failure before anything was seen, and
each night weighed the less the longer it is ago. A prompt is called something only where that is nine times
as likely as not (statistics.md 7).
"""

import itertools
from collections.abc import Sequence
from math import ceil, log
from random import Random
from typing import Literal, NamedTuple

from harness.stats.repeats import beta_cdf

Class = Literal["stable pass", "stable fail", "flaky", "unknown"]

STABLE, FAILING = 0.95, 0.05
"""A stable prompt passes more often than this; a failing one less often than that."""
SURE = 0.9
_SHUFFLES = 500


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
    """A change: up to the *night* of this number it passed at *before*, from then on at *after*."""

    night: int
    before: float
    after: float
    p: float


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
    """Where the pass rate changed most, if shuffled nights hardly ever show such a change (p <= .05).

    The greatest likelihood ratio over all places at which the nights, oldest first, can be parted in two; its
    p-value by 500 shuffles of the nights.
    """
    seen = [night for night in nights if night.passes + night.failures]
    at, best = _best_parting(seen)
    if at is None:
        return None
    random = Random(seed)  # noqa: S311  a test, no secret
    shuffled = list(seen)
    hits = 0
    for _ in range(_SHUFFLES):
        random.shuffle(shuffled)
        hits += _best_parting(shuffled)[1] >= best - 1e-12
    p = (1 + hits) / (1 + _SHUFFLES)
    if p > 0.05:
        return None
    index = next(i for i, night in enumerate(nights) if night is seen[at])
    return Since(index, _rate(seen[:at]), _rate(seen[at:]), p)


def clean_runs_to_exclude(rate: float, confidence: float = 0.95) -> int:
    """How many runs without a failure it takes to exclude that one in 1 / *rate* fails."""
    return ceil(log(1 - confidence) / log(1 - rate))


def cusum(values: Sequence[float], mean: float, spread: float, limit: float = 4.0) -> int | None:
    """The first night on which small drops have added up to an alarm, None where there is none.

    ``S = max(0, S + (mean - x) / spread - 1/2)``: with *limit* 4 one false alarm in 335 nights, 5 in 931.
    """
    total = 0.0
    for at, value in enumerate(values):
        total = max(0.0, total + (mean - value) / spread - 0.5)
        if total >= limit:
            return at
    return None


def _best_parting(nights: Sequence[Night]) -> tuple[int | None, float]:
    """Where two pass rates explain the nights best, and how much better than one does."""
    passes, failures = sum(n.passes for n in nights), sum(n.failures for n in nights)
    whole = _likelihood(passes, failures)
    best: tuple[int | None, float] = None, 0.0
    so_far, missed = 0, 0
    for at, night in enumerate(nights[:-1], 1):
        so_far, missed = so_far + night.passes, missed + night.failures
        gain = _likelihood(so_far, missed) + _likelihood(passes - so_far, failures - missed) - whole
        if gain > best[1] + 1e-12:
            best = at, gain
    return best


def _likelihood(passes: int, failures: int) -> float:
    """The logarithm of the likelihood of so many passes and failures at their own rate."""
    n = passes + failures
    return sum(k * log(k / n) for k in (passes, failures) if k)


def _rate(nights: Sequence[Night]) -> float:
    passes = sum(night.passes for night in nights)
    return passes / (passes + sum(night.failures for night in nights))
