"""What labels by people tell about a judge: how often it is right, and what its pass rate is worth.

A sample that holds as many failures as passes is no image of all answers, so each label has a weight: for how
many judged answers it stands. Rates are weighed, and their intervals use the effective number of labels by
Kish, ``(Σw)²/Σw²``: weights that differ tell less than as many that are alike.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from math import sqrt
from typing import NamedTuple, TypeVar

from harness.stats.repeats import Z, at_share, bootstrap, wilson

LEAST_INFORMED = 0.2
"""A judge whose sensitivity and specificity together are nearer to those of a coin corrects nothing."""
_LEAST_DRAWS = 1_000

T = TypeVar("T")


class Labelled(NamedTuple):
    """What a person and the judge say of one answer, which stands for *weight* of them.

    *judge* is None where the judge gave no verdict that could be read: such a label tells nothing, and counts
    as neither right nor wrong.
    """

    human: bool
    judge: bool | None
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Rate:
    """A share with its 95 % interval, and the effective number behind it; None where nothing is behind it."""

    value: float | None
    low: float | None
    high: float | None
    n: float


@dataclass(frozen=True, slots=True)
class Confusion:
    """How many answers that people call good or bad a judge passed and failed. Labels, not their weights.

    Of *unjudged* there is a label and no verdict.
    """

    good_passed: int
    good_failed: int
    bad_passed: int
    bad_failed: int
    unjudged: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a judge compares with people, by *n* labels of answers that it judged.

    *kappa* is Cohen's, None where one side never varies; it has no ends where the two always agree.
    """

    n: int
    sensitivity: Rate
    specificity: Rate
    kappa: Rate


@dataclass(frozen=True, slots=True)
class Corrected:
    """A pass rate with a judge's mistakes taken out.

    *why_none* says why that cannot be; *clipped* that it had to be brought back to 0 or 1.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    clipped: bool = False
    why_none: str = ""


def confusion(labels: Sequence[Labelled]) -> Confusion:
    """The table that the rates of a judge are made of."""
    count = Counter((each.human, each.judge) for each in labels)
    return Confusion(
        good_passed=count[True, True],
        good_failed=count[True, False],
        bad_passed=count[False, True],
        bad_failed=count[False, False],
        unjudged=count[True, None] + count[False, None],
    )


def agreement(labels: Sequence[Labelled], seed: int = 0) -> Agreement:
    """The sensitivity, specificity and kappa of a judge.

    Rates have Wilson's interval at the effective number of their labels, kappa a bootstrap over the answers.
    """
    judged = _judged(labels)
    return Agreement(
        len(judged),
        sensitivity=sensitivity(judged),
        specificity=specificity(judged),
        kappa=_bootstrapped(judged, kappa, effective([each.weight for each in judged]), seed),
    )


def sensitivity(labels: Sequence[Labelled]) -> Rate:
    """The share of good answers that the judge passes, weighed; its *n* is effective, as its interval is."""
    return _rate([(each.judge is True, each.weight) for each in _judged(labels) if each.human])


def specificity(labels: Sequence[Labelled]) -> Rate:
    """The share of bad answers that the judge fails, weighed; its *n* is effective, as its interval is."""
    return _rate([(each.judge is False, each.weight) for each in _judged(labels) if not each.human])


def effective(weights: Sequence[float]) -> float:
    """How many labels of one weight tell as much as labels with these (Kish)."""
    return sum(weights) ** 2 / sum(weight**2 for weight in weights) if weights else 0.0


def kappa(labels: Sequence[Labelled]) -> float | None:
    """Cohen's kappa; None where chance alone would agree in everything."""
    judged = _judged(labels)
    whole = sum(each.weight for each in judged)
    if not whole:
        return None
    agreed = sum(each.weight for each in judged if each.human == each.judge) / whole
    human = sum(each.weight for each in judged if each.human) / whole
    judge = sum(each.weight for each in judged if each.judge) / whole
    chance = human * judge + (1 - human) * (1 - judge)
    return None if chance == 1 else (agreed - chance) / (1 - chance)


def alpha(ratings: Sequence[Sequence[str | None]], seed: int = 0) -> Rate:
    """`krippendorff` of *ratings* with the interval of a bootstrap over what was rated.

    Its *n* have two ratings or more. It has no ends where raters always agree.
    """
    units = [each for each in zip(*ratings, strict=True) if len(each) - each.count(None) > 1]
    ordered = sorted(units, key=lambda unit: [(each is None, each or "") for each in unit])
    return _bootstrapped(ordered, _alpha, float(len(ordered)), seed)


def self_agreement(readings: Sequence[Sequence[bool | None]]) -> Rate:
    """How often two judgements of the same answer agree: the mean over answers of the share of pairs that do.

    *readings* has the verdicts on each answer; one that is None is missing, and *n* answers have two. The
    interval is Wilson's for so many, which pairs that agree in part make rather too wide than too narrow.
    """
    known = [[each for each in verdicts if each is not None] for verdicts in readings]
    return _rate([(_alike(verdicts), 1.0) for verdicts in known if len(verdicts) > 1])


