"""Where a run lives: ``results/<suite>/<run-id>/`` and the link ``latest`` beside it.

The manifest is written before the first trial is sent, so that a run that is
killed can be read, and again when it has ended. It holds the suite as it was
written: secrets come from the environment, so none is in it.
"""

import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

import msgspec
from msgspec import Struct

from harness import __version__
from harness.errors import RunDirectoryError
from harness.journal import JOURNAL, UNREADABLE, Leg
from harness.record.histograms import filename
from harness.record.nodes import NodeClock
from harness.record.tables import SCHEMA_VERSION
from harness.sigma.catalogue import Provider
from harness.sigma.fingerprint import Fingerprint

if sys.platform != "win32":
    import fcntl

MANIFEST = "manifest.json"
SUMMARY = "summary.json"
LATEST = "latest"
PROBES = ".limit"
"""What stands behind the name of a suite where runs are that search for its limit: a suite of their own."""
LIMIT = "limit.json"
"""What the latest of these searches found, beside its runs."""


class Checks(Struct, frozen=True):
    """A suite by whose checks a run was graded later: in place of those before or, by *append*, with them."""

    suite_path: str
    suite_text: str
    append: bool


class Rerun(Struct, frozen=True):
    """That a run asked again what had ended in one of *states* in the run *of*.

    Its trials are chosen by how they came out before: what was good luck there is not asked again, so no rate
    of it is one of the suite. *gone* are the ids of those that its suite did not have any more.
    """

    of: str
    states: tuple[str, ...]
    gone: tuple[str, ...] = ()

    @property
    def says(self) -> str:
        """A line for people, who must not take it for a run of the suite."""
        states = " or ".join(state.replace("_", " ") for state in self.states)
        gone = f" ({len(self.gone):,} of that the suite did not have any more)" if self.gone else ""
        return (
            f"a rerun of what ended as {states} in {self.of}{gone}: chosen by how it came out there, so no "
            "figure of it is one of the suite"
        )


class Manifest(Struct, frozen=True, kw_only=True):
    """What a run was made from, and how it ended.

    *started_at* is the wall clock, read once, at *started_ns* of the monotonic clock that every stamp counts
    on. *called* are the names by which the model calls each tool id, *providers* the models there were: an
    audit can be made again. *fingerprint* is of the target before the first trial, *changed* the parts of it
    that were others after the last. *verdict* says whether the run may be believed (`harness.verdict.word`),
    *calibration* how exact its times are, *clock_steps* how often the wall clock was set meanwhile,
    *in_flight_ns* what Little's law is checked with. *deleted* counts what the run deleted of what it had
    made. *spent* is what the budget was kept by. *gate* is what the gate ruled, where the run was gated as it
    went on, and *decided* how many trials of each variant were not sent because their rules were decided;
    None where all were. *confirmed* is what became of prompts that were asked until that was sure.
    *trials_digest* tells whether a plan that is made again is this one. *options* are those of `harness run`
    that decide how it is asked, beside its *choice*. *rerun* is there where it asked again what had come out
    in certain ways. *resumed* are the legs in which it went on after it had
    stopped. *nodes* are the machines of the cluster that sent its trials, where it was one.
    *exit_code* is None while the run goes on, and stays so when it was killed.
    """

    run_id: str
    suite: str
    suite_path: str
    suite_text: str
    target: str
    dialect: str
    seed: int
    choice: dict[str, Any]
    planned: int
    started_at: str
    started_ns: int
    ended_ns: int | None = None
    trials_digest: str = ""
    options: dict[str, Any] = {}
    rerun: Rerun | None = None
    resumed: tuple[Leg, ...] = ()
    nodes: tuple[NodeClock, ...] = ()
    interrupted: bool = False
    checks: tuple[Checks, ...] = ()
    judge: str | None = None
    embeddings: str | None = None
    gate: dict[str, Any] | None = None
    decided: dict[str, int] | None = None
    confirmed: list[dict[str, Any]] | None = None
    verdict: dict[str, Any] | None = None
    calibration: dict[str, Any] | None = None
    clock_steps: int = 0
    in_flight_ns: int | None = None
    exit_code: int | None = None
    called: dict[int, tuple[str, ...]] = {}
    providers: tuple[Provider, ...] = ()
    fingerprint: Fingerprint | None = None
    changed: tuple[str, ...] = ()
    deleted: dict[str, int] = {}
    spent: dict[str, float] = {}
    warnings: tuple[str, ...] = ()
    clock: str = "CLOCK_MONOTONIC (time.perf_counter_ns)"
    schema_version: int = SCHEMA_VERSION
    versions: dict[str, str] = {}


