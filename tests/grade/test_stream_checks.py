"""How a reply came: a table for each type, expected failures, and what could not be graded."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.grade.checks import expected_failures, grade
from harness.grade.states import State, standing
from harness.grade.subject import Known
from harness.plan.trials import Trial, make_plan
from harness.result import Exchange, Failure, Fault, Step
from harness.suite.model import Price
from harness.suite.read import parse_suite
from tests.grade.checking import opinion, told
from tests.replies import IDS, SESSION, START, STOP, answer, delta, exchange, found, packet, result

WHOLE = exchange(answer("one ", "two ", "three"))
SILENT = exchange([SESSION, IDS, START, STOP])
LINE = json.dumps({"error": "no such thing", "error_code": "NOT_FOUND", "details": {}})
REFUSED = exchange(
    [SESSION, LINE], failure=Failure(Fault.ERROR_LINE, Step.BODY, "no such thing", code="NOT_FOUND")
)
BUSY = exchange([], status=503, failure=Failure(Fault.HTTP, Step.HEADERS, "busy", http_status=503))
RESET = exchange(answer("on")[:-1], failure=Failure(Fault.DISCONNECTED, Step.BODY, "reset"))
CUT = exchange(answer("on")[:-1])
GONE = exchange([], status=None, failure=Failure(Fault.CONNECT, Step.CONNECT, "refused"))
RESEARCH = exchange(
    [
        SESSION,
        IDS,
        packet("deep_research_plan_start", 0),
        packet("deep_research_plan_delta", 0, content="First"),
        packet("research_agent_start", 1, research_task="look"),
        packet("section_end", 1),
        packet("message_start", 2),
        delta("done", 2),
        STOP,
    ]
)
SEARCHED = exchange(
    [SESSION, IDS, *found({"document_id": "a"}), packet("message_start", 1), delta("x", 1), STOP]
)


@pytest.mark.parametrize(
    ("written", "one", "passed"),
    [
        ({"type": "outcome", "value": "success"}, WHOLE, True),
        ({"type": "outcome", "value": "error"}, WHOLE, False),
        ({"type": "outcome", "value": "error"}, REFUSED, True),
        ({"type": "outcome", "value": "error"}, BUSY, True),
        ({"type": "outcome", "value": ["empty", "error"]}, SILENT, True),
        ({"type": "outcome", "value": "success"}, SILENT, False),
        ({"type": "outcome", "value": "error"}, RESET, None),
        ({"type": "outcome", "value": "disconnected"}, RESET, True),
        ({"type": "outcome", "value": "error"}, GONE, None),
        ({"type": "outcome", "value": "connect"}, GONE, True),
        ({"type": "outcome", "value": "success"}, CUT, None),
        ({"type": "error-code", "value": "NOT_FOUND"}, REFUSED, True),
        ({"type": "error-code", "value": ["OTHER", "503"]}, BUSY, True),
        ({"type": "error-code", "value": "OTHER"}, REFUSED, False),
        ({"type": "error-code", "value": "OTHER"}, WHOLE, False),
        ({"type": "error-code", "value": "OTHER"}, GONE, None),
        ({"type": "latency", "threshold": "70ms"}, WHOLE, True),
        ({"type": "latency", "threshold": "69ms"}, WHOLE, False),
        ({"type": "latency", "threshold": "1s"}, RESET, None),
        ({"type": "milestone", "name": "first_packet", "threshold": "30ms"}, WHOLE, True),
        ({"type": "milestone", "name": "first_answer_token", "threshold": "39ms"}, WHOLE, False),
        ({"type": "milestone", "name": "first_search_doc", "threshold": "50ms"}, SEARCHED, True),
        ({"type": "milestone", "name": "first_search_doc", "threshold": "50ms"}, WHOLE, None),
        ({"type": "milestone", "name": "first_dr_plan", "threshold": "40ms"}, RESEARCH, True),
        ({"type": "milestone", "name": "first_research_agent", "threshold": "49ms"}, RESEARCH, False),
        ({"type": "milestone", "name": "first_dr_plan", "threshold": "40ms"}, WHOLE, None),
        ({"type": "stall", "threshold": "10ms"}, WHOLE, True),
        ({"type": "stall", "threshold": "9ms"}, WHOLE, False),
        ({"type": "stall", "threshold": "9ms"}, exchange(answer("one")), None),
        ({"type": "tokens-per-second", "min": 400, "max": 500}, WHOLE, True),
        ({"type": "tokens-per-second", "min": 501}, WHOLE, False),
        ({"type": "tokens-per-second", "min": 1}, exchange(answer("one")), None),
        ({"type": "tokens", "min": 13, "max": 13}, WHOLE, True),
        ({"type": "tokens", "max": 12}, WHOLE, False),
        ({"type": "tokens", "min": 1, "of": "reasoning"}, WHOLE, False),
        ({"type": "tokens", "max": 1}, RESET, None),
    ],
    ids=str,
)
def test_how_a_reply_came_is_held_against_what_was_expected(
    written: dict[str, Any], one: Exchange, passed: bool | None
) -> None:
    said = opinion(written, one, known=Known(count_tokens=len))
    assert said.passed is passed, said.reason


def test_the_slowest_turn_is_what_counts() -> None:
    slow = exchange(answer("x"), every_ns=100_000_000)
    assert opinion({"type": "ttft", "threshold": "50ms"}, WHOLE, slow).passed is False
    assert opinion({"type": "ttft", "threshold": "1s"}, WHOLE, slow).passed is True
    assert opinion({"type": "ttft", "threshold": "1s"}, WHOLE, SILENT).passed is None


def test_cost_is_what_is_on_the_wire_by_the_price_of_the_model() -> None:
    request = {"message": "hello", "llm_override": {"model_provider": "P", "model_version": "m"}}
    one = exchange(answer("0123456789"), request=request)
    cheap, dear = Price(input=2, output=10), Price(output=1000)
    known = Known(count_tokens=len, prices={"m": dear, "P/m": cheap})
    said = opinion({"type": "cost", "threshold": 0.00011}, one, known=known)
    assert said.passed is True
    assert said.reason.startswith("at least 0.000110 USD")
    assert opinion({"type": "cost", "threshold": 0.0001}, one, known=known).passed is False
    unknown = opinion({"type": "cost", "threshold": 1}, one, known=Known(count_tokens=len))
    assert unknown.passed is None
    assert "prices: {m: {output: ...}}" in unknown.reason


def test_without_a_counter_there_are_no_tokens() -> None:
    for written in ({"type": "tokens", "max": 1}, {"type": "cost", "threshold": 1}):
        assert opinion(written, WHOLE).passed is None


# A suite may expect a failure


def came_to(asserts: str, one: Exchange, defaults: str = "[]") -> State:
    prompt = f"{{id: p, message: a, assert: {asserts}}}"
    text = f"target: standin\ndefaults: {{assert: {defaults}}}\nprompts: [{prompt}]\n"
    (trial,) = make_plan(parse_suite(text, Path("s.yaml"), {})).trials
    assert isinstance(trial, Trial)
    of = result(one)
    return standing(of, [], grade(of, trial), expected=expected_failures(trial)).state


ERROR = "[{type: outcome, value: error}]"


@pytest.mark.parametrize(
    ("asserts", "one", "state"),
    [
        (ERROR, REFUSED, State.PASSED),
        (ERROR, BUSY, State.PASSED),
        (ERROR, WHOLE, State.FAILED),
        (ERROR, RESET, State.ERROR),
        ("[{type: error-code, value: NOT_FOUND}]", REFUSED, State.PASSED),
        ("[{type: error-code, value: OTHER}]", REFUSED, State.FAILED),
        ("[{type: outcome, value: empty}]", SILENT, State.PASSED),
        ("[{type: not-outcome, value: success}]", REFUSED, State.PASSED),
        ("[{type: outcome, value: success}]", REFUSED, State.ERROR),
        ("[{type: not-outcome, value: error}]", REFUSED, State.ERROR),
        ("[{type: contains, value: x}]", REFUSED, State.ERROR),
    ],
)
def test_an_expected_failure_is_graded_like_an_answer(asserts: str, one: Exchange, state: State) -> None:
    assert came_to(asserts, one) is state


def test_checks_of_an_answer_are_passed_over_where_the_failure_came_as_expected() -> None:
    defaults = "[stream-complete, not-is-refusal, {type: ttft, threshold: 1s}]"
    assert came_to(ERROR, REFUSED, defaults) is State.PASSED
    assert came_to(ERROR, WHOLE, defaults) is State.FAILED


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("{type: outcome, value: eror}", "eror is no outcome; did you mean error?"),
        ("outcome", "outcome wants a value: {type: outcome, value: error}"),
        ("{type: latency, threshold: 4}", "a duration needs a unit: write 4s"),
        ("{type: milestone, name: first_doc, threshold: 1s}", "did you mean first_"),
        ("{type: tokens-per-second}", "a min is wanted, a max, or both"),
        ("{type: tokens, min: 2, max: 1}", "min is more than max"),
        ("{type: cost, threshold: 1 USD}", "a number is wanted"),
    ],
)
def test_what_a_type_does_not_take_is_told(written: str, says: str) -> None:
    assert says in told(written)
