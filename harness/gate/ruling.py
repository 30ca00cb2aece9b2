"""Rules -> a ruling: pass, fail, or inconclusive, and for each rule a sentence that says why.

A rule *passes* where what speaks for it being kept is enough at alpha; else it *fails* where what speaks for
its being missed is enough at what Holm leaves of alpha among all rules; else it is inconclusive. So the gate
raises a false alarm with the chance alpha at most, however many rules it has, and lets a drop beyond a margin
through with the chance alpha at most. All rules have to pass (an intersection of hypotheses needs no
correction), one that fails is enough.

Looked at before the end, each rule has bounds that spend its share of alpha as information comes in
(`harness.stats.sequential`). Missing data is never a pass: a rule that comes out otherwise with what is
missing taken for the worst, or for the best, is inconclusive.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import NamedTuple

from msgspec import Struct

from harness.compare.arms import Arm
from harness.gate.weighing import How, Weighed, weigh
from harness.stats.limits import Evidence, p_of, z_of
from harness.stats.many import holm
from harness.stats.sequential import bounds
from harness.suite.gates import Rule
from harness.suite.model import Gates


class Word(StrEnum):
    """What a rule, or a gate, was found to be; the worst first."""

    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    PASS = "pass"  # noqa: S105  a word, no password


class Ruled(Struct, frozen=True):
    """A rule of one variant and what became of it.

    *value* is what was found, a difference or a ratio where the rule compares, else the figure itself, with
    its 95 % interval from *low* to *high*; *before* is the baseline's. *p* is the one-sided chance of what
    was found if the rule were kept, and *p_adjusted* by Holm among all rules. *n* values of *prompts* prompts
    are behind it and *missing* ones are not. *reason* is the sentence with all of it.
    """

    rule: str
    metric: str
    key: str
    limit: float
    unit: str
    variant: str
    phase: str
    tag: str | None
    word: Word
    reason: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    before: float | None = None
    error: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    n: int = 0
    prompts: int = 0
    missing: int = 0
    is_time: bool = False


class Ruling(Struct, frozen=True):
    """What a gate decided: *word*, by its rules, with the chance *alpha* of a false alarm.

    *baseline* is what was compared with, and *notes* are what a reader must know beside. *looks* is how often
    it was looked at before the end, 0 of a fixed plan. Of the *planned* trials so many were *sent*, and so
    many not since their rules were *decided*.
    """

    word: Word
    rules: tuple[Ruled, ...]
    alpha: float
    plan: str = "fixed"
    baseline: str | None = None
    notes: tuple[str, ...] = ()
    looks: int = 0
    planned: int = 0
    sent: int = 0
    decided: int = 0

    def count(self, word: Word) -> int:
        """How many rules came to *word*."""
        return sum(ruled.word is word for ruled in self.rules)


class Held(NamedTuple):
    """A rule, and the variant and the phase that it is held against."""

    rule: Rule
    variant: str
    phase: str


Doubt = Callable[[Rule, str], str]
"""Of a rule and a variant, why nothing can be ruled whatever was found; empty where nothing is doubted."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What is ruled on: the *rules*, the arm of each variant and phase, and what they are held against.

    *baselines* has an arm for each variant and phase that has one; *baseline* is what they are called.
    """

    gates: Gates
    rules: Sequence[Rule]
    arms: Mapping[tuple[str, str], Arm]
    baselines: Mapping[tuple[str, str], Arm]
    baseline: str | None
    first_phase: str
    doubt: Doubt = lambda rule, variant: ""
    notes: Sequence[str] = ()

    def held(self) -> list[Held]:
        """Each rule with each variant and phase that it is about: all but the baseline, unless named."""
        variants = list(dict.fromkeys(variant for variant, _ in self.arms))
        return [
            Held(rule, variant, rule.load or self.first_phase)
            for rule in self.rules
            for variant in ([rule.variant] if rule.variant else variants)
            if rule.variant or variant != self.baseline
        ]


@dataclass(frozen=True, slots=True)
class Look:
    """One of several looks: the *fractions* of the information that had come in at each of them so far.

    *is_last*: nothing more will come, so that all that is left of alpha may be spent.
    """

    fractions: tuple[float, ...] = (1.0,)
    is_last: bool = True


Looks = Mapping[str, Look]
"""By phase. A phase that is not looked at before its end has the one look at all of it."""


def ruling(bench: Bench, looks: Looks | None = None) -> Ruling:
    """What the gate of *bench* decides; at *looks* before the end, with the bounds of those."""
    held = bench.held()
    betting = looks is not None and bench.gates.plan == "betting"
    how = How(bench.gates.question, bench.gates.fail_when, betting=betting)
    weighed = [_weighed(bench, each, how) for each in held]
    if looks is None:
        decide = fixed(bench.gates.alpha)
    else:
        decide = early(bench.gates.alpha, [_limits(each, looks) for each in zip(held, weighed, strict=True)])
    words = _words(weighed, decide)
    adjusted = holm([p_of(each.seen.missed) if each.seen else 1.0 for each in weighed])
    ruled = tuple(
        _ruled(each, found, word, None if found.seen is None else p)
        for each, found, word, p in zip(held, weighed, words, adjusted, strict=True)
    )
    return Ruling(
        worst([each.word for each in ruled]),
        ruled,
        bench.gates.alpha,
        "fixed" if looks is None else bench.gates.plan,
        baseline=bench.baseline,
        notes=tuple(bench.notes),
        looks=max((len(look.fractions) for look in looks.values()), default=0) if looks else 0,
    )


def _limits(each: tuple[Held, Weighed], looks: Looks) -> Look | None:
    """The look at which a rule is held; None where its evidence holds at any time."""
    held, weighed = each
    return None if weighed.anytime else looks.get(held.phase, Look())


def worst(words: Sequence[Word]) -> Word:
    """The word of a gate: one rule that fails is enough, and none may be open. Of no rules none is known."""
    return next((word for word in Word if word in words), Word.INCONCLUSIVE)


def _weighed(bench: Bench, held: Held, how: How) -> Weighed:
    arm = bench.arms.get((held.variant, held.phase))
    if arm is None or arm.trials.is_empty():
        return Weighed(None, "", f"there is no trial of {held.variant} in {held.phase}")
    if doubt := bench.doubt(held.rule, held.variant):
        return Weighed(None, "", doubt)
    baseline = bench.baselines.get((held.variant, held.phase))
    if held.rule.compares and baseline is None:
        return Weighed(None, "", f"{bench.baseline or 'no baseline'} has no {held.variant} in {held.phase}")
    return weigh(held.rule, arm, baseline, how)


Decide = Callable[[Sequence[Evidence | None]], list[Word]]
"""What the evidence of all rules comes to; None is none."""


def fixed(alpha: float) -> Decide:
    """Pass at alpha each, fail at alpha all together (Holm). Pass is tested first (statistics.md 4.2)."""

    def decide(evidence: Sequence[Evidence | None]) -> list[Word]:
        adjusted = holm([p_of(each.missed) if each else 1.0 for each in evidence])
        return [
            _word(each, kept=each is not None and each.kept > z_of(alpha), missed=p <= alpha)
            for each, p in zip(evidence, adjusted, strict=True)
        ]

    return decide


def early(alpha: float, looks: Sequence[Look | None]) -> Decide:
    """Each rule fails by bounds that spend its share of alpha, and passes by some that spend alpha."""
    fails = [_critical(look, alpha / len(looks)) for look in looks]
    passes = [_critical(look, alpha) for look in looks]

    def decide(evidence: Sequence[Evidence | None]) -> list[Word]:
        return [
            _word(
                each,
                kept=each is not None and each.kept >= high,
                missed=each is not None and each.missed >= low,
            )
            for each, high, low in zip(evidence, passes, fails, strict=True)
        ]

    return decide


def _critical(look: Look | None, alpha: float) -> float:
    """The z that decides at a look; that of a single test where the evidence holds at any time."""
    return z_of(alpha) if look is None else _bound(look.fractions, alpha, look.is_last)


@cache
def _bound(fractions: tuple[float, ...], alpha: float, is_last: bool) -> float:  # noqa: FBT001  cached by position
    return bounds(fractions, alpha, is_last=is_last)[-1]


def _word(evidence: Evidence | None, *, kept: bool, missed: bool) -> Word:
    if evidence is None:
        return Word.INCONCLUSIVE
    if kept:
        return Word.PASS
    return Word.FAIL if missed else Word.INCONCLUSIVE


def _words(weighed: Sequence[Weighed], decide: Decide) -> list[Word]:
    """The word of each rule, where it is the same whatever the missing data would have been."""
    seen = decide([each.seen for each in weighed])
    ends = [
        decide([(getattr(each, end) or each.seen) if each.seen else None for each in weighed])
        for end in ("worst", "best")
    ]
    return [
        word if low is word is high else Word.INCONCLUSIVE
        for word, low, high in zip(seen, *ends, strict=True)
    ]


def _ruled(held: Held, found: Weighed, word: Word, p: float | None) -> Ruled:
    rule = held.rule
    return Ruled(
        rule=rule.told,
        metric=rule.metric.name,
        key=rule.key,
        limit=rule.limit,
        unit=rule.metric.unit,
        variant=held.variant,
        phase=held.phase,
        tag=rule.tag,
        word=word,
        reason=_reason(rule, found, word),
        value=found.value,
        low=found.low,
        high=found.high,
        before=found.before,
        error=found.error,
        p=None if found.seen is None else p_of(found.seen.missed),
        p_adjusted=p,
        n=found.n,
        prompts=found.prompts,
        missing=found.missing,
        is_time=rule.metric.is_time,
    )


_SAYS = {
    "max_drop": ("a drop of {} is ruled out", "it dropped", "a drop of {} cannot be ruled out, nor shown"),
    "max_rise": ("a rise of {} is ruled out", "it rose", "a rise of {} cannot be ruled out, nor shown"),
    "max_ratio": (
        "a ratio of {} is ruled out",
        "it grew",
        "a ratio of {} cannot be ruled out, nor growth shown",
    ),
    "min_ratio": (
        "a ratio of {} is ruled out",
        "it shrank",
        "a ratio of {} cannot be ruled out, nor a loss shown",
    ),
    "min": ("it is at least {}", "it is less than {}", "whether it is at least {} cannot be told"),
    "max": ("it is at most {}", "it is more than {}", "whether it is at most {} cannot be told"),
}


def _reason(rule: Rule, found: Weighed, word: Word) -> str:
    """One sentence: the word's ground, and the figures that it stands on."""
    if found.seen is None:
        return found.why_not + (f"; {found.told}" if found.told else "")
    kept, missed, neither = (says.format(rule.written) for says in _SAYS[rule.key])
    ground = {Word.PASS: kept, Word.FAIL: missed, Word.INCONCLUSIVE: neither}[word]
    if word is Word.INCONCLUSIVE and found.missing:
        ground += " with so much missing"
    return f"{ground}: {found.told}"
