"""What labels by people tell about a judge: how often it is right, and what its pass rate is worth.

A sample that holds as many failures as passes is no image of all answers, so each label has a weight: for how
many judged answers it stands. Rates are weighed, and their intervals use the effective number of labels by
Kish, ``(Σw)²/Σw²``: weights that differ tell less than as many that are alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from math import sqrt
from random import Random
from statistics import NormalDist
from typing import NamedTuple

Z = NormalDist().inv_cdf(0.975)
"""Intervals are of 95 %."""
LEAST_INFORMED = 0.2
"""A judge whose sensitivity and specificity together are nearer to those of a coin corrects nothing."""
_DRAWS = 2_000


class Labelled(NamedTuple):
    """What a person and the judge say of one answer, which stands for *weight* of them."""

    human: bool
    judge: bool
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
    """How a judge compares with people. *n* labels; *kappa* is Cohen's, None where one side never varies."""

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
    """The sensitivity, specificity and kappa of a judge; kappa's interval is a bootstrap over the answers."""
    return Agreement(
        len(labels),
        sensitivity=_rate([(each.judge, each.weight) for each in labels if each.human]),
        specificity=_rate([(not each.judge, each.weight) for each in labels if not each.human]),
        kappa=_kappa_rate(labels, seed),
    )


def _rate(hits: Sequence[tuple[bool, float]]) -> Rate:
    """A weighed share with its Wilson interval at the effective number."""
    whole = sum(weight for _, weight in hits)
    if not whole:
        return Rate(None, None, None, 0.0)
    share = sum(weight for hit, weight in hits if hit) / whole
    n = whole**2 / sum(weight**2 for _, weight in hits)
    low, high = wilson(share, n)
    return Rate(share, low, high, n)


def wilson(share: float, n: float) -> tuple[float, float]:
    """The 95 % interval of a share of *n*, by Wilson's score."""
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def kappa(labels: Sequence[Labelled]) -> float | None:
    """Cohen's kappa; None where chance alone would agree in everything."""
    whole = sum(each.weight for each in labels)
    if not whole:
        return None
    agreed = sum(each.weight for each in labels if each.human == each.judge) / whole
    human = sum(each.weight for each in labels if each.human) / whole
    judge = sum(each.weight for each in labels if each.judge) / whole
    chance = human * judge + (1 - human) * (1 - judge)
    return None if chance == 1 else (agreed - chance) / (1 - chance)


def _kappa_rate(labels: Sequence[Labelled], seed: int) -> Rate:
    value = kappa(labels)
    if value is None:
        return Rate(None, None, None, float(len(labels)))
    random = Random(seed)  # noqa: S311  a bootstrap, no secret
    draws = (kappa(random.choices(labels, k=len(labels))) for _ in range(_DRAWS))
    known = sorted(each for each in draws if each is not None)
    if len(known) < _DRAWS // 2:
        return Rate(value, None, None, float(len(labels)))
    low, high = known[round(0.025 * (len(known) - 1))], known[round(0.975 * (len(known) - 1))]
    return Rate(value, low, high, float(len(labels)))


def corrected(pass_rate: float, n: int, of: Agreement) -> Corrected:
    """The rate that people would have passed, where the judge passed *pass_rate* of *n* (Rogan and Gladen).

    The variance has a term for each of the three things that were estimated (arXiv 2511.21140).
    """
    q1, q0 = of.sensitivity, of.specificity
    if q1.value is None or q0.value is None:
        missing = "good" if q1.value is None else "bad"
        return Corrected(None, why_none=f"no answer that people call {missing} has a label")
    informed = q1.value + q0.value - 1
    if informed < LEAST_INFORMED:
        told = f"sensitivity + specificity is {q1.value + q0.value:.2f}: little more than a coin"
        return Corrected(None, why_none=told)
    theta = (pass_rate + q0.value - 1) / informed
    variance = (
        pass_rate * (1 - pass_rate) / n
        + theta**2 * q1.value * (1 - q1.value) / q1.n
        + (1 - theta) ** 2 * q0.value * (1 - q0.value) / q0.n
    ) / informed**2
    half = Z * sqrt(variance)
    return Corrected(
        _clipped(theta), _clipped(theta - half), _clipped(theta + half), clipped=not 0 <= theta <= 1
    )


def _clipped(value: float) -> float:
    return min(1.0, max(0.0, value))


def krippendorff(ratings: Sequence[Sequence[str | None]]) -> float | None:
    """Krippendorff's alpha of nominal ratings, a sequence for each rater; None where they never differ.

    A rating that is None is missing, and a unit with fewer than two ratings says nothing.
    """
    pairs: dict[tuple[str, str], float] = {}
    for unit in zip(*ratings, strict=True):
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


def prediction_powered(judge: Sequence[bool], labelled: Sequence[Labelled]) -> Corrected:
    """The rate by all judgements, put right by how far off they are where people looked: arXiv 2301.09633."""
    if len(judge) < 2 or len(labelled) < 2:
        return Corrected(None, why_none="two judgements and two labels at least are needed")
    off = [float(each.human) - float(each.judge) for each in labelled]
    rate = sum(judge) / len(judge)
    theta = rate + sum(off) / len(off)
    variance = _variance([float(each) for each in judge]) / len(judge) + _variance(off) / len(off)
    half = Z * sqrt(variance)
    return Corrected(
        _clipped(theta), _clipped(theta - half), _clipped(theta + half), clipped=not 0 <= theta <= 1
    )


def _variance(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1)
