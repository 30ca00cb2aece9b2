"""What happened: one trial, its exchanges, how they broke, or why we did not finish.

Nothing here is derived. A result holds the bytes of each reply and integers
that say when they came; a TTFT is a function of it (`harness.metrics.figures`), so a
corrected definition, or a corrected reading of the wire, can be applied to runs
of last year.

All stamps are nanoseconds of CLOCK_MONOTONIC (`time.perf_counter_ns`) of the
machine that ran the trial. None means that it never came, never 0.
"""

from bisect import bisect_left
from enum import StrEnum
from typing import Any

from msgspec import Struct, structs

from harness.sigma.frames import LineTooLong
from harness.sigma.transcript import Transcript, read_body


class Fault(StrEnum):
    """How Sigma, or the network before it, let one exchange down."""

    CONNECT = "connect"
    TIMED_OUT = "timed_out"
    DISCONNECTED = "disconnected"
    PROTOCOL = "protocol"
    HTTP = "http"
    ERROR_LINE = "error_line"
    TRUNCATED = "truncated"


class Step(StrEnum):
    """The stretch of an exchange in which it broke."""

    CONNECT = "connect"
    SESSION = "session"
    SEND = "send"
    HEADERS = "headers"
    BODY = "body"


class Skip(StrEnum):
    """Why *we* did not send or finish a trial. Never counted against Sigma."""

    BUDGET = "budget"
    RATE_LIMITED = "rate_limited"
    REFUSED = "refused"
    INTERRUPTED = "interrupted"
    DROPPED = "dropped"
    FAIL_FAST = "fail_fast"
    DECIDED = "decided"


class Failure(Struct, frozen=True, omit_defaults=True):
    """How one exchange broke.

    *detail* is what the server or the network said, in its own words. *code* is
    the server's own error code where it gave one. *retry_after_s* is what it
    asked for, in seconds, *reset_at* the moment until which it refuses, as it says it.
    """

    fault: Fault
    step: Step
    detail: str
    code: str | None = None
    http_status: int | None = None
    retry_after_s: float | None = None
    reset_at: str | None = None

    def __str__(self) -> str:
        status = self.http_status if self.fault is Fault.HTTP else None
        of = f" {self.code or status or ''}".rstrip()
        return f"{self.fault}{of} ({self.step}): {self.detail}"


class Exchange(Struct, frozen=True, omit_defaults=True):
    """One turn sent and the stream that came back.

    The body is kept as *text*, or as *b64* where it is not UTF-8: exactly one
    of the two. ``read_ends[i]`` is the offset in the body after the i-th read,
    which the kernel stamped ``arrived_ns[i]`` and our code saw at ``seen_ns[i]``.

    *resolved_ns*, *tcp_ns* and *connected_ns* are when the name was resolved, the TCP connection stood, and
    TLS with it; None where a kept connection was used again.

    *resent*: a kept connection proved dead before a byte of the answer came, and the request went
    out once more on a new one; *sent_ns* is of the second time.

    *endpoint* is what it was sent through; how the body is read depends on it. *request* is the body as sent,
    with what is secret masked. *session_info* is what a session that was made ahead was made with.
    *stopped* says whether a run that we no longer listened to was ended on the server too: None where there
    was nothing to end, False where it may still be working.

    *masked* counts the stretches of the reply that were masked before anything of it was kept (`redact:`, and
    our own keys).

    *transcript* is a function of the body. It is not journalled; `journal.read`
    works it out again.
    """

    exchange_id: str
    turn_id: str
    attempt: int
    request: dict[str, Any]
    began_ns: int
    due_ns: int | None = None
    session_ns: int | None = None
    resolved_ns: int | None = None
    tcp_ns: int | None = None
    connected_ns: int | None = None
    sent_ns: int | None = None
    headers_ns: int | None = None
    ended_ns: int | None = None
    http_status: int | None = None
    content_type: str = ""
    stamps: str = "user"
    resent: bool = False
    text: str = ""
    b64: bytes | None = None
    read_ends: tuple[int, ...] = ()
    arrived_ns: tuple[int, ...] = ()
    seen_ns: tuple[int, ...] = ()
    failure: Failure | None = None
    session_id: str | None = None
    session_info: dict[str, Any] | None = None
    endpoint: str = "send-chat-message"
    stopped: bool | None = None
    masked: int = 0
    transcript: Transcript | None = None

    @property
    def body(self) -> bytes:
        """The bytes of the reply's body, as they came."""
        return self.text.encode() if self.b64 is None else self.b64

    def arrived_at(self, offset: int | None) -> int | None:
        """When the byte before *offset* of the body arrived, or None where there is none.

        A packet that shares its read with a later one arrived no later than
        this; `merged` tells.
        """
        read = self._read_of(offset)
        return None if read is None else self.arrived_ns[read]

    def seen_at(self, offset: int | None) -> int | None:
        """When our code saw the byte before *offset*."""
        read = self._read_of(offset)
        return None if read is None else self.seen_ns[read]

    def _read_of(self, offset: int | None) -> int | None:
        if offset is None:
            return None
        read = bisect_left(self.read_ends, offset)
        # A body that was not stamped read by read (non-streamed, or synthetic) has no time to give.
        return read if read < len(self.read_ends) else None


