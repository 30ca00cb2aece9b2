"""Several tries at the same prompts: what they come to, and how sure that is.

pass@k and pass^k are unbiased and exact: fractions of binomial coefficients. The plug-in ``(c/n)**k`` is
biased upward: of five tries with a chance of .7 it makes .312 of a true .168.

A figure over prompts has two questions. *Suite*: would these prompts come out the same the next time? Only
the noise within prompts counts. *Population*: what of all the questions that these are drawn from? Then the
prompts are random too. Each has an interval of its own (statistics.md 3.2).

The trials of a run are reduced by code that imports this module, and scipy takes 0.3 s and 41 MB: so the
quantiles of beta and t are made here, from one incomplete beta function.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import comb, exp, inf, lgamma, log, log1p, sqrt
from random import Random
from statistics import NormalDist
from typing import NamedTuple, TypeVar

NORMAL = NormalDist()
Z = NORMAL.inv_cdf(0.975)
"""Intervals are of 95 %."""
LEAST_PROMPTS = 10
"""Of fewer prompts a bootstrap has no interval, and clusters have a rough one."""
LEAST_MIXED = 10
"""With fewer prompts that both passed and failed, the noise within prompts is too small a sum to trust."""
LEAST_ACCELERATED = 50
"""From so many prompts on, a bootstrap is corrected for bias and skew (BCa)."""
_DRAWS = 2_000

T = TypeVar("T")


class Tries(NamedTuple):
    """The repeats of one prompt.

    Of *repeats* that passed or failed, *passes* passed; *missing* were planned and did neither. Prompts of one
    *cluster* have something in common: a topic, a shared beginning. None is like no other.
    """

    passes: int
    repeats: int
    missing: int = 0
    cluster: str | None = None


@dataclass(frozen=True, slots=True)
class Averaged:
    """A figure averaged over *prompts*, all of which weigh the same, with its 95 % interval.

    *left_out* prompts had too few repeats. *why_none* says why there is no value, or no interval.
    """

    value: float | None
    low: float | None
    high: float | None
    prompts: int
    left_out: int
    why_none: str = ""


@dataclass(frozen=True, slots=True)
class Range:
    """The 95 % interval of a pass rate: by which *method*, and of how many (*n*) prompts or clusters.

    *worth* is how many independent trials it was taken of, where the method asks for that. *note* says what is
    missing, or rough.
    """

    low: float | None
    high: float | None
    method: str
    n: int
    worth: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class PassRate:
    """The mean over *prompts* of the share of their repeats that passed; *left_out* have no repeat that did.

    *at_least* and *at_most* are what it would be had all that is missing failed, or passed.
    """

    value: float | None
    prompts: int
    left_out: int
    at_least: float | None
    at_most: float | None
    suite: Range
    population: Range


class Worth(NamedTuple):
    """How alike the repeats of a prompt are: 0 not at all, 1 quite; and what all trials are worth."""

    icc: float
    design_effect: float
    n: float


def pass_at_k(passes: int, repeats: int, k: int) -> Fraction:
    """The chance that at least one of *k* tries passes (arXiv 2107.03374). Raises `ValueError` for k > n."""
    _check(passes, repeats, k)
    return 1 - Fraction(comb(repeats - passes, k), comb(repeats, k))


def pass_hat_k(passes: int, repeats: int, k: int) -> Fraction:
    """The chance that all of *k* tries pass (arXiv 2406.12045). Raises `ValueError` for k > n."""
    _check(passes, repeats, k)
    return Fraction(comb(passes, k), comb(repeats, k))


def majority(passes: int, repeats: int) -> bool:
    """Whether more than half passed; a tie is no majority."""
    return 2 * passes > repeats


def average_score(scores: Sequence[Sequence[float]], seed: int = 0) -> Averaged:
    """The mean over prompts of their mean score; *scores* has those of each prompt's graded repeats."""
    known = [sum(each) / len(each) for each in scores if each]
    return _averaged(known, len(scores) - len(known), seed)


def average_majority(tries: Sequence[Tries], seed: int = 0) -> Averaged:
    """The share of prompts of which more than half the repeats that passed or failed passed."""
    known = [float(majority(each.passes, each.repeats)) for each in tries if each.repeats]
    return _averaged(known, len(tries) - len(known), seed)


def average_pass_at_k(tries: Sequence[Tries], k: int, seed: int = 0) -> Averaged:
    """pass@k averaged over the prompts with *k* repeats; others are left out. Raises `ValueError` for k < 1."""
    return _average_of(pass_at_k, tries, k, seed)


def average_pass_hat_k(tries: Sequence[Tries], k: int, seed: int = 0) -> Averaged:
    """pass^k averaged over the prompts with *k* repeats; others are left out. Raises `ValueError` for k < 1."""
    return _average_of(pass_hat_k, tries, k, seed)


def pass_rate(tries: Sequence[Tries], within: float | None = None) -> PassRate:
    """The pass rate of *tries* with an interval for each question, and its bounds for what is missing.

    *within* is the pooled variance within prompts of earlier runs, for prompts with a single repeat; without it
    the suite's interval is the population's, which is never too narrow.
    """
    known = [each for each in tries if each.repeats]
    left_out = len(tries) - len(known)
    at_least, at_most = missing_bounds(tries)
    if not known:
        none = Range(None, None, "none", 0, note="no prompt has a repeat that passed or failed")
        return PassRate(None, 0, left_out, at_least, at_most, none, none)
    population = _population(known)
    suite = _suite(known, population, within)
    return PassRate(_rate(known), len(known), left_out, at_least, at_most, suite, population)


