"""`harness report RUN`: a recorded run as text, Markdown or JUnit XML."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.choice import RunName

if TYPE_CHECKING:
    from harness.gate import Ruling

Junit = Annotated[Path | None, typer.Option(help="Write JUnit XML there, for CI.", show_default=False)]
Markdown = Annotated[
    Path | None,
    typer.Option(help="Write a Markdown summary there; - is standard output.", show_default=False),
]


def report(
    run: RunName,
    markdown: Markdown = None,
    junit: Junit = None,
    results: Annotated[Path, typer.Option(help="Where runs are kept.")] = Path("results"),
) -> None:
    """Tell of a recorded run again: in Markdown on standard output, or in files as CI wants them.

    Where GitHub Actions runs it, the summary page of the job and annotations are written, too.
    """
    from harness.record.runs import run_folder

    folder = run_folder(run, results)
    if markdown is None and junit is None:
        markdown = Path("-")
    publish(folder, markdown=markdown, junit=junit)


def publish(
    folder: Path, *, markdown: Path | None, junit: Path | None, ruling: "Ruling | None" = None
) -> None:
    """Write what CI reads of the run in *folder*; raises `RunDirectoryError` where that cannot be."""
    from harness.report import github
    from harness.report.junit import junit as as_junit
    from harness.report.markdown import markdown as as_markdown
    from harness.report.outcome import outcome

    if not (markdown or junit or github.is_here()):
        return
    told = outcome(folder, ruling)
    if markdown == Path("-"):
        typer.echo(as_markdown(told), nl=False)
    elif markdown is not None:
        _write(markdown, as_markdown(told))
    if junit is not None:
        _write(junit, as_junit(told))
    github.show(told, lambda line: typer.echo(line, err=True))


def _write(path: Path, text: str) -> None:
    from harness.errors import RunDirectoryError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunDirectoryError(f"{path}: cannot be written: {error.strerror}") from error
