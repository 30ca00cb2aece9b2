"""Results, grades and audits -> the Parquet tables of a run.

Flat typed columns, units in the names, one row per thing; results/README.md
documents every column. The tables are made from the journal and can be made
again at any time. `SCHEMA_VERSION` stands in every file's metadata and rises
when a column changes its name, its type or its meaning.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from harness.audit import Finding, worst
from harness.errors import RunDirectoryError
from harness.grade.opinion import Grade, deciding, weighed
from harness.grade.states import Standing, State
from harness.metrics.figures import LATENCIES, RESPONSE, CountTokens, counts
from harness.record.rows import exchange_row, model_rows, packet_rows_of, step_rows, tool_call_rows, trial_row
from harness.result import Moment, Result
from harness.sigma.session import SessionDetail
from harness.suite import parquet
from harness.suite.model import Price

SCHEMA_VERSION = 2

TRIALS = {
    "trial_id": pl.String,
    "case_id": pl.String,
    "variant": pl.String,
    "repeat": pl.Int32,
    "phase": pl.String,
    "window": pl.String,
    "leg": pl.Int32,
    "state": pl.String,
    "score": pl.Float64,
    "reason": pl.String,
    "skip": pl.String,
    "due_ns": pl.Int64,
    "free_ns": pl.Int64,
    "began_ns": pl.Int64,
    "ended_ns": pl.Int64,
}
EXCHANGES = {
    "exchange_id": pl.String,
    "trial_id": pl.String,
    "turn_id": pl.String,
    "attempt": pl.Int32,
    "endpoint": pl.String,
    "outcome": pl.String,
    "fault": pl.String,
    "fault_step": pl.String,
    "fault_detail": pl.String,
    "error_code": pl.String,
    "http_status": pl.Int32,
    "stamps": pl.String,
    "resent": pl.Boolean,
    "counted": pl.Boolean,
    "stopped": pl.Boolean,
    "masked": pl.Int32,
    "due_ns": pl.Int64,
    "began_ns": pl.Int64,
    "session_ns": pl.Int64,
    "resolved_ns": pl.Int64,
    "tcp_ns": pl.Int64,
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
    "queue_ms": pl.Float64,
    "sent_lateness_ms": pl.Float64,
    **{f"{name}_ms": pl.Float64 for name in LATENCIES},
    **{f"{RESPONSE}{name}_ms": pl.Float64 for name in LATENCIES},
    "answer_tokens": pl.Int64,
    "answer_chars": pl.Int64,
    "asked_tokens": pl.Int64,
    "said_tokens": pl.Int64,
    "cost_usd": pl.Float64,
    "tokens_per_s": pl.Float64,
    "chars_per_s": pl.Float64,
    "packets": pl.Int64,
    "unknown_packets": pl.Int64,
    "unknown_kinds": pl.String,
    "heartbeats": pl.Int64,
    "bad_lines": pl.Int64,
    "gaps": pl.Int64,
    "gap_p50_ms": pl.Float64,
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
    "began_ms": pl.Float64,
    "duration_ms": pl.Float64,
    "result": pl.String,
}
STEPS = {
    "exchange_id": pl.String,
    "seq": pl.Int32,
    "step": pl.String,
    "began_ns": pl.Int64,
    "ended_ns": pl.Int64,
    "duration_ms": pl.Float64,
}
MODELS = {
    "exchange_id": pl.String,
    "model_index": pl.Int32,
    "model_asked": pl.String,
    "model_seen": pl.String,
    "outcome": pl.String,
    "error_code": pl.String,
    "first_text_ns": pl.Int64,
    "first_answer_ns": pl.Int64,
    "last_answer_ns": pl.Int64,
    "stop_ns": pl.Int64,
    "ttft_ms": pl.Float64,
    "answer_tokens": pl.Int64,
    "answer": pl.String,
    "reasoning": pl.String,
}
AUDITS = {
    "exchange_id": pl.String,
    "setting": pl.String,
    "asked": pl.String,
    "seen": pl.String,
    "finding": pl.String,
}
MOMENTS = {
    "at_ns": pl.Int64,
    "span_ns": pl.Int64,
    "phase": pl.String,
    "fell_due": pl.Int64,
    "began": pl.Int64,
    "dropped": pl.Int64,
    "in_flight": pl.Int64,
    "lag_ns": pl.Int64,
    "cpu_ns": pl.Int64,
    "waited_ns": pl.Int64,
    "collections": pl.Int64,
    "collected_ns": pl.Int64,
    "longest_collection_ns": pl.Int64,
    "target_ns": pl.Int64,
    "own_ns": pl.Int64,
    "process": pl.Int64,
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
    "part_of": pl.String,
    "evidence": pl.String,
    "judge": pl.String,
}
CASES = {
    "case_id": pl.String,
    "variant": pl.String,
    "phase": pl.String,
    "cluster": pl.String,
    "tags": pl.List(pl.String),
    "repeats": pl.Int32,
    **{str(state): pl.Int32 for state in State},
    "pass_rate": pl.Float64,
    "score": pl.Float64,
    "reduce": pl.String,
    "value": pl.Float64,
    "state": pl.String,
    "reason": pl.String,
    "asked": pl.String,
    "checks": pl.String,
    "quarantined": pl.String,
}

Schema = Mapping[str, Any]
SCHEMAS: Mapping[str, Schema] = {
    "trials": TRIALS,
    "cases": CASES,
    "exchanges": EXCHANGES,
    "packets": PACKETS,
    "tool_calls": TOOL_CALLS,
    "steps": STEPS,
    "models": MODELS,
    "audits": AUDITS,
    "grades": GRADES,
    "moments": MOMENTS,
}


FROM_GRADES = ("trials", "cases", "grades", "audits")
"""The tables that grading decides; the others are of what happened."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A result with everything that was found about it: what one journal line adds to the tables.

    *findings* are by exchange id, *sessions*, as the server had them afterwards, by theirs.
    """

    result: Result
    grades: Sequence[Grade]
    findings: Mapping[str, Sequence[Finding]]
    standing: Standing
    sessions: Mapping[str, SessionDetail] = field(default_factory=dict)

    @property
    def is_measured(self) -> bool:
        """Whether its times may be called those of its variant under its load.

        Not those of a warm-up or cool-down, nor where a setting was seen to be ignored.
        """
        return self.standing.state is not State.INVALID and self.result.window == "measured"


AT_ONCE = 65_536
"""Rows of grades that are held in memory: a run of 100,000 trials has a million."""


@dataclass(slots=True)
class Tables:
    """The tables of a run as they grow, a column a list.

    With a *folder* only so many grades are held; the others wait there in *parts* until they are written.
    """

    count_tokens: CountTokens
    folder: Path | None = None
    prices: Mapping[str, Price] = field(default_factory=dict)
    parts: list[Path] = field(default_factory=list)
    columns: dict[str, dict[str, list[Any]]] = field(
        default_factory=lambda: {table: {name: [] for name in schema} for table, schema in SCHEMAS.items()}
    )

    def add(self, judged: Judged) -> None:
        """Add the rows of one result to every table."""
        result = judged.result
        self.add_grades(judged)
        for exchange in result.exchanges:
            packets = packet_rows_of(exchange)
            findings = judged.findings.get(exchange.exchange_id, ())
            session = judged.sessions.get(exchange.session_id or "")
            row = exchange_row(exchange, packets, session, self.count_tokens, prices=self.prices)
            row |= {"trial_id": result.trial_id, "audit": worst(findings)}
            row |= {"counted": counts(exchange) and judged.is_measured}
            self._put("exchanges", row)
            self._put_all("tool_calls", tool_call_rows(exchange))
            self._put_all("packets", packets)
            self._put_all("steps", step_rows(exchange))
            self._put_all("models", model_rows(exchange, session, self.count_tokens))

    def add_grades(self, judged: Judged) -> None:
        """Add what was found about one result, and nothing of what happened in it."""
        result = judged.result
        self._put("trials", trial_row(result, judged.standing, weighed(deciding(judged.grades))))
        columns = self.columns["grades"].values()
        for grade in judged.grades:  # a row as it is: there are ten of them for each of any other table
            row = (result.trial_id, *msgspec.structs.astuple(grade))
            for values, value in zip(columns, row, strict=True):
                values.append(value)
        if self.folder is not None and len(self.columns["grades"]["type"]) >= AT_ONCE:
            self._set_aside(self.folder)
        for exchange in result.exchanges:
            findings = judged.findings.get(exchange.exchange_id, ())
            self._put_all("audits", (_audit_row(exchange.exchange_id, finding) for finding in findings))

    def add_case(self, row: Mapping[str, Any]) -> None:
        """Add what the repeats of a case came to."""
        self._put("cases", row)

    def add_moment(self, moment: Moment) -> None:
        """Add what a second of the run was like for us."""
        self._put("moments", msgspec.structs.asdict(moment))

    def frames(self) -> dict[str, pl.DataFrame]:
        """The tables as polars frames, by name."""
        return {table: self.frame(table) for table in SCHEMAS}

    def grades(self) -> pl.LazyFrame:
        """All grades, those that were set aside among them."""
        rest = self.frame("grades").lazy()
        return pl.concat([*map(pl.scan_parquet, self.parts), rest]) if self.parts else rest

    def forget(self) -> None:
        """Take away the parts: they have been written where they belong."""
        for path in self.parts:
            path.unlink(missing_ok=True)

    def _set_aside(self, folder: Path) -> None:
        path = folder / f"grades-{len(self.parts)}.partial"
        _written(self.frame("grades").lazy(), path)
        self.parts.append(path)
        for values in self.columns["grades"].values():
            values.clear()

    def frame(self, table: str) -> pl.DataFrame:
        """One table as a polars frame."""
        schema = SCHEMAS[table]
        return pl.DataFrame([_series(name, self.columns[table][name], schema[name]) for name in schema])

    def _put_all(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            self._put(table, row)

    def _put(self, table: str, row: Mapping[str, Any]) -> None:
        columns = self.columns[table]
        for name, values in columns.items():
            values.append(row[name])


def _audit_row(exchange_id: str, finding: Finding) -> dict[str, Any]:
    return {
        "exchange_id": exchange_id,
        "setting": finding.setting,
        "asked": finding.asked,
        "seen": finding.seen or None,
        "finding": str(finding.word),
    }


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


def read_figures(folder: Path, columns: Sequence[str]) -> dict[str, pl.DataFrame]:
    """What a summary needs of the tables that grading leaves alone: *columns* of `exchanges`, and calls.

    Raises `RunDirectoryError` where one is missing, or of another version.
    """
    exchanges = scan("exchanges", folder).select(columns)
    calls = scan("tool_calls", folder).select("exchange_id", "status")
    return {"exchanges": exchanges.collect(), "tool_calls": calls.collect()}


def scan(name: str, folder: Path) -> pl.LazyFrame:
    """The table *name* of the run in *folder*, not read yet. Raises `RunDirectoryError` for another's."""
    path = folder / f"{name}.parquet"
    try:
        stamp = path.stat()
        schema = _looked_at(path, (stamp.st_mtime_ns, stamp.st_size))
    except UNREADABLE_TABLE as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise RunDirectoryError(f"{path}: cannot be read: {reason}; --retime makes it anew") from error
    if schema != dict(SCHEMAS[name]):
        raise RunDirectoryError(f"{path}: has the columns of another version; --retime makes it anew")
    return pl.scan_parquet(path)


