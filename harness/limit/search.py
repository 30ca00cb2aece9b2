"""Where does a load stop holding? Doubling, then bisection, over answers that may be wrong now and then.

Pure: a load goes to *ask* and a word comes back, so that to search a server that is simulated takes a
millisecond. Loads rise to at most twice what held, so that no server is asked for much more than it can do.
Where what held and what did not are close enough, each of the two is asked once more, for longer: one wrong
answer early on would else send all that follows into the wrong half. What contradicts itself is taken for
what it said the second time.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from math import sqrt
from typing import Literal

Word = Literal["holds", "past", "client", "stopped"]
"""Of a load: it holds, it does not, our own machine is too slow to tell, or the search is to end."""

Ending = Literal["found", "most", "least", "client", "stopped"]

Ask = Callable[[float, bool, str], Word]
"""A load, whether it is to be asked for longer, and why it is asked: what came of it."""

_MOST_UNKNOWN = 3
"""So many loads for which our own machine was too slow, each twice, and the search ends."""
MOST_PROBES = 60
"""More than any search takes by halves: an end for a server that contradicts itself without one."""


@dataclass(frozen=True, slots=True)
class Span:
    """Where is searched: from *start*, between *least* and *most* (None: no end), to within *tolerance*.

    *whole*: loads are whole numbers, as workers are.
    """

    start: float
    least: float
    most: float | None = None
    tolerance: float = 0.05
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Bracket:
    """The highest load that *holds* and the lowest above it that is *past*, None where there is none.

    Why it *ended*: both were found, the most that is allowed holds, the least does not, the client is the
    limit, or it was stopped.
    """

    holds: float | None
    past: float | None
    ended: Ending


@dataclass(slots=True)
class _Search:
    ask: Ask
    span: Span
    words: dict[float, Word] = field(default_factory=dict)
    twice: set[float] = field(default_factory=set)
    unknown: list[float] = field(default_factory=list)
    asked: int = 0

    @property
    def holds(self) -> float | None:
        """The highest load that holds, below all that do not."""
        past = self.past
        held = (
            load for load, word in self.words.items() if word == "holds" and (past is None or load < past)
        )
        return max(held, default=None)

    @property
    def past(self) -> float | None:
        """The lowest load that does not hold."""
        return min((load for load, word in self.words.items() if word == "past"), default=None)

    def put(self, load: float, why: str, *, longer: bool = False) -> Ending | None:
        """Ask for *load*, and again where our own machine was too slow for it; why the search is to end.

        A load that stays unknown does not end it yet: one beside it may be told.
        """
        word = self._put(load, why, longer=longer)
        if word == "client":
            word = self._put(load, "again: this machine was too slow", longer=longer)
        if word in {"holds", "past"}:
            self._believe(load, word)
        elif word == "client" and not longer:  # what was told once stays as it was told
            self.unknown.append(load)
        if word == "stopped":
            return "stopped"
        too_slow = self.holds is None or len(self.unknown) >= _MOST_UNKNOWN
        return "client" if word == "client" and too_slow else None

    def _put(self, load: float, why: str, *, longer: bool) -> Word:
        if self.asked >= MOST_PROBES:
            return "stopped"
        self.asked += 1
        return self.ask(load, longer, why)

    def _believe(self, load: float, word: Word) -> None:
        """Take the last word on a load; what holds now speaks against all that was past at lower loads."""
        self.words[load] = word
        if load in self.twice and word == "holds":
            self.words = {at: each for at, each in self.words.items() if at >= load or each == "holds"}


def search(ask: Ask, span: Span) -> Bracket:
    """The highest load that holds, by what *ask* says of each."""
    going = _Search(ask, span)
    while True:
        following = _following(going)
        if isinstance(following, str):
            return Bracket(going.holds, going.past, following)
        load, why, longer = following
        if longer:
            going.twice.add(load)
        ended = going.put(load, why, longer=longer)
        if ended is not None:
            return Bracket(going.holds, going.past, ended)


def most_asked(span: Span) -> float | None:
    """The sum of the loads that a search of *span* asks at most, each twice that is asked for longer.

    Of a server that says of a load what it said before: who contradicts itself is asked more. None where the
    span has no end.
    """
    if span.most is None:
        return None
    limits = [span.most]  # below a quarter of the most, a limit is found with less
    while limits[-1] > max(span.least, span.most / 4):
        limits.append(limits[-1] / (1 + span.tolerance) ** 0.25)
    return max(_asked_of(limit, span) for limit in limits)


def _asked_of(limit: float, span: Span) -> float:
    """The same for a server that can do *limit*."""
    loads: list[float] = []

    def ask(load: float, longer: bool, why: str) -> Word:  # noqa: FBT001  as a search asks
        del why
        loads.append(load * (2 if longer else 1))
        return "holds" if load <= limit else "past"

    search(ask, span)
    return sum(loads)


def _following(going: _Search) -> tuple[float, str, bool] | Ending:
    """The load that is asked next, and why, and whether for longer; or how the search ended."""
    span, holds, past = going.span, going.holds, going.past
    if holds is None:
        return _lower(past, span)
    if past is None and (span.most is None or holds < span.most):
        return _higher(holds, going)
    ends = (holds,) if past is None else (holds, past)
    middle = None if past is None else _middle(holds, past, going)
    if middle is not None:
        return middle, "between", False
    for end in ends:
        if end not in going.twice:
            return end, "again, for longer", True
    if past is None:
        return "most"
    return "found" if _between(holds, past, span) is None else "client"


def _higher(holds: float, going: _Search) -> tuple[float, str, bool] | Ending:
    """Twice what holds; where that cannot be told, what lies between, after which twice as much is more."""
    load = min(holds * 2, going.span.most or holds * 2)
    near = [each for each in going.unknown if _is_near(each, load, going.span)]
    if not near:
        return load, "twice as much", False
    middle = _between(holds, min(near), going.span)
    unknown = middle is None or any(_is_near(each, middle, going.span) for each in going.unknown)
    return "client" if middle is None or unknown else (middle, "half way to what could not be told", False)


def _middle(holds: float, past: float, going: _Search) -> float | None:
    """What to ask between the two: the middle, or beside what could not be told; None if nothing is left."""
    within = sorted(each for each in going.unknown if holds < each < past)
    marks = [holds, *within, past]
    gaps = sorted(pairwise(marks), key=lambda gap: gap[0] / gap[1])  # the widest first
    middles = (_between(low, high, going.span) for low, high in gaps)
    return next((each for each in middles if each is not None), None)


def _is_near(one: float, other: float, span: Span) -> bool:
    return abs(one - other) <= span.tolerance * min(one, other) / 2


def _lower(past: float | None, span: Span) -> tuple[float, str, bool] | Ending:
    """What to ask while nothing holds."""
    if past is None:
        return span.start, "start", False
    return "least" if past <= span.least else (_halved(past, span), "half as much", False)


def _halved(load: float, span: Span) -> float:
    return max(span.least, float(int(load / 2)) if span.whole else told(load / 2))


def _between(low: float, high: float, span: Span) -> float | None:
    """The load in the middle, in proportion; None where the two are as close as they are to be."""
    if span.whole:
        middle = float((int(low) + int(high)) // 2)
        close = high - low <= max(1.0, span.tolerance * low)
    else:
        middle = told(sqrt(low * high))
        close = high <= low * (1 + span.tolerance)
    return None if close or not low < middle < high else middle


def told(load: float) -> float:
    """*load* to three digits, as it is asked and told."""
    return float(f"{load:.3g}")
