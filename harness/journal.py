"""Results as they happen: an append-only file of JSON lines: a result, a session's detail, or a moment.

The journal and the manifest are the run; every table and report can be made
again from the two. A line is with the operating system before the next trial
is told of it, so the death of this process loses at most the line that was being written, and a
torn last line is recognised by its missing newline. The disk has it a second later (`sync`), so what the
machine's own death loses is what came in its last second.

A run that is resumed goes on in the same file, after a line of a `Leg`. What we had not finished before it
counts no more: it is done again, once.
"""

import mmap
import os
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TypeVar

import msgspec
from msgspec import Struct, structs

from harness.errors import RunDirectoryError
from harness.result import Exchange, Moment, Result, Skip, moved, with_transcript
from harness.sigma.session import SessionDetail

AGAIN = frozenset({Skip.BUDGET, Skip.RATE_LIMITED, Skip.REFUSED, Skip.INTERRUPTED, Skip.FAIL_FAST})
"""Why a trial that we did not send or finish is one that a resumed run still has to do."""

SYNC_EVERY_S = 1.0
"""How often a run has the journal written to the disk itself."""

LONGEST_LINE = 2**30
"""Bytes in one line. A conversation of twenty replies as long as any may be is no longer."""

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What is raised for JSON of another version, and for what is no JSON, or none that anybody wrote."""


class Leg(Struct, frozen=True, tag="leg", tag_field="line"):
    """Where a run goes on that had stopped: at *at* on the wall clock, for the *number*-th time.

    *began_ns* is the same moment on our clock as it is now, which may be of another boot. Stamps of the leg
    are moved by *shift_ns*, so that they follow those before it; *left_out_ns* of the wall clock lie between
    and are in no figure. *done* results were there, and *torn* bytes of a line that was never finished.
    """

    number: int
    at: str
    began_ns: int
    shift_ns: int
    left_out_ns: int
    done: int
    torn: int = 0


class Head(Struct, frozen=True):
    """What is read of a result where the rest of it is not asked for."""

    trial_id: str
    phase: str
    variant: str = ""
    skip: Skip | None = None
    due_ns: int | None = None
    began_ns: int | None = None
    ended_ns: int | None = None
    exchanges: tuple["Sent", ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether a run that is resumed has to do this trial again."""
        return self.skip in AGAIN


class Sent(Struct, frozen=True):
    """Of an exchange: which session it was in."""

    session_id: str | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Result).decode
_decode_head = msgspec.json.Decoder(Head).decode
_decode_session = msgspec.json.Decoder(SessionDetail).decode
_decode_moment = msgspec.json.Decoder(Moment).decode
_decode_leg = msgspec.json.Decoder(Leg).decode
_SESSION, _MOMENT, _LEG = b'{"line":"session"', b'{"line":"moment"', b'{"line":"leg"'

Line = TypeVar("Line")


class Journal:
    """An open journal: append results to it, close it by leaving the block.

    With a *leg*, what is appended belongs to that; a torn last line before it is taken away. *sync* has the
    disk write what it was given.
    """

    def __init__(self, path: Path, leg: Leg | None = None, sync: Callable[[int], None] = os.fsync) -> None:
        self.path = path
        self.leg = leg
        self._sync = sync
        self._unwritten = False

    def __enter__(self) -> Self:
        try:
            self._file = self.path.open("ab", buffering=0)
            if self.leg is not None:
                self._file.truncate(self.path.stat().st_size - self.leg.torn)
        except OSError as error:
            raise self._broken(error) from error
        if self.leg is not None:
            self._write(self.leg)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.sync()
        finally:
            self._file.close()

    def append(self, told: Result | SessionDetail | Moment) -> None:
        """Write *told* as one line; it is with the operating system when this returns."""
        if self.leg is not None and not isinstance(told, SessionDetail):
            told = moved(told, self.leg.shift_ns, leg=self.leg.number)
        self._write(_bare(told) if isinstance(told, Result) else told)

    def sync(self) -> None:
        """Have the disk itself hold what was appended. Raises `RunDirectoryError` where the file is gone.

        May be called from another thread than the one that appends.
        """
        try:
            if not os.path.samestat(self.path.stat(), os.fstat(self._file.fileno())):
                raise FileNotFoundError(2, "another file is in its place")
            if self._unwritten:
                self._unwritten = False
                self._sync(self._file.fileno())
        except FileNotFoundError as error:
            raise RunDirectoryError(
                f"{self.path}: was deleted or replaced while the run went on: what comes now would be lost"
            ) from error
        except OSError as error:
            raise self._broken(error) from error

    def _write(self, told: Result | SessionDetail | Moment | Leg) -> None:
        line = _encode(told) + b"\n"
        self._unwritten = True
        try:
            while line:
                line = line[self._file.write(line) :]
        except OSError as error:
            raise self._broken(error) from error

    def _broken(self, error: OSError) -> RunDirectoryError:
        run_id = self.path.parent.name
        return RunDirectoryError(
            f"{self.path}: cannot be written: {error.strerror}; what was recorded before is whole, and "
            f"`harness run --resume {run_id}` goes on with it once that is mended"
        )


