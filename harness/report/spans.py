"""A recorded run as traces: one per trial, with a span for each exchange, tool call and step.

    invoke_agent steady                     the trial, from when it was due
    ├── queue                               what it waited for us
    └── chat Simulated/steady               an exchange, from when we took it up
        ├── first_packet, reasoning, ...    its steps
        └── execute_tool research_agent     a tool call
            └── execute_tool web_search     one that was made inside of it

Names are those of the GenAI semantic conventions of OpenTelemetry as of 0.66b2 (`gen_ai.*`) and of its
general ones (`server.*`, `error.type`); what these have no name for is `harness.*`, and called as its column
is (results/README.md). Everything is made from the tables, so a run of long ago gives the same spans as when
it was new, with the same ids. What was said by anyone is left out unless it is asked for.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from json import dumps
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import polars as pl

from harness.grade.states import State
from harness.record.store import Manifest, read_manifest
from harness.record.tables import scan
from harness.report.visible import LONGEST, shortened

Value: TypeAlias = str | int | float | bool
Row: TypeAlias = Mapping[str, Any]

AT_ONCE = 1_000
"""Trials that are in memory at a time."""

NAME = 200
"""Characters of a name, an error or a finding that are sent."""

_TRIAL = ("trial_id", "case_id", "variant", "repeat", "phase", "window", "state", "score", "skip")
_EXCHANGE = (
    *("exchange_id", "turn_id", "attempt", "endpoint", "outcome", "fault", "fault_step", "error_code"),
    *("stamps", "counted", "stopped", "resent", "audit", "answer_tokens", "tokens_per_s", "cost_usd"),
    *("queue_ms", "ttft_ms", "answer_ms", "total_ms", "response_ttft_ms", "response_total_ms"),
    *("longest_gap_ms", "packets", "heartbeats", "unknown_packets", "bad_lines"),
)
_SAID = {
    "exchanges": ("answer", "reasoning"),
    "tool_calls": ("arguments", "result"),
    "grades": ("reason", "evidence"),
}
"""Columns with words of models, tools and judges."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was found out at a moment of a span."""

    name: str
    at_ns: int
    attributes: dict[str, Value]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a trace, in nanoseconds of the time of day. *error* says what went wrong, if anything did.

    *is_client*: it is something that we asked of Sigma, and not something inside of it.
    """

    name: str
    trace_id: int
    span_id: int
    parent_id: int | None
    began_ns: int
    ended_ns: int
    attributes: dict[str, Value]
    error: str | None = None
    events: tuple[Event, ...] = ()
    is_client: bool = False


@dataclass(frozen=True, slots=True)
class _Trial:
    """A trial with its rows of every table; those of an exchange by its id."""

    row: Row
    exchanges: Sequence[Row]
    grades: Sequence[Row]
    steps: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    calls: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    audits: Mapping[str, Sequence[Row]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Run:
    """What the spans of all trials have in common.

    *shift_ns* makes a stamp the time of day; *gaps* has what is to be added to those from a moment on, where
    the run was resumed.
    """

    manifest: Manifest
    shift_ns: int
    gaps: tuple[tuple[int, int], ...]
    server: dict[str, Value]
    content: bool

    def span_id(self, *of: str) -> int:
        """The id of a span: the same whenever the run is exported."""
        return int.from_bytes(_digest(self.manifest.run_id, *of)[:8]) or 1

    def trace_id(self, trial_id: str) -> int:
        """The id of a trial's trace."""
        return int.from_bytes(_digest(self.manifest.run_id, trial_id)[:16]) or 1


def _digest(*parts: str) -> bytes:
    return sha256("\0".join(parts).encode()).digest()


