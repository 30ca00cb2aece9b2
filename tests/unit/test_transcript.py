"""Clauses of the reading rules that the recordings do not exercise.

Every expectation here is worked out from the text of the rule named in the heading above it.
"""

import json
from typing import Any

import msgspec
import pytest

from harness.sigma.documents import Applied, FoundDocument, Search
from harness.sigma.packets import packet_rows
from harness.sigma.transcript import Transcript, frames_of, read_body, reading


def packet(kind: str, at: tuple[int, ...] = (0,), model: int | None = 0, **fields: Any) -> dict[str, Any]:
    turn, tab, sub = (*at, *(0, None)[len(at) - 1 :]) if len(at) < 3 else at
    placement = {"turn_index": turn, "tab_index": tab, "sub_turn_index": sub, "model_index": model}
    return {"placement": placement, "obj": {"type": kind, **fields}}


def ndjson(*lines: Any) -> bytes:
    return b"".join(
        (line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines
    )


def read(*lines: Any) -> dict[str, Any]:
    return reading(read_body(ndjson(*lines)))


def trace(*lines: Any) -> Transcript:
    return read_body(ndjson(*lines))


def say(text: str, at: tuple[int, ...] = (0,), model: int | None = 0) -> list[dict[str, Any]]:
    return [packet("message_start", at, model), packet("message_delta", at, model, content=text)]


def call(name: str | None, arguments: Any, at: list[int | None], status: str) -> dict[str, Any]:
    return {"name": name, "arguments": arguments, "placement": at, "status": status}


def end(at: tuple[int, ...] = (0,), model: int | None = 0) -> dict[str, Any]:
    return packet("section_end", at, model)


STOP = packet("stop", (9,), stop_reason=None)
TWO = {"user_message_id": 1, "responses": [{"message_id": 2, "model_name": "a"}, {"message_id": 3}]}


# R1 and JSON as it comes


def test_a_body_without_its_last_newline_is_read_to_the_end() -> None:
    assert reading(read_body(ndjson(*say("hi"), STOP)[:-1]))["outcome"] == "success"


def test_a_byte_order_mark_is_dropped() -> None:
    assert reading(read_body(b"\xef\xbb\xbf" + ndjson(*say("hi"), STOP)))["bad_lines"] == 0


def test_invalid_utf8_becomes_replacement_characters() -> None:
    line = json.dumps(packet("message_delta", content="a?b")).encode().replace(b"?", b"\xff")
    assert read(line)["answer"] == "a\ufffdb"


def test_halves_of_a_character_are_joined_across_deltas() -> None:
    halves = [packet("message_delta", content=half) for half in ("x\ud83d", "\ude00y")]
    assert read(*halves)["answer"] == "x\U0001f600y"


def test_half_a_character_alone_is_replaced_and_can_be_written() -> None:
    result = trace(
        packet("message_delta", content="x\ud83d"),
        packet("custom_tool_start", (0, 1), tool_name="n\udc00"),
        packet("custom_tool_args", (0, 1), tool_args={"k\ud83d": ["\ude00"]}),
    )
    (only,) = result.tool_calls
    assert (only.name, only.arguments) == ("n\ufffd", {"k\ufffd": ["\ufffd"]})
    assert result.narration == ("x\ufffd",)
    assert msgspec.json.decode(msgspec.json.encode(result), type=Transcript) == result


def test_nan_does_not_make_a_line_bad() -> None:
    start = packet("message_start", pre_answer_processing_seconds=float("nan"))
    assert read(start, packet("message_delta", content="hi"))["bad_lines"] == 0


def test_numbers_that_are_not_finite_become_null_in_arguments() -> None:
    start = packet("custom_tool_start", tool_name="n")
    arguments = packet("custom_tool_args", tool_args={"x": float("inf"), "y": 7})
    line = json.dumps(arguments).replace("7", "1e999").encode()
    assert read(start, line)["tool_calls"] == [call("n", {"x": None, "y": None}, [0, 0, None], "unknown")]


@pytest.mark.parametrize("line", [b"{", b"nonsense", b"[1]", b'"text"', b"null", b"3", b"[" * 99999])
def test_what_is_no_json_object_is_one_bad_line(line: bytes) -> None:
    got = read(*say("hi"), line, STOP)
    assert (got["bad_lines"], got["packets"], got["outcome"], got["answer"]) == (1, 3, "success", "hi")


def test_the_lines_of_an_event_that_is_no_json_are_read_one_by_one() -> None:
    first, second = (json.dumps(each).encode() for each in say("hi"))
    body = b"data: " + first + b"\ndata: " + second + b"\ndata: nonsense\ndata: [DONE]\n\n"
    got = read_body(body)
    assert (got.answer, got.packets, got.bad_lines) == ("hi", 2, 1)
    assert got.marks.first_text == len(first) + len(second) + 14


@pytest.mark.parametrize("letter", ["x", "\\ud83d"])
@pytest.mark.parametrize("depth", [50, 500])
def test_arguments_nested_beyond_reason_do_not_break_the_reader(depth: int, letter: str) -> None:
    deep = "[" * depth + f'"{letter}"' + "]" * depth
    line = json.dumps(packet("custom_tool_args", tool_args="?")).replace('"?"', deep).encode()
    (only,) = trace(line, packet("stop")).tool_calls
    assert (only.arguments is None) == (depth > 100)
    assert read(f'{{"error": {deep}}}'.encode())["outcome"] == "error"


# R2


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ({"obj": {"type": "sparkle"}, "error": "x"}, (1, 1)),
        ({"obj": None}, (1, 1)),
        ({"obj": {"no": "type"}}, (1, 1)),
        ({"obj": {"type": 7}}, (1, 1)),
        ({"obj": {"type": "message_delta", "content": 7}}, (1, 0)),
        ({"hello": 1}, (0, 1)),
        ({"chat_session_id": "s"}, (0, 0)),
    ],
)
def test_lines_are_told_apart_by_key(line: Any, counts: tuple[int, int]) -> None:
    got = read(line)
    assert (got["packets"], got["unknown_packets"]) == counts
    assert got["outcome"] == "truncated"


