"""Sessions, the tree of messages, stopping, hanging up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Reply, Standin

SLOW = "sim:ttft=5ms,gap=20ms,tokens=40"


def test_a_session_made_beforehand_has_no_session_line(onyx: Standin) -> None:
    made = onyx.post({"persona_id": 1, "description": "run 7"}, "/chat/create-chat-session").json()
    reply = onyx.ask("hello", chat_session_id=made["chat_session_id"])
    assert "user_message_id" in reply.lines[0]
    detail = onyx.get(f"/chat/get-chat-session/{made['chat_session_id']}")
    assert (detail["persona_id"], detail["persona_name"], detail["description"]) == (
        1,
        "Support Agent",
        "run 7",
    )


def test_the_root_is_hidden_and_ids_are_global(onyx: Standin) -> None:
    first, second = onyx.ask("hello"), onyx.ask("hello")
    assert second.user_id > first.assistant_id
    messages = onyx.session(second)["messages"]
    assert [message["message_type"] for message in messages] == ["system", "user", "assistant"]
    assert [message["parent_message"] for message in messages[1:]] == [
        messages[0]["message_id"],
        second.user_id,
    ]
    assert messages[0]["latest_child_message"] == second.user_id


def test_a_turn_without_a_parent_follows_the_last_message(onyx: Standin) -> None:
    first = onyx.ask("hello")
    second = onyx.ask("and then", chat_session_id=first.session_id)
    user = next(one for one in onyx.session(first)["messages"] if one["message_id"] == second.user_id)
    assert user["parent_message"] == first.assistant_id


def test_an_explicit_null_parent_starts_over_from_the_root(onyx: Standin) -> None:
    first = onyx.ask("How do I set up SSO with Okta?")
    again = onyx.ask("Same, but for Entra ID", chat_session_id=first.session_id, parent_message_id=None)
    messages = {one["message_id"]: one for one in onyx.session(first)["messages"]}
    assert messages[messages[again.user_id]["parent_message"]]["message_type"] == "system"
    assert "Okta?" not in again.objects("search_tool_queries_delta")[0]["queries"][0]


def test_a_parent_that_is_a_question_answers_it_again(onyx: Standin) -> None:
    first = onyx.ask("What is the capital of France?")
    again = onyx.ask("ignored", chat_session_id=first.session_id, parent_message_id=first.user_id)
    assert again.user_id == first.user_id
    assert again.assistant_id > first.assistant_id
    assert again.answer() == "The capital of France is Paris."


def test_an_answer_further_up_may_be_continued(onyx: Standin) -> None:
    first = onyx.ask("one")
    second = onyx.ask("two", chat_session_id=first.session_id)
    branch = onyx.ask("two again", chat_session_id=first.session_id, parent_message_id=first.assistant_id)
    after = onyx.ask("three", chat_session_id=first.session_id, parent_message_id=second.assistant_id)
    assert branch.kinds[-1] == "stop"
    assert after.error["error_code"] == "VALIDATION_ERROR"
    assert len(after.lines) == 1


def _latest(standin: Standin, reply: Reply) -> dict[int, int | None]:
    return {each["message_id"]: each["latest_child_message"] for each in standin.session(reply)["messages"]}


def test_the_mainline_turns_to_the_message_that_is_named(onyx: Standin) -> None:
    first = onyx.ask("one")
    old = onyx.ask("two", chat_session_id=first.session_id)
    new = onyx.ask("two again", chat_session_id=first.session_id, parent_message_id=first.assistant_id)
    assert _latest(onyx, first)[first.assistant_id] == new.user_id
    turned = onyx.http.put("/chat/set-message-as-latest", json={"message_id": old.user_id})
    assert (turned.status_code, turned.json()) == (200, None)
    assert _latest(onyx, first)[first.assistant_id] == old.user_id
    after = onyx.ask("three", chat_session_id=first.session_id, parent_message_id=old.assistant_id)
    assert after.kinds[-1] == "stop"
    lost = onyx.ask("three", chat_session_id=first.session_id, parent_message_id=new.assistant_id)
    assert lost.error["error_code"] == "VALIDATION_ERROR"


def test_of_answers_side_by_side_the_preferred_one_is_gone_on_from(onyx: Standin) -> None:
    models = [{"model_provider": "Simulated", "model_version": name} for name in ("swift", "steady")]
    both = onyx.ask("How long is the refund window?", llm_overrides=models)
    (ids,) = [line for line in both.lines if "responses" in line]
    question = ids["user_message_id"]
    answers = [each["message_id"] for each in ids["responses"]]
    for preferred in answers:
        told = {"user_message_id": question, "preferred_response_id": preferred}
        assert onyx.http.put("/chat/set-preferred-response", json=told).status_code == 200
        chosen = next(each for each in onyx.session(both)["messages"] if each["message_id"] == question)
        assert (chosen["latest_child_message"], chosen["preferred_response_id"]) == (preferred, preferred)
    other = {"user_message_id": question, "preferred_response_id": onyx.ask("hello").assistant_id}
    assert onyx.http.put("/chat/set-preferred-response", json=other).status_code == 400


def test_a_conversation_can_be_given_a_name(onyx: Standin) -> None:
    reply = onyx.ask("hello")
    told = {"chat_session_id": reply.session_id, "name": "run 8"}
    assert onyx.http.put("/chat/rename-chat-session", json=told).json() == {"new_name": "run 8"}
    assert onyx.session(reply)["description"] == "run 8"
    unknown = told | {"chat_session_id": "5b0f5e0e-2c4e-4a5e-9c1d-0d8a4f6a1b11"}
    assert onyx.http.put("/chat/rename-chat-session", json=unknown).status_code == 400


@pytest.mark.parametrize("what", ["rename-chat-session", "set-message-as-latest", "set-preferred-response"])
@pytest.mark.parametrize("body", [b"", b"[]", b'{"message_id": "x", "preferred_response_id": null}'])
def test_a_body_that_cannot_be_read_is_refused(onyx: Standin, what: str, body: bytes) -> None:
    answer = onyx.http.put(f"/chat/{what}", content=body)
    assert (answer.status_code, answer.json()["status_code"]) == (422, 422)


def test_a_follow_up_knows_the_question_before_it(onyx: Standin) -> None:
    first = onyx.ask("How do I set up SSO with Okta?")
    second = onyx.ask("Same, but for Entra ID", chat_session_id=first.session_id)
    third = onyx.ask("Now only the test login", chat_session_id=first.session_id)
    assert second.found()[0] == "prod-sso-entra"
    assert third.answer().startswith("A test login must succeed")


def test_session_detail_shows_the_model_that_answered(onyx: Standin) -> None:
    reply = onyx.ask(
        "hello", llm_override={"model_provider": "Harbor", "model_version": "lighthouse", "temperature": 0.5}
    )
    answer = onyx.session(reply)["messages"][-1]
    assert answer["request_params"] == {
        "max_tokens": None,
        "model_name": "lighthouse",
        "sent_kwargs": {"temperature": 0.5},
        "model_provider": "openai_compatible",
        "reasoning_effort": "auto",
    }
    assert answer["message"] == reply.answer()


def test_reasoning_models_are_held_at_temperature_one(onyx: Standin) -> None:
    override = {"model_provider": "Simulated", "model_version": "thinker", "temperature": 0.2}
    params = onyx.session(onyx.ask("hello", llm_override=override))["messages"][-1]["request_params"]
    assert params["sent_kwargs"] == {"temperature": 1.0}


def _stopped(standin: Standin, model: str, after: str) -> tuple[str, list[str]]:
    """Stop a reply once a line with *after* was seen; the session and all lines."""
    session = standin.post({}, "/chat/create-chat-session").json()["chat_session_id"]
    body = {
        "message": "go",
        "chat_session_id": session,
        "llm_override": {"model_provider": "Simulated", "model_version": model},
    }
    lines = []
    with standin.http.stream("POST", "/chat/send-chat-message", json=body) as answer:
        for line in answer.iter_lines():
            lines.append(line)
            if after in line and "user_cancelled" not in line:
                stop = standin.post({}, f"/chat/stop-chat-session/{session}")
                assert stop.json() == {"message": "Chat session stopped"}
    return session, [line for line in lines if line]


def test_stop_ends_a_reply_and_keeps_what_was_said(onyx: Standin) -> None:
    session, lines = _stopped(onyx, SLOW, '"message_delta"')
    assert '"stop_reason": "user_cancelled"' in lines[-1]
    assert '"model_index": null' in lines[-1]
    answer = onyx.get(f"/chat/get-chat-session/{session}")["messages"][-1]
    assert answer["message"].endswith(" ... \n\nGeneration was stopped by the user.")


def test_stop_before_the_first_word_leaves_the_notice_alone(onyx: Standin) -> None:
    session, lines = _stopped(onyx, "sim:ttft=10s", "reserved_assistant_message_id")
    assert len(lines) == 2
    answer = onyx.get(f"/chat/get-chat-session/{session}")["messages"][-1]
    assert answer["message"] == "The generation was stopped by the user."
    assert answer["request_params"] is None


def test_stop_is_harmless_for_an_idle_session_and_404_for_an_unknown_one(onyx: Standin) -> None:
    reply = onyx.ask("hello")
    assert onyx.post({}, f"/chat/stop-chat-session/{reply.session_id}").status_code == 200
    unknown = onyx.post({}, "/chat/stop-chat-session/5b0f5e0e-2c4e-4a5e-9c1d-0d8a4f6a1b11")
    assert (unknown.status_code, unknown.json()["error_code"]) == (404, "SESSION_NOT_FOUND")


def _until_idle(standin: Standin, session: str) -> dict[str, Any]:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        detail: dict[str, Any] = standin.get(f"/chat/get-chat-session/{session}")
        if detail["current_run"] is None:
            return detail
    raise AssertionError("still running")


def test_hanging_up_does_not_stop_a_reply(onyx: Standin) -> None:
    session = onyx.post({}, "/chat/create-chat-session").json()["chat_session_id"]
    override = {"model_provider": "Simulated", "model_version": "sim:ttft=1ms,gap=5ms,tokens=60"}
    body = {"message": "go", "chat_session_id": session, "llm_override": override}
    with onyx.http.stream("POST", "/chat/send-chat-message", json=body) as answer:
        next(answer.iter_raw())
    assert onyx.get(f"/chat/get-chat-session/{session}")["current_run"] is not None
    detail = _until_idle(onyx, session)
    assert len(detail["messages"][-1]["message"].split()) == 60


def test_a_stream_can_be_resumed_from_its_beginning_while_it_runs(onyx: Standin) -> None:
    session = onyx.post({}, "/chat/create-chat-session").json()["chat_session_id"]
    override = {"model_provider": "Simulated", "model_version": "sim:ttft=1ms,gap=10ms,tokens=40"}
    body = {"message": "go", "chat_session_id": session, "llm_override": override}
    resume = f"/chat/chat-session/{session}/resume-stream?cursor=0"
    with onyx.http.stream("POST", "/chat/send-chat-message", json=body) as answer:
        next(answer.iter_raw())
    again = onyx.http.get(resume)
    assert again.headers["content-type"] == "text/event-stream; charset=utf-8"
    lines = again.text.removesuffix("\n").split("\n")
    assert "reserved_assistant_message_id" in lines[0]
    assert sum('"message_delta"' in line for line in lines) == 40
    assert '"stop"' in lines[-1]
    late = onyx.http.get(resume)
    assert (late.status_code, late.json()["error_code"]) == (404, "NOT_FOUND")


def test_a_deleted_session_is_gone(onyx: Standin) -> None:
    reply = onyx.ask("hello")
    path = f"/chat/delete-chat-session/{reply.session_id}"
    assert onyx.http.delete(path).status_code == 200
    assert onyx.http.delete(path).json() == {"detail": "Invalid Chat Session ID provided"}
    assert (
        onyx.ask("again", chat_session_id=reply.session_id).error["error"] == "Chat session has been deleted"
    )
    listed = [one["id"] for one in onyx.get("/chat/get-user-chat-sessions?page_size=100")["sessions"]]
    assert reply.session_id not in listed


def test_a_deleted_session_can_still_be_seen_unless_it_was_deleted_for_good(onyx: Standin) -> None:
    for hard, status in (("false", 200), ("true", 404)):
        reply = onyx.ask("hello")
        path = f"/chat/delete-chat-session/{reply.session_id}"
        assert onyx.http.delete(path, params={"hard_delete": hard}).status_code == 200
        detail = f"/chat/get-chat-session/{reply.session_id}"
        assert onyx.http.get(detail).status_code == 404
        assert onyx.http.get(detail, params={"include_deleted": "true"}).status_code == status


def test_agents_come_in_pages(onyx: Standin) -> None:
    names = [each["name"] for each in onyx.get("/persona")]
    pages = [onyx.get(f"/agents?page_num={number}&page_size=2") for number in range(3)]
    assert [[each["name"] for each in page["items"]] for page in pages] == [names[:2], names[2:], []]
    assert {page["total_items"] for page in pages} == {len(names)}
    assert onyx.get("/agents")["items"] == onyx.get("/persona")


def test_readiness_says_how_full_the_server_is(onyx: Standin) -> None:
    told = onyx.get("/health/ready")
    assert told["success"] is True
    assert told["data"]["threadpool_borrowed_tokens"] <= told["data"]["threadpool_total_tokens"]


@pytest.mark.parametrize(("body", "status"), [({"persona_id": 77}, 403), ({"persona_id": "x"}, 422)])
def test_a_session_that_cannot_be_made_is_refused(onyx: Standin, body: dict[str, Any], status: int) -> None:
    assert onyx.post(body, "/chat/create-chat-session").status_code == status
