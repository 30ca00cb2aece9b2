"""Which model answers, in each dialect; and deep research, side by side models, requests that are refused."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Reply, Standin


def _model(standin: Standin, reply: Reply) -> str:
    name: str = standin.session(reply)["messages"][-1]["request_params"]["model_name"]
    return name


OVERRIDES: list[tuple[dict[str, Any], str]] = [
    ({"model_provider": "Simulated", "model_version": "steady"}, "steady"),
    ({"model_configuration_id": 4}, "lighthouse"),
    ({"model_provider": "Harbor"}, "lighthouse"),
    ({"model_version": "swift"}, "swift"),
    ({"temperature": 0.3}, "swift"),
    ({}, "swift"),
]


@pytest.mark.parametrize(("override", "model"), OVERRIDES)
def test_sigma_answers_with_the_model_asked_for(sigma: Standin, override: dict[str, Any], model: str) -> None:
    assert _model(sigma, sigma.ask("hello", llm_override=override)) == model


@pytest.mark.parametrize(
    "override",
    [
        {"model_provider": "Nobody", "model_version": "swift"},
        {"model_provider": "Simulated", "model_version": "lighthouse"},
        {"model_version": "lighthouse"},
        {"model_configuration_id": 99},
        {"model_provider": "Simulated", "model_version": "sim:colour=blue"},
        {"model_provider": "Harbor", "model_version": "sim:tokens=3"},
    ],
)
def test_sigma_fails_an_invalid_override(sigma: Standin, override: dict[str, Any]) -> None:
    answer = sigma.post({"message": "hello", "llm_override": override})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_INPUT")


@pytest.mark.parametrize(
    "override",
    [
        {"model_provider": "Nobody", "model_version": "steady"},
        {"model_version": "steady"},
        {"model_configuration_id": 99},
        {"model_provider": "simulated", "model_version": "steady"},
    ],
)
def test_onyx_answers_an_invalid_override_with_the_default_model(
    onyx: Standin, override: dict[str, Any]
) -> None:
    reply = onyx.ask("hello", llm_override=override)
    assert reply.kinds[-1] == "stop"
    assert _model(onyx, reply) == "swift"


def test_onyx_repeats_the_name_asked_for_whatever_answered(onyx: Standin) -> None:
    reply = onyx.ask("hello", llm_override={"model_version": "steady"})
    assert onyx.session(reply)["messages"][-1]["model_display_name"] == "steady"


def test_onyx_passes_an_unlisted_model_on_and_the_provider_refuses_it(onyx: Standin) -> None:
    reply = onyx.ask("hello", "gpt-nowhere")
    assert len(reply.lines) == 3
    assert (reply.error["error_code"], reply.error["is_retryable"]) == ("NOT_FOUND", False)
    assert reply.error["details"] == {
        "model": "gpt-nowhere",
        "provider": "openai_compatible",
        "model_index": 0,
    }
    assert onyx.session(reply)["messages"][-1]["message"].startswith(
        "Error from gpt-nowhere: Resource not found"
    )


def test_the_provider_list_names_what_can_be_chosen(onyx: Standin) -> None:
    providers = onyx.get("/llm/provider")["providers"]
    names = {one["name"]: [model["name"] for model in one["model_configurations"]] for one in providers}
    assert names == {
        "Simulated": ["swift", "steady", "thinker", "judge", "worse-by-10", "sim:*"],
        "Harbor": ["lighthouse", "steady"],
    }


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/health", "success"),
        ("/version", "backend_version"),
        ("/me", "email"),
        ("/settings", "deep_research_enabled"),
        ("/auth/type", "anonymous_user_enabled"),
        ("/persona/1", "system_prompt"),
        ("/query/valid-tags", "tags"),
    ],
)
def test_look_ups_answer(onyx: Standin, path: str, key: str) -> None:
    assert key in onyx.get(path)


def test_personas_carry_their_tools(onyx: Standin) -> None:
    tools = {one["name"]: [tool["name"] for tool in one["tools"]] for one in onyx.get("/persona")}
    assert tools["Support Agent"] == ["internal_search"]
    assert set(tools["Assistant"]) == {tool["name"] for tool in onyx.get("/tool")}
    assert [one["name"] for one in onyx.get("/manage/document-set")] == [
        "Policies",
        "Product",
        "Engineering",
        "Support",
    ]


def test_models_side_by_side_each_come_to_their_own_end(onyx: Standin) -> None:
    overrides = [
        {"model_provider": "Simulated", "model_version": name} for name in ("swift", "steady", "gpt-no")
    ]
    reply = onyx.ask("How are webhooks signed?", llm_overrides=overrides)
    ids = reply.lines[1]
    assert [one["model_name"] for one in ids["responses"]] == ["swift", "steady", "gpt-no"]
    stops = [
        packet["placement"]["model_index"] for packet in reply.packets if packet["obj"]["type"] == "stop"
    ]
    assert stops == [0, 1]
    assert reply.error["details"]["model_index"] == 2
    assert {packet["placement"]["model_index"] for packet in reply.packets} == {0, 1}


def test_more_than_three_models_or_a_whole_reply_from_several_are_refused(onyx: Standin) -> None:
    assert (
        onyx.ask("hi", llm_overrides=[{}] * 4).error["error"] == "Multi-model requires 2-3 overrides, got 4"
    )
    refused = onyx.post({"message": "hi", "llm_overrides": [{}, {}], "stream": False})
    assert (refused.status_code, refused.json()["error_code"]) == (400, "INVALID_INPUT")


UNKNOWN = "5b0f5e0e-2c4e-4a5e-9c1d-0d8a4f6a1b11"
REFUSED: list[tuple[dict[str, Any], str, str, bool]] = [
    ({"chat_session_id": UNKNOWN}, "VALIDATION_ERROR", "Invalid Chat Session ID provided", True),
    (
        {"chat_session_info": {"persona_id": 77}},
        "VALIDATION_ERROR",
        "User does not have access to persona",
        True,
    ),
    (
        {"internal_search_filters": {"document_set": ["nowhere"]}},
        "INSUFFICIENT_PERMISSIONS",
        "User does not have access to document sets: ['nowhere']",
        False,
    ),
    (
        {"chat_session_info": {"incognito": True}},
        "DEPLOYMENT_UNSUPPORTED",
        "Incognito chat is not supported on this deployment.",
        False,
    ),
]


@pytest.mark.parametrize(("fields", "code", "message", "retryable"), REFUSED)
def test_a_turn_refused_before_its_session_is_one_error_line(
    onyx: Standin, fields: dict[str, Any], code: str, message: str, retryable: bool
) -> None:
    reply = onyx.ask("hello", **fields)
    assert reply.status == 200
    assert reply.lines == [
        {
            "error": message,
            "stack_trace": None,
            "error_code": code,
            "is_retryable": retryable,
            "details": None,
        }
    ]


@pytest.mark.parametrize(("fields", "_code", "_message", "_retryable"), REFUSED)
def test_the_same_refusals_are_useless_when_not_streamed(
    onyx: Standin, fields: dict[str, Any], _code: str, _message: str, _retryable: bool
) -> None:
    answer = onyx.post({"message": "hello", "stream": False, **fields})
    assert (answer.status_code, answer.json()) == (400, {"message": "Message ID is required"})


@pytest.mark.parametrize(
    "fields", [{"message": "a\x00b"}, {"message": "hi", "file_descriptors": [{"id": "f", "type": "image"}]}]
)
def test_a_turn_refused_after_its_session_leaves_it_empty(onyx: Standin, fields: dict[str, Any]) -> None:
    reply = onyx.ask(**fields)
    assert [next(iter(line)) for line in reply.lines] == ["chat_session_id", "error"]
    assert [one["message_type"] for one in onyx.session(reply)["messages"]] == ["system"]


def test_a_mock_reply_is_refused_with_a_bare_line_without_a_newline(onyx: Standin) -> None:
    reply = onyx.ask("hello", mock_llm_response="x")
    assert list(reply.lines[0]) == ["error"]
    assert not reply.text.endswith("\n")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"message": None}, "'loc': ('body', 'message')"),
        ({"llm_override": {"temperature": "hot"}}, "'type': 'float_parsing'"),
        ({"chat_session_id": "not-a-uuid"}, "'type': 'uuid_parsing'"),
        (
            {"chat_session_id": UNKNOWN, "chat_session_info": {}},
            "Only one of chat_session_id or chat_session_info",
        ),
        ({"internal_search_filters": {"source_type": ["blog"]}}, "'type': 'enum'"),
        ({"file_descriptors": None}, "'loc': ('body', 'file_descriptors')"),
        ({"origin": "mars"}, "'origin'"),
    ],
)
def test_an_invalid_request_is_a_422_in_the_shape_of_real_servers(
    onyx: Standin, fields: dict[str, Any], says: str
) -> None:
    answer = onyx.post({"message": "hello", **fields})
    assert answer.status_code == 422
    assert list(answer.json()) == ["status_code", "message", "data"]
    assert answer.json()["message"].startswith("1 validation error: {'type': ")
    assert says in answer.json()["message"]


def test_broken_json_is_a_422(onyx: Standin) -> None:
    answer = onyx.http.post("/chat/send-chat-message", content=b'{"message": ')
    assert answer.status_code == 422
    assert "json_invalid" in answer.json()["message"]


def test_requests_are_read_as_laxly_as_by_real_servers(onyx: Standin) -> None:
    reply = onyx.ask("hello", stream="true", forced_tool_id="1", shoe_size=44)
    assert reply.kinds[0] == "search_tool_start"


def test_deep_research_plans_searches_twice_and_reports(onyx: Standin) -> None:
    reply = onyx.ask("Compare the refund policy in the EU with that in the US", deep_research=True)
    kinds = reply.kinds
    assert kinds[0] == "deep_research_plan_start"
    tasks = {
        packet["placement"]["tab_index"]: packet["obj"]["research_task"]
        for packet in reply.packets
        if packet["obj"]["type"] == "research_agent_start"
    }
    assert tasks == {
        0: "Find out about the refund policy in the EU.",
        1: "Find out about the refund policy in the US.",
    }
    for tab in (0, 1):
        own = [
            (packet["obj"]["type"], packet["placement"]["sub_turn_index"])
            for packet in reply.packets
            if packet["placement"]["turn_index"] == 1 and packet["placement"]["tab_index"] == tab
        ]
        own = [
            one for at, one in enumerate(own) if one[0] != "top_level_branching" and own[at - 1 : at] != [one]
        ]
        assert own == [
            ("research_agent_start", None),
            ("search_tool_start", 0),
            ("search_tool_queries_delta", 0),
            ("search_tool_documents_delta", 0),
            ("section_end", 0),
            ("intermediate_report_start", None),
            ("intermediate_report_delta", None),
            ("intermediate_report_cited_docs", None),
            ("section_end", None),
        ]
    assert kinds[-1] == "stop"
    assert "30 days" in reply.answer()
    assert "21 days" in reply.answer()
    assert reply.objects("citation_info")


def test_the_agents_of_a_research_run_side_by_side(onyx: Standin) -> None:
    reply = onyx.ask("Compare the refund policy in the EU with that in the US", deep_research=True)
    tabs = [
        p["placement"]["tab_index"] for p in reply.packets if p["obj"]["type"] == "intermediate_report_delta"
    ]
    changes = sum(left != right for left, right in pairwise(tabs))
    assert changes > 4


def test_deep_research_asks_back_once_when_there_is_little_to_go_on(onyx: Standin) -> None:
    first = onyx.ask("Compare.", deep_research=True)
    assert first.answer().endswith("?")
    assert set(first.kinds) == {"message_start", "message_delta", "stop"}
    second = onyx.ask("Refunds", chat_session_id=first.session_id, deep_research=True)
    assert second.kinds[0] == "deep_research_plan_start"


def test_deep_research_without_tools_still_plans_and_reports(onyx: Standin) -> None:
    question = "Compare the refund policy in the EU with that in the US"
    reply = onyx.ask(question, deep_research=True, allowed_tool_ids=[])
    assert "search_tool_start" not in reply.kinds
    assert [one["cited_docs"] for one in reply.objects("intermediate_report_cited_docs")] == [[], []]
    assert reply.objects("message_start")[-1]["final_documents"] == []
