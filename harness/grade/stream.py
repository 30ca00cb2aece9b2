"""How the reply came: whole or broken, how fast, how much (`harness.suite.asserts.stream`)."""

from collections.abc import Callable, Sequence

from harness.grade.opinion import Opinion, failed, passed, ungraded
from harness.grade.subject import Subject
from harness.metrics.figures import (
    MS,
    cost_usd,
    longest_gap_ns,
    mark,
    per_s,
    price_of,
    service_ns,
    since_sent,
    spent,
)
from harness.result import Exchange, Fault
from harness.sigma.packets import packet_rows
from harness.sigma.transcript import Outcome as Came
from harness.sigma.transcript import frames_of
from harness.suite.asserts.stream import (
    Cost,
    ErrorCode,
    Latency,
    Milestone,
    Outcome,
    Stall,
    StreamCheck,
    StreamComplete,
    TimeCheck,
    Tokens,
    TokensPerSecond,
    Ttft,
)

_BY_SIGMA = frozenset({Fault.HTTP, Fault.ERROR_LINE})
"""Faults that Sigma says itself; all others are of the way to it."""


def check(args: StreamCheck, subject: Subject) -> Opinion:
    """What a check of the stream finds. A broken reply has an end, too, and some of its times."""
    match args:
        case StreamComplete():
            return _complete(subject)
        case Outcome(value=wanted):
            return _outcome(subject.last, wanted)
        case ErrorCode(value=wanted):
            return _error_code(subject.last, wanted)
        case TimeCheck():
            return _timed(args, subject)
        case Tokens():
            return subject.broken() or _tokens(args, subject)
        case Cost(threshold=most):
            return subject.broken() or _cost(subject, most)
        case _:
            raise AssertionError(f"unreachable: {type(args).__name__} has no grade")


def _complete(subject: Subject) -> Opinion:
    if subject.expects_failure:
        return ungraded("the suite expects this turn to fail")
    for exchange in subject.exchanges:
        if exchange.failure is not None:
            return failed(f"turn {exchange.turn_id}: {exchange.failure}")
        if exchange.transcript is None or exchange.transcript.outcome is Came.TRUNCATED:
            return ungraded(f"turn {exchange.turn_id}: we cut it off")  # else it would be a failure
        if exchange.transcript.outcome is not Came.SUCCESS:
            return failed(f"turn {exchange.turn_id}: outcome {exchange.transcript.outcome}")
    return passed("stop packet seen, no error, an answer")


# Expected failures


def _outcome(exchange: Exchange, wanted: Sequence[str]) -> Opinion:
    failure, told = exchange.failure, exchange.transcript
    asked = f"asked for {' or '.join(wanted)}"
    if failure is not None and failure.fault in wanted:
        return passed(f"{failure}; {asked}")
    if failure is not None and failure.fault is not Fault.TRUNCATED and failure.fault not in _BY_SIGMA:
        return ungraded(f"no reply of Sigma: {failure}; a fault of the network is expected by its name")
    if told is None:
        return ungraded("we cut it off before there was a reply")
    if failure is None and told.outcome is Came.TRUNCATED:
        return ungraded("we cut it off")
    outcome = Came.ERROR if failure is not None and failure.fault in _BY_SIGMA else told.outcome
    said = f": {failure.detail[:120]}" if failure is not None else ""
    return Opinion(outcome in wanted, f"{outcome}{said}; {asked}")


def _error_code(exchange: Exchange, wanted: Sequence[str]) -> Opinion:
    failure, asked = exchange.failure, f"asked for {' or '.join(wanted)}"
    if failure is None:
        if exchange.transcript is None or exchange.transcript.outcome is Came.TRUNCATED:
            return ungraded("we cut it off")
        return failed(f"no error; {asked}")
    if failure.fault not in _BY_SIGMA:
        return ungraded(f"no reply of Sigma: {failure}")
    codes = [code for code in (failure.code, failure.http_status and str(failure.http_status)) if code]
    return Opinion(bool(set(codes) & set(wanted)), f"{', '.join(codes) or 'no code'}; {asked}")


# Times


