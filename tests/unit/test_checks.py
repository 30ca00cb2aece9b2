import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from harness.grade.checks import check, grade
from harness.grade.side_by_side import of_model
from harness.grade.subject import Subject
from harness.plan.trials import Trial, make_plan
from harness.result import Exchange, Failure, Fault, Skip, Step
from harness.suite.expect import ready
from harness.suite.places import Finding
from harness.suite.prompts import Expect
from harness.suite.read import parse_suite
from tests.replies import (
    IDS,
    SESSION,
    START,
    STOP,
    answer,
    delta,
    exchange,
    packet,
    result,
    searched,
    side_by_side,
)

PARIS = exchange(answer("The capital is ", "Paris."))
SEARCHED = exchange([SESSION, IDS, *searched(), packet("message_start", 1), delta("30 days", 1), STOP])
RESET = exchange(answer("The cap")[:-1], failure=Failure(Fault.DISCONNECTED, Step.BODY, "reset by peer"))
CUT = exchange(answer("The cap")[:-1])
SILENT = exchange([SESSION, IDS, START, STOP])


def refuse(finding: Finding) -> None:
    raise ValueError(finding.message)


def verdict(expect: dict[str, Any] | str, *exchanges: Exchange) -> bool | None:
    return check(ready(Expect.model_validate(expect), {}, (), refuse), Subject(exchanges)).passed


@pytest.mark.parametrize(
    ("expect", "one", "passed"),
    [
        ({"type": "contains", "value": "Paris"}, PARIS, True),
        ({"type": "contains", "value": "paris"}, PARIS, False),
        ({"type": "icontains", "value": "PARIS"}, PARIS, True),
        ({"type": "icontains", "value": "Rome"}, PARIS, False),
        ({"type": "equals", "value": "The capital is Paris."}, PARIS, True),
        ({"type": "equals", "value": "The capital is Paris"}, PARIS, False),
        ({"type": "regex", "value": r"\bParis\b"}, PARIS, True),
        ({"type": "regex", "value": r"^Paris"}, PARIS, False),
        ("stream-complete", PARIS, True),
        ("stream-complete", RESET, False),
        ("stream-complete", SILENT, False),
        ({"type": "ttft", "threshold": "40ms"}, PARIS, True),
        ({"type": "ttft", "threshold": "39.999999ms"}, PARIS, False),
        ({"type": "trajectory:tool-used", "value": "internal_search"}, SEARCHED, True),
        ({"type": "trajectory:tool-used", "value": "internal_search"}, PARIS, False),
        ({"type": "trajectory:tool-used", "value": ["internal_search", "open_url"]}, SEARCHED, False),
        ({"type": "trajectory:tool-used", "value": {"pattern": "search$"}}, SEARCHED, True),
        ({"type": "trajectory:tool-used", "value": {"name": "internal_search", "min": 2}}, SEARCHED, False),
        ({"type": "trajectory:tool-used", "value": {"name": "internal_search", "max": 1}}, SEARCHED, True),
        ({"type": "trajectory:tool-used", "value": {"name": "internal_search", "max": 0}}, SEARCHED, False),
        ({"type": "trajectory:tool-used", "value": {"name": "open_url", "max": 1}}, SEARCHED, True),
    ],
)
def test_a_check_finds_what_it_says(expect: Any, one: Exchange, passed: bool) -> None:
    assert verdict(expect, one) is passed


@pytest.mark.parametrize("kind", ["contains", "equals", "regex", "icontains"])
def test_an_answer_that_broke_neither_contains_a_text_nor_lacks_it(kind: str) -> None:
    assert verdict({"type": kind, "value": "cap"}, RESET) is None


def test_a_call_may_have_been_on_its_way_when_the_reply_broke() -> None:
    assert verdict({"type": "trajectory:tool-used", "value": "internal_search"}, RESET) is None
    assert (
        verdict({"type": "trajectory:tool-used", "value": {"name": "x", "max": 0}}, SEARCHED, RESET) is None
    )


def test_what_we_cut_off_ourselves_has_neither_failed_nor_passed() -> None:
    checks = "[{type: contains, value: Rome}, stream-complete, {type: not-contains, value: Rome}]"
    grades = grade(result(CUT, skip=Skip.BUDGET), trial(checks))
    assert [one.passed for one in grades] == [None, None, None]
    text = "suite: s\ntarget: standin\nprompts:\n  - turns: [{message: a}, {message: b}]\n    assert: "
    case = text + "[{type: contains, value: Rome}]\n"
    (talk,) = make_plan(parse_suite(case, path=Path("s.yaml"), environ={})).trials
    assert [one.turn_id for one in grade(result(PARIS, skip=Skip.BUDGET), talk)] == ["1"]
    assert [one.turn_id for one in grade(result(PARIS), talk)] == ["1", None]


def test_a_reply_that_was_not_streamed_has_no_ttft_to_grade() -> None:
    whole = exchange(
        ['{"answer": "Paris", "message_id": 2, "error_msg": null, "tool_calls": [], "top_documents": []}'],
        content_type="application/json",
    )
    assert verdict({"type": "contains", "value": "Paris"}, whole) is True
    assert verdict({"type": "ttft", "threshold": "1000s"}, whole) is None


def test_of_a_conversation_text_is_the_last_answer_and_tool_calls_are_all_of_them() -> None:
    assert verdict({"type": "contains", "value": "Paris"}, SEARCHED, PARIS) is True
    assert verdict({"type": "contains", "value": "30 days"}, SEARCHED, PARIS) is False
    assert verdict({"type": "trajectory:tool-used", "value": "internal_search"}, SEARCHED, PARIS) is True


