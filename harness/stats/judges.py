"""What labels by people tell about a judge: how often it is right, and what its pass rate is worth.

A sample that holds as many failures as passes is no image of all answers, so each label has a weight: for how
many judged answers it stands. Rates are weighed, and their intervals use the effective number of labels by
Kish, ``(Σw)²/Σw²``: weights that differ tell less than as many that are alike.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


def _doubt(share: float, n: float) -> float:
    """The variance of a *share* of *n*, never none: half a mistake is added where there is not one.

    Without it, 20 labels of each kind and 5,000 judgements of a judge that is right in 97 % have an interval
    that holds the true rate in 46 %.
    """
    if share in {0.0, 1.0}:
        share = (n + 0.5) / (n + 1)
    return share * (1 - share) / n


def _brought_back(theta: float, variance: float) -> Corrected:
    """An estimate and its interval, brought back to between 0 and 1."""
    half = Z * sqrt(variance)
    low, value, high = (min(1.0, max(0.0, each)) for each in (theta - half, theta, theta + half))
    return Corrected(value, low, high, clipped=not 0 <= theta <= 1)
