"""Results as they happen: an append-only file of JSON lines: a result, a session's detail, or a moment.

The journal and the manifest are the run; every table and report can be made
again from the two. A line is written whole and flushed before the next trial
is told of it, so a kill loses at most the line that was being written, and a
torn last line is recognised by its missing newline.
"""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec
from msgspec import structs

from harness.errors import RunDirectoryError
from harness.result import Exchange, Moment, Result, with_transcript
from harness.sigma.session import SessionDetail

_encode = msgspec.json.Encoder().encode
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What is raised for JSON of another version, and for what is no JSON, or none that anybody wrote."""

_decode = msgspec.json.Decoder(Result).decode
_decode_session = msgspec.json.Decoder(SessionDetail).decode
_decode_moment = msgspec.json.Decoder(Moment).decode
_SESSION, _MOMENT = b'{"line":"session"', b'{"line":"moment"'

Line = TypeVar("Line")


class Journal:
    """An open journal: append results to it, close it by leaving the block."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Self:
        try:
            self._file = self.path.open("ab", buffering=0)
        except OSError as error:
            raise RunDirectoryError(f"{self.path}: cannot be written: {error.strerror}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, told: Result | SessionDetail | Moment) -> None:
        """Write *told* as one line; it is with the operating system when this returns."""
        line = _encode(_bare(told) if isinstance(told, Result) else told) + b"\n"
        try:
            while line:
                line = line[self._file.write(line) :]
        except OSError as error:
            raise RunDirectoryError(f"{self.path}: cannot be written: {error.strerror}") from error


def read(path: Path) -> Iterator[Result]:
    """The results in a journal, in the order in which they happened, with their transcripts.

    A torn last line, left by a kill, is passed over. A broken line before the
    last one is an error: a file that was edited is not evidence.
    """
    for line, at in _lines(path):
        if not line.startswith((_SESSION, _MOMENT)):
            result = _decoded(_decode, line, at)
            yield structs.replace(result, exchanges=tuple(map(with_transcript, result.exchanges)))


def read_some(path: Path, trials: Collection[str]) -> Iterator[Result]:
    """The results of *trials*, by their ids; of the others not more is read than whose they are.

    It stops where all were found: of a journal of gigabytes a few results are there in a moment.
    """
    missing = set(trials)
    decode = msgspec.json.Decoder(_Head).decode
    for line, at in _lines(path) if missing else ():
        if line.startswith((_SESSION, _MOMENT)) or _decoded(decode, line, at).trial_id not in missing:
            continue
        result = _decoded(_decode, line, at)
        yield structs.replace(result, exchanges=tuple(map(with_transcript, result.exchanges)))
        missing.discard(result.trial_id)
        if not missing:
            return


class _Head(msgspec.Struct, frozen=True):
    trial_id: str
    phase: str


def phases(path: Path) -> Iterator[str]:
    """The phase of every result, without reading the rest of it."""
    return (head.phase for head in _heads(path))


def trial_ids(path: Path) -> Iterator[str]:
    """The trial of every result, without reading the rest of it."""
    return (head.trial_id for head in _heads(path))


def _heads(path: Path) -> Iterator[_Head]:
    decode = msgspec.json.Decoder(_Head).decode
    for line, at in _lines(path):
        if not line.startswith((_SESSION, _MOMENT)):
            yield _decoded(decode, line, at)


def sessions(path: Path) -> dict[str, SessionDetail]:
    """The session details in a journal, by session; the last one of each. Results are passed over unread."""
    told = (_decoded(_decode_session, line, at) for line, at in _lines(path) if line.startswith(_SESSION))
    return {detail.chat_session_id: detail for detail in told}


def moments(path: Path) -> list[Moment]:
    """The moments in a journal, in their order."""
    return [_decoded(_decode_moment, line, at) for line, at in _lines(path) if line.startswith(_MOMENT)]


def _lines(path: Path) -> Iterator[tuple[bytes, str]]:
    """Each whole line, and where it stands."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise RunDirectoryError(f"{path}: cannot be read: {error.strerror}") from error
    with file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            yield line, f"{path}:{number}"


def _decoded(decode: Callable[[bytes], Line], line: bytes, at: str) -> Line:
    try:
        return decode(line)
    except UNREADABLE as error:
        raise RunDirectoryError(f"{at}: not a result of this version: {error}") from error


def _bare(result: Result) -> Result:
    return structs.replace(result, exchanges=tuple(map(_without_transcript, result.exchanges)))


def _without_transcript(exchange: Exchange) -> Exchange:
    return structs.replace(exchange, transcript=None)
