"""Which run is meant: a folder, an id, ``latest``, or a suite's latest; and what it had planned."""

from collections import UserDict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from os import environ
from pathlib import Path

from msgspec import convert, structs

from harness.errors import HarnessError, UsageError, did_you_mean
from harness.plan.trials import Choice, Plan, make_plan
from harness.record.baselines import anywhere
from harness.record.store import LATEST, MANIFEST, Checks, Manifest, read_manifest
from harness.suite import ENDINGS
from harness.suite.model import Suite
from harness.suite.prompts import Expect
from harness.suite.read import parse_suite
from harness.suite.resolve import Case

_SHOWN = 5
"""Suites that are named where a run is not found."""


def run_folder(run: str, results: Path) -> Path:
    """The folder of *run*: a path, an id under *results*, a suite (its latest), a baseline, or ``latest``.

    A suite is meant by its name, its file, or the folder of its runs. Raises `UsageError` where there is none
    such, or where several have that id.
    """
    written = Path(run)
    for folder in (written, results / run):
        if (folder / MANIFEST).is_file():
            return folder.resolve()
    known = sorted(_runs(results), key=lambda folder: folder.name)
    if run == LATEST and known:
        return known[-1]
    of_suite = (
        _beside(written)
        or [folder for folder in known if folder.parent.name == run]
        or [*filter(None, [of_file(written, results)])]
    )
    named = [folder for folder in known if folder.name == run]
    if len(named) > 1:
        raise UsageError(f"{run} is several runs: {', '.join(map(str, named))}")
    if named or of_suite:
        return (named or of_suite)[-1]
    pooled = anywhere(run, results)
    if len(pooled) > 1:
        raise UsageError(f"baseline {run} is {len(pooled)} runs: {', '.join(each.name for each in pooled)}")
    if pooled and (pooled[0] / MANIFEST).is_file():
        return pooled[0].resolve()
    raise UsageError(_none_such(run, results, known))


def of_file(path: Path, results: Path) -> Path | None:
    """The newest run under *results* that was made from the suite at *path*; None where there is none."""
    if path.suffix not in ENDINGS or not path.is_file():
        return None
    for folder in sorted(_runs(results), key=lambda each: each.name, reverse=True):
        try:
            if Path(read_manifest(folder).suite_path).resolve() == path.resolve():
                return folder
        except HarnessError:  # of a damaged run nobody knows what it was made from
            continue
    return None


def planned(manifest: Manifest, environment: Mapping[str, str] = environ) -> Plan:
    """The plan of a run, from what its manifest has of the suite, with what it takes from the *environment*.

    Who only shows a run, which may be a stranger's, gives none. Raises `SuiteError` or `UsageError` where the
    suite is none of this version, or its files are gone.
    """
    suite = parse_suite(
        manifest.suite_text, Path(manifest.suite_path), _Remembered(environment), recorded=True
    )
    plan = make_plan(suite, convert(manifest.choice, Choice), seed=manifest.seed)
    for checks in manifest.checks:
        by = parse_suite(checks.suite_text, Path(checks.suite_path), _Remembered(environment), recorded=True)
        plan, _ = with_checks(plan, manifest, by, append=checks.append)
    return plan


def with_checks(plan: Plan, manifest: Manifest, suite: Suite, *, append: bool) -> tuple[Plan, Manifest]:
    """*plan* of a run with the checks of *suite* in place of its own or, with *append*, beside them.

    Also the judge, the embeddings and the prices are from *suite*; what was asked stays what it was. Raises
    `UsageError` where *suite* asks something else than the run did.
    """
    other = make_plan(suite, plan.choice, seed=plan.seed)
    cases = _matched(plan, other, suite)
    merged = {case_id: _with_checks(case, cases[case_id], append) for case_id, case in _cases(plan).items()}
    trials = tuple(replace(trial, case=merged[trial.case.case_id]) for trial in plan.trials)
    cycles = {
        name: replace(cycle, arms=tuple(replace(arm, case=merged[arm.case.case_id]) for arm in cycle.arms))
        for name, cycle in plan.cycles.items()
    }
    kept = {name: getattr(suite, name) for name in ("judge", "embeddings", "prices", "path")}
    by = Checks(str(suite.path), suite.text, append)
    return (
        replace(plan, suite=plan.suite.model_copy(update=kept), trials=trials, cycles=cycles),
        structs.replace(manifest, checks=(*(manifest.checks if append else ()), by)),
    )


def _cases(plan: Plan) -> dict[str, Case]:
    return {asked.case.case_id: asked.case for asked in plan.asked()}


def _matched(plan: Plan, other: Plan, suite: Suite) -> dict[str, Case]:
    """The cases of *other*, which asks all that *plan* asks, word for word."""
    asked = {trial.trial_id for trial in other.trials}
    missing = [trial for trial in plan.trials if trial.trial_id not in asked]
    cases = _cases(other)
    lost = next((case_id for case_id in _cases(plan) if case_id not in cases), None)
    if missing or lost:
        first = f"{missing[0].case.case_id} [{missing[0].variant}]" if missing else lost
        raise UsageError(
            f"{suite.path}: asks something else than this run did: {len(missing)} of its {len(plan.trials)} "
            f"trials are none of the run's, the first is {first}; only checks may be others "
            "(assert, threshold, reduce, judge, embeddings, prices)"
        )
    return cases


def _with_checks(case: Case, other: Case, append: bool) -> Case:  # noqa: FBT001  two ways, named by the caller
    checks = {turn.id: turn.assert_ for turn in other.turns}
    turns = tuple(
        turn.model_copy(update={"assert_": _both(turn.assert_ if append else (), checks[turn.id])})
        for turn in case.turns
    )
    whole = _both(case.conversation_asserts if append else (), other.conversation_asserts)
    changed = replace(case, turns=turns, conversation_asserts=whole, vars=other.vars)
    return changed if append else replace(changed, threshold=other.threshold, reduce=other.reduce)


def _both(first: tuple[Expect, ...], second: tuple[Expect, ...]) -> tuple[Expect, ...]:
    return (*first, *(expect for expect in second if expect not in first))


class _Remembered(UserDict[str, str]):
    """The environment, with something for what is not set any more: keys are needed for asking only."""

    def __missing__(self, name: str) -> str:
        return "https://not-set-now.invalid"  # an address, too, is text that nobody is asked at

    def __contains__(self, name: object) -> bool:
        return True


def _beside(suite: Path) -> list[Path]:
    """The runs in the folder of a suite, the latest last."""
    found = (path.parent for path in suite.glob(f"*/{MANIFEST}") if not path.parent.is_symlink())
    return sorted(folder.resolve() for folder in found)


def _runs(results: Path) -> Iterator[Path]:
    return (path.parent.resolve() for path in results.glob(f"*/*/{MANIFEST}") if not path.parent.is_symlink())


def _none_such(run: str, results: Path, known: list[Path]) -> str:
    if not known:
        return f"no run {run}: there is none in {results}; harness run SUITE makes one, --results says where"
    names = [folder.name for folder in reversed(known)]
    suites = list(dict.fromkeys(folder.parent.name for folder in reversed(known)))
    more = " ..." if len(suites) > _SHOWN else ""
    return (
        f"no run {run} in {results}; the newest are {', '.join(names[:3])}; a suite means its latest run: "
        f"{', '.join(suites[:_SHOWN])}{more}; harness runs lists all{did_you_mean(run, [*names, *suites])}"
    )