def traces(folder: Path, *, content: bool = False, at_once: int = AT_ONCE) -> Iterator[tuple[Span, ...]]:
    """The spans of each trial of the run in *folder* that was sent, the trial's own first.

    With *content* also answers, reasoning, arguments and results of tools, and reasons of checks, which may
    quote them; each is cut after 20,000 characters. *at_once* trials are in memory at a time. Raises
    `RunDirectoryError` where the tables are not there, or of another version.
    """
    manifest = read_manifest(folder)
    shift_ns = _time_of_day_ns(manifest.started_at) - manifest.started_ns
    gaps = tuple((leg.began_ns + leg.shift_ns, leg.left_out_ns) for leg in manifest.resumed)
    run = _Run(manifest, shift_ns, gaps, _server(manifest.target), content)
    sent = scan("trials", folder).filter(pl.col("began_ns").is_not_null())
    count = sent.select(pl.len()).collect().item()
    for start in range(0, count, at_once):
        for trial in _read(sent.slice(start, at_once).collect(), folder, content=content):
            yield _trace(trial, run)


def _time_of_day_ns(moment: str) -> int:
    since = datetime.fromisoformat(moment) - datetime(1970, 1, 1, tzinfo=UTC)
    return since // timedelta(microseconds=1) * 1_000


def _server(target: str) -> dict[str, Value]:
    place = urlsplit(target)
    port = place.port or {"http": 80, "https": 443}.get(place.scheme)
    return _known({"server.address": place.hostname, "server.port": port})


def _read(trials: pl.DataFrame, folder: Path, *, content: bool) -> Iterator[_Trial]:
    """Each of *trials* with its rows of the other tables."""
    exchanges = _rows("exchanges", folder, trials["trial_id"], content=content)
    grades = _rows("grades", folder, trials["trial_id"], content=content)
    sent = exchanges["exchange_id"]
    parts = [_by(_rows(name, folder, sent, content=content)) for name in ("steps", "tool_calls", "audits")]
    own, found = _by(exchanges, "trial_id"), _by(grades, "trial_id")
    for row in trials.iter_rows(named=True):
        key = row["trial_id"]
        yield _Trial(row, own.get(key, ()), found.get(key, ()), *parts)


def _rows(name: str, folder: Path, of: pl.Series, *, content: bool) -> pl.DataFrame:
    """The rows of a table that belong to the trials, or exchanges, *of* which these are the ids."""
    left_out = () if content else _SAID.get(name, ())
    return scan(name, folder).filter(pl.col(of.name).is_in(of.implode())).drop(*left_out).collect()


def _by(frame: pl.DataFrame, key: str = "exchange_id") -> dict[str, list[Row]]:
    grouped: dict[str, list[Row]] = {}
    for row in frame.iter_rows(named=True):
        grouped.setdefault(row[key], []).append(row)
    return grouped


def _trace(trial: _Trial, run: _Run) -> tuple[Span, ...]:
    root_id = run.span_id(trial.row["trial_id"])
    inside = [span for row in trial.exchanges for span in _exchange(row, trial, run)]
    ended = [trial.row["ended_ns"] or trial.row["began_ns"]]
    began_ns = min(stamp for stamp in (trial.row["due_ns"], trial.row["began_ns"]) if stamp is not None)
    ended_ns = max([_shifted(ended[0], run), *(span.ended_ns for span in inside)])
    error = _trial_error(trial, run)
    root = Span(
        shortened(f"invoke_agent {trial.row['variant']}", NAME),
        run.trace_id(trial.row["trial_id"]),
        root_id,
        None,
        min([_shifted(began_ns, run), *(span.began_ns for span in inside)]),
        ended_ns,
        _trial_attributes(trial, run) | _known({"error.type": _error_type(trial, error)}),
        error,
        tuple(_checks(trial, None, ended_ns, run)),
        is_client=True,
    )
    return (root, *inside)


def _shifted(stamp_ns: int, run: _Run) -> int:
    return stamp_ns + run.shift_ns + sum(left_out for since, left_out in run.gaps if stamp_ns >= since)


def _known(attributes: Mapping[str, Value | None]) -> dict[str, Value]:
    """Those that there is a value for: what is missing is no attribute, and never 0."""
    return {name: value for name, value in attributes.items() if value is not None}


def _own(row: Row, columns: Sequence[str]) -> dict[str, Value]:
    """Columns as attributes of ours."""
    return _known({f"harness.{name}": row[name] for name in columns})