def test_an_error_key_comes_before_ids_and_session() -> None:
    got = read({"error": "no", "chat_session_id": "s", "reserved_assistant_message_id": 3})
    assert (got["outcome"], got["chat_session_id"], got["assistant_message_ids"]) == ("error", None, [])


def test_unknown_kinds_are_counted_by_name() -> None:
    got = trace(packet("sparkle"), packet("sparkle"), {"what": 1}, {"obj": 3})
    assert got.unknown_kinds == {"sparkle": 2, "(line)": 1, "(no type)": 1}
    assert got.unknown_packets == 4


def test_only_chat_heartbeats_count_as_heartbeats() -> None:
    got = read(packet("chat_heartbeat", model=None), packet("image_generation_heartbeat"), STOP)
    assert (got["heartbeats"], got["packets"]) == (1, 3)


# R3


def test_missing_parts_of_a_placement_have_their_defaults() -> None:
    got = read({"placement": {"turn_index": 2}, "obj": {"type": "file_reader_start"}})
    assert got["tool_calls"] == [call("read_file", None, [2, 0, None], "unknown")]


def test_a_placement_that_makes_no_sense_does_not_lose_the_packet() -> None:
    got = read({"placement": "here", "turn_index": "x", "obj": {"type": "message_delta", "content": "hi"}})
    assert got["answer"] == "hi"


@pytest.mark.parametrize("where", [{"ind": 3}, {"turn_index": 3}, {"placement": {"turn_index": 3}}])
def test_every_envelope_says_where(where: dict[str, Any]) -> None:
    got = read({**where, "obj": {"type": "fetch_tool_start"}}, {**where, "obj": {"type": "section_end"}})
    assert got["tool_calls"] == [call("open_url", None, [3, 0, None], "error")]


def test_a_stop_without_a_model_ends_every_model_that_runs() -> None:
    got = read(
        TWO, *say("a"), STOP, *say("b", model=1), packet("stop", model=None, stop_reason="user_cancelled")
    )
    assert [each["outcome"] for each in got["models"]] == ["success", "cancelled"]


def test_an_error_line_without_a_model_ends_models_nobody_heard_of_yet() -> None:
    got = read(TWO, STOP, {"error": "no"}, *say("late", model=1), packet("stop", model=1))
    assert [each["outcome"] for each in got["models"]] == ["empty", "error"]
    assert got["models"][1]["answer"] == ""
    assert got["error"] is None


# R4


def test_content_in_message_start_is_the_first_piece() -> None:
    got = read(packet("message_start", content="one "), packet("message_delta", content="two"))
    assert got["answer"] == "one two"


def test_a_second_start_at_a_placement_opens_another_block() -> None:
    got = read(*say("first"), *say("second"), packet("message_delta", content="!"), STOP)
    assert (got["answer"], got["narration"]) == ("second!", ["first"])


