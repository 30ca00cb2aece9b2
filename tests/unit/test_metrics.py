import json

import pytest
from msgspec import structs

from harness.metrics import figures as metrics
from harness.result import Exchange, Failure, Fault, Step
from tests.replies import IDS, MS, SESSION, START, STOP, answer, delta, exchange, packet, result, searched

# Lines come 10 ms apart: session 10, ids 20, then what follows.


def test_ttft_is_from_sending_to_the_first_text_whatever_came_before_it() -> None:
    quiet = [SESSION, IDS, packet("chat_heartbeat"), packet("reasoning_delta", reasoning="hm"), START]
    assert metrics.ttft_ns(exchange([*quiet, delta("Paris"), STOP])) == 60 * MS


def test_ttft_counts_narration_and_the_time_to_the_answer_does_not() -> None:
    lines = [
        SESSION,
        IDS,
        START,
        delta("Let me look."),
        *searched(turn=1),
        packet("message_start", 2),
        delta("30", 2),
        STOP,
    ]
    one = exchange(lines)
    assert metrics.ttft_ns(one) == 40 * MS
    assert metrics.service_ns(one, "answer") == 90 * MS


def test_the_total_ends_with_the_stop_packet_and_without_one_there_is_none() -> None:
    assert metrics.service_ns(exchange(answer("a", "b")), "total") == 60 * MS
    assert metrics.service_ns(exchange(answer("a", "b")[:-1]), "total") is None


EVERYTHING = [
    SESSION,
    IDS,
    packet("chat_heartbeat"),
    packet("reasoning_delta", reasoning="hm"),
    packet("search_tool_start", 1, is_internet_search=False),
    packet("search_tool_documents_delta", 1, documents=[{"document_id": "d"}]),
    packet("message_start", 1, 1),
    packet("message_delta", 1, 1, content="Found it."),
    packet("message_start", 2),
    delta("30", 2),
    packet("stop", 2, stop_reason=None),
]


def test_every_latency_runs_to_the_packet_that_it_is_named_for() -> None:
    one = exchange(EVERYTHING)
    assert {name: metrics.service_ns(one, name) for name in metrics.LATENCIES} == {
        "ttft": 80 * MS,
        "first_packet": 40 * MS,
        "first_reasoning": 40 * MS,
        "first_tool": 50 * MS,
        "first_document": 60 * MS,
        "answer": 100 * MS,
        "total": 110 * MS,
    }


@pytest.mark.parametrize("latency", metrics.LATENCIES)
def test_response_time_is_service_time_and_how_late_it_was_sent(latency: str) -> None:
    one = exchange(EVERYTHING)
    late = structs.replace(one, due_ns=700 * MS, began_ns=950 * MS)
    service, response = metrics.service_ns(late, latency), metrics.response_ns(late, latency)
    assert (metrics.queue_ns(late), metrics.sent_lateness_ns(late)) == (250 * MS, 300 * MS)
    assert service is not None
    assert response == service + 300 * MS
    assert metrics.response_ns(one, latency) is None  # it was never due
    assert metrics.service_ns(structs.replace(one, sent_ns=None), latency) is None


def test_a_reply_that_was_not_streamed_has_a_total_and_nothing_before_it() -> None:
    one = exchange([json.dumps({"answer": "Paris", "message_id": 2})], content_type="application/json")
    shown = {name for name in metrics.LATENCIES if metrics.service_ns(one, name) is not None}
    assert shown == {"total"}
    assert metrics.service_ns(one, "total") == 10 * MS


def test_gaps_are_between_packets_of_the_final_answer() -> None:
    one = exchange([SESSION, IDS, START, delta("a"), packet("chat_heartbeat"), delta("b"), delta("c"), STOP])
    assert list(metrics.gaps_ns(one)) == [20 * MS, 10 * MS]
    assert metrics.longest_gap_ns(one) == 20 * MS
    assert metrics.gap_p50_ns(one) == 10 * MS


def test_one_packet_has_no_gap_and_no_rate() -> None:
    one = exchange(answer("all at once"))
    assert metrics.longest_gap_ns(one) is None
    assert metrics.gap_p50_ns(exchange(answer("a", "b"))) is None  # nor has one gap a median
    assert metrics.per_s(one, 10, 10) is None


def test_the_rate_leaves_out_the_tokens_of_the_first_packet() -> None:
    assert metrics.per_s(exchange(answer("a", "b", "c")), 9, 3) == pytest.approx(6 / 0.020)


def test_an_exchange_without_text_has_no_ttft_rather_than_a_zero() -> None:
    one = exchange([SESSION, IDS, STOP])
    assert metrics.ttft_ns(one) is None
    assert metrics.milliseconds(None) is None


@pytest.mark.parametrize(
    ("one", "stands"),
    [
        (exchange(answer("a")), True),
        (exchange(answer("a"), attempt=2), False),
        (exchange(answer("a")[:-1]), False),
        (exchange([SESSION, IDS, STOP]), False),
        (exchange(answer("a"), failure=Failure(Fault.TIMED_OUT, Step.BODY, "late")), False),
    ],
    ids=["whole", "second attempt", "no stop", "empty", "failed"],
)
def test_only_whole_first_attempts_stand_in_latency_figures(one: Exchange, stands: bool) -> None:
    assert metrics.counts(one) is stands
    assert bool(list(metrics.latencies(result(one)))) is stands


def test_the_figures_of_a_result_have_response_times_only_of_what_was_due() -> None:
    one = exchange(answer("a", "b"))
    due = structs.replace(one, due_ns=one.began_ns)
    service = {"ttft", "first_packet", "answer", "total", "longest_gap"}
    response = {f"response_{name}" for name in service - {"longest_gap"}}
    assert {name for name, _ in metrics.latencies(result(one))} == service
    told = list(metrics.latencies(result(one, due)))
    assert {name for name, _ in told} == service | response
    assert [value for name, value in told if name == "ttft"] == [40 * MS] * 2
    assert [value for name, value in told if name == "response_ttft"] == [41 * MS]
