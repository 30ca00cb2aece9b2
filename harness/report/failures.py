"""What did not pass, with the conversations: the tables say which trials, the journal what was said in them.

A page has room for some of them only, so those are taken that show most: of each variant and each state a
few, one trial of a prompt each. A text is cut where it is longer than a page bears, and says how long it was.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import polars as pl

from harness.audit import Word
from harness.grade.states import State
from harness.journal import read_some
from harness.record.tables import scan
from harness.report.outcome import Prompt
from harness.report.pages import plain
from harness.report.visible import LONGEST as CUT
from harness.result import Exchange, Result
from harness.sigma.transcript import Outcome, ToolCall, Transcript

SHOWN = 60
"""Failures with their conversations; a reader gets through no more, and a page has an end."""

BAD = (State.FAILED, State.ERROR, State.INVALID)


class Said(NamedTuple):
    """A text as far as a page holds it, and how long it is."""

    text: str
    length: int

    def shown(self, longest: int) -> str:
        """The text with nothing hidden in it, in at most *longest* characters; says what it left out."""
        head = plain(self.text[:longest], longest)
        left = self.length - min(longest, len(self.text))
        return head if left <= 0 else f"{head} … ({left:,} more characters)"


class Check(NamedTuple):
    """What one check found; *turn* is empty where it is of the whole conversation."""

    turn: str
    name: str
    passed: bool | None
    score: float | None
    reason: Said
    evidence: Said | None


class Finding(NamedTuple):
    """A setting that was ignored: what was asked and what was seen instead."""

    setting: str
    asked: str
    seen: str


class Cited(NamedTuple):
    """A document that the answer cites, with what the tools showed of it."""

    number: int | None
    document_id: str
    name: str
    link: str


class Call(NamedTuple):
    """A tool call; *took_ms* is None where its end was not seen."""

    name: str
    status: str
    took_ms: float | None
    arguments: Said | None
    result: Said | None


@dataclass(frozen=True, slots=True)
class Turn:
    """The last attempt of one turn: what was asked and what came back."""

    turn_id: str
    attempt: int
    message: Said
    asked: Said | None
    outcome: str
    broke: Said | None
    ttft_ms: float | None
    total_ms: float | None
    plan: Said | None
    reasoning: Said | None
    narration: Said | None
    answer: Said
    beside: tuple[Said, ...]
    calls: tuple[Call, ...]
    cited: tuple[Cited, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """A prompt under a variant that did not pass, and one of its trials (*repeat*) as the example.

    *anchor* is its name in a link.
    """

    prompt: Prompt
    anchor: str
    trial_id: str
    repeat: int
    state: State
    reason: Said
    checks: tuple[Check, ...]
    ignored: tuple[Finding, ...]
    turns: tuple[Turn, ...]


def bad(prompts: Sequence[Prompt]) -> list[Prompt]:
    """Those of *prompts* that did not pass, though they were sent."""
    return [each for each in prompts if each.state in BAD]


def failures(folder: Path, prompts: Sequence[Prompt], most: int = SHOWN) -> list[Failure]:
    """*most* of the prompts that did not pass, in their order, with a trial of each."""
    chosen = _chosen(bad(prompts), most)
    trials = _trials(folder, chosen)
    ids = {row["trial_id"] for row in trials.values()}
    tables = _Tables.of(folder, ids)
    results = {each.trial_id: each for each in read_some(folder, ids)}
    found = [(each, trials[_key(each)]) for each in chosen if _key(each) in trials]
    return [
        _failure(prompt, anchor, row, tables=tables, result=results.get(row["trial_id"]))
        for (prompt, row), anchor in zip(found, _anchors([each for each, _ in found]), strict=True)
    ]


def _anchors(prompts: Sequence[Prompt]) -> list[str]:
    """A name for each that a link can hold, the same in every report of a run."""
    plainly = [_NO_NAME.sub("-", "-".join(["case", *_key(each)]))[:100] for each in prompts]
    doubled = Counter(plainly)
    return [name if doubled[name] == 1 else f"{name}-{at}" for at, name in enumerate(plainly)]


_NO_NAME = re.compile(r"[^A-Za-z0-9_.]+")


def _chosen(failed: Sequence[Prompt], most: int) -> list[Prompt]:
    """Of each variant and state the same number, as far as there are that many."""
    seen: Counter[tuple[str, State]] = Counter()
    ranked: list[tuple[int, int]] = []
    for at, each in enumerate(failed):
        ranked.append((seen[each.variant, each.state], at))
        seen[each.variant, each.state] += 1
    return [failed[at] for at in sorted(at for _, at in sorted(ranked)[:most])]


_Key = tuple[str, str, str]


def _key(prompt: Prompt) -> _Key:
    return prompt.case_id, prompt.variant, prompt.phase


def _trials(folder: Path, chosen: Sequence[Prompt]) -> dict[_Key, dict[str, Any]]:
    """The first trial of each that came to what its prompt came to, or else the first that did not pass."""
    wanted = pl.LazyFrame(
        [(*_key(each), str(each.state)) for each in chosen],
        schema=dict.fromkeys(("case_id", "variant", "phase", "wanted"), pl.String),
        orient="row",
    )
    columns = ("trial_id", "case_id", "variant", "phase", "repeat", "state", "reason")
    rows = (
        scan("trials", folder)
        .select(columns)
        .filter(pl.col("state") != str(State.PASSED))
        .join(wanted, on=["case_id", "variant", "phase"])
        .sort(pl.col("state") != pl.col("wanted"), "repeat", maintain_order=True)
        .collect()
    )
    found: dict[_Key, dict[str, Any]] = {}
    for row in rows.iter_rows(named=True):
        found.setdefault((row["case_id"], row["variant"], row["phase"]), row)
    return found


@dataclass(frozen=True, slots=True)
class _Tables:
    """What the tables have of the chosen trials: by trial, by exchange, and by exchange and call."""

    grades: Mapping[str, list[dict[str, Any]]]
    ignored: Mapping[str, list[dict[str, Any]]]
    times: Mapping[str, dict[str, Any]]
    calls: Mapping[tuple[str, str], float | None]

    @classmethod
    def of(cls, folder: Path, trials: Collection[str]) -> "_Tables":
        of_trial = pl.col("trial_id").is_in(list(trials))
        sent = scan("exchanges", folder).filter(of_trial)
        times = sent.select("exchange_id", "trial_id", "outcome", "ttft_ms", "total_ms").collect()
        of_exchange = pl.col("exchange_id").is_in(times["exchange_id"].implode())
        audits = scan("audits", folder).filter(of_exchange, pl.col("finding") == str(Word.IGNORED))
        named = times.select("exchange_id", "trial_id").lazy()
        calls = scan("tool_calls", folder).filter(of_exchange)
        return cls(
            _by_trial(scan("grades", folder).filter(of_trial)),
            _by_trial(audits.join(named, on="exchange_id", maintain_order="left")),
            {row["exchange_id"]: row for row in times.iter_rows(named=True)},
            {
                (exchange, call): took
                for exchange, call, took in calls.select("exchange_id", "call_id", "duration_ms")
                .collect()
                .iter_rows()
            },
        )


def _by_trial(frame: pl.LazyFrame) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in frame.collect().iter_rows(named=True):
        found.setdefault(row["trial_id"], []).append(row)
    return found


def conversations(folder: Path, trials: Collection[str]) -> dict[str, tuple[Turn, ...]]:
    """What was asked and answered in each of *trials*, the last attempt of each turn."""
    tables = _Tables.of(folder, trials)
    return {
        result.trial_id: tuple(_turn(each, tables) for each in result.turns)
        for result in read_some(folder, trials)
    }


def _failure(
    prompt: Prompt, anchor: str, row: Mapping[str, Any], *, tables: _Tables, result: Result | None
) -> Failure:
    trial = row["trial_id"]
    audited = tables.ignored.get(trial, ())
    ignored = [Finding(each["setting"], each["asked"], each["seen"] or "") for each in audited]
    return Failure(
        prompt,
        anchor,
        trial,
        row["repeat"],
        State(row["state"]),
        said(row["reason"] or ""),
        tuple(map(_check, tables.grades.get(trial, ()))),
        tuple(dict.fromkeys(ignored)),
        tuple(_turn(each, tables) for each in result.turns) if result else (),
    )


def _check(row: Mapping[str, Any]) -> Check:
    name = row["type"] if row["metric"] is None else f"{row['metric']} ({row['type']})"
    evidence = None if row["evidence"] is None else said(row["evidence"])
    return Check(row["turn_id"] or "", name, row["passed"], row["score"], said(row["reason"] or ""), evidence)


def _turn(exchange: Exchange, tables: _Tables) -> Turn:
    told = exchange.transcript or Transcript(outcome=Outcome.EMPTY)
    times = tables.times.get(exchange.exchange_id, {})
    return Turn(
        exchange.turn_id,
        exchange.attempt,
        said(str(exchange.request.get("message", ""))),
        _maybe(_as_json({name: value for name, value in exchange.request.items() if name != "message"})),
        times.get("outcome") or "no reply",
        _maybe(_broke(exchange, told)),
        times.get("ttft_ms"),
        times.get("total_ms"),
        _maybe(told.plan),
        _maybe("\n\n".join(told.reasoning)),
        _maybe("\n\n".join(told.narration)),
        said(told.answer),
        tuple(said(model.answer) for model in (told.models or ())[1:]),
        tuple(
            _call(each, tables.calls.get((exchange.exchange_id, each.call_id))) for each in told.tool_calls
        ),
        tuple(_cited(told)),
    )


def _broke(exchange: Exchange, told: Transcript) -> str:
    if exchange.failure is not None:
        return str(exchange.failure)
    return f"{told.error.code or 'error'}: {told.error.message}" if told.error else ""


def _call(call: ToolCall, took_ms: float | None) -> Call:
    arguments = None if call.arguments is None else said(_as_json(call.arguments))
    result = None if call.result is None else said(_as_json(call.result))
    return Call(call.name or "?", str(call.status), took_ms, arguments, result)


def _cited(told: Transcript) -> Iterator[Cited]:
    found = {each.document_id: each for each in told.found}
    for citation in dict.fromkeys(told.citations):
        document = found.get(citation.document_id)
        name, link = (document.name or "", document.link or "") if document else ("", "")
        yield Cited(citation.number, citation.document_id, name, link)


def _as_json(value: object) -> str:
    if isinstance(value, str):
        return value
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _maybe(text: str | None) -> Said | None:
    return said(text) if text and text not in {"{}", "[]"} else None


def said(text: str) -> Said:
    """*text* as far as a page may ever show it."""
    return Said(text[:CUT], len(text))
