"""A rule of a gate, held against what an arm came to: what speaks for its being kept or missed.

Evidence is in standard errors, so that a fixed test, a look before the end and a family of rules can all put
their own bounds to it. What is missing is taken for the worst and for the best: a rule whose ruling depends
on that is not decided (statistics.md 3.1, 4.2).
"""

from dataclasses import dataclass
from math import comb, exp, hypot, inf, log, sqrt
from typing import Literal, NamedTuple

import numpy as np
import polars as pl

from harness.arms import Arm, Prompts, Values, passed_pairs, prompts, rates, values
from harness.compare import Asked, line
from harness.stats.betting import stakes, wealth
from harness.stats.intervals import Interval, dependent_interval, interval, n_eff
from harness.stats.judges import Corrected
from harness.stats.limits import Evidence, as_normal, of_mean, of_share, z_of_p
from harness.stats.paired import Arm as Counts
from harness.stats.paired import Difference, Question, quantile_of, standard_error
from harness.stats.ratios import Ratio, mean_error
from harness.stats.repeats import Tries, pass_at_k, pass_hat_k, worth
from harness.suite.gates import Rule
from harness.suite.metric import metric

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


def weigh(rule: Rule, arm: Arm, baseline: Arm | None, how: How) -> Weighed:
    """The evidence of *arm*, held against *baseline* where the rule compares."""
    if rule.compares and baseline is None:
        return Weighed(None, "", "there is nothing to compare with")
    other = baseline if rule.compares else None
    shared = prompts(arm, other, tag=rule.tag)
    if not len(shared):
        return Weighed(None, "", _none_shared(shared))
    if other is not None:
        return _against(rule, arm, other, shared, how=how)
    return _alone(rule, arm, shared, how)


def best_case(rule: Rule, prompts: int, repeats: int, how: How) -> Evidence | None:
    """The evidence for a limit that is no comparison, had so many *repeats* of so many *prompts* all met it.

    What that does not prove, no run of this size can. None where the rule has no best case.
    """
    every, none = np.full(prompts, float(repeats)), np.zeros(prompts)
    alone = Prompts(_NO_FRAME, None)
    match rule.metric.kind, rule.key:
        case "passes" | "check", "min":
            return _rate(rule, Counts(every, every, every, none), alone, how).seen
        case "within", "min":
            return _share(rule, Counts(every, every, every, none)).seen
        case "state", "max":
            return _share(rule, Counts(every, none, none, none)).seen
        case "pass@" | "pass^", "min":
            return _reduced(rule, Counts(every, every, every, none)).seen
        case "time", "max" if rule.metric.per_mille is not None:
            n = float(prompts * repeats)
            return of_share(n, n, rule.metric.per_mille / 1000, is_least=True)
        case _:
            return None


def _alone(rule: Rule, arm: Arm, shared: Prompts, how: How) -> Weighed:
    if (fixed := _corrected(rule, arm)) is not None:
        return _of_corrected(rule, fixed)
    match rule.metric.kind:
        case "passes" | "score" | "check":
            return _rate(rule, rates(arm, rule.metric, shared), shared, how)
        case "state" | "within":
            return _share(rule, rates(arm, rule.metric, shared))
        case "pass@" | "pass^":
            return _reduced(rule, rates(arm, _PASSES, shared))
        case _ if rule.metric.per_mille is not None:
            return _quantile(rule, values(arm, rule.metric, shared))
        case _:
            return _mean(rule, values(arm, rule.metric, shared))


_PASSES = metric("pass_rate")
_NO_FRAME = pl.DataFrame()


def _none_shared(shared: Prompts) -> str:
    for why in ("quarantined", "reworded", "unmatched"):
        if getattr(shared, why):
            return f"no prompt is left to look at: {len(getattr(shared, why))} are {why}"
    return "no prompt is left to look at"


# Against a baseline


