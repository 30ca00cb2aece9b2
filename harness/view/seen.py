"""A run as the view sees it: its manifest, its figures, and its tables, whether they are files or not yet."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from threading import Lock

import msgspec
import polars as pl

from harness.errors import RunDirectoryError
from harness.journal import UNREADABLE
from harness.record.places import NOT_FOLLOWED, Place, Standing, standing
from harness.record.store import SUMMARY, Manifest, odd_one, read_manifest
from harness.record.tables import SCHEMAS, scan
from harness.summarise.summary import Summary
from harness.view.following import Following


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run without tables is: results read, bytes not read yet, and why some have no state.

    *behind*: the next look has more.
    """

    done: int
    unread: int
    behind: bool
    ungraded: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A run to be shown.

    *scan* gives a table that is read only as far as a question needs, *of_trial* all tables of one trial.
    *progress* is there while there are no tables; a *summary* is of what was read so far then.
    """

    place: Place
    manifest: Manifest
    standing: Standing
    scan: Callable[[str], pl.LazyFrame]
    of_trial: Callable[[str], Mapping[str, pl.DataFrame]]
    summary: Summary | None
    progress: Progress | None = None


class Followed:
    """The journals that are followed, by the folder of the run: each is read once, however many look on."""

    def __init__(self) -> None:
        self._runs: dict[str, Following] = {}
        self._lock = Lock()

    def of(self, place: Place, manifest: Manifest) -> Following:
        """The journal of this run, read on."""
        with self._lock:
            key = str(place.folder)
            following = self._runs.get(key)
            if following is None or _began(following.manifest) != _began(manifest):
                following = self._runs[key] = Following(place, manifest)
        following.catch_up()
        return following

    def forget(self, place: Place) -> None:
        """Let go of a run that has its tables now."""
        with self._lock:
            self._runs.pop(str(place.folder), None)


def seen(place: Place, followed: Followed) -> Seen:
    """The run at *place*. Raises `RunDirectoryError` where it cannot be read."""
    if (name := odd_one(place.folder)) is not None:
        raise RunDirectoryError(f"{place.suite}/{place.run_id}: {name} {NOT_FOLLOWED}")
    manifest = read_manifest(place.folder)
    stands = standing(place.folder, manifest.exit_code)
    if stands == "done" and _has_tables(place):
        followed.forget(place)
        of_trial = partial(_of_trial, place)
        return Seen(place, manifest, stands, partial(scan, folder=place.folder), of_trial, _summary(place))
    following = followed.of(place, manifest)
    frames = following.frames()
    progress = Progress(following.done, following.unread, following.behind, following.ungraded)
    figures = following.summary(frames) if following.done else None
    return Seen(
        place, manifest, stands, lambda name: frames[name].lazy(), following.of_trial, figures, progress
    )


def _began(manifest: Manifest) -> tuple[int, int]:
    """When a run began, and how often it went on: what it did again is read anew."""
    return manifest.started_ns, len(manifest.resumed)


def _has_tables(place: Place) -> bool:
    try:
        for name in ("trials", "exchanges"):
            scan(name, place.folder)
    except RunDirectoryError:
        return False
    return True


def _summary(place: Place) -> Summary | None:
    try:
        return msgspec.json.decode((place.folder / SUMMARY).read_bytes(), type=Summary)
    except (OSError, *UNREADABLE):
        return None


def _of_trial(place: Place, trial_id: str) -> dict[str, pl.DataFrame]:
    """The rows of one trial in each table. Of a million packets only those of its exchanges are read out."""
    mine = pl.col("trial_id") == trial_id
    exchanges = scan("exchanges", place.folder).filter(mine).collect()
    own = pl.col("exchange_id").is_in(exchanges["exchange_id"].to_list())
    frames = {"exchanges": exchanges}
    for name in ("trials", "grades"):
        frames[name] = scan(name, place.folder).filter(mine).collect()
    for name in ("packets", "tool_calls", "steps", "models", "audits"):
        frames[name] = scan(name, place.folder).filter(own).collect()
    rest = {name: pl.DataFrame(schema=dict(SCHEMAS[name])) for name in SCHEMAS if name not in frames}
    return frames | rest
