import pytest

from harness.audit import Finding, Word
from harness.errors import Exit
from harness.grade.checks import Grade
from harness.grade.states import State, standing
from harness.pipeline import exit_of
from harness.result import Failure, Fault, Result, Skip, Step
from harness.summarise import Figure, Row, Summary
from tests.replies import IDS, SESSION, STOP, answer, exchange, packet, result

PASSED = Grade("1", "contains", None, True, 1.0, 1.0, "there")
FAILED = Grade("1", "contains", None, False, 0.0, 1.0, "not there")
UNGRADED = Grade("1", "ttft", None, None, None, 1.0, "no text")
IGNORED = Finding("forced_tool_id", "internal_search", "no tool call", Word.IGNORED)
SHOWN = Finding("forced_tool_id", "internal_search", "internal_search", Word.TOOK_EFFECT)
WHOLE = exchange(answer("yes"))
BROKEN = exchange(answer("ye")[:-1], failure=Failure(Fault.DISCONNECTED, Step.BODY, "reset"))
EMPTY = exchange([SESSION, IDS, STOP])
CANCELLED = exchange([SESSION, IDS, packet("stop", stop_reason="user_cancelled")])


@pytest.mark.parametrize(
    ("one", "findings", "grades", "state"),
    [
        (result(WHOLE), [SHOWN], [PASSED], State.PASSED),
        (result(WHOLE), [], [PASSED, FAILED], State.FAILED),
        (result(EMPTY), [], [], State.FAILED),
        (result(CANCELLED), [], [PASSED], State.FAILED),
        (result(WHOLE), [], [PASSED, UNGRADED], State.ERROR),
        (result(WHOLE), [], [UNGRADED, FAILED], State.FAILED),
        (result(BROKEN), [], [FAILED], State.ERROR),
        (result(WHOLE, BROKEN), [], [], State.ERROR),
        (result(WHOLE), [IGNORED], [FAILED], State.INVALID),
        (result(BROKEN), [IGNORED], [], State.INVALID),
        (result(WHOLE, skip=Skip.INTERRUPTED), [IGNORED], [PASSED], State.NOT_RUN),
        (result(skip=Skip.BUDGET), [], [], State.NOT_RUN),
    ],
)
def test_a_state_is_the_worst_that_is_known(
    one: Result, findings: list[Finding], grades: list[Grade], state: State
) -> None:
    assert standing(one, findings, grades).state is state


def test_a_retry_that_went_well_takes_the_place_of_the_fault_before_it() -> None:
    first = exchange([], status=503, failure=Failure(Fault.HTTP, Step.HEADERS, "busy", http_status=503))
    assert standing(result(first, exchange(answer("yes"), attempt=2)), [], [PASSED]).state is State.PASSED


def test_every_state_but_passed_has_a_reason() -> None:
    assert standing(result(skip=Skip.BUDGET), [], []).reason == "budget"
    assert standing(result(WHOLE), [], [FAILED]).reason == "contains: not there"
    assert "forced_tool_id was ignored" in standing(result(WHOLE), [IGNORED], []).reason


def summary(**states: int) -> Summary:
    counts = {str(state): 0 for state in State} | states
    figure = Figure(None, 0)
    row = Row(
        variant="base",
        phase="main",
        trials=sum(counts.values()),
        **counts,
        pass_rate=None,
        ttft_p50_ms=figure,
        ttft_p95_ms=figure,
        total_p50_ms=figure,
        tokens_per_s_p50=figure,
        tool_calls=0,
        tool_errors=0,
        retried=0,
    )
    return Summary(rows=(row,), faults={}, stamps={}, merged_share=figure, unknown_kinds=0)


@pytest.mark.parametrize(
    ("states", "interrupted", "code"),
    [
        ({"passed": 3}, False, Exit.OK),
        ({"passed": 3, "failed": 1, "error": 1}, False, Exit.FAILED),
        ({"passed": 3, "error": 1}, False, Exit.INCOMPLETE),
        ({"passed": 3, "not_run": 1}, False, Exit.INCOMPLETE),
        ({"passed": 3, "failed": 1, "invalid": 1}, False, Exit.INCOMPLETE),
        ({"passed": 3, "failed": 1}, True, Exit.INCOMPLETE),
        ({"passed": 3}, True, Exit.INCOMPLETE),
    ],
)
def test_the_exit_code_follows_the_table(states: dict[str, int], interrupted: bool, code: Exit) -> None:
    assert exit_of(summary(**states), interrupted=interrupted) is code
