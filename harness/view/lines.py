"""Lines of journals, found without reading the others.

A journal may be larger than memory. A result begins with its trial, and no line break stands inside a line:
so the beginning of a line is a string that can be nowhere else, and it is looked for in the mapped file.
"""

import mmap
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from harness.journal import UNREADABLE, journals
from harness.result import Result, with_transcripts
from harness.sigma.session import SessionDetail

_result = msgspec.json.Decoder(Result).decode
_session = msgspec.json.Decoder(SessionDetail).decode
_RESULT = b'{"line":"result","trial_id":"'
_SESSION = b'{"line":"session","chat_session_id":"'
_NAME = re.compile(r"[0-9A-Za-z_.-]{1,200}")


def result_of(folder: Path, trial_id: str) -> Result | None:
    """The result of this trial with its transcripts, or None: not there yet, torn, or of another version.

    What was done again after the run was resumed is meant.
    """
    try:
        found = [_result(line) for line in _lines(folder, _RESULT, trial_id)]
    except UNREADABLE:
        return None
    return with_transcripts(max(found, key=lambda result: result.leg)) if found else None


def session_of(folder: Path, session_id: str) -> SessionDetail | None:
    """What the server kept of this session, as it was looked at last."""
    try:
        return next((_session(line) for line in _lines(folder, _SESSION, session_id)), None)
    except UNREADABLE:
        return None


def _lines(folder: Path, beginning: bytes, name: str) -> Iterator[bytes]:
    """Of each journal the last line that begins so."""
    wanted = beginning + name.encode() + b'"'
    for path in journals(folder) if _NAME.fullmatch(name) else ():
        try:
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                line = _found(mapped, wanted)
        except (OSError, ValueError):  # none there, or an empty one
            continue
        if line is not None:
            yield line


def _found(mapped: mmap.mmap, wanted: bytes) -> bytes | None:
    """The last line that begins so; one that is not whole yet is none."""
    at = mapped.rfind(b"\n" + wanted) + 1
    if at == 0 and mapped[: len(wanted)] != wanted:
        return None
    end = mapped.find(b"\n", at)
    return None if end < 0 else mapped[at:end]
