"""Every recorded reply reads as it should, however its bytes come in.

`readings.json` says what each reply of a chat endpoint comes to; what the other endpoints answered is in
`REFUSED` and in `test_recorded_lists.py`. The grammar of streams holds for all that were recorded, too.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from harness.sigma.catalogue import UserFile, user_file
from harness.sigma.frames import Frame, Frames
from harness.sigma.session import read_session
from harness.sigma.tolerant import loads
from harness.sigma.transcript import Outcome, Trace, read_body, reading
from tests.wire.grammar import documents, unlike, wrongs_of_stream
from tests.wire.recorded import FOLDER, NAMES, READINGS, chunks, recording

STREAMS = [name for name, wanted in READINGS.items() if wanted["content_type"] == "text/event-stream"]
RESUMED = "95-resume-stream-after-disconnect"
CUT = {"94-client-disconnect-after-8-chunks", "x4-truncated"}
OWN_WAYS = {
    "x2-ind-envelope": "an envelope and names of 2025",
    "x3-turn-index-envelope": "an envelope of 2025",
    "x5-unknown-types": "packets that no grammar has",
    "xd-sse-crlf-multiline": "one document over several data lines",
}
"""Streams that the grammar of today does not cover."""

ACCESS = "Access denied. User is not authenticated."
PERMISSION = "You do not have the required permissions for this action."
REFUSED: dict[str, tuple[str | None, str]] = {
    "6i-deprecated-send-message": (None, "404: Not Found"),
    "6l-query-answer": (None, "404: Not Found"),
    "6m-v1-openai": (None, "404: Not Found"),
    "97-resume-stream-when-done": ("NOT_FOUND", "No resumable run for this chat session"),
    "9a-stop-unknown-session": ("SESSION_NOT_FOUND", "Chat session not found"),
    "a4-get-user-file-unknown": (None, "File not found"),
    "a5-get-user-file-malformed": (
        None,
        "1 validation error: {'type': 'uuid_parsing', 'loc': ('path', 'f",
    ),
    "a7-upload-noauth": (None, ACCESS),
    "a8-upload-nofile": (None, "1 validation error: {'type': 'missing', 'loc': ('body', 'files'), 'msg': 'F"),
    "aa-upload-to-unknown-project": (None, "Failed to upload files. Please try again or contact support if"),
    "cd-metrics": ("UNAUTHENTICATED", "/metrics auth not configured; set METRICS_AUTH_TOKEN or DISABLE_ME"),
    "ch-tool-openapi-noauth": (None, ACCESS),
    "ck-create-chat-session-unknown-persona": (None, "User does not have access to persona"),
    "cl-delete-unknown-session": (None, "Invalid Chat Session ID provided"),
    "d2b-writechat-tool-list": ("INSUFFICIENT_PERMISSIONS", PERMISSION),
    "d6-api-key-create-ce": ("FEATURE_NOT_AVAILABLE", "This feature requires the Business plan."),
    "d9-user2-get-user1-session": (None, "Access denied"),
    "d9b-user2-admin-endpoint": ("INSUFFICIENT_PERMISSIONS", PERMISSION),
}
"""Refusals of other endpoints: the code, and how the message begins."""

DATA: dict[str, str] = {
    "91-stop-call": "its status alone counts",
    "93-get-session-after-stop": "here",
    "95-resume-stream-after-disconnect": "here",
    "96-get-session-after-disconnect": "here",
    "99-stop-idle-session": "its status alone counts",
    "a0-upload-txt": "test_recorded_lists",
    "a1-get-user-file-immediately": "here",
    "a2-get-user-file-later": "test_recorded_lists",
    "a3-file-statuses": "nobody reads it: files are asked after one by one",
    "a6-upload-multi-png-csv-bad": "test_recorded_lists",
    "a9-create-project": "nobody reads it: the product makes no projects",
    "ba-chat-file-download": "nobody reads it: the product fetches no contents",
    "c0-tool-list": "test_recorded_lists",
    "c1-persona-list": "test_recorded_lists",
    "c2-llm-provider-list": "test_recorded_lists",
    "c3-chat-sessions": "nobody reads it: the product knows its own sessions",
    "c4-health": "test_recorded_lists",
    "c5-version": "test_recorded_lists",
    "c6-me": "test_recorded_lists",
    "c7-settings": "test_recorded_lists",
    "c8-tool-by-id": "nobody reads it: the list has all tools",
    "ca-persona-1": "test_recorded_lists",
    "cc-auth-type": "nobody reads it",
    "cf-user-files": "test_recorded_lists",
    "cg-file-recent": "test_recorded_lists",
    "ci-health-noauth": "as c4",
    "cj-create-chat-session": "test_recorded_exchanges",
    "d0-pat-scopes": "nobody reads it: tokens",
    "d1b-pat-readchat-get-sessions": "as c3",
    "d5-pat-cannot-mint-pat": "nobody reads it: tokens",
    "d7-register-user2": "nobody reads it: registration",
    "e4-delete-session": "its status alone counts",
}
"""Successful calls of other endpoints: which test reads them, or why none does."""


def wanted(name: str) -> dict[str, Any]:
    return {key: value for key, value in READINGS[name].items() if key not in {"http_status", "content_type"}}


def fold(pieces: list[bytes]) -> dict[str, Any]:
    frames, trace = Frames(), Trace()

    def arriving() -> Iterator[Frame]:
        for piece in pieces:
            yield from frames.feed(piece)
        yield from frames.close()

    for frame in arriving():
        trace.feed(frame)
    return reading(trace.close())


def test_every_recording_is_here_with_its_request_its_body_and_its_chunks() -> None:
    assert len(NAMES) == 174
    assert {path.stem for path in FOLDER.glob("*.body")} == set(NAMES)
    assert len(READINGS) == 124
    assert READINGS.keys() < set(NAMES)


@pytest.mark.parametrize("name", READINGS)
def test_a_whole_body_reads_as_the_rules_say(name: str) -> None:
    one = recording(name)
    assert one.status == READINGS[name]["http_status"]
    transcript = read_body(one.body, status=one.status, content_type=one.content_type)
    assert reading(transcript) == wanted(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_recorded_chunks_joined_are_the_body(name: str) -> None:
    assert b"".join(chunks(name)) == recording(name).body


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_reads_the_same_in_its_recorded_chunks(name: str) -> None:
    assert fold(chunks(name)) == wanted(name)


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_reads_the_same_byte_by_byte(name: str) -> None:
    content = recording(name).body
    assert fold([content[at : at + 1] for at in range(len(content))]) == wanted(name)


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_of_any_endpoint_reads_as_its_code_and_its_message(name: str) -> None:
    one = recording(name)
    told = read_body(one.body, status=one.status, content_type=one.content_type)
    code, message = REFUSED[name]
    assert told.outcome is Outcome.ERROR
    assert told.error is not None
    assert told.error.code == code
    assert told.error.message.startswith(message)
    assert len(message) > 60 or told.error.message == message


def test_every_recording_is_a_reply_to_a_turn_or_a_refusal_or_a_successful_call() -> None:
    assert READINGS.keys() | REFUSED.keys() | DATA.keys() == set(NAMES)
    assert len(READINGS) + len(REFUSED) + len(DATA) == len(NAMES)
    assert all(recording(name).status >= 400 for name in REFUSED)
    assert all(recording(name).status in {200, 201} for name in DATA)


def test_a_file_that_is_read_back_at_once_is_still_under_way() -> None:
    known = user_file(loads(recording("a1-get-user-file-immediately").body))
    assert known == UserFile(
        user_file_id="05e31cec-a328-4495-9260-cbc07d616876",
        file_id="61401e24-f8d5-4833-beab-3238e406de53",
        name="notes.txt",
        kind="plain_text",
        status="INDEXING",
    )


def test_a_resumed_stream_reads_as_the_whole_reply_that_was_cut_off() -> None:
    resumed = recording(RESUMED)
    told = read_body(resumed.body, status=resumed.status, content_type=resumed.content_type)
    cut = wanted("94-client-disconnect-after-8-chunks")
    assert told.outcome is Outcome.SUCCESS
    assert (told.chat_session_id, told.user_message_id, list(told.assistant_message_ids)) == (
        cut["chat_session_id"],
        cut["user_message_id"],
        cut["assistant_message_ids"],
    )
    assert told.answer.startswith(cut["answer"])
    assert len(told.answer.split()) == 60
    assert fold(chunks(RESUMED)) == reading(told)


def test_a_session_detail_shows_the_turn_that_was_stopped_and_the_model_of_the_next() -> None:
    detail = read_session(loads(recording("93-get-session-after-stop").body))
    assert detail is not None
    assert detail.persona_id == 0
    kinds = [message.message_type for message in detail.messages]
    assert kinds == ["system"] + ["user", "assistant"] * 3
    stopped = READINGS["91-stopped-stream"]
    question = detail.message(stopped["user_message_id"])
    answer = detail.message(stopped["assistant_message_ids"][0])
    assert question is not None
    assert answer is not None
    assert answer.parent_message == question.message_id
    assert answer.request_params is None
    last = detail.messages[-1].request_params
    assert last is not None
    assert (last.model_name, last.model_provider) == ("fake-model", "openai_compatible")
    assert last.sent_kwargs == {"temperature": 0.0}


def test_a_session_detail_has_the_turn_whose_client_had_gone() -> None:
    detail = read_session(loads(recording("96-get-session-after-disconnect").body))
    assert detail is not None
    ids = READINGS["94-client-disconnect-after-8-chunks"]["assistant_message_ids"]
    answer = detail.message(ids[0])
    assert answer is not None
    assert answer.message_type == "assistant"
    assert answer.request_params is not None


@pytest.mark.parametrize("name", [*STREAMS, RESUMED])
def test_the_grammar_of_streams_holds_for_what_was_recorded(name: str) -> None:
    if name not in OWN_WAYS:
        assert wrongs_of_stream(documents(recording(name).body), whole=name not in CUT) == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda lines: lines[:-1], "neither stop nor error"),
        (lambda lines: [*lines, lines[-2]], "after the stop"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "in mid-stream"),
        (lambda lines: lines[:2] + lines[3:], "not inside"),
        (lambda lines: lines[:3] + lines[-1:], "no text"),
        (lambda lines: lines[2:], "which no ids line names"),
    ],
)
def test_the_grammar_of_streams_notices_what_is_against_it(change: Any, complaint: str) -> None:
    """The recording has one tool call and an answer; each change breaks one rule."""
    lines = documents(recording("03-tool-custom").body)
    assert any(complaint in wrong for wrong in wrongs_of_stream(change(lines)))


def test_documents_are_told_apart_by_keys_and_types_and_not_by_values() -> None:
    sample = {"id": 1, "rows": [{"name": "x", "size": 2.5}], "owner": None, "metadata": {"a": "b"}}
    assert unlike(sample, {"id": 2, "rows": [], "owner": {"id": 3}, "metadata": {}}) == []
    assert unlike(sample, {"id": "2", "rows": [{"name": "y"}], "owner": None, "more": 1}) == [
        "$.id: string, recorded as number",
        "$.metadata: missing",
        "$.more: not recorded",
        "$.rows[0].size: missing",
    ]