def corrected(pass_rate: float, n: int, of: Agreement) -> Corrected:
    """The rate that people would have passed, where the judge passed *pass_rate* of *n* (Rogan and Gladen).

    The variance has a term for each of the three things that were estimated (arXiv 2511.21140), those of the
    judge by the effective numbers of labels.
    """
    q1, q0 = of.sensitivity, of.specificity
    if n < 1:
        return Corrected(None, why_none="the judge has judged no answer")
    if q1.value is None or q0.value is None:
        missing = "good" if q1.value is None else "bad"
        return Corrected(None, why_none=f"no answer that people call {missing} has a label")
    informed = q1.value + q0.value - 1
    if informed < LEAST_INFORMED - 1e-9:  # .6 + .6 - 1 is less than .2 in floats
        told = f"sensitivity + specificity is {q1.value + q0.value:.2f}: little more than a coin"
        return Corrected(None, why_none=told)
    theta = (pass_rate + q0.value - 1) / informed
    variance = (
        _doubt(pass_rate, n) + theta**2 * _doubt(q1.value, q1.n) + (1 - theta) ** 2 * _doubt(q0.value, q0.n)
    ) / informed**2
    return _brought_back(theta, variance)


def krippendorff(ratings: Sequence[Sequence[str | None]]) -> float | None:
    """Krippendorff's alpha of nominal ratings, a sequence for each rater; None where they never differ.

    A rating that is None is missing, and a unit with fewer than two ratings says nothing.
    """
    return _alpha(list(zip(*ratings, strict=True)))


def prediction_powered(judge: Sequence[bool | None], labelled: Sequence[Labelled]) -> Corrected:
    """The rate by all judgements, put right by how far off they are where people looked: arXiv 2301.09633.

    How far off is weighed, and its variance is that of the effective number of labels: at least two, and of
    as many judgements.
    """
    verdicts = [float(each) for each in judge if each is not None]
    known = _judged(labelled)
    off = [(float(each.human) - float(each.judge is True), each.weight) for each in known]
    worth = effective([weight for _, weight in off])
    if len(verdicts) < 2 or worth < 2 - 1e-9:
        return Corrected(None, why_none="two judgements and labels worth two are needed at least")
    rate, spread = _moments([(verdict, 1.0) for verdict in verdicts])
    more, spread_off = _moments(off)
    doubt = spread_off / (worth - 1) if spread_off else _doubt(1.0, worth)
    variance = spread / (len(verdicts) - 1) + doubt
    return _brought_back(rate + more, variance)


def _judged(labels: Sequence[Labelled]) -> list[Labelled]:
    """The labels of answers with a verdict, in an order of their own: so that none shows in a bootstrap."""
    return sorted(each for each in labels if each.judge is not None)


def _rate(hits: Sequence[tuple[float, float]]) -> Rate:
    """A weighed share with its Wilson interval at the effective number."""
    whole = sum(weight for _, weight in hits)
    if not whole:
        return Rate(None, None, None, 0.0)
    share = sum(hit * weight for hit, weight in hits) / whole
    n = effective([weight for _, weight in hits])
    return Rate(share, *wilson(share, n), n)


def _alike(verdicts: Sequence[bool]) -> float:
    pairs = list(combinations(verdicts, 2))
    return sum(one == other for one, other in pairs) / len(pairs)


def _bootstrapped(
    items: Sequence[T], statistic: Callable[[Sequence[T]], float | None], n: float, seed: int
) -> Rate:
    """*statistic* of *items* with the middle of its draws, where most have one and they differ at all."""
    value = statistic(items)
    if value is None:
        return Rate(None, None, None, n)
    draws = bootstrap(items, statistic, seed)
    if len(draws) < _LEAST_DRAWS or draws[0] == draws[-1]:
        return Rate(value, None, None, n)
    return Rate(value, at_share(draws, 0.025), at_share(draws, 0.975), n)


def _alpha(units: Sequence[Sequence[str | None]]) -> float | None:
    pairs: dict[tuple[str, str], float] = {}
    for unit in units:
        given = [each for each in unit if each is not None]
        for pair in permutations(given, 2):
            pairs[pair] = pairs.get(pair, 0.0) + 1 / (len(given) - 1)
    total: dict[str, float] = {}
    for (one, _), weight in pairs.items():
        total[one] = total.get(one, 0.0) + weight
    expected = sum(total[one] * total[other] for one, other in permutations(total, 2))
    if not expected:
        return None
    observed = sum(weight for (one, other), weight in pairs.items() if one != other)
    return 1 - (sum(total.values()) - 1) * observed / expected


def _doubt(share: float, n: float) -> float:
    """The variance of a *share* of *n*, never none: half a mistake is added where there is not one.

    Without it, 20 labels of each kind and 5,000 judgements of a judge that is right in 97 % have an interval
    that holds the true rate in 46 %.
    """
    if share in {0.0, 1.0}:
        share = (n + 0.5) / (n + 1)
    return share * (1 - share) / n


def _moments(values: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The mean of weighed values, and the mean of their squares around it."""
    whole = sum(weight for _, weight in values)
    mean = sum(value * weight for value, weight in values) / whole
    return mean, sum((value - mean) ** 2 * weight for value, weight in values) / whole


def _brought_back(theta: float, variance: float) -> Corrected:
    """An estimate and its interval, brought back to between 0 and 1."""
    half = Z * sqrt(variance)
    low, value, high = (min(1.0, max(0.0, each)) for each in (theta - half, theta, theta + half))
    return Corrected(value, low, high, clipped=not 0 <= theta <= 1)