def trial(asserts: str) -> Trial:
    text = f"suite: s\ntarget: standin\nprompts:\n  - id: p\n    message: hi\n    assert: {asserts}\n"
    (only,) = make_plan(parse_suite(text, path=Path("s.yaml"), environ={})).trials
    return only


def test_not_turns_a_grade_round_and_leaves_what_could_not_be_graded() -> None:
    asserted = trial("[{type: not-contains, value: Rome}, {type: not-contains, value: Paris}]")
    assert [one.passed for one in grade(result(PARIS), asserted)] == [True, False]
    assert [one.passed for one in grade(result(RESET), asserted)] == [None, None]
    assert [one.type for one in grade(result(PARIS), asserted)] == ["not-contains", "not-contains"]


def test_a_prompt_without_checks_is_checked_for_a_whole_stream() -> None:
    (only,) = grade(result(RESET), trial("[]"))
    assert (only.type, only.passed, only.score) == ("stream-complete", False, 0.0)


def test_weight_and_metric_are_carried_along() -> None:
    (only,) = grade(result(PARIS), trial("[{type: contains, value: Paris, weight: 2, metric: facts}]"))
    assert (only.weight, only.metric, only.score) == (2.0, "facts", 1.0)


def test_a_turn_that_was_never_sent_is_not_graded() -> None:
    assert grade(result(), trial("[{type: contains, value: Paris}]")) == []


# Models side by side

ASKED = {"llm_overrides": [{"model_version": "a"}, {"model_provider": "P", "model_version": "b"}, {}]}


def beside(*shares: list[str]) -> Exchange:
    return exchange(side_by_side(*shares), request=ASKED)


def only(asserts: str, *exchanges: Exchange) -> tuple[bool | None, str]:
    (one,) = grade(result(*exchanges), trial(asserts))
    return one.passed, one.reason


def test_a_check_on_models_side_by_side_holds_only_where_it_holds_for_every_one() -> None:
    paris, rome = answer("in Paris")[2:], answer("in Rome")[2:]
    wanted = "[{type: contains, value: Paris}]"
    assert only(wanted, beside(paris, paris))[0] is True
    assert only(wanted, beside(paris, rome)) == (
        False,
        "model 1 (P/b): the answer does not contain 'Paris': 'in Rome'",
    )
    refused = "[{type: not-contains, value: Paris}]"
    assert only(refused, beside(rome, rome))[0] is True
    held, reason = only(refused, beside(rome, rome, paris))
    assert (held, reason.partition(":")[0]) == (False, "model 2")


def test_tool_calls_and_times_of_models_side_by_side_are_each_models_own() -> None:
    plain, searching = answer("hi")[2:], searched(packet("message_start", 1), delta("hi", 1), STOP)
    used = "[{type: 'trajectory:tool-used', value: internal_search}]"
    assert only(used, beside(searching, searching))[0] is True
    assert only(used, beside(searching, plain))[1].startswith(
        "model 1 (P/b): internal_search was called 0 times"
    )
    # Lines come 10 ms apart: the second model's text after that of the first.
    first, second = beside(plain, plain), "[{type: ttft, threshold: 50ms}]"
    assert only(second, first) == (False, "model 1 (P/b): TTFT 70.0 ms, over 50 ms")


def test_one_model_that_broke_leaves_its_answer_ungraded_and_its_stream_incomplete() -> None:
    broke = json.dumps({"error": "no", "error_code": "API_ERROR", "details": {"model_index": 1}})
    both = exchange([*side_by_side(answer("Paris")[2:], [START, delta("Par")]), broke], request=ASKED)
    assert only("[{type: contains, value: Paris}]", both) == (
        None,
        "model 1 (P/b): no whole answer: error_line API_ERROR (body): no",
    )
    assert only("[]", both) == (False, "model 1 (P/b): turn 1: error_line API_ERROR (body): no")


def test_a_model_that_came_to_its_end_has_not_failed_whatever_became_of_the_others() -> None:
    cut = exchange(
        side_by_side(answer("Paris")[2:], [START, delta("Par")]),
        request=ASKED,
        failure=Failure(Fault.DISCONNECTED, Step.BODY, "reset by peer"),
    )
    assert of_model(cut, 0).failure is None
    assert only("[{type: contains, value: Paris}]", cut) == (
        None,
        "model 1 (P/b): no whole answer: disconnected (body): reset by peer",
    )
    assert only("[{type: contains, value: Rome}]", cut)[1].startswith("model 0 (a): the answer does not")


def test_a_conversation_with_one_turn_side_by_side_is_checked_once_for_each_model() -> None:
    text = "suite: s\ntarget: standin\nprompts:\n  - turns: [{id: a, message: a}, {id: b, message: b}]\n"
    text += "    assert: [{type: 'trajectory:tool-used', value: internal_search}]\n"
    (talk,) = make_plan(parse_suite(text, path=Path("s.yaml"), environ={})).trials
    searching = searched(packet("message_start", 1), delta("hi", 1), STOP)
    turns = [
        structs.replace(one, turn_id=name)
        for name, one in (("a", PARIS), ("b", beside(searching, answer("x")[2:])))
    ]
    *_, whole = grade(result(*turns), talk)
    assert (whole.turn_id, whole.passed) == (None, False)
    assert whole.reason.startswith("model 1 (P/b): internal_search was called 0 times")
