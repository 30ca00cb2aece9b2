"""The repeats of one prompt under one variant -> one state, and one figure.

Repeats that neither passed nor failed (an error, an ignored setting, what was not run) count as neither. What
they might have been is asked: where all of them passed and where all of them failed; if both come to the same
that is the state, and else it is theirs.
"""

from collections.abc import Sequence
from typing import NamedTuple

from harness.grade.states import State
from harness.stats.repeats import pass_at_k, pass_hat_k
from harness.suite.prompts import Reduce

_MISSING = (State.INVALID, State.ERROR, State.NOT_RUN)
"""States that say neither pass nor fail; the first of them that is there names the whole."""


class Repeat(NamedTuple):
    """One trial of a prompt, as far as a reduction looks at it."""

    state: State
    score: float | None = None


class Reduced(NamedTuple):
    """What repeats come to.

    *value* is over the repeats that passed or failed, None where they are too few. *state* is None where the
    reduction is a figure and decides nothing.
    """

    value: float | None
    state: State | None
    reason: str


def reduced(repeats: Sequence[Repeat], how: Reduce) -> Reduced:
    """*repeats* by the reduction that the suite names."""
    states = [repeat.state for repeat in repeats]
    scores = [_score(repeat) for repeat in repeats if repeat.state in {State.PASSED, State.FAILED}]
    passes, missing = states.count(State.PASSED), max(len(repeats), how.of or 0) - len(scores)
    value = _figure(how, passes, scores)
    if not how.decides:
        return Reduced(value, None, "")
    at_worst = _holds(how, passes, [*scores, *[0.0] * missing])
    at_best = _holds(how, passes + missing, [*scores, *[1.0] * missing])
    fails = len(scores) - passes
    told = f"{how.told}: {passes} passed, {fails} failed" + (f", {missing} neither" if missing else "")
    if State.INVALID in states:
        return Reduced(value, State.INVALID, told)
    if at_worst and at_best:
        return Reduced(value, State.PASSED, told)
    if not at_worst and not at_best:
        return Reduced(value, State.FAILED, told)
    state = next((state for state in _MISSING if state in states), State.NOT_RUN)
    return Reduced(value, state, f"{told}: these might decide it")


def _score(repeat: Repeat) -> float:
    """The score of a repeat that was graded: of its checks, and else that it passed."""
    return float(repeat.state is State.PASSED) if repeat.score is None else repeat.score


def _figure(how: Reduce, passes: int, scores: Sequence[float]) -> float | None:
    """What *how* makes of so many graded repeats; None where they are too few for it."""
    count = len(scores)
    if count < (how.k or 1):
        return None
    match how.by[:5]:
        case "mean":
            return sum(scores) / count
        case "pass@":
            return float(pass_at_k(passes, count, how.k or 1))
        case "pass^":
            return float(pass_hat_k(passes, count, how.k or 1))
        case _:
            return passes / count


def _holds(how: Reduce, passes: int, scores: Sequence[float]) -> bool:
    """Whether so many passes, and these scores, are what is wanted."""
    if how.by == "majority":
        return 2 * passes > len(scores)
    if how.of is not None:  # of more repeats than it speaks of, as large a share
        return passes * how.of >= int(how.by.partition(" ")[0]) * max(how.of, len(scores))
    figure = _figure(how, passes, scores)
    return figure is not None and how.min is not None and figure >= how.min
