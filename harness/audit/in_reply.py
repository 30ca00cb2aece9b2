"""Settings whose effect the reply itself shows: tools, research, citations, and the stream that it is."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness.audit.finding import Finding, Told, Word, ended
from harness.sigma.transcript import Outcome, ToolCall

MEMORY_TOOL = "add_memory"
"""Servers may offer it whatever `allowed_tool_ids` says (wire 1.3); it is not held against the setting."""

RESEARCH_AGENT = "research_agent"

_MARKER = re.compile(r"\[\[\d+\]\]\(")


def allowed_tools(asked: Sequence[int], told: Told) -> Iterator[Finding]:
    """`allowed_tool_ids`: no call of a tool outside the set, by any model."""
    called = told.evidence.called
    own = {name for tool in asked for name in called.get(tool, ())}
    research = bool(told.request.get("deep_research"))
    every = [name for share in told.shares for name in _top_level(share.tool_calls, research=research)]
    names = [name for name in every if name != MEMORY_TOOL or name in own]
    outside = [name for name in names if name not in own | {RESEARCH_AGENT}]
    apart = (
        f", and {MEMORY_TOOL}, which servers may offer whatever is allowed" if len(names) < len(every) else ""
    )
    wanted = ", ".join(_name(tool, called) for tool in asked) or "none"
    if outside and all(tool in called for tool in asked):
        yield Finding("allowed_tool_ids", wanted, _list(outside) + apart, Word.IGNORED)
        return
    # A tool whose names could not be looked up may be the one that was called.
    shown = not outside and told.shows_calls
    word = Word.NOT_SHOWN if not shown else Word.TOOK_EFFECT if names else Word.NOT_EXERCISED
    yield Finding("allowed_tool_ids", wanted, _list(names) + apart, word)


def forced_tool(asked: int, told: Told) -> Iterator[Finding]:
    """`forced_tool_id`: a call of that tool, by every model."""
    called = told.evidence.called
    names = [[call.name for call in share.tool_calls if call.name] for share in told.shares]
    lacking = [
        nth for nth, of_model in enumerate(names) if not set(called.get(asked, ())).intersection(of_model)
    ]
    seen = _list(name for of_model in names for name in of_model)
    if not lacking:
        word = Word.TOOK_EFFECT
    else:
        proven = any(
            told.shows_calls and ended(told.shares[nth]) and (asked in called or not names[nth])
            for nth in lacking
        )
        word = Word.IGNORED if proven else Word.NOT_SHOWN
        if len(names) > 1:
            seen = "; ".join(f"model {nth}: {_list(names[nth])}" for nth in lacking)
    yield Finding("forced_tool_id", _name(asked, called), seen, word)


def research(asked: bool, told: Told) -> Iterator[Finding]:  # noqa: FBT001 - the value of a field
    """`deep_research`: a plan or an agent; neither, and no call either, is a question back."""
    if not asked:
        return
    calls = told.transcript.tool_calls
    if told.transcript.plan is not None or any(call.name == RESEARCH_AGENT for call in calls):
        yield Finding("deep_research", "true", "a plan or an agent", Word.TOOK_EFFECT)
    elif not told.finished:
        yield Finding("deep_research", "true", "", Word.NOT_SHOWN)
    else:
        seen = "tool calls without research" if calls else "a clarifying question"
        yield Finding("deep_research", "true", seen, Word.IGNORED)


def citations(asked: bool, told: Told) -> Iterator[Finding]:  # noqa: FBT001 - the value of a field
    """`include_citations`: none where there could have been some. Asked for, they are the model's choice.

    A marker counts only where documents were found: without them it is the model's own text.
    """
    found = any(share.documents for share in told.shares)
    cited = any(
        share.citations or (share.documents and _MARKER.search(share.answer)) for share in told.shares
    )
    if asked:
        word = Word.TOOK_EFFECT if cited else Word.NOT_SHOWN
    elif cited:
        word = Word.IGNORED
    elif not told.finished:
        word = Word.NOT_SHOWN
    else:
        word = Word.TOOK_EFFECT if found else Word.NOT_EXERCISED
    seen = "citations" if cited else "documents and no citation" if found else "nothing to cite"
    yield Finding("include_citations", str(asked).lower(), seen, word)


def stream(asked: bool, told: Told) -> Iterator[Finding]:  # noqa: FBT001 - the value of a field
    """`stream`: audited where it was asked not to. A reply without packets that succeeded came whole."""
    if asked:
        return
    if told.transcript.packets:
        yield Finding("stream", "false", "a stream", Word.IGNORED)
    elif told.transcript.outcome in {Outcome.SUCCESS, Outcome.EMPTY}:
        yield Finding("stream", "false", "one document", Word.TOOK_EFFECT)
    else:
        yield Finding("stream", "false", "", Word.NOT_SHOWN)


def unseen(setting: str, asked: Any) -> Finding:
    """A setting of which no server shows anything. What is secret or long in it is not shown either."""
    match asked:
        case dict():
            text = ", ".join(asked)
        case str() if setting == "additional_context":
            text = f"{len(asked)} characters"
        case _:
            text = str(asked)
    return Finding(setting, text, "", Word.NOT_SHOWN)


def _top_level(calls: Sequence[ToolCall], *, research: bool) -> list[str]:
    """The names of the calls that the model itself made; the server equips its research agents by itself.

    Calls of an answer that was not streamed have no placement: those of agents are among them.
    """
    top = (call.placement[2] is None if call.placement else not research for call in calls)
    return [call.name for call, own in zip(calls, top, strict=True) if own and call.name]


def _name(tool: int, called: Mapping[int, Sequence[str]]) -> str:
    return " or ".join(called[tool]) if tool in called else str(tool)


def _list(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names)) or "no tool call"
