"""A recorded run as a page: read from disk, with its charts, and held against what its gate held it against.

Above `harness.decide.sides`, which knows what a run is compared with. Nothing is asked of anybody here,
nothing graded, and no Python of a suite is run: a folder of results may come from a stranger.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import polars as pl

from harness.compare.arms import Arm
from harness.compare.comparison import Asked, Comparison, compare
from harness.decide.sides import Against, Pair, Standing, against, bench, pairs, source
from harness.errors import HarnessError, RunDirectoryError, UsageError
from harness.record.baselines import selected
from harness.record.runs import planned, run_folder
from harness.record.store import Manifest, read_manifest
from harness.record.tables import scan
from harness.report import charts, html, pages, versus
from harness.report.story import story
from harness.report.twins import twins
from harness.verdict.word import Verdict

Say = Callable[[str], None]
"""Told what goes on, for whoever waits."""

_COMPARED = 12
"""Arms that a page holds against their baselines."""


def page(folder: Path, results: Path, say: Say = lambda _: None) -> str:
    """The run in *folder* as one HTML file; a baseline is looked for in *results*."""
    say("reading the tables")
    told = story(folder)
    manifest = told.outcome.manifest
    say("drawing charts")
    drawn = _drawn(charts.of_run(partial(scan, folder=folder), manifest))
    say("comparing with the baseline")
    compared, why_not = _against_baseline(folder, results, told.outcome.verdict)
    say("writing the page")
    return html.page(told, html.Beside(drawn, compared, why_not))


def _drawn(found: Iterable[charts.Chart]) -> list[html.Drawn]:
    return [
        html.Drawn(
            each.name,
            each.title,
            each.says,
            pages.ours(charts.svg(each, charts.DESK)),
            pages.ours(charts.svg(each, charts.PHONE)),
        )
        for each in found
    ]


def _against_baseline(folder: Path, results: Path, verdict: Verdict | None) -> tuple[list[Comparison], str]:
    """How the run compares with its baseline, and why it does not, where one is named that is not there."""
    manifest = read_manifest(folder)
    if why := selected(manifest):
        return [], f"it is held against no baseline: {why}"
    try:
        plan = planned(manifest, {})
        if plan.suite.gates is None:
            return [], ""
        name = (manifest.gate or {}).get("baseline")
        than = against(plan.suite, plan.variants, results, name)
        if than is None or than.folders == (folder.resolve(),):
            return [], ""
        on = bench(Standing(plan, manifest, source(folder), verdict), than)
    except HarnessError as error:
        return [], f"it cannot be held against a baseline: {error}"
    found = [
        compare(baseline, on.arms[key], Asked(), flags=on.notes)
        for key, baseline in on.baselines.items()
        if not _is_itself(than, key) and len(baseline.trials) and len(on.arms[key].trials)
    ]
    left = len(found) - _COMPARED
    return found[:_COMPARED], f"{left} more arms are not compared here" if left > 0 else ""


def _is_itself(than: Against, key: tuple[str, str]) -> bool:
    return than.is_variant and key[0] == than.name


def compared_page(before: str, after: str, results: Path, say: Say = lambda _: None) -> str:
    """Two runs, or two variants, against each other as one HTML file; each is named as `pairs` takes it."""
    say("comparing")
    found = pairs(before, after, results)
    folders = _folders((before, after), results)
    told = [_told(pair, folders, results) for pair in found]
    say("drawing charts")
    missing = {why for _, why in told if why}
    drawn: list[html.Drawn] = []
    try:
        drawn = _drawn(_over_each_other(found, folders, results))
    except RunDirectoryError as error:
        missing.add(f"there are no charts: {error}")
    say("writing the page")
    sides = tuple(_manifests(getattr(found[0], side), folders, results) for side in ("before", "after"))
    compared = versus.Versus((before, after), sides, [each for each, _ in told], tuple(sorted(missing)))
    return versus.page(compared, drawn)


def _told(pair: Pair, folders: Mapping[str, Path], results: Path) -> tuple[versus.Told, str]:
    """What a pair comes to, with answers of both; and why these are not there, as of a pinned baseline."""
    told = compare(pair.before, pair.after, flags=pair.flags)
    sources = (*pair.before.sources, *pair.after.sources)
    there = {one.run: _folder(one.run, folders, results) for one in sources}
    try:
        return versus.Told(told, tuple(twins(told, (pair.before, pair.after), there))), ""
    except RunDirectoryError as error:
        return versus.Told(told, ()), f"there are no answers side by side: {error}"


def _folders(names: Iterable[str], results: Path) -> dict[str, Path]:
    """The folders of the runs that *names* name, by the names that they have in a comparison."""
    found: dict[str, Path] = {}
    for name in names:
        for written in (name, name.partition(":")[0]):
            with suppress(UsageError):
                folder = run_folder(written, results)
                found[folder.name] = folder
                break
    return found


def _folder(run: str, folders: Mapping[str, Path], results: Path) -> Path:
    return folders[run] if run in folders else run_folder(run, results)  # a run of a baseline of several


def _manifests(arm: Arm, folders: Mapping[str, Path], results: Path) -> tuple[Manifest, ...]:
    return tuple(read_manifest(_folder(each.run, folders, results)) for each in arm.sources)


def _over_each_other(
    found: Sequence[Pair], folders: Mapping[str, Path], results: Path
) -> Iterable[charts.Chart]:
    """Charts of both sides over each other, of the last run of each; of variants of other names one pair."""
    alike = found[0].before.variant == found[0].after.variant
    sides = [
        [getattr(pair, side) for pair in (found if alike else found[:1])] for side in ("before", "after")
    ]
    labels = f"A {_called(sides[0])}", f"B {_called(sides[1])}"
    scans = [partial(_of_arms, arms, _folder(arms[0].sources[-1].run, folders, results)) for arms in sides]
    return charts.of_comparison(scans[0], scans[1], labels)


def _called(arms: Sequence[Arm]) -> str:
    """What one side is called: the arm where it is one, else its run."""
    return f"{arms[0].variant} ({arms[0].phase})" if len(arms) == 1 else arms[0].sources[-1].run


def _of_arms(arms: Sequence[Arm], folder: Path, name: str) -> pl.LazyFrame:
    """A table of a run, of trials and prompts only those of *arms*."""
    frame = scan(name, folder)
    if name not in {"trials", "cases"}:
        return frame
    mine = ((pl.col("variant") == arm.variant) & (pl.col("phase") == arm.phase) for arm in arms)
    return frame.filter(pl.any_horizontal(*mine))
