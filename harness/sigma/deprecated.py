"""The endpoints that `send-chat-message` replaced: requests in their form, flat replies as today's packets.

`/chat/send-message` and `/chat/send-message-simple-api` were to be left by 1 February 2026, and servers have
dropped them since. Where one still has them, a suite can be run through either, so that old and new can be
compared. All that is known of the old wire is in section 6 of the wire reference: lines without an envelope,
each told by its keys. Here each of them becomes the packets that say the same today, with the offset that it
had, and one reader reads both. A reader of its own would have to be right about everything twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from harness.sigma.frames import Frame, Frames
from harness.sigma.request import descriptors, filters, override
from harness.sigma.tolerant import loads
from harness.suite.prompts import Turn
from harness.suite.settings import Settings

PATHS = {
    "send-message": "/chat/send-message",
    "send-message-simple-api": "/chat/send-message-simple-api",
}
"""Where each endpoint is, by its name in a suite."""

_NEITHER = frozenset(
    {
        "llm_overrides",
        "deep_research",
        "include_citations",
        "additional_context",
        "mcp_headers",
        "origin",
        "parent_message_id",
    }
)
_SIMPLE = _NEITHER | {"llm_override", "allowed_tool_ids", "forced_tool_id", "files", "project_id"}


def unsupported(settings: Settings, turn: Turn | None = None) -> list[str]:
    """What *settings*, or the place of *turn* in a conversation, ask for that their endpoint cannot express.

    Empty for `send-chat-message`, and for what needs no place in the old request: `send-message` always
    streams and the simple API never does, so only the other way of `stream` is missing.
    """
    match settings.endpoint:
        case "send-message":
            missing, stream = _NEITHER, False
        case "send-message-simple-api":
            missing, stream = _SIMPLE, True
        case _:
            return []
    asked = [name for name in Settings.model_fields if getattr(settings, name) is not None]
    names = [name for name in asked if name in missing or (name == "stream" and settings.stream is stream)]
    places = ("after", "regenerate") if turn is not None else ()
    return names + [name for name in places if getattr(turn, name) is not None]


def deprecated_body(
    message: str,
    settings: Settings,
    *,
    session_id: str | None = None,
    parent_message_id: int | None = None,
) -> dict[str, Any]:
    """The JSON object to send for *message* to the endpoint of *settings*.

    `send-message` wants a session that was made before, and with it the last answer's id: None, which it
    takes for the root, in a new conversation. The simple API keeps its own place in a session, and without
    one makes it of a persona, but never says which it made.
    """
    chosen = {} if settings.search_filters is None else filters(settings.search_filters, dialect="onyx")
    search = {"run_search": "auto", "real_time": False, "filters": chosen}
    if settings.endpoint == "send-message-simple-api":
        body: dict[str, Any] = {"message": message, "retrieval_options": search}
        if session_id is not None:
            return body | {"chat_session_id": session_id}
        return body | {"persona_id": settings.persona_id or 0}
    body = {
        "chat_session_id": session_id,
        "parent_message_id": parent_message_id,
        "message": message,
        "prompt_id": None,
        "search_doc_ids": None,
        "file_descriptors": descriptors(settings.files or ()),
        "retrieval_options": search,
    }
    if settings.llm_override is not None:
        body["llm_override"] = override(settings.llm_override)
    if settings.allowed_tool_ids is not None:
        body["allowed_tool_ids"] = list(settings.allowed_tool_ids)
    if settings.forced_tool_id is not None:
        body["forced_tool_ids"] = [settings.forced_tool_id]
    return body


def flat_frames(body: bytes) -> list[Frame]:
    """The frames of a `send-message` reply, each flat line replaced by the packets that say the same.

    Lines that are what they are today (ids, errors, packets with `ind`) are left alone. Raises `LineTooLong`.
    """
    frames, flat = Frames(), _Flat()
    return [
        Frame(data, frame.end)
        for frame in (*frames.feed(body), *frames.close())
        for data in flat.lines(frame.data)
    ]


_TODAYS = frozenset({"obj", "error_code", "reserved_assistant_message_id", "responses"})
_SEARCHES = {"run_search": False, "internal_search": False, "run_internet_search": True, "web_search": True}
"""The names that searches had and have, and whether they are of the web."""

_SILENT = frozenset({"llm_selected_doc_indices", "final_context_docs", "context_docs", "stop_reason"})
"""Known and without effect: which of the documents were used, and a reason to stop before the last line."""


@dataclass(slots=True)
class _Flat:
    """Where in the reply we are: the old lines say it by their order alone."""

    turn: int = 0
    text_open: bool = False
    call: str | None = None
    tool_last: bool = False

    def lines(self, data: bytes) -> Iterator[bytes]:
        """*data* as it would be said today: no line, one or several."""
        try:
            fields = loads(data)
        except ValueError:
            fields = None
        if not isinstance(fields, dict) or fields.keys() & _TODAYS:
            yield data
            return
        objects = list(self._objects(fields))
        if objects or fields.keys() & _SILENT or "answer_piece" in fields:
            for obj in objects:
                yield msgspec.json.encode({"placement": {"turn_index": self.turn}, "obj": obj})
        else:
            yield data

    def _objects(self, fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
        match fields:
            case {"error": str()}:
                return
            case {"message_id": int(), "message": str()}:
                yield {"type": "stop", "stop_reason": None}
            case {"answer_piece": str(piece)}:
                yield from self._text(piece)
            case {"citations": list(citations)}:
                yield {"type": "citation_delta", "citations": citations}
            case {"citation_num": number, "document_id": str(document)}:
                yield {"type": "citation_info", "citation_number": number, "document_id": document}
            case _:
                yield from self._call(fields)

    def _call(self, fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
        match fields:
            case {"top_documents": list(documents)}:
                yield from self._found(documents, fields.get("rephrased_query"))
            case {"tool_name": str(name), "tool_result": result}:
                yield from self._result(name, fields.get("tool_args"), result)
            case {"tool_name": str(name)}:
                yield from self._start(name, fields.get("tool_args"))

    def _text(self, piece: str) -> Iterator[dict[str, Any]]:
        if not self.text_open:
            self.turn += self.tool_last
            self.text_open, self.tool_last = True, False
            yield {"type": "message_start"}
        yield {"type": "message_delta", "content": piece}

    def _start(self, name: str, arguments: Any) -> Iterator[dict[str, Any]]:
        """A call begins: after text, or after another call, that is a step of its own."""
        self.turn += self.text_open or self.tool_last
        self.text_open, self.tool_last = False, True
        self.call = name
        if name not in _SEARCHES:
            yield {"type": "custom_tool_start", "tool_name": name}
            if arguments is not None:
                yield {"type": "custom_tool_args", "tool_name": name, "tool_args": arguments}
            return
        yield {"type": "search_tool_start", "is_internet_search": _SEARCHES[name]}
        query = arguments.get("query") if isinstance(arguments, dict) else arguments
        if isinstance(query, str):
            yield {"type": "search_tool_queries_delta", "queries": [query]}

    def _found(self, documents: list[Any], query: Any) -> Iterator[dict[str, Any]]:
        """Documents: of the search that runs, or of one that only its documents tell of."""
        announced = self.call in _SEARCHES
        if not announced:
            yield from self._start("run_search", query)
        yield {"type": "search_tool_documents_delta", "documents": documents}
        if not announced:
            yield from self._end()

    def _result(self, name: str, arguments: Any, result: Any) -> Iterator[dict[str, Any]]:
        if self.call != name:
            yield from self._start(name, arguments)
        if name not in _SEARCHES:
            yield {
                "type": "custom_tool_delta",
                "tool_name": name,
                "tool_id": 0,
                "data": result,
                "error": None,
            }
        yield from self._end()

    def _end(self) -> Iterator[dict[str, Any]]:
        self.call = None
        yield {"type": "section_end"}