def _timed(args: TimeCheck, subject: Subject) -> Opinion:
    match args:
        case Ttft(threshold=most):
            missing = "no answer text was streamed, so there is no TTFT"
            return _within(subject, lambda one: service_ns(one, "ttft"), most, ("TTFT", missing))
        case Latency(threshold=most):
            missing = "a reply has no end, so there is no latency"
            return _within(subject, lambda one: service_ns(one, "total"), most, ("latency", missing))
        case Milestone(name=name, threshold=most):
            reached = MILESTONES[name]
            missing = f"{name} was not reached, so there is no time of it"
            return _within(subject, lambda one: since_sent(one, mark(one, reached)), most, (name, missing))
        case Stall(threshold=most):
            missing = "an answer had fewer than two packets, so there is no gap"
            return _within(subject, longest_gap_ns, most, ("longest gap", missing))
        case TokensPerSecond():
            return subject.broken() or _tokens_per_s(args, subject)
        case _:
            raise AssertionError(f"unreachable: {type(args).__name__} has no grade")


MILESTONES = {
    "first_packet": "first_packet",
    "first_reasoning": "first_reasoning",
    "first_tool": "first_tool",
    "first_search_doc": "first_document",
    "first_answer_token": "first_text",
    "first_dr_plan": "first_plan",
    "first_research_agent": "first_agent",
    "answer": "first_answer",
}
"""Each milestone, by the names of Onyx's own load test, and the mark of the transcript that it is."""


def _within(
    subject: Subject, time: Callable[[Exchange], int | None], most_ns: int, words: tuple[str, str]
) -> Opinion:
    """Whether the slowest of the turns is within *most_ns*. *words* name the time, and say why it is missing.

    One turn over the limit fails them all; one without such a time leaves the others open.
    """
    name, missing = words
    times = [time(exchange) for exchange in subject.exchanges]
    known = [each for each in times if each is not None]
    limit = f"{most_ns / MS:g} ms"
    if any(each > most_ns for each in known):
        return failed(f"{name} {max(known) / MS:.1f} ms, over {limit}")
    if len(known) < len(times):
        return ungraded(missing)
    return passed(f"{name} {max(known) / MS:.1f} ms, within {limit}")


def _tokens_per_s(args: TokensPerSecond, subject: Subject) -> Opinion:
    """Of the last answer: what its first packet brought came in no time that was seen."""
    count, last = subject.known.count_tokens, subject.last
    if count is None or last.transcript is None:
        return ungraded("tokens are not counted here")
    first = _first_piece(last)
    rate = per_s(last, count(subject.answer), count(first)) if first is not None else None
    if rate is None:
        return ungraded("the answer came in one packet, or was not streamed: it has no rate")
    told = f"{rate:.1f} tokens/s (o200k estimate); asked for {_asked(args.min, args.max)}"
    return Opinion(_is_between(rate, args.min, args.max), told)


def _first_piece(exchange: Exchange) -> str | None:
    """The text that the first packet of the answer brought."""
    end = exchange.transcript.marks.first_answer if exchange.transcript is not None else None
    if end is None:
        return None
    rows = packet_rows(frames_of(exchange.body, exchange.endpoint))
    return next((row.text or "" for row in rows if row.end == end), None)


def _is_between(value: float, least: float | None, most: float | None) -> bool:
    return (least is None or least <= value) and (most is None or value <= most)


def _asked(least: float | None, most: float | None) -> str:
    if most is None:
        return f"at least {least:g}"
    return f"at most {most:g}" if least is None else f"{least:g} to {most:g}"


# Amounts


def _tokens(args: Tokens, subject: Subject) -> Opinion:
    count = subject.known.count_tokens
    if count is None:
        return ungraded("tokens are not counted here")
    texts = _said(subject.exchanges, args.of)
    total = sum(count(text) for text in texts if text)
    told = f"{total} tokens of {args.of} (o200k estimate); asked for {_asked(args.min, args.max)}"
    return Opinion(_is_between(total, args.min, args.max), told)


def _said(exchanges: Sequence[Exchange], of: str) -> list[str]:
    told = [exchange.transcript for exchange in exchanges if exchange.transcript is not None]
    answers = [text for each in told for text in (*each.narration, each.answer)]
    reasoning = [text for each in told for text in each.reasoning]
    match of:
        case "answer":
            return [each.answer for each in told]
        case "reasoning":
            return reasoning
        case _:
            return [*answers, *reasoning]


def _cost(subject: Subject, most: float) -> Opinion:
    count = subject.known.count_tokens
    if count is None:
        return ungraded("tokens are not counted here")
    total = 0.0
    for exchange in subject.exchanges:
        cost = cost_usd(exchange, spent(exchange, count), subject.known.prices)
        if cost is None:
            model, _ = price_of(exchange.request, subject.known.prices)
            return ungraded(f"what {model} costs is not known: say prices: {{{model}: {{output: ...}}}}")
        total += cost
    told = f"at least {total:.6f} USD, by what is on the wire (o200k estimate); at most {most:g} is wanted"
    return Opinion(total <= most, told)
