"""`sim:` models: exact lengths and times, and each thing that can go wrong."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest

from harness.standin.simulate import ScriptError, parse

if TYPE_CHECKING:
    from tests.conftest import Serving, Standin

QUICK = "sim:ttft=0,gap=0,tokens=6"


def _raw(standin: Standin, model: str) -> tuple[bytes, OSError | None]:
    """Everything that comes over a socket, and the error that reading it ended in."""
    override = {"model_provider": "Simulated", "model_version": model}
    body = json.dumps({"message": "go", "llm_override": override}).encode()
    place = urlsplit(standin.url)
    head = (
        "POST /chat/send-chat-message HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    received = b""
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=10) as connection:
        connection.sendall(head.encode() + body)
        try:
            while chunk := connection.recv(65536):
                received += chunk
        except OSError as error:
            return received, error
    return received, None


def _chunks(raw: bytes) -> list[bytes]:
    """The HTTP chunks of a response that ended in form."""
    _, _, rest = raw.partition(b"\r\n\r\n")
    chunks = []
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        chunks.append(rest[:length])
        rest = rest[length + 2 :]
    return chunks


def test_a_script_says_as_many_words_as_it_is_told(onyx: Standin) -> None:
    reply = onyx.ask("go", "sim:ttft=0,gap=0,tokens=40,reasoning=7")
    assert reply.kinds.count("message_delta") == 40
    assert reply.kinds.count("reasoning_delta") == 7
    assert len(reply.answer().split()) == 40


def test_times_follow_the_script_from_the_arrival_of_the_request(onyx: Standin) -> None:
    """Only lower bounds and a median, so that a busy machine cannot make it fail."""
    reply = onyx.ask("go", "sim:ttft=60ms,gap=10ms,tokens=20")
    entry = onyx.get(f"/_standin/ledger/{reply.assistant_id}")
    assert entry["kinds"] == ["session", "ids", "message_start"] + ["message_delta"] * 20 + ["stop"]
    words = [
        stamp - entry["request_ns"]
        for stamp, kind in zip(entry["sent_ns"], entry["kinds"], strict=True)
        if kind == "message_delta"
    ]
    late = sorted(stamp - (60_000_000 + 10_000_000 * number) for number, stamp in enumerate(words))
    assert late[0] > -1_000_000
    assert late[10] < 20_000_000


def test_a_head_can_be_late(onyx: Standin) -> None:
    reply = onyx.ask("go", "sim:pre=80ms,ttft=0,gap=0,tokens=1")
    entry = onyx.get(f"/_standin/ledger/{reply.assistant_id}")
    received = [one for one in onyx.get("/_standin/requests") if "pre=80ms" in one["body"]][-1]["received_ns"]
    assert entry["sent_ns"][0] - received >= 78_000_000


def test_of_a_model_with_slots_so_many_reply_at_a_time_and_the_others_wait_after_their_ids(
    onyx: Standin,
) -> None:
    model = "sim:ttft=40ms,gap=10ms,tokens=5,slots=2"
    with ThreadPoolExecutor(5) as threads:
        replies = list(threads.map(lambda _: onyx.ask("go", model), range(5)))
    entries = [onyx.get(f"/_standin/ledger/{reply.assistant_id}") for reply in replies]
    assert all(reply.kinds[-1] == "stop" for reply in replies)
    # A packet may be sent 0.3 ms before it is due.
    spans = [(entry["sent_ns"][2] - 39_700_000, entry["sent_ns"][-1]) for entry in entries]
    for begins, _ in spans:  # three side by side would need three slots
        assert sum(begin <= begins < end for begin, end in spans) <= 2
    assert entries[0]["kinds"][:3] == ["session", "ids", "message_start"]
    took = max(end for _, end in spans) - min(entry["request_ns"] for entry in entries)
    assert took >= 3 * 79_700_000  # five replies by two slots


def test_a_reply_that_is_stopped_while_it_waits_for_a_slot_leaves_the_line(onyx: Standin) -> None:
    with ThreadPoolExecutor(2) as threads:
        held = threads.submit(onyx.ask, "go", "sim:ttft=700ms,gap=0,tokens=1,slots=1,skip=7")
        while onyx.get("/_standin/stats")["in_flight"] == 0:
            pass
        made = onyx.post({"persona_id": 0, "description": "waits"}, "/chat/create-chat-session")
        session = made.json()["chat_session_id"]
        waiting = threads.submit(
            onyx.ask, "go", "sim:ttft=700ms,gap=0,tokens=1,slots=1,skip=7", chat_session_id=session
        )
        while onyx.get(f"/chat/get-chat-session/{session}")["current_run"] is None:
            pass
        assert onyx.http.post(f"/chat/stop-chat-session/{session}").status_code == 200
        assert waiting.result().packets[-1]["obj"]["stop_reason"] == "user_cancelled"
        assert held.result().kinds[-1] == "stop"


def test_scripted_tools_are_the_real_ones(onyx: Standin) -> None:
    reply = onyx.ask(
        "refund window", "sim:ttft=0,gap=0,tokens=2,tool=search:1ms,tool=convert:1ms,tool=fail:1ms"
    )
    assert "pol-refund-2026-eu" in reply.found()
    assert reply.objects("custom_tool_delta")[0]["data"] == {"value": 3.106856, "unit": "mi"}
    alone = [p for p in reply.packets if p["placement"]["tab_index"] == 2]
    assert [p["obj"]["type"] for p in alone] == ["section_end"]


def test_narration_moves_tools_to_tab_1_and_skip_leaves_numbers_out(onyx: Standin) -> None:
    reply = onyx.ask("refund", "sim:ttft=0,gap=0,tokens=2,narration=3,tool=search:1ms,skip=2")
    assert reply.packets[0]["obj"]["type"] == "message_start"
    assert {
        p["placement"]["tab_index"] for p in reply.packets if p["obj"]["type"] == "search_tool_start"
    } == {1}
    assert reply.packets[-1]["placement"]["turn_index"] == 3


@pytest.mark.parametrize(
    ("ignored", "fields"),
    [
        ("filters", {"internal_search_filters": {"source_type": ["jira"]}, "forced_tool_id": 1}),
        ("allowed", {"allowed_tool_ids": []}),
    ],
)
def test_a_setting_can_be_ignored(onyx: Standin, ignored: str, fields: dict[str, Any]) -> None:
    model = "sim:ttft=0,gap=0,tokens=2,tool=search:1ms"
    assert not onyx.ask("refund window", model, **fields).found()
    assert onyx.ask("refund window", f"{model},ignore={ignored}", **fields).found()


def test_a_forced_tool_can_be_ignored(onyx: Standin) -> None:
    assert "search_tool_start" in onyx.ask("go", QUICK, forced_tool_id=1).kinds
    assert "search_tool_start" not in onyx.ask("go", f"{QUICK},ignore=forced", forced_tool_id=1).kinds


def test_deep_research_can_be_ignored(onyx: Standin) -> None:
    question = "Compare the refund policy in the EU with that in the US"
    assert "deep_research_plan_start" in onyx.ask(question, QUICK, deep_research=True).kinds
    assert (
        "deep_research_plan_start"
        not in onyx.ask(question, f"{QUICK},ignore=research", deep_research=True).kinds
    )


def test_an_override_can_be_ignored(sigma: Standin) -> None:
    reply = sigma.ask("hello", "sim:ignore=override")
    answer = sigma.session(reply)["messages"][-1]
    assert (answer["request_params"]["model_name"], answer["model_display_name"]) == (
        "swift",
        "sim:ignore=override",
    )


def test_a_reset_keeps_the_words_before_it(onyx: Standin) -> None:
    received, error = _raw(onyx, "sim:ttft=1ms,gap=1ms,tokens=20,fault=reset@10")
    assert isinstance(error, ConnectionResetError)
    assert received.count(b'"message_delta"') == 10


def test_a_drop_closes_without_the_last_chunk(onyx: Standin) -> None:
    received, error = _raw(onyx, "sim:ttft=1ms,gap=1ms,tokens=20,fault=drop@10")
    assert error is None
    assert received.count(b'"message_delta"') == 10
    assert not received.endswith(b"0\r\n\r\n")
    with pytest.raises(httpx.RemoteProtocolError):
        onyx.ask("go", f"{QUICK},fault=drop@3")


def test_a_cut_ends_in_form_without_a_stop(onyx: Standin) -> None:
    reply = onyx.ask("go", f"{QUICK},fault=cut@4")
    assert reply.kinds == ["message_start"] + ["message_delta"] * 4


def test_a_stall_is_a_silence(onyx: Standin) -> None:
    reply = onyx.ask("go", "sim:ttft=0,gap=0,tokens=6,fault=stall@3:150ms")
    entry = onyx.get(f"/_standin/ledger/{reply.assistant_id}")
    gaps = [later - earlier for earlier, later in pairwise(entry["sent_ns"])]
    assert gaps.index(max(gaps)) == 5
    assert entry["sent_ns"][6] - entry["request_ns"] >= 149_000_000  # a late word before it shortens the gap


def test_an_error_line_ends_a_reply_and_is_kept_in_the_history(onyx: Standin) -> None:
    reply = onyx.ask("go", f"{QUICK},fault=error@3:RATE_LIMIT")
    assert reply.kinds == ["message_start"] + ["message_delta"] * 3
    assert (reply.error["error_code"], reply.error["is_retryable"]) == ("RATE_LIMIT", True)
    assert onyx.session(reply)["messages"][-1]["error"].startswith("Error from sim:")
    final = onyx.ask("go", f"{QUICK},fault=error:CONTEXT_TOO_LONG")
    assert (final.packets, final.error["is_retryable"]) == ([], False)


def test_the_document_form_says_an_error_with_status_200(onyx: Standin) -> None:
    document = onyx.whole("go", f"{QUICK},fault=error@3:API_ERROR")
    assert document["error_msg"] == "scripted failure: API_ERROR"
    assert len(document["answer"].split()) == 3


def test_a_bare_error_has_no_newline(onyx: Standin) -> None:
    reply = onyx.ask("go", f"{QUICK},fault=bare@2")
    assert reply.lines[-1] == {"error": "scripted failure"}
    assert not reply.text.endswith("\n")


def test_no_words_is_a_stop_without_text(onyx: Standin) -> None:
    assert onyx.ask("go", "sim:ttft=0,tokens=0").kinds == ["stop"]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("unknown", "weather_report"), ("heartbeat", "chat_heartbeat"), ("section_end", "section_end")],
)
def test_a_strange_packet_is_put_in_and_the_reply_goes_on(onyx: Standin, fault: str, kind: str) -> None:
    kinds = onyx.ask("go", f"{QUICK},fault={fault}@3").kinds
    assert kinds == ["message_start"] + ["message_delta"] * 3 + [kind] + ["message_delta"] * 3 + ["stop"]


def test_an_error_packet_says_nothing_but_its_type(onyx: Standin) -> None:
    assert onyx.ask("go", f"{QUICK},fault=packet_error@3").objects("error") == [{"type": "error"}]


def test_a_bad_line_is_no_json(onyx: Standin) -> None:
    received, _ = _raw(onyx, f"{QUICK},fault=badline@3")
    bad = _chunks(received)[6]
    assert bad.endswith(b"\n")
    with pytest.raises(ValueError, match="Unterminated"):
        json.loads(bad.strip())


@pytest.mark.parametrize(
    ("argument", "content_type", "says"),
    [
        ("503", "application/json", "connection pool timeout"),
        ("429", "application/json", "RATE_LIMITED"),
        ("403", "application/json", "not authenticated"),
        ("500", "application/json", "scripted failure"),
        ("502-html", "text/html", "<html>"),
        ("422", "application/json", "1 validation error"),
        ("422-detail", "application/json", "Field required"),
    ],
)
def test_an_http_error_has_the_body_it_comes_with(
    onyx: Standin, argument: str, content_type: str, says: str
) -> None:
    reply = onyx.ask("go", f"sim:fault=http:{argument}")
    assert reply.status == int(argument[:3])
    assert reply.content_type.startswith(content_type)
    assert says in reply.text


def test_a_budget_error_says_when_to_come_back(onyx: Standin) -> None:
    override = {"model_provider": "Simulated", "model_version": "sim:fault=http:429"}
    answer = onyx.post({"message": "go", "llm_override": override})
    assert int(answer.headers["retry-after"]) == answer.json()["retry_after_seconds"] > 0


def test_a_flaky_server_answers_at_last(onyx: Standin) -> None:
    statuses = [onyx.ask("flaky question", f"{QUICK},fault=flaky:3").status for _ in range(4)]
    assert statuses == [503, 503, 200, 200]


def test_a_share_of_the_replies_is_struck(onyx: Standin) -> None:
    outcomes = [onyx.ask("go", f"{QUICK},fault=cut@2,share=50%").kinds[-1] for _ in range(24)]
    assert set(outcomes) == {"stop", "message_delta"}


def test_lines_can_come_in_two_writes(onyx: Standin) -> None:
    chunks = _chunks(_raw(onyx, f"{QUICK},fault=split")[0])
    assert not chunks[0].endswith(b"\n")
    assert json.loads(chunks[0] + chunks[1])["incognito"] is False


def test_bytes_can_come_one_by_one(onyx: Standin) -> None:
    chunks = _chunks(_raw(onyx, "sim:ttft=0,gap=0,tokens=1,fault=bytes")[0])
    assert {len(chunk) for chunk in chunks} == {0, 1}
    assert b"".join(chunks).endswith(b'"stop_reason": null}}\n')


def test_many_lines_can_come_in_one_write(onyx: Standin) -> None:
    chunks = _chunks(_raw(onyx, f"{QUICK},fault=batch:4")[0])
    assert [chunk.count(b"\n") for chunk in chunks] == [4, 4, 2, 0]


def test_text_beyond_ascii_can_come_cut_inside_a_character(onyx: Standin) -> None:
    chunks = _chunks(_raw(onyx, "sim:ttft=0,gap=0,tokens=30,fault=utf8")[0])
    with pytest.raises(UnicodeDecodeError):
        [chunk.decode() for chunk in chunks]
    lines = b"".join(chunks).decode().removesuffix("\n").split("\n")
    assert len([json.loads(line) for line in lines]) == 34
    assert "\u2028" in "".join(lines)


def test_the_last_line_can_lack_its_newline(onyx: Standin) -> None:
    reply = onyx.ask("go", f"{QUICK},fault=nonewline")
    assert reply.kinds[-1] == "stop"
    assert not reply.text.endswith("\n")


def test_a_line_can_be_megabytes(onyx: Standin) -> None:
    reply = onyx.ask("go", f"{QUICK},fault=big:3000000")
    assert max(map(len, reply.text.split("\n"))) > 3_000_000
    assert len(reply.answer().split()) == 6


def test_a_reply_can_be_hostile_in_every_part(onyx: Standin) -> None:
    reply = onyx.ask("go", "sim:ttft=0,gap=0,fault=hostile:200k")
    (called,) = reply.objects("custom_tool_delta")
    (found,) = reply.objects("search_tool_documents_delta")
    reasoning = "".join(each["reasoning"] for each in reply.objects("reasoning_delta"))
    (document,) = found["documents"]
    for text in (reply.answer(), reasoning, called["data"], document["semantic_identifier"]):
        for part in ("<script>", "\x1b[31m", "\x07", "\u202e", "\x00", "\r", "{{ 7*7 }}", "[bold red]"):
            assert part in text
    assert "<script>" in called["tool_name"]
    assert document["link"] == "javascript:alert(1)"
    assert len(reply.answer().split("\n")[-1]) == 200_000
    assert onyx.session(reply)["messages"][-1]["message"] == reply.answer()


def test_a_hostile_error_says_so(onyx: Standin) -> None:
    error = onyx.ask("go", "sim:ttft=0,gap=0,fault=hostile,fault=error@2:NOT_FOUND").error
    assert error["error_code"] == "NOT_FOUND"
    assert "\x1b]0;" in error["error"]


@pytest.mark.parametrize(("envelope", "key"), [("ind", "ind"), ("turn_index", "turn_index")])
def test_older_envelopes_are_written_on_request(onyx: Standin, envelope: str, key: str) -> None:
    reply = onyx.ask("go", f"{QUICK},envelope={envelope}")
    assert all(key in packet and "placement" not in packet for packet in reply.packets)


def test_faults_come_in_events_too(sigma: Standin) -> None:
    chunks = _chunks(_raw(sigma, f"{QUICK},fault=split,fault=badline@2")[0])
    assert b"".join(chunks).count(b"data: ") == 11


@pytest.mark.parametrize(
    "name",
    [
        "sim:tokens",
        "sim:tokens=many",
        "sim:ttft=5h",
        "sim:fault=earthquake",
        "sim:fault=stall@3",
        "sim:fault=http:200",
        "sim:fault=big:5T",
        "sim:fault=hostile:many",
    ],
)
def test_what_is_no_script_is_refused_with_what_is_allowed(name: str) -> None:
    with pytest.raises(ScriptError, match=r"is no|is not known|takes|expected"):
        parse(name)


@pytest.mark.slow
def test_the_ledger_and_the_counts_are_per_server(serving: Serving) -> None:
    with serving("--dialect", "onyx") as own:
        own.ask("go", QUICK)
        own.ask("go", "sim:fault=http:503")
        stats = own.get("/_standin/stats")
        assert (stats["requests"], stats["in_flight"], stats["max_in_flight"]) == (2, 0, 1)
        assert stats["by_status"] == {"200": 1, "503": 1}
        assert [json.loads(one["body"])["message"] for one in own.get("/_standin/requests")] == ["go", "go"]
