"""Two arms, paired: what is different, by how much, how sure that is, and what it is not known of.

After is always held against before. Prompts that both asked in the same words are paired, and of them those
that were graded by the same checks for what checks found. Every figure has its interval and the count behind
it, or the reason why it has none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from msgspec import Struct, structs

from harness.compare.arms import Arm, Prompts, Values, blocks, of_both, prompts, rates
from harness.compare.traces import Divergence, divergences
from harness.record.baselines import selected
from harness.record.store import Manifest
from harness.sigma.fingerprint import changed
from harness.stats.many import benjamini_hochberg
from harness.stats.paired import Arm as Counts
from harness.stats.paired import Difference, Question, difference, fisher
from harness.stats.ratios import Ratio, ratio
from harness.suite.metric import Metric, every, metric

FOUND = 0.10
"""The share of those found that may be false: of prompts and tags that moved."""
_LISTED = 50


class Line(Struct, frozen=True):
    """One metric in both arms: a *difference* of shares and scores, or a *ratio* of times and amounts."""

    metric: Metric
    difference: Difference | None = None
    ratio: Ratio | None = None

    @property
    def p(self) -> float | None:
        """How likely arms that are alike would differ as much; None where that is not known."""
        told = self.difference or self.ratio
        return None if told is None else told.p


class Moved(Struct, frozen=True):
    """A prompt, or a *tag*, whose pass rate moved: passes of repeats in both arms; *q* is p, adjusted."""

    name: str
    before: tuple[int, int]
    after: tuple[int, int]
    p: float
    q: float
    tag: bool = False

    @property
    def value(self) -> float:
        """The difference of its pass rates."""
        return self.after[0] / self.after[1] - self.before[0] / self.before[1]


class Side(Struct, frozen=True):
    """What an arm is, and how many of its trials are in each state."""

    label: str
    variant: str
    phase: str
    runs: tuple[str, ...]
    states: dict[str, int]


class Comparison(Struct, frozen=True):
    """What two arms come to, over *prompts* that they share.

    *moved* are prompts and tags whose pass rate is another, at most one in ten of them by chance; *tested*
    is how many prompts were looked at for that. *flags* are what a reader must know:
    whatever else is different between the arms. *left_out* has the prompts that are not compared, by reason.
    """

    before: Side
    after: Side
    prompts: int
    question: Question
    lines: tuple[Line, ...]
    moved: tuple[Moved, ...]
    tested: int
    divergences: tuple[Divergence, ...]
    flags: tuple[str, ...] = ()
    left_out: dict[str, tuple[str, ...]] = {}


@dataclass(frozen=True, slots=True)
class Asked:
    """How arms are compared: which *question*, which metrics (None: the usual ones), traces or not."""

    question: Question = "suite"
    metrics: Sequence[Metric] | None = None
    traces: bool = True
    with_p: bool = True
    seed: int = 0


def compare(before: Arm, after: Arm, asked: Asked | None = None, *, flags: Sequence[str] = ()) -> Comparison:
    """*after* held against *before*; *flags* are what is known to be different beside the arms."""
    asked = asked or Asked()
    shared = prompts(before, after)
    metrics = every(_tools(before, after)) if asked.metrics is None else asked.metrics
    moved, tested = _moved(before, after, shared)
    return Comparison(
        before=_side(before),
        after=_side(after),
        prompts=len(shared),
        question=asked.question,
        lines=tuple(line(before, after, shared, of, asked=asked) for of in metrics),
        moved=tuple(moved),
        tested=tested,
        divergences=tuple(divergences(before, after, shared)) if asked.traces and len(shared) else (),
        flags=tuple(flags),
        left_out={
            why: which
            for why in ("unmatched", "reworded", "regraded", "quarantined")
            if (which := getattr(shared, why))
        },
    )


def line(before: Arm, after: Arm, shared: Prompts, of: Metric, *, asked: Asked) -> Line:
    """One metric of both arms."""
    if of.kind in {"time", "amount"}:
        arms = of_both(before, after, of, shared)
        return Line(of, ratio=_ratio(arms, of, together=_together(before, after), seed=asked.seed))
    told = difference(
        rates(before, of, shared),
        rates(after, of, shared),
        question=asked.question,
        clusters=shared.clusters,
        seed=asked.seed if asked.with_p else None,
    )
    return Line(of, difference=told)


def _together(before: Arm, after: Arm) -> bool:
    """Whether both arms were asked in one run, and so at the same time."""
    return [each.run for each in before.sources] == [each.run for each in after.sources]


def _ratio(arms: tuple[Values, Values], of: Metric, *, together: bool, seed: int) -> Ratio:
    """Under a load what is resampled are stretches of time, else prompts."""
    was, now = arms
    if was.due_ns is None or now.due_ns is None:
        return ratio(was.sample(), now.sample(), of.per_mille, seed=seed)
    per_mille = of.per_mille or 500
    stretches = [blocks(arms, per_mille)] if together else [blocks((each,), per_mille) for each in arms]
    found = [groups for each in stretches for groups in each or ()]
    if len(found) < len(arms):
        bare = ratio(was.sample(), now.sample(), of.per_mille, paired=False, seed=seed)
        return structs.replace(bare, error=None, low=None, high=None, p=None, note=bare.note or _ALIKE)
    samples = was.sample(found[0]), now.sample(found[1])
    return ratio(*samples, of.per_mille, paired=together, seed=seed)


_ALIKE = "the load has too few stretches of time that have little to do with each other for an interval"


def _side(arm: Arm) -> Side:
    runs = tuple(source.run for source in arm.sources)
    return Side(arm.label, arm.variant, arm.phase, runs, arm.counts())


def _tools(before: Arm, after: Arm) -> list[str]:
    """The tools that both arms called, the most used first."""
    names = [arm.calls["name"].value_counts(sort=True)["name"].to_list() for arm in (before, after)]
    return [name for name in names[0] if name in names[1]][:_TOOLS]


_TOOLS = 8


def _moved(before: Arm, after: Arm, shared: Prompts) -> tuple[list[Moved], int]:
    """The prompts and tags whose pass rate is another, the surest first, and how many prompts were tested."""
    of = metric("pass_rate")
    was, now = rates(before, of, shared), rates(after, of, shared)
    both = np.flatnonzero((was.count > 0) & (now.count > 0))
    names = shared.frame["case_id"]
    pairs = [
        ((int(was.total[at]), int(was.count[at])), (int(now.total[at]), int(now.count[at]))) for at in both
    ]
    p = [_fisher(one, other) for one, other in pairs]
    told = zip(both, pairs, p, benjamini_hochberg(p), strict=True)
    found = [Moved(names[int(at)], *pair, p_of, q) for at, pair, p_of, q in told if q <= FOUND]
    return sorted([*found, *_tags(before, after, shared)], key=lambda each: each.q)[:_LISTED], len(pairs)


@cache
def _fisher(before: tuple[int, int], after: tuple[int, int]) -> float:
    return fisher((before[0], after[0]), (before[1], after[1]))


def _tags(before: Arm, after: Arm, shared: Prompts) -> list[Moved]:
    tagged = after.cases.select("case_id", "tags").explode("tags").drop_nulls().unique()
    tagged = tagged.join(shared.frame.select("case_id"), on="case_id", how="semi")
    tags = tagged["tags"].unique(maintain_order=True).to_list()
    of = metric("pass_rate")
    found: list[tuple[str, Difference, Counts, Counts]] = []
    for tag in tags:
        part = prompts(before, after, tag=tag)
        was, now = rates(before, of, part), rates(after, of, part)
        told = difference(was, now, clusters=part.clusters)
        if told.p is not None:
            found.append((tag, told, was, now))
    q = benjamini_hochberg([told.p or 0.0 for _, told, _, _ in found])
    return [
        Moved(tag, _sum(was), _sum(now), told.p or 0.0, adjusted, tag=True)
        for (tag, told, was, now), adjusted in zip(found, q, strict=True)
        if adjusted <= FOUND
    ]


def _sum(arm: Counts) -> tuple[int, int]:
    return int(arm.total.sum()), int(arm.count.sum())


def what_differs(before: Manifest, after: Manifest) -> list[str]:
    """What is different between two runs beside the arms, a sentence each, the gravest first."""
    told = [
        f"the target changed while {run.run_id} went on: {', '.join(run.changed)}"
        for run in (before, after)
        if run.changed
    ]
    told += [f"{run.run_id}: {why}" for run in (before, after) if (why := selected(run))]
    if before.judge != after.judge:
        told.append(
            f"judged by {before.judge or 'nobody'} before and {after.judge or 'nobody'} after: "
            f"what a judge found is not comparable; harness grade {before.run_id} --suite {after.suite_path}"
        )
    if before.embeddings != after.embeddings:
        told.append("similarity was measured by different embeddings")
    if before.suite != after.suite:
        told.append(f"the suites are {before.suite} and {after.suite}")
    elif before.suite_text != after.suite_text:
        told.append("the suite was changed in between; prompts that are asked in other words are left out")
    if before.target != after.target and not _are_standins(before, after):
        told.append(f"the target is another: {before.target} and {after.target}")
    if before.fingerprint is not None and after.fingerprint is not None:
        parts = changed(before.fingerprint, after.fingerprint)
        if parts:
            told.append(f"the target is not what it was: {', '.join(parts)}")
    return told


def _are_standins(before: Manifest, after: Manifest) -> bool:
    """Our own stand-ins have another port each time."""
    return all(run.target.startswith("http://127.0.0.1:") for run in (before, after))
