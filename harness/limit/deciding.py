"""Does a load hold, by what was seen of it so far: pure, and asked again every second.

Three ways to know before the end, and one at it:

- *past for certain*: more observations broke a term than are allowed of all that will be made. What is still
  to come cannot mend it, so this decides as the whole probe would (curtailed sampling, Alling 1963).
- *past*, or *holds*: the capital of a bet on it came to 1/alpha (`harness.stats.mixture`), at any look. Such
  a bet asks that the chance of each try, given those before it, is within the limit; near a capacity,
  requests share a queue, and come in bursts. So they are counted as the fewer independent ones that they are
  worth (`harness.stats.intervals.n_eff`).
- *holds* moreover asks for a queue that does not grow: a bet on what has been seen knows nothing of what is
  to come. Even if times rose until the end of the longest probe as fast as their trend allows (its upper 95 %
  bound), the term would be kept; and all that is under way might still break it.
- at the end, what is undecided goes by its share: more than is allowed, or not. And a load whose times rise
  so that another probe of the same length would break the term is past what the server can do, too.
"""

from collections.abc import Sequence
from math import ceil, inf, log
from operator import attrgetter
from typing import Literal, NamedTuple

from msgspec import Struct, structs

from harness.limit.slo import Term
from harness.stats.intervals import n_eff
from harness.stats.mixture import evidence
from harness.stats.repeats import clopper_pearson
from harness.stats.steady import trend

Word = Literal["holds", "past", "open"]

ALPHA = 0.01
"""The chance of deciding early, and wrongly, on either side, of one term in one probe."""
LEAST_SHARE = 0.25
"""A load is not said to hold before so much of the longest probe is over: a queue takes time to grow."""


class Observed(NamedTuple):
    """One observation: when it was due or began, in s after the start of the probe, and its value.

    What failed has the value infinity. What is awaited still has the value that it has come to, and *more*.
    """

    at_s: float
    value: float
    more: bool = False


class Seen(NamedTuple):
    """What was seen for one term, in the order of time.

    *open* are under way and may still break it. *planned* are all that will be observed, None where that is
    not known. *passed_s* of the probe's *longest_s* are over. *slack_ms* is what our own machine may have
    added to a time.
    """

    observed: Sequence[Observed]
    open: int
    planned: int | None
    passed_s: float
    longest_s: float
    slack_ms: float = 0.0


class Finding(Struct, frozen=True):
    """What one term came to: *broke* of *n* observations broke it, of which a share *allowed* may.

    *low* and *high* bound that share by 95 %, for the *worth* independent ones that they are worth. *value*
    is the figure itself, in the unit of the metric; None of too few, or where it lies among those that failed
    or never came.
    """

    term: str
    n: int
    broke: int
    allowed: float
    worth: float
    low: float
    high: float
    value: float | None
    word: Word
    why: str

    @property
    def share(self) -> float:
        """The share that broke it."""
        return self.broke / self.n if self.n else 0.0

    @property
    def says(self) -> str:
        """The counts in a sentence, with the 95 % interval of the share."""
        worth = "" if self.worth > self.n - 1 else f", worth {self.worth:,.0f} independent ones"
        of = f"{self.broke} of {self.n}{worth}"
        return f"{of} broke it ({self.low * 100:.2g} to {percent(self.high)}), {percent(self.allowed)} may"

    @property
    def is_kept(self) -> bool:
        """Whether no more broke it than may, by the share alone."""
        return self.share <= self.allowed


def looked(term: Term, seen: Seen) -> Finding:
    """What is known of *term* while the probe goes on."""
    finding = counted(term, seen.observed)
    word, why = _early(term, seen, finding)
    return structs.replace(finding, word=word, why=why)


def ended(term: Term, seen: Seen) -> Finding:
    """What is known of *term* when no more is to come: it is left open only where too few were observed."""
    finding = looked(term, seen)
    if finding.word == "past":
        return finding
    if finding.n < term.least:
        return structs.replace(
            finding, word="open", why=f"{finding.n} observed, and it asks for {term.least}"
        )
    if not finding.is_kept:
        return structs.replace(finding, word="past", why=finding.says)
    if (rises := _rises(term, seen)) is not None:
        return structs.replace(finding, word="past", why=rises)
    return finding if finding.word == "holds" else structs.replace(finding, word="holds", why=finding.says)


