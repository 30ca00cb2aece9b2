"""Baselines: runs given a name. A name may stand for several runs, whose trials are then pooled.

They are kept beside the runs of their suite, by the ids of those. One that is *pinned* lies beside the suite
itself, as tables without packets or journals, small enough to be committed: a machine that has never run the
suite can be gated by it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from shutil import copy2, rmtree

import msgspec
from msgspec import Struct

from harness.errors import RunDirectoryError, UsageError, did_you_mean
from harness.journal import UNREADABLE
from harness.record.histograms import filename
from harness.record.places import Head
from harness.record.store import MANIFEST, SUMMARY, Manifest, read_manifest, write_json

FILE = "baselines.json"
PINNED = "baselines"
_TABLES = ("trials", "cases", "exchanges", "tool_calls", "audits", "grades")


class Entry(Struct, frozen=True):
    """What a name stands for: the ids of its *runs*, and when it was given."""

    runs: tuple[str, ...]
    set_at: str


class Baseline(Struct, frozen=True):
    """A named baseline: the folders of its runs."""

    name: str
    folders: tuple[Path, ...]
    pinned: bool
    set_at: str = ""


def find(name: str, suite: str, *, results: Path, suite_path: Path) -> Baseline:
    """The baseline of *suite* called *name*: the pinned one, else the one among its *results*.

    Raises `UsageError` where there is none, or where one of its runs is gone.
    """
    found = named(name, suite, results=results, suite_path=suite_path)
    gone = [folder for folder in found.folders if not (folder / MANIFEST).is_file()]
    if gone:
        raise UsageError(f"baseline {name}: its run {gone[0].name} is gone ({gone[0]}); set it anew")
    return found


def everywhere(results: Path) -> list[tuple[str, str, Entry]]:
    """Every baseline among the *results*: its suite, its name, and what it stands for."""
    return [
        (path.parent.name, name, entry)
        for path in sorted(results.glob(f"*/{FILE}"))
        for name, entry in sorted(_read(path.parent).items())
    ]


def names_of(suite: Path) -> dict[str, list[str]]:
    """The names that the runs in the folder of a suite were given, by the ids of those.

    Raises `RunDirectoryError` where that cannot be read.
    """
    names: dict[str, list[str]] = {}
    for name, entry in sorted(_read(suite).items()):
        for run in entry.runs:
            names.setdefault(run, []).append(name)
    return names


def anywhere(name: str, results: Path) -> list[Path]:
    """The runs of the baseline called *name*, of whichever suite it is; none where there is no such name.

    Raises `UsageError` where several suites have one.
    """
    found = [(suite, entry) for suite, called, entry in everywhere(results) if called == name]
    if len(found) > 1:
        suites = ", ".join(suite for suite, _ in found)
        raise UsageError(f"baseline {name} is of several suites: {suites}; name its run, by folder or id")
    return [results / filename(suite) / run for suite, entry in found for run in entry.runs]


def listed(suite: str, *, results: Path, suite_path: Path) -> list[Baseline]:
    """Every baseline of *suite*, the pinned ones first; a name that is pinned hides one that is not."""
    pinned = [_pinned(folder) for folder in sorted(_pins(suite, suite_path).glob("*")) if folder.is_dir()]
    names = {each.name for each in pinned}
    kept = [
        Baseline(
            name,
            tuple(results / filename(suite) / run for run in entry.runs),
            pinned=False,
            set_at=entry.set_at,
        )
        for name, entry in sorted(_read(results / filename(suite)).items())
        if name not in names
    ]
    return [*pinned, *kept]


def keep(name: str, runs: Sequence[Path], suite: str, *, results: Path) -> None:
    """Give *runs* of *suite* a name. Raises `RunDirectoryError` where that cannot be written."""
    entries = _read(results / filename(suite)) | {name: Entry(tuple(run.name for run in runs), _now())}
    write_json(entries, results / filename(suite) / FILE)


def pin(name: str, runs: Sequence[Path], suite: str, *, suite_path: Path) -> Path:
    """Put the tables of *runs* beside the suite, in place of what was pinned by that name; where they are."""
    if not _is_name(name):
        raise UsageError(f"{name!r} is no name for a folder, and a pinned baseline is one")
    folder = _pins(suite, suite_path) / name
    try:
        rmtree(folder, ignore_errors=True)
        for run in runs:
            (folder / run.name).mkdir(parents=True)
            for file in (MANIFEST, SUMMARY, *(f"{table}.parquet" for table in _TABLES)):
                copy2(run / file, folder / run.name / file)
    except OSError as error:
        raise RunDirectoryError(f"{folder}: cannot be written: {error.strerror}") from error
    return folder


def forget(name: str, suite: str, *, results: Path) -> None:
    """Take the name away; the runs stay. Raises `UsageError` where there is none such."""
    entries = _read(results / filename(suite))
    if name not in entries:
        there = f"there are {', '.join(entries)}" if entries else "there are none"
        raise UsageError(f"no baseline {name} of {suite} in {results}: {there}{did_you_mean(name, entries)}")
    write_json(
        {key: entry for key, entry in entries.items() if key != name}, results / filename(suite) / FILE
    )


def named(name: str, suite: str, *, results: Path, suite_path: Path) -> Baseline:
    """The baseline, whether or not its runs are there still. Raises `UsageError` where there is none."""
    there = listed(suite, results=results, suite_path=suite_path)
    found = next((each for each in there if each.name == name), None)
    if found is None:
        names = [each.name for each in there]
        told = f"it has {', '.join(names)}{did_you_mean(name, names)}" if names else "it has none"
        makes = f"harness baseline set RUN {name} makes one of a run"
        raise UsageError(f"no baseline {name} of {suite}: {told}; {makes}")
    return found


def why_not_whole(manifest: Manifest) -> list[str]:
    """Why a run is no ordinary one, which others may be held against; nothing where it is."""
    verdict = (manifest.verdict or {}).get("word")
    told = []
    if manifest.exit_code is None:
        told.append("it was killed, or goes on still")
    if manifest.interrupted:
        told.append("it was interrupted")
    if manifest.decided is not None:
        told.append("it was stopped early, which biases what it found")
    if manifest.rerun is not None:
        told.append(selected(manifest))
    if manifest.changed:
        told.append(f"the target changed while it went on ({', '.join(manifest.changed)})")
    if verdict in {"client-bound", "server-saturated"}:
        told.append(f"its verdict is {verdict}")
    return told


def selected(manifest: Manifest | Head) -> str:
    """Why a run is a selection, by how its trials came out before; empty where it is none."""
    if manifest.rerun is not None:
        states = ", ".join(manifest.rerun.states)
        return f"it is a rerun, of what ended as {states} in {manifest.rerun.of}"
    return "it asked again what had failed in another run" if manifest.options.get("confirm") else ""


def refuse_selected(manifest: Manifest, instead: str) -> None:
    """Raise `UsageError` where a run is a selection; *instead* is what to take in its place."""
    if why := selected(manifest):
        of = f": {manifest.rerun.of}" if manifest.rerun is not None else ""
        raise UsageError(
            f"{manifest.run_id}: {why}; chosen like that, its trials say nothing of the suite. {instead}{of}"
        )


def _read(folder: Path) -> dict[str, Entry]:
    path = folder / FILE
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise RunDirectoryError(f"{path}: this is a link, a pipe or a device, and no file of baselines")
        entries = msgspec.json.decode(path.read_bytes(), type=dict[str, Entry])
    except FileNotFoundError:
        return {}
    except (OSError, *UNREADABLE) as error:
        raise RunDirectoryError(f"{path}: cannot be read: {error}") from error
    odd = next((run for entry in entries.values() for run in entry.runs if not _is_name(run)), None)
    if odd is not None:
        raise RunDirectoryError(f"{path}: {odd!r} is no run beside it: each is the name of a folder")
    return entries


def _is_name(text: str) -> bool:
    """Whether *text* is the name of a folder, and leads to no other."""
    return text not in {"", ".", ".."} and not set(text) & set("/\\\0")


def _pins(suite: str, suite_path: Path) -> Path:
    return suite_path.parent / PINNED / filename(suite)


def _pinned(folder: Path) -> Baseline:
    runs = tuple(sorted(path.parent for path in folder.glob(f"*/{MANIFEST}")))
    set_at = read_manifest(runs[-1]).started_at if runs else ""
    return Baseline(folder.name, runs, pinned=True, set_at=set_at)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