def _against(rule: Rule, arm: Arm, baseline: Arm, shared: Prompts, *, how: How) -> Weighed:
    fixed = _corrected(rule, baseline), _corrected(rule, arm)
    if fixed[0] is not None and fixed[1] is not None:
        return _of_corrected_drop(rule, fixed[0], fixed[1], how)
    if rule.metric.kind in {"pass@", "pass^"}:
        counts = rates(baseline, _PASSES, shared), rates(arm, _PASSES, shared)
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


class Better(NamedTuple):
    """By how much an arm is better, negative where it is worse, its standard error and degrees of freedom."""

    by: float
    error: float
    freedom: int | None = None


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
        f"{_signed(told.value, told.low, told.high)} from {told.before:.1%} to {told.after:.1%}, "
        f"n = {told.prompts} prompts, {told.n_before} and {told.n_after} values"
        + _missing(told.missing)
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
    (before, noise), (after, more) = (_chances(rule, each.where(both)) for each in (was, now))
    error = sqrt(noise**2 + more**2)
    difference = after - before
    return Weighed(
        of_drop(Better(difference, error), rule.limit, how),
        f"{_signed(difference, difference - 1.96 * error, difference + 1.96 * error)} "
        f"from {before:.1%} to {after:.1%}, n = {int(both.sum())} prompts",
        value=difference,
        low=difference - 1.96 * error,
        high=difference + 1.96 * error,
        before=before,
        error=error,
        n=int(now.count.sum()),
        prompts=int(both.sum()),
    )


def _corrected(rule: Rule, arm: Arm) -> Corrected | None:
    """What labels make of the judge's pass rate, where a rule is about one, over all prompts."""
    return arm.corrected(rule.metric.of) if rule.metric.kind == "check" and rule.tag is None else None


def _of_corrected(rule: Rule, fixed: Corrected) -> Weighed:
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


