r"""Bytes of a reply to frames: one JSON document each, and where in the body it was complete.

Real servers send newline-delimited JSON under an event-stream header, the guide speaks of SSE, and a proxy
may turn one into the other, so one incremental decoder reads both, line by line (reading rule R1). Lines are
cut from bytes, at `\n` and nowhere else: text tools (`str.splitlines`, httpx's `iter_lines`) also cut at
U+2028 and U+0085, which are legal inside JSON strings. In UTF-8 no byte of a longer character is below 0x80,
so cutting first and decoding each line afterwards gives what an incremental text decoder would, and a frame
that nobody reads is never decoded.

Nothing here knows the time. A frame carries an offset; whoever did the reads knows when that byte came.
"""

from msgspec import Struct

LIMIT = 64 * 2**20
"""Bytes in one line. `final_documents` with attached files makes lines of megabytes, but not of this many."""

_BOM = b"\xef\xbb\xbf"
_DONE = b"[DONE]"
_IGNORED = (b":", b"event:", b"id:", b"retry:")


class Frame(Struct, frozen=True, gc=False):
    """The text of one JSON document, without what framed it.

    *end* is the offset in the body just after the last byte of the line that completed it, newline included.
    For an SSE event that is its last `data:` line and not the blank line after it: the blank line tells that
    the event is over, the data were there before. *parts* are the `data:` lines one by one when several were
    joined, for the servers that leave the blank lines out.
    """

    data: bytes
    end: int
    parts: tuple["Frame", ...] = ()


class LineTooLong(ValueError):  # noqa: N818  a name says it
    """A line that goes on past the limit: no Sigma sends that, and nobody wants it in memory."""

    def __init__(self, length: int, limit: int) -> None:
        super().__init__(
            f"a line of the reply is longer than the limit of {limit:,} bytes ({length:,} so far); "
            "the body is probably not a stream of chat packets"
        )


class Frames:
    """The decoder: fed any chunks of a body, it gives the same frames, in time linear in the bytes.

    What arrived before a line that is too long is kept: those frames are returned, and the next call raises.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._tail = bytearray()
        self._offset = 0
        self._event: list[Frame] = []
        self._at_start = True
        self._too_long: LineTooLong | None = None

    def feed(self, chunk: bytes) -> list[Frame]:
        """The frames that *chunk* completes.

        Raises `LineTooLong` once a line is known to be longer than the limit, its line end not counted.
        """
        if self._too_long is not None:
            raise self._too_long
        frames: list[Frame] = []
        try:
            self._cut(chunk, frames)
        except LineTooLong as error:
            self._too_long = error
            self._close_event(frames)
            if not frames:
                raise
        self._offset += len(chunk)
        return frames

    def close(self) -> list[Frame]:
        """The frames that only the end of the body completes: a last line without newline, an open event."""
        if self._too_long is not None:
            raise self._too_long
        frames: list[Frame] = []
        if self._tail:
            self._line(bytes(self._tail), self._offset, frames)
            self._tail.clear()
        self._close_event(frames)
        return frames

    def _cut(self, chunk: bytes, frames: list[Frame]) -> None:
        start = 0
        while (cut := chunk.find(b"\n", start)) >= 0:
            line = chunk[start:cut]
            start = cut + 1
            if self._tail:
                self._tail += line
                line = bytes(self._tail)
                self._tail.clear()
            self._line(line, self._offset + start, frames)
        if start < len(chunk):
            self._tail += chunk[start:]
            if len(self._tail) > self._limit + 1:  # the one may be the `\r` of a line end
                raise LineTooLong(len(self._tail), self._limit)

    def _line(self, line: bytes, end: int, frames: list[Frame]) -> None:
        line = line.removesuffix(b"\r")
        if len(line) > self._limit:
            raise LineTooLong(len(line), self._limit)
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if line.startswith(b"{") and not self._event:  # nearly always
            frames.append(Frame(line, end))
        else:
            self._rarer_line(line, end, frames)

    def _rarer_line(self, line: bytes, end: int, frames: list[Frame]) -> None:
        if line.startswith(b"data:"):
            text = line[5:].removeprefix(b" ")
            if text.strip() != _DONE:
                self._event.append(Frame(text, end))
        elif not line.startswith(_IGNORED):
            self._close_event(frames)
            if not _is_blank(line) and line.strip() != _DONE:
                frames.append(Frame(line, end))

    def _close_event(self, frames: list[Frame]) -> None:
        event, self._event = self._event, []
        if len(event) > 1:
            frames.append(Frame(b"\n".join(each.data for each in event), event[-1].end, tuple(event)))
        else:
            frames.extend(event)


def _is_blank(line: bytes) -> bool:
    return not line or line.isspace() or line.decode(errors="replace").isspace()
