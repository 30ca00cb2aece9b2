"""`harness flaky [SUITE|RUN]`: which prompts are stable over many runs, which are flaky, and since when."""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import complete

if TYPE_CHECKING:
    from rich.table import Table

    from harness.flaky import Entry, Ledger

_CLEAN = 0.05
_SAYS = {"bad": "confirmed", "good": "was flaky", "open": "undecided"}


def flaky(
    which: Annotated[
        str | None,
        typer.Argument(
            metavar="SUITE|RUN",
            help="A suite, by name or file; a run, for the suite as of that run. By default the suite of the "
            "newest run.",
            autocompletion=complete.suites_and_runs,
            show_default=False,
        ),
    ] = None,
    half_life: Annotated[
        str, typer.Option(help="A run so long ago counts half as much as the last.")
    ] = "14d",
    every: Annotated[bool, typer.Option("--all", help="List those that never failed, too.")] = False,
    results: Annotated[Path, typer.Option(help="Where runs are kept.")] = Path("results"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything as JSON, on standard output.")
    ] = False,
) -> None:
    """Tell which prompts are flaky, by all whole runs of a suite, and how to let one decide nothing.

    A prompt is called stable or flaky only where that is nine times as likely as not. The lines for
    [bold]quarantine:[/] are for pasting into the suite. The exit code is 0 whatever is found: [bold]harness
    gate[/] decides.
    """
    from datetime import UTC

    from rich.console import Console

    from harness.flaky import ledger, meant, quarantine_lines
    from harness.report.fitting import Fitting
    from harness.report.visible import document

    found = meant(which, results)
    told = ledger(found.suite, found.results, _days(half_life), last=found.last)
    if as_json:
        typer.echo(document(told))
        return
    today = datetime.now(UTC)
    console = Console()
    console.width = console.width if console.is_terminal else 200
    listed = [entry for entry in told.entries if every or entry.failed]
    if listed:
        console.print(Fitting(_table(listed)), crop=False)
    talk = Console(stderr=True)
    for line in _remarks(told, today):
        talk.print(line, style="dim", highlight=False, markup=False, soft_wrap=True)
    lines = list(quarantine_lines(told, today))
    if lines:
        typer.echo("quarantine:                       # for the suite; owner: NAME says who mends it")
        typer.echo("\n".join(lines))


def _days(half_life: str) -> float:
    from harness.errors import UsageError
    from harness.suite.literals import duration

    try:
        days = duration(half_life) / 86_400e9
    except ValueError as error:
        raise UsageError(f"--half-life {half_life}: {error}") from error
    if not days:
        raise UsageError(f"--half-life {half_life}: it is longer than 0, such as 14d")
    return days


def _remarks(told: "Ledger", today: datetime) -> Iterator[str]:
    """What was read and what not, what crept, and what may leave its quarantine."""
    from harness.flaky import is_held
    from harness.report.live import several
    from harness.stats.flaky import clean_runs_to_exclude

    green = sum(not entry.failed for entry in told.entries)
    runs = f"{several(len(told.runs), 'run')} of {told.suite} read, {len(told.left_out)} left out"
    yield f"{runs}; {len(told.entries)} prompts × variants, {green} of them never failed"
    if green:
        need = clean_runs_to_exclude(_CLEAN)
        yield f"it takes {need} repeats without a failure to exclude that one in {1 / _CLEAN:.0f} fails"
    for run, why in told.left_out.items():
        yield f"left out: {run}: {why}"
    if told.gone:
        yield f"not listed: {len(told.gone)} that the suite does not have any more"
    for drift in told.drifts:
        yield (
            f"{drift.variant}: its pass rate crept down since {drift.since}, by {drift.alarm} too far to be "
            f"chance (CUSUM over {drift.runs} runs)"
        )
    for entry in told.entries:
        if entry.name == "stable pass" and is_held(entry, today):
            yield f"{entry.case_id} [{entry.variant}] is stable again: its line in quarantine: can go"


_COLUMNS: dict[str, "Callable[[Entry], str]"] = {
    "is": lambda entry: f"{entry.name}, newly failing" if entry.newly_failing else entry.name,
    "likely": lambda entry: f"{_mass(entry):.0%}",
    "runs": lambda entry: str(entry.runs),
    "passed": lambda entry: str(entry.passed),
    "failed": lambda entry: str(entry.failed),
    "missing": lambda entry: str(entry.missing),
    "flips": lambda entry: "–" if entry.flip_rate is None else f"{entry.flip_rate:.0%}",
    "tool paths": lambda entry: (
        "–" if entry.path_bits is None else f"{entry.paths} ({entry.path_bits:.1f} bits)"
    ),
    "last failed": lambda entry: entry.last_failed or "",
    "changed": lambda entry: (
        "" if entry.since is None else f"{entry.since}: {entry.before:.0%} → {entry.after:.0%}"
    ),
    "asked again": lambda entry: (
        "" if (found := entry.confirmed) is None else f"{found.day}: {_SAYS[found.word]}"
    ),
    "quarantined until": lambda entry: entry.quarantined or "",
}
_NUMBERS = {"likely", "runs", "passed", "failed", "missing", "flips"}
_SELDOM = {"changed", "asked again", "quarantined until"}


def _mass(entry: "Entry") -> float:
    """How likely it is to be what it is called; of one that is called nothing, the likeliest."""
    return entry.masses.get(entry.name, max(entry.masses.values()))


def _table(entries: "list[Entry]") -> "Table":
    from rich.text import Text

    from harness.report.fitting import plain

    table = plain()
    told = {title: [cell(entry) for entry in entries] for title, cell in _COLUMNS.items()}
    told = {title: cells for title, cells in told.items() if title not in _SELDOM or any(cells)}
    for title in ("prompt", "variant", *told):
        table.add_column(title, justify="right" if title in _NUMBERS else "left", overflow="fold")
    for entry, *cells in zip(entries, *told.values(), strict=True):
        table.add_row(Text(entry.case_id), Text(entry.variant), *map(Text, cells))
    return table
