"""`harness report RUN`: a recorded run in the terminal, as a page, or in files for CI and spreadsheets."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import complete

if TYPE_CHECKING:
    from harness.conduct.finish import Run
    from harness.gate.ruling import Ruling

Junit = Annotated[Path | None, typer.Option(help="Write JUnit XML there, for CI.", show_default=False)]
Markdown = Annotated[
    Path | None,
    typer.Option(help="Write a Markdown summary there; - is standard output.", show_default=False),
]
Html = Annotated[
    str | None,
    typer.Option(
        metavar="[FILE.html]",
        help="Write one HTML file that opens offline; without FILE beside the tables; - is standard output.",
        show_default=False,
    ),
]
Otel = Annotated[
    bool,
    typer.Option(
        "--otel",
        help="Send a trace of each trial to OTEL_EXPORTER_OTLP_ENDPOINT (http://127.0.0.1:4318), no words.",
    ),
]
Results = Annotated[Path, typer.Option(help="Where runs are kept.")]


def report(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help="A folder, an id, a suite (its latest run), a baseline, or latest.",
            show_default=False,
            autocompletion=complete.runs,
        ),
    ] = None,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="A B",
            help="In place of RUN: B held against A, each a RUN, a RUN:VARIANT or a baseline.",
            autocompletion=complete.runs,
            show_default=False,
        ),
    ] = None,
    html: Html = None,
    markdown: Markdown = None,
    junit: Junit = None,
    png: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw the charts there, as PNG.", show_default=False)
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the figures there, as CSV.", show_default=False)
    ] = None,
    otel: Otel = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON, as harness run does.")
    ] = False,
    results: Results = Path("results"),
) -> None:
    """Tell of a recorded run again: in the terminal, or in files; several options at once are fine.

    Where GitHub Actions runs it, the summary page of the job and annotations are written, too.
    """
    from harness.errors import UsageError
    from harness.record.runs import run_folder

    files = (markdown, junit, png, csv)
    if compare is not None:
        if run is not None or any(files) or otel or as_json:
            raise UsageError(
                "--compare A B takes the place of RUN, and goes with --html alone; harness compare has --json"
            )
        _compare(compare, html, results)
        return
    if run is None:
        raise UsageError("which run? a folder, an id, a suite, or latest; or --compare A B")
    folder = run_folder(run, results)
    if as_json or (html is None and not otel and not any(files)):
        _show(folder, as_json=as_json)
    publish(folder, markdown=markdown, junit=junit, html=html)
    if png is not None or csv is not None:
        _export(folder, png=png, csv=csv)
    if otel:
        send = exporter()
        with _waiting() as say:
            say("sending traces")
            sent = send(folder)
        typer.echo(f"traces sent: {sent}", err=True)


def exporter() -> Callable[[Path], int]:
    """What sends the traces of a run, and counts them. Raises `UsageError` where it is not installed."""
    from harness.report.otel import export

    return export


def publish(
    folder: Path,
    *,
    markdown: Path | None,
    junit: Path | None,
    html: str | None = None,
    ruling: "Ruling | None" = None,
) -> None:
    """Write what CI and people read of the run in *folder*; an empty *html* is a page beside its tables.

    Raises `RunDirectoryError` where it cannot be written, or the run has no tables yet.
    """
    from harness.report import github
    from harness.report.junit import junit as as_junit
    from harness.report.markdown import markdown as as_markdown
    from harness.report.outcome import outcome
    from harness.report.story import read_summary

    if markdown or junit or github.is_here():
        read_summary(folder)  # without it the run goes on, or was killed
        told = outcome(folder, ruling)
        if markdown == Path("-"):
            typer.echo(as_markdown(told), nl=False)
        elif markdown is not None:
            _write(markdown, as_markdown(told))
        if junit is not None:
            _write(junit, as_junit(told))
        github.show(told, lambda line: typer.echo(line, err=True))
    if html is not None:
        _page(folder, html)


def _page(folder: Path, html: str) -> None:
    from harness.page import page

    with _waiting() as say:
        text = page(folder, folder.parent.parent, say)
    _put(text, html, folder / "report.html")


def _compare(names: tuple[str, str], html: str | None, results: Path) -> None:
    from harness.cli.compare import compare
    from harness.page import compared_page
    from harness.record.histograms import filename
    from harness.record.runs import run_folder

    if html is None:
        compare(*names, results=results)
        return
    with _waiting() as say:
        text = compared_page(*names, results, say)
    if html:
        _put(text, html, Path(html))
    else:
        folder = run_folder(names[1].partition(":")[0], results)
        called = "-".join(filename(Path(name).name) for name in names)
        _put(text, html, folder / f"compare-{called}.html")


def _show(folder: Path, *, as_json: bool) -> None:
    """What `harness run` printed when the run had ended."""
    from rich.console import Console

    from harness.cli.run import show

    show(_recorded(folder), as_json=as_json, talk=Console(stderr=True), warn=True)


def _recorded(folder: Path) -> "Run":
    from harness.conduct.finish import Run
    from harness.errors import Exit
    from harness.record.tables import Stored
    from harness.report.outcome import outcome
    from harness.report.story import read_summary
    from harness.verdict.word import Verdict

    summary = read_summary(folder)
    told = outcome(folder)
    code = told.manifest.exit_code
    return Run(
        folder,
        told.manifest,
        summary,
        Stored(folder),
        told.verdict or Verdict(None),
        Exit(Exit.INCOMPLETE if code is None else code),
        told.ruling,
        tuple(str(each.get("says", "")) for each in told.manifest.confirmed or ()),
    )


def _export(folder: Path, *, png: Path | None, csv: Path | None) -> None:
    from harness.report import export

    with _waiting() as say:
        for name, out, write in (("charts", png, export.png), ("figures", csv, export.csv)):
            if out is not None:
                say(f"writing {name}")
                for path in write(folder, out):
                    typer.echo(f"{path}", err=True)


@contextmanager
def _waiting() -> Iterator[Callable[[str], None]]:
    """What goes on, in a line of the terminal that goes away again."""
    from rich.console import Console

    with Console(stderr=True).status("report") as status:
        yield lambda what: status.update(f"report: {what}")


def _put(text: str, html: str, beside: Path) -> None:
    """Write a page where *html* says, or *beside* the tables; says where, on standard error."""
    if html == "-":
        typer.echo(text, nl=False)
        return
    path = Path(html) if html else beside
    _write(path, text)
    typer.echo(f"report: {path}", err=True)


def _write(path: Path, text: str) -> None:
    from harness.errors import RunDirectoryError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunDirectoryError(f"{path}: cannot be written: {error.strerror}") from error
