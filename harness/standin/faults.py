"""How a scripted reply goes wrong: as functions from beats to beats, and from lines to writes.

Two places, because there are two kinds of fault: those that a server commits (an error line, a missing
stop, a lone section end) change the beats; those that the way to the client commits (a line in two pieces,
many lines in one) change the bytes. Resets are a beat too, and are carried out where the socket is.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from harness.standin import hostile
from harness.standin.draft import Draft
from harness.standin.simulate import Fault, Script, duration
from harness.standin.wire import CUTS, Beat, heartbeat

_TEXT = frozenset({"message_start", "citation_info", "message_delta", "stop"})
_FINAL = frozenset(
    {
        "VALIDATION_ERROR",
        "CONTEXT_TOO_LONG",
        "REQUEST_TOO_LARGE",
        "AUTH_ERROR",
        "PERMISSION_DENIED",
        "NOT_FOUND",
        "CONTENT_POLICY",
        "MODEL_REFUSAL",
        "BUDGET_EXCEEDED",
    }
)
_LINES = frozenset({"badline", "unknown", "heartbeat", "section_end", "packet_error"})


def struck(script: Script, seed: str) -> Script:
    """The script with its faults, or without them where its `share` spares this reply."""
    spared = script.share < 1 and Random(seed).random() >= script.share  # noqa: S311  a fault, no secret
    return script.without_faults() if spared else script


def _strike(beats: Iterator[Beat], fault: Fault, extra: Sequence[Beat], *, ends: bool) -> Iterator[Beat]:
    """The beats with *extra* put in after so many words; nothing follows it if it *ends* the reply."""
    said, done = 0, False
    for beat in beats:
        if not done and said >= fault.after and beat.kind in _TEXT:
            done = True
            yield from extra
            if ends:
                return
        said += beat.kind == "message_delta"
        yield beat


def _stall(beats: Iterator[Beat], fault: Fault) -> Iterator[Beat]:
    said, done = 0, False
    for beat in beats:
        if not done and said >= fault.after and beat.kind in _TEXT:
            done = True
            yield beat._replace(wait=beat.wait + duration(fault.argument))
        else:
            yield beat
        said += beat.kind == "message_delta"


def _line(fault: Fault, draft: Draft) -> Beat:
    match fault.name:
        case "badline":
            return Beat(0, "garbage", b'{"placement": {"turn_index": 0, "tab_ind')
        case "heartbeat":
            return heartbeat()
        case "unknown":
            return draft.packet({"type": "weather_report", "mood": "fair"})
    return draft.packet({"type": "section_end" if fault.name == "section_end" else "error"})


def _failed(beats: Iterator[Beat], fault: Fault, draft: Draft, *, attacks: bool) -> Iterator[Beat]:
    """The beats up to an error line, which is made when its moment has come."""
    for beat in _strike(beats, fault, [Beat(0, "error")], ends=True):
        if beat.kind == "error" and not beat.line:
            code = fault.argument or "SERVICE_UNAVAILABLE"
            says = f"scripted failure: {code}" + (f" {hostile.TEXT}" if attacks else "")
            yield draft.fail(says, code, retryable=code not in _FINAL)
        else:
            yield beat


def afflicted(beats: Iterator[Beat], script: Script, draft: Draft) -> Iterator[Beat]:
    """The beats of a scripted reply with all its faults."""
    for fault in script.faults:
        if fault.name in CUTS:
            beats = _strike(beats, fault, [Beat(0, fault.name)], ends=True)
        elif fault.name in _LINES:
            beats = _strike(beats, fault, [_line(fault, draft)], ends=False)
        elif fault.name == "stall":
            beats = _stall(beats, fault)
        elif fault.name == "error":
            beats = _failed(beats, fault, draft, attacks=script.fault("hostile") is not None)
        elif fault.name == "bare":
            beats = _strike(beats, fault, [Beat(0, "bare", b'{"error": "scripted failure"}')], ends=True)
    return beats


def old_envelope(line: bytes, envelope: str) -> bytes:
    """A packet line as older servers wrote it: `turn_index` at the top, or `ind`."""
    packet = json.loads(line)
    placement = packet.pop("placement", None)
    if placement is None:
        return line
    head = {"ind": placement["turn_index"]} if envelope == "ind" else placement
    return json.dumps(head | packet).encode("ascii")


def _unescaped(line: bytes) -> bytes:
    try:
        return json.dumps(json.loads(line), ensure_ascii=False).encode("utf-8")
    except ValueError:
        return line


def _inside_a_character(line: bytes) -> list[bytes]:
    """The line in two, cut inside its first character beyond ASCII if it has one."""
    for at, byte in enumerate(line):
        if byte >= 0x80:
            return [line[: at + 1], line[at + 1 :]]
    return [line]


class Shape:
    """How lines become writes. Holds back lines while a batch fills; `rest` gives what is left at the end."""

    def __init__(self, script: Script | None, frame: tuple[bytes, bytes]) -> None:
        script = script or Script()
        self._before, self._after = frame
        self._envelope = script.envelope
        self._faults = frozenset(fault.name for fault in script.faults)
        self._batch = int(fault.argument) if (fault := script.fault("batch")) else 1
        self._held: list[bytes] = []

    def writes(self, beat: Beat) -> list[bytes]:
        """The bytes of one line, in as many writes as they take now; none while a batch fills."""
        line = beat.line
        if self._envelope != "placement" and beat.kind not in {"garbage", "bare"}:
            line = old_envelope(line, self._envelope)
        if "utf8" in self._faults:
            line = _unescaped(line)
        unended = beat.kind == "bare" or (beat.kind == "stop" and "nonewline" in self._faults)
        framed = self._before + line + (b"" if unended else self._after)
        if self._batch == 1:
            return _pieces(framed, self._faults)
        self._held.append(framed)
        return self.rest() if len(self._held) >= self._batch else []

    def rest(self) -> list[bytes]:
        """What has been held back, in one write."""
        held, self._held = b"".join(self._held), []
        return [held] if held else []


def _pieces(framed: bytes, names: frozenset[str]) -> list[bytes]:
    if "utf8" in names:
        return _inside_a_character(framed)
    if "split" in names:
        return [framed[: len(framed) // 2], framed[len(framed) // 2 :]]
    if "bytes" in names:
        return [framed[at : at + 1] for at in range(len(framed))]
    return [framed]


def http_reply(fault: Fault) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a refusal before any stream, each in the shape that servers give it."""
    status, _, form = fault.argument.partition("-")
    code = int(status)
    if form == "html":
        page = f"<html><head><title>{code}</title></head><body><h1>{code}</h1><hr>nginx</body></html>\n"
        return code, {"content-type": "text/html"}, page.encode()
    headers = {"content-type": "application/json"}
    body: dict[str, Any] = {"error_code": "INTERNAL_ERROR", "detail": f"scripted {code}"}
    match code:
        case 403:
            body = {"detail": "Access denied. User is not authenticated."}
        case 422 if form == "detail":
            body = {"detail": [{"type": "missing", "loc": ["body", "message"], "msg": "Field required"}]}
        case 422:
            said = (
                "1 validation error: {'type': 'missing', 'loc': ('body', 'message'), 'msg': 'Field required'}"
            )
            body = {"status_code": 422, "message": said, "data": None}
        case 429:
            now = datetime.now(UTC)
            midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC)
            seconds = int((midnight - now).total_seconds())
            headers["retry-after"] = str(seconds)
            body = {
                "scope": "global",
                "reset_at": midnight.isoformat(),
                "retry_after_seconds": seconds,
                "error_code": "RATE_LIMITED",
                "detail": "You've reached the usage budget for today.",
            }
        case 500:
            body = {"detail": "scripted failure"}
        case 503:
            body = {
                "detail": "Database connection pool timeout",
                "error": "QueuePool limit of size 40 overflow 10 reached, connection timed out",
            }
    return code, headers, json.dumps(body, separators=(",", ":")).encode()