UNREADABLE_TABLE = (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException, parquet.Bomb)
"""What a table of a stranger may come to: polars panics where a file contradicts itself."""
_TRIED = 8 * 2**20


@lru_cache(maxsize=1024)  # *stamp* tells another file
def _looked_at(path: Path, stamp: tuple[int, int]) -> dict[str, Any]:
    """The columns of a table that unpacks to no more than it may; a small one is gone through once."""
    parquet.check(path)
    frame = pl.scan_parquet(path)
    if stamp[1] <= _TRIED:
        frame.select(pl.all().null_count()).collect()
    return dict(frame.collect_schema())


def write(frames: Mapping[str, pl.DataFrame | pl.LazyFrame], folder: Path) -> None:
    """Write each frame to ``<folder>/<name>.parquet``; a file is there whole or not at all."""
    for name, frame in frames.items():
        path = folder / f"{name}.parquet"
        partial = path.with_suffix(".partial")
        _written(frame.lazy(), partial)
        partial.replace(path)


def _written(frame: pl.LazyFrame, path: Path) -> None:
    try:
        frame.sink_parquet(path, metadata={"sigma_harness_schema_version": str(SCHEMA_VERSION)})
    # To polars a full disk is often a ComputeError, and no file left a panic.
    except (OSError, pl.exceptions.ComputeError, pl.exceptions.PanicException) as error:
        path.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or error
        raise RunDirectoryError(f"{path.with_suffix('.parquet')}: cannot be written: {reason}") from error


class Stored(Mapping[str, pl.DataFrame]):
    """The tables of a run on disk, each read when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, pl.DataFrame] = {}

    def __getitem__(self, name: str) -> pl.DataFrame:
        if name not in SCHEMAS:
            raise KeyError(f"{name}; there are {', '.join(SCHEMAS)}")
        if name not in self._read:
            self._read[name] = scan(name, self._folder).collect()
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(SCHEMAS)

    def __len__(self) -> int:
        return len(SCHEMAS)
