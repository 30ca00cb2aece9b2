"""`harness compare A B`: two runs, or two variants, prompt by prompt."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from harness.cli import complete


def compare(
    before: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="Before: RUN, RUN:VARIANT, a baseline; or a variant, with --of.",
            autocompletion=complete.runs,
            show_default=False,
        ),
    ],
    after: Annotated[
        str,
        typer.Argument(
            metavar="B",
            help="After, held against A: the same.",
            show_default=False,
            autocompletion=complete.runs,
        ),
    ],
    of: Annotated[
        str | None,
        typer.Option(
            "--of", metavar="RUN", help="A and B are variants of this run.", autocompletion=complete.runs
        ),
    ] = None,
    question: Annotated[
        str,
        typer.Option(
            help="[bold]suite[/]: would these prompts come out the same? [bold]population[/]: what of all "
            "questions that they are drawn from?"
        ),
    ] = "suite",
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", help="Only this metric, such as ttft.p90 or ttft<=2s; may be given again."),
    ] = None,
    traces: Annotated[
        bool, typer.Option("--traces/--no-traces", help="Look where the replies first part.")
    ] = True,
    results: Annotated[Path, typer.Option(help="Where runs are kept.")] = Path("results"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything as JSON, on standard output.")
    ] = False,
) -> None:
    """Compare two runs, or two variants of one run, prompt by prompt.

    Every figure has its interval and the counts behind it; B is held against A. The exit code is 0 whatever
    is found: [bold]harness gate[/] decides.
    """
    from rich.console import Console

    from harness.compare.comparison import Asked
    from harness.compare.comparison import compare as compare_arms
    from harness.decide.sides import pairs
    from harness.errors import UsageError
    from harness.report.decided import comparison
    from harness.report.visible import document
    from harness.suite.metric import metric as metric_of

    if question not in {"suite", "population"}:
        raise UsageError(f"--question {question}: allowed are suite and population")
    try:
        metrics = [metric_of(name) for name in metric] if metric else None
    except ValueError as error:
        raise UsageError(f"--metric: {error}") from error
    kind: Literal["suite", "population"] = "population" if question == "population" else "suite"
    asked = Asked(kind, metrics, traces=traces)
    found = [
        compare_arms(pair.before, pair.after, asked, flags=pair.flags)
        for pair in pairs(before, after, results, run=of)
    ]
    if as_json:
        typer.echo(document(found))
        return
    console = Console()
    console.width = console.width if console.is_terminal else 160
    for number, each in enumerate(found):
        if number:
            console.print()
        console.print(comparison(each), crop=False)