def _trial_attributes(trial: _Trial, run: _Run) -> dict[str, Value]:
    sessions = {row["chat_session_id"] for row in trial.exchanges} - {None}
    of_agent: dict[str, Value | None] = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": "sigma",
        "gen_ai.agent.name": trial.row["variant"],
        "gen_ai.conversation.id": next(iter(sessions)) if len(sessions) == 1 else None,
        "harness.run_id": run.manifest.run_id,
        "harness.suite": run.manifest.suite,
        "harness.reason": _cut(trial.row["reason"]) if run.content else None,
    }
    return _known(of_agent) | run.server | _own(trial.row, _TRIAL)


def _trial_error(trial: _Trial, run: _Run) -> str | None:
    """Why a trial has no result: what broke, or was ignored; not a reason that may quote an answer."""
    match trial.row["state"]:
        case State.INVALID:
            return shortened(trial.row["reason"] or "", NAME)
        case State.ERROR if run.content or any(row["fault"] for row in trial.exchanges):
            return shortened(trial.row["reason"] or "", NAME)
        case State.ERROR:
            return "a check could not be graded"
    return None


def _error_type(trial: _Trial, error: str | None) -> str | None:
    if error is None:
        return None
    if trial.row["state"] == State.INVALID:
        return "setting_ignored"
    return next((row["fault"] for row in reversed(trial.exchanges) if row["fault"]), "not_graded")


def _checks(trial: _Trial, turn_id: str | None, at_ns: int, run: _Run) -> Iterator[Event]:
    """An event for each check of a turn, or of the whole conversation, that did not pass."""
    for row in trial.grades:
        if row["turn_id"] != turn_id or row["passed"] or (row["passed"] is None and row["score"] is not None):
            continue
        label = "failed" if row["passed"] is False else "not graded"
        told: dict[str, Value | None] = {
            "gen_ai.evaluation.name": row["metric"] or row["type"],
            "gen_ai.evaluation.score.label": label,
            "gen_ai.evaluation.score.value": row["score"],
            "gen_ai.evaluation.explanation": _cut(row["reason"]) if run.content else None,
            "harness.check": row["type"],
            "harness.weight": row["weight"],
            "harness.part_of": row["part_of"],
        }
        yield Event("gen_ai.evaluation.result", at_ns, _known(told))


def _exchange(row: Row, trial: _Trial, run: _Run) -> Iterator[Span]:
    """The span of an exchange, those inside of it, and those of what it waited for before it was taken up."""
    trace_id, root_id = run.trace_id(trial.row["trial_id"]), run.span_id(trial.row["trial_id"])
    span_id = run.span_id(row["exchange_id"])
    steps = trial.steps.get(row["exchange_id"], ())
    ahead = [each for each in steps if each["step"] in {"queue", "retry"}]
    later = [each for each in steps if each not in ahead]
    yield from (_step(each, trace_id, root_id, run) for each in ahead)
    inside = [_step(each, trace_id, span_id, run) for each in later]
    inside += _calls(trial.calls.get(row["exchange_id"], ()), trace_id, span_id, run)
    known = (row["ended_ns"], row["stop_ns"], row["began_ns"])
    own_end = _shifted(next(stamp for stamp in known if stamp is not None), run)
    ended_ns = max([own_end, *(span.ended_ns for span in inside)])
    model = f"chat {row['model_asked']}" if row["model_asked"] else "chat"
    fault = row["fault"] and f"{row['fault']} ({row['fault_step']}): {row['fault_detail']}"
    yield Span(
        shortened(model, NAME),
        trace_id,
        span_id,
        root_id,
        _shifted(row["began_ns"], run),
        ended_ns,
        _exchange_attributes(row, run),
        shortened(fault, NAME) if fault else None,
        (*_ignored(row, trial, ended_ns), *_checks_of(row, trial, ended_ns, run)),
        is_client=True,
    )
    yield from inside


def _checks_of(row: Row, trial: _Trial, at_ns: int, run: _Run) -> Iterator[Event]:
    """The checks of a turn are of its last attempt."""
    last = max(each["attempt"] for each in trial.exchanges if each["turn_id"] == row["turn_id"])
    if row["attempt"] == last:
        yield from _checks(trial, row["turn_id"], at_ns, run)


