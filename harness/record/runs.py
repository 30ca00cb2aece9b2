"""Which run is meant: a folder, an id, ``latest``, or a suite's latest."""

from collections.abc import Iterator
from pathlib import Path

from harness.errors import UsageError, did_you_mean
from harness.record.histograms import filename
from harness.record.store import MANIFEST

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


def _runs(results: Path) -> Iterator[Path]:
    return (path.parent.resolve() for path in results.glob(f"*/*/{MANIFEST}") if not path.parent.is_symlink())


def _none_such(run: str, results: Path, known: list[Path]) -> str:
    if not known:
        return f"no run {run}: there is none in {results}; harness run SUITE makes one, --results says where"
    names = [folder.name for folder in known]
    newest = ", ".join(names[-3:][::-1])
    return f"no run {run} in {results}{did_you_mean(run, names)}; the newest are {newest}, and latest"
