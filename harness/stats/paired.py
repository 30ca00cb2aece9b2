"""Two arms that answered the same prompts: the difference of their rates, and how sure that is.

Everything is per prompt first: prompts weigh equally, however often each was asked. The *suite* question
(would these prompts come out the same the next time?) has the noise within prompts as its error; the
*population* question (what of all the questions that these are drawn from?) the spread of the differences,
by clusters where there are any (arXiv 2411.00640). Differences are always after minus before (statistics.md
4.1).
"""

from dataclasses import dataclass
from itertools import product
from math import comb, inf, sqrt
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from harness.stats.repeats import LEAST_MIXED, LEAST_PROMPTS, beta_cdf, t_quantile

Array = NDArray[np.float64]
Question = Literal["suite", "population"]

NORMAL = NormalDist()
_ALL_SIGNS, _DRAWS, _MOST_FLIPPED = 20, 10_000, 5_000
_AT_ONCE = 4_000_000
_ALIKE = 1e-9


@dataclass(frozen=True, slots=True)
class Arm:
    """What one arm came to, prompt by prompt: arrays of the same length.

    *count* repeats have a value; *total* and *squares* are the sums of the values and of their squares, and
    *missing* repeats were planned and have none. Of passes and failures the values are 1 and 0.
    """

    count: Array
    total: Array
    squares: Array
    missing: Array

    @property
    def means(self) -> Array:
        """The mean of each prompt; NaN where it has no value."""
        none = np.full(len(self.count), np.nan)
        means: Array = np.divide(self.total, self.count, out=none, where=self.count > 0)
        return means

    def where(self, kept: NDArray[np.bool_]) -> "Arm":
        """Only the prompts that are *kept*."""
        return Arm(self.count[kept], self.total[kept], self.squares[kept], self.missing[kept])

    def filled(self, value: float) -> "Arm":
        """The same, had every missing repeat come to *value*."""
        more = self.missing * value
        nothing = np.zeros_like(self.missing)
        return Arm(self.count + self.missing, self.total + more, self.squares + more * value, nothing)


class Difference(Struct, frozen=True):
    """The difference of two arms over *prompts* that have values in both, with its 95 % interval.

    *before* and *after* are the rates over these prompts. *error* is the standard error and *freedom* the
    degrees of Student's t that it goes with, None for a normal one. *p* is two-sided: how often arms that are
    exchangeable differ as much, by flipping signs. *at_least* and *at_most* are the difference had all that
    is missing come out for one side or the other, each with its own error. *left_out* prompts have values in
    one arm at most. *note* says how the error was had, where that is not as usual, or why there is none.
    """

    question: Question
    prompts: int
    left_out: int
    before: float | None
    after: float | None
    value: float | None
    error: float | None
    freedom: int | None
    low: float | None
    high: float | None
    p: float | None
    at_least: float | None
    at_most: float | None
    at_least_error: float | None = None
    at_most_error: float | None = None
    n_before: int = 0
    n_after: int = 0
    missing: int = 0
    note: str = ""


def difference(
    before: Arm,
    after: Arm,
    *,
    question: Question = "suite",
    clusters: NDArray[np.int64] | None = None,
    seed: int | None = 0,
) -> Difference:
    """After minus before, paired by prompt. *clusters* has a number for each prompt; None: each is its own.

    All values lie between 0 and 1. The p-value takes ten thousand draws by *seed*; a gate has no use for it,
    and gives None.
    """
    both = (before.count > 0) & (after.count > 0)
    kept = before.where(both), after.where(both)
    bounds = _bounds(before, after, question=question, clusters=clusters)
    m = int(both.sum())
    left_out = int(((before.count + before.missing + after.count + after.missing) > 0).sum()) - m
    if not m:
        note = "no prompt has a value in both arms"
        return Difference(
            question, 0, left_out, None, None, None, None, None, None, None, None, *bounds, note=note
        )
    groups = _groups(clusters, both)
    d = kept[1].means - kept[0].means
    value = float(d.mean())
    error, freedom, note = standard_error(*kept, question=question, groups=groups)
    reach = 0.0 if error == 0 else quantile_of(0.975, freedom) * error
    known = error < inf
    return Difference(
        question,
        m,
        left_out,
        float(kept[0].means.mean()),
        float(kept[1].means.mean()),
        value,
        error if known else None,
        freedom,
        max(-1.0, value - reach) if known else None,  # rates lie between 0 and 1
        min(1.0, value + reach) if known else None,
        None if seed is None else sign_flip(d, groups, seed),
        *bounds,
        n_before=int(kept[0].count.sum()),
        n_after=int(kept[1].count.sum()),
        missing=int(before.missing.sum() + after.missing.sum()),
        note=note,
    )


