"""What is found of a rule: the evidence for it and against it, and the words that tell of it."""

from dataclasses import dataclass
from math import comb, inf, sqrt
from typing import Literal, NamedTuple

from harness.stats.limits import Evidence, as_normal
from harness.stats.paired import Arm as Counts
from harness.stats.paired import Question
from harness.stats.repeats import pass_at_k, pass_hat_k
from harness.suite.gates import Rule
from harness.suite.metric import metric

PASSES = metric("pass_rate")
FailWhen = Literal["any_drop", "beyond_margin"]


class Weighed(NamedTuple):
    """What speaks for a rule and against it.

    *seen* is None where nothing can be said, and *why_not* says why. *worst* and *best* are the evidence had
    all that is missing failed, or passed; None where that would be the same. *told* has the figures.
    *anytime*: the evidence holds whenever it is looked at.
    """

    seen: Evidence | None
    told: str
    why_not: str = ""
    worst: Evidence | None = None
    best: Evidence | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    before: float | None = None
    error: float | None = None
    n: int = 0
    prompts: int = 0
    missing: int = 0
    anytime: bool = False


@dataclass(frozen=True, slots=True)
class How:
    """How rules are weighed: for which question, and whether any sure drop fails or one beyond its limit."""

    question: Question = "suite"
    fail_when: FailWhen = "any_drop"
    betting: bool = False
    seed: int = 0


def chances(rule: Rule, arm: Counts) -> tuple[float, float]:
    """The mean over prompts of pass@k or pass^k, and its standard error from the noise within each.

    How many of n repeats pass is binomial; its chance is that of a prompt with half a pass and half a failure
    more, so that one that always passed is not taken for certain.
    """
    k = rule.metric.k or 1
    chance = pass_at_k if rule.metric.kind == "pass@" else pass_hat_k
    total = variance = 0.0
    for passes, count in zip(arm.total.astype(int), arm.count.astype(int), strict=True):
        total += float(chance(int(passes), int(count), k))
        share = (passes + 0.5) / (count + 1)
        ways = [comb(count, c) * share**c * (1 - share) ** (count - c) for c in range(count + 1)]
        figures = [float(chance(c, int(count), k)) for c in range(count + 1)]
        mean = sum(way * figure for way, figure in zip(ways, figures, strict=True))
        variance += sum(way * (figure - mean) ** 2 for way, figure in zip(ways, figures, strict=True))
    return total / len(arm.count), sqrt(variance) / len(arm.count)


def lacking(count: int) -> str:
    """How many trials came to nothing, where some did."""
    return f"; {count} missing" if count else ""


def points(value: float, low: float | None, high: float | None) -> str:
    """A difference of shares with its interval, in percentage points."""
    ends = "" if low is None or high is None else f" ({100 * low:+.1f} to {100 * high:+.1f})"
    return f"{100 * value:+.1f} pp{ends}"


class Better(NamedTuple):
    """By how much an arm is better, negative where it is worse, its standard error and degrees of freedom."""

    by: float
    error: float
    freedom: int | None = None


def of_drop(better: Better, margin: float, how: How) -> Evidence:
    """The evidence of a difference: kept above the margin, missed below it or, strictly, below nothing."""
    kept_by, missed_by = better.by + margin, -better.by
    if how.fail_when == "beyond_margin":
        missed_by -= margin
    if better.error == 0:
        return Evidence(inf if kept_by > 0 else -inf, inf if missed_by > 0 else -inf)
    return Evidence(
        as_normal(kept_by / better.error, better.freedom), as_normal(missed_by / better.error, better.freedom)
    )