def test_the_final_block_is_the_highest_turn_and_not_the_latest() -> None:
    got = read(*say("high", (2,)), *say("low", (1,)), STOP)
    assert (got["answer"], got["narration"]) == ("high", ["low"])


def test_an_empty_final_block_leaves_an_empty_answer() -> None:
    got = read(*say("text", (0,)), packet("message_start", (1,)), STOP)
    assert (got["answer"], got["narration"], got["outcome"]) == ("", ["text"], "empty")


def test_text_with_a_call_in_its_own_turn_is_narration() -> None:
    got = read(*say("wait"), packet("open_url_start", (0, 1)))
    assert (got["answer"], got["narration"]) == ("", ["wait"])


def test_a_nested_call_does_not_make_the_text_narration() -> None:
    assert read(*say("done"), packet("bash_tool_start", (0, 1, 0), cmd="ls"))["answer"] == "done"


def test_fragments_left_over_make_the_text_narration() -> None:
    fragment = packet("tool_call_argument_delta", tool_type="bash", argument_deltas={"cmd": "ls"})
    got = read(*say("I run it."), fragment)
    assert (got["answer"], got["narration"]) == ("", ["I run it."])


def test_a_call_of_another_model_leaves_the_answer() -> None:
    got = read(TWO, *say("mine"), packet("open_url_start", (3,), 1))
    assert got["answer"] == "mine"


def test_nested_text_is_neither_answer_nor_narration() -> None:
    got = read(*say("inner", (3, 0, 1)), *say("outer", (1,)))
    assert (got["answer"], got["narration"]) == ("outer", [])


def test_plan_and_reports_are_not_the_answer() -> None:
    got = read(
        packet("deep_research_plan_start"),
        packet("deep_research_plan_delta", content="1. look"),
        packet("research_agent_start", (1,), research_task="t"),
        packet("intermediate_report_delta", (1,), content="report"),
        *say("answer", (2,)),
        STOP,
    )
    assert (got["plan"], got["answer"], got["narration"], got["reasoning"]) == ("1. look", "answer", [], [])


# R5


def test_reasoning_blocks_are_listed_in_order_of_opening_without_empty_ones() -> None:
    got = read(
        packet("reasoning_delta", (1, 0, 0), reasoning="nested"),
        packet("reasoning_start", (0,)),
        packet("reasoning_start", (2,)),
        packet("reasoning_delta", (2,), reasoning="later"),
        packet("reasoning_done", (2,)),
        packet("reasoning_start", (2,)),
        packet("reasoning_delta", (2,), reasoning="again"),
    )
    assert got["reasoning"] == ["nested", "later", "again"]


# R6