def _exchange_attributes(row: Row, run: _Run) -> dict[str, Value]:
    first_ms, answer_id = row["first_packet_ms"], row["assistant_message_id"]
    of_chat: dict[str, Value | None] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "sigma",
        "gen_ai.conversation.id": row["chat_session_id"],
        "gen_ai.request.model": row["model_asked"],
        "gen_ai.response.model": row["model_seen"],
        "gen_ai.response.id": None if answer_id is None else str(answer_id),
        "gen_ai.response.time_to_first_chunk": None if first_ms is None else first_ms / 1_000,
        "gen_ai.usage.input_tokens": row["asked_tokens"],
        "gen_ai.usage.output_tokens": row["said_tokens"],
        "harness.tokens": "o200k estimate of what is on the wire",
        "http.response.status_code": row["http_status"],
        "error.type": row["fault"],
    }
    if run.content and row["answer"]:
        of_chat["gen_ai.output.messages"] = _message(row)
    return _known(of_chat) | run.server | _own(row, _EXCHANGE)


def _message(row: Row) -> str:
    """Reasoning and answer, as the conventions write a message."""
    parts = [("reasoning", row["reasoning"]), ("text", row["answer"])]
    told = [{"type": kind, "content": _cut(text)} for kind, text in parts if text]
    finish = "stop" if row["outcome"] == "success" else row["outcome"]
    return dumps([{"role": "assistant", "parts": told, "finish_reason": finish}], ensure_ascii=False)


def _ignored(row: Row, trial: _Trial, at_ns: int) -> Iterator[Event]:
    """An event for each setting that took no effect."""
    for each in trial.audits.get(row["exchange_id"], ()):
        if each["finding"] == "ignored":
            told = {
                f"harness.{name}": shortened(each[name] or "", NAME) for name in ("setting", "asked", "seen")
            }
            yield Event("harness.setting_ignored", at_ns, _known(told))


def _step(row: Row, trace_id: int, parent_id: int, run: _Run) -> Span:
    return Span(
        shortened(row["step"], NAME),
        trace_id,
        run.span_id(row["exchange_id"], "step", str(row["seq"])),
        parent_id,
        _shifted(row["began_ns"], run),
        _shifted(row["ended_ns"], run),
        {"harness.step": row["step"], "harness.exchange_id": row["exchange_id"], "harness.seq": row["seq"]},
    )


def _calls(rows: Sequence[Row], trace_id: int, chat_id: int, run: _Run) -> Iterator[Span]:
    """The tool calls of an exchange; one that an agent made hangs on the agent's, `t1.0.2` on `t1.0`."""
    ids = {row["call_id"]: run.span_id(row["exchange_id"], row["call_id"]) for row in rows}
    ends = [stamp for row in rows for stamp in (row["began_ns"], row["ended_ns"]) if stamp is not None]
    for row in rows:
        if row["began_ns"] is not None:
            parent_id = ids.get(row["call_id"].rpartition(".")[0], chat_id)
            yield _call(row, (trace_id, ids[row["call_id"]], parent_id), max(ends), run)


def _call(row: Row, ids: tuple[int, int, int], last_ns: int, run: _Run) -> Span:
    """A tool call; one whose end nobody saw lasts to *last_ns*, the last that was seen of any."""
    failed = row["status"] == "error"
    of_tool: dict[str, Value | None] = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": row["name"],
        "gen_ai.tool.call.id": row["call_id"],
        "harness.status": row["status"],
        "harness.exchange_id": row["exchange_id"],
        "error.type": "tool_error" if failed else None,
    }
    if run.content:
        of_tool["gen_ai.tool.call.arguments"] = _cut(row["arguments"])
        of_tool["gen_ai.tool.call.result"] = _cut(row["result"])
    return Span(
        shortened(f"execute_tool {row['name']}" if row["name"] else "execute_tool", NAME),
        *ids,
        _shifted(row["began_ns"], run),
        _shifted(last_ns if row["ended_ns"] is None else row["ended_ns"], run),
        _known(of_tool),
        "the call failed" if failed else None,
    )


def _cut(text: str | None) -> str | None:
    if text is None or len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]} … ({len(text) - LONGEST:,} more characters)"
