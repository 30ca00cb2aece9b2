"""`harness read FILE`: a recorded reply, put together.

Two kinds of file are told apart by their first line: a body as it was on the wire, and a record of chunks
with the second at which each of them came (a JSON object with `"meta": true`, then one object per chunk). The
second kind knows times, so only there are they printed.
"""

import base64
import json
import re
import sys
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.sigma.transcript import Citation, ModelReading, ToolCall, Transcript

_STREAM = "text/event-stream"
_CONTROLS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"} | {0x7F: 0x2421}


class _Recording(NamedTuple):
    """A reply as a file holds it; *reads* are (seconds since the request, bytes so far), None for a body."""

    body: bytes
    status: int = 200
    content_type: str = _STREAM
    reads: tuple[tuple[float, int], ...] | None = None


def read(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A body, or a .chunks.jsonl; - reads standard input.")
    ],
    status: Annotated[
        int | None, typer.Option(help="The HTTP status it came with.", show_default="200")
    ] = None,
    content_type: Annotated[
        str | None, typer.Option(help="The content type it came with.", show_default=_STREAM)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the reading as one JSON document.")] = False,
) -> None:
    """Put a recorded reply together: the answer, the tool calls, and how it ended.

    A plain body is taken for a stream with status 200, unless the options say otherwise; a record of chunks
    says itself, and the options overrule it. Its times are milliseconds since the request was sent.
    """
    from harness.report.visible import as_json as printable_json
    from harness.sigma.frames import LineTooLong
    from harness.sigma.transcript import read_body, reading

    recording = _load(file)
    try:
        transcript = read_body(
            recording.body,
            status=recording.status if status is None else status,
            content_type=recording.content_type if content_type is None else content_type,
        )
    except LineTooLong as error:
        raise UsageError(f"{file}: {error}") from error
    text = printable_json(reading(transcript)) if as_json else _view(transcript, recording)
    typer.echo(text.encode())


def _load(file: str) -> _Recording:
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}; give a recorded reply, or -") from error
    first, _, rest = content.partition(b"\n")
    meta = _object(first)
    if meta.get("meta") is not True:
        return _Recording(content)
    head = meta.get("head")
    declared = re.search(
        r"^content-type:[ \t]*([^\r\n]+)", head if isinstance(head, str) else "", re.I | re.M
    )
    status = meta.get("status")
    body = bytearray()
    reads: list[tuple[float, int]] = []
    for seconds, chunk in _chunks(rest, file):
        body += chunk
        reads.append((seconds, len(body)))
    return _Recording(
        bytes(body),
        status if isinstance(status, int) else 200,
        declared.group(1) if declared else _STREAM,
        tuple(reads),
    )


def _chunks(lines: bytes, file: str) -> Iterator[tuple[float, bytes]]:
    for number, line in enumerate(lines.split(b"\n"), 2):
        if not line.strip():
            continue
        match _object(line):
            case {"t": int() | float() as seconds, "b64": str(encoded)} if _is_base64(encoded):
                yield seconds, base64.b64decode(encoded)
            case {"t": int() | float() as seconds, "text": str(text)}:
                yield seconds, text.encode(errors="surrogatepass")
            case _:
                raise UsageError(
                    f"{file}:{number}: not a chunk; a chunk is one line like "
                    '{"t": 0.25, "bytes": 3, "text": "abc"}, or with "b64" for "text"'
                )


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        return False
    return True


def _object(line: bytes) -> dict[str, Any]:
    """The JSON object in *line*, empty if it is none."""
    from harness.sigma.tolerant import loads

    try:
        document = loads(line)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _view(transcript: "Transcript", recording: _Recording) -> str:
    """A reply for people: a label, and beside it what there is; what is not there has no line."""
    sections: list[tuple[str, list[str]]] = [
        ("outcome", [_ending(transcript)]),
        ("answer", [transcript.answer]),
        ("narration", list(transcript.narration)),
        ("plan", [transcript.plan or ""]),
        ("reasoning", list(transcript.reasoning)),
        ("tool calls", [_call(call, recording) for call in transcript.tool_calls]),
        ("citations", [_citation(each) for each in transcript.citations]),
        ("documents", list(transcript.documents)),
        *((f"model {each.model_index}", [_model(each)]) for each in transcript.models or ()),
        ("ids", [_ids(transcript)]),
        ("counts", [_counts(transcript)]),
        ("times", _times(transcript, recording)),
    ]
    return "\n".join(_section(label, texts) for label, texts in sections if any(texts))


def _section(label: str, texts: list[str]) -> str:
    from harness.report.visible import cut

    lines = cut("\n".join(texts).translate(_CONTROLS)).split("\n")
    return "\n".join(f"{label if nth == 0 else '':<12}{line}".rstrip() for nth, line in enumerate(lines))


def _ending(reply: "Transcript | ModelReading") -> str:
    if reply.error is None:
        return reply.outcome
    return f"{reply.outcome}: {reply.error.code or 'no code'}: {reply.error.message}"


def _model(share: "ModelReading") -> str:
    calls = f", {len(share.tool_calls)} tool calls" if share.tool_calls else ""
    return f"{_ending(share)}{calls}: {share.answer}"


def _call(call: "ToolCall", recording: _Recording) -> str:
    began, ended = _at(call.began, recording), _at(call.ended, recording)
    took = "" if began is None or ended is None else f"{ended - began:,.1f} ms  "
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    return f"{call.call_id}  {call.name or 'unknown tool'}  {call.status}  {took}{arguments}"


def _citation(citation: "Citation") -> str:
    return f"[{'?' if citation.number is None else citation.number}] {citation.document_id}"


def _ids(transcript: "Transcript") -> str:
    told = [("session", transcript.chat_session_id), ("user message", transcript.user_message_id)]
    told += [("assistant message", each) for each in transcript.assistant_message_ids]
    return ", ".join(f"{name} {value}" for name, value in told if value is not None)


def _counts(transcript: "Transcript") -> str:
    kinds = ", ".join(f"{kind} {count}" for kind, count in transcript.unknown_kinds.items())
    unknown = f"{transcript.unknown_packets} unknown" + (f" ({kinds})" if kinds else "")
    known = f"{transcript.packets} packets, {transcript.heartbeats} heartbeats"
    return f"{known}, {unknown}, {transcript.bad_lines} bad lines"


def _times(transcript: "Transcript", recording: _Recording) -> list[str]:
    marks = transcript.marks
    named = {
        "session": marks.session,
        "ids": marks.ids,
        "first packet": marks.first_packet,
        "first reasoning": marks.first_reasoning,
        "first tool": marks.first_tool,
        "first document": marks.first_document,
        "first text": marks.first_text,
        "first answer": marks.first_answer,
        "last answer": marks.last_answer,
        "stop": marks.stop,
    }
    times = ((name, _at(offset, recording)) for name, offset in named.items())
    return [f"{name:<16}{time:>12,.1f} ms" for name, time in times if time is not None]


def _at(offset: int | None, recording: _Recording) -> float | None:
    """Milliseconds at which the byte before *offset* came."""
    if offset is None or recording.reads is None:
        return None
    nth = bisect_left(recording.reads, offset, key=lambda each: each[1])
    return recording.reads[nth][0] * 1000 if nth < len(recording.reads) else None