def calls(*lines: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read(*lines)["tool_calls"]
    return found


def test_queries_packets_are_joined_in_order() -> None:
    assert calls(
        packet("search_tool_start", is_internet_search=True),
        packet("search_tool_queries_delta", queries=["a"]),
        packet("search_tool_queries_delta", queries=["b", "c"]),
        packet("search_tool_documents_delta", documents=[]),
        end(),
    ) == [call("web_search", {"queries": ["a", "b", "c"]}, [0, 0, None], "ok")]


def test_a_start_after_the_end_opens_another_call() -> None:
    start = packet("python_tool_start", code="1")
    found = trace(start, packet("python_tool_delta", stdout="x"), end(), start).tool_calls
    assert [(each.call_id, each.status) for each in found] == [("t0.0", "ok"), ("t0.0#2", "unknown")]


def test_a_repeated_start_before_the_end_is_the_same_call() -> None:
    assert len(calls(packet("open_url_start"), packet("open_url_start"), end())) == 1


def test_a_start_of_another_tool_at_the_same_placement_is_another_call() -> None:
    found = calls(packet("open_url_start"), packet("file_reader_start"), packet("file_reader_result"), end())
    assert [(each["name"], each["status"]) for each in found] == [
        ("open_url", "unknown"),
        ("read_file", "ok"),
    ]


def test_a_detail_without_a_start_opens_the_call() -> None:
    assert calls(packet("custom_tool_delta", tool_name="mcp", data=1)) == [
        call("mcp", None, [0, 0, None], "ok")
    ]


def test_a_start_after_its_details_is_not_a_second_call() -> None:
    found = calls(
        packet("search_tool_queries_delta", queries=["q"]),
        packet("search_tool_start", is_internet_search=True),
    )
    assert found == [call("web_search", {"queries": ["q"]}, [0, 0, None], "unknown")]


def test_a_result_after_the_end_still_belongs_to_its_call() -> None:
    found = calls(packet("open_url_start"), end(), packet("open_url_documents", documents=[]))
    assert found == [call("open_url", None, [0, 0, None], "ok")]


@pytest.mark.parametrize(
    "before",
    [
        [],
        [packet("top_level_branching", num_parallel_branches=2)],
        [packet("error")],
        [packet("chat_heartbeat", model=None)],
        [packet("open_url_start", (0, 1))],
        [packet("open_url_start", (0, 0, 0))],
    ],
)
def test_a_lone_end_is_a_call_that_failed_before_it_started(before: list[Any]) -> None:
    found = calls(*before, end())
    assert found[-1] == call(None, None, [0, 0, None], "error")


@pytest.mark.parametrize(
    "before",
    [
        say("text"),
        [packet("citation_info", citation_number=1, document_id="d")],
        [packet("sparkle")],
        [packet("reasoning_start")],
        [packet("citation_start")],
    ],
)
def test_the_end_of_something_else_is_no_call(before: list[Any]) -> None:
    assert calls(*before, end()) == []


def test_a_second_end_is_ignored() -> None:
    assert len(calls(packet("open_url_start"), end(), end())) == 1
    assert len(calls(end(), end())) == 1


def fragments(text: str, at: tuple[int, ...] = (0,), tool: str = "python") -> dict[str, Any]:
    return packet("tool_call_argument_delta", at, tool_type=tool, argument_deltas={"code": text})


def test_fragments_are_superseded_by_the_start_on_whatever_tab() -> None:
    found = calls(fragments("a"), fragments("b"), packet("python_tool_start", (0, 2), code="ab"), end((0, 2)))
    assert found == [call("run_python", {"code": "ab"}, [0, 2, None], "unknown")]


def test_a_lone_end_takes_the_fragments_of_its_turn_and_uses_them_up() -> None:
    found = calls(fragments("a"), fragments("b", (0, 1)), end((0, 1)), end((0, 2)))
    assert found == [
        call("run_python", {"code": "ab"}, [0, 1, None], "error"),
        call(None, None, [0, 2, None], "error"),
    ]


def test_fragments_of_another_turn_are_not_taken() -> None:
    found = calls(fragments("a", (0,)), end((1,)))
    assert found == [
        call(None, None, [1, 0, None], "error"),
        call("run_python", None, [0, 0, None], "unknown"),
    ]


def test_fragments_of_one_tool_are_not_superseded_by_another() -> None:
    found = calls(fragments("ls", tool="bash"), packet("python_tool_start", code="1"))
    assert [each["name"] for each in found] == ["run_python", "bash"]


def test_fragments_under_the_old_and_the_new_name_of_a_tool_are_kept_apart() -> None:
    both = [fragments("a"), fragments("b", tool="run_python")]
    assert calls(*both, end()) == [
        call("run_python", {"code": "a"}, [0, 0, None], "error"),
        call("run_python", None, [0, 0, None], "unknown"),
    ]
    assert len(calls(*both, packet("python_tool_start", code="ab"))) == 1


@pytest.mark.parametrize("first", ["debug", "start"])
def test_a_debug_packet_replaces_name_and_arguments(first: str) -> None:
    debug = packet("tool_call_debug", tool_call_id="c", tool_name="real", tool_args={"a": 1})
    start = packet("python_tool_start", code="x")
    found = calls(*([debug, start] if first == "debug" else [start, debug]), end())
    assert found == [call("real", {"a": 1}, [0, 0, None], "unknown")]


def test_a_debug_packet_does_not_count_as_something_to_end() -> None:
    debug = packet("tool_call_debug", tool_call_id="c", tool_name="real", tool_args={"a": 1})
    assert calls(debug) == []
    assert calls(debug, end()) == [call("real", {"a": 1}, [0, 0, None], "error")]


def test_a_debug_packet_belongs_to_the_second_call_once_the_first_has_ended() -> None:
    def debug(name: str) -> dict[str, Any]:
        return packet("tool_call_debug", tool_name=name, tool_args={})

    start = packet("open_url_start")
    found = calls(debug("one"), start, end(), debug("two"), start, end())
    assert [each["name"] for each in found] == ["one", "two"]


def test_a_coding_agent_is_ended_by_its_final_packet() -> None:
    start = packet("coding_agent_start", query="q", repo="r")
    stream = [start, packet("coding_agent_final", answer="a"), end()]
    (only,) = trace(*stream).tool_calls
    assert (only.arguments, only.result, only.status) == ({"query": "q", "repo": "r"}, {"answer": "a"}, "ok")
    assert only.ended == len(ndjson(*stream[:2]))


# R7


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([packet("open_url_start"), packet("open_url_documents", documents=[]), packet("error")], "error"),
        ([packet("error"), packet("open_url_start"), packet("open_url_documents", documents=[])], "error"),
        ([packet("custom_tool_delta", tool_id=1, error={"message": "no"})], "error"),
        ([packet("custom_tool_delta", tool_id=None, data={"error": "no"})], "error"),
        ([packet("custom_tool_delta", tool_id=1, data={"error": "no"})], "ok"),
        ([packet("custom_tool_delta", tool_id=None, data={"error": "no", "x": 1})], "ok"),
        ([packet("custom_tool_delta", tool_id="12", data={"error": "no"})], "ok"),
        ([packet("memory_tool_start"), packet("memory_tool_no_access"), end()], "error"),
        ([packet("memory_tool_start"), packet("memory_tool_delta", memory_text="x")], "ok"),
        ([packet("python_tool_delta", stderr=" \n"), end()], "ok"),
        ([packet("python_tool_delta", stderr="boom"), packet("python_tool_delta", stdout="x")], "error"),
        ([packet("python_tool_delta", stdout="x")], "unknown"),
        ([packet("python_tool_start", code="x"), end()], "unknown"),
        ([packet("bash_tool_delta", exit_code=0), end()], "ok"),
        ([packet("bash_tool_delta", exit_code=None), end()], "ok"),
        ([packet("bash_tool_delta", exit_code=1)], "error"),
        ([packet("bash_tool_delta", exit_code=0, timed_out=True), end()], "error"),
        ([packet("bash_tool_delta", exit_code=0)], "unknown"),
        ([packet("bash_tool_start", cmd="ls"), end()], "unknown"),
        ([packet("search_tool_start"), packet("search_tool_queries_delta", queries=["q"]), end()], "unknown"),
        ([packet("search_tool_start"), end()], "error"),
        ([packet("image_generation_start"), packet("image_generation_heartbeat"), end()], "error"),
        ([packet("image_generation_start"), packet("image_generation_final", images=None)], "ok"),
        ([packet("research_agent_start", research_task="t"), packet("intermediate_report_start")], "ok"),
        ([packet("research_agent_start", research_task="t"), end()], "error"),
        ([packet("custom_tool_start", tool_name="n"), STOP], "unknown"),
    ],
)
def test_the_status_of_a_call(lines: list[Any], status: str) -> None:
    assert [each["status"] for each in calls(*lines)] == [status]


