"""Exchange -> figures. Where a figure is defined, and nowhere else.

Definitions are those of DESIGN section 5. Every function takes an exchange and
gives a number with its unit in its name, or None where the exchange does not
show it: missing is never 0. Service time counts from `sent_ns`, response time
from `due_ns`; neither is ever reported under the other's name.

An exchange that was retried, or that failed, is in no latency figure: `counts`
says which are. Nor is one of a trial that is `invalid`, which takes more than
the exchange to know: `harness.record.tables` leaves it out. Of models side by
side the figures of an exchange are those of the first.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise

from harness.result import Exchange, Result
from harness.sigma.transcript import Outcome

CountTokens = Callable[[str], int]

MS = 1e6
SECOND = 1e9


def counts(exchange: Exchange) -> bool:
    """Whether *exchange* may stand in a latency figure: first attempt, whole, answered."""
    answered = exchange.transcript is not None and exchange.transcript.outcome is Outcome.SUCCESS
    return exchange.attempt == 1 and exchange.failure is None and answered


def ttft_ns(exchange: Exchange) -> int | None:
    """From the turn being written to the socket to the first packet of answer text, of any block.

    Heartbeats, ids, reasoning and `message_start` do not count.
    """
    return since_sent(exchange, _arrived(exchange, "first_text"))


def answer_ns(exchange: Exchange) -> int | None:
    """From the turn being written to the first packet of the *final* answer block."""
    return since_sent(exchange, _arrived(exchange, "first_answer"))


def total_ns(exchange: Exchange) -> int | None:
    """From the turn being written to the stop packet; no stop, no total.

    A reply that was not streamed has no stop: its body's end counts.
    """
    transcript = exchange.transcript
    if transcript is None or transcript.outcome not in {Outcome.SUCCESS, Outcome.EMPTY}:
        return None
    streamed = transcript.packets > 0
    return since_sent(exchange, _arrived(exchange, "stop") if streamed else exchange.ended_ns)


def gaps_ns(exchange: Exchange) -> Iterator[int]:
    """Between successive packets of the final answer. A packet is not a token."""
    ends = () if exchange.transcript is None else exchange.transcript.marks.answer_ends
    stamps = [at for at in map(exchange.arrived_at, ends) if at is not None]
    return (later - earlier for earlier, later in pairwise(stamps))


def longest_gap_ns(exchange: Exchange) -> int | None:
    """The stall: the longest gap of the final answer."""
    return max(gaps_ns(exchange), default=None)


def tokens_per_s(exchange: Exchange, answer_tokens: int, first_packet_tokens: int) -> float | None:
    """(tokens - tokens of the first packet) / (last packet - first packet) of the final answer.

    The inverse of TPOT. One packet has no rate.
    """
    first, last = _arrived(exchange, "first_answer"), _arrived(exchange, "last_answer")
    if first is None or last is None or last == first:
        return None
    return (answer_tokens - first_packet_tokens) * SECOND / (last - first)


LATENCIES: dict[str, Callable[[Exchange], int | None]] = {
    "ttft": ttft_ns,
    "answer": answer_ns,
    "total": total_ns,
    "longest_gap": longest_gap_ns,
}


def latencies(result: Result) -> Iterator[tuple[str, int]]:
    """(metric, nanoseconds) for every exchange of *result* that counts."""
    for exchange in filter(counts, result.exchanges):
        for metric, figure in LATENCIES.items():
            value = figure(exchange)
            if value is not None:
                yield metric, value


def mark(exchange: Exchange, name: str) -> int | None:
    """When the mark *name* of the transcript arrived, None when it never came."""
    return _arrived(exchange, name)


def milliseconds(nanoseconds: int | None) -> float | None:
    """*nanoseconds* in ms, None for None."""
    return None if nanoseconds is None else nanoseconds / MS


def _arrived(exchange: Exchange, name: str) -> int | None:
    if exchange.transcript is None:
        return None
    return exchange.arrived_at(getattr(exchange.transcript.marks, name))


def since_sent(exchange: Exchange, stamp: int | None) -> int | None:
    """From the turn being written to the socket to *stamp*."""
    return None if stamp is None or exchange.sent_ns is None else stamp - exchange.sent_ns
