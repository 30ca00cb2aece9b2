"""Bodies that came compressed although we ask for none: decoded on the tape, read by read.

Some proxies compress whatever passes them. The stamps are of reads, so each read has to keep what it brought:
`ends[i]` becomes the length of what could be decoded after read *i*. A read that completed nothing brought
nothing, and what it began counts for the read that completed it: no packet is dated before it could be read.

gzip and deflate only; for br and zstd there is no decoder among our dependencies. A kilobyte may unpack to a
megabyte, so there is an end to what is taken, as there is for a body that came as it is.
"""

import zlib
from dataclasses import dataclass, field
from typing import Any

import httpx

from harness.drive.tape import LONGEST_REPLY, Tape

_MOST_LAYERS = 3
_WINDOWS = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


def decode(tape: Tape, encoding: str) -> httpx.DecodingError | None:
    """Put what the body of *tape* says in its place; *encoding* is the header Content-Encoding of its reply.

    For when the reply has ended, one way or another. The answer is what was wrong, if anything was: an
    encoding that is not known (then nothing is changed), bytes that are none of it, an end that is
    missing. What could be decoded before that is on the tape.
    """
    names = [name for part in encoding.lower().split(",") if (name := part.strip()) not in {"", "identity"}]
    for name in names:
        if name not in _WINDOWS:
            return httpx.DecodingError(f"the body came compressed as {name}, which was not asked for")
    if not names:
        return None
    if len(names) > _MOST_LAYERS:
        return httpx.DecodingError(f"the body came compressed {len(names)} times over")
    stages = [_Inflating(_WINDOWS[name]) for name in reversed(names)]
    wrong = _decoded(tape, stages)
    if wrong is None and not all(stage.whole for stage in stages):
        wrong = "its end is missing"
    if wrong is None:
        return None
    return httpx.DecodingError(f"the body came compressed as {encoding}, and {wrong}")


def _decoded(tape: Tape, stages: list["_Inflating"]) -> str | None:
    body, begin = bytearray(), 0
    wrong: str | None = None
    for read, end in enumerate(tape.ends):
        piece = bytes(tape.body[begin:end])
        begin = end
        if wrong is None:
            try:
                for stage in stages:
                    piece = stage.feed(piece)
                body += piece
            except zlib.error as exc:
                wrong = f"it is not: {exc}"
            if len(body) > LONGEST_REPLY:
                wrong = f"it unpacks to more than the limit of {LONGEST_REPLY:,} bytes"
        tape.ends[read] = len(body)
    tape.body = body
    return wrong


@dataclass(slots=True)
class _Inflating:
    """One layer of compression, taken off."""

    window: int
    begun: bytes = b""
    inner: Any = field(default=None, repr=False)  # zlib has no public name for its type

    def feed(self, data: bytes) -> bytes:
        """What can be decoded now. Raises `zlib.error`."""
        if self.inner is None:
            self.begun += data
            if len(self.begun) < 2:
                return b""
            data = self.begun
            self.inner = zlib.decompressobj(self._window(data))
        said = bytearray(self.inner.decompress(data, LONGEST_REPLY + 1))
        while self.inner.eof and self._is_gzip and (rest := self.inner.unused_data.lstrip(b"\0")):
            self.inner = zlib.decompressobj(self.window)  # gzip members may follow each other
            said += self.inner.decompress(rest, max(1, LONGEST_REPLY + 1 - len(said)))
        return bytes(said)

    @property
    def whole(self) -> bool:
        """Whether the end was seen; of nothing at all, too."""
        return not self.begun or (self.inner is not None and self.inner.eof)

    @property
    def _is_gzip(self) -> bool:
        return self.window > zlib.MAX_WBITS

    def _window(self, begun: bytes) -> int:
        """Some servers leave out the two bytes that begin what they call deflate."""
        headed = begun[0] & 0x0F == 8 and int.from_bytes(begun[:2], "big") % 31 == 0
        return self.window if headed or self._is_gzip else -zlib.MAX_WBITS