# R8


def test_only_the_first_citation_of_a_document_counts() -> None:
    cited = [
        packet("citation_info", citation_number=n, document_id=d) for n, d in [(2, "b"), (1, "a"), (3, "b")]
    ]
    assert read(*cited)["citations"] == [{"number": 2, "document_id": "b"}, {"number": 1, "document_id": "a"}]


def test_a_citation_without_a_number_has_none() -> None:
    cited = [
        packet("citation_info", document_id="a"),
        packet("citation_delta", citations=[{"document_id": "b"}]),
    ]
    assert [each["number"] for each in read(*cited)["citations"]] == [None, None]


def test_documents_are_listed_once_in_order_of_appearance() -> None:
    def documents(*ids: Any) -> list[dict[str, Any]]:
        return [{"document_id": each} for each in ids]

    got = read(
        packet("search_tool_documents_delta", (0, 0, 1), documents=documents("b", "a")),
        packet("open_url_documents", (0, 1), documents=documents("a", "c", 7)),
        packet("intermediate_report_cited_docs", (1,), cited_docs=documents("d")),
        packet("message_start", (2,), final_documents=[*documents("e", "b"), "nonsense"]),
    )
    assert got["documents"] == ["b", "a", "c", "d", "e"]


def test_an_ordinary_ids_line_does_not_undo_the_one_of_several_models() -> None:
    one = {"user_message_id": 5, "reserved_assistant_message_id": 6}
    for got in (read(TWO, one), read(one, TWO)):
        assert (got["user_message_id"], got["assistant_message_ids"], len(got["models"])) == (1, [2, 3], 2)


def test_side_by_side_ids_keep_their_order() -> None:
    got = read({"user_message_id": None, "responses": [{"message_id": 9}, {"message_id": 3}]})
    assert (got["user_message_id"], got["assistant_message_ids"], len(got["models"])) == (None, [9, 3], 2)


# R9