def versions() -> dict[str, str]:
    """What this run runs on."""
    return {"harness": __version__, "python": sys.version.split()[0], "platform": platform.platform()}


def is_where_it_was(manifest: Manifest, folder: Path) -> bool:
    """Whether the suite of the run in *folder* is still there, word for word, and no part of the results.

    Only then is its Python run when the run is graded again: nothing that came with a folder of results is.
    The last of *checks* that it was graded by is meant, if there are any.
    """
    last = manifest.checks[-1] if manifest.checks else manifest
    try:
        path = Path(last.suite_path).resolve()
        if path.is_relative_to(folder.resolve().parent.parent):
            return False
        return path.is_file() and path.read_text(encoding="utf-8-sig") == last.suite_text
    except (OSError, ValueError):  # a name with a NUL in it is the latter, and so is what is no UTF-8
        return False


def new_run(results: Path, suite: str, started_at: datetime) -> Path:
    """A new folder for a run, made, with an empty journal; its name sorts by time.

    Raises `RunDirectoryError` where it cannot be made.
    """
    run_id = f"{started_at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{token_hex(2)}"
    folder = results / filename(suite) / run_id
    try:
        folder.mkdir(parents=True)
        (folder / JOURNAL).touch()
    except OSError as error:
        raise RunDirectoryError(
            f"{folder}: cannot be made: {error.strerror}; choose another place with --results"
        ) from error
    return folder


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Nobody else writes into the run in *folder* meanwhile, on this machine.

    The lock is on the folder itself, and goes with the process that holds it, however that ends. Where the
    file system or the operating system has no such locks (NFS, Windows) there is none. Raises
    `RunDirectoryError` where somebody else writes.
    """
    if sys.platform == "win32":
        yield
        return
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _lock(place, folder)
        yield
    finally:
        os.close(place)


def is_being_written(folder: Path) -> bool:
    """Whether a process of this machine writes into the run in *folder*; False where that cannot be known."""
    if sys.platform == "win32":
        return False
    try:
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        fcntl.flock(place, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(place)
    return False


_TRIES, _BETWEEN_S = 20, 0.01


def _lock(place: int, folder: Path) -> None:
    """Take the lock; who only looks whether it is taken holds it for a moment, too."""
    for left in reversed(range(_TRIES)):
        try:
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not left:
                raise RunDirectoryError(
                    f"{folder}: another harness process writes into this run: it still goes on, or is being "
                    "graded; wait for its end (harness view shows how far it is)"
                ) from None
            time.sleep(_BETWEEN_S)
        except OSError:  # a file system without locks for folders
            return
        else:
            return


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a run. Raises `RunDirectoryError` where there is none of this version.

    And where a file of the run is none (`odd_one`): who reads the manifest goes on to the others.
    """
    path = folder / MANIFEST
    try:
        if (odd := odd_one(folder)) is not None:
            raise RunDirectoryError(f"{folder}: {odd} is a link, a pipe or a device, and no file of a run")
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise RunDirectoryError(f"{path}: cannot be read: {error.strerror}") from error
    except UNREADABLE as error:
        raise RunDirectoryError(f"{path}: not a manifest of this version: {error}") from error


def odd_one(folder: Path) -> str | None:
    """The name of what is no ordinary file in *folder*, if there is such.

    A stranger's link may lead to any file of this machine, for us to show or to write over, and a pipe has
    whoever opens it wait for ever.
    """
    with os.scandir(folder) as entries:
        return next((entry.name for entry in entries if not _is_ordinary(entry)), None)


def _is_ordinary(entry: os.DirEntry[str]) -> bool:
    return entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write the manifest, whole or not at all."""
    write_json(manifest, folder / MANIFEST)


def write_json(value: object, path: Path) -> None:
    """Write *value* as indented JSON, whole or not at all, also where the machine dies."""
    partial = path.with_suffix(".partial")
    try:
        partial.unlink(missing_ok=True)  # of a run that was killed; or a link that somebody put there
        with partial.open("xb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise RunDirectoryError(f"{path}: cannot be written: {error.strerror}") from error


def _sync_folder(folder: Path) -> None:
    """Have the disk hold the names of the files in *folder*, where the system can be asked for that."""
    if sys.platform == "win32":
        return
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(place)
    finally:
        os.close(place)


def point_latest(folder: Path) -> None:
    """Let ``latest`` beside *folder* point to it; skipped where the file system has no links."""
    link = folder.parent / LATEST
    partial = folder.parent / f".latest-{folder.name}"
    try:
        partial.symlink_to(folder.name)
        os.replace(partial, link)  # noqa: PTH105  Path.replace follows the same call; this one says that it is atomic
    except OSError:
        partial.unlink(missing_ok=True)
