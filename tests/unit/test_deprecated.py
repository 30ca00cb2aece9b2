"""The endpoints that were replaced: their requests, what they cannot express, and their flat replies."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.sigma.deprecated import deprecated_body, unsupported
from harness.sigma.packets import packet_rows
from harness.sigma.transcript import Outcome, Transcript, frames_of, read_body
from harness.suite.prompts import Turn
from harness.suite.read import parse_suite
from harness.suite.resolve import resolve_cases
from harness.suite.settings import LlmOverride, SearchFilters, Settings

IDS = {"user_message_id": 1, "reserved_assistant_message_id": 2}
DOCUMENT = {"document_id": "d1", "semantic_identifier": "Refunds", "source_type": "web", "metadata": {}}
LAST = {
    "message_id": 2,
    "parent_message": 1,
    "message": "30 days",
    "error": None,
    "message_type": "assistant",
}


def body(*lines: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def read(*lines: dict[str, Any]) -> Transcript:
    return read_body(body(*lines), endpoint="send-message")


def piece(text: str | None) -> dict[str, Any]:
    return {"answer_piece": text}


def test_a_flat_answer_is_read_like_one_in_packets() -> None:
    told = read(IDS, piece("30 "), piece("days"), piece(None), LAST)
    assert (told.outcome, told.answer) == (Outcome.SUCCESS, "30 days")
    assert (told.user_message_id, told.assistant_message_ids) == (1, (2,))
    assert (told.unknown_packets, told.bad_lines) == (0, 0)


def test_marks_are_where_the_flat_lines_were() -> None:
    lines = [IDS, piece("30 "), piece("days"), LAST]
    told = read(*lines)
    ends = [len(body(*lines[:count])) for count in range(1, 5)]
    assert told.marks.ids == ends[0]
    assert told.marks.first_text == told.marks.first_answer == ends[1]
    assert told.marks.answer_ends == (ends[1], ends[2])
    assert told.marks.stop == ends[3]


def test_documents_without_an_announced_search_are_those_of_one() -> None:
    told = read(
        IDS, {"top_documents": [DOCUMENT], "rephrased_query": "refund window"}, piece("30 days"), LAST
    )
    (call,) = told.tool_calls
    assert (call.name, call.arguments, call.status) == (
        "internal_search",
        {"queries": ["refund window"]},
        "ok",
    )
    assert told.documents == ("d1",)
    assert told.answer == "30 days"


def test_an_announced_search_owns_its_documents() -> None:
    told = read(
        IDS,
        {"tool_name": "run_search", "tool_args": {"query": "refunds"}},
        {"top_documents": [DOCUMENT]},
        {"final_context_docs": [DOCUMENT]},
        {"tool_name": "run_search", "tool_args": {"query": "refunds"}, "tool_result": [DOCUMENT]},
        piece("30 days"),
        {"citations": [{"citation_num": 1, "document_id": "d1"}]},
        LAST,
    )
    (call,) = told.tool_calls
    assert (call.name, call.status) == ("internal_search", "ok")
    assert [(cited.number, cited.document_id) for cited in told.citations] == [(1, "d1")]
    assert told.unknown_packets == 0


def test_a_tool_and_text_on_either_side_of_it_are_steps_of_their_own() -> None:
    told = read(
        IDS,
        piece("Let me convert. "),
        {"tool_name": "unit_convert", "tool_args": {"value": 5}},
        {"tool_name": "unit_convert", "tool_args": {"value": 5}, "tool_result": {"value": 3.1}},
        piece("It is 3.1."),
        LAST,
    )
    (call,) = told.tool_calls
    assert (call.name, call.arguments, call.result["data"], call.status) == (
        "unit_convert",
        {"value": 5},
        {"value": 3.1},
        "ok",
    )
    assert told.narration == ("Let me convert. ",)
    assert told.answer == "It is 3.1."


def test_two_calls_are_two_steps() -> None:
    lines: list[dict[str, Any]] = [
        {"tool_name": name, "tool_args": {}, **result}
        for name in ("a", "b")
        for result in ({}, {"tool_result": 1})
    ]
    told = read(IDS, *lines, piece("done"), LAST)
    assert [(call.name, call.placement) for call in told.tool_calls] == [
        ("a", (0, 0, None)),
        ("b", (1, 0, None)),
    ]


def test_an_error_ends_the_reply_and_its_absence_of_an_end_is_a_truncation() -> None:
    failed = read(IDS, piece("30"), {"error": "LLM failed", "stack_trace": "..."})
    assert (failed.outcome, failed.error and failed.error.message) == (Outcome.ERROR, "LLM failed")
    assert read(IDS, piece("30")).outcome is Outcome.TRUNCATED
    assert read(IDS, piece("30"), LAST | {"error": "late"}).outcome is Outcome.ERROR


def test_packets_with_ind_are_read_as_they_are() -> None:
    packets = [
        {"ind": 0, "obj": {"type": "message_start", "content": "30 "}},
        {"ind": 0, "obj": {"type": "message_delta", "content": "days"}},
        {"ind": 0, "obj": {"type": "stop"}},
    ]
    assert read(IDS, *packets).answer == "30 days"


def test_what_is_unknown_is_counted_and_what_is_known_to_be_silent_is_not() -> None:
    told = read(IDS, {"llm_selected_doc_indices": [0]}, {"something": "new"}, piece("x"), LAST)
    assert told.unknown_packets == 1


def test_a_row_of_packets_is_kept_for_flat_lines_too() -> None:
    rows = packet_rows(frames_of(body(IDS, piece("30 "), piece("days"), LAST), "send-message"))
    assert [(row.kind, row.text) for row in rows] == [
        ("message_start", None),
        ("message_delta", "30 "),
        ("message_delta", "days"),
        ("stop", None),
    ]


def test_the_simple_api_answers_whole() -> None:
    document = {
        "answer": "30 days",
        "answer_citationless": "30 days",
        "top_documents": [DOCUMENT],
        "message_id": 2,
        "error_msg": None,
    }
    told = read_body(
        json.dumps(document).encode(), content_type="application/json", endpoint="send-message-simple-api"
    )
    assert (told.outcome, told.answer, told.documents) == (Outcome.SUCCESS, "30 days", ("d1",))


OVERRIDE = LlmOverride(model_provider="OpenAI", model_version="gpt-5")


@pytest.mark.parametrize(
    ("endpoint", "asked", "names"),
    [
        ("send-message", {"llm_override": OVERRIDE, "allowed_tool_ids": (1,), "forced_tool_id": 1}, []),
        (
            "send-message",
            {"deep_research": True, "include_citations": False},
            ["deep_research", "include_citations"],
        ),
        ("send-message", {"stream": True}, []),
        ("send-message", {"stream": False}, ["stream"]),
        ("send-message-simple-api", {"stream": False, "persona_id": 1}, []),
        ("send-message-simple-api", {"stream": True}, ["stream"]),
        ("send-message-simple-api", {"llm_override": OVERRIDE, "files": ("a",)}, ["llm_override", "files"]),
        ("send-message-simple-api", {"search_filters": SearchFilters(source_type=("web",))}, []),
        ("send-chat-message", {"deep_research": True, "stream": False}, []),
        (None, {"deep_research": True}, []),
    ],
)
def test_what_an_old_endpoint_cannot_express_is_named(
    endpoint: str | None, asked: dict[str, Any], names: list[str]
) -> None:
    assert unsupported(Settings.model_construct({*asked, "endpoint"}, endpoint=endpoint, **asked)) == names


def test_an_old_conversation_has_no_branches() -> None:
    settings = Settings(endpoint="send-message")
    assert unsupported(settings, Turn(regenerate="a")) == ["regenerate"]
    assert unsupported(settings, Turn(message="x", after="a")) == ["after"]
    assert unsupported(settings, Turn(message="x")) == []


def test_the_request_of_send_message_has_what_the_old_wire_wants() -> None:
    settings = Settings(
        endpoint="send-message",
        llm_override=OVERRIDE,
        allowed_tool_ids=(1, 3),
        forced_tool_id=3,
        search_filters=SearchFilters(document_set=("Policies",), tags={"region": "EU"}),
    )
    assert deprecated_body("hi", settings, session_id="s", parent_message_id=7) == {
        "chat_session_id": "s",
        "parent_message_id": 7,
        "message": "hi",
        "prompt_id": None,
        "search_doc_ids": None,
        "file_descriptors": [],
        "retrieval_options": {
            "run_search": "auto",
            "real_time": False,
            "filters": {"document_set": ["Policies"], "tags": [{"tag_key": "region", "tag_value": "EU"}]},
        },
        "llm_override": {"model_provider": "OpenAI", "model_version": "gpt-5"},
        "allowed_tool_ids": [1, 3],
        "forced_tool_ids": [3],
    }


def test_the_simple_request_has_a_persona_or_a_session() -> None:
    settings = Settings(endpoint="send-message-simple-api", persona_id=4)
    assert deprecated_body("hi", settings)["persona_id"] == 4
    going_on = deprecated_body("hi", settings, session_id="s")
    assert going_on["chat_session_id"] == "s"
    assert "persona_id" not in going_on


def test_the_endpoint_may_be_a_variants() -> None:
    text = """
target: standin
variants: {old: {endpoint: send-message}, new: {}}
prompts: [{message: hi}]
"""
    suite = parse_suite(text, Path("s.yaml"), {})
    assert suite.variants["old"].endpoint == "send-message"
    assert len(resolve_cases(suite)) == 1
