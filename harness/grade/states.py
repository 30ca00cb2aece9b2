"""The state of a trial: passed, failed, error, invalid or not run (DESIGN section 4).

Precedence: not_run > invalid > error > failed > passed. `not_run` is about us:
a conversation in which Sigma broke a turn is an `error`, although its later
turns were never sent.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from harness.audit import Finding, Word
from harness.grade.checks import Grade
from harness.result import Result
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
        first = ignored[0]
        return Standing(State.INVALID, f"{first.setting} was ignored: asked {first.asked}, seen {first.seen}")
    if result.failure is not None:
        return Standing(State.ERROR, str(result.failure))
    return _graded(result, grades)


def _graded(result: Result, grades: Sequence[Grade]) -> Standing:
    for exchange in result.turns:
        match exchange.transcript.outcome if exchange.transcript else None:
            case Outcome.EMPTY:
                return Standing(State.FAILED, f"turn {exchange.turn_id}: an empty answer")
            case Outcome.CANCELLED:
                return Standing(State.FAILED, f"turn {exchange.turn_id}: cancelled by someone else")
            case _:
                pass
    for grade in grades:
        if grade.passed is False:
            return Standing(State.FAILED, f"{grade.type}: {grade.reason}")
    for grade in grades:
        if grade.passed is None:
            return Standing(State.ERROR, f"{grade.type} could not be graded: {grade.reason}")
    return Standing(State.PASSED, "")
