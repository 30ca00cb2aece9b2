"""The command line: one file per command, heavy imports only inside the commands."""

import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from harness import __version__
from harness.cli.baseline import baseline
from harness.cli.calibrate import calibrate
from harness.cli.compare import compare
from harness.cli.confirm import confirm
from harness.cli.flaky import flaky
from harness.cli.gate import gate
from harness.cli.grade import grade
from harness.cli.import_ import import_
from harness.cli.judge import judge
from harness.cli.optional import OptionalValue
from harness.cli.plan import plan
from harness.cli.read import read
from harness.cli.report import report
from harness.cli.run import run
from harness.cli.serve import serve
from harness.cli.view import view
from harness.errors import HarnessError

app = typer.Typer(
    name="harness",
    help="Evaluate and load-test Sigma chat agents.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"harness {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    pass


for command in (run, plan, calibrate, serve, read, grade, compare, gate, confirm, flaky, report, view):
    app.command(cls=OptionalValue)(command)
app.add_typer(import_)
app.add_typer(judge)
app.add_typer(baseline)


def main() -> None:
    """Run the command line; a `HarnessError` becomes its message and its exit code.

    What standard output has no letter for is written as an escape, as on standard error: a run that is over
    must not end in a traceback, and exit code 1, for want of a dash.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except HarnessError as error:
        from harness.report.visible import visible

        typer.echo(visible(f"{error}"), err=True)
        sys.exit(error.exit_code)
