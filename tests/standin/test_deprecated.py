"""The endpoints that were replaced, as far as documents tell of them."""

import json
from typing import Any

import pytest

from tests.conftest import Serving, Standin

OLD, SIMPLE = "/chat/send-message", "/chat/send-message-simple-api"
REFUNDS = "How long is the refund window for customers in the EU?"


def session(target: Standin, **info: Any) -> str:
    return str(target.post(info, "/chat/create-chat-session").json()["chat_session_id"])


def send(
    target: Standin, message: str, session_id: str, parent: int | None = None, **fields: Any
) -> list[Any]:
    body = {
        "chat_session_id": session_id,
        "parent_message_id": parent,
        "message": message,
        "prompt_id": None,
        "search_doc_ids": None,
        "retrieval_options": {"run_search": "auto", "real_time": False},
    }
    answer = target.post(body | fields, OLD)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def said(lines: list[Any]) -> str:
    return "".join(line.get("answer_piece") or "" for line in lines)


def kinds(lines: list[Any]) -> list[str]:
    """The first key of each line, runs of one kind once."""
    keys = [next(iter(line)) for line in lines]
    return [key for at, key in enumerate(keys) if at == 0 or keys[at - 1] != key]


@pytest.mark.parametrize("which", ["sigma", "onyx"])
def test_the_same_question_gets_the_same_answer_in_flat_lines(
    which: str, request: pytest.FixtureRequest
) -> None:
    target: Standin = request.getfixturevalue(which)
    lines = send(target, REFUNDS, session(target))
    told = ["user_message_id", "tool_name", "top_documents", "tool_name", "answer_piece", "citations"]
    assert kinds(lines) == [*told, "message_id"]
    assert said(lines) == target.ask(REFUNDS).answer()
    assert lines[-1]["message"] == said(lines)
    assert lines[-1]["error"] is None


def test_a_conversation_goes_on_below_the_answer_that_is_named(sigma: Standin) -> None:
    session_id = session(sigma)
    first = send(sigma, "How do I set up SSO with Okta?", session_id)
    second = send(sigma, "Same, but for Entra ID", session_id, first[-1]["message_id"])
    assert "Entra" in said(second)
    messages = {
        each["message_id"]: each for each in sigma.get(f"/chat/get-chat-session/{session_id}")["messages"]
    }
    assert messages[second[0]["user_message_id"]]["parent_message"] == first[-1]["message_id"]


def test_calls_side_by_side_are_told_one_after_the_other(sigma: Standin) -> None:
    override = {"model_provider": "Simulated", "model_version": "sim:tokens=3,tool=search,tool=convert:5ms"}
    lines = send(sigma, "Convert 5 km in miles", session(sigma), llm_override=override)
    names = [(line["tool_name"], "tool_result" in line) for line in lines if "tool_name" in line]
    assert names == [
        ("unit_convert", False), ("unit_convert", True), ("run_search", False), ("run_search", True),
    ]  # fmt: skip


def test_an_error_ends_the_reply(sigma: Standin) -> None:
    override = {"model_provider": "Simulated", "model_version": "sim:tokens=9,fault=error@2"}
    lines = send(sigma, "hello", session(sigma), llm_override=override)
    assert "scripted failure" in lines[-1]["error"]
    assert "message_id" not in lines[-1]


def test_filters_tools_and_models_are_heeded(sigma: Standin) -> None:
    unsearched = send(sigma, REFUNDS, session(sigma), retrieval_options={"run_search": "never"})
    assert not [line for line in unsearched if "tool_name" in line]
    forced = send(sigma, "hello", session(sigma), forced_tool_ids=[1])
    assert "run_search" in [line.get("tool_name") for line in forced]
    filtered = {"run_search": "auto", "real_time": False, "filters": {"document_set": ["Engineering"]}}
    found = send(sigma, REFUNDS, session(sigma), retrieval_options=filtered, forced_tool_ids=[1])
    plain = send(sigma, REFUNDS, session(sigma), forced_tool_ids=[1])

    def first(lines: list[Any]) -> Any:
        return next(
            (line["top_documents"][0]["document_id"] for line in lines if "top_documents" in line), None
        )

    assert first(found) != first(plain)


def test_the_simple_api_answers_whole_for_a_session_or_a_persona(sigma: Standin) -> None:
    for place in ({"persona_id": 0}, {"chat_session_id": session(sigma)}):
        told = sigma.post({"message": REFUNDS, **place}, SIMPLE).json()
        assert told["answer"] == sigma.ask(REFUNDS).answer()
        assert told["error_msg"] is None
        assert told["cited_documents"][0]["document_id"] == told["citation_info"][0]["document_id"]
        assert "chat_session_id" not in told


@pytest.mark.parametrize(("path", "body"), [(OLD, {"message": "x"}), (SIMPLE, {"message": "x"})])
def test_what_is_missing_is_a_422(sigma: Standin, path: str, body: dict[str, Any]) -> None:
    answer = sigma.post(body, path)
    assert answer.status_code == 422
    assert "validation error" in answer.json()["message"]


def test_every_answer_says_that_the_endpoint_is_going(sigma: Standin) -> None:
    answers = [
        sigma.post({"message": "hello", "persona_id": 0}, SIMPLE),
        sigma.post({"message": "hello"}, OLD),
    ]
    for answer in answers:
        assert answer.headers["deprecation"] == "@1769904000"
        assert answer.headers["sunset"] == "Sun, 01 Feb 2026 00:00:00 GMT"
    assert "deprecation" not in sigma.post({"message": "hello"}).headers


def test_a_server_without_them_answers_404_as_real_ones_do(serving: Serving) -> None:
    with serving("--without-deprecated") as target:
        assert target.post({"message": "hello"}, OLD).status_code == 404
        assert target.post({"message": "hello", "persona_id": 0}, SIMPLE).status_code == 404
