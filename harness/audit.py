"""Did what was asked take effect? (request, transcript) -> findings.

Sigma can silently skip a forced tool, or answer a research question with a
question of its own, under HTTP 200. What the reply itself shows is judged
here; what only the session detail or the documents show (the model that
answered, the filters that were applied) is `not shown` so far.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from msgspec import Struct
from msgspec.json import encode

from harness.sigma.catalogue import Provider
from harness.sigma.session import SessionDetail
from harness.sigma.transcript import Outcome, ToolCall, Transcript

MEMORY_TOOL = "add_memory"
"""Servers may offer it whatever `allowed_tool_ids` says (wire 1.3); it is not held against the setting."""

RESEARCH_AGENT = "research_agent"


class Word(StrEnum):
    """What an audit says of one setting, worst last."""

    TOOK_EFFECT = "took effect"
    NOT_EXERCISED = "not exercised"
    NOT_SHOWN = "not shown"
    IGNORED = "ignored"


class Finding(Struct, frozen=True):
    """One thing that was asked, and what became of it."""

    setting: str
    asked: str
    seen: str
    word: Word


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known beside the reply.

    *called* are, for each tool id, the names by which the model calls it: one
    row of `GET /tool` may have several. *providers* are those of the catalogue,
    empty where it could not be had. *session* is the conversation as the server
    has it afterwards. *session_info* is what a session that was made ahead of
    the request was made with.
    """

    called: Mapping[int, Sequence[str]] = field(default_factory=dict)
    providers: Sequence[Provider] = ()
    default_provider: str | None = None
    session: SessionDetail | None = None
    session_info: Mapping[str, Any] = field(default_factory=dict)


def audit(request: Mapping[str, Any], transcript: Transcript, evidence: Evidence) -> list[Finding]:
    """The findings for one exchange, in the order of the request's fields.

    A reply that broke shows nothing, since
    a tool may have been on its way: only a finished one can have ignored
    something. Nor does an answer that is a bare string, which has no place for calls.
    """
    called = evidence.called
    shows_calls = transcript.packets > 0 or bool(transcript.assistant_message_ids)
    finished = shows_calls and transcript.outcome in {Outcome.SUCCESS, Outcome.EMPTY}
    findings = []
    for setting, asked in request.items():
        match setting:
            case "allowed_tool_ids":
                names = _top_level(transcript.tool_calls, research=bool(request.get("deep_research")))
                findings.append(_allowed(asked, names, called, shown=shows_calls))
            case "forced_tool_id":
                findings.append(_forced(asked, transcript.tool_calls, called, finished=finished))
            case "deep_research" if asked:
                findings.append(_research(transcript, finished=finished))
            case "llm_override" | "search_filters" | "internal_search_filters":
                findings.append(Finding(setting, encode(asked).decode(), "", Word.NOT_SHOWN))
            case _:
                pass
    return findings


def worst(findings: Iterable[Finding]) -> Word | None:
    """The worst word of *findings*, None where nothing was asked."""
    return max((finding.word for finding in findings), key=list(Word).index, default=None)


def _top_level(calls: Sequence[ToolCall], *, research: bool) -> list[str]:
    """The names of the calls that the model itself made; the server equips its research agents by itself.

    Calls of an answer that was not streamed have no placement: those of agents are among them.
    """
    top = (call.placement[2] is None if call.placement else not research for call in calls)
    return [call.name for call, own in zip(calls, top, strict=True) if own and call.name]


def _allowed(
    asked: list[int], names: Sequence[str], called: Mapping[int, Sequence[str]], *, shown: bool
) -> Finding:
    allowed = {name for tool in asked for name in called.get(tool, ())} | {MEMORY_TOOL, RESEARCH_AGENT}
    outside = [name for name in names if name not in allowed]
    wanted = ", ".join(_name(tool, called) for tool in asked) or "none"
    if outside and all(tool in called for tool in asked):
        return Finding("allowed_tool_ids", wanted, _list(outside), Word.IGNORED)
    # A tool whose names could not be looked up may be the one that was called.
    word = Word.NOT_SHOWN if outside or not shown else Word.TOOK_EFFECT if names else Word.NOT_EXERCISED
    return Finding("allowed_tool_ids", wanted, _list(names), word)


def _forced(
    asked: int, calls: Sequence[ToolCall], called: Mapping[int, Sequence[str]], *, finished: bool
) -> Finding:
    names = [call.name for call in calls if call.name]
    if set(called.get(asked, ())) & set(names):
        word = Word.TOOK_EFFECT
    else:
        word = Word.IGNORED if finished and (asked in called or not names) else Word.NOT_SHOWN
    return Finding("forced_tool_id", _name(asked, called), _list(names), word)


def _research(transcript: Transcript, *, finished: bool) -> Finding:
    if transcript.plan is not None or any(call.name == RESEARCH_AGENT for call in transcript.tool_calls):
        return Finding("deep_research", "true", "a plan or an agent", Word.TOOK_EFFECT)
    if not finished:
        return Finding("deep_research", "true", "nothing yet", Word.NOT_SHOWN)
    seen = "tool calls without research" if transcript.tool_calls else "a clarifying question"
    return Finding("deep_research", "true", seen, Word.IGNORED)


def _name(tool: int, called: Mapping[int, Sequence[str]]) -> str:
    return " or ".join(called[tool]) if tool in called else str(tool)


def _list(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names)) or "no tool call"
