"""`harness baseline`: runs given a name, for others to be held against."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import complete

baseline = typer.Typer(name="baseline", help="Name runs that others are held against.", no_args_is_help=True)

_Results = Annotated[Path, typer.Option(help="Where runs are kept.")]


@baseline.command("set")
def set_(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN... NAME",
            help="One run or several, then the name.",
            show_default=False,
            autocompletion=complete.runs,
        ),
    ],
    pin: Annotated[
        bool,
        typer.Option("--pin", help="Keep the tables beside the suite, to be committed with it."),
    ] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Also of a run that was not whole, or unlike the others.")
    ] = False,
    results: _Results = Path("results"),
) -> None:
    """Give a run, or several that are pooled, a name.

    A run that was cut, stopped early or is not to be believed is refused, and so is one whose pass rate is
    unlike that of the others.
    """
    from harness.decide.sides import set_baseline
    from harness.errors import UsageError
    from harness.record.runs import run_folder

    *runs, name = names
    if not runs:
        raise UsageError("harness baseline set RUN NAME: a run and a name are wanted")
    folders = [run_folder(run, results) for run in runs]
    typer.echo(set_baseline(name, folders, results, pin=pin, anyway=anyway), err=True)


@baseline.command("list")
def list_(
    results: _Results = Path("results"),
    as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON, on standard output.")] = False,
) -> None:
    """List the baselines of every suite in the results."""
    from msgspec import to_builtins
    from rich.console import Console

    from harness.record.baselines import everywhere
    from harness.report.fitting import Fitting, plain
    from harness.report.terminal import named
    from harness.report.visible import document

    found = everywhere(results)
    if as_json:
        typer.echo(
            document([{"suite": suite, "name": name} | to_builtins(each) for suite, name, each in found])
        )
        return
    if not found:
        typer.echo(f"no baselines in {results}; harness baseline set RUN NAME makes one", err=True)
        return
    table = plain()
    for title in ("suite", "baseline", "set (UTC)", "runs"):
        table.add_column(title, overflow="fold")
    for suite, name, entry in found:
        at = entry.set_at[:19].replace("T", " ")
        table.add_row(*map(named, (suite, name, at, ", ".join(entry.runs))))
    console = Console()
    console.width = console.width if console.is_terminal else 200
    console.print(Fitting(table), crop=False)


@baseline.command("remove")
def remove(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="The suite it is of.", show_default=False)],
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called.", show_default=False)],
    results: _Results = Path("results"),
) -> None:
    """Take a name away; the runs stay."""
    from harness.record.baselines import forget

    forget(name, suite, results=results)
    typer.echo(f"baseline {name} of {suite} is forgotten; its runs stay", err=True)
