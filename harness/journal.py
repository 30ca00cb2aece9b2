"""Results as they happen: an append-only file of JSON lines: a result, a session's detail, or a moment.

The journal and the manifest are the run; every table and report can be made
again from the two. A line is with the operating system before the next trial
is told of it, so the death of this process loses at most the line that was being written, and a
torn last line is recognised by its missing newline. The disk has it a second later (`sync`), so what the
machine's own death loses is what came in its last second.

A run of several processes has a journal of each, `journal-<k>.jsonl`, that no other writes; what stands in
which file means nothing. All that is read here is read of *place*: a run's folder, or one of its journals.

A run that is resumed goes on in the same files, after a line of a `Leg`. What we had not finished before it
counts no more: it is done again, once.
"""

import mmap
import os
import re
from collections.abc import Callable, Collection, Iterator
from functools import partial
from heapq import merge
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NoReturn, Self, TypeVar

import anyio
import msgspec
from msgspec import Struct

from harness.errors import RunDirectoryError
from harness.result import Moment, Result, Skip, moved, with_transcripts, without_transcripts
from harness.sigma.session import SessionDetail

JOURNAL = "journal-0.jsonl"
"""The journal of a run, or of the process that leads the others."""

_NAME = re.compile(r"journal-(0|[1-9][0-9]{0,8})\.jsonl")

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
    leg: int = 0

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

    With a *leg*, what is appended belongs to that; a torn last line before it is taken away. Stamps are moved
    by *ahead_ns*, by which the clock of the run is ahead of ours. *sync* has the disk write what it was
    given.
    """

    def __init__(
        self, path: Path, leg: Leg | None = None, sync: Callable[[int], None] = os.fsync, ahead_ns: int = 0
    ) -> None:
        self.path = path
        self.leg = leg
        self._moved_ns = ahead_ns + (leg.shift_ns if leg else 0)
        self._sync = sync
        self._unwritten = False

    def __enter__(self) -> Self:
        try:
            self._file = self.path.open("ab", buffering=0)
            if self.leg is not None:
                self._file.truncate(self.path.stat().st_size - torn(self.path))
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
        if (self.leg is not None or self._moved_ns) and not isinstance(told, SessionDetail):
            told = moved(told, self._moved_ns, leg=self.leg.number if self.leg else 0)
        self._write(without_transcripts(told) if isinstance(told, Result) else told)

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


async def keep_on_disk(book: Journal) -> NoReturn:
    """Have the disk write what came each second, off the loop, until cancelled."""
    while True:
        await anyio.sleep(SYNC_EVERY_S)
        await anyio.to_thread.run_sync(book.sync)


def of_process(number: int) -> str:
    """The name of the journal of a run's *number*-th process; 0 leads the others."""
    return f"journal-{number}.jsonl"


def journals(place: Path) -> list[Path]:
    """The journals of a run: all in its folder, by their numbers, or the one that *place* is."""
    if not place.is_dir():
        return [place]
    found = {int(name[1]): path for path in place.iterdir() if (name := _NAME.fullmatch(path.name))}
    return [found[number] for number in sorted(found)] or [place / JOURNAL]


def read(place: Path) -> Iterator[Result]:
    """The results of a run, in the order in which they happened, with their transcripts.

    Of a run that was resumed, what it did again is there once. A torn last line, left by a kill, is passed
    over. A broken line before the last one is an error: a file that was edited is not evidence.
    """
    last = last_leg(place)
    every = [_results(path, last) for path in journals(place)]
    for _, result in every[0] if len(every) == 1 else merge(*every, key=lambda each: each[0]):
        yield with_transcripts(result)


def _results(path: Path, last: int) -> Iterator[tuple[int, Result]]:
    """Each result of one journal, after the time at which it was known: what was not sent has none itself."""
    known_ns = 0
    for line, at in _lines(path):
        if _is_result(line):
            result = _decoded(_decode, line, at)
            known_ns = max(known_ns, result.ended_ns or 0)
            if not is_void(result, last):
                yield known_ns, result