def quantile_of(probability: float, freedom: int | None) -> float:
    """The quantile of Student's t, of a normal where there are no degrees of *freedom* to count."""
    return NORMAL.inv_cdf(probability) if freedom is None else t_quantile(probability, max(1, freedom))


def standard_error(
    before: Arm, after: Arm, *, question: Question, groups: NDArray[np.intp] | None
) -> tuple[float, int | None, str]:
    """The standard error of the mean difference, its degrees of freedom, and what to know about it.

    Every prompt has a value in both arms. A single repeat shows no noise of its own: then the population's
    error stands for the suite's, as an upper bound.
    """
    single = bool((before.count < 2).any() or (after.count < 2).any())
    if question == "suite" and not single:
        mixed = _is_mixed(before) | _is_mixed(after)
        if int(mixed.sum()) < LEAST_MIXED:
            return sqrt(_bound(before) + _bound(after)), None, _FEW_MIXED
        noise = _noise(before) + _noise(after)
        # Of few failures the noise is told too low just when they are too few: as if one more had been seen.
        more = sum(1 / float(arm.count.sum()) ** 2 for arm in (before, after))
        return sqrt(float(noise.sum()) / len(noise) ** 2 + more), None, ""
    d = after.means - before.means
    if groups is None or not len(groups):
        sums, count = d - d.mean(), len(d)
    else:
        sums = np.bincount(groups, weights=d - d.mean())
        count = len(sums)
    of = "prompts" if count == len(d) else "clusters"
    if count < 2:
        return inf, None, f"one of the {of} says nothing of others"
    error = float(sqrt(count / (count - 1) * (sums**2).sum()) / len(d))
    if not np.ptp(d):  # that none of so few differs proves little: half a one is added
        share = 0.5 / (count + 1)
        error = sqrt(share * (1 - share) / count)
    note = "prompts with one repeat show no noise of their own: an upper bound" if question == "suite" else ""
    if count < LEAST_PROMPTS:
        note = f"{note}; rough: of {count} {of}".lstrip("; ")
    return error, count - 1, note