class Result(Struct, frozen=True, omit_defaults=True, tag="result", tag_field="line"):
    """One trial, finished one way or another: the record that is journalled, graded and tabled.

    *window* says whether its phase was measured when it fell due, or, in a closed load, when it began:
    ``warm_up``, ``measured`` or ``cool_down``. *free_ns* is when there was room for it again, where
    `max_in_flight` had left it none when it fell due. *leg* counts how often the run had been resumed.
    """

    trial_id: str
    case_id: str
    variant: str
    repeat: int
    phase: str
    window: str = "measured"
    due_ns: int | None = None
    free_ns: int | None = None
    began_ns: int | None = None
    ended_ns: int | None = None
    exchanges: tuple[Exchange, ...] = ()
    skip: Skip | None = None
    leg: int = 0

    @property
    def turns(self) -> tuple[Exchange, ...]:
        """The last attempt of each turn, in the order in which they were sent."""
        return tuple({exchange.turn_id: exchange for exchange in self.exchanges}.values())

    @property
    def failure(self) -> Failure | None:
        """The first failure of a turn's last attempt; it ended that branch of the conversation."""
        return next((turn.failure for turn in self.turns if turn.failure is not None), None)


class Moment(Struct, frozen=True, omit_defaults=True, tag="moment", tag_field="line"):
    """A second of a phase, as it was for one *process* of ours: what the run is judged by.

    *fell_due*, *began* and *dropped* count trials since the run began or went on, *in_flight* those under way
    at *at_ns*. The rest is of the time since the moment before, *span_ns*: *lag_ns* is the longest that our
    event loop came late, *cpu_ns* what this process used, *waited_ns* how long some task of this machine
    waited for a CPU (None where the system does not say), *collected_ns* what garbage collection took.
    *target_ns* and *own_ns* are how long a control request took to the target and to our own source; None
    where there was no answer.
    """

    at_ns: int
    span_ns: int
    phase: str
    fell_due: int
    began: int
    dropped: int
    in_flight: int
    lag_ns: int
    cpu_ns: int
    waited_ns: int | None = None
    collections: int = 0
    collected_ns: int = 0
    longest_collection_ns: int = 0
    target_ns: int | None = None
    own_ns: int | None = None
    process: int = 0


_OF_RESULT = ("due_ns", "free_ns", "began_ns", "ended_ns")
_OF_EXCHANGE = (
    *("due_ns", "began_ns", "session_ns", "resolved_ns", "tcp_ns", "connected_ns"),
    *("sent_ns", "headers_ns", "ended_ns"),
)


def moved(told: Result | Moment, by_ns: int, *, leg: int) -> Result | Moment:
    """*told* as of this *leg* of its run, with every stamp moved by so much: what lies between stays."""
    if isinstance(told, Moment):
        return structs.replace(told, at_ns=told.at_ns + by_ns)
    exchanges = tuple(_moved(each, by_ns) for each in told.exchanges)
    return structs.replace(told, leg=leg, exchanges=exchanges, **_stamps(told, _OF_RESULT, by_ns))


def _moved(exchange: Exchange, by_ns: int) -> Exchange:
    reads = {
        name: tuple(stamp + by_ns for stamp in getattr(exchange, name)) for name in ("arrived_ns", "seen_ns")
    }
    return structs.replace(exchange, **reads, **_stamps(exchange, _OF_EXCHANGE, by_ns))


def _stamps(told: Result | Exchange, names: tuple[str, ...], by_ns: int) -> dict[str, int]:
    known = {name: getattr(told, name) for name in names}
    return {name: stamp + by_ns for name, stamp in known.items() if stamp is not None}


def kept(body: bytes | bytearray) -> tuple[str, bytes | None]:
    """*body* as the pair (text, b64) of an `Exchange`."""
    try:
        return body.decode(), None
    except UnicodeDecodeError:
        return "", bytes(body)


def with_transcripts(result: Result) -> Result:
    """*result* with the transcript of each of its exchanges, which no journal has."""
    return structs.replace(result, exchanges=tuple(map(with_transcript, result.exchanges)))


def without_transcripts(result: Result) -> Result:
    """*result* as a journal has it: transcripts are read from the bodies, whenever they are wanted."""
    bare = (structs.replace(exchange, transcript=None) for exchange in result.exchanges)
    return structs.replace(result, exchanges=tuple(bare))


def with_transcript(exchange: Exchange) -> Exchange:
    """*exchange* with its transcript read, where a reply came at all.

    A body that cannot be read at all (a line beyond every limit) is a failure.
    """
    if exchange.http_status is None:
        return exchange
    try:
        transcript = read_body(
            exchange.body,
            status=exchange.http_status,
            content_type=exchange.content_type,
            endpoint=exchange.endpoint,
        )
    except LineTooLong as error:
        failure = exchange.failure or Failure(Fault.PROTOCOL, Step.BODY, str(error))
        return structs.replace(exchange, failure=failure)
    return structs.replace(exchange, transcript=transcript)
