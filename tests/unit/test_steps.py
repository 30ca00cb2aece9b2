"""Where the time of an exchange went. Lines come 10 ms apart, the session's 10 ms after it was sent."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from harness.metrics.figures import response_ns, service_ns
from harness.metrics.steps import Stretch, steps
from harness.result import Exchange, Failure, Fault, Step, kept, with_transcript
from harness.sigma.packets import packet_rows
from harness.sigma.transcript import frames_of
from tests.replies import (
    IDS,
    MS,
    SESSION,
    START,
    STOP,
    answer,
    delta,
    exchange,
    of_model,
    packet,
    searched,
    side_by_side,
)
from tests.wire.recorded import NAMES, READINGS, chunks, recording

Told = list[tuple[str, float]]


def told(one: Exchange) -> Told:
    """Each step and its milliseconds."""
    return [(step, (ended - began) / MS) for step, began, ended in steps(one)]


def in_reply(lines: list[str]) -> Told:
    """The steps of a reply of these lines after the one that sent the request."""
    (first, _), *rest = told(exchange([SESSION, IDS, *lines]))
    assert first == "send"
    return rest


def reasoned(text: str, turn: int = 0) -> str:
    return packet("reasoning_delta", turn, reasoning=text)


def assert_partition(one: Exchange) -> None:
    """The law: no hole, nothing negative, and the sums are the figures that have names."""
    found = steps(one)
    start = one.began_ns if one.due_ns is None else one.due_ns
    assert found[0].began_ns == start
    assert all(earlier.ended_ns == later.began_ns for earlier, later in pairwise(found))
    assert all(earlier.step != later.step for earlier, later in pairwise(found))
    assert all(stretch.ended_ns >= stretch.began_ns for stretch in found)
    assert took(found) == found[-1].ended_ns - start


def took(found: list[Stretch], since_ns: int = 0) -> int:
    return sum(stretch.ended_ns - stretch.began_ns for stretch in found if stretch.began_ns >= since_ns)


def test_a_plain_answer_is_sending_the_queue_of_sigma_text_and_the_end() -> None:
    assert told(exchange(answer("a", "b"))) == [
        ("send", 1.0),
        ("first_packet", 30.0),
        ("answer", 20.0),
        ("end", 10.0),
    ]


def test_before_the_reply_come_our_queue_the_session_and_the_connection() -> None:
    sent = exchange(answer("a"))
    at = {"due_ns": 900, "began_ns": 920, "session_ns": 950, "connected_ns": 990}
    early = structs.replace(sent, **{name: ms * MS for name, ms in at.items()})
    wanted = [("queue", 20.0), ("session", 30.0), ("connect", 40.0), ("send", 10.0)]
    assert told(early)[:4] == wanted
    assert_partition(early)
    parts = structs.replace(early, resolved_ns=955 * MS, tcp_ns=970 * MS)
    assert told(parts)[1:6] == [
        ("session", 30.0),
        ("dns", 5.0),
        ("tcp", 15.0),
        ("tls", 20.0),
        ("send", 10.0),
    ]


def test_the_wait_of_a_retry_is_not_called_a_queue() -> None:
    again = structs.replace(exchange(answer("a"), attempt=2), due_ns=500 * MS)
    assert told(again)[0] == ("retry", 499.0)


def test_the_time_up_to_a_packet_belongs_to_the_step_of_that_packet() -> None:
    lines = [
        packet("reasoning_start"),
        reasoned("hm"),
        packet("reasoning_done"),
        *searched(turn=1),
        packet("message_start", 2),
        packet("citation_info", 2, citation_number=1, document_id="d"),
        delta("30", 2),
        STOP,
    ]
    assert in_reply(lines) == [
        ("first_packet", 30.0),
        ("reasoning", 20.0),
        ("tool internal_search", 30.0),
        ("answer", 30.0),
        ("end", 10.0),
    ]


def test_text_that_is_not_of_the_final_block_is_narration() -> None:
    lines = [START, delta("Let me look."), *searched(turn=1), packet("message_start", 2), delta("30", 2)]
    assert in_reply([*lines, STOP]) == [
        ("first_packet", 30.0),
        ("narration", 10.0),
        ("tool internal_search", 30.0),
        ("answer", 20.0),
        ("end", 10.0),
    ]


def test_a_second_block_of_text_at_one_place_is_the_answer_and_the_first_is_not() -> None:
    assert in_reply([START, delta("a"), START, delta("b"), STOP]) == [
        ("first_packet", 30.0),
        ("narration", 10.0),
        ("answer", 20.0),
        ("end", 10.0),
    ]


def test_tools_that_run_in_parallel_each_have_the_time_that_their_packets_ended() -> None:
    lines = [
        packet("top_level_branching", num_parallel_branches=2),
        packet("custom_tool_start", 1, 0, tool_name="weather"),
        packet("search_tool_start", 1, 1, is_internet_search=True),
        packet("search_tool_queries_delta", 1, 1, queries=["q"]),
        packet("custom_tool_delta", 1, 0, tool_name="weather", data="rain"),
        packet("section_end", 1, 1),
        packet("section_end", 1, 0),
        packet("tool_call_debug", 2, tool_name="really"),
    ]
    assert in_reply(lines)[1:] == [
        ("tool weather", 10.0),
        ("tool web_search", 20.0),
        ("tool weather", 10.0),
        ("tool web_search", 10.0),
        ("tool weather", 10.0),
        ("tool really", 10.0),
        ("broken", 0.0),
    ]


def test_two_tools_at_one_place_are_told_apart() -> None:
    lines = [
        START,
        packet("search_tool_start", 1, is_internet_search=False),
        packet("open_url_start", 1),
        packet("search_tool_documents_delta", 1, documents=[]),
        packet("open_url_documents", 1, documents=[]),
    ]
    assert [step for step, _ in in_reply(lines)] == [
        "first_packet",
        "tool internal_search",
        "tool open_url",
        "tool internal_search",
        "tool open_url",
        "broken",
    ]


def test_writing_the_arguments_of_a_call_is_time_of_its_tool() -> None:
    written = packet("tool_call_argument_delta", 1, tool_type="python", argument_deltas={"code": "1"})
    lines = [
        START,
        written,
        written,
        packet("python_tool_start", 1, 2, code="1"),
        packet("section_end", 1, 2),
    ]
    assert in_reply(lines) == [("first_packet", 30.0), ("tool run_python", 40.0), ("broken", 0.0)]


def test_a_call_that_failed_before_it_started_has_the_name_that_its_fragments_gave() -> None:
    written = packet("tool_call_argument_delta", 1, tool_type="python", argument_deltas={"code": "1"})
    assert in_reply([START, written, packet("section_end", 1, 3)])[1:] == [
        ("tool run_python", 20.0),
        ("broken", 0.0),
    ]
    assert in_reply([START, packet("section_end", 1, 3)])[1:] == [("tool ?", 10.0), ("broken", 0.0)]


def test_nested_work_has_steps_of_its_own_and_the_agent_the_rest() -> None:
    lines = [
        packet("deep_research_plan_start"),
        packet("deep_research_plan_delta", content="first"),
        packet("section_end"),
        packet("research_agent_start", 1, research_task="t"),
        packet("reasoning_delta", 1, 0, 0, reasoning="hm"),
        packet("search_tool_start", 1, 0, 1, is_internet_search=True),
        packet("section_end", 1, 0, 1),
        packet("intermediate_report_delta", 1, content="r"),
        packet("section_end", 1),
    ]
    assert in_reply(lines) == [
        ("first_packet", 30.0),
        ("plan", 20.0),
        ("tool research_agent", 10.0),
        ("reasoning", 10.0),
        ("tool web_search", 20.0),
        ("tool research_agent", 20.0),
        ("broken", 0.0),
    ]


def test_a_heartbeat_ends_nothing_and_its_time_goes_to_what_comes_next() -> None:
    beat = packet("chat_heartbeat")
    assert in_reply([beat, START, beat, beat, delta("a"), STOP]) == [
        ("first_packet", 40.0),
        ("answer", 30.0),
        ("end", 10.0),
    ]


def test_what_has_no_name_here_is_other() -> None:
    assert in_reply([START, delta("a"), packet("sparkle", 7), packet("section_end", 7), STOP])[1:] == [
        ("answer", 10.0),
        ("other", 20.0),
        ("end", 10.0),
    ]


def test_a_reply_that_broke_has_what_came_and_the_wait_for_what_did_not() -> None:
    cut = exchange([SESSION, IDS, START, delta("a")], failure=Failure(Fault.TIMED_OUT, Step.BODY, "late"))
    late = structs.replace(cut, ended_ns=2000 * MS)
    assert told(late) == [("send", 1.0), ("first_packet", 30.0), ("answer", 10.0), ("broken", 960.0)]


def test_an_exchange_that_never_reached_a_server_is_broken_from_where_it_stood() -> None:
    refused = exchange([], status=None, failure=Failure(Fault.CONNECT, Step.CONNECT, "refused"))
    early = structs.replace(refused, sent_ns=None, due_ns=900 * MS, ended_ns=1002 * MS)
    assert told(early) == [("queue", 99.0), ("broken", 3.0)]


def test_an_exchange_that_never_ended_has_no_steps() -> None:
    assert steps(structs.replace(exchange([], status=None), ended_ns=None)) == []


def test_a_reply_that_was_not_streamed_is_one_step() -> None:
    body = json.dumps({"answer": "Paris", "message_id": 2})
    one = exchange([body], content_type="application/json")
    assert told(one) == [("send", 1.0), ("reply", 10.0)]
    assert steps(one)[-1].ended_ns - steps(one)[-1].began_ns == service_ns(one, "total")


def test_an_http_error_is_no_reply() -> None:
    assert told(exchange(['{"detail": "no"}'], status=500))[1:] == [("broken", 10.0)]


def test_of_models_side_by_side_the_steps_go_up_to_the_stop_of_the_last() -> None:
    zero = [of_model(START, 0), of_model(delta("zero"), 0), of_model(STOP, 0)]
    one = [of_model(START, 1), of_model(delta("one"), 1), of_model(STOP, 1)]
    lines = side_by_side(zero, one)
    both = exchange([*lines, packet("chat_heartbeat")])
    assert told(both) == [
        ("send", 1.0),
        ("first_packet", 30.0),
        ("answer", 10.0),
        ("end", 10.0),
        ("answer", 20.0),
        ("end", 10.0),
    ]
    assert told(exchange(lines[:-1]))[-1] == ("broken", 0.0)


def test_what_comes_after_the_stop_is_not_time_of_the_reply() -> None:
    assert told(exchange([*answer("a"), delta("late")])) == told(exchange(answer("a")))


def test_a_stamp_before_the_one_that_it_should_follow_makes_no_negative_step() -> None:
    one = exchange(answer("a", "b"))
    moved = structs.replace(one, arrived_ns=(*one.arrived_ns[:3], one.arrived_ns[0], *one.arrived_ns[4:]))
    assert ("answer", 20.0) in told(moved)
    assert_partition(moved)
    late = structs.replace(one, sent_ns=1_000_000 * MS)
    assert_partition(late)
    assert steps(late)[-1].ended_ns == one.arrived_ns[-1]
    assert_partition(structs.replace(one, began_ns=1_000_000 * MS))


@pytest.mark.parametrize("name", [name for name in NAMES if name in READINGS])
def test_the_steps_of_every_recording_add_up_and_cover_its_named_figures(name: str) -> None:
    one = replayed(name, due_ns=990 * MS)
    assert_partition(one)
    assert one.transcript is not None
    if one.transcript.models is None and (total := service_ns(one, "total")) is not None:
        assert took(steps(one), 1000 * MS) == total
        assert response_ns(one, "total") == total + 10 * MS
    calls = {call.name or "?" for call in one.transcript.tool_calls if call.began is not None}
    tools = {stretch.step for stretch in steps(one) if stretch.step.startswith("tool ")}
    assert tools >= {f"tool {name}" for name in calls} - {first_step(one)}


def first_step(one: Exchange) -> str | None:
    """The step that the first packet would have had, which goes to the queue of Sigma."""
    first = next((row for row in packet_rows(frames_of(one.body)) if row.turn_index is not None), None)
    calls = () if one.transcript is None else one.transcript.tool_calls
    return next((f"tool {call.name or '?'}" for call in calls if first and call.began == first.end), None)


def replayed(name: str, **marks: int) -> Exchange:
    """A recording as an exchange, its chunks a read each and further and further apart."""
    reply = recording(name)
    ends, at, stamps, end = [], 1000 * MS, [], 0
    for nth, chunk in enumerate(chunks(name), 1):
        end += len(chunk)
        at += nth * MS
        ends.append(end)
        stamps.append(at)
    text, b64 = kept(reply.body)
    fields: dict[str, Any] = {"began_ns": 995 * MS, "sent_ns": 1000 * MS, "ended_ns": at + 1, **marks}
    return with_transcript(
        Exchange(
            exchange_id=name,
            turn_id="1",
            attempt=1,
            request={},
            http_status=reply.status,
            content_type=reply.content_type,
            text=text,
            b64=b64,
            read_ends=tuple(ends),
            arrived_ns=tuple(stamps),
            seen_ns=tuple(stamps),
            **fields,
        )
    )


KINDS = (
    *("message_start", "message_delta", "reasoning_start", "reasoning_delta", "section_end", "error", "stop"),
    *("chat_heartbeat", "top_level_branching", "tool_call_debug", "tool_call_argument_delta", "sparkle"),
    *(
        "citation_info",
        "citation_delta",
        "search_tool_start",
        "search_tool_documents_delta",
        "open_url_start",
    ),
    *("python_tool_start", "python_tool_delta", "custom_tool_start", "coding_agent_final", "message_end"),
    *("research_agent_start", "intermediate_report_delta", "deep_research_plan_delta"),
)
TINY = st.integers(0, 1)
LINES = st.lists(
    st.builds(
        lambda kind, turn, tab, sub, model: of_model(
            packet(kind, turn, tab, sub, content="x", reasoning="x", tool_name="t", tool_type="python"), model
        ),
        st.sampled_from(KINDS),
        TINY,
        TINY,
        st.none() | TINY,
        TINY,
    ),
    max_size=12,
)
STAMP = st.integers(0, 2_000 * MS)


@settings(max_examples=200)
@given(LINES, st.booleans(), st.lists(STAMP, min_size=14, max_size=14), st.data())
def test_steps_are_a_partition_whatever_comes_and_whatever_the_stamps_say(
    lines: list[str], several: bool, stamps: list[int], data: st.DataObject
) -> None:
    one = exchange([SESSION, side_by_side([], [])[1] if several else IDS, *lines])
    names = ("due_ns", "session_ns", "resolved_ns", "tcp_ns", "connected_ns", "sent_ns")
    marks = {name: data.draw(st.none() | STAMP, name) for name in names}
    came = tuple(stamps[: len(one.read_ends)])
    assert_partition(
        structs.replace(one, arrived_ns=came, began_ns=data.draw(STAMP), ended_ns=data.draw(STAMP), **marks)
    )


@settings(max_examples=200)
@given(LINES)
def test_the_steps_from_sending_on_add_up_to_the_total_and_all_of_them_to_the_response_time(
    lines: list[str],
) -> None:
    one = structs.replace(exchange([SESSION, IDS, *lines, of_model(STOP, 0)]), due_ns=970 * MS)
    total, found = service_ns(one, "total"), steps(one)
    if one.transcript is not None and one.transcript.models is None and total is not None:
        assert took(found, 1000 * MS) == total
        assert took(found) == response_ns(one, "total")
