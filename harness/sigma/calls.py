"""The tool calls of one model, folded from packets that carry no call id (reading rules R6 and R7).

A call is known by where it stands: placement and tool. That is all the wire offers: no id, no uniform result,
failure a different field for every tool and mostly not there at all. So nothing is decided early: a call
gathers what its packets say, and its status is judged once, when the body is over.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from msgspec import UNSET, Struct

from harness.sigma.chat_packets import ArgumentDelta, CallDebug
from harness.sigma.documents import Applied, Search, SearchDoc, found_documents
from harness.sigma.packets import At
from harness.sigma.tolerant import shallow
from harness.sigma.tool_packets import Part, Tool

_INCREMENTAL = (Tool.PYTHON, Tool.BASH)


class Status(StrEnum):
    """How a call went, as far as the wire says (R7)."""

    OK = "ok"
    ERROR = "error"
    UNKNOWN = "unknown"


class ToolCall(Struct, frozen=True, kw_only=True):
    """One call of one tool.

    *call_id* is made from the placement, since the wire has no ids: `t{turn}.{tab}[.{sub}]`, with `#2` for
    the second call there and `m1/` before it for model 1; `c1`, `c2` in answers that were not streamed.
    *result* is what the tool's packets brought, null when none came. *began* and *ended* are offsets in the
    body: of its first packet, and of its `section_end`, or else of the first packet of a later turn, or of
    the end of its model; *ended* is null when the body was over before any of them came.
    """

    call_id: str
    name: str | None
    arguments: Any
    placement: tuple[int, int, int | None] | None
    status: Status
    result: Any = None
    began: int | None = None
    ended: int | None = None


@dataclass(slots=True)
class Call:
    """A call while its packets come in. *tool* is None for one that never started."""

    tool: Tool | None
    at: At
    began: int
    name: str | None = None
    started: bool = False
    arguments: Any = None
    result: Any = UNSET
    failed: bool = False
    debug: CallDebug | None = None
    found: list[SearchDoc] = field(default_factory=list)
    applied: Applied | None = None
    ended: int | None = None
    passed: int | None = None
    """Where a later turn or the end of the model showed that it must be over."""

    def take(self, part: Part) -> None:
        """Add what one of its packets says."""
        if part.name is not None and (part.start or self.name is None):
            self.name = part.name
        self.started |= part.start
        if part.arguments is not UNSET:
            self.arguments = _added(self.arguments, part.arguments) if part.adds else part.arguments
        if part.result is not UNSET:
            self.result = _added(self.result, part.result) if part.adds else part.result
        self.failed |= part.failed
        self.found += part.documents or ()
        self.applied = part.applied or self.applied

    def told(self) -> tuple[str | None, Any]:
        """Name and arguments: what a debug packet says of them, else what the tool's own packets say."""
        name, arguments = self.name, self.arguments
        if self.debug is not None:
            name = name if self.debug.tool_name is None else self.debug.tool_name
            arguments = arguments if self.debug.tool_args is UNSET else self.debug.tool_args
        return name, arguments

    def status(self) -> Status:
        """R7: the first of error, ok, ended without a result and still running that is true."""
        came, ended = self.result is not UNSET, self.ended is not None
        if self.failed:
            return Status.ERROR
        if came and (ended or self.tool not in _INCREMENTAL):
            return Status.OK
        if not ended or self.tool is None or self.tool in _INCREMENTAL:
            return Status.UNKNOWN
        sent_queries = (
            self.tool is Tool.SEARCH and self.arguments is not None and bool(self.arguments["queries"])
        )
        return Status.UNKNOWN if sent_queries else Status.ERROR


@dataclass(slots=True)
class _Fragments:
    """Arguments that were written before any call claimed them."""

    name: str | None
    at: At
    began: int
    pieces: dict[str, list[str]] = field(default_factory=dict)

    def joined(self) -> dict[str, str]:
        return {name: "".join(pieces) for name, pieces in self.pieces.items()}


