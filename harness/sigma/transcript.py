"""Frames to a transcript: the reading rules (R1 to R12) as one fold over the lines of a reply.

`Trace` is fed frame by frame and may be closed at any moment, since a reply may end at any moment: what came
before a cut, a reset or an error line is kept and read by the same rules. Nothing is decided while it streams
that only the end can tell: which block of text is the answer, how a call went, what the reply came to.

No clock is read here. The fold notes offsets in the body, and whoever kept the stamps of the reads turns them
into times. Stamps handed through the fold would tie every definition of a time to the moment of reading.
"""

from collections import Counter

from harness.sigma.calls import Status, ToolCall
from harness.sigma.chat_packets import MessageDelta, Stop
from harness.sigma.deprecated import flat_frames
from harness.sigma.frames import Frame, Frames
from harness.sigma.packets import (
    BadLine,
    ErrorLine,
    IdsLine,
    Packet,
    SessionLine,
    Unknown,
    UnknownLine,
    lines,
    read_line,
)
from harness.sigma.reply import Citation, Marks, ModelReading, Outcome, Transcript, WireError, reading
from harness.sigma.share import Ending, Share, failed, stopped
from harness.sigma.tolerant import encodable
from harness.sigma.whole import read_answer, read_http_error, whole_answer

__all__ = [
    "Citation",
    "Marks",
    "ModelReading",
    "Outcome",
    "Status",
    "ToolCall",
    "Trace",
    "Transcript",
    "WireError",
    "read_body",
    "reading",
]


def read_body(
    body: bytes | bytearray,
    *,
    status: int = 200,
    content_type: str = "text/event-stream",
    endpoint: str = "send-chat-message",
) -> Transcript:
    """The transcript of a whole reply, streamed or not, whatever its HTTP status.

    *endpoint* is what it answers: the lines of the deprecated `send-message` are flat.

    A status of 400 or above is an HTTP error. Otherwise the body is a stream unless it is one JSON document
    that `whole_answer` takes for an answer. Raises `LineTooLong`.
    """
    body = bytes(body)
    media_type = content_type.partition(";")[0].strip().lower()
    if status >= 400:
        return encodable(read_http_error(body))
    if (document := whole_answer(body, media_type)) is not None:
        return encodable(read_answer(document))
    trace = Trace()
    for frame in frames_of(body, endpoint):
        trace.feed(frame)
    return trace.close()


def frames_of(body: bytes, endpoint: str = "send-chat-message") -> list[Frame]:
    """The frames of a whole reply of *endpoint*, in today's form. Raises `LineTooLong`."""
    if endpoint == "send-message":
        return flat_frames(body)
    frames = Frames()
    return [*frames.feed(body), *frames.close()]


class Trace:
    """The fold: fed the frames of one reply in order, closed when no more come, however that happened."""

    def __init__(self) -> None:
        self._models: dict[int, Share] = {0: Share()}
        self._ended_all: Ending | None = None
        self._session: SessionLine | None = None
        self._ids: IdsLine | None = None
        self._session_end: int | None = None
        self._ids_end: int | None = None
        self._packets = 0
        self._heartbeats = 0
        self._bad_lines = 0
        self._unknown: Counter[str] = Counter()

    def feed(self, frame: Frame) -> None:
        """Take in one frame."""
        if not frame.parts and isinstance(line := read_line(frame.data), Packet):  # nearly all are
            self._packet(line, frame.end)
            return
        for line, part in lines(frame):
            if isinstance(line, Packet):
                self._packet(line, part.end)
            else:
                self._outer(line, part.end)

    def close(self) -> Transcript:
        """What the reply said. Every text in it can be encoded, whatever halves of characters came."""
        first = self._models[0]
        outer = self._session_end, self._ids_end
        whole = first.read(0, *outer)
        models = None
        if self._ids is not None and self._ids.models is not None:
            models = tuple(self._model(index).read(index, *outer) for index in range(self._ids.models))
        ending = first.ending
        return encodable(
            Transcript(
                outcome=whole.outcome,
                answer=whole.answer,
                narration=whole.narration,
                plan="".join(first.plan) or None,
                reasoning=whole.reasoning,
                tool_calls=whole.tool_calls,
                citations=whole.citations,
                documents=whole.documents,
                chat_session_id=self._session.chat_session_id if self._session else None,
                user_message_id=self._ids.user_message_id if self._ids else None,
                assistant_message_ids=self._ids.assistant_message_ids if self._ids else (),
                error=whole.error,
                heartbeats=self._heartbeats,
                unknown_packets=self._unknown.total(),
                packets=self._packets,
                bad_lines=self._bad_lines,
                models=models,
                searched=whole.searched,
                found=whole.found,
                unknown_kinds=dict(self._unknown),
                marks=whole.marks,
                retryable=ending.retryable if ending else None,
                model_seen=whole.model_seen,
            )
        )

    def _packet(self, packet: Packet, end: int) -> None:
        self._packets += 1
        obj, at, model = packet.obj, packet.at, packet.model
        if at is None:
            self._heartbeats += 1
            return
        if isinstance(obj, MessageDelta):
            self._model(model or 0).feed(obj, at, end)
            return
        if model is None and isinstance(obj, Stop):
            for share in self._models.values():
                share.feed(obj, at, end)
            self._ended_all = self._ended_all or stopped(obj, end)
            return
        if isinstance(obj, Unknown):
            self._unknown[obj.kind] += 1
        self._model(model or 0).feed(obj, at, end)

    def _outer(self, line: SessionLine | IdsLine | ErrorLine | UnknownLine | BadLine, end: int) -> None:
        match line:
            case SessionLine():
                self._session, self._session_end = line, self._session_end or end
            case IdsLine():
                self._identify(line, end)
            case ErrorLine(model=None):
                several = self._ids is not None and self._ids.models is not None
                # Of which of several models it speaks, it does not say.
                ended = failed(line._replace(model_name=None) if several else line, end)
                for share in self._models.values():
                    share.end(ended)
                self._ended_all = self._ended_all or ended
            case ErrorLine(model=int(model)):
                self._model(model).end(failed(line, end))
            case UnknownLine():
                self._unknown["(line)"] += 1
            case BadLine():
                self._bad_lines += 1

    def _identify(self, ids: IdsLine, end: int) -> None:
        """The last ids line counts, but an ordinary one does not undo that of several models."""
        self._ids_end = self._ids_end or end
        if ids.models is not None or self._ids is None or self._ids.models is None:
            self._ids = ids

    def _model(self, index: int) -> Share:
        if index not in self._models:
            self._models[index] = Share(ending=self._ended_all)
        return self._models[index]
