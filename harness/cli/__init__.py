"""The command line: one file per command, heavy imports only inside the commands."""

import logging
import sys
import traceback
from inspect import cleandoc
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from harness import __version__
from harness.cli.baseline import baseline
from harness.cli.calibrate import calibrate
from harness.cli.check import check
from harness.cli.compare import compare
from harness.cli.confirm import confirm
from harness.cli.flaky import flaky
from harness.cli.gate import gate
from harness.cli.grade import grade
from harness.cli.import_ import import_
from harness.cli.init import init
from harness.cli.judge import judge
from harness.cli.limit import limit
from harness.cli.optional import OptionalValue
from harness.cli.plan import plan
from harness.cli.read import read
from harness.cli.report import report
from harness.cli.run import run
from harness.cli.runs import runs
from harness.cli.schema import schema
from harness.cli.serve import serve
from harness.cli.tab import answered, mend_scripts
from harness.cli.view import view
from harness.errors import Exit, HarnessError

_log = logging.getLogger("harness")

app = typer.Typer(
    name="harness",
    help="Evaluate and load-test Sigma chat agents.",
    no_args_is_help=True,
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
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            envvar="HARNESS_DEBUG",
            help="Log every request on standard error (never a header or a body), and show tracebacks.",
        ),
    ] = False,
) -> None:
    if debug:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        _log.addHandler(handler)
        _log.setLevel(logging.DEBUG)


for command in (
    *(init, check, run, plan, limit, calibrate, serve, read, grade),
    *(compare, gate, confirm, flaky, runs, report, view, schema),
):
    app.command(cls=OptionalValue)(command)
app.add_typer(import_)
app.add_typer(judge)
app.add_typer(baseline)
mend_scripts()
for group in (app, import_, judge, baseline):
    for registered in group.registered_commands:
        # Typer keeps the line ends of a docstring, and wraps what is left of each.
        told = cleandoc((registered.callback and registered.callback.__doc__) or "").split("\n\n")
        registered.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in told)


def main() -> None:
    """Run the command line; a `HarnessError`, or a bug of ours, becomes its message and its exit code.

    Without ``--debug`` no traceback is shown. No traceback ever shows the values of variables: a key may be
    among them.

    What standard output has no letter for is written as an escape, as on standard error: a run that is over
    must not end in a traceback, and exit code 1, for want of a dash.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        if not answered(app):
            app()
    except HarnessError as error:
        _say(error, f"{error}")
        sys.exit(error.exit_code)
    except Exception as error:  # noqa: BLE001  here is nobody left who could deal with it
        _say(error, _bug(error))
        sys.exit(Exit.BUG)
    except BaseException as error:
        if not _is_panic(error):
            raise
        _say(error, _GAVE_UP)
        sys.exit(Exit.ENVIRONMENT)


_GAVE_UP = (
    "polars gave up on a table of this run: a file of it is damaged, or this machine has no files or memory "
    "left. harness grade RUN --retime makes all tables anew"
)


def _is_panic(error: BaseException) -> bool:
    """Whether polars gave up: by name, since it is loaded only where tables are. It is no `Exception`."""
    if isinstance(error, BaseExceptionGroup):
        return any(map(_is_panic, error.exceptions))
    return type(error).__name__ == "PanicException"


def _say(error: BaseException, message: str) -> None:
    """What went wrong, on standard error; with ``--debug``, where."""
    from harness.redact.veil import last
    from harness.report.visible import visible

    if _log.isEnabledFor(logging.DEBUG):
        typer.echo(visible(last().text("".join(traceback.format_exception(error)))), err=True)
    typer.echo(visible(last().text(message)), err=True)


def _bug(error: Exception) -> str:
    """What to say of a bug: where it is, and not what it says, which may quote anything."""
    while isinstance(error, ExceptionGroup) and error.exceptions[0].__traceback__ is not None:
        error = error.exceptions[0]
    there = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{type(error).__name__} in {Path(there.filename).name}, line {there.lineno}"
    return (
        f"this is a bug in sigma-harness {__version__}, and no fault of your suite or of Sigma: {where}. "
        "What was journalled is whole. Please report it, with what harness --debug shows for the same command"
    )
