"""The packets of text, reasoning, plan, citations and control, as they are on the wire.

Those of tools are in `tool_packets`. Every field has a default: a packet that lacks one, or holds nonsense in
it, is still a packet of its type. Fields that no reading needs are not named, and so never decoded.
"""

from typing import Any, TypeAlias

from msgspec import UNSET, Struct

from harness.sigma.documents import Documents


class ChatPacket(Struct, frozen=True, gc=False, tag_field="type"):
    """A packet that belongs to no tool."""


class Heartbeat(ChatPacket, tag="chat_heartbeat", frozen=True):
    """A sign of life. It has no placement and is no content."""


class Branching(ChatPacket, tag="top_level_branching", frozen=True):
    """Several calls follow. The number is from before merging and proves nothing."""


class SectionEnd(ChatPacket, tag="section_end", frozen=True):
    """The end of what is open at its placement."""


class BranchError(ChatPacket, tag="error", frozen=True):
    """A call at its placement failed; the run goes on."""


class Stop(ChatPacket, tag="stop", frozen=True):
    """The end of one model's run, or of all where it names none."""

    stop_reason: str | None = None


class ReasoningStart(ChatPacket, tag="reasoning_start", frozen=True):
    """A new block of reasoning."""


class ReasoningDelta(ChatPacket, tag="reasoning_delta", frozen=True):
    """More of it."""

    reasoning: str = ""


class MessageStart(ChatPacket, tag="message_start", frozen=True):
    """A new block of text; older servers put its first piece here."""

    content: str | None = None
    final_documents: Documents = None


class MessageDelta(ChatPacket, tag="message_delta", frozen=True):
    """More text."""

    content: str = ""


class PlanStart(ChatPacket, tag="deep_research_plan_start", frozen=True):
    """The plan of a deep research begins."""


class PlanDelta(ChatPacket, tag="deep_research_plan_delta", frozen=True):
    """More of the plan."""

    content: str = ""


class CitationInfo(ChatPacket, tag="citation_info", frozen=True):
    """The text that follows cites this document under this number."""

    citation_number: int | None = None
    document_id: str | None = None


class OldCitation(Struct, frozen=True, gc=False):
    """One entry of `citation_delta`."""

    citation_num: int | None = None
    document_id: str | None = None


class CitationDelta(ChatPacket, tag="citation_delta", frozen=True):
    """Several citations at once, as servers of 2025 sent them."""

    citations: list[OldCitation] | None = None


class CallDebug(ChatPacket, tag="tool_call_debug", frozen=True):
    """What the model really called; only test servers say so."""

    tool_name: str | None = None
    tool_args: Any = UNSET


class ArgumentDelta(ChatPacket, tag="tool_call_argument_delta", frozen=True):
    """Fragments of the arguments of a call that is being written."""

    tool_type: str = ""
    argument_deltas: Any = None


class ReasoningDone(ChatPacket, tag="reasoning_done", frozen=True):
    """Known and without effect."""


class CitationStart(ChatPacket, tag="citation_start", frozen=True):
    """Known and without effect."""


class CitationEnd(ChatPacket, tag="citation_end", frozen=True):
    """Known and without effect."""


class MessageEnd(ChatPacket, tag="message_end", frozen=True):
    """Known and without effect."""


class SearchSkipped(ChatPacket, tag="search_skipped", frozen=True):
    """Known and without effect."""


AnyChatPacket: TypeAlias = (
    MessageDelta
    | ReasoningDelta
    | MessageStart
    | ReasoningStart
    | ReasoningDone
    | Heartbeat
    | Branching
    | SectionEnd
    | BranchError
    | Stop
    | PlanStart
    | PlanDelta
    | CitationInfo
    | CitationDelta
    | CallDebug
    | ArgumentDelta
    | CitationStart
    | CitationEnd
    | MessageEnd
    | SearchSkipped
)
