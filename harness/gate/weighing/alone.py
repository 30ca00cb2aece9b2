"""A rule that holds an arm against a number."""

from math import inf

import numpy as np
import polars as pl

from harness.compare.arms import Arm, Prompts, Values, rates, values
from harness.gate.weighing.evidence import PASSES, How, Weighed, chances, lacking
from harness.gate.weighing.labelled import corrected, of_corrected
from harness.stats.intervals import Interval, dependent_interval, interval, n_eff
from harness.stats.limits import Evidence, of_mean, of_share
from harness.stats.paired import Arm as Counts
from harness.stats.paired import quantile_of, standard_error
from harness.stats.ratios import mean_error
from harness.stats.repeats import Tries, worth
from harness.suite.gates import Rule

_NO_FRAME = pl.DataFrame()


def alone(rule: Rule, arm: Arm, shared: Prompts, how: How) -> Weighed:
    """The evidence of the *shared* prompts of an arm."""
    if (fixed := corrected(rule, arm)) is not None:
        return of_corrected(rule, fixed)
    match rule.metric.kind:
        case "passes" | "score" | "check":
            return _rate(rule, rates(arm, rule.metric, shared), shared, how)
        case "state" | "within":
            return _share(rule, rates(arm, rule.metric, shared))
        case "pass@" | "pass^":
            return _reduced(rule, rates(arm, PASSES, shared))
        case _ if rule.metric.per_mille is not None:
            return _quantile(rule, values(arm, rule.metric, shared))
        case _:
            return _mean(rule, values(arm, rule.metric, shared))


def best_case(rule: Rule, prompts: int, repeats: int, how: How) -> Evidence | None:
    """The evidence for a limit that is no comparison, had so many *repeats* of so many *prompts* all met it.

    What that does not prove, no run of this size can. None where the rule has no best case.
    """
    every, none = np.full(prompts, float(repeats)), np.zeros(prompts)
    whole = Prompts(_NO_FRAME, None)
    match rule.metric.kind, rule.key:
        case "passes" | "check", "min":
            return _rate(rule, Counts(every, every, every, none), whole, how).seen
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
    told = f"{told}, n = {m} prompts, {int(arm.count.sum())} values" + lacking(missing)
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
        f"{told})" + lacking(missing),
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
    value, error = chances(rule, arm.where(enough))
    worst = best = None
    if missing:
        planned = arm.count + arm.missing >= k
        worst, best = (
            of_mean(
                *chances(rule, arm.where(planned).filled(fill)),
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
        told + (f"; {left} have fewer than {k} repeats" if left else "") + lacking(missing),
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
