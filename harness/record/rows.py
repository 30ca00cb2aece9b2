"""One result -> the rows that it adds to the tables, as plain mappings.

What a row leaves out, `harness.record.tables` fills in: it knows the trial and the audit.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from hashlib import blake2b
from types import MappingProxyType
from typing import Any

import msgspec

from harness.audit import model_params
from harness.grade.reduce import Reduced, Repeat
from harness.grade.states import Standing, State
from harness.metrics.figures import (
    LATENCIES,
    RESPONSE,
    CountTokens,
    cost_usd,
    gap_p50_ns,
    gaps_ns,
    longest_gap_ns,
    mark,
    milliseconds,
    per_s,
    queue_ns,
    response_ns,
    sent_lateness_ns,
    service_ns,
    since_sent,
    spent,
)
from harness.metrics.steps import steps
from harness.plan.trials import Trial
from harness.result import Exchange, Result
from harness.sigma.packets import packet_rows
from harness.sigma.session import SessionDetail
from harness.sigma.transcript import frames_of
from harness.suite.model import Price
from harness.suite.prompts import Expect
from harness.suite.resolve import Case

MARKS = (
    "ids",
    "first_packet",
    "first_reasoning",
    "first_tool",
    "first_document",
    "first_text",
    "first_answer",
    "last_answer",
    "stop",
)


def exchange_row(
    exchange: Exchange,
    packets: Sequence[Mapping[str, Any]],
    session: SessionDetail | None,
    count_tokens: CountTokens,
    *,
    prices: Mapping[str, Price] = MappingProxyType({}),
) -> dict[str, Any]:
    """The row of `exchanges`, less `trial_id`, `audit` and `counted`; *packets* are its rows there."""
    count_tokens = cache(count_tokens)  # an answer is counted by itself, and as a part of what was spent
    tokens = spent(exchange, count_tokens)
    ids = ("exchange_id", "turn_id", "attempt", "endpoint", "http_status")
    same = (*ids, "stamps", "resent", "stopped", "masked")
    way = ("session_ns", "resolved_ns", "tcp_ns", "connected_ns")
    times = ("due_ns", "began_ns", *way, "sent_ns", "headers_ns", "ended_ns")
    row: dict[str, Any] = {name: getattr(exchange, name) for name in (*same, *times)}
    row |= {f"{name}_ns": mark(exchange, name) for name in MARKS}
    row |= {f"{name}_ms": milliseconds(figure) for name, figure in _durations(exchange).items()}
    row |= {
        "reads": len(exchange.read_ends),
        "merged_reads": len({packet["seen_ns"] for packet in packets if packet["merged"]}),
        "model_asked": " | ".join(map(_model, _overrides(exchange))) or None,
        "model_seen": _models_seen(exchange, session),
        "chat_session_id": exchange.session_id,
        "asked_tokens": tokens.asked,
        "said_tokens": tokens.said,
        "cost_usd": cost_usd(exchange, tokens, prices),
    }
    return row | _failure_columns(exchange) | _transcript_columns(exchange, packets, count_tokens)


def _durations(exchange: Exchange) -> dict[str, float | None]:
    """In nanoseconds, by the name of their column without its unit."""
    return {
        "queue": queue_ns(exchange),
        "sent_lateness": sent_lateness_ns(exchange),
        **{latency: service_ns(exchange, latency) for latency in LATENCIES},
        **{RESPONSE + latency: response_ns(exchange, latency) for latency in LATENCIES},
        "gap_p50": gap_p50_ns(exchange),
        "longest_gap": longest_gap_ns(exchange),
    }


def _failure_columns(exchange: Exchange) -> dict[str, Any]:
    failure = exchange.failure
    return {
        "fault": failure and str(failure.fault),
        "fault_step": failure and str(failure.step),
        "fault_detail": failure and failure.detail,
        "error_code": failure and failure.code,
    }


def _transcript_columns(
    exchange: Exchange, packets: Sequence[Mapping[str, Any]], count_tokens: CountTokens
) -> dict[str, Any]:
    transcript = exchange.transcript
    if transcript is None:
        return dict.fromkeys(FROM_TRANSCRIPT)
    counted = {
        name: getattr(transcript, name) for name in ("packets", "unknown_packets", "heartbeats", "bad_lines")
    }
    answer, first_end = transcript.answer, transcript.marks.first_answer
    first = next((packet["text"] for packet in packets if packet["end"] == first_end), None) or ""
    tokens = count_tokens(answer) if answer else None
    return counted | {
        "outcome": str(transcript.outcome),
        "answer_tokens": tokens,
        "answer_chars": len(answer) if answer else None,
        "tokens_per_s": tokens and per_s(exchange, tokens, count_tokens(first)),
        "chars_per_s": per_s(exchange, len(answer), len(first)),
        "gaps": sum(1 for _ in gaps_ns(exchange)),
        "answer": answer,
        "reasoning": "\n\n".join(transcript.reasoning) or None,
        "unknown_kinds": _json(transcript.unknown_kinds or None),
        "user_message_id": transcript.user_message_id,
        "assistant_message_id": next(iter(transcript.assistant_message_ids), None),
    }


FROM_TRANSCRIPT = (
    "outcome",
    "packets",
    "unknown_packets",
    "heartbeats",
    "bad_lines",
    "answer_tokens",
    "answer_chars",
    "tokens_per_s",
    "chars_per_s",
    "gaps",
    "answer",
    "reasoning",
    "unknown_kinds",
    "user_message_id",
    "assistant_message_id",
)


def trial_row(result: Result, standing: Standing, score: float | None) -> dict[str, Any]:
    """The row of `trials`; *score* is that of its checks by their weights."""
    return {
        "trial_id": result.trial_id,
        "case_id": result.case_id,
        "variant": result.variant,
        "repeat": result.repeat,
        "phase": result.phase,
        "window": result.window,
        "leg": result.leg,
        "state": str(standing.state),
        "score": score,
        "reason": standing.reason or None,
        "skip": result.skip and str(result.skip),
        "due_ns": result.due_ns,
        "free_ns": result.free_ns,
        "began_ns": result.began_ns,
        "ended_ns": result.ended_ns,
    }


def case_row(
    trial: Trial, repeats: Sequence[Repeat], came_to: Reduced, quarantined: str | None = None
) -> dict[str, Any]:
    """The row of `cases`: what the *repeats* of one case came to, of which *trial* is one.

    Rates are over the repeats that passed or failed, the score over those that have one. *quarantined* is
    the day until which it decides nothing.
    """
    states = Counter(repeat.state for repeat in repeats)
    graded = states[State.PASSED] + states[State.FAILED]
    scores = [repeat.score for repeat in repeats if repeat.score is not None]
    case = trial.case
    return {
        "case_id": case.case_id,
        "variant": trial.variant,
        "phase": trial.phase,
        "cluster": case.cluster,
        "tags": list(case.tags),
        "repeats": len(repeats),
        **{str(state): states[state] for state in State},
        "pass_rate": states[State.PASSED] / graded if graded else None,
        "score": sum(scores) / len(scores) if scores else None,
        "reduce": case.reduce and case.reduce.told,
        "value": came_to.value,
        "state": came_to.state and str(came_to.state),
        "reason": came_to.reason or None,
        "asked": asked_digest(case),
        "checks": checks_digest(case),
        "quarantined": quarantined,
    }


def asked_digest(case: Case) -> str:
    """A digest of the words of a case and of how its turns follow each other, whatever the settings."""
    words = [f"{turn.message}\0{turn.after}\0{turn.regenerate}" for turn in case.turns]
    return blake2b("\1".join(words).encode(), digest_size=8).hexdigest()


def checks_digest(case: Case) -> str:
    """A digest of what an answer to a case is graded by."""
    checks = [*(expect for turn in case.turns for expect in turn.assert_), *case.conversation_asserts]
    told = [*map(_told, checks), repr(case.threshold)]
    return blake2b("\1".join(told).encode(), digest_size=8).hexdigest()


def _told(expect: Expect) -> str:
    own = f"{expect.name}\0{expect.weight}\0{sorted(expect.options.items())}"
    return "\2".join((own, *map(_told, expect.asserts)))


def tool_call_rows(exchange: Exchange) -> Iterator[dict[str, Any]]:
    """The rows of `tool_calls`: of every model, where several answered side by side."""
    transcript = exchange.transcript
    shares = () if transcript is None else transcript.models or (transcript,)
    for call in (call for share in shares for call in share.tool_calls):
        began, ended = exchange.arrived_at(call.began), exchange.arrived_at(call.ended)
        yield {
            "exchange_id": exchange.exchange_id,
            "call_id": call.call_id,
            "name": call.name,
            "arguments": _json(call.arguments),
            "status": str(call.status),
            "began_ns": began,
            "ended_ns": ended,
            "began_ms": milliseconds(since_sent(exchange, began)),
            "duration_ms": None if began is None or ended is None else milliseconds(ended - began),
            "result": _json(call.result),
        }


def step_rows(exchange: Exchange) -> Iterator[dict[str, Any]]:
    """The rows of `steps`: where the time went."""
    for seq, stretch in enumerate(steps(exchange)):
        yield {
            "exchange_id": exchange.exchange_id,
            "seq": seq,
            **stretch._asdict(),
            "duration_ms": milliseconds(stretch.ended_ns - stretch.began_ns),
        }


def packet_rows_of(exchange: Exchange) -> list[dict[str, Any]]:
    """The rows of `packets`; *merged* ones share their read with a later one: "no later than" its stamp."""
    if exchange.transcript is None or exchange.transcript.packets == 0:
        return []
    rows = packet_rows(frames_of(exchange.body, exchange.endpoint))
    last_of_read = {exchange.seen_at(row.end): row.seq for row in rows}
    return [
        {
            "exchange_id": exchange.exchange_id,
            "arrived_ns": exchange.arrived_at(row.end),
            "seen_ns": (seen := exchange.seen_at(row.end)),
            "merged": None if seen is None else last_of_read[seen] != row.seq,
            **row._asdict(),
        }
        for row in rows
    ]


def model_rows(
    exchange: Exchange, session: SessionDetail | None, count_tokens: CountTokens
) -> Iterator[dict[str, Any]]:
    """The rows of `models`: none of an ordinary reply, one for each of several side by side."""
    transcript = exchange.transcript
    if transcript is None:
        return
    asked = _overrides(exchange)
    for share in transcript.models or ():
        nth = share.model_index
        stamps = {name: exchange.arrived_at(getattr(share.marks, name)) for name in _MODEL_MARKS}
        params = model_params(transcript, session, nth)
        yield {
            "exchange_id": exchange.exchange_id,
            "model_index": nth,
            "model_asked": _model(asked[nth]) or None if nth < len(asked) else None,
            "model_seen": params and params.model_name,
            "outcome": str(share.outcome),
            "error_code": share.error and share.error.code,
            **{f"{name}_ns": stamp for name, stamp in stamps.items()},
            "ttft_ms": milliseconds(since_sent(exchange, stamps["first_text"])),
            "answer_tokens": count_tokens(share.answer) if share.answer else None,
            "answer": share.answer,
            "reasoning": "\n\n".join(share.reasoning) or None,
        }


_MODEL_MARKS = ("first_text", "first_answer", "last_answer", "stop")


def _overrides(exchange: Exchange) -> Sequence[Mapping[str, Any]]:
    """The models that were asked for; no override is none, and several are side by side."""
    several: Sequence[Mapping[str, Any]] | None = exchange.request.get("llm_overrides")
    one = exchange.request.get("llm_override")
    return several or ([one] if one else [])


def _model(override: Mapping[str, Any]) -> str:
    parts = (override.get("model_provider"), override.get("model_version"))
    return "/".join(part for part in parts if part)


def _models_seen(exchange: Exchange, session: SessionDetail | None) -> str | None:
    """The model that answered; of several each, `?` where one is not shown, None where none is."""
    transcript = exchange.transcript
    if transcript is None:
        return None
    params = [
        model_params(transcript, session, nth) for nth in range(len(transcript.models or (transcript,)))
    ]
    names = [each.model_name if each else None for each in params]
    return " | ".join(name or "?" for name in names) if any(names) else None


def _json(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()
