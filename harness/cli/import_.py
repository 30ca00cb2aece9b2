"""`harness import promptfoo FILE`: a config of another tool as a suite of ours."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

import_ = typer.Typer(name="import", help="Make a suite from another tool's config.", no_args_is_help=True)


@import_.callback()
def _root() -> None:
    """Make a suite from another tool's config."""


@import_.command()
def promptfoo(
    config: Annotated[Path, typer.Argument(metavar="FILE", help="promptfooconfig.yaml")],
    out: Annotated[
        Path | None, typer.Option(help="Write the suite here.", show_default="standard output")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="URL|standin", help="The Sigma to ask.", show_default="${SIGMA_URL}"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file of --out.")] = False,
) -> None:
    """Make a suite from a promptfoo config: prompts, tests, variables, assertions, providers.

    Whatever has no equivalent is named with its line, on standard error and at the head of the suite, and so
    is whatever the suite has to have mended before it runs. Nothing is sent anywhere.
    """
    from harness.errors import UsageError
    from harness.report.visible import visible
    from harness.suite.promptfoo import imported

    if target is not None and target != "standin":
        _refuse_no_address(target)
    if out is not None and out.exists() and (not force or _is_same(out, config)):
        what = (
            "this is the config itself"
            if _is_same(out, config)
            else "this is there already; --force overwrites"
        )
        raise UsageError(f"{out}: {what}")
    folder = Path() if out is None else out.parent
    prefix = "" if out is None else os.path.relpath(config.parent, folder)
    made = imported(
        _text(config),
        str(config),
        _finder(config.parent),
        target=target,
        prefix="" if prefix == "." else prefix,
    )
    text = made.text(config.name)
    if out is None:
        typer.echo(text, nl=False)
    else:
        _write(out, text)
    for note in made.notes:
        typer.echo(visible(str(note)), err=True)
    problems = _problems(text, out or Path("suite.yaml"))
    for problem in problems:
        typer.echo(visible(problem), err=True)
    more = f"; to mend before it runs: {len(problems)}" if problems else ""
    for remark in made.remarks:
        typer.echo(visible(remark), err=True)
    typer.echo(f"{made.counts()}{more}", err=True)


def _refuse_no_address(target: str) -> None:
    from harness.errors import UsageError
    from harness.suite.values import address

    try:
        address(target)
    except ValueError as error:
        raise UsageError(f"--target: {error}, or standin") from None


def _is_same(out: Path, config: Path) -> bool:
    return out.exists() and config.exists() and out.samefile(config)


def _text(path: Path) -> str:
    from harness.errors import UsageError

    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{path}: this is not UTF-8: save the file as UTF-8") from None
    except OSError as error:
        raise UsageError(f"{path}: the file cannot be read: {error.strerror}") from None


def _write(out: Path, text: str) -> None:
    from harness.errors import UsageError

    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{out}: the file cannot be written: {error.strerror}") from None


_DATA = {".csv", ".json", ".jsonl", ".tsv", ".yaml", ".yml"}


def _finder(folder: Path) -> Callable[[str], list[tuple[str, str]]]:
    """Finds files beside the config, by name, by pattern, or all of a folder."""

    def find(name: str) -> list[tuple[str, str]]:
        path = folder / name
        if path.is_dir():
            paths = [each for each in path.iterdir() if each.suffix in _DATA]
        elif re.search(r"[*?\[]", name) and not path.exists():
            paths = [each for each in folder.glob(name) if each.is_file()]
        else:
            paths = [path] if path.exists() else []
        return [(str(each), each.read_bytes().decode("utf-8-sig")) for each in sorted(paths)]

    return find


def _problems(text: str, path: Path) -> list[str]:
    """What our reader has against the suite; variables of the environment count as set."""
    from harness.errors import SuiteError
    from harness.suite.read import parse_suite

    names = re.findall(r"\$\{(\w+)", text)
    environ = dict.fromkeys(names, "x") | {"SIGMA_URL": "https://sigma.example.com"} | os.environ
    try:
        parse_suite(text, path, environ)
    except SuiteError as error:
        return [str(problem) for problem in error.problems]
    return []
