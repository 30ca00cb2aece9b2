"""The endpoints that were to be left by 1 February 2026, for those who want to compare (wire reference 6).

They run the same agents and models at the same pace as the endpoint that replaced them; only the request and
the form of the reply are others. Real servers have dropped them, and so does `serve --without-deprecated`.
What is known of the old wire comes from documents. Served here is this:

    POST /chat/send-message   {chat_session_id, parent_message_id (null: the root), message, prompt_id,
                               file_descriptors, search_doc_ids, retrieval_options {run_search, real_time,
                               filters}, llm_override, allowed_tool_ids, forced_tool_ids}
      one JSON object a line, without an envelope:
        {"user_message_id": 1, "reserved_assistant_message_id": 2}
        {"tool_name": "run_search", "tool_args": {"query": "..."}}              a search begins
        {"top_documents": [...], "rephrased_query": "..."}                      what it found
        {"tool_name": "run_search", "tool_args": {...}, "tool_result": [...]}   it is over; so with any tool
        {"answer_piece": "30 "}                                                 text, a null after the last
        {"citations": [{"citation_num": 1, "document_id": "..."}]}
        {"message_id": 2, "parent_message": 1, "message": "30 days ...", "error": null, ...}   the end
        {"error": "...", "stack_trace": null}                                   the end of a failed one
      Reasoning, heartbeats and plans had no place in it. Calls that run side by side are told one by one.

    POST /chat/send-message-simple-api   {message, chat_session_id or persona_id, retrieval_options}
      {answer, answer_citationless, top_documents, cited_documents, error_msg, message_id, citation_info}
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, Field, ValidationError, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from harness.standin.catalogue import SEARCH, TOOLS
from harness.standin.chat import Counted, Form, Standin, answered
from harness.standin.opening import Prepared
from harness.standin.request import Ask, OnyxAsk, complaint
from harness.standin.wire import Beat

HEADERS = (
    (b"deprecation", b"@1769904000"),  # RFC 9745: since this moment
    (b"sunset", b"Sun, 01 Feb 2026 00:00:00 GMT"),  # RFC 8594
)


class _Retrieval(BaseModel):
    run_search: Literal["auto", "always", "never"] = "auto"
    real_time: bool = True
    filters: dict[str, Any] | None = None


class _Old(BaseModel):
    message: str
    retrieval_options: _Retrieval | None = None


class _SendMessage(_Old, protected_namespaces=()):
    chat_session_id: UUID
    parent_message_id: int | None
    prompt_id: int | None = None
    search_doc_ids: list[int] | None = None
    file_descriptors: list[dict[str, Any]] = Field(default_factory=list)
    llm_override: dict[str, Any] | None = None
    allowed_tool_ids: list[int] | None = None
    forced_tool_ids: list[int] | None = None

    @model_validator(mode="after")
    def _searches_or_not(self) -> Self:
        if self.search_doc_ids is None and self.retrieval_options is None:
            raise ValueError(
                "Either search_doc_ids or retrieval_options must be provided, but not both or neither."
            )
        return self

    def ask(self) -> Ask:
        """The request as today's endpoint would be sent it."""
        allowed = self.allowed_tool_ids
        if self.retrieval_options and self.retrieval_options.run_search == "never":
            known = [tool.id for tool in TOOLS] if allowed is None else allowed
            allowed = [each for each in known if each != SEARCH.id]
        return _today(
            self,
            chat_session_id=str(self.chat_session_id),
            parent_message_id=self.parent_message_id,
            file_descriptors=self.file_descriptors,
            llm_override=self.llm_override,
            allowed_tool_ids=allowed,
            forced_tool_id=next(iter(self.forced_tool_ids or ()), None),
        )


class _Simple(_Old):
    chat_session_id: UUID | None = None
    persona_id: int | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.chat_session_id is None and self.persona_id is None:
            raise ValueError("Either chat_session_id or persona_id must be provided")
        return self

    def ask(self) -> Ask:
        """The request as today's endpoint would be sent it."""
        if self.chat_session_id is not None:
            return _today(self, chat_session_id=str(self.chat_session_id), stream=False)
        return _today(self, chat_session_info={"persona_id": self.persona_id}, stream=False)


def _today(old: _Old, **fields: Any) -> Ask:
    filters = old.retrieval_options.filters if old.retrieval_options else None
    return OnyxAsk.model_validate({"message": old.message, "internal_search_filters": filters, **fields})


def routes() -> list[Route]:
    """Both of them."""
    return [
        Route("/chat/send-message", send_message, methods=["POST"]),
        Route("/chat/send-message-simple-api", send_message_simple_api, methods=["POST"]),
    ]


async def send_message(request: Request) -> Counted:
    """`POST /chat/send-message`."""
    return await _sent(request, _SendMessage.model_validate_json)


async def send_message_simple_api(request: Request) -> Counted:
    """`POST /chat/send-message-simple-api`."""
    return await _sent(request, _Simple.model_validate_json)