def _of_corrected_drop(rule: Rule, was: Corrected, now: Corrected, how: How) -> Weighed:
    """The difference of two such rates, each by its own labels: a judge may be lenient to one model."""
    if was.value is None or now.value is None:
        return Weighed(None, "", f"the judge's mistakes cannot be taken out: {was.why_none or now.why_none}")
    error = hypot(_error_of(was), _error_of(now))
    by = now.value - was.value
    low, high = by - 1.96 * error, by + 1.96 * error
    return Weighed(
        of_drop(Better(by, error), rule.limit, how),
        f"{_signed(by, low, high)} from {was.value:.1%} to {now.value:.1%}, "
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


def _signed(value: float, low: float | None, high: float | None) -> str:
    ends = "" if low is None or high is None else f" ({100 * low:+.1f} to {100 * high:+.1f})"
    return f"{100 * value:+.1f} pp{ends}"


# Against a number


def _rate(rule: Rule, arm: Counts, shared: Prompts, how: How) -> Weighed:
    """A mean over prompts, with the noise within them or, for all questions, between them."""
    known = arm.count > 0
    m, missing = int(known.sum()), int(arm.missing.sum())
    if not m:
        return Weighed(None, "", f"nothing could be graded: {missing} trials are missing", missing=missing)
    seen, told, figures = _mean_evidence(rule, arm.where(known), shared, known=known, how=how)
    worst = best = None
    if missing:
        planned = arm.count + arm.missing > 0
        worst, best = (
            _mean_evidence(rule, arm.where(planned).filled(fill), shared, known=planned, how=how)[0]
            for fill in (0.0, 1.0)
        )
    told = f"{told}, n = {m} prompts, {int(arm.count.sum())} values" + _missing(missing)
    value, low, high, error = figures
    return Weighed(
        seen,
        told,
        "",
        worst,
        best,
        value=value,
        low=low,
        high=high,
        error=error,
        n=int(arm.count.sum()),
        prompts=m,
        missing=missing,
    )


def _mean_evidence(
    rule: Rule, arm: Counts, shared: Prompts, *, known: np.ndarray[tuple[int], np.dtype[np.bool_]], how: How
) -> tuple[Evidence, str, tuple[float, float, float, float]]:
    value, m = float(arm.means.mean()), len(arm.count)
    is_least = rule.key == "min"
    if rule.metric.kind != "score" and bool((arm.count == 1).all()):  # one repeat each: a share of prompts
        found = of_share(float(arm.total.sum()), m, rule.limit, is_least=is_least)
        return found, f"{value:.1%}", (value, value, value, 0.0)
    nothing = np.zeros(m)
    exact = Counts(np.full(m, 1e12), nothing, nothing, nothing)  # an arm without noise, to leave one arm's
    clusters = None if shared.clusters is None else np.unique(shared.clusters[known], return_inverse=True)[1]
    error, freedom, _ = standard_error(exact, arm, question=how.question, groups=clusters)
    if error == inf:
        return Evidence(-inf, -inf), f"{value:.1%}", (value, value, value, error)
    reach = quantile_of(0.975, freedom) * error
    low, high = value - reach, value + reach
    if rule.metric.kind != "score":
        low, high = max(0.0, low), min(1.0, high)
    told = f"{value:.1%} ({low:.1%} to {high:.1%})"
    seen = of_mean(value, error, rule.limit, freedom=freedom, is_least=is_least)
    return seen, told, (value, low, high, error)


def _share(rule: Rule, arm: Counts) -> Weighed:
    """A share of trials or replies, by the exact binomial of what they are worth."""
    n, missing = float(arm.count.sum()), int(arm.missing.sum())
    if not n:
        return Weighed(None, "", f"nothing is known: {missing} trials are missing", missing=missing)
    hits = float(arm.total.sum())
    alike = worth([Tries(int(t), int(c)) for t, c in zip(arm.total, arm.count, strict=True) if c])
    weight = 1.0 if alike is None else min(1.0, alike.n / n)
    is_least = rule.key == "min"

    def at(hits: float, n: float) -> Evidence:
        return of_share(hits * weight, n * weight, rule.limit, is_least=is_least)

    ends = (at(hits, n + missing), at(hits + missing, n + missing)) if missing else (None, None)
    worst, best = ends if rule.metric.higher_is_better else ends[::-1]
    told = f"{hits / n:.2%} ({hits:.0f} of {n:.0f}"
    told += f", worth {n * weight:.0f}" if weight < 1 else ""
    return Weighed(
        at(hits, n),
        f"{told})" + _missing(missing),
        "",
        worst,
        best,
        value=hits / n,
        n=int(n),
        prompts=int((arm.count > 0).sum()),
        missing=missing,
    )


def _quantile(rule: Rule, arm: Values) -> Weighed:
    """Whether the share of values within the limit is that of the quantile: the test by order statistics."""
    per_mille, n = rule.metric.per_mille or 500, len(arm.values)
    if not n:
        return Weighed(None, "", f"no reply has a {rule.metric.name.partition('.')[0]}")
    within = arm.values <= rule.limit
    known = int((within & ~arm.censored).sum())
    unknown = int((within & arm.censored).sum())  # lost from sight before the limit
    share, is_least = per_mille / 1000, rule.key == "max"
    weight = _weight(arm, per_mille)
    if weight is None:
        return Weighed(None, "", f"the {n} values show too little of how they depend on each other")

    def at(hits: int) -> Evidence:
        return of_share(hits * weight, n * weight, share, is_least=is_least)

    found = _interval(arm, per_mille)
    if found.value is None:
        return Weighed(None, "", f"of {n} values there is no {rule.metric.name.rpartition('.')[2]}", n=n)
    ends = "" if found.low is None or found.high is None else f" ({found.low:,.4g} to {found.high:,.4g})"
    lost = int(arm.censored.sum())
    told = f"{found.value:,.4g} {rule.metric.unit}{ends}, {known} of {n} within {rule.limit:,.6g}"
    told += f", worth {n * weight:.0f}" if weight < 1 else ""
    told += f"; {lost} timed out" if lost else ""
    worst, best = (at(known), at(known + unknown)) if unknown else (None, None)
    if not is_least:
        worst, best = best, worst
    return Weighed(
        at(known),
        told,
        "",
        worst,
        best,
        value=found.value,
        low=found.low,
        high=found.high,
        n=n,
        prompts=len(np.unique(arm.numbers)),
        missing=unknown,
    )


def _weight(arm: Values, per_mille: int) -> float | None:
    """What one value is worth among the others: of a load by how long it remembers, else by its prompts."""
    n = len(arm.values)
    if arm.due_ns is not None:
        alike = n_eff(arm.values.tolist(), per_mille)
        return None if alike is None else alike / n
    cut = float(np.sort(arm.values)[min(n - 1, n * per_mille // 1000)])
    below = np.bincount(arm.numbers, arm.values <= cut)
    counts = np.bincount(arm.numbers)
    found = worth([Tries(int(b), int(c)) for b, c in zip(below, counts, strict=True) if c])
    return 1.0 if found is None else min(1.0, found.n / n)


def _interval(arm: Values, per_mille: int) -> Interval:
    lost = np.where(arm.censored, inf, arm.values).tolist()
    return interval(lost, per_mille) if arm.due_ns is None else dependent_interval(lost, per_mille)


def _mean(rule: Rule, arm: Values) -> Weighed:
    """A mean of times or amounts, whose error is that of its prompts."""
    n = len(arm.values)
    if n < 2:
        return Weighed(None, "", f"of {n} values there is no interval of a mean", n=n)
    if arm.censored.any():
        told = f"{int(arm.censored.sum())} replies timed out: a mean is not known, a quantile may be"
        return Weighed(None, "", told, n=n)
    value, error, groups = mean_error(arm.values, arm.numbers)
    if error is None:
        return Weighed(None, "", "one prompt says nothing of others", n=n)
    reach = quantile_of(0.975, groups - 1) * error
    return Weighed(
        of_mean(value, error, rule.limit, freedom=groups - 1, is_least=rule.key == "min"),
        f"{value:,.4g} {rule.metric.unit} ({value - reach:,.4g} to {value + reach:,.4g}), n = {n}",
        value=value,
        low=value - reach,
        high=value + reach,
        error=error,
        n=n,
        prompts=groups,
    )


def _reduced(rule: Rule, arm: Counts) -> Weighed:
    """pass@k or pass^k over prompts, with the noise within them."""
    k = rule.metric.k or 1
    enough = arm.count >= k
    m, missing = int(enough.sum()), int(arm.missing.sum())
    if not m:
        return Weighed(None, "", f"no prompt has {k} repeats that passed or failed", missing=missing)
    value, error = _chances(rule, arm.where(enough))
    worst = best = None
    if missing:
        planned = arm.count + arm.missing >= k
        worst, best = (
            of_mean(
                *_chances(rule, arm.where(planned).filled(fill)),
                rule.limit,
                freedom=None,
                is_least=rule.key == "min",
            )
            for fill in (0.0, 1.0)
        )
    left = int((~enough & (arm.count + arm.missing > 0)).sum())
    low, high = max(0.0, value - 1.96 * error), min(1.0, value + 1.96 * error)
    told = f"{value:.1%} ({low:.1%} to {high:.1%}), n = {m} prompts"
    return Weighed(
        of_mean(value, error, rule.limit, freedom=None, is_least=rule.key == "min"),
        told + (f"; {left} have fewer than {k} repeats" if left else "") + _missing(missing),
        "",
        worst,
        best,
        value=value,
        low=low,
        high=high,
        error=error,
        n=int(arm.count.sum()),
        prompts=m,
        missing=missing,
    )


def _chances(rule: Rule, arm: Counts) -> tuple[float, float]:
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


def _missing(count: int) -> str:
    return f"; {count} missing" if count else ""