def sign_flip(d: Array, groups: NDArray[np.intp] | None = None, seed: int = 0) -> float:
    """How often a sum of *d* with random signs is as far from 0 as theirs: two-sided p, the data included.

    Signs are flipped by *groups*. All of them are tried of up to 20, 10,000 at random of more, and of more
    than 5,000 the sum is as good as normal.
    """
    sums = np.asarray(d, float) if groups is None or not len(groups) else np.bincount(groups, weights=d)
    sums = sums[sums != 0]
    seen = abs(float(sums.sum())) * (1 - 1e-12)
    if not len(sums):
        return 1.0
    if len(sums) <= _ALL_SIGNS:
        half = np.array(list(product((-1.0, 1.0), repeat=min(10, len(sums)))))
        rest = np.array(list(product((-1.0, 1.0), repeat=max(0, len(sums) - 10))))
        first, second = half @ sums[:10], rest @ sums[10:] if len(sums) > 10 else np.zeros(1)
        return float((np.abs(first[:, None] + second[None, :]) >= seen).mean())
    if len(sums) > _MOST_FLIPPED:
        return 2 * (1 - NORMAL.cdf(seen / sqrt(float((sums**2).sum()))))
    random = np.random.default_rng(seed)
    hits = 0
    for start in range(0, _DRAWS, at_once := max(1, _AT_ONCE // len(sums))):
        signs = random.integers(0, 2, (min(at_once, _DRAWS - start), len(sums)), np.int8) * 2 - 1
        hits += int((np.abs(signs @ sums) >= seen).sum())
    return (1 + hits) / (1 + _DRAWS)


def fisher(passes: tuple[int, int], repeats: tuple[int, int]) -> float:
    """Whether one prompt passes as often in both arms: two-sided p by Fisher's exact test."""
    total, passing = sum(repeats), sum(passes)
    lowest, highest = max(0, passing - repeats[1]), min(repeats[0], passing)
    ways = [comb(repeats[0], k) * comb(repeats[1], passing - k) for k in range(lowest, highest + 1)]
    seen = ways[passes[0] - lowest]
    return sum(way for way in ways if way <= seen) / comb(total, passing)


def binomial_at_most(k: float, n: float, share: float) -> float:
    """P(Bin(n, share) <= k); between whole numbers by the beta function that it is at them."""
    if k >= n:
        return 1.0
    if k < 0:
        return 0.0
    return 1 - beta_cdf(share, k + 1, n - k)


def _is_mixed(arm: Arm) -> NDArray[np.bool_]:
    """Which prompts did not come to the same each time."""
    return arm.squares * arm.count - arm.total**2 > _ALIKE


_FEW_MIXED = f"fewer than {LEAST_MIXED} prompts both passed and failed: their noise is bounded"


def _noise(arm: Arm) -> Array:
    """The variance of each prompt's mean, unbiased."""
    spread = arm.squares / arm.count - (arm.total / arm.count) ** 2
    return np.maximum(0.0, spread) / (arm.count - 1)


def _bound(arm: Arm) -> float:
    """The variance of the mean of an arm, from above, where too few prompts show theirs.

    That of as many tries with one and the same chance, which those with several never exceed (Hoeffding
    1956), nor anything else between 0 and 1; a pass and a failure added (Agresti and Caffo 2000). Or that of
    prompts with half a pass and half a failure added to each, where this is less: of prompts that always pass
    beside some that always fail.
    """
    m = len(arm.count)
    chance = (arm.total.sum() + 1) / (arm.count.sum() + 2)
    alike = chance * (1 - chance) * (1 / arm.count).sum() / m**2
    shares = (arm.total + 0.5) / (arm.count + 1)
    apart = (shares * (1 - shares) / arm.count).sum() / m**2
    return float(min(alike, apart))


def _groups(clusters: NDArray[np.int64] | None, kept: NDArray[np.bool_]) -> NDArray[np.intp] | None:
    """The clusters of the prompts that are kept, numbered from 0."""
    return None if clusters is None else np.unique(clusters[kept], return_inverse=True)[1]


class _Bounds(NamedTuple):
    """What a difference would be at least and at most, and the standard errors of both."""

    at_least: float | None = None
    at_most: float | None = None
    at_least_error: float | None = None
    at_most_error: float | None = None


def _bounds(before: Arm, after: Arm, *, question: Question, clusters: NDArray[np.int64] | None) -> _Bounds:
    """The difference had all that is missing spoken against the arm after, and for it."""
    planned = (before.count + before.missing > 0) & (after.count + after.missing > 0)
    if not planned.any():
        return _Bounds()
    was, now = before.where(planned), after.where(planned)
    groups = _groups(clusters, planned)
    found = [
        (
            float((after_.means - before_.means).mean()),
            standard_error(before_, after_, question=question, groups=groups)[0],
        )
        for before_, after_ in (
            (was.filled(1.0), now.filled(0.0)),
            (was.filled(0.0), now.filled(1.0)),
        )
    ]
    (least, least_error), (most, most_error) = found
    return _Bounds(least, most, least_error, most_error)
