"""The list of runs: what each is, how it went, and which of them go on."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec
from msgspec import Struct

from harness.errors import Exit, RunDirectoryError
from harness.grade.states import State
from harness.journal import UNREADABLE
from harness.record.baselines import names_of
from harness.record.places import Head, Place, Standing, head, places, standing
from harness.record.store import LIMIT, MANIFEST, PROBES, SUMMARY
from harness.report.live import duration

PAGE = 100


class _Row(Struct, frozen=True):
    variant: str
    passed: int
    failed: int
    error: int
    invalid: int
    not_run: int


class _Figures(Struct, frozen=True):
    rows: tuple[_Row, ...]


_figures = msgspec.json.Decoder(_Figures).decode


class _Found(Struct, frozen=True):
    says: str


_found = msgspec.json.Decoder(_Found).decode


_ENDED: Mapping[int, str] = {Exit.OK: "passed", Exit.FAILED: "failed", Exit.INCOMPLETE: "incomplete"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A run in the list. *states* is empty where it has no summary; *problem* says what is wrong with it."""

    place: Place
    head: Head | None
    problem: str
    standing: Standing
    states: Mapping[str, int]
    variants: Sequence[str]
    baselines: Sequence[str]

    @property
    def took(self) -> str:
        """How long it took, from its first to its last trial."""
        if self.head is None or self.head.ended_ns is None:
            return ""
        return duration((self.head.ended_ns - self.head.started_ns) / 1e9)

    @property
    def at(self) -> str:
        """When it began, in UTC."""
        return "" if self.head is None else utc(self.head.started_at)

    @property
    def verdict(self) -> str:
        """The word of its verdict; empty where there is none."""
        return _word(self.head.verdict if self.head else None)

    @property
    def gate(self) -> str:
        """The word of its gate; empty where it had none."""
        return _word(self.head.gate if self.head else None)

    @property
    def ended(self) -> str:
        """How it ended, in words, or that it did not."""
        if self.head is None:
            return "damaged"
        if self.head.exit_code is None:
            return "going on" if self.standing == "going" else "killed"
        word = "interrupted" if self.head.interrupted else _ENDED.get(self.head.exit_code, "ended")
        return f"{word} ({self.head.exit_code})"

    @property
    def is_about(self) -> str:
        """What it is if it is no run of the suite: it asked again what had not passed in another."""
        if self.head is not None and self.head.rerun is not None:
            return f"rerun of {self.head.rerun.of}: {', '.join(self.head.rerun.states)}"
        is_confirming = self.head is not None and bool(self.head.options.get("confirm"))
        return "confirms what failed" if is_confirming else ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a list of runs is to have; an empty field asks for nothing."""

    suite: str = ""
    text: str = ""
    verdict: str = ""
    page: int = 1


@dataclass(frozen=True, slots=True)
class Runs:
    """A page of runs, of *found* that were asked for, out of *of*."""

    entries: Sequence[Entry]
    found: int
    of: int
    page: int
    pages: int
    suites: Sequence[str]


@dataclass(frozen=True, slots=True)
class Probes:
    """The probes of `harness limit` for one suite, the newest first, as a line of the list.

    *going* says that the newest goes on, *says* what the last search that ended found; empty where none did.
    """

    places: Sequence[Place]
    going: bool
    says: str


class Heads:
    """Manifests that were read, each again only once its file is another."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, int], Head | str]] = {}
        self._lock = Lock()

    def of(self, folder: Path) -> Head | str:
        """The manifest of the run in *folder*, or what is wrong with it."""
        try:
            status = (folder / MANIFEST).stat()
        except OSError as error:
            return f"{MANIFEST} cannot be read: {error.strerror}"
        stamp = (status.st_mtime_ns, status.st_size)
        with self._lock:
            known = self._known.get(folder)
        if known is None or known[0] != stamp:
            known = (stamp, head(folder))
            with self._lock:
                self._known[folder] = known
        return known[1]


def runs(results: Path, asked: Asked, heads: Heads) -> Runs:
    """The runs in *results* that are asked for, the newest first."""
    everything = places(results)
    found = [(place, heads.of(place.folder)) for place in everything]
    kept = [(place, told) for place, told in found if _is_asked(place, told, asked)]
    pages = max(1, -(-len(kept) // PAGE))
    page = min(asked.page, pages)
    shown = [place for place, _ in kept[(page - 1) * PAGE : page * PAGE]]
    suites = sorted({place.suite for place in everything})
    return Runs(entries(shown, heads), len(kept), len(everything), page, pages, suites)


def entries(wanted: Iterable[Place], heads: Heads) -> list[Entry]:
    """What is known of each of these runs, in their order."""
    asked = list(wanted)
    names = {suite: _baselines(suite) for suite in {place.folder.parent for place in asked}}
    return [
        _entry(place, heads.of(place.folder), names[place.folder.parent].get(place.run_id, []))
        for place in asked
    ]


def lines(found: Iterable[Place]) -> list[Sequence[Place]]:
    """What is on each line of a list of *found*: a run, or all probes of a suite where the newest stands."""
    kept: dict[str | Place, list[Place]] = {}
    for place in found:
        kept.setdefault(place.suite if place.suite.endswith(PROBES) else place, []).append(place)
    return list(kept.values())


def probes(of: Sequence[Place], heads: Heads) -> Probes:
    """What is known of the probes *of* a suite."""
    newest, says = of[0], ""
    with suppress(OSError, *UNREADABLE):
        says = _found((newest.folder.parent / LIMIT).read_bytes()).says
    told = heads.of(newest.folder)
    stands = "done" if isinstance(told, str) else standing(newest.folder, told.exit_code)
    return Probes(of, stands == "going", says)


def _is_asked(place: Place, told: Head | str, asked: Asked) -> bool:
    if asked.suite and place.suite != asked.suite:
        return False
    if asked.verdict and (isinstance(told, str) or _word(told.verdict) != asked.verdict):
        return False
    text = f"{place.suite} {place.run_id} {'' if isinstance(told, str) else told.target}"
    return asked.text.lower() in text.lower()


def _entry(place: Place, told: Head | str, named: Sequence[str]) -> Entry:
    if isinstance(told, str):
        return Entry(place, None, told, "done", {}, (), named)
    figures = _read_figures(place.folder)
    states = (
        {str(state): sum(getattr(row, state) for row in figures.rows) for state in State} if figures else {}
    )
    variants = list(dict.fromkeys(row.variant for row in figures.rows)) if figures else []
    stands = standing(place.folder, told.exit_code)
    return Entry(place, told, "", stands, states, variants, named)


def _read_figures(folder: Path) -> _Figures | None:
    try:
        return _figures((folder / SUMMARY).read_bytes())
    except (OSError, *UNREADABLE):
        return None


def _baselines(suite: Path) -> dict[str, list[str]]:
    """The names that runs were given, by id."""
    try:
        return names_of(suite)
    except RunDirectoryError:  # a broken file of names is no reason to show no runs
        return {}


def _word(told: Mapping[str, Any] | None) -> str:
    return str((told or {}).get("word") or "")


def utc(written: str) -> str:
    """A moment of a manifest for people: 2026-11-26 17:59:36 UTC."""
    try:
        return f"{datetime.fromisoformat(written).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    except ValueError:
        return written