async def _sent(request: Request, read: Callable[[bytes], "_SendMessage | _Simple"]) -> Counted:
    began_ns = time.perf_counter_ns()
    standin: Standin = request.app.state.standin
    body = await request.body()
    number = standin.ledger.received(began_ns, request.url.path, body)
    standin.ledger.began()
    try:
        ask = read(body).ask()
    except ValidationError as error:
        refusal = JSONResponse(complaint(error, f"POST {request.url.path}"), 422, headers=_as_text())
        return Counted(refusal, standin.ledger)
    response = await answered(standin, ask, began_ns, number, form=FORM)
    return Counted(response, standin.ledger)


def _as_text() -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in HEADERS}


@dataclass(slots=True)
class _Open:
    """A call that has begun: its name of old, its arguments, and what is to be told when its turn comes."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    result: Any = None
    told: list[dict[str, Any]] = field(default_factory=list)

    def take(self, obj: dict[str, Any]) -> None:
        """Add what a packet of this call says."""
        match obj:
            case {"type": "search_tool_queries_delta", "queries": [query, *_]}:
                self.arguments = {"query": query}
            case {"type": "open_url_urls", "urls": urls}:
                self.arguments = {"urls": urls}
            case {"type": "custom_tool_args", "tool_args": arguments}:
                self.arguments = arguments
            case {"type": "search_tool_documents_delta" | "open_url_documents", "documents": documents}:
                self.told = [{"top_documents": documents, "rephrased_query": self.arguments.get("query")}]
                self.result = [each["document_id"] for each in documents]
            case {"type": "custom_tool_delta", "data": data}:
                self.result = data


class Flat:
    """From the packets of one reply to flat lines. Calls side by side are told one after the other."""

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared
        self._open: dict[tuple[int, int], _Open] = {}
        self._citations: list[dict[str, Any]] = []

    def __call__(self, beat: Beat) -> Iterator[Beat]:
        """What is told of one beat."""
        if not beat.line or beat.kind in {"ids", "garbage"}:
            yield beat
            return
        for line in self._lines(beat.kind, json.loads(beat.line)):
            yield Beat(0, beat.kind, json.dumps(line).encode("ascii"))

    def _lines(self, kind: str, line: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if kind in {"error", "bare"}:
            yield {"error": line["error"], "stack_trace": line.get("stack_trace")}
            return
        obj, placement = line.get("obj", {}), line.get("placement", {})
        match obj:
            case {"type": "message_delta", "content": piece}:
                yield {"answer_piece": piece}
            case {"type": "citation_info", "citation_number": number, "document_id": document}:
                self._citations.append({"citation_num": number, "document_id": document})
            case {"type": "stop"}:
                yield from self._end()
            case {"type": "section_end"} if placement.get("sub_turn_index") is None:
                yield from self._close((placement["turn_index"], placement["tab_index"]))
            case _ if placement.get("sub_turn_index") is None and "turn_index" in placement:
                self._detail((placement["turn_index"], placement["tab_index"]), obj)

    def _detail(self, at: tuple[int, int], obj: dict[str, Any]) -> None:
        match obj:
            case {"type": "search_tool_start", "is_internet_search": web}:
                self._open[at] = _Open("run_internet_search" if web else "run_search")
            case {"type": "open_url_start"}:
                self._open[at] = _Open("open_url")
            case {"type": "custom_tool_start", "tool_name": name}:
                self._open[at] = _Open(name)
            case _ if at in self._open:
                self._open[at].take(obj)

    def _close(self, at: tuple[int, int]) -> Iterator[dict[str, Any]]:
        call = self._open.pop(at, None)
        if call is None:
            return
        begun = {"tool_name": call.name, "tool_args": call.arguments}
        yield begun
        yield from call.told
        yield begun | {"tool_result": call.result}

    def _end(self) -> Iterator[dict[str, Any]]:
        yield {"answer_piece": None}
        if self._citations:
            yield {"citations": self._citations}
        for voice in self._prepared.voices[:1]:
            yield {
                "message_id": voice.message_id,
                "parent_message": None,
                "latest_child_message": None,
                "message": voice.draft.answer,
                "rephrased_query": None,
                "context_docs": {"top_documents": [voice.draft.shown(hit) for hit in voice.draft.documents]},
                "message_type": "assistant",
                "time_sent": datetime.now(UTC).isoformat(),
                "citations": {str(number): document for document, number in voice.draft.citations.items()},
                "error": None,
            }


def _simple(body: dict[str, Any]) -> dict[str, Any]:
    cited = {each["document_id"] for each in body["citation_info"]}
    return {
        "answer": body["answer"],
        "answer_citationless": body["answer_citationless"],
        "top_documents": body["top_documents"],
        "cited_documents": [each for each in body["top_documents"] if each["document_id"] in cited],
        "error_msg": body["error_msg"],
        "message_id": body["message_id"],
        "citation_info": body["citation_info"],
    }


FORM = Form(Flat, _simple, (b"", b"\n"), HEADERS)
