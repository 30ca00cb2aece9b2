"""The state of a trial: passed, failed, error, invalid or not run (DESIGN section 4).

Precedence: not_run > invalid > error > failed > passed. `not_run` is about us:
a conversation in which Sigma broke a turn is an `error`, although its later
turns were never sent.
"""

from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from harness.audit import Finding, Word
from harness.grade.opinion import Grade, together
from harness.grade.side_by_side import model_name
from harness.result import Exchange, Result
from harness.sigma.transcript import Outcome

EXPECTING = frozenset({"outcome", "not-outcome", "error-code", "not-error-code"})
"""Checks by which a suite may say that a turn is to fail."""


class State(StrEnum):
    """What became of a trial."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    INVALID = "invalid"
    NOT_RUN = "not_run"


class Standing(NamedTuple):
    """A state and the sentence that says why."""

    state: State
    reason: str


def standing(
    result: Result,
    findings: Iterable[Finding],
    grades: Sequence[Grade],
    *,
    threshold: float | None = None,
    expected: Collection[str] = (),
) -> Standing:
    """The state of *result*, given what its audit and its checks found.

    With a *threshold* the weighed scores of the checks decide. *expected* are the turns that the suite says
    are to fail: what they came to is for their checks to say, and those that need an answer are passed over.
    """
    if result.skip is not None:
        return Standing(State.NOT_RUN, str(result.skip))
    ignored = [finding for finding in findings if finding.word is Word.IGNORED]
    if ignored:
        return Standing(State.INVALID, _why_invalid(ignored))
    deciding = [grade for grade in grades if grade.decides]
    met = [turn for turn in expected if _came_true(turn, deciding)]
    for turn in result.turns:
        if turn.turn_id in met:
            continue
        if turn.failure is not None:
            return Standing(State.ERROR, str(turn.failure))
        if (why := _no_answer(turn)) is not None:
            return Standing(State.FAILED, f"turn {turn.turn_id}: {why}")
    return _graded([grade for grade in deciding if not _moot(grade, met)], threshold)


def _came_true(turn: str, grades: Iterable[Grade]) -> bool:
    """Whether the checks that expect *turn* to fail could be graded."""
    said = [grade.passed for grade in grades if grade.turn_id == turn and grade.type in EXPECTING]
    return bool(said) and None not in said


def _moot(grade: Grade, met: Collection[str]) -> bool:
    return grade.passed is None and grade.turn_id in met


def _why_invalid(ignored: Sequence[Finding]) -> str:
    """One sentence that names every setting that was ignored; what each turn repeats is said once."""
    each = dict.fromkeys((finding.setting, finding.asked, finding.seen) for finding in ignored)
    if len(each) == 1:
        setting, asked, seen = next(iter(each))
        return f"{setting} was ignored: asked {asked}, seen {seen}"
    told = [f"{setting} (asked {asked}, seen {seen})" for setting, asked, seen in each]
    return f"ignored were {', '.join(told[:-1])} and {told[-1]}"


def _graded(grades: Sequence[Grade], threshold: float | None) -> Standing:
    opinion = together(grades, threshold)
    match opinion.passed:
        case True:
            return Standing(State.PASSED, "")
        case False:
            return Standing(State.FAILED, opinion.reason)
        case None:
            return Standing(State.ERROR, opinion.reason)


_NO_ANSWER = {Outcome.EMPTY: "an empty answer", Outcome.CANCELLED: "cancelled by someone else"}


def _no_answer(exchange: Exchange) -> str | None:
    """Why a whole reply has no answer, that of any of its models; None where it has."""
    transcript = exchange.transcript
    if transcript is None:
        return None
    for share in transcript.models or ():
        if share.outcome in _NO_ANSWER:
            return f"{model_name([exchange], share.model_index)}: {_NO_ANSWER[share.outcome]}"
    return _NO_ANSWER.get(transcript.outcome)
