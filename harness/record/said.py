"""What others said, on disk: ``said.jsonl`` in the folder of a run, and ``said.jsonl`` for all runs above it.

A line each, appended as it comes. The file of the run is part of its record: it can be graded from it on
another machine. The one above is a cache, which may be deleted at any time; only judgements and likenesses
are in it, since the suite's own code may have changed between two runs.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from harness.errors import RunDirectoryError
from harness.grade.said import Called, Judgement, Said, Similarity
from harness.journal import UNREADABLE

FILE = "said.jsonl"

_decode = msgspec.json.Decoder(Said).decode
_encode = msgspec.json.Encoder().encode


def read(path: Path) -> dict[str, Said]:
    """The lines of *path* by their key, the last of each; none where there is no such file.

    A torn or foreign line is passed over: what it said is asked again.
    """
    return {said.key: said for said in _lines(path)}


def _lines(path: Path) -> Iterator[Said]:
    _refuse_odd(path)
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunDirectoryError(f"{path}: cannot be read: {error.strerror}") from error
    with file:
        for line in file:
            with suppress(*UNREADABLE):
                yield _decode(line)


def _refuse_odd(path: Path) -> None:
    """A link leads to somebody's file, and who opens a pipe waits for ever."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise RunDirectoryError(f"{path}: this is a link, a pipe or a device, and no file of results")


def is_settled(said: Said) -> bool:
    """Whether it need not be asked again: an answer came, whatever it was."""
    match said:
        case Judgement(votes=votes):
            return bool(votes) and not any(vote.error for vote in votes)
        case Similarity(cosine=cosine):
            return cosine is not None
        case Called():
            return False  # the file may be another by now


class Book:
    """The two files, open for appending; closed by leaving the block."""

    def __init__(self, folder: Path, results: Path) -> None:
        self._paths = (folder / FILE, results / FILE)

    def __enter__(self) -> Self:
        for path in self._paths:
            _refuse_odd(path)
        try:
            self._own, self._all = (path.open("ab", buffering=0) for path in self._paths)
        except OSError as error:
            raise RunDirectoryError(f"{error.filename}: cannot be written: {error.strerror}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._own.close()
        self._all.close()

    def keep(self, said: Said) -> None:
        """Write down *said*; what may be of use to other runs, for all of them."""
        line = _encode(said) + b"\n"
        try:
            self._own.write(line)
            if is_settled(said):
                self._all.write(line)
        except OSError as error:
            raise RunDirectoryError(f"{self._paths[0]}: cannot be written: {error.strerror}") from error

    def recall(self, said: Said) -> None:
        """Write down what another run was told: it is part of this one's record, too."""
        try:
            self._own.write(_encode(said) + b"\n")
        except OSError as error:
            raise RunDirectoryError(f"{self._paths[0]}: cannot be written: {error.strerror}") from error
