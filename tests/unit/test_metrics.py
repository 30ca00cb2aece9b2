import pytest

from harness import metrics
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


def test_gaps_are_between_packets_of_the_final_answer() -> None:
    one = exchange([SESSION, IDS, START, delta("a"), packet("chat_heartbeat"), delta("b"), delta("c"), STOP])
    assert list(metrics.gaps_ns(one)) == [20 * MS, 10 * MS]
    assert metrics.longest_gap_ns(one) == 20 * MS


def test_one_packet_has_no_gap_and_no_rate() -> None:
    one = exchange(answer("all at once"))
    assert metrics.longest_gap_ns(one) is None
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
