"""Old runs are deleted: which of them may go, and how, so that no half of one ever looks like a run.

A run goes in two steps. It is moved aside, one level deeper than anybody looks for runs, which happens at
once or not at all; then its files are deleted. What a prune that was killed left there is deleted by the
next.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from shutil import rmtree

from harness.errors import RunDirectoryError
from harness.record import store
from harness.record.baselines import names_of, selected
from harness.record.places import Place, head, places, standing

ASIDE = ".pruned"


@dataclass(frozen=True, slots=True)
class Rules:
    """Which runs are old: those beyond the newest *keep* of their suite, and that began *before*.

    Of two rules both have to say so. Only runs of the suite that ended count as kept: one that was killed, or
    asked again what had failed in another, is no reason to delete a whole one. Nor is one whose folder was
    given a name of its own, which no rule is about.
    """

    keep: int | None = None
    before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Old:
    """A run that is old; *stays* is why it is not deleted all the same, empty where it is."""

    place: Place
    stays: str


def old_runs(results: Path, rules: Rules, suite: str | None = None) -> list[Old]:
    """The runs that are old, the newest first; of *suite*, or of all.

    Raises `RunDirectoryError` where it cannot be read which runs baselines name.
    """
    found = [place for place in places(results) if suite is None or place.suite == suite]
    named = {folder: names_of(folder) for folder in {place.folder.parent for place in found}}
    latest = {folder: _latest(folder, found) for folder in named}
    return [
        Old(place, _why(place, named[place.folder.parent], latest[place.folder.parent]))
        for place in _beyond(found, rules)
    ]


def _beyond(found: Iterable[Place], rules: Rules) -> Iterator[Place]:
    ended: Counter[str] = Counter()
    for place in found:
        kept = rules.keep is not None and ended[place.suite] < rules.keep
        young = rules.before is not None and (place.began is None or place.began >= rules.before)
        if not (kept or young):
            yield place
        ended[place.suite] += rules.keep is not None and _counts(place)


def _why(place: Place, named: Mapping[str, Sequence[str]], latest: str | None) -> str:
    """Why a run is never deleted; empty where it may be."""
    if place.began is None:
        return "its folder was given a name of its own"
    if names := named.get(place.run_id):
        return f"baseline {', '.join(names)}"
    if place.run_id == latest:
        return store.LATEST
    if not os.access(place.folder, os.R_OK | os.W_OK | os.X_OK):
        return "this account may not read it and write in it"
    told = head(place.folder)
    exit_code = None if isinstance(told, str) else told.exit_code
    if store.is_being_written(place.folder) or standing(place.folder, exit_code) == "going":
        return "it goes on, or was written to just now"
    return ""


def _latest(suite: Path, found: Iterable[Place]) -> str | None:
    """The latest run of a suite: by the link beside it, else the newest of those *found* that has ended."""
    ended = (place.run_id for place in found if place.folder.parent == suite and _is_kept(place))
    return _linked(suite) or next(ended, None)


def _linked(suite: Path) -> str | None:
    link = suite / store.LATEST
    return link.readlink().name if link.is_symlink() and link.is_dir() else None


def _is_kept(place: Place) -> bool:
    """Whether it may be one of the newest: it has ended, and its name says when it began."""
    told = head(place.folder)
    return place.began is not None and not isinstance(told, str) and told.exit_code is not None


def _counts(place: Place) -> bool:
    """Whether it is one of those that `keep` counts: it may be one of the newest, and is no selection."""
    told = head(place.folder)
    return _is_kept(place) and not isinstance(told, str) and not selected(told)


def delete(place: Place) -> str:
    """Delete a run, unless something has come up that keeps it: that is told, else nothing.

    One that somebody else has deleted meanwhile is gone, too. Raises `RunDirectoryError` where it cannot be
    deleted.
    """
    aside = place.folder.parent / ASIDE
    try:
        if why := _moved_aside(place, aside):
            return why
        rmtree(aside / place.run_id)
        with suppress(OSError):  # somebody else's prune goes on there
            aside.rmdir()
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not place.folder.exists():
            return ""
        raise RunDirectoryError(f"{place.folder}: cannot be deleted: {error.strerror}") from error
    return ""


def _moved_aside(place: Place, aside: Path) -> str:
    if aside.is_symlink():
        raise RunDirectoryError(f"{aside}: this is a link, which is not followed; delete it")
    try:
        with store.writing(place.folder):
            if why := _kept_now(place):
                return why
            aside.mkdir(exist_ok=True)
            place.folder.rename(aside / place.run_id)
    except RunDirectoryError:
        return "somebody writes into it"
    return ""


def _kept_now(place: Place) -> str:
    """Why it stays, for who holds its lock: that it is being written is known to be by ourselves."""
    if names := names_of(place.folder.parent).get(place.run_id):
        return f"baseline {', '.join(names)}"
    return store.LATEST if place.run_id == _linked(place.folder.parent) else ""


def sweep(results: Path) -> int:
    """Delete what a prune that was killed had moved aside; how many runs that were.

    Raises `RunDirectoryError` where that cannot be done.
    """
    left = [run for aside in _asides(results) for run in aside.iterdir()]
    try:
        for run in left:
            with suppress(FileNotFoundError):  # somebody else's prune deletes it, too
                rmtree(run)
        for aside in _asides(results):
            with suppress(OSError):  # the same
                aside.rmdir()
    except OSError as error:
        raise RunDirectoryError(f"{error.filename}: cannot be deleted: {error.strerror}") from error
    return len(left)


def _asides(results: Path) -> list[Path]:
    suites = [folder for folder in results.iterdir() if folder.is_dir() and not folder.is_symlink()]
    asides = [suite / ASIDE for suite in suites if os.access(suite, os.X_OK)]
    return [aside for aside in asides if aside.is_dir() and not aside.is_symlink()]


def mend_latest(suite: Path) -> None:
    """Where the link to the latest run of a suite leads nowhere, point it to the newest that has ended."""
    link = suite / store.LATEST
    if not link.is_symlink() or link.exists():
        return
    mine = (place for place in places(suite.parent) if place.suite == suite.name)
    newest = next(filter(_is_kept, mine), None)
    if newest is None:
        link.unlink()
    else:
        store.point_latest(newest.folder)