def counted(term: Term, observed: Sequence[Observed]) -> Finding:
    """The figures of a term, undecided."""
    flags = [term.breaks(each.value) for each in observed]
    n, broke = len(flags), sum(flags)
    worth = n_eff([float(flag) for flag in flags], 500) if 0 < broke < n else None
    worth = float(n) if worth is None else worth
    low, high = clopper_pearson(broke / n, worth) if n else (0.0, 1.0)
    return Finding(term.told, n, broke, term.allowed, worth, low, high, figure(term, observed), "open", "")


def figure(term: Term, observed: Sequence[Observed]) -> float | None:
    """The figure that the term limits, by nearest rank; of a share, that share; None of too few."""
    if len(observed) < term.least:
        return None
    if term.metric.is_share:
        broke = sum(term.breaks(each.value) for each in observed) / len(observed)
        return 1 - broke if term.metric.higher_is_better else broke
    at = _ranked(sorted(observed, key=_value), (term.metric.per_mille or 500) / 1000)
    return None if at.more or at.value == inf else at.value


_value = attrgetter("value")


def _ranked(ordered: Sequence[Observed], share: float) -> Observed:
    """The quantile by nearest rank, of however few values."""
    return ordered[max(0, ceil(round(len(ordered) * share, 6)) - 1)]


def _early(term: Term, seen: Seen, finding: Finding) -> tuple[Word, str]:
    surely = surely_broke(term, seen)
    if seen.planned is not None and surely > term.allowed * seen.planned:
        less = f" by {seen.slack_ms:,.0f} ms and more, which may be ours," if seen.slack_ms else ""
        of = f"{percent(term.allowed)} of all {seen.planned} there would be"
        return "past", f"{surely} broke it{less} by now: more than {of}"
    if not term.allowed or not finding.n:
        return ("past", f"{surely} broke it, and none may") if surely else ("open", "")
    scale, bar = finding.worth / finding.n, log(1 / ALPHA)
    if evidence(surely * scale, finding.worth, term.allowed).above >= bar:
        return "past", finding.says
    worst = evidence(finding.broke * scale + seen.open, finding.worth + seen.open, term.allowed)
    if worst.below >= bar and seen.passed_s >= LEAST_SHARE * seen.longest_s and _is_steady(term, seen):
        return "holds", finding.says + (", and times do not rise" if term.is_time else "")
    return "open", ""


def surely_broke(term: Term, seen: Seen) -> int:
    """How many observations broke *term* even with what our own machine may have added taken off."""
    slack = seen.slack_ms if term.is_time else 0.0
    return sum(term.breaks(each.value - slack) for each in seen.observed)


def _is_steady(term: Term, seen: Seen) -> bool:
    """Whether the term would be kept at the end of the longest probe, were times to rise as fast as they may.

    What is no time has no such trend: a probe without any limit of a time is not ended early (`watching`).
    """
    if not term.is_time or term.bound is None:
        return True
    reached = _projected(term, seen, upper=True, over_s=max(0.0, seen.longest_s - seen.passed_s))
    return reached is not None and reached <= term.bound


def _rises(term: Term, seen: Seen) -> str | None:
    """That times rise so that another probe would break the term, where that is known; in a sentence."""
    if not term.is_time or term.bound is None:
        return None
    reached = _projected(term, seen, upper=False, over_s=seen.longest_s)
    if reached is None or reached <= term.bound:
        return None
    return (
        f"kept so far, but times rise: in {seen.longest_s:.3g} s more it would be {reached:,.0f} ms, by the "
        f"lower 95 % bound of their trend (n = {len(seen.observed)})"
    )


def _projected(term: Term, seen: Seen, *, upper: bool, over_s: float) -> float | None:
    """The quantile that the term limits, in ms, moved on by the trend for *over_s*; None if not known."""
    came = [each for each in seen.observed if each.value < inf and not each.more]
    slope = trend([each.at_s for each in came], [each.value for each in came])
    if slope is None:
        return None
    reached = _ranked(sorted(seen.observed, key=_value), 1 - term.allowed).value
    return reached + max(0.0, slope.high if upper else slope.low) * over_s


def percent(share: float) -> str:
    """A share as people write it: 5 %, 0.25 %."""
    return f"{share * 100:.3g} %"
