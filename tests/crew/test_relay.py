"""What stands on a node hands on every message once, in order, and ends when nobody asks any more."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.crew import wire
from harness.crew.relay import MOST, Relay

ECHO = """
import sys
while head := sys.stdin.buffer.read(8):
    body = sys.stdin.buffer.read(int.from_bytes(head))
    sys.stdout.buffer.write(head + body)
    sys.stdout.buffer.flush()
"""
"""A process that says what it hears."""


@contextmanager
def relay(program: str, alone_s: float = 60.0) -> Iterator[Relay]:
    """A relay whose process runs *program*."""
    it = Relay((sys.executable, "-c", program), alone_s)
    try:
        yield it
    finally:
        it.close()


def heard(it: Relay, count: int) -> list[bytes]:
    """The first *count* messages of its process, none of them acknowledged."""
    while len(said := it.ask(0, 0, 1.0).said) < count:
        assert it.ask(0, 0, 0.0).ended is None
    return list(said)


def test_messages_come_in_their_order_and_stay_until_one_tells_that_they_came() -> None:
    with relay(ECHO) as it:
        told = [wire.packed(each) for each in ("one", "two", "three")]
        for number, message in enumerate(told, 1):
            it.send(number, message)
        assert heard(it, 3) == told
        assert it.ask(0, 0, 0.0).said == tuple(told)
        assert it.ask(2, 0, 0.0).said == tuple(told[2:])
        assert it.ask(3, 0, 0.0).said == ()


def test_a_message_that_is_sent_twice_is_heard_once() -> None:
    with relay(ECHO) as it:
        it.send(1, wire.packed("one"))
        it.send(1, wire.packed("one"))
        it.send(2, wire.packed("two"))
        assert heard(it, 2) == [wire.packed("one"), wire.packed("two")]


def test_a_process_that_ended_is_told_of_with_what_it_said_last() -> None:
    with relay("import sys; print('no room', file=sys.stderr); sys.exit(7)") as it:
        while (news := it.ask(0, 0, 1.0)).ended is None:
            pass
        assert news.ended == "ended with exit code 7:\nno room"
        it.send(1, wire.packed("anybody?"))  # which is no error: the next answer tells


def test_what_was_journalled_before_a_message_comes_with_it_or_before_it() -> None:
    with relay(ECHO) as it:
        journal = Path(it.about().journal)
        journal.write_bytes(b"x" * (MOST + 10))
        it.send(1, wire.packed("over"))
        while not it._said:
            os.sched_yield()
        first = it.ask(0, 0, 1.0)
        assert (first.said, len(first.journal)) == ((), MOST)
        second = it.ask(0, len(first.journal), 1.0)
        assert (second.said, len(second.journal)) == ((wire.packed("over"),), 10)


def test_where_nothing_is_journalled_yet_nothing_comes() -> None:
    with relay(ECHO) as it:
        assert it.ask(0, 0, 0.0) == ((), b"", None)


def test_when_nobody_asks_for_long_the_process_ends_by_itself() -> None:
    with relay(ECHO, alone_s=0.2) as it:
        pid = it.about().pid
        while it._ended is None:
            os.sched_yield()
        assert not Path(f"/proc/{pid}").exists()
        assert it._ended == "was killed by SIGKILL"


@pytest.mark.parametrize("program", [ECHO, "pass"], ids=["under way", "ended"])
def test_closing_ends_the_process_and_leaves_nothing_behind(program: str) -> None:
    with relay(program) as it:
        about = it.about()
        Path(about.journal).write_bytes(b"an answer")
    assert not Path(about.journal).parent.exists()
    assert not Path(f"/proc/{about.pid}").exists()
