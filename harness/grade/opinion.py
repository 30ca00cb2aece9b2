"""What a check may answer, and what several answers come to together.

A check answers passed, failed, or could not be graded, which is neither: an
answer that never came does not contain "Paris", and does not lack it either.
"""

from collections.abc import Sequence

from msgspec import Struct

SHOWN = 120
"""Characters of an answer in a reason: enough to recognise it; the whole is in exchanges.parquet."""


class Opinion(Struct, frozen=True):
    """What a check found, before `not-` turns it round.

    *passed* is None where it could not be graded. *score* is from 0 to 1; where it is None, passed is 1 and
    failed is 0. *evidence* is what the opinion rests on, in the words of whoever gave it: what a judge
    quotes, the traceback of a check that broke. *judge* says who judged.
    """

    passed: bool | None
    reason: str
    score: float | None = None
    evidence: str | None = None
    judge: str | None = None
    named_scores: dict[str, float] = {}


class Grade(Struct, frozen=True):
    """What one check says of one result.

    *passed* is None where the check could not be graded; so is *score* then, which is from 0 to 1.
    *turn_id* is None for a check on the whole conversation. *part_of* names the set that a check is in: its
    set decides, not it. A *weight* of 0 decides nothing either. *evidence* is a judge's quotation or a
    traceback, *judge* who judged.
    """

    turn_id: str | None
    type: str
    metric: str | None
    passed: bool | None
    score: float | None
    weight: float
    reason: str
    part_of: str | None = None
    evidence: str | None = None
    judge: str | None = None

    @property
    def decides(self) -> bool:
        """Whether the state of the trial hangs on it."""
        return self.part_of is None and self.weight > 0


def passed(reason: str, *, score: float | None = None) -> Opinion:
    """What was expected is there."""
    return Opinion(passed=True, reason=reason, score=score)


def failed(reason: str, *, score: float | None = None) -> Opinion:
    """What was expected is not there."""
    return Opinion(passed=False, reason=reason, score=score)


def ungraded(reason: str, *, evidence: str | None = None, judge: str | None = None) -> Opinion:
    """There is nothing to judge by."""
    return Opinion(passed=None, reason=reason, evidence=evidence, judge=judge)


def shown(text: str) -> str:
    """*text* as a reason quotes it."""
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")


def deciding(grades: Sequence[Grade]) -> list[Grade]:
    """Those of *grades* on which the state of a trial hangs."""
    return [grade for grade in grades if grade.decides]


def weighed(grades: Sequence[Grade]) -> float | None:
    """The mean of the scores of *grades* by their weights; None where one of them has none."""
    counted = [(grade.weight, grade.score) for grade in grades if grade.weight > 0]
    scores = [weight * score for weight, score in counted if score is not None]
    if not counted or len(scores) < len(counted):
        return None
    return sum(scores) / sum(weight for weight, _ in counted)


def together(grades: Sequence[Grade], threshold: float | None) -> Opinion:
    """What *grades* come to: each must pass or, with a *threshold*, their weighed scores must reach it.

    What could not be graded leaves the whole open, unless it is decided whatever that would have been.
    """
    counted = [grade for grade in grades if grade.weight > 0]
    if threshold is not None and counted:
        return _reached(counted, threshold)
    for worse, but in ((False, ""), (None, " could not be graded")):
        for grade in counted:
            if grade.passed is worse:
                return Opinion(worse, f"{grade.type}{but}: {grade.reason}", weighed(counted))
    return passed(f"all {len(counted)} passed", score=weighed(counted))


def _reached(counted: Sequence[Grade], threshold: float) -> Opinion:
    whole = sum(grade.weight for grade in counted)
    known = sum(grade.weight * grade.score for grade in counted if grade.score is not None)
    open_ = [grade for grade in counted if grade.score is None]
    least, most = known / whole, (known + sum(grade.weight for grade in open_)) / whole
    told = f"{least:.2f}" if not open_ else f"{least:.2f} to {most:.2f}"
    if least >= threshold - _ROUNDING:
        return passed(f"score {told}, at least {threshold:g}", score=None if open_ else least)
    worst = min(counted, key=lambda grade: 1.0 if grade.score is None else grade.score)
    if most < threshold - _ROUNDING:
        reason = f"score {told}, below {threshold:g}; least: {worst.type}: {worst.reason}"
        return failed(reason, score=None if open_ else least)
    first = open_[0]
    return ungraded(f"score {told}, wanted {threshold:g}; {first.type} could not be graded: {first.reason}")


_ROUNDING = 1e-9
"""Three tenths of weight are 0.30000000000000004 and meant to reach 0.3."""
