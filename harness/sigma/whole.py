"""Replies that come whole: answers that were not streamed (R11) and HTTP errors (R12).

Which of the two readers an answer needs is told by its content as well as by its header, since a server that
errs may put either under any content type: one JSON document that is no line of a stream is a whole answer.
"""

from typing import Any

from msgspec import Struct

from harness.sigma.calls import Status, ToolCall
from harness.sigma.chat_packets import CitationInfo
from harness.sigma.documents import Documents, Search, distinct, found_documents
from harness.sigma.reply import Citation, Outcome, Transcript, WireError
from harness.sigma.tolerant import as_text, fitting, loads, shallow
from harness.sigma.tool_packets import Tool

_LINE_KEYS = frozenset({"obj", "error", "responses", "reserved_assistant_message_id", "chat_session_id"})
_ANSWER_KEYS = frozenset({"answer", "error_msg"})


class _Call(Struct, frozen=True, gc=False):
    tool_name: str | None = None
    tool_arguments: Any = None
    tool_result: Any = None
    search_docs: Documents = None


class _Answer(Struct, frozen=True, gc=False):
    answer: str = ""
    answer_citationless: str | None = None
    pre_answer_reasoning: str | None = None
    tool_calls: list[_Call] | None = None
    top_documents: Documents = None
    citation_info: list[CitationInfo] | None = None
    message_id: int | None = None
    chat_session_id: str | None = None
    error_msg: Any = None


def whole_answer(body: bytes, media_type: str) -> Any:
    """The JSON document in *body* if it is an answer that was not streamed, else None: read it as a stream.

    Under `application/json` that is a bare string, or an object that is no line of a stream (R2) or has
    `answer` or `error_msg`. Under a type of no meaning the object must have one of those two; under
    `text/event-stream` it must have `answer` and `message_id`, which no line of a stream has.
    """
    streamed = media_type == "text/event-stream"
    if streamed and b'"message_id"' not in body:
        return None
    try:
        document = loads(body.removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        return None
    if isinstance(document, str):
        return None if streamed else document
    keys = document.keys() if isinstance(document, dict) else frozenset()
    if media_type == "application/json" and isinstance(document, dict) and not keys & _LINE_KEYS:
        return document
    wanted = keys >= {"answer", "message_id"} if streamed else keys & _ANSWER_KEYS
    return document if wanted else None


def read_answer(document: str | dict[str, Any]) -> Transcript:
    """The transcript of an answer that was not streamed (R11). It has no marks: everything came at once."""
    fields = {"answer": document} if isinstance(document, str) else document
    told = fitting(_Answer, fields)
    listed = [call.search_docs or () for call in told.tool_calls or ()]
    found = distinct(each for documents in (*listed, told.top_documents or ()) for each in documents)
    error = None if told.error_msg is None else WireError(None, as_text(told.error_msg))
    return Transcript(
        outcome=_outcome(told.answer, error),
        answer=told.answer,
        reasoning=(told.pre_answer_reasoning,) if told.pre_answer_reasoning else (),
        tool_calls=tuple(_tool_call(nth, call) for nth, call in enumerate(told.tool_calls or (), 1)),
        citations=_citations(told.citation_info or []),
        documents=tuple(str(document.document_id) for document in found),
        chat_session_id=told.chat_session_id,
        assistant_message_ids=() if told.message_id is None else (told.message_id,),
        error=error,
        searched=_searched(told),
        found=found,
        answer_citationless=told.answer_citationless,
    )


def _searched(told: _Answer) -> tuple[Search, ...]:
    """The internal searches. The simple API lists no calls: its documents are of one search."""
    if told.tool_calls is None:
        found = found_documents(told.top_documents)
        return (Search(None, found),) if found else ()
    internal = (call for call in told.tool_calls if call.tool_name == Tool.SEARCH)
    return tuple(Search(None, found_documents(call.search_docs)) for call in internal)


def read_http_error(body: bytes) -> Transcript:
    """The transcript of an answer with status 400 or above, whatever shape its body has (R12)."""
    text = body.removeprefix(b"\xef\xbb\xbf")
    try:
        document = loads(text)
    except ValueError:
        document = None
    fields = document if isinstance(document, dict) else {}
    code = fields.get("error_code")
    messages = (fields.get("detail"), fields.get("message"), text.decode(errors="replace"))
    message = next(each for each in messages if isinstance(each, str))
    return Transcript(
        outcome=Outcome.ERROR,
        error=WireError(code if isinstance(code, str) else None, message),
    )


def _outcome(answer: str, error: WireError | None) -> Outcome:
    if error is not None:
        return Outcome.ERROR
    return Outcome.SUCCESS if answer.strip() else Outcome.EMPTY


def _citations(told: list[CitationInfo]) -> tuple[Citation, ...]:
    first: dict[str, Citation] = {}
    for each in told:
        if each.document_id is not None:
            first.setdefault(each.document_id, Citation(each.citation_number, each.document_id))
    return tuple(first.values())


def _tool_call(nth: int, call: _Call) -> ToolCall:
    return ToolCall(
        call_id=f"c{nth}",
        name=call.tool_name,
        arguments=shallow(call.tool_arguments),
        placement=None,
        status=Status.ERROR if _says_error(call.tool_result) else Status.UNKNOWN,
        result=shallow(call.tool_result),
    )


def _says_error(result: Any) -> bool:
    """Whether a tool's result is a JSON object (mostly in a string) with an `error` that is not null."""
    if isinstance(result, str):
        try:
            result = loads(result.encode(errors="replace"))
        except ValueError:
            return False
    return isinstance(result, dict) and result.get("error") is not None
