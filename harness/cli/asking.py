"""A question to whoever sits at the terminal, before something that cannot be taken back."""

import select
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from harness.decide.forecast import Forecast
    from harness.limit.search import Span
    from harness.plan.trials import Plan


def agreed(question: str, *, what: str) -> bool:
    """Whether the answer to *question* was yes; a Ctrl-C is a no.

    Raises `UsageError` where nobody is there to answer; *what* is what would be done.
    """
    from harness.errors import UsageError
    from harness.report.visible import visible

    if not (sys.stdin and sys.stdin.isatty()):  # a job may be started with none at all
        raise UsageError(f"{what}: nobody is at a terminal to be asked; --yes goes on without asking")
    try:
        while True:
            typer.echo(f"{visible(question)} [y/N]: ", err=True, nl=False)
            match _line().strip().lower():
                case "y" | "yes":
                    return True
                case "" | "n" | "no":
                    return False
                case _:
                    typer.echo("y or n", err=True)
    except KeyboardInterrupt:
        typer.echo("", err=True)
        return False


def _line() -> str:
    """What is typed, up to its Enter.

    A Ctrl-C that comes the moment before a read begins does not end the read: Python knows of it, but has no
    turn until a line was typed. So a read begins only when there is a line, and Python has a turn until then.
    """
    while sys.platform != "win32" and not select.select([sys.stdin], [], [], 0.1)[0]:
        continue
    return sys.stdin.readline()


def before_spending(
    results: Path, above: Sequence[str], talk: "Console | None"
) -> "Callable[[Plan, str | None], None]":
    """What asks before a plan is sent that takes more than may be spent without a word.

    *above* is what the command line says of that. A no ends the command with the exit code of a Ctrl-C before
    the first trial, which it is another word for. Raises `UsageError` where *above* is no amount.
    """
    from harness.decide.forecast import takes

    return _before(above, talk, lambda plan: takes(plan, results))


def before_searching(
    results: Path, above: Sequence[str], talk: "Console | None", suite: str, span: "Span", for_ns: int
) -> "Callable[[Plan, str | None], None]":
    """The same for a search of *span* for the limit of *suite*: asked of the plan of its first probe.

    A probe is measured for *for_ns* at the longest, and begins its load for longer than that.
    """
    from harness.decide.forecast import search_takes
    from harness.limit.probing import WARM_UP
    from harness.limit.search import most_asked

    loads = None if span.whole else most_asked(span)  # how many trials workers come to depends on Sigma
    trials = None if loads is None else round(loads * for_ns * (1 + WARM_UP) / 1e9)
    upto = (
        "without --max" if span.most is None else f"up to {span.most:g}{' workers' if span.whole else '/s'}"
    )
    counted = "" if trials is None else f", of {trials:,} trials,"
    return _before(
        above,
        talk,
        lambda plan: search_takes(plan, trials, results, suite),
        search=f"a search {upto}{counted}",
    )


def _before(
    above: Sequence[str], talk: "Console | None", taken: "Callable[[Plan], Forecast]", search: str = ""
) -> "Callable[[Plan, str | None], None]":
    from harness.decide.spending import beyond, is_free, limits_of, not_known
    from harness.errors import Exit
    from harness.report.live import say
    from harness.suite.model import Budget

    limits_of(Budget(), above)

    def ask(plan: "Plan", target: str | None) -> None:
        if is_free(plan.suite, target):
            return
        told = taken(plan)
        limits = limits_of(plan.suite.budget, above)
        question = beyond(plan, told, limits, search=search)
        if question and not agreed(f"{question}. Send it?", what=question):
            typer.echo("nothing was sent", err=True)
            raise typer.Exit(Exit.INCOMPLETE)
        if unknown := not_known(plan, told, limits, search=search):
            say(talk, unknown)

    return ask
