"""A rule that compares: an arm held against its baseline."""

from math import exp, log, sqrt

from harness.compare.arms import Arm, Prompts, passed_pairs, rates
from harness.compare.comparison import Asked, line
from harness.gate.weighing.evidence import PASSES, Better, How, Weighed, chances, lacking, of_drop, points
from harness.gate.weighing.labelled import corrected, of_corrected_drop
from harness.stats.betting import stakes, wealth
from harness.stats.limits import Evidence, z_of_p
from harness.stats.paired import Arm as Counts
from harness.stats.paired import Difference
from harness.stats.ratios import Ratio
from harness.suite.gates import Rule


def compared(rule: Rule, arm: Arm, baseline: Arm, shared: Prompts, *, how: How) -> Weighed:
    """The evidence of the *shared* prompts of both."""
    fixed = corrected(rule, baseline), corrected(rule, arm)
    if fixed[0] is not None and fixed[1] is not None:
        return of_corrected_drop(rule, fixed[0], fixed[1], how)
    if rule.metric.kind in {"pass@", "pass^"}:
        counts = rates(baseline, PASSES, shared), rates(arm, PASSES, shared)
        return _reduced_drop(rule, *counts, how)
    found = line(baseline, arm, shared, rule.metric, asked=Asked(how.question, with_p=False, seed=how.seed))
    if how.betting and rule.metric.kind == "passes" and found.difference is not None:
        return _bet(
            rule, of_difference(rule, found.difference, how), passed_pairs(baseline, arm, shared), how
        )
    if found.ratio is not None:
        return _of_ratio(rule, found.ratio, how)
    return of_difference(rule, found.difference, how) if found.difference else Weighed(None, "")


def _bet(rule: Rule, weighed: Weighed, pairs: list[float], how: How) -> Weighed:
    """The same figures, with what one could have won by betting on the pairs as evidence.

    Pairs are -1, 0 or 1. A drop is shown by winning against a mean of 0 and above, a drop of the margin
    ruled out by winning against one of minus the margin and below. What is missing wins nothing.
    """
    if not pairs:
        return weighed
    outcomes = [(pair + 1) / 2 for pair in pairs]
    staked = stakes(outcomes, _STAKED)
    margin = (1 - rule.limit) / 2
    kept = wealth(outcomes, margin, _STAKED, staked).higher
    missed = wealth(outcomes, margin if how.fail_when == "beyond_margin" else 0.5, _STAKED, staked).lower
    evidence = Evidence(z_of_p(exp(-max(0.0, kept))), z_of_p(exp(-max(0.0, missed))))
    return weighed._replace(seen=evidence, worst=None, best=None, anytime=True)


_STAKED = 0.05


def of_difference(rule: Rule, told: Difference, how: How) -> Weighed:
    """The evidence of a difference of shares or scores."""
    if told.value is None or told.error is None:
        return Weighed(None, "", told.note or "no prompt has a value in both arms", missing=told.missing)
    better = 1 if rule.metric.higher_is_better else -1
    ends = ((told.at_least, told.at_least_error), (told.at_most, told.at_most_error))[::better]
    worst, best = (
        None
        if end is None or error is None or not told.missing
        else of_drop(Better(better * end, error, told.freedom), rule.limit, how)
        for end, error in ends
    )
    note = f"; {told.note}" if told.note else ""
    return Weighed(
        of_drop(Better(better * told.value, told.error, told.freedom), rule.limit, how),
        f"{points(told.value, told.low, told.high)} from {told.before:.1%} to {told.after:.1%}, "
        f"n = {told.prompts} prompts, {told.n_before} and {told.n_after} values"
        + lacking(told.missing)
        + note,
        worst=worst,
        best=best,
        value=told.value,
        low=told.low,
        high=told.high,
        before=told.before,
        error=told.error,
        n=told.n_after,
        prompts=told.prompts,
        missing=told.missing,
    )


def _of_ratio(rule: Rule, told: Ratio, how: How) -> Weighed:
    if told.log_ratio is None or told.error is None:
        figures = (
            f"{told.before:,.1f} before, {told.after:,.1f} after; " if told.before and told.after else ""
        )
        return Weighed(None, "", f"{figures}{told.note or 'no ratio'}")
    better = -1 if rule.key == "max_ratio" else 1
    seen = of_drop(Better(better * told.log_ratio, told.error), abs(log(rule.limit)), how)
    ends = f" ({told.low:.3f} to {told.high:.3f})" if told.low is not None and told.high is not None else ""
    return Weighed(
        seen,
        f"a ratio of {told.value:.3f}{ends}, from {told.before:,.4g} to {told.after:,.4g} "
        f"{rule.metric.unit}, n = {told.n_before} and {told.n_after} values",
        value=told.value,
        low=told.low,
        high=told.high,
        before=told.before,
        error=told.error,
        n=told.n_after,
        prompts=told.groups,
    )


def _reduced_drop(rule: Rule, was: Counts, now: Counts, how: How) -> Weighed:
    """The difference of two pass@k, whose noise is that within the prompts of both."""
    k = rule.metric.k or 1
    both = (was.count >= k) & (now.count >= k)
    if not both.any():
        return Weighed(None, "", f"no prompt has {k} repeats that passed or failed in both arms")
    (before, noise), (after, more) = (chances(rule, each.where(both)) for each in (was, now))
    error = sqrt(noise**2 + more**2)
    difference = after - before
    return Weighed(
        of_drop(Better(difference, error), rule.limit, how),
        f"{points(difference, difference - 1.96 * error, difference + 1.96 * error)} "
        f"from {before:.1%} to {after:.1%}, n = {int(both.sum())} prompts",
        value=difference,
        low=difference - 1.96 * error,
        high=difference + 1.96 * error,
        before=before,
        error=error,
        n=int(now.count.sum()),
        prompts=int(both.sum()),
    )
