import pytest

from harness.audit import Evidence, Finding, Word, audit
from harness.errors import Exit
from harness.grade.opinion import Grade
from harness.grade.states import State, standing
from harness.pipeline import exit_of
from harness.result import Failure, Fault, Result, Skip, Step
from harness.summarise.summary import Figure, Row, Summary
from tests.replies import IDS, SESSION, START, STOP, answer, exchange, packet, result, side_by_side

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
    assert standing(result(WHOLE), [IGNORED, IGNORED], []).reason == (
        "forced_tool_id was ignored: asked internal_search, seen no tool call"
    )


def test_every_setting_that_was_ignored_is_named_in_one_sentence() -> None:
    tags = Finding("search_filters.tags", "team=hr", "d1 with team=it", Word.IGNORED)
    assert standing(result(WHOLE), [IGNORED, SHOWN, tags, IGNORED], []).reason == (
        "ignored were forced_tool_id (asked internal_search, seen no tool call) and "
        "search_filters.tags (asked team=hr, seen d1 with team=it)"
    )


def test_a_question_back_where_research_was_asked_says_so() -> None:
    asked = {"deep_research": True}
    one = exchange(answer("Which river?"), request=asked)
    assert one.transcript is not None
    found = audit(asked, one.transcript, Evidence())
    assert standing(result(one), found, [PASSED]) == (
        State.INVALID,
        "deep_research was ignored: asked true, seen a clarifying question",
    )


def test_one_empty_answer_side_by_side_fails_the_trial() -> None:
    request = {"llm_overrides": [{"model_version": "a"}, {"model_version": "b"}]}
    both = exchange(side_by_side(answer("yes")[2:], [START, STOP]), request=request)
    assert standing(result(both), [], [PASSED]) == (State.FAILED, "turn 1: model 1 (b): an empty answer")


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
    return Summary(rows=(row,), faults={}, stamps={}, merged_share=figure, unknown_kinds={})


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