def missing_bounds(tries: Sequence[Tries]) -> tuple[float | None, float | None]:
    """The pass rate had all that is missing failed, and had all of it passed; None where nothing was planned.

    Prompts weigh equally. Planned equally often, as they are, that is (passes [+ missing]) / planned.
    """
    planned = [each for each in tries if each.repeats + each.missing]
    if not planned:
        return None, None
    worst = sum(each.passes / (each.repeats + each.missing) for each in planned)
    best = sum((each.passes + each.missing) / (each.repeats + each.missing) for each in planned)
    return worst / len(planned), best / len(planned)


def suite_error(known: Sequence[Tries], *, shrunk: bool, within: float | None = None) -> float:
    """The standard error of the pass rate of these prompts, each with a repeat that passed or failed.

    *shrunk* moves each share half a pass and half a failure to the middle. A single repeat shows no noise: such
    a prompt has the variance *within*. Raises `ValueError` where it is needed and None.
    """
    return sqrt(sum(_noise(each, within, shrunk=shrunk) for each in known)) / len(known)


def population_error(known: Sequence[Tries]) -> float:
    """The standard error for all questions that *known* are drawn from, by clusters (arXiv 2411.00640).

    Where no prompt has a cluster, each is its own. Of fewer than two clusters there is none: infinity.
    """
    groups = _clusters(known)
    count, rate = len(groups), _rate(known)
    if count < 2:
        return inf
    squares = sum(sum(each.passes / each.repeats - rate for each in group) ** 2 for group in groups)
    return sqrt(count / (count - 1) * squares) / len(known)


def worth(known: Sequence[Tries]) -> Worth | None:
    """What the trials of all prompts are worth, by one-way analysis of variance; None where it cannot be told.

    It asks for two prompts, a prompt with two repeats, and results that are not all the same.
    """
    m, total = len(known), sum(each.repeats for each in known)
    if m < 2 or total <= m:
        return None
    mean = sum(each.passes for each in known) / total
    between = sum(each.repeats * (each.passes / each.repeats - mean) ** 2 for each in known) / (m - 1)
    inside = sum(each.passes * (each.repeats - each.passes) / each.repeats for each in known) / (total - m)
    k = (total - sum(each.repeats**2 for each in known) / total) / (m - 1)
    spread = between + (k - 1) * inside
    if not spread:
        return None
    icc = (between - inside) / spread
    effect = 1 + (k - 1) * icc
    return Worth(icc, effect, total / effect if effect > 0 else inf)


def wilson(share: float, n: float) -> tuple[float, float]:
    """The 95 % interval of a share of *n*, by Wilson's score."""
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def clopper_pearson(share: float, n: float) -> tuple[float, float]:
    """The 95 % interval of a share of *n* that holds the true one at least that often: exact, and wide."""
    passes = share * n
    low = beta_quantile(0.025, passes, n - passes + 1) if passes > 0 else 0.0
    high = beta_quantile(0.975, passes + 1, n - passes) if passes < n else 1.0
    return low, high


def jeffreys(share: float, n: float) -> tuple[float, float]:
    """The middle 95 % of what is believed of a share of *n*, after half a pass and half a failure before."""
    passes = share * n
    a, b = passes + 0.5, n - passes + 0.5
    return beta_quantile(0.025, a, b), beta_quantile(0.975, a, b)


def bootstrap(items: Sequence[T], statistic: Callable[[Sequence[T]], float | None], seed: int) -> list[float]:
    """*statistic* of 2,000 resamples of *items*, in order; resamples of which there is none are left out."""
    random = Random(seed)  # noqa: S311  a bootstrap, no secret
    draws = (statistic(random.choices(items, k=len(items))) for _ in range(_DRAWS))
    return sorted(each for each in draws if each is not None)


def at_share(ordered: Sequence[float], share: float) -> float:
    """The value up to which a *share* of the *ordered* draws of a bootstrap is."""
    return ordered[round(share * (len(ordered) - 1))]


@cache
def t_quantile(probability: float, freedom: int) -> float:
    """The quantile of Student's t, for a *probability* of at least one half."""
    share = beta_quantile(2 * probability - 1, 0.5, freedom / 2)
    return sqrt(freedom * share / (1 - share))


def beta_quantile(probability: float, a: float, b: float) -> float:
    """The quantile of a beta distribution, by bisection down to neighbouring numbers."""
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        if beta_cdf(middle, a, b) < probability:
            low = middle
        else:
            high = middle
    return high


def beta_cdf(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (Lentz's method)."""
    if not 0 < x < 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly, that of the other end does not
        return 1 - beta_cdf(1 - x, b, a)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a
    upper, lower, value, step, j = 1.0, 0.0, 1.0, 0.0, 0
    while abs(step - 1) > 1e-15:
        term = _term(j, x, a, b)
        lower = 1 / (1 + term * lower)
        upper = 1 + term / upper
        step = lower * upper
        value *= step
        j += 1
    return front / value


def _term(j: int, x: float, a: float, b: float) -> float:
    """Numerator *j* of the continued fraction 1 + d1 / (1 + d2 / (1 + ...)), d0 being what is under 1."""
    m = (j + 1) // 2
    if (j + 1) % 2:
        m = j // 2
        return -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
    return m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