def is_void(result: Result | Head, last: int) -> bool:
    """Whether *result* was done again, in the *last* leg of its run or before it."""
    return result.leg < last and result.skip in AGAIN


def last_leg(place: Path) -> int:
    """How often a run was resumed."""
    path = journals(place)[0]
    with _opened(path) as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                whole = mapped.rfind(b"\n") + 1
                begins = mapped.rfind(b"\n" + _LEG, 0, whole) + 1
                if not begins and mapped[: len(_LEG)] != _LEG:
                    return 0
                mapped.seek(begins)
                return _decoded(_decode_leg, mapped.readline(), f"{path}: its last leg").number
        except ValueError:  # an empty one
            return 0


def read_some(place: Path, trials: Collection[str]) -> Iterator[Result]:
    """The results of *trials*, by their ids; of the others not more is read than whose they are.

    It stops where all were found: of a journal of gigabytes a few results are there in a moment.
    """
    missing, last = set(trials), last_leg(place)
    for line, at in _every(place) if missing else ():
        if not _is_result(line):
            continue
        head = _decoded(_decode_head, line, at)
        if head.trial_id not in missing or is_void(head, last):
            continue
        result = _decoded(_decode, line, at)
        yield with_transcripts(result)
        missing.discard(result.trial_id)
        if not missing:
            return


def read_on(place: Path, offsets: dict[Path, int]) -> Iterator[Result]:
    """The results in whole lines after *offsets*, by journal, which go up to the line after each.

    What was done again after the run was resumed is there once. Raises `OSError` where there is no journal.
    """
    last = last_leg(place)
    for path in journals(place):
        with path.open("rb") as file:
            file.seek(offsets.get(path, 0))
            for line in iter(file.readline, b""):
                if not line.endswith(b"\n"):
                    break
                if _is_result(line) and not is_void(result := _decoded(_decode, line, str(path)), last):
                    offsets[path] = file.tell()
                    yield with_transcripts(result)


def ends(place: Path) -> dict[Path, int]:
    """How far the whole lines of each journal go."""
    return {path: path.stat().st_size - torn(path) for path in journals(place)}


def heads(place: Path) -> Iterator[Head]:
    """What every result is of, without reading the rest of it; what was done again is there each time."""
    return (_decoded(_decode_head, line, at) for line, at in _every(place) if _is_result(line))


def sessions(place: Path) -> dict[str, SessionDetail]:
    """The session details in a journal, by session; the last one of each. Results are passed over unread."""
    told = (_decoded(_decode_session, line, at) for line, at in _every(place) if line.startswith(_SESSION))
    return {detail.chat_session_id: detail for detail in told}


def moments(place: Path) -> list[Moment]:
    """The moments of a run, in their order."""
    told = [_decoded(_decode_moment, line, at) for line, at in _every(place) if line.startswith(_MOMENT)]
    return sorted(told, key=lambda moment: moment.at_ns)


def torn(path: Path) -> int:
    """How many bytes of a last line of one journal there are that was never finished."""
    with _opened(path) as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                return len(mapped) - (mapped.rfind(b"\n") + 1)
        except ValueError:  # an empty one
            return 0


def _every(place: Path) -> Iterator[tuple[bytes, str]]:
    for path in journals(place):
        yield from _lines(path)


def _is_result(line: bytes) -> bool:
    return not line.startswith((_SESSION, _MOMENT, _LEG))


def _lines(path: Path) -> Iterator[tuple[bytes, str]]:
    """Each whole line, and where it stands."""
    with _opened(path) as file:
        for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE), b""), start=1):
            if not line.endswith(b"\n"):
                if len(line) == LONGEST_LINE:
                    raise RunDirectoryError(
                        f"{path}:{number}: a line of more than 1 GiB, which no run writes"
                    )
                return
            yield line, f"{path}:{number}"


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
