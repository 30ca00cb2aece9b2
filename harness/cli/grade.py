"""`harness grade RUN`: the checks once more, on what was recorded."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import complete
from harness.cli.choice import RunName


def grade(
    run: RunName,
    suite: Annotated[
        Path | None,
        typer.Option(
            help="Take the checks of this suite, which asks the same, instead of the run's own.",
            autocompletion=complete.suites,
        ),
    ] = None,
    append: Annotated[
        bool,
        typer.Option("--append", help="With --suite: keep the checks that it was graded by before, too."),
    ] = False,
    retime: Annotated[
        bool, typer.Option("--retime", help="Work out every time and figure again, too, from the stamps.")
    ] = False,
    no_ask: Annotated[
        bool,
        typer.Option(
            "--no-ask",
            help="Ask nobody: what a judge, embeddings or the suite's Python have not said stays ungraded.",
        ),
    ] = False,
    target: Annotated[
        str | None, typer.Option(help="Where the Sigma is that judges, if the judge is Sigma and has moved.")
    ] = None,
    results: Annotated[Path, typer.Option(help="Where runs are kept.")] = Path("results"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON, on standard output.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Grade a recorded run again, without asking Sigma again.

    Replies are read again and every check is made anew, by this version and by the suite as the run has it,
    or by another with --suite. A judge is asked only what it has not said yet. RUN is a folder, an id, the
    name of a suite (its latest run), or [bold]latest[/]. Exit codes are those of [bold]harness run[/].
    """
    from rich.console import Console

    from harness.cli.run import show
    from harness.errors import Exit, UsageError
    from harness.pipeline import Grading, graded_again
    from harness.record.runs import run_folder

    if append and suite is None:
        raise UsageError("--append: with which checks? add --suite FILE")
    talk = Console(stderr=True)
    how = Grading(
        suite=suite,
        append=append,
        retime=retime,
        ask=not no_ask,
        target=target,
        console=None if quiet else talk,
        interruptible=True,
    )
    try:
        done = graded_again(run_folder(run, results), how)
    except KeyboardInterrupt:
        talk.print("interrupted")
        raise typer.Exit(Exit.INCOMPLETE) from None
    show(done, as_json=as_json, talk=talk, warn=quiet)
    raise typer.Exit(done.exit_code)
