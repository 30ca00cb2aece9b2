"""Lines of a journal, found without reading the others.

A journal may be larger than memory. A result begins with its trial, and no line break stands inside a line:
so the beginning of a line is a string that can be nowhere else, and it is looked for in the mapped file.
"""

import mmap
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import structs

from harness.journal import UNREADABLE, is_void, last_leg
from harness.result import Result, with_transcript
from harness.sigma.session import SessionDetail

_result = msgspec.json.Decoder(Result).decode
_session = msgspec.json.Decoder(SessionDetail).decode
_RESULT = b'{"line":"result","trial_id":"'
_SESSION = b'{"line":"session","chat_session_id":"'
_NAME = re.compile(r"[0-9A-Za-z_.-]{1,200}")


def result_of(journal: Path, trial_id: str) -> Result | None:
    """The result of this trial with its transcripts, or None: not there yet, torn, or of another version."""
    line = _line(journal, _RESULT, trial_id)
    if line is None:
        return None
    try:
        return read(_result(line))
    except UNREADABLE:
        return None


def session_of(journal: Path, session_id: str) -> SessionDetail | None:
    """What the server kept of this session, as it was looked at last."""
    line = _line(journal, _SESSION, session_id)
    try:
        return None if line is None else _session(line)
    except UNREADABLE:
        return None


def results_from(journal: Path, offset: int) -> Iterator[tuple[Result, int]]:
    """The results in whole lines after *offset*, each with the offset of the line after it.

    What was done again after the run was resumed is there once.

    Raises one of `UNREADABLE` for a line of another version.
    """
    with journal.open("rb") as file:
        upto = last_leg(journal)
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            began, offset = offset, offset + len(line)
            if line.startswith(_RESULT) and not is_void(result := _result(line), began, upto):
                yield read(result), offset


def read(result: Result) -> Result:
    """*result* with its transcripts, worked out from the bodies."""
    return structs.replace(result, exchanges=tuple(map(with_transcript, result.exchanges)))


def _line(journal: Path, beginning: bytes, name: str) -> bytes | None:
    if _NAME.fullmatch(name) is None:
        return None
    wanted = beginning + name.encode() + b'"'
    try:
        with journal.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return _found(mapped, wanted)
    except (OSError, ValueError):  # none there, or an empty one
        return None


def _found(mapped: mmap.mmap, wanted: bytes) -> bytes | None:
    """The last line that begins so; one that is not whole yet is none."""
    at = mapped.rfind(b"\n" + wanted) + 1
    if at == 0 and mapped[: len(wanted)] != wanted:
        return None
    end = mapped.find(b"\n", at)
    return None if end < 0 else mapped[at:end]
