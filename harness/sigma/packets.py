"""Frames to lines: what kind each is, and a typed packet where it is one (reading rules R2, R3 and R9).

The fast road is one typed decode of the whole line, under a microsecond. It is strict, and servers are not: a
field of the wrong type, an unknown packet, half a surrogate pair or a NaN sends the line down the slow road,
which reads the JSON as Python's own reader does and keeps every field that fits; one that does not takes its
default. So a typical line costs nothing for the tolerance, and no line is lost for a field nobody reads.
Decoding everything to dicts would have been one road, ten times slower and without a type to hold on to.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias, get_args

import msgspec
from msgspec import Struct

from harness.sigma.chat_packets import AnyChatPacket, Heartbeat
from harness.sigma.frames import Frame
from harness.sigma.tolerant import REFUSED, as_text, fit_each, fitting, loads, whole_text
from harness.sigma.tool_packets import AnyToolPacket

At = tuple[int, int, int | None]
"""Where in the reply: turn, tab, and the sub turn of nested work or None."""


class Unknown(NamedTuple):
    """A packet of a type that has no name here: counted, shown, and without effect."""

    kind: str
    raw: bytes


Known: TypeAlias = AnyChatPacket | AnyToolPacket


class Packet(Struct, frozen=True, gc=False):
    """A line with `obj`. *at* is None for a heartbeat, *model* None where the wire names none."""

    obj: Known | Unknown
    at: At | None
    model: int | None

    @property
    def kind(self) -> str:
        """The type as it is on the wire, under the name an older server may have given it."""
        return self.obj.kind if isinstance(self.obj, Unknown) else str(type(self.obj).__struct_config__.tag)


class SessionLine(NamedTuple):
    """A session was created by this request."""

    chat_session_id: str | None


class IdsLine(NamedTuple):
    """The ids of the messages. *models* is how many answer side by side, None in an ordinary reply."""

    user_message_id: int | None
    assistant_message_ids: tuple[int, ...]
    models: int | None = None


class ErrorLine(NamedTuple):
    """The run of one model broke off, or of all where *model* is None."""

    code: str | None
    message: str
    retryable: bool | None
    model: int | None
    model_name: str | None


class UnknownLine(NamedTuple):
    """A JSON object of no kind we know."""

    raw: bytes


class BadLine(NamedTuple):
    """A text that is no JSON document, or (*parsed*) one that is no object."""

    parsed: bool


Line: TypeAlias = Packet | SessionLine | IdsLine | ErrorLine | UnknownLine | BadLine


class PacketRow(NamedTuple):
    """One row of packets.parquet: a packet, where it stood, and how much text it brought.

    *end* is its offset in the body, *bytes* the size of its JSON. *text* is null for packets that have none.
    """

    seq: int
    kind: str
    turn_index: int | None
    tab_index: int | None
    sub_turn_index: int | None
    model_index: int | None
    end: int
    bytes: int
    text: str | None


class _Placement(Struct, frozen=True, gc=False):
    turn_index: int | None = None
    tab_index: int | None = None
    sub_turn_index: int | None = None
    model_index: int | None = None


class _Where(Struct, frozen=True, gc=False):
    """Every form of saying where: `placement`, `turn_index` beside `obj`, `ind`."""

    placement: _Placement | None = None
    turn_index: int | None = None
    tab_index: int | None = None
    sub_turn_index: int | None = None
    model_index: int | None = None
    ind: int | None = None


class _Envelope(_Where, frozen=True, gc=False, kw_only=True):
    obj: Known


class _Facts(Struct, frozen=True, gc=False):
    """What the outer lines may say; see `_outer`."""

    chat_session_id: str | None = None
    user_message_id: int | None = None
    reserved_assistant_message_id: int | None = None
    error: Any = None
    error_code: str | None = None
    is_retryable: bool | None = None


class _Details(Struct, frozen=True, gc=False):
    model: str | None = None
    model_index: int | None = None


class _Response(Struct, frozen=True, gc=False):
    message_id: int | None = None


_decode: Callable[[bytes], _Envelope] = msgspec.json.Decoder(_Envelope).decode
_KINDS = {kind.__struct_config__.tag: kind for kind in get_args(Known)}
_TEXTS = ("content", "reasoning", "stdout", "answer")


def lines(frame: Frame) -> list[tuple[Line, Frame]]:
    """The lines in *frame*, each with its own frame: one, or the data lines of an event that is no JSON."""
    line = read_line(frame.data)
    if frame.parts and isinstance(line, BadLine) and not line.parsed:
        return [(read_line(part.data), part) for part in frame.parts]
    return [(line, frame)]


def read_line(data: bytes) -> Line:
    """The line whose text is *data*. Never raises: what cannot be read is a `BadLine`."""
    try:
        line = _decode(data)
    except REFUSED:
        return _read_slowly(data)
    return _placed(line.obj, line)


def packet_rows(frames: Iterable[Frame]) -> list[PacketRow]:
    """A row for every packet of a reply, in order."""
    rows: list[tuple[Packet, Frame]] = []
    for frame in frames:
        rows += [(line, part) for line, part in lines(frame) if isinstance(line, Packet)]
    return [_row(seq, packet, part) for seq, (packet, part) in enumerate(rows)]


def _row(seq: int, packet: Packet, frame: Frame) -> PacketRow:
    text = next((each for name in _TEXTS if (each := getattr(packet.obj, name, None)) is not None), None)
    if text is not None and not text.isascii():
        text = whole_text(text)
    turn, tab, sub = packet.at or (None, None, None)
    size = len(frame.data)
    return PacketRow(seq, packet.kind, turn, tab, sub, packet.model, frame.end, size, text)


def _placed(obj: Known | Unknown, line: _Where) -> Packet:
    """*obj* where its *line* says (R3). A heartbeat is nowhere, whatever the line says."""
    place: _Where | _Placement = line.placement or line
    if isinstance(obj, Heartbeat):
        return Packet(obj, None, place.model_index)
    if place is line and line.turn_index is None and line.ind is not None:
        return Packet(obj, (line.ind, 0, None), line.model_index)
    return Packet(obj, (place.turn_index or 0, place.tab_index or 0, place.sub_turn_index), place.model_index)


def _read_slowly(data: bytes) -> Line:
    try:
        fields = loads(data)
    except ValueError:
        return BadLine(parsed=False)
    if not isinstance(fields, dict):
        return BadLine(parsed=True)
    if "obj" in fields:
        return _tolerant_packet(fields, data)
    return _outer(fields, data)


def _tolerant_packet(fields: dict[str, Any], data: bytes) -> Packet:
    obj = fields["obj"] if isinstance(fields["obj"], dict) else {}
    kind = obj.get("type")
    name = whole_text(kind) if isinstance(kind, str) else "(no type)"
    known = _KINDS.get(name)
    return _placed(Unknown(name, data) if known is None else fitting(known, obj), fitting(_Where, fields))


def _plain(fields: dict[str, Any]) -> SessionLine | IdsLine | None:
    """The two lines that every reply has, as they nearly always are: to fit each field takes ten times it."""
    if "error" in fields or "responses" in fields:
        return None
    if "reserved_assistant_message_id" in fields:
        own, user = fields["reserved_assistant_message_id"], fields.get("user_message_id")
        return IdsLine(user, (own,)) if type(own) is int and type(user) is int else None
    session = fields.get("chat_session_id")
    return SessionLine(session) if type(session) is str else None


def _outer(fields: dict[str, Any], data: bytes) -> Line:
    """The kind of a line is told by its keys, in this order (R2)."""
    if (plain := _plain(fields)) is not None:
        return plain
    facts = fitting(_Facts, fields)
    if "error" in fields:
        details = fields.get("details")
        about = fitting(_Details, details if isinstance(details, dict) else {})
        message = as_text(facts.error)
        return ErrorLine(facts.error_code, message, facts.is_retryable, about.model_index, about.model)
    if "responses" in fields:
        responses = fields["responses"] if isinstance(fields["responses"], list) else []
        ids = [each.message_id for each in fit_each(responses, _Response)]
        known = tuple(each for each in ids if each is not None)
        return IdsLine(facts.user_message_id, known, len(responses))
    if "reserved_assistant_message_id" in fields:
        own = facts.reserved_assistant_message_id
        return IdsLine(facts.user_message_id, () if own is None else (own,))
    if "chat_session_id" in fields:
        return SessionLine(facts.chat_session_id)
    return UnknownLine(data)
