"""`harness flaky [SUITE]`: which prompts are stable over many runs, which are flaky, and since when."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from harness.flaky import Ledger


def flaky(
    suite: Annotated[
        str,
        typer.Argument(metavar="SUITE", help="The suite, by the name of its results.", show_default=False),
    ],
    half_life: Annotated[
        str, typer.Option(help="A night so long ago counts half as much as the last.")
    ] = "14d",
    every: Annotated[bool, typer.Option("--all", help="List those that never failed, too.")] = False,
    results: Annotated[Path, typer.Option(help="Where runs are kept.")] = Path("results"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything as JSON, on standard output.")
    ] = False,
) -> None:
    """Tell which prompts are flaky, by all whole runs of a suite, and how to let one decide nothing.

    A prompt is called stable or flaky only where that is nine times as likely as not.
    """
    from datetime import UTC, datetime

    import msgspec
    from rich.console import Console

    from harness.errors import UsageError
    from harness.flaky import ledger, quarantine_lines
    from harness.suite.literals import duration

    try:
        days = duration(half_life) / 86_400e9
    except ValueError as error:
        raise UsageError(f"--half-life {half_life}: {error}") from error
    told = ledger(suite, results, days)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(told), indent=2).decode())
        return
    console = Console()
    console.width = console.width if console.is_terminal else 160
    console.print(_table(told, every=every))
    talk = Console(stderr=True)
    talk.print(f"{len(told.runs)} runs read, {len(told.entries)} prompts", style="dim", highlight=False)
    for run, why in told.left_out.items():
        talk.print(f"left out: {run}: {why}", style="dim", highlight=False, markup=False, soft_wrap=True)
    lines = list(quarantine_lines(told, datetime.now(UTC)))
    if lines:
        typer.echo("quarantine:                       # for the suite; give each an owner")
        typer.echo("\n".join(lines))


def _table(told: "Ledger", *, every: bool) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for title in ("prompt", "variant", "is"):
        table.add_column(title)
    for title in ("likely", "nights", "passed", "failed", "missing", "flips"):
        table.add_column(title, justify="right")
    for title in ("last red", "changed", "quarantined until"):
        table.add_column(title)
    for entry in told.entries:
        if not (every or entry.failed):
            continue
        masses = dict(zip(("stable pass", "stable fail", "flaky"), entry.masses, strict=True))
        likely = masses.get(entry.name, max(entry.masses))
        change = "" if entry.since is None else f"{entry.since}: {entry.before:.0%} → {entry.after:.0%}"
        table.add_row(
            Text(entry.case_id),
            Text(entry.variant),
            entry.name,
            f"{likely:.0%}",
            str(entry.nights),
            str(entry.passed),
            str(entry.failed),
            str(entry.missing),
            "–" if entry.flip_rate is None else f"{entry.flip_rate:.0%}",
            entry.last_red or "",
            change,
            entry.quarantined or "",
        )
    return table
