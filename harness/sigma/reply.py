"""What one reply said: the transcript, and the reading that the rules define.

A transcript holds what the reply said and *where* in the body, never when: offsets outlive every clock, so
the times of a recorded exchange can be worked out again from its reads. It goes into files, hence frozen
structs, and everything in it can be written as JSON.
"""

from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct

from harness.sigma.calls import ToolCall
from harness.sigma.documents import FoundDocument, Search


class Outcome(StrEnum):
    """How one reply ended (R10). Cut off before it ended is `truncated`; ended without a word is `empty`."""

    SUCCESS = "success"
    CANCELLED = "cancelled"
    ERROR = "error"
    TRUNCATED = "truncated"
    EMPTY = "empty"


class Citation(Struct, frozen=True):
    """A document the answer cites, and the number it has in the text, null where the wire names none."""

    number: int | None
    document_id: str


class WireError(Struct, frozen=True):
    """What Sigma says went wrong; *code* is null in the bare form and for most HTTP errors."""

    code: str | None
    message: str


class Marks(Struct, frozen=True, kw_only=True):
    """Offsets in the body, each just after the line that brought the event; null where it did not come.

    *session* and *ids* are of the reply, the rest of one model. *first_packet* is no heartbeat, *first_plan*
    and *first_agent* are of a deep research; *first_text* is the first piece of any text block at top level;
    *first_answer* and *last_answer* are of the final block, null when the answer is empty, and *answer_ends*
    has every piece of it. *stop* is null when an error ended the run.
    """

    session: int | None = None
    ids: int | None = None
    first_packet: int | None = None
    first_reasoning: int | None = None
    first_tool: int | None = None
    first_document: int | None = None
    first_plan: int | None = None
    first_agent: int | None = None
    first_text: int | None = None
    first_answer: int | None = None
    last_answer: int | None = None
    stop: int | None = None
    answer_ends: tuple[int, ...] = ()


class ModelReading(Struct, frozen=True, kw_only=True):
    """One model's share of a side-by-side reply; *model_seen* is the model that an error line named."""

    model_index: int
    outcome: Outcome
    answer: str
    narration: tuple[str, ...]
    reasoning: tuple[str, ...]
    tool_calls: tuple[ToolCall, ...]
    citations: tuple[Citation, ...]
    documents: tuple[str, ...]
    error: WireError | None
    searched: tuple[Search, ...] = ()
    found: tuple[FoundDocument, ...] = ()
    marks: Marks = Marks()
    model_seen: str | None = None


class Transcript(Struct, frozen=True, kw_only=True):
    """One reply, put together; with several models side by side the texts are model 0's, *models* has all.

    *searched* is what internal searches showed of the filters they applied and the documents they found;
    *found* are the *documents* of all tools, in the same order, with what was shown of them.
    *retryable* and *model_seen* are what an error line says of itself: a hint, and the model that really ran.
    *answer_citationless* comes only with answers that were not streamed.
    """

    outcome: Outcome
    answer: str = ""
    narration: tuple[str, ...] = ()
    plan: str | None = None
    reasoning: tuple[str, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    citations: tuple[Citation, ...] = ()
    documents: tuple[str, ...] = ()
    chat_session_id: str | None = None
    user_message_id: int | None = None
    assistant_message_ids: tuple[int, ...] = ()
    error: WireError | None = None
    heartbeats: int = 0
    unknown_packets: int = 0
    packets: int = 0
    bad_lines: int = 0
    models: tuple[ModelReading, ...] | None = None
    searched: tuple[Search, ...] = ()
    found: tuple[FoundDocument, ...] = ()
    unknown_kinds: dict[str, int] = {}
    marks: Marks = Marks()
    retryable: bool | None = None
    model_seen: str | None = None
    answer_citationless: str | None = None


_FIELDS = (
    *("outcome", "answer", "narration", "plan", "reasoning", "tool_calls", "citations", "documents"),
    *("chat_session_id", "user_message_id", "assistant_message_ids", "error"),
    *("heartbeats", "unknown_packets", "packets", "bad_lines"),
)
_MODEL_FIELDS = (
    *("model_index", "outcome", "answer", "narration", "reasoning", "tool_calls", "citations", "documents"),
    "error",
)


def reading(transcript: Transcript) -> dict[str, Any]:
    """Exactly the fields of the reading rules, as JSON values; `models` only where several answered."""
    told = _plain(transcript)
    fields = {name: told[name] for name in _FIELDS}
    if transcript.models is not None:
        shares = map(_plain, transcript.models)
        fields["models"] = [{name: share[name] for name in _MODEL_FIELDS} for share in shares]
    return fields


def _plain(part: Transcript | ModelReading) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(part))
    fields["tool_calls"] = [
        {name: call[name] for name in ("name", "arguments", "placement", "status")}
        for call in fields["tool_calls"]
    ]
    return fields
