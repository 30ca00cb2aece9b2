"""Replies made by hand, and exchanges that brought them, for tests that need no server."""

import json
from typing import Any

from harness.result import Exchange, Failure, Result, Skip, kept, with_transcript

MS = 1_000_000


def packet(kind: str, turn: int = 0, tab: int = 0, sub: int | None = None, **fields: Any) -> str:
    """One packet as a line of the wire, without its newline."""
    placement = {"turn_index": turn, "tab_index": tab, "sub_turn_index": sub, "model_index": 0}
    return json.dumps({"placement": placement, "obj": {"type": kind, **fields}})


SESSION_ID = "5b0f5e0e-2c4e-4a5e-9c1d-0d8a4f6a1b11"
SESSION = json.dumps({"chat_session_id": SESSION_ID, "incognito": False})
IDS = json.dumps({"user_message_id": 1, "reserved_assistant_message_id": 2})
START = packet("message_start", final_documents=None)
STOP = packet("stop", stop_reason=None)


def delta(text: str, turn: int = 0) -> str:
    """A piece of answer text."""
    return packet("message_delta", turn, content=text)


def answer(*pieces: str) -> list[str]:
    """The lines of a whole reply with this answer."""
    return [SESSION, IDS, START, *map(delta, pieces), STOP]


def searched(*lines: str, turn: int = 0) -> list[str]:
    """The lines of an internal search that found nothing in particular, before *lines*."""
    return [
        packet("search_tool_start", turn, is_internet_search=False),
        packet("search_tool_queries_delta", turn, queries=["q"]),
        packet("section_end", turn),
        *lines,
    ]


def found(*documents: dict[str, Any], applied: dict[str, Any] | None = None, turn: int = 0) -> list[str]:
    """The lines of an internal search that returned *documents*, and said which filters it *applied*."""
    delta = [] if applied is None else [packet("search_tool_filter_delta", turn, **applied)]
    return [
        packet("search_tool_start", turn, is_internet_search=False),
        *delta,
        packet("search_tool_queries_delta", turn, queries=["q"]),
        packet("search_tool_documents_delta", turn, documents=documents),
        packet("section_end", turn),
    ]


def ids_of(*assistants: int) -> str:
    """The ids line of models side by side."""
    told = [{"message_id": number, "model_name": "a label"} for number in assistants]
    return json.dumps({"user_message_id": 1, "responses": told})


def of_model(line: str, model: int) -> str:
    """The packet in *line* as one of that model."""
    fields = json.loads(line)
    fields["placement"]["model_index"] = model
    return json.dumps(fields)


def side_by_side(*shares: list[str]) -> list[str]:
    """The lines of a reply of several models, a share of packets each; the ids of their answers are 2, 3 …"""
    packets = [of_model(line, model) for model, share in enumerate(shares) for line in share]
    return [SESSION, ids_of(*range(2, 2 + len(shares))), *packets]


def exchange(
    lines: list[str],
    *,
    turn_id: str = "1",
    attempt: int = 1,
    status: int | None = 200,
    content_type: str = "text/event-stream; charset=utf-8",
    sent_ns: int = 1000 * MS,
    every_ns: int = 10 * MS,
    failure: Failure | None = None,
    request: dict[str, Any] | None = None,
) -> Exchange:
    """An exchange whose lines came one read each, *every_ns* apart, the first so long after it was sent."""
    ends, body = [], b""
    for line in lines:
        body += line.encode() + b"\n"
        ends.append(len(body))
    stamps = tuple(sent_ns + every_ns * number for number in range(1, 1 + len(lines)))
    text, b64 = kept(body)
    return with_transcript(
        Exchange(
            exchange_id=f"t.{turn_id}.{attempt}",
            turn_id=turn_id,
            attempt=attempt,
            request=request or {"message": "hi"},
            began_ns=sent_ns - MS,
            sent_ns=sent_ns,
            ended_ns=stamps[-1] if stamps else sent_ns,
            http_status=status,
            content_type=content_type,
            stamps="kernel",
            text=text,
            b64=b64,
            read_ends=tuple(ends),
            arrived_ns=stamps,
            seen_ns=tuple(stamp + 5000 for stamp in stamps),
            failure=failure,
        )
    )


def result(
    *exchanges: Exchange, variant: str = "base", skip: Skip | None = None, trial_id: str = "t"
) -> Result:
    """A trial with these exchanges."""
    return Result(
        trial_id=trial_id,
        case_id="case",
        variant=variant,
        repeat=1,
        phase="main",
        began_ns=1,
        ended_ns=2,
        exchanges=exchanges,
        skip=skip,
    )
