"""Results, grades and audits -> the Parquet tables of a run.

Flat typed columns, units in the names, one row per thing; results/README.md
documents every column. The tables are made from the journal and can be made
again at any time. `SCHEMA_VERSION` stands in every file's metadata and rises
when a column changes its name, its type or its meaning.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from harness.audit import Finding, worst
from harness.errors import RunDirectoryError
from harness.grade.checks import Grade
from harness.grade.states import Standing, State
from harness.metrics import (
    CountTokens,
    answer_ns,
    counts,
    longest_gap_ns,
    mark,
    milliseconds,
    tokens_per_s,
    total_ns,
    ttft_ns,
)
from harness.result import Exchange, Result
from harness.sigma.packets import packet_rows
from harness.sigma.transcript import frames_of

SCHEMA_VERSION = 1

TRIALS = {
    "trial_id": pl.String,
    "case_id": pl.String,
    "variant": pl.String,
    "repeat": pl.Int32,
    "phase": pl.String,
    "state": pl.String,
    "reason": pl.String,
    "due_ns": pl.Int64,
    "began_ns": pl.Int64,
    "ended_ns": pl.Int64,
}
EXCHANGES = {
    "exchange_id": pl.String,
    "trial_id": pl.String,
    "turn_id": pl.String,
    "attempt": pl.Int32,
    "outcome": pl.String,
    "fault": pl.String,
    "fault_step": pl.String,
    "fault_detail": pl.String,
    "error_code": pl.String,
    "http_status": pl.Int32,
    "stamps": pl.String,
    "resent": pl.Boolean,
    "counted": pl.Boolean,
    "due_ns": pl.Int64,
    "began_ns": pl.Int64,
    "session_ns": pl.Int64,
    "connected_ns": pl.Int64,
    "sent_ns": pl.Int64,
    "headers_ns": pl.Int64,
    "ids_ns": pl.Int64,
    "first_packet_ns": pl.Int64,
    "first_reasoning_ns": pl.Int64,
    "first_tool_ns": pl.Int64,
    "first_document_ns": pl.Int64,
    "first_text_ns": pl.Int64,
    "first_answer_ns": pl.Int64,
    "last_answer_ns": pl.Int64,
    "stop_ns": pl.Int64,
    "ended_ns": pl.Int64,
    "ttft_ms": pl.Float64,
    "answer_ms": pl.Float64,
    "total_ms": pl.Float64,
    "answer_tokens": pl.Int64,
    "tokens_per_s": pl.Float64,
    "packets": pl.Int64,
    "unknown_packets": pl.Int64,
    "heartbeats": pl.Int64,
    "bad_lines": pl.Int64,
    "longest_gap_ms": pl.Float64,
    "reads": pl.Int64,
    "merged_reads": pl.Int64,
    "answer": pl.String,
    "reasoning": pl.String,
    "model_asked": pl.String,
    "model_seen": pl.String,
    "audit": pl.String,
    "chat_session_id": pl.String,
    "user_message_id": pl.Int64,
    "assistant_message_id": pl.Int64,
}
PACKETS = {
    "exchange_id": pl.String,
    "seq": pl.Int32,
    "kind": pl.String,
    "turn_index": pl.Int32,
    "tab_index": pl.Int32,
    "sub_turn_index": pl.Int32,
    "model_index": pl.Int32,
    "arrived_ns": pl.Int64,
    "seen_ns": pl.Int64,
    "merged": pl.Boolean,
    "bytes": pl.Int64,
    "text": pl.String,
}
TOOL_CALLS = {
    "exchange_id": pl.String,
    "call_id": pl.String,
    "name": pl.String,
    "arguments": pl.String,
    "status": pl.String,
    "began_ns": pl.Int64,
    "ended_ns": pl.Int64,
    "duration_ms": pl.Float64,
    "result": pl.String,
}
GRADES = {
    "trial_id": pl.String,
    "turn_id": pl.String,
    "type": pl.String,
    "metric": pl.String,
    "passed": pl.Boolean,
    "score": pl.Float64,
    "weight": pl.Float64,
    "reason": pl.String,
}

Schema = Mapping[str, Any]
SCHEMAS: Mapping[str, Schema] = {
    "trials": TRIALS,
    "exchanges": EXCHANGES,
    "packets": PACKETS,
    "tool_calls": TOOL_CALLS,
    "grades": GRADES,
}


@dataclass(frozen=True, slots=True)
class Judged:
    """A result with everything that was found about it: what one journal line adds to the tables.

    *findings* are by exchange id.
    """

    result: Result
    grades: Sequence[Grade]
    findings: Mapping[str, Sequence[Finding]]
    standing: Standing

    @property
    def took_effect(self) -> bool:
        """Whether its times may be called those of its variant: no setting was seen to be ignored."""
        return self.standing.state is not State.INVALID


@dataclass(slots=True)
class Tables:
    """The tables of a run as they grow, a column a list."""

    count_tokens: CountTokens
    columns: dict[str, dict[str, list[Any]]] = field(
        default_factory=lambda: {table: {name: [] for name in schema} for table, schema in SCHEMAS.items()}
    )

    def add(self, judged: Judged) -> None:
        """Add the rows of one result to every table."""
        result = judged.result
        self._put("trials", _trial_row(judged))
        for grade in judged.grades:
            self._put("grades", {"trial_id": result.trial_id, **msgspec.structs.asdict(grade)})
        for exchange in result.exchanges:
            packets = _packet_rows(exchange)
            findings = judged.findings.get(exchange.exchange_id, ())
            row = _exchange_row(exchange, packets, self.count_tokens)
            row |= {"trial_id": result.trial_id, "audit": worst(findings)}
            row |= {"counted": counts(exchange) and judged.took_effect}
            self._put("exchanges", row)
            for call in _tool_call_rows(exchange):
                self._put("tool_calls", call)
            for packet in packets:
                self._put("packets", packet)

    def frames(self) -> dict[str, pl.DataFrame]:
        """The tables as polars frames, by name."""
        return {
            table: pl.DataFrame([_series(name, self.columns[table][name], schema[name]) for name in schema])
            for table, schema in SCHEMAS.items()
        }

    def _put(self, table: str, row: Mapping[str, Any]) -> None:
        columns = self.columns[table]
        for name, values in columns.items():
            values.append(row[name])


def _series(name: str, values: Sequence[Any], dtype: Any) -> pl.Series:
    """One column. An integer that its type cannot hold is null: servers may number as they like."""
    try:
        return pl.Series(name, values, dtype)
    except (TypeError, OverflowError):
        size = {pl.Int32: 1 << 31, pl.Int64: 1 << 63}.get(dtype)
        if size is None:
            raise
        fitting = [
            None if isinstance(value, int) and not -size <= value < size else value for value in values
        ]
        return pl.Series(name, fitting, dtype)


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


def _exchange_row(
    exchange: Exchange, packets: Sequence[Mapping[str, Any]], count_tokens: CountTokens
) -> dict[str, Any]:
    same = ("exchange_id", "turn_id", "attempt", "http_status", "stamps", "resent")
    times = ("due_ns", "began_ns", "session_ns", "connected_ns", "sent_ns", "headers_ns", "ended_ns")
    row: dict[str, Any] = {name: getattr(exchange, name) for name in (*same, *times)}
    row |= {f"{name}_ns": mark(exchange, name) for name in MARKS}
    row |= {
        "ttft_ms": milliseconds(ttft_ns(exchange)),
        "answer_ms": milliseconds(answer_ns(exchange)),
        "total_ms": milliseconds(total_ns(exchange)),
        "longest_gap_ms": milliseconds(longest_gap_ns(exchange)),
        "reads": len(exchange.read_ends),
        "merged_reads": len({packet["seen_ns"] for packet in packets if packet["merged"]}),
        "model_asked": _model_asked(exchange),
        "chat_session_id": exchange.session_id,
    }
    return row | _failure_columns(exchange) | _transcript_columns(exchange, packets, count_tokens)


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
    tokens = count_tokens(transcript.answer) if transcript.answer else None
    first_ns = mark(exchange, "first_answer")
    first = next(
        (packet["text"] for packet in packets if packet["end"] == transcript.marks.first_answer), None
    )
    return counted | {
        "outcome": str(transcript.outcome),
        "answer_tokens": tokens,
        "tokens_per_s": tokens and first_ns and tokens_per_s(exchange, tokens, count_tokens(first or "")),
        "answer": transcript.answer,
        "reasoning": "\n\n".join(transcript.reasoning) or None,
        "model_seen": transcript.model_seen,
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
    "tokens_per_s",
    "answer",
    "reasoning",
    "model_seen",
    "user_message_id",
    "assistant_message_id",
)


def write(frames: Mapping[str, pl.DataFrame], folder: Path) -> None:
    """Write each frame to ``<folder>/<name>.parquet``; a file is there whole or not at all."""
    for name, frame in frames.items():
        path = folder / f"{name}.parquet"
        partial = path.with_suffix(".partial")
        try:
            frame.write_parquet(partial, metadata={"sigma_harness_schema_version": str(SCHEMA_VERSION)})
            partial.replace(path)
        except (OSError, pl.exceptions.ComputeError) as error:  # to polars a full disk is often the latter
            partial.unlink(missing_ok=True)
            reason = getattr(error, "strerror", None) or error
            raise RunDirectoryError(f"{path}: cannot be written: {reason}") from error


def _trial_row(judged: Judged) -> dict[str, Any]:
    result = judged.result
    return {
        "trial_id": result.trial_id,
        "case_id": result.case_id,
        "variant": result.variant,
        "repeat": result.repeat,
        "phase": result.phase,
        "state": str(judged.standing.state),
        "reason": judged.standing.reason or None,
        "due_ns": result.due_ns,
        "began_ns": result.began_ns,
        "ended_ns": result.ended_ns,
    }


def _tool_call_rows(exchange: Exchange) -> Iterator[dict[str, Any]]:
    calls = [] if exchange.transcript is None else [*exchange.transcript.tool_calls]
    for call in calls:
        began, ended = exchange.arrived_at(call.began), exchange.arrived_at(call.ended)
        yield {
            "exchange_id": exchange.exchange_id,
            "call_id": call.call_id,
            "name": call.name,
            "arguments": _json(call.arguments),
            "status": str(call.status),
            "began_ns": began,
            "ended_ns": ended,
            "duration_ms": None if began is None or ended is None else milliseconds(ended - began),
            "result": _json(call.result),
        }


def _packet_rows(exchange: Exchange) -> list[dict[str, Any]]:
    """The packets of a stream; *merged* ones share their read with a later one: "no later than" its stamp."""
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


def _model_asked(exchange: Exchange) -> str | None:
    override = exchange.request.get("llm_override") or {}
    parts = (override.get("model_provider"), override.get("model_version"))
    return "/".join(part for part in parts if part) or None


def _json(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()
