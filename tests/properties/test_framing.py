"""Framing does not depend on how the bytes come in, and no bytes at all make the reader fall over."""

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.sigma.frames import Frame, Frames, LineTooLong
from harness.sigma.packets import packet_rows
from harness.sigma.transcript import Transcript, frames_of, read_body, reading

KINDS = (
    *("message_start", "message_delta", "reasoning_start", "reasoning_delta", "section_end", "error", "stop"),
    *(
        "chat_heartbeat",
        "top_level_branching",
        "tool_call_debug",
        "tool_call_argument_delta",
        "citation_info",
    ),
    *("search_tool_start", "search_tool_queries_delta", "search_tool_documents_delta", "search_tool_delta"),
    *("python_tool_start", "python_tool_delta", "custom_tool_start", "custom_tool_args", "custom_tool_delta"),
    *("bash_tool_start", "bash_tool_delta", "coding_agent_start", "coding_agent_final", "citation_delta"),
    *("research_agent_start", "intermediate_report_delta", "deep_research_plan_delta", "sparkle"),
)
QUICK = settings(max_examples=40)
TEXT = st.text(st.characters(exclude_categories=()), max_size=4)  # halves of characters too
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**65) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
FIELDS = (
    *("content", "reasoning", "documents", "final_documents", "cited_docs", "queries", "urls", "code", "cmd"),
    *("stdout", "stderr", "exit_code", "timed_out", "tool_name", "tool_args", "tool_id", "data", "error"),
    *("tool_type", "argument_deltas", "citations", "citation_number", "document_id", "stop_reason", "answer"),
)
INDEX = st.integers(0, 2) | st.none() | JSON
PACKETS = st.builds(
    lambda kind, placement, fields: {"placement": placement, "obj": {**fields, "type": kind}},
    st.sampled_from(KINDS),
    st.dictionaries(st.sampled_from(["turn_index", "tab_index", "sub_turn_index", "model_index"]), INDEX)
    | JSON,
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4),
)
OUTER = st.dictionaries(
    st.sampled_from(["obj", "error", "responses", "reserved_assistant_message_id", "chat_session_id", "x"]),
    JSON,
    max_size=3,
)
LINES = st.lists(PACKETS | OUTER, max_size=12)
PIECES = st.lists(
    st.sampled_from(
        [b"data: ", b"data:", b":", b"event: x", b"\r", b"\n", b"\n\n", b"{}", b'{"a":1}', b"[DONE]"]
    )
    | st.sampled_from([b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\xc2\x85", b" ", b"x", b'{"obj": ', b"\xff"]),
    max_size=40,
).map(b"".join)


def frames(chunks: list[bytes], limit: int = 2**20) -> list[Frame]:
    decoder = Frames(limit)
    found = [frame for chunk in chunks for frame in decoder.feed(chunk)]
    return found + decoder.close()


def chunked(body: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    return [body[start:end] for start, end in pairwise(places)]


def ndjson(lines: list[Any]) -> bytes:
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


@QUICK
@given(PIECES, st.lists(st.integers(0, 999), max_size=6))
def test_any_chunking_gives_the_same_frames(body: bytes, cuts: list[int]) -> None:
    whole = frames([body])
    assert frames(chunked(body, cuts)) == whole
    assert frames([body[at : at + 1] for at in range(len(body))]) == whole


@QUICK
@given(PIECES)
def test_frames_end_in_order_and_inside_the_body(body: bytes) -> None:
    ends = [frame.end for frame in frames([body])]
    assert ends == sorted(ends)
    assert all(0 < end <= len(body) for end in ends)


@QUICK
@given(st.lists(st.text(max_size=6), min_size=1, max_size=6))
def test_what_is_framed_comes_out_as_it_went_in(texts: list[str]) -> None:
    documents = [json.dumps({"text": text}, ensure_ascii=False).encode() for text in texts]
    plain = frames([b"\n".join(documents)])
    events = frames([b"".join(b"data: " + each + b"\r\n\r\n" for each in documents)])
    assert [frame.data for frame in plain] == [frame.data for frame in events] == documents


@pytest.mark.slow
@QUICK
@given(LINES)
def test_both_framings_of_the_same_lines_read_the_same(lines: list[Any]) -> None:
    plain = ndjson(lines)
    events = (
        b": hello\n\n"
        + b"".join(b"event: message\ndata: " + each + b"\n\n" for each in plain.split(b"\n")[:-1])
        + b"data: [DONE]\n\n"
    )
    assert reading(read_body(events)) == reading(read_body(plain))


@pytest.mark.slow
@QUICK
@given(LINES)
def test_no_packets_however_odd_are_lost_or_break_the_reader(lines: list[Any]) -> None:
    body = ndjson(lines)
    told = read_body(body)
    assert told.packets == sum("obj" in line for line in lines) == len(packet_rows(frames_of(body)))
    assert told.bad_lines == 0
    assert told.heartbeats + told.unknown_packets <= len(lines)
    assert msgspec.json.decode(msgspec.json.encode(told), type=Transcript) == told
    json.dumps(reading(told), ensure_ascii=False, allow_nan=False).encode()


@QUICK
@given(
    st.binary(max_size=60) | PIECES,
    st.sampled_from([200, 302, 500]),
    st.sampled_from(["application/json", "", "x"]),
)
def test_no_bytes_break_the_reader(body: bytes, status: int, content_type: str) -> None:
    json.dumps(reading(read_body(body, status=status, content_type=content_type))).encode()


@pytest.mark.slow
@QUICK
@given(LINES, st.integers(0, 2000))
def test_a_cut_changes_nothing_that_came_before_it(lines: list[Any], cut: int) -> None:
    body = ndjson(lines)[:cut]
    complete = body[: body.rfind(b"\n") + 1]
    whole, shorter = packet_rows(frames_of(body)), packet_rows(frames_of(complete))
    assert whole[: len(shorter)] == shorter


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_a_line_of_exactly_the_limit_is_legal_and_one_byte_more_is_not(size: int) -> None:
    def parts(body: bytes) -> list[bytes]:
        return [body[at : at + size] for at in range(0, len(body), size)]

    document = b'{"a": "' + b"x" * 90 + b'"}'
    limit = len(document)
    assert [frame.data for frame in frames(parts(document + b"\r\n" + document), limit)] == [document] * 2
    with pytest.raises(LineTooLong, match=f"limit of {limit - 1:,} bytes"):
        frames(parts(document + b"\n"), limit - 1)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_what_came_before_a_line_that_is_too_long_is_kept(size: int) -> None:
    body = b'{"a":1}\ndata: {"b":2}\n' + b"x" * 50
    decoder = Frames(limit=20)
    found: list[bytes] = []

    def feed_all() -> None:
        for at in range(0, len(body), size):
            found.extend(frame.data for frame in decoder.feed(body[at : at + size]))
        decoder.close()

    with pytest.raises(LineTooLong):
        feed_all()
    assert found == [b'{"a":1}', b'{"b":2}']


def test_separators_of_unicode_do_not_end_a_line() -> None:
    document = json.dumps({"a": "\u2028\u2029\u0085\x0b\x0c\x1c"}, ensure_ascii=False).encode()
    assert [frame.data for frame in frames([document + b"\n"])] == [document]


def test_a_plain_line_closes_the_event_before_it() -> None:
    found = frames([b'data: {"a":\ndata: 1}\n{"b":2}\n'])
    assert [(frame.data, frame.end) for frame in found] == [(b'{"a":\n1}', 21), (b'{"b":2}', 29)]
    assert [part.end for part in found[0].parts] == [12, 21]


def test_comments_and_fields_do_not_close_an_event() -> None:
    (found,) = frames([b'data: {"a":\n: still here\nid: 3\ndata: 1}\n\n'])
    assert found.data == b'{"a":\n1}'


@pytest.mark.slow
def test_a_line_of_megabytes_in_single_bytes_takes_linear_time() -> None:
    decoder = Frames()
    for _ in range(2**21):
        assert decoder.feed(b"x") == []
    (found,) = decoder.close()
    assert len(found.data) == 2**21