def test_old_searches_read_like_new_ones() -> None:
    document = {"document_id": "d"}
    found = calls(
        packet("internal_search_tool_start"),
        packet("internal_search_tool_delta", queries=["q"], documents=None),
        packet("internal_search_tool_delta", queries=[], documents=[document]),
        end(),
    )
    assert found == [call("internal_search", {"queries": ["q"]}, [0, 0, None], "ok")]


def test_empty_lists_in_an_old_search_are_no_packets_of_their_own() -> None:
    delta = packet("search_tool_delta", queries=[], documents=[])
    assert calls(packet("search_tool_start"), delta, end()) == [
        call("internal_search", None, [0, 0, None], "error")
    ]


@pytest.mark.parametrize("kind", ["fetch_tool_start", "fetch_tool_delta"])
def test_an_old_fetch_has_its_result_where_it_lists_documents(kind: str) -> None:
    found = read(packet("fetch_tool_start"), packet(kind, documents=[{"document_id": "d"}]), end())
    assert (found["tool_calls"], found["documents"]) == ([call("open_url", None, [0, 0, None], "ok")], ["d"])
    assert calls(packet(kind, documents=[]), end())[0]["status"] == "error"


def test_old_images_read_like_new_ones() -> None:
    kinds = ("image_generation_tool_start", "image_generation_tool_heartbeat", "image_generation_tool_delta")
    found = read(*(packet(kind, images=[]) for kind in kinds), end())
    assert found["tool_calls"] == [call("generate_image", None, [0, 0, None], "ok")]
    assert (found["heartbeats"], found["unknown_packets"]) == (0, 0)


def test_old_citations_come_several_at_once() -> None:
    cited = [{"citation_num": 1, "document_id": "a"}, {"citation_num": 2, "document_id": "b"}, "nonsense"]
    got = read(packet("citation_delta", citations=cited))
    assert [each["document_id"] for each in got["citations"]] == ["a", "b"]


@pytest.mark.parametrize("kind", ["citation_start", "citation_end", "message_end", "search_skipped"])
def test_old_packets_without_effect_are_known(kind: str) -> None:
    assert (read(packet(kind))["unknown_packets"], read(packet(kind))["packets"]) == (0, 1)


def test_rows_keep_the_name_a_packet_has_on_the_wire() -> None:
    said = ndjson({"chat_session_id": "s"}, packet("fetch_tool_start", (2, 1)), packet("chat_heartbeat"))
    rows = packet_rows(frames_of(said))
    assert [(row.seq, row.kind, row.turn_index, row.text) for row in rows] == [
        (0, "fetch_tool_start", 2, None),
        (1, "chat_heartbeat", None, None),
    ]


# R10


def test_only_the_first_end_of_a_model_counts() -> None:
    cancelled = packet("stop", stop_reason="user_cancelled")
    got = read(*say("hi"), STOP, cancelled, {"error": "late"}, packet("message_delta", content="!"))
    assert (got["outcome"], got["answer"], got["packets"], got["error"]) == ("success", "hi", 5, None)


def test_a_stop_after_an_error_line_does_not_mend_it() -> None:
    got = read(*say("half"), {"error": "no", "error_code": "X"}, STOP)
    assert (got["outcome"], got["answer"], got["error"]) == ("error", "half", {"code": "X", "message": "no"})


def test_a_blank_answer_is_empty_only_where_the_run_succeeded() -> None:
    assert read(*say(" \n"), STOP)["outcome"] == "empty"
    assert read(*say(" \n"), packet("stop", stop_reason="user_cancelled"))["outcome"] == "cancelled"
    assert read(*say(" \n"))["outcome"] == "truncated"


def test_an_unknown_stop_reason_is_a_success() -> None:
    assert read(*say("hi"), packet("stop", stop_reason="finished"))["outcome"] == "success"


def test_an_error_line_of_one_model_leaves_the_others() -> None:
    line = {"error": "no", "error_code": None, "details": {"model": "m", "model_index": 1}}
    got = read(TWO, *say("hi"), line, STOP)
    assert [each["outcome"] for each in got["models"]] == ["success", "error"]
    assert got["models"][1]["error"] == {"code": None, "message": "no"}


def test_an_error_line_says_which_model_ran_and_whether_to_try_again() -> None:
    got = trace({"error": "no", "is_retryable": False, "details": {"model": "m", "provider": "p"}})
    assert (got.retryable, got.model_seen) == (False, "m")


# R11


def whole(document: Any, content_type: str = "application/json; charset=utf-8") -> dict[str, Any]:
    return reading(read_body(json.dumps(document).encode(), content_type=content_type))


