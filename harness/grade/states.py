"""The state of a trial: passed, failed, error, invalid or not run (DESIGN section 4).

Precedence: not_run > invalid > error > failed > passed. `not_run` is about us:
a conversation in which Sigma broke a turn is an `error`, although its later
turns were never sent.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from harness.audit import Finding, Word
from harness.grade.checks import Grade, model_name
from harness.result import Exchange, Result
from harness.sigma.transcript import Outcome


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


def standing(result: Result, findings: Iterable[Finding], grades: Sequence[Grade]) -> Standing:
    """The state of *result*, given what its audit and its checks found."""
    if result.skip is not None:
        return Standing(State.NOT_RUN, str(result.skip))
    ignored = [finding for finding in findings if finding.word is Word.IGNORED]
    if ignored:
        return Standing(State.INVALID, _why_invalid(ignored))
    if result.failure is not None:
        return Standing(State.ERROR, str(result.failure))
    return _graded(result, grades)


def _why_invalid(ignored: Sequence[Finding]) -> str:
    """One sentence that names every setting that was ignored; what each turn repeats is said once."""
    each = dict.fromkeys((finding.setting, finding.asked, finding.seen) for finding in ignored)
    if len(each) == 1:
        setting, asked, seen = next(iter(each))
        return f"{setting} was ignored: asked {asked}, seen {seen}"
    told = [f"{setting} (asked {asked}, seen {seen})" for setting, asked, seen in each]
    return f"ignored were {', '.join(told[:-1])} and {told[-1]}"


def _graded(result: Result, grades: Sequence[Grade]) -> Standing:
    for exchange in result.turns:
        if (why := _no_answer(exchange)) is not None:
            return Standing(State.FAILED, f"turn {exchange.turn_id}: {why}")
    for grade in grades:
        if grade.passed is False:
            return Standing(State.FAILED, f"{grade.type}: {grade.reason}")
    for grade in grades:
        if grade.passed is None:
            return Standing(State.ERROR, f"{grade.type} could not be graded: {grade.reason}")
    return Standing(State.PASSED, "")


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
