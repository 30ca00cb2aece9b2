"""The stream source: replies that are Sigma's, stamps that are true, an end with its parent."""

import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import httpx
import pytest

from harness.metrics.figures import gaps_ns, longest_gap_ns
from harness.result import Exchange, kept, with_transcript
from harness.sigma.transcript import Outcome, read_body
from tests.bounds import started

MS = 1_000_000


@pytest.fixture(scope="module")
def source() -> Iterator[str]:
    command = [sys.executable, "-m", "harness.calibrate.source"]
    with started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield process.stdout.readline().split()[1]
        process.stdin.close()
        assert process.wait(10) == 0


def reply(source: str, settings: str) -> bytes:
    answer = httpx.post(f"{source}/m/{settings}/chat/send-chat-message", json={"message": "go"}, timeout=30)
    assert answer.status_code == 200
    return answer.content


def sent(body: bytes) -> list[int]:
    """When each packet was sent, as it says itself; the opening is one."""
    return [int(line.rpartition(b'"ts":"')[2][:19]) for line in body.splitlines() if b'"ts"' in line][1:]


def stats(source: str) -> dict[str, Any]:
    told: dict[str, Any] = httpx.get(f"{source}/stats").json()
    return told


def test_a_reply_is_one_of_sigmas_with_the_packets_that_were_asked_for(source: str) -> None:
    body = reply(source, "ttft=2,gap=1,n=7,bytes=150")
    told = read_body(body)
    assert told.outcome is Outcome.SUCCESS
    assert len(told.marks.answer_ends) == 7
    assert (told.packets, told.bad_lines, told.unknown_packets) == (9, 0, 0)
    assert told.chat_session_id is not None
    assert {len(line) + 1 for line in body.splitlines()[3:-1]} == {150}


@pytest.mark.parametrize("size", [120, 1500, 9000])
def test_a_line_is_as_long_as_was_asked_for(source: str, size: int) -> None:
    lines = reply(source, f"ttft=1,gap=1,n=2,bytes={size}").splitlines(keepends=True)
    assert [len(line) for line in lines[3:-1]] == [size, size]


def test_packets_go_out_no_earlier_than_they_are_due_and_say_when(source: str) -> None:
    stamps = sent(reply(source, "ttft=20,gap=5,n=10"))
    assert stamps == sorted(stamps)
    start = stamps[0]
    assert all(stamp - start >= (20 + 5 * n) * MS for n, stamp in enumerate(stamps[1:]))


def test_each_reply_has_a_session_of_its_own(source: str) -> None:
    sessions = {read_body(reply(source, "ttft=1,gap=1,n=1")).chat_session_id for _ in range(3)}
    assert len(sessions) == 3


def test_a_stall_is_a_longest_gap_of_its_length_and_leaves_the_other_gaps_alone(source: str) -> None:
    """Read as a run reads it, with the source's own stamps for those of the kernel."""
    body = reply(source, "ttft=5,gap=4,n=40,stall=20:300")
    lines = body.splitlines(keepends=True)
    ends = [sum(map(len, lines[: n + 1])) for n in range(len(lines))]
    stamps = [0, 0, *(int(line.rpartition(b'"ts":"')[2][:19]) for line in lines[2:])]
    text, b64 = kept(body)
    one = with_transcript(
        Exchange(
            "t.1.1", "1", 1, {}, began_ns=0, sent_ns=0, http_status=200, text=text, b64=b64,
            read_ends=tuple(ends), arrived_ns=tuple(stamps), seen_ns=tuple(stamps),
        )
    )  # fmt: skip
    gaps = sorted(gaps_ns(one))
    assert longest_gap_ns(one) == gaps[-1] == max(b - a for a, b in pairwise(stamps[3:-1]))
    assert gaps[-1] >= 300 * MS
    assert gaps[len(gaps) // 2] < 100 * MS


def test_a_reply_that_finds_no_slot_waits_for_one(source: str) -> None:
    with httpx.Client(timeout=30) as one, httpx.Client(timeout=30) as two:
        path = f"{source}/m/ttft=100,gap=1,n=1,slots=1/chat/send-chat-message"
        with one.stream("POST", path, json={}) as first, two.stream("POST", path, json={}) as second:
            opened = sent(first.read())[0], sent(second.read())[0]
    assert abs(opened[1] - opened[0]) >= 100 * MS


def test_it_says_how_late_it_was_and_forgets_when_asked_to(source: str) -> None:
    httpx.post(f"{source}/stats/reset")
    assert stats(source)["packets"] == 0
    assert stats(source)["late_p99_us"] is None
    reply(source, "ttft=1,gap=1,n=9")
    told = stats(source)
    assert (told["packets"], told["replies"]) == (10, 1)
    assert 0 <= told["late_p50_us"] <= told["late_p99_us"] <= told["late_max_us"]
    assert told["ceiling_per_s"] == pytest.approx(10 / told["cpu_s"])
    assert 1 <= told["streams_now"] <= told["streams_most"]


def test_a_client_that_goes_away_leaves_the_others_alone(source: str) -> None:
    with httpx.Client() as gone:
        gone.stream("POST", f"{source}/m/ttft=1,gap=1,n=500/chat/send-chat-message", json={}).__enter__()
    assert len(sent(reply(source, "ttft=1,gap=1,n=20"))) == 22


def test_a_slot_of_a_client_that_went_away_is_free_again(source: str) -> None:
    url = f"{source}/m/ttft=60000,gap=1,n=1,slots=1/chat/send-chat-message"
    quick = url.replace("60000", "1")
    with httpx.Client(timeout=30) as gone, httpx.Client(timeout=30) as waits:
        under_way = gone.stream("POST", url, json={})
        under_way.__enter__()
        with pytest.raises(httpx.ReadTimeout), waits.stream("POST", url, json={}, timeout=0.2):
            raise AssertionError("there is one slot, and it is taken")
    assert len(sent(httpx.post(quick, json={}, timeout=30).content)) == 3


def test_it_ends_when_its_parent_is_killed() -> None:
    parent = (
        "import subprocess, sys, time\n"
        "source = [sys.executable, '-m', 'harness.calibrate.source']\n"
        "child = subprocess.Popen(source, stdin=subprocess.PIPE)\n"
        "time.sleep(60)\n"
    )
    with started([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[1]
        assert httpx.get(f"{url}/health").status_code == 200
        process.kill()
        assert process.stdout.read() == ""  # it ends when the source, which has it too, is gone
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")


def test_it_says_at_its_end_how_late_it_was_and_how_much_it_could_send() -> None:
    command = [sys.executable, "-m", "harness.calibrate.source"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with started(command, text=True, **pipes) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[1]
        reply(url, "ttft=1,gap=1,n=9")
        _, said = process.communicate()
    assert re.fullmatch(
        r"10 packets sent to 1 streams at most, late by [\d,]+ µs \(p50\), [\d,]+ \(p99\), [\d,]+ \(max\); "
        r"by CPU [\d,]+ packets/s at most\n",
        said,
    )


def test_it_answers_control_requests_while_it_streams(source: str) -> None:
    with httpx.stream("POST", f"{source}/m/ttft=1,gap=5,n=40/chat/send-chat-message", json={}) as streaming:
        assert httpx.get(f"{source}/health").json()["success"] is True
        assert streaming.read()