def test_an_answer_that_was_not_streamed() -> None:
    got = whole(
        {
            "answer": " hi ",
            "pre_answer_reasoning": "hm",
            "tool_calls": [
                {"tool_name": "a", "tool_arguments": {"x": 1}, "tool_result": '{"error": "no"}'},
                {"tool_name": "b", "tool_arguments": {}, "tool_result": '{"error": null}'},
                {"tool_name": "c", "tool_result": "error", "search_docs": [{"document_id": "s"}]},
            ],
            "top_documents": [{"document_id": "t"}, {"document_id": "s"}],
            "citation_info": [{"citation_number": 4, "document_id": "t"}],
            "message_id": 5,
            "chat_session_id": "s1",
            "error_msg": None,
        }
    )
    assert (got["outcome"], got["answer"], got["reasoning"]) == ("success", " hi ", ["hm"])
    assert got["tool_calls"] == [
        {"name": "a", "arguments": {"x": 1}, "placement": None, "status": "error"},
        {"name": "b", "arguments": {}, "placement": None, "status": "unknown"},
        {"name": "c", "arguments": None, "placement": None, "status": "unknown"},
    ]
    assert (got["documents"], got["citations"]) == (["s", "t"], [{"number": 4, "document_id": "t"}])
    assert (got["user_message_id"], got["assistant_message_ids"], got["packets"]) == (None, [5], 0)


@pytest.mark.parametrize(
    ("document", "outcome"),
    [
        ({"answer": "part", "error_msg": "no"}, "error"),
        ({"answer": " ", "error_msg": None}, "empty"),
        ({"answer": None, "message_id": 3}, "empty"),
        ("a bare string", "success"),
        ("", "empty"),
    ],
)
def test_the_outcome_of_an_answer_that_was_not_streamed(document: Any, outcome: str) -> None:
    assert whole(document)["outcome"] == outcome


@pytest.mark.parametrize(
    "content_type", ["application/json", "text/plain", "", "TEXT/EVENT-STREAM; charset=utf-8"]
)
def test_a_stream_is_a_stream_under_any_content_type(content_type: str) -> None:
    body = ndjson({"chat_session_id": "s"}, *say("hi"), STOP)
    assert read_body(body, content_type=content_type).answer == "hi"
    assert reading(read_body(b'{"error": "bare"}', content_type=content_type))["error"]["message"] == "bare"


def test_an_answer_that_was_not_streamed_is_told_from_a_stream_by_its_content() -> None:
    assert whole({"answer": "hi", "message_id": 3}, "text/event-stream")["answer"] == "hi"
    assert whole({"answer": "hi"}, "text/plain")["answer"] == "hi"
    assert whole({"answer": "hi"}, "text/event-stream")["unknown_packets"] == 1


# R12


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b'{"detail": "no", "error_code": "X", "message": "m"}', "X", "no"),
        (b'{"detail": [{"loc": 1}], "message": "m"}', None, "m"),
        (b'{"detail": [1]}', None, '{"detail": [1]}'),
        (b"<html>502</html>\n", None, "<html>502</html>\n"),
        (b"[1]", None, "[1]"),
        (b"", None, ""),
        (b"\xff", None, "\ufffd"),
    ],
)
def test_an_http_error_of_any_shape(body: bytes, code: str | None, message: str) -> None:
    got = reading(read_body(body, status=502, content_type="text/html"))
    assert (got["outcome"], got["error"]) == ("error", {"code": code, "message": message})
    assert (got["answer"], got["packets"], got["bad_lines"], "models" in got) == ("", 0, 0, False)


# What is kept beside the reading


def test_marks_are_offsets_just_after_their_lines() -> None:
    stream = [
        {"chat_session_id": "s"},
        {"user_message_id": 1, "reserved_assistant_message_id": 2},
        packet("chat_heartbeat"),
        packet("reasoning_delta", reasoning="hm"),
        packet("open_url_start", (1,)),
        packet("open_url_documents", (1,), documents=[{"document_id": "d"}]),
        packet("message_start", (2,)),
        packet("message_delta", (2,), content=""),
        packet("message_delta", (2,), content="a"),
        packet("message_delta", (2,), content="b"),
        packet("stop", (2,)),
    ]
    ends = [len(ndjson(*stream[:upto])) for upto in range(1, len(stream) + 1)]
    marks = trace(*stream).marks
    assert (marks.session, marks.ids, marks.first_packet, marks.first_reasoning) == (
        ends[0],
        ends[1],
        ends[3],
        ends[3],
    )
    assert (marks.first_tool, marks.first_document, marks.stop) == (ends[4], ends[5], ends[10])
    assert (marks.first_text, marks.first_answer, marks.last_answer) == (ends[8], ends[8], ends[9])
    assert marks.answer_ends == (ends[8], ends[9])


