"""`harness gate RUN`: whether it is good enough, by the rules of its suite."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import complete
from harness.cli.choice import RunName
from harness.cli.report import Junit, Markdown, publish


def gate(
    run: RunName,
    baseline: Annotated[
        str | None,
        typer.Option(
            help="Hold it against this: a variant, a stored baseline, or a run.",
            show_default=False,
            autocompletion=complete.baselines,
        ),
    ] = None,
    suite: Annotated[
        Path | None,
        typer.Option(
            help="Take the gates of this suite instead of the run's own.", autocompletion=complete.suites
        ),
    ] = None,
    results: Annotated[Path, typer.Option(help="Where runs are kept.")] = Path("results"),
    markdown: Markdown = None,
    junit: Junit = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the ruling as JSON, on standard output.")
    ] = False,
) -> None:
    """Rule on a recorded run: pass, fail or inconclusive, with a sentence for each rule.

    Exit codes: 0 pass · 1 fail · 2 no gates, no such run, or no baseline · 3 inconclusive, some trials
    invalid, interrupted, or not to be believed · 4 the results cannot be read.
    """
    from rich.console import Console

    from harness.decide.sides import gated
    from harness.record.runs import run_folder
    from harness.report.decided import ruling
    from harness.report.visible import document

    folder = run_folder(run, results)
    done = gated(folder, results, baseline=baseline, suite=suite)
    if as_json:
        typer.echo(document(done.ruling))
    else:
        console = Console()
        console.width = console.width if console.is_terminal else 160
        console.print(ruling(done.ruling))
    talk = Console(stderr=True)
    for line in done.why_not_believed:
        talk.print(line, style="yellow", highlight=False, markup=False, soft_wrap=True)
    publish(folder, markdown=markdown, junit=junit, ruling=done.ruling)
    raise typer.Exit(done.exit_code)
