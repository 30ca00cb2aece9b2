"""Exchange -> figures. Where a figure is defined, and nowhere else.

Definitions are those of DESIGN section 5. Every function takes an exchange and
gives a number with its unit in its name, or None where the exchange does not
show it: missing is never 0. Service time counts from `sent_ns`, response time
from `due_ns`; neither is ever reported under the other's name, and what was
never due has no response time.

An exchange that was retried, or that failed, is in no latency figure: `counts`
says which are. Nor is one of a trial that is `invalid`, which takes more than
the exchange to know: `harness.record.tables` leaves it out. Of models side by
side the figures of an exchange are those of the first.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from harness.result import Exchange, Result
from harness.sigma.transcript import Outcome
from harness.stats.quantiles import quantile
from harness.suite.model import Price

CountTokens = Callable[[str], int]

MS = 1e6
SECOND = 1e9

LATENCIES = {
    "ttft": "first_text",
    "first_packet": "first_packet",
    "first_reasoning": "first_reasoning",
    "first_tool": "first_tool",
    "first_document": "first_document",
    "answer": "first_answer",
    "total": "stop",
}
"""Each latency by its name, and the mark of the transcript that it runs to.

`ttft` is to the first packet of answer text, of any block: heartbeats, ids,
reasoning and `message_start` do not count. `answer` is to the first packet of
the *final* block. `first_packet` is no heartbeat.
"""

RESPONSE = "response_"
"""Before the name of a latency that counts from when the exchange was due."""


def counts(exchange: Exchange) -> bool:
    """Whether *exchange* may stand in a latency figure: first attempt, whole, answered."""
    answered = exchange.transcript is not None and exchange.transcript.outcome is Outcome.SUCCESS
    return exchange.attempt == 1 and exchange.failure is None and answered


def reached_ns(exchange: Exchange, latency: str) -> int | None:
    """The stamp that *latency* of `LATENCIES` runs to.

    No stop, no total. A reply that was not streamed has neither stop nor any
    other mark: its body's end is where its total ends.
    """
    if latency != "total":
        return mark(exchange, LATENCIES[latency])
    transcript = exchange.transcript
    if transcript is None or transcript.outcome not in {Outcome.SUCCESS, Outcome.EMPTY}:
        return None
    return mark(exchange, "stop") if transcript.packets else exchange.ended_ns


def service_ns(exchange: Exchange, latency: str) -> int | None:
    """*latency* from the turn being written to the socket: what Sigma took."""
    return since_sent(exchange, reached_ns(exchange, latency))


def response_ns(exchange: Exchange, latency: str) -> int | None:
    """*latency* from when the turn was due: what a user would have waited."""
    return _between(exchange.due_ns, reached_ns(exchange, latency))


def ttft_ns(exchange: Exchange) -> int | None:
    """The service time to the first packet of answer text, of any block."""
    return service_ns(exchange, "ttft")


def queue_ns(exchange: Exchange) -> int | None:
    """From when the turn was due until we took it up; of a retry, the attempts before it are in it."""
    return _between(exchange.due_ns, exchange.began_ns)


def sent_lateness_ns(exchange: Exchange) -> int | None:
    """From when the turn was due until it was written: the queue, then a session and a connection."""
    return _between(exchange.due_ns, exchange.sent_ns)


def gaps_ns(exchange: Exchange) -> Iterator[int]:
    """Between successive packets of the final answer. A packet is not a token."""
    ends = () if exchange.transcript is None else exchange.transcript.marks.answer_ends
    stamps = [at for at in map(exchange.arrived_at, ends) if at is not None]
    return (later - earlier for earlier, later in pairwise(stamps))


def longest_gap_ns(exchange: Exchange) -> int | None:
    """The stall: the longest gap of the final answer."""
    return max(gaps_ns(exchange), default=None)


def gap_p50_ns(exchange: Exchange) -> float | None:
    """The median gap of the final answer; None of fewer than two."""
    return quantile(gaps_ns(exchange), 500)


def per_s(exchange: Exchange, whole: int, first: int) -> float | None:
    """(*whole* - *first*) / (last packet - first packet) of the final answer, in seconds.

    *whole* is how much the answer has of something, *first* how much of that its
    first packet brought: that came in no time that we saw. Of tokens this is the
    inverse of TPOT. One packet has no rate.
    """
    took = _between(mark(exchange, "first_answer"), mark(exchange, "last_answer"))
    return (whole - first) * SECOND / took if took else None


def latencies(result: Result) -> Iterator[tuple[str, int]]:
    """(metric, nanoseconds) for every exchange of *result* that counts.

    Every one of `LATENCIES` as service time, under `RESPONSE` as response time
    where the exchange was due, and the longest gap.
    """
    for exchange in filter(counts, result.exchanges):
        for latency in LATENCIES:
            reached = reached_ns(exchange, latency)
            if reached is not None and exchange.sent_ns is not None:
                yield latency, reached - exchange.sent_ns
            if reached is not None and exchange.due_ns is not None:
                yield RESPONSE + latency, reached - exchange.due_ns
        longest = longest_gap_ns(exchange)
        if longest is not None:
            yield "longest_gap", longest


def mark(exchange: Exchange, name: str) -> int | None:
    """When the mark *name* of the transcript arrived, None when it never came."""
    if exchange.transcript is None:
        return None
    return exchange.arrived_at(getattr(exchange.transcript.marks, name))


def since_sent(exchange: Exchange, stamp: int | None) -> int | None:
    """From the turn being written to the socket to *stamp*."""
    return _between(exchange.sent_ns, stamp)


class Spent(NamedTuple):
    """Estimated tokens of one exchange: those of what was *asked*, and of what was *said*.

    What can be seen of both: the message, and reasoning, narration and answer of every model. What a server
    puts before the message, and what it tells its tools, is not on the wire: a lower bound.
    """

    asked: int
    said: int


def spent(exchange: Exchange, count_tokens: CountTokens) -> Spent:
    """The tokens of *exchange*, failed or not: what was said before it broke has been paid for."""
    transcript = exchange.transcript
    shares = () if transcript is None else transcript.models or (transcript,)
    texts = [text for each in shares for text in (*each.narration, each.answer, *each.reasoning) if text]
    asked = str(exchange.request.get("message") or "")
    return Spent(count_tokens(asked), sum(map(count_tokens, texts)))


def cost_usd(exchange: Exchange, tokens: Spent, prices: Mapping[str, Price]) -> float | None:
    """What *tokens* cost in USD by what the model that was asked for costs; None where that is not known."""
    price = price_of(exchange.request, prices)[1]
    return None if price is None else (tokens.asked * price.input + tokens.said * price.output) / 1e6


def price_of(request: Mapping[str, Any], prices: Mapping[str, Price]) -> tuple[str, Price | None]:
    """The model that was asked for and its price, by its name alone or with its provider before it."""
    if "llm_overrides" in request:
        return "several models side by side", None
    override = request.get("llm_override") or {}
    provider, version = override.get("model_provider"), override.get("model_version")
    model = str(version or "default")
    return model, prices.get(f"{provider}/{model}") or prices.get(model)


def milliseconds(nanoseconds: float | None) -> float | None:
    """*nanoseconds* in ms, None for None."""
    return None if nanoseconds is None else nanoseconds / MS


def _between(start: int | None, end: int | None) -> int | None:
    return None if start is None or end is None else end - start
