"""Asking again only what failed: `harness run SUITE --rerun failed,error`.

A rerun is a run of its own, of those trials of another that ended in certain states, found again by their
ids. It is a selection: what passed by luck is not asked again, and what failed by bad luck is likely to pass
now. So nothing rules on it, nothing is held against it, and where a run of the suite is looked for it is
passed over (`baselines.selected`). What was sent under load is left out: a few trials of a load that is open
or lasts for a time are not that load.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
from msgspec import convert

from harness.errors import HarnessError, UsageError, did_you_mean
from harness.grade.states import State
from harness.plan.trials import PARTS, Choice, make_plan
from harness.record.baselines import selected
from harness.record.histograms import filename
from harness.record.places import places
from harness.record.runs import run_folder
from harness.record.store import Manifest, Rerun, read_manifest
from harness.record.tables import scan
from harness.result import Skip
from harness.suite.model import Suite

STATES = (State.FAILED, State.ERROR, State.INVALID, State.NOT_RUN)
_TOLD = 10
"""Ids, or runs, of which there may be many, that are told."""

NO_GATE = (
    "--gate: no gate rules on a rerun, since what it asks was chosen by how it came out before; harness "
    "confirm RUN asks what failed until it is sure, harness run SUITE --gate rules on the whole suite"
)


@dataclass(frozen=True, slots=True)
class Again:
    """What is asked again: *choice* has the trials by their ids, none where nothing is left to be asked.

    *told* are sentences for people: what it is, and what was left out.
    """

    rerun: Rerun
    choice: Choice
    told: tuple[str, ...]


def states_of(written: str) -> tuple[State, ...]:
    """The states of ``failed,error``. Raises `UsageError` for what is none, or cannot be asked for."""
    words = [word.strip().replace("-", "_") for word in written.split(",") if word.strip()]
    for word in words:
        if word not in STATES:
            allowed = ", ".join(STATES)
            raise UsageError(f"--rerun {word}: one or several of {allowed}{did_you_mean(word, STATES)}")
    if not words:
        raise UsageError(f"--rerun: which states? one or several of {', '.join(STATES)}")
    return tuple(state for state in STATES if state in words)


def again(
    suite: Suite, choice: Choice, states: Sequence[State], *, results: Path, of: str | None = None
) -> Again:
    """What of the run *of*, or of the latest whole run of *suite*, ended in one of *states*.

    Of that only what *choice* has. Raises `UsageError` where there is no such run, or it is of another suite.
    """
    folder, passed_over = _meant(suite, results, of)
    manifest = read_manifest(folder)
    _refuse(suite, folder, manifest)
    was = convert(manifest.choice, Choice)
    choice = replace(choice, repeat=was.repeat, extend_to=was.extend_to)
    ended = _ended(folder, states)
    loads = {name for name, load in suite.load.items() if not load.asks_each_once}
    wanted = {trial_id for trial_id, phase in ended if phase not in loads}
    under_load = sorted({phase for _, phase in ended if phase in loads})
    there = _planned(suite, Choice(repeat=was.repeat, extend_to=was.extend_to), wanted)
    chosen = _planned(suite, choice, set(there))
    gone = tuple(trial_id for trial_id, _ in ended if trial_id in wanted and trial_id not in there)
    rerun = Rerun(folder.name, tuple(map(str, states)), gone)
    told = (
        *passed_over,
        f"{len(ended):,} of the {manifest.planned:,} trials of {folder.name} ended as {_words(states)}",
        *_left_out(gone, len(there) - len(chosen), len(ended) - len(wanted), under_load),
    )
    phases = tuple(dict.fromkeys(phase for phase in suite.load if phase in set(chosen.values())))
    return Again(rerun, replace(choice, trials=tuple(chosen), phases=phases), told)


def _planned(suite: Suite, choice: Choice, wanted: set[str]) -> dict[str, str]:
    """Those of the *wanted* trials that *suite* has, in the order of its plan, and the phase of each."""
    if not wanted:
        return {}
    plan = make_plan(suite, replace(choice, trials=tuple(sorted(wanted)), limit=None))
    return {trial.trial_id: trial.phase for trial in plan.trials}


def _ended(folder: Path, states: Sequence[State]) -> list[tuple[str, str]]:
    """The trials of a run in one of *states*, with their phases; not what was not needed."""
    needed = pl.col("skip").fill_null("") != str(Skip.DECIDED)
    found = scan("trials", folder).filter(pl.col("state").is_in(list(map(str, states))) & needed)
    return list(found.select("trial_id", "phase").collect().iter_rows())


def _meant(suite: Suite, results: Path, of: str | None) -> tuple[Path, list[str]]:
    """The run that is meant, and why newer ones are not."""
    if of is not None:
        return run_folder(of, results), []
    over: list[str] = []
    for place in places(results):
        if place.suite != filename(suite.name):
            continue
        try:
            why = why_a_part(read_manifest(place.folder))
        except HarnessError as error:
            why = str(error)
        if not why:
            return place.folder, _some(over)
        over.append(f"passed over: {place.run_id}: {why}")
    told = "\n".join(["", *_some(over)])
    raise UsageError(
        f"--rerun: of which run? {results} has no whole run of {suite.name}; harness run {suite.path} makes "
        f"one, --of RUN says which one is meant{told.rstrip()}"
    )


def _some(lines: list[str]) -> list[str]:
    more = len(lines) - _TOLD
    return lines if more <= 0 else [*lines[:_TOLD], f"and {more} more"]


def why_a_part(manifest: Manifest) -> str:
    """Why a run did not ask all of its suite; empty where it did."""
    if manifest.exit_code is None:
        return "it was killed, or goes on still"
    if manifest.interrupted:
        return f"it was interrupted (harness run --resume {manifest.run_id} goes on with it)"
    part = [name for name in PARTS if manifest.choice.get(name)]
    return selected(manifest) or (f"it was of a part of the suite ({', '.join(part)})" if part else "")


def _refuse(suite: Suite, folder: Path, manifest: Manifest) -> None:
    if manifest.suite != suite.name:
        raise UsageError(
            f"--of: {folder.name} is a run of {manifest.suite}, and {suite.path} is {suite.name}"
        )
    if manifest.exit_code is None:
        raise UsageError(
            f"{folder.name}: it was killed, or goes on still; harness run --resume {folder.name} sends what "
            "is missing of it"
        )


def _words(states: Sequence[State]) -> str:
    return " or ".join(state.replace("_", " ") for state in states)


def _left_out(gone: Sequence[str], not_chosen: int, under_load: int, phases: Sequence[str]) -> Iterator[str]:
    if gone:
        more = f" and {len(gone) - _TOLD:,} more" if len(gone) > _TOLD else ""
        yield f"{len(gone):,} of them the suite does not have any more: {', '.join(gone[:_TOLD])}{more}"
    if under_load:
        yield (
            f"{under_load:,} of them were sent under load ({', '.join(phases)}), which a few trials are not: "
            "they are not asked again"
        )
    if not_chosen:
        yield f"{not_chosen:,} of them are not among what was chosen"
