"""Which runs there are: folders of the results that hold a manifest, and nothing outside of them.

One that has the name and the journal of a run and no manifest is a run, too: a damaged one. What stands in a
URL is only ever compared with names that were read from the disk. A link that leads out of the results is not
followed; `latest` is, to the run beside it.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import msgspec
from msgspec import Struct

from harness.journal import JOURNAL, UNREADABLE
from harness.record.store import LATEST, MANIFEST, Rerun, is_being_written, odd_one

SILENT_S = 30.0
"""A run that goes on writes a line a second, and a judge an answer in less than this."""

NOT_FOLLOWED = "is a link, a pipe or a device, which is not followed"

Standing = Literal["done", "going", "silent"]

_RUN_ID = re.compile(r"(\d{8}T\d{6}Z)-[0-9a-f]{4}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run is: the folder of its suite, its id, and its own folder."""

    suite: str
    run_id: str
    folder: Path

    @property
    def url(self) -> str:
        """Its page in the view."""
        return f"/run/{_quoted(self.suite)}/{_quoted(self.run_id)}"

    @property
    def began(self) -> datetime | None:
        """When it began, by the name of its folder; None where that is none that we give."""
        match = _RUN_ID.fullmatch(self.run_id)
        try:
            return datetime.strptime(match[1], "%Y%m%dT%H%M%S%z") if match else None
        except ValueError:  # a 31st of February
            return None

    @property
    def bytes(self) -> int:
        """What its files take, by their sizes, of those that we may look at; no link is followed."""
        return sum(_sizes(self.folder))


class Head(Struct, frozen=True, kw_only=True):
    """What a list of runs shows of a manifest: of any version that has these."""

    run_id: str
    suite: str
    target: str
    planned: int
    started_at: str
    started_ns: int
    ended_ns: int | None = None
    exit_code: int | None = None
    interrupted: bool = False
    options: dict[str, Any] = {}
    rerun: Rerun | None = None
    verdict: dict[str, Any] | None = None
    gate: dict[str, Any] | None = None


_head = msgspec.json.Decoder(Head).decode


def places(results: Path) -> list[Place]:
    """Every folder of a run, the newest first. Links are passed over."""
    found = [
        Place(suite, run_id, results / suite / run_id)
        for suite in _folders(results)
        for run_id in _folders(results / suite)
        if _is_run(results / suite / run_id)
    ]
    return sorted(found, key=lambda place: place.run_id, reverse=True)


def place(results: Path, suite: str, run: str) -> Place | None:
    """The run of these names, or None; `latest` is what that link beside the runs of the suite leads to."""
    if suite not in set(_folders(results)):
        return None
    runs = set(_folders(results / suite))
    link = results / suite / run
    if run == LATEST and link.is_symlink():
        run = link.readlink().name
    if run not in runs or not _is_run(results / suite / run):
        return None
    return Place(suite, run, results / suite / run)


def head(folder: Path) -> Head | str:
    """The manifest of the run in *folder*, or what is wrong with it."""
    try:
        if (name := odd_one(folder)) is not None:
            return f"{name} {NOT_FOLLOWED}"
        return _head((folder / MANIFEST).read_bytes())
    except OSError as error:
        return f"{MANIFEST} cannot be read: {error.strerror}"
    except UNREADABLE as error:
        return f"{MANIFEST} is none of this version: {error}"


def standing(folder: Path, exit_code: int | None) -> Standing:
    """Whether a run is done, going, or *silent*: it has no exit code, and wrote nothing for a while."""
    if exit_code is not None:
        return "done"
    return "going" if is_being_written(folder) or quiet_s(folder) < SILENT_S else "silent"


def quiet_s(folder: Path) -> float:
    """Seconds since something was last written in *folder*."""
    written = [0.0]
    with suppress(OSError), os.scandir(folder) as entries:  # a run may be deleted meanwhile, or not be ours
        for entry in entries:
            with suppress(OSError):  # a file that was being written has its own name now
                written.append(entry.stat(follow_symlinks=False).st_mtime)
    return max(0.0, datetime.now(UTC).timestamp() - max(written))


def _is_run(folder: Path) -> bool:
    """Whether it holds a manifest; one that has a run's name and journal had one, or is about to.

    One of such a name that nobody lets us look into is taken for one, too.
    """
    has_name = bool(_RUN_ID.fullmatch(folder.name))
    try:
        return (folder / MANIFEST).is_file() or (has_name and (folder / JOURNAL).is_file())
    except PermissionError:
        return has_name


def _sizes(folder: Path) -> Iterator[int]:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _sizes(Path(entry.path))
            else:
                with suppress(OSError):
                    yield entry.stat(follow_symlinks=False).st_size


def _folders(parent: Path) -> Iterator[str]:
    try:
        with os.scandir(parent) as entries:
            yield from sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return


def _quoted(name: str) -> str:
    return quote(name, safe="")
