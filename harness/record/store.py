"""Where a run lives: ``results/<suite>/<run-id>/`` and the link ``latest`` beside it.

The manifest is written before the first trial is sent, so that a run that is
killed can be read, and again when it has ended. It holds the suite as it was
written: secrets come from the environment, so none is in it.
"""

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

import msgspec
from msgspec import Struct

from harness import __version__
from harness.errors import RunDirectoryError
from harness.journal import UNREADABLE
from harness.record.histograms import filename
from harness.record.tables import SCHEMA_VERSION
from harness.sigma.catalogue import Provider
from harness.sigma.fingerprint import Fingerprint

MANIFEST = "manifest.json"
JOURNAL = "journal-0.jsonl"
SUMMARY = "summary.json"


class Checks(Struct, frozen=True):
    """A suite by whose checks a run was graded later: in place of those before or, by *append*, with them."""

    suite_path: str
    suite_text: str
    append: bool


class Manifest(Struct, frozen=True, kw_only=True):
    """What a run was made from, and how it ended.

    *started_at* is the wall clock, read once, at *started_ns* of the monotonic clock that every stamp counts
    on. *called* are the names by which the model calls each tool id, *providers* the models there were: an
    audit can be made again. *fingerprint* is of the target before the first trial, *changed* the parts of it
    that were others after the last. *verdict* says whether the run may be believed (`harness.verdict`),
    *calibration* how exact its times are, *clock_steps* how often the wall clock was set meanwhile,
    *in_flight_ns* what Little's law is checked with. *deleted* counts what the run deleted of what it had
    made. *spent* is what the budget was kept by. *gate* is what the gate ruled, where the run was gated as it
    went on, and *decided* how many trials of each variant were not sent because their rules were decided;
    None where all were. *confirmed* is what became of prompts that were asked until that was sure.
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
    path = Path(last.suite_path).resolve()
    if path.is_relative_to(folder.resolve().parent.parent):
        return False
    try:
        return path.read_text(encoding="utf-8-sig") == last.suite_text
    except (OSError, UnicodeDecodeError):
        return False


def new_run(results: Path, suite: str, started_at: datetime) -> Path:
    """A new folder for a run, made; its name sorts by time.

    Raises `RunDirectoryError` where it cannot be made.
    """
    run_id = f"{started_at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{token_hex(2)}"
    folder = results / filename(suite) / run_id
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise RunDirectoryError(
            f"{folder}: cannot be made: {error.strerror}; choose another place with --results"
        ) from error
    return folder


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a run. Raises `RunDirectoryError` where there is none of this version."""
    path = folder / MANIFEST
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise RunDirectoryError(f"{path}: cannot be read: {error.strerror}") from error
    except UNREADABLE as error:
        raise RunDirectoryError(f"{path}: not a manifest of this version: {error}") from error


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write the manifest, whole or not at all."""
    write_json(manifest, folder / MANIFEST)


def write_json(value: object, path: Path) -> None:
    """Write *value* as indented JSON, whole or not at all."""
    partial = path.with_suffix(".partial")
    try:
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
        partial.replace(path)
    except OSError as error:
        raise RunDirectoryError(f"{path}: cannot be written: {error.strerror}") from error


def point_latest(folder: Path) -> None:
    """Let ``latest`` beside *folder* point to it; skipped where the file system has no links."""
    link = folder.parent / "latest"
    partial = folder.parent / f".latest-{folder.name}"
    try:
        partial.symlink_to(folder.name)
        os.replace(partial, link)  # noqa: PTH105  Path.replace follows the same call; this one says that it is atomic
    except OSError:
        partial.unlink(missing_ok=True)
