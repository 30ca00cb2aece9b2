"""Which run is meant: a folder, an id, ``latest``, or a suite's latest; and what it had planned."""

from collections import UserDict
from collections.abc import Iterator
from os import environ
from pathlib import Path

from msgspec import convert

from harness.errors import UsageError, did_you_mean
from harness.plan import Choice, Plan, make_plan
from harness.record.store import MANIFEST, Manifest
from harness.suite.read import parse_suite

_LATEST = "latest"


def run_folder(run: str, results: Path) -> Path:
    """The folder of *run*: a path, an id under *results*, a suite (its latest run), or ``latest`` of all.

    Raises `UsageError` where there is none such, or where several have that id.
    """
    written = Path(run)
    if (written / MANIFEST).is_file():
        return written.resolve()
    if (results / run / MANIFEST).is_file():
        return (results / run).resolve()
    known = sorted(_runs(results), key=lambda folder: folder.name)
    if run == _LATEST and known:
        return known[-1]
    of_suite = [folder for folder in known if folder.parent.name == run]
    named = [folder for folder in known if folder.name == run]
    if len(named) > 1:
        raise UsageError(f"{run} is several runs: {', '.join(map(str, named))}")
    if named or of_suite:
        return (named or of_suite)[-1]
    raise UsageError(_none_such(run, results, known))


def planned(manifest: Manifest) -> Plan:
    """The plan of a run, from what its manifest has of the suite.

    Raises `SuiteError` or `UsageError` where the suite is none of this version, or its files are gone.
    """
    suite = parse_suite(manifest.suite_text, Path(manifest.suite_path), _Remembered(environ))
    return make_plan(suite, convert(manifest.choice, Choice), seed=manifest.seed)


class _Remembered(UserDict[str, str]):
    """The environment, with something for what is not set any more: keys are needed for asking only."""

    def __missing__(self, name: str) -> str:
        return "not-set-now"

    def __contains__(self, name: object) -> bool:
        return True


def _runs(results: Path) -> Iterator[Path]:
    return (path.parent.resolve() for path in results.glob(f"*/*/{MANIFEST}") if not path.parent.is_symlink())


def _none_such(run: str, results: Path, known: list[Path]) -> str:
    if not known:
        return f"no run {run}: there is none in {results}; harness run SUITE makes one, --results says where"
    names = [folder.name for folder in known]
    newest = ", ".join(names[-3:][::-1])
    return f"no run {run} in {results}{did_you_mean(run, names)}; the newest are {newest}, and latest"
