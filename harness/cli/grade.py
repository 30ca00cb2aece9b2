"""`harness grade RUN --retime`: everything made anew from what was recorded."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.choice import RunName


def grade(
    run: RunName,
    retime: Annotated[
        bool, typer.Option("--retime", help="Work out every time and figure again, too, from the stamps.")
    ] = False,
    results: Annotated[Path, typer.Option(help="Where runs are kept.")] = Path("results"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON, on standard output.")
    ] = False,
) -> None:
    """Grade a recorded run again and remake its tables, without asking Sigma again.

    Replies are read again, and every figure is worked out from the recorded stamps, by the definitions of
    this version. RUN is a folder, an id, the name of a suite (its latest run), or [bold]latest[/].
    """
    from rich.console import Console

    from harness.cli.run import show
    from harness.errors import UsageError
    from harness.pipeline import remade
    from harness.record.runs import run_folder

    if not retime:
        raise UsageError(
            "grading alone, with the times as they were, is not built yet: add --retime, which works out "
            "both again"
        )
    done = remade(run_folder(run, results))
    show(done, as_json=as_json, talk=Console(stderr=True), warn=True)
    raise typer.Exit(done.exit_code)
