"""One model's share of a reply: its text, reasoning, calls, citations, end (reading rules R4, R5, R8, R10).

An ordinary reply has one share. With several models side by side their packets come interleaved, and each is
read as if the others were not there.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from harness.sigma.calls import Calls, searches, tool_calls
from harness.sigma.chat_packets import (
    ArgumentDelta,
    BranchError,
    Branching,
    CallDebug,
    CitationDelta,
    CitationInfo,
    MessageDelta,
    MessageStart,
    PlanDelta,
    ReasoningDelta,
    ReasoningStart,
    SectionEnd,
    Stop,
)
from harness.sigma.documents import Documents, SearchDoc, distinct, document_ids
from harness.sigma.packets import At, ErrorLine, Known, Unknown
from harness.sigma.reply import Citation, Marks, ModelReading, Outcome, WireError
from harness.sigma.tool_packets import Tool, ToolPacket

_NO_SECTION = (ArgumentDelta, Branching, CallDebug, BranchError)
"""Packets that do not count as something at their placement that a `section_end` could end (R6)."""


class Ending(NamedTuple):
    """How one model's run ended: the first stop or error line that reached it."""

    outcome: Outcome
    end: int
    error: WireError | None = None
    retryable: bool | None = None
    model_name: str | None = None


def stopped(stop: Stop, end: int) -> Ending:
    """The ending that a stop packet is."""
    return Ending(Outcome.CANCELLED if stop.stop_reason == "user_cancelled" else Outcome.SUCCESS, end)


def failed(line: ErrorLine, end: int) -> Ending:
    """The ending that an error line is."""
    return Ending(Outcome.ERROR, end, WireError(line.code, line.message), line.retryable, line.model_name)


@dataclass(slots=True)
class _Block:
    """Text that came in pieces, and where each of them was complete."""

    at: At
    pieces: list[str] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def add(self, piece: str, end: int) -> None:
        if piece:
            self.pieces.append(piece)
            self.ends.append(end)

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class _Blocks:
    """Blocks in order of opening; more text goes to the latest one at its placement."""

    def __init__(self) -> None:
        self.opened: list[_Block] = []
        self._latest: dict[At, _Block] = {}

    def open(self, at: At) -> _Block:
        block = self._latest[at] = _Block(at)
        self.opened.append(block)
        return block

    def latest(self, at: At) -> _Block:
        return self._latest.get(at) or self.open(at)

    def at_top(self) -> list[_Block]:
        """Those that are not part of nested work."""
        return [block for block in self.opened if block.at[2] is None]


def _texts(blocks: list[_Block]) -> tuple[str, ...]:
    return tuple(block.text for block in blocks if block.pieces)


def _first_end(blocks: list[_Block]) -> int | None:
    return min((block.ends[0] for block in blocks if block.ends), default=None)