def test_a_call_that_is_not_ended_is_over_at_the_next_turn() -> None:
    stream = [packet("open_url_start"), packet("open_url_start", (0, 1)), end((0, 1)), *say("hi", (1,))]
    first, second = trace(*stream).tool_calls
    assert (first.began, first.ended) == (len(ndjson(*stream[:1])), len(ndjson(*stream[:4])))
    assert second.ended == len(ndjson(*stream[:3]))


def test_a_call_that_the_cut_interrupts_has_no_end() -> None:
    (only,) = trace(packet("open_url_start")).tool_calls
    assert only.ended is None


def test_the_calls_of_other_models_have_ids_of_their_own() -> None:
    got = trace(TWO, packet("open_url_start", (1, 2), 1), packet("bash_tool_start", (1, 2, 3), 1))
    assert got.models is not None
    assert [each.call_id for each in got.models[1].tool_calls] == ["m1/t1.2", "m1/t1.2.3"]


# What searches show of the filters they applied (2.5, 2.8)

POLICY = {
    "document_id": "d1",
    "source_type": "web",
    "updated_at": "2026-01-02T00:00:00Z",
    "metadata": {"team": ["hr", "it"]},
    "is_internet": False,
}
FOUND = FoundDocument("d1", "web", "2026-01-02T00:00:00Z", {"team": ["hr", "it"]})


def test_an_internal_search_shows_the_filters_it_applied_and_where_its_documents_are_from() -> None:
    got = trace(
        packet("search_tool_start", is_internet_search=False),
        packet("search_tool_filter_delta", sources=["web"], time_filter_start="2026-01-01T00:00:00Z"),
        packet("search_tool_documents_delta", documents=[POLICY, {"document_id": "d2", "metadata": "no"}]),
        end(),
        packet("search_tool_start", (1,)),
        packet("search_tool_filter_delta", (1,), sources=[]),
        end((1,)),
        STOP,
    )
    assert got.searched == (
        Search(Applied(("web",), "2026-01-01T00:00:00Z"), (FOUND, FoundDocument("d2"))),
        Search(Applied(())),
    )


def test_what_is_of_the_web_is_no_part_of_an_internal_search() -> None:
    web = [
        packet("search_tool_start", is_internet_search=True),
        packet("search_tool_documents_delta", documents=[POLICY]),
        end(),
    ]
    mixed = [
        packet("search_tool_start", (1,)),
        packet("search_tool_documents_delta", (1,), documents=[POLICY | {"is_internet": True}]),
        end((1,)),
    ]
    assert trace(*web, *mixed, STOP).searched == (Search(),)


def test_an_answer_that_was_not_streamed_shows_what_its_internal_searches_found() -> None:
    calls = [
        {"tool_name": "internal_search", "search_docs": [POLICY]},
        {"tool_name": "web_search", "search_docs": [POLICY]},
        {"tool_name": "internal_search", "search_docs": None},
    ]
    document = {"answer": "hi", "message_id": 3, "tool_calls": calls}
    got = read_body(json.dumps(document).encode(), content_type="application/json")
    assert got.searched == (Search(None, (FOUND,)), Search())


def test_each_model_side_by_side_has_marks_searches_and_an_error_of_its_own() -> None:
    lines: list[dict[str, Any]] = [
        TWO,
        *say("zero", model=0),
        packet("search_tool_start", model=1),
        packet("search_tool_documents_delta", model=1, documents=[POLICY]),
        packet("stop", (1,), 0, stop_reason=None),
        {"error": "no", "error_code": "API_ERROR", "details": {"model": "m1", "model_index": 1}},
    ]
    got = trace(*lines)
    assert got.models is not None
    zero, one = got.models
    ends = [len(ndjson(*lines[: number + 1])) for number in range(len(lines))]
    assert (zero.marks.ids, zero.marks.first_text, zero.marks.stop) == (ends[0], ends[2], ends[5])
    assert zero.marks == got.marks
    assert (one.marks.first_tool, one.marks.first_text, one.marks.stop) == (ends[3], None, None)
    assert (zero.searched, one.searched) == ((), (Search(None, (FOUND,)),))
    assert (zero.model_seen, one.model_seen) == (None, "m1")
