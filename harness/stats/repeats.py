"""Several tries at the same prompts: what they come to, and how sure that is.

pass@k and pass^k are unbiased and exact: fractions of binomial coefficients. The plug-in ``(c/n)**k`` is
biased upward: of five tries with a chance of .7 it makes .312 of a true .168.

A figure over prompts has two questions. *Suite*: would these prompts come out the same the next time? Only
the noise within prompts counts. *Population*: what of all the questions that these are drawn from? Then the
prompts are random too. Each has an interval of its own (statistics.md 3.2).

The trials of a run are reduced by code that imports this module, and scipy takes 0.3 s and 41 MB: so the
quantiles of beta and t are made here, from one incomplete beta function.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
_DRAWS = 2_000

T = TypeVar("T")


class Tries(NamedTuple):
    """The repeats of one prompt.

    Of *repeats* that passed or failed, *passes* passed; *missing* were planned and did neither. Prompts of
    one *cluster* have something in common: a topic, a shared beginning. None is like no other.
    """

    passes: int
    repeats: int
    missing: int = 0
    cluster: str | None = None


@dataclass(frozen=True, slots=True)
class Range:
    """The 95 % interval of a pass rate: by which *method*, and of how many (*n*) prompts or clusters.

    *worth* is how many independent trials it was taken of, where the method asks for that. *note* says what
    is missing, or rough.
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


def pass_rate(tries: Sequence[Tries], within: float | None = None) -> PassRate:
    """The pass rate of *tries* with an interval for each question, and its bounds for what is missing.

    *within* is the pooled variance within prompts of earlier runs, for prompts with a single repeat; without
    it the suite's interval is the population's, an upper bound.
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

    *shrunk* adds half a pass and half a failure to each prompt. A single repeat shows no noise: such a prompt
    has the variance *within*. Raises `ValueError` where it is needed and None.
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
    """What the trials of all prompts are worth, by one-way analysis of variance, and at most all there are.

    None of fewer than two prompts, where none has two repeats, and where all results are the same.
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
    return Worth(icc, effect, total / max(1.0, effect))


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
    if x > (a + 1) / (a + b + 2):  # where the fraction is slow, the one from the other end is not
        return 1 - beta_cdf(1 - x, b, a)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a
    upper, lower, value, step, j = 1.0, 0.0, 1.0, 0.0, 0
    while abs(step - 1) > 1e-14:
        j += 1
        term = _numerator(j, x, a, b)
        lower = 1 / (1 + term * lower)
        upper = 1 + term / upper
        step = lower * upper
        value *= step
    return front / value


def _numerator(j: int, x: float, a: float, b: float) -> float:
    """Numerator *j*, from 1, of the continued fraction."""
    m = j // 2
    if j % 2:
        return -(a + m) * (a + b + m) * x / ((a + j - 1) * (a + j))
    return m * (b - m) * x / ((a + j - 1) * (a + j))


def _suite(known: Sequence[Tries], population: Range, within: float | None) -> Range:
    """The interval for these prompts, from the noise within each."""
    m = len(known)
    if within is None and any(each.repeats == 1 for each in known):
        note = "prompts with one repeat show no noise of their own: an upper bound"
        note = note if population.low is not None else population.note
        return replace(population, method=f"of the population: {population.method}", note=note)
    repeated = [each for each in known if each.repeats > 1]
    shrunk = bool(repeated) and sum(0 < each.passes < each.repeats for each in repeated) < LEAST_MIXED
    half = Z * suite_error(known, shrunk=shrunk, within=within)
    rate = _rate(known)
    method = "normal, noise within prompts" + (", shrunk" if shrunk else "")
    return Range(max(0.0, rate - half), min(1.0, rate + half), method, m)


def _population(known: Sequence[Tries]) -> Range:
    """The interval for all questions, by Wilson on what the trials are worth for t instead of z."""
    count, rate = len(_clusters(known)), _rate(known)
    of = "prompts" if count == len(known) else "clusters"
    note = f"rough: of {count} {of}" if count < LEAST_PROMPTS else ""
    if count < 2:
        return Range(None, None, "none", count, note=f"one of the {of} says nothing of others")
    single = of == "prompts" and all(each.repeats == 1 for each in known)
    if single or rate in {0.0, 1.0}:
        return Range(*clopper_pearson(rate, count), "Clopper-Pearson", count, float(count), note)
    error, trials = population_error(known), float(sum(each.repeats for each in known))
    effective = min(trials, rate * (1 - rate) / error**2) if error else trials
    effective *= (Z / t_quantile(0.975, count - 1)) ** 2
    return Range(*wilson(rate, effective), "Wilson on effective n", count, effective, note)


def _noise(each: Tries, within: float | None, *, shrunk: bool) -> float:
    """The variance of the share of one prompt's repeats that passed."""
    if each.repeats == 1:
        if within is None:
            raise ValueError("a single repeat shows no noise, and no variance of earlier runs is given")
        return within
    if shrunk:
        share = (each.passes + 0.5) / (each.repeats + 1)
        return share * (1 - share) / each.repeats
    share = each.passes / each.repeats
    return share * (1 - share) / (each.repeats - 1)


def _clusters(known: Sequence[Tries]) -> list[list[Tries]]:
    """*known* by cluster; a prompt of none is one of its own."""
    groups: dict[str | int, list[Tries]] = defaultdict(list)
    for i, each in enumerate(known):
        groups[i if each.cluster is None else each.cluster].append(each)
    return list(groups.values())


def _rate(known: Sequence[Tries]) -> float:
    """The mean share that passed, exact before it is a float: the order of prompts cannot show in it."""
    return float(sum((Fraction(each.passes, each.repeats) for each in known), Fraction()) / len(known))


def _check(passes: int, repeats: int, k: int) -> None:
    if not 1 <= k <= repeats:
        raise ValueError(f"k is {k}, and there are {repeats} repeats: k shrinks for nobody")
    if not 0 <= passes <= repeats:
        raise ValueError(f"{passes} of {repeats} repeats cannot pass")