class Share:
    """One model's share of the reply."""

    def __init__(self, ending: Ending | None = None) -> None:
        self.ending = ending
        self.plan: list[str] = []
        self._text = _Blocks()
        self._reasoning = _Blocks()
        self._calls = Calls()
        self._citations: dict[str, Citation] = {}
        self._documents: list[SearchDoc] = []
        self._seen: set[At] = set()
        self._turn: int | None = None
        self._first_packet: int | None = None
        self._first_document: int | None = None
        self._first_plan: int | None = None

    def feed(self, obj: Known | Unknown, at: At, end: int) -> None:
        """Take in one packet, unless this model has ended."""
        if self.ending is not None:
            return
        if self._first_packet is None:
            self._first_packet = end
        if at[0] != self._turn:
            self._turn = at[0]
            self._calls.pass_turn(at[0], end)
        if isinstance(obj, MessageDelta):
            self._text.latest(at).add(obj.content, end)
            self._seen.add(at)
            return
        if isinstance(obj, ReasoningDelta):
            self._reasoning.latest(at).add(obj.reasoning, end)
        elif isinstance(obj, ToolPacket):
            part = obj.part()
            self._calls.take(at, part, end)
            self._saw(part.documents, end)
        else:
            self._say(obj, at, end)
            self._act(obj, at, end)
        if not isinstance(obj, _NO_SECTION):
            self._seen.add(at)

    def end(self, ending: Ending) -> None:
        """End the run; only the first time counts."""
        self.ending = self.ending or ending

    def read(self, index: int, session: int | None, ids: int | None) -> ModelReading:
        """What this model said, put together from what has come so far.

        *session* and *ids* are where those lines of the reply ended.
        """
        calls = self._calls.finish(self.ending.end if self.ending else None)
        final = self._answer_block()
        answer = final.text if final else ""
        found = distinct(self._documents)
        return ModelReading(
            model_index=index,
            outcome=self._outcome(answer),
            answer=answer,
            narration=_texts([block for block in self._text.at_top() if block is not final]),
            reasoning=_texts(self._reasoning.opened),
            tool_calls=tool_calls(calls, index),
            citations=tuple(self._citations.values()),
            documents=tuple(str(document.document_id) for document in found),
            error=self.ending.error if self.ending else None,
            searched=searches(calls),
            found=found,
            marks=self._marks(final.ends if final else [], session, ids),
            model_seen=self.ending.model_name if self.ending else None,
        )

    def _marks(self, ends: list[int], session: int | None, ids: int | None) -> Marks:
        stop = self.ending.end if self.ending and self.ending.error is None else None
        return Marks(
            session=session,
            ids=ids,
            first_packet=self._first_packet,
            first_reasoning=_first_end(self._reasoning.opened),
            first_tool=next((call.began for call in self._calls.listed if call.tool is not None), None),
            first_document=self._first_document,
            first_plan=self._first_plan,
            first_agent=next((call.began for call in self._calls.listed if call.tool is Tool.RESEARCH), None),
            first_text=_first_end(self._text.at_top()),
            first_answer=ends[0] if ends else None,
            last_answer=ends[-1] if ends else None,
            stop=stop,
            answer_ends=tuple(ends),
        )

    def _say(self, obj: Known | Unknown, at: At, end: int) -> None:
        match obj:
            case MessageStart():
                self._text.open(at).add(obj.content or "", end)
                self._saw(obj.final_documents, end)
            case ReasoningStart():
                self._reasoning.open(at)
            case PlanDelta():
                self._first_plan = self._first_plan or end
                self.plan.append(obj.content)
            case CitationInfo():
                self._cite(obj.citation_number, obj.document_id)
            case CitationDelta():
                for each in obj.citations or ():
                    self._cite(each.citation_num, each.document_id)

    def _act(self, obj: Known | Unknown, at: At, end: int) -> None:
        match obj:
            case SectionEnd():
                if not self._calls.end(at, end) and at not in self._seen:
                    self._calls.fail_before_start(at, end)
            case ArgumentDelta():
                self._calls.take_fragment(at, obj, end)
            case CallDebug():
                self._calls.take_debug(at, obj)
            case BranchError():
                self._calls.take_error(at)
            case Stop():
                self.end(stopped(obj, end))

    def _cite(self, number: int | None, document_id: str | None) -> None:
        if document_id is not None:
            self._citations.setdefault(document_id, Citation(number, document_id))

    def _saw(self, documents: Documents, end: int) -> None:
        if self._first_document is None and document_ids(documents):
            self._first_document = end
        self._documents += documents or ()

    def _answer_block(self) -> _Block | None:
        """The block whose text is the answer (R4): the last of the highest turn, unless a call is as late."""
        final = max(reversed(self._text.at_top()), key=lambda block: block.at[0], default=None)
        last_call = max((call.at[0] for call in self._calls.listed if call.at[2] is None), default=None)
        return final if final is None or last_call is None or last_call < final.at[0] else None

    def _outcome(self, answer: str) -> Outcome:
        if self.ending is None:
            return Outcome.TRUNCATED
        if self.ending.outcome is Outcome.SUCCESS and not answer.strip():
            return Outcome.EMPTY
        return self.ending.outcome
