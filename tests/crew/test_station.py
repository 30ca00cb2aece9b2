"""The journal of a process on a node lies here as it was written there, behind what was here before."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from harness.crew.station import Book
from harness.errors import RunDirectoryError

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def book(path: Path) -> AsyncIterator[Book]:
    """The journal that comes home to *path*."""
    it = Book(lambda: path)
    try:
        yield it
    finally:
        await it.close()


async def test_bytes_are_appended_as_they_come_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "journal-1.jsonl"
    async with book(path) as it:
        for told in (b'{"a":1}\n{"b"', b"", b":2}\n"):
            await it.append(told)
        assert it.offset == 16
    assert path.read_bytes() == b'{"a":1}\n{"b":2}\n'


async def test_a_line_that_an_earlier_leg_left_torn_is_taken_away_first(tmp_path: Path) -> None:
    path = tmp_path / "journal-1.jsonl"
    path.write_bytes(b'{"a":1}\n{"to')
    async with book(path) as it:
        await it.append(b'{"b":2}\n')
        assert it.offset == 8
    assert path.read_bytes() == b'{"a":1}\n{"b":2}\n'


async def test_where_nothing_came_nothing_is_made(tmp_path: Path) -> None:
    path = tmp_path / "journal-1.jsonl"
    async with book(path) as it:
        await it.append(b"")
    assert not path.exists()


async def test_a_journal_that_is_taken_away_ends_the_run_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "run-1" / "journal-1.jsonl"
    path.parent.mkdir()
    async with book(path) as it:
        await it.append(b"{}\n")
        path.unlink()
        with pytest.raises(RunDirectoryError, match=r"journal-1\.jsonl: cannot be written: .*--resume run-1"):
            await it.append(b"{}\n")


async def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    async with book(tmp_path / "gone" / "journal-1.jsonl") as it:
        with pytest.raises(RunDirectoryError, match="cannot be written: No such file or directory"):
            await it.append(b"{}\n")
