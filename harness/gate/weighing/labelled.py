"""Pass rates of a judge with its mistakes taken out, where people labelled some of what it judged."""

from math import hypot

from harness.compare.arms import Arm
from harness.gate.weighing.evidence import Better, How, Weighed, of_drop, points
from harness.stats.judges import Corrected
from harness.stats.limits import of_mean
from harness.suite.gates import Rule


def corrected(rule: Rule, arm: Arm) -> Corrected | None:
    """What labels make of the judge's pass rate, where a rule is about one, over all prompts."""
    return arm.corrected(rule.metric.of) if rule.metric.kind == "check" and rule.tag is None else None


def of_corrected(rule: Rule, fixed: Corrected) -> Weighed:
    """A pass rate with the judge's mistakes taken out, held against a number."""
    if fixed.value is None or fixed.low is None or fixed.high is None:
        return Weighed(None, "", f"the judge's mistakes cannot be taken out: {fixed.why_none}")
    error = _error_of(fixed)
    return Weighed(
        of_mean(fixed.value, error, rule.limit, freedom=None, is_least=rule.key == "min"),
        f"{fixed.value:.1%} ({fixed.low:.1%} to {fixed.high:.1%}), the judge's mistakes taken out by labels",
        value=fixed.value,
        low=fixed.low,
        high=fixed.high,
        error=error,
    )


def of_corrected_drop(rule: Rule, was: Corrected, now: Corrected, how: How) -> Weighed:
    """The difference of two such rates, each by its own labels: a judge may be lenient to one model."""
    if was.value is None or now.value is None:
        return Weighed(None, "", f"the judge's mistakes cannot be taken out: {was.why_none or now.why_none}")
    error = hypot(_error_of(was), _error_of(now))
    by = now.value - was.value
    low, high = by - 1.96 * error, by + 1.96 * error
    return Weighed(
        of_drop(Better(by, error), rule.limit, how),
        f"{points(by, low, high)} from {was.value:.1%} to {now.value:.1%}, "
        "the judge's mistakes taken out by labels",
        value=by,
        low=low,
        high=high,
        before=was.value,
        error=error,
    )


def _error_of(fixed: Corrected) -> float:
    """The standard error, from the 95 % interval; the wider side, since the other may have been clipped."""
    assert fixed.value is not None  # noqa: S101  as the callers know
    low, high = fixed.low or 0.0, 1.0 if fixed.high is None else fixed.high
    return max(fixed.value - low, high - fixed.value) / 1.959964