def read(path: Path) -> Iterator[Result]:
    """The results in a journal, in the order in which they happened, with their transcripts.

    Of a run that was resumed, what it did again is there once. A torn last line, left by a kill, is passed
    over. A broken line before the last one is an error: a file that was edited is not evidence.
    """
    upto = last_leg(path)
    for line, offset, at in _lines(path):
        if _is_result(line):
            result = _decoded(_decode, line, at)
            if not is_void(result, offset, upto):
                yield structs.replace(result, exchanges=tuple(map(with_transcript, result.exchanges)))


def is_void(result: Result | Head, offset: int, upto: int) -> bool:
    """Whether a result at *offset* was done again in the leg that begins at *upto* or later (`last_leg`)."""
    return offset < upto and result.skip in AGAIN


def last_leg(path: Path) -> int:
    """Where the last leg of a journal begins: the offset of its line, 0 if it was never resumed."""
    with _opened(path) as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                return mapped.rfind(b"\n" + _LEG) + 1
        except ValueError:  # an empty one
            return 0


def read_some(path: Path, trials: Collection[str]) -> Iterator[Result]:
    """The results of *trials*, by their ids; of the others not more is read than whose they are.

    It stops where all were found: of a journal of gigabytes a few results are there in a moment.
    """
    missing, upto = set(trials), last_leg(path)
    for line, offset, at in _lines(path) if missing else ():
        if not _is_result(line):
            continue
        head = _decoded(_decode_head, line, at)
        if head.trial_id not in missing or is_void(head, offset, upto):
            continue
        result = _decoded(_decode, line, at)
        yield structs.replace(result, exchanges=tuple(map(with_transcript, result.exchanges)))
        missing.discard(result.trial_id)
        if not missing:
            return


def heads(path: Path) -> Iterator[Head]:
    """What every result is of, without reading the rest of it; what was done again is there each time."""
    return (_decoded(_decode_head, line, at) for line, _, at in _lines(path) if _is_result(line))


def trial_ids(path: Path) -> Iterator[str]:
    """The trial of every result, without reading the rest of it."""
    return (head.trial_id for head in heads(path))


def sessions(path: Path) -> dict[str, SessionDetail]:
    """The session details in a journal, by session; the last one of each. Results are passed over unread."""
    told = (_decoded(_decode_session, line, at) for line, _, at in _lines(path) if line.startswith(_SESSION))
    return {detail.chat_session_id: detail for detail in told}


def moments(path: Path) -> list[Moment]:
    """The moments in a journal, in their order."""
    return [_decoded(_decode_moment, line, at) for line, _, at in _lines(path) if line.startswith(_MOMENT)]


def legs(path: Path) -> list[Leg]:
    """The legs in which a run was resumed, in their order."""
    return [_decoded(_decode_leg, line, at) for line, _, at in _lines(path) if line.startswith(_LEG)]


def torn(path: Path) -> int:
    """How many bytes of a last line there are that was never finished."""
    with _opened(path) as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                return len(mapped) - (mapped.rfind(b"\n") + 1)
        except ValueError:  # an empty one
            return 0


def _is_result(line: bytes) -> bool:
    return not line.startswith((_SESSION, _MOMENT, _LEG))


def _lines(path: Path) -> Iterator[tuple[bytes, int, str]]:
    """Each whole line, its offset, and where it stands."""
    offset = 0
    with _opened(path) as file:
        for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE), b""), start=1):
            if not line.endswith(b"\n"):
                if len(line) == LONGEST_LINE:
                    raise RunDirectoryError(
                        f"{path}:{number}: a line of more than 1 GiB, which no run writes"
                    )
                return
            yield line, offset, f"{path}:{number}"
            offset += len(line)


def _opened(path: Path) -> BinaryIO:
    """The file, to be read. Raises `RunDirectoryError` where there is none: a pipe would wait for ever."""
    try:
        if path.exists() and not path.is_file():
            raise RunDirectoryError(f"{path}: is no file")
        return path.open("rb")
    except OSError as error:
        raise RunDirectoryError(f"{path}: cannot be read: {error.strerror}") from error


def _decoded(decode: Callable[[bytes], Line], line: bytes, at: str) -> Line:
    try:
        return decode(line)
    except UNREADABLE as error:
        raise RunDirectoryError(f"{at}: not a result of this version: {error}") from error


def _bare(result: Result) -> Result:
    return structs.replace(result, exchanges=tuple(map(_without_transcript, result.exchanges)))


def _without_transcript(exchange: Exchange) -> Exchange:
    return structs.replace(exchange, transcript=None)