class Calls:
    """The calls of one model, in order of opening."""

    def __init__(self) -> None:
        self.listed: list[Call] = []
        self._at: dict[At, list[Call]] = {}
        self._fragments: dict[tuple[int, str], _Fragments] = {}
        self._debug: dict[At, CallDebug] = {}
        self._failed: set[At] = set()

    def take(self, at: At, part: Part, end: int) -> None:
        """A packet of a tool: it opens a call, or belongs to one that is there."""
        if part.start:
            self._supersede(at[0], part.call_name)
        call = self._owner(at, part)
        if call is None:
            call = self._open(Call(part.tool, at, end, name=part.call_name))
        call.take(part)
        if part.ends and call.ended is None:
            call.ended = end

    def take_fragment(self, at: At, delta: ArgumentDelta, end: int) -> None:
        """Fragments open no call; they wait for the start of their tool in this turn, on whatever tab."""
        name = "run_python" if delta.tool_type == "python" else delta.tool_type or None
        waiting = self._fragments.setdefault((at[0], delta.tool_type), _Fragments(name, at, end))
        if isinstance(delta.argument_deltas, dict):
            for argument, fragment in delta.argument_deltas.items():
                if isinstance(fragment, str):
                    waiting.pieces.setdefault(argument, []).append(fragment)

    def take_debug(self, at: At, debug: CallDebug) -> None:
        """What the model really called: of the call that is open here, else of the next one here."""
        if (call := self._running(at)) is not None:
            call.debug = debug
        else:
            self._debug[at] = debug

    def take_error(self, at: At) -> None:
        """The call here failed; before its first packet, the next one here."""
        if at in self._at:
            self._at[at][-1].failed = True
        else:
            self._failed.add(at)

    def end(self, at: At, end: int) -> bool:
        """End the call that runs at *at*; False when none does."""
        call = self._running(at)
        if call is not None:
            call.ended = end
        return call is not None

    def fail_before_start(self, at: At, end: int) -> None:
        """A call of which nothing came but its end. Fragments nobody claimed in this turn were its own."""
        call = Call(None, at, end, failed=True, ended=end)
        key = next((key for key in self._fragments if key[0] == at[0]), None)
        if key is not None:
            fragments = self._fragments.pop(key)
            call.name, call.arguments, call.began = fragments.name, fragments.joined(), fragments.began
        self._open(call)

    def pass_turn(self, turn: int, end: int) -> None:
        """A packet of *turn* came: whatever runs in an earlier one must be over."""
        for call in self.listed:
            if call.passed is None and call.at[0] < turn:
                call.passed = end

    def finish(self, end: int | None) -> list[Call]:
        """All calls, now that the body is over; *end* is where the model ended, None for nowhere."""
        for fragments in self._fragments.values():
            self._list(Call(None, fragments.at, fragments.began, name=fragments.name))
        self._fragments.clear()
        for at, debug in self._debug.items():
            if at in self._at:
                self._at[at][-1].debug = debug
        for call in self.listed:
            if call.passed is None:
                call.passed = end
        return self.listed

    def _supersede(self, turn: int, name: str | None) -> None:
        for key in [key for key, each in self._fragments.items() if key[0] == turn and each.name == name]:
            del self._fragments[key]

    def _owner(self, at: At, part: Part) -> Call | None:
        """The call a packet belongs to: the latest of its tool here.

        A start belongs only to a call that is still open, and that is not known to be of another tool: one
        that details opened, or one that it repeats.
        """
        for call in reversed(self._at.get(at, ())):
            if call.tool is part.tool:
                other = call.started and call.name != part.call_name
                return None if part.start and (call.ended is not None or other) else call
        return None

    def _running(self, at: At) -> Call | None:
        return next((call for call in reversed(self._at.get(at, ())) if call.ended is None), None)

    def _open(self, call: Call) -> Call:
        self._list(call)
        if call.at in self._failed:
            self._failed.remove(call.at)
            call.failed = True
        call.debug = self._debug.pop(call.at, None)
        return call

    def _list(self, call: Call) -> None:
        self.listed.append(call)
        self._at.setdefault(call.at, []).append(call)


def tool_calls(calls: list[Call], model: int) -> tuple[ToolCall, ...]:
    """*calls* as they go into a transcript."""
    seen: dict[At, int] = {}
    told = []
    for call in calls:
        seen[call.at] = seen.get(call.at, 0) + 1
        name, arguments = call.told()
        told.append(
            ToolCall(
                call_id=_call_id(call.at, model, seen[call.at]),
                name=name,
                arguments=shallow(arguments),
                placement=call.at,
                status=call.status(),
                result=None if call.result is UNSET else shallow(call.result),
                began=call.began,
                ended=call.passed if call.ended is None else call.ended,
            )
        )
    return tuple(told)


def searches(calls: list[Call]) -> tuple[Search, ...]:
    """The internal searches among *calls*."""
    internal = (call for call in calls if call.tool is Tool.SEARCH and call.name == Tool.SEARCH)
    return tuple(Search(call.applied, found_documents(call.found)) for call in internal)


def _call_id(at: At, model: int, nth: int) -> str:
    place = ".".join(str(index) for index in at if index is not None)
    return (f"m{model}/" if model else "") + f"t{place}" + (f"#{nth}" if nth > 1 else "")


def _added(before: Any, more: Any) -> Any:
    """*before* with an increment: texts and lists are joined, key by key; anything else is replaced."""
    match before, more:
        case dict(), dict():
            return before | {key: _added(before.get(key), value) for key, value in more.items()}
        case (str(), str()) | (list(), list()):
            return before + more
    return more
