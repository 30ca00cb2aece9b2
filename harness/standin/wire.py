"""The lines a Sigma writes, as JSON text, and the rhythm in which they fall due.

Written from the wire reference and from nothing of ours: the stand-in is the other side of the
conversation, so that a mistake in our reader is not repeated by the writer it is tested against. The JSON
has the form real servers send: a space after `:` and `,`, everything beyond ASCII escaped, every field
present.

A reply is an iterator of beats. A beat says what to write and how long after the beat before it, so that a
fault, a parallel tool or a second model is a function from beats to beats, and nothing here sleeps or holds
a socket. (The road not taken: coroutines that sleep between writes. They cannot be interleaved, cut or
tested without a clock.)
"""

from collections.abc import Iterator
from functools import lru_cache
from heapq import heappop, heappush
from json import dumps
from typing import Any, NamedTuple

HEARTBEAT_NS = 15_000_000_000
"""A stream that is silent for this long gets a heartbeat (wire reference 2.4)."""


class Place(NamedTuple):
    """Where a packet belongs: step, parallel branch, nested step, model."""

    turn: int
    tab: int = 0
    sub: int | None = None
    model: int | None = 0


class Beat(NamedTuple):
    """One line, due *wait* nanoseconds after the line before it.

    *kind* is the packet's type, or `session`, `ids`, `error`, `bare`, `garbage`; or one of `CUTS`, which have
    no line and say how the connection ends.
    """

    wait: int
    kind: str
    line: bytes = b""


SPOILS = frozenset({"badchunk", "drip", "flood", "halfchunk", "hearts", "torn", "trailers"})
"""What breaks the framing of a reply that is under way (`harness.standin.raw`)."""

CUTS = frozenset({"cut", "drop", "reset"}) | SPOILS
"""`cut`: the body ends early but in form; `drop`: the connection closes mid-body; `reset`: it is reset."""


@lru_cache(maxsize=4096)
def _opening(place: Place) -> str:
    turn, tab, sub, model = place
    placement = {"turn_index": turn, "tab_index": tab, "sub_turn_index": sub, "model_index": model}
    return f'{{"placement": {dumps(placement)}, "obj": '


def packet(place: Place, obj: dict[str, Any], *, wait: int = 0) -> Beat:
    """One packet; *obj* has its `type` and every field of that type."""
    return Beat(wait, obj["type"], f"{_opening(place)}{dumps(obj)}}}".encode("ascii"))


def session_line(session_id: str) -> Beat:
    """The first line of a reply that created its session."""
    return Beat(0, "session", dumps({"chat_session_id": session_id, "incognito": False}).encode("ascii"))


def ids_line(user_id: int, assistant_id: int) -> Beat:
    """The ids of the question and of the answer to come."""
    ids = {"user_message_id": user_id, "reserved_assistant_message_id": assistant_id}
    return Beat(0, "ids", dumps(ids).encode("ascii"))


def side_by_side_line(user_id: int, responses: list[tuple[int, str]]) -> Beat:
    """The ids where several models answer one question: (message id, label) in the order of the request."""
    slots = [{"message_id": message_id, "model_name": label} for message_id, label in responses]
    return Beat(0, "ids", dumps({"user_message_id": user_id, "responses": slots}).encode("ascii"))


def error_line(
    message: str, code: str | None, *, retryable: bool, details: dict[str, Any] | None = None, wait: int = 0
) -> Beat:
    """The line that ends a failed run. Errors inside a model's run carry *details* and a stack trace."""
    trace = None if details is None else "Traceback (most recent call last): ..."
    line = {
        "error": message,
        "stack_trace": trace,
        "error_code": code,
        "is_retryable": retryable,
        "details": details,
    }
    return Beat(wait, "error", dumps(line).encode("ascii"))


def stop(model: int | None, reason: str | None = None, *, turn: int = 0, wait: int = 0) -> Beat:
    """The end of one model's run; *reason* is None, or `user_cancelled` with no model."""
    return packet(Place(turn, model=model), {"type": "stop", "stop_reason": reason}, wait=wait)


def heartbeat(wait: int = 0) -> Beat:
    """A sign of life that belongs to no model."""
    return packet(Place(0, model=None), {"type": "chat_heartbeat"}, wait=wait)


def with_heartbeats(beats: Iterator[Beat]) -> Iterator[Beat]:
    """The same beats; a silence of 15 s or more is broken by heartbeats."""
    for beat in beats:
        wait = beat.wait
        while wait > HEARTBEAT_NS:
            yield heartbeat(HEARTBEAT_NS)
            wait -= HEARTBEAT_NS
        yield beat._replace(wait=wait)


def interleave(*streams: Iterator[Beat]) -> Iterator[Beat]:
    """Several streams side by side, each in its own order and rhythm, all beginning now."""
    heap: list[tuple[int, int, Beat]] = []
    for index, stream in enumerate(streams):
        if (beat := next(stream, None)) is not None:
            heappush(heap, (beat.wait, index, beat))
    now = 0
    while heap:
        due, index, beat = heappop(heap)
        yield beat._replace(wait=due - now)
        now = due
        if (following := next(streams[index], None)) is not None:
            heappush(heap, (due + following.wait, index, following))
