"""`harness init [DIR]`: a first suite for your own Sigma."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from harness.cli.choice import CaFile, ClientCert, ClientKey, Insecure, KeyFile, Proxy

if TYPE_CHECKING:
    from rich.console import Console

    from harness.drive.access import Access
    from harness.drive.survey import Seen
    from harness.suite.first import Names


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Where to; made if it is not there.", show_default="here")
    ] = Path(),
    target: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The Sigma to look up names at, or [bold]standin[/]; its key in SIGMA_API_KEY.",
            show_default="that of SIGMA_URL, if it is set",
        ),
    ] = None,
    ci: Annotated[
        Literal["github", "gitlab"] | None,
        typer.Option(
            help="Write a nightly job, too; where a suite is there already, only that.", show_default=False
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
    api_key_file: KeyFile = None,
    ca_file: CaFile = None,
    client_cert: ClientCert = None,
    client_key: ClientKey = None,
    proxy: Proxy = None,
    insecure: Insecure = False,
) -> None:
    """Write a first suite for your own Sigma, with comments, and what else it takes.

    Where there is a Sigma to look at (--target, or SIGMA_URL), names of its models, tools and document sets
    stand in the examples. Nothing is asked of a model. Exit codes: 0 · 2 a file is there already, nothing was
    written · 4 no Sigma answers at --target, nothing was written.
    """
    from rich.console import Console

    from harness.drive.access import Access
    from harness.report.live import say
    from harness.suite.first import SUITE

    talk = Console(stderr=True)
    access = Access(ca_file, client_cert, client_key, proxy, insecure=insecure)
    root = _root(folder)
    job = {} if ci is None else _job(ci, folder, root)
    if job and target is None and not force and os.path.lexists(folder / SUITE):
        seen, files = None, job
    else:
        seen = _looked(target, access, api_key_file, talk)
        files = _files(seen) | job
        if not folder.exists():
            files |= _ignored()
    _refuse_present(folder, files, force=force)
    _write(folder, files)
    for path in files:
        typer.echo(os.path.relpath(folder / path) if Path(path).is_absolute() else str(folder / path))
    if files != job:
        _next(folder, seen, talk, is_ignored=not _ignored().keys() - files.keys())
    if job and root is None:
        say(talk, f"{', '.join(job)} belongs at the root of the repository")


def _looked(target: str | None, access: "Access", key_file: Path | None, talk: "Console") -> "Seen | None":
    """What there is at *target*, or at SIGMA_URL: where only that is named, it may be away."""
    from functools import partial

    from harness.drive.survey import look_around
    from harness.errors import TargetError, UsageError
    from harness.report.live import say
    from harness.suite.bare import URL_VARIABLE, is_file

    around = os.environ.get(URL_VARIABLE)
    where = target or around
    if where is None:
        if key_file is not None or access != type(access)():
            raise UsageError("the way to which Sigma? --target URL, or set SIGMA_URL")
        return None
    if is_file(where):  # whose keys have names of their own, and whose certificates lie beside it
        raise UsageError(
            f"{where}: the URL of a Sigma is wanted, or standin; its suite has one in target.base_url"
        )
    warn = partial(say, talk, style="bold red")
    try:
        return look_around(where, access, key_file, say=partial(say, talk), warn=warn)[0]
    except TargetError as error:
        if target is not None:
            raise
        say(talk, f"{error}\nso the examples have no names of it", style="yellow")
        return None


def _root(folder: Path) -> Path | None:
    """The root of the repository that *folder* is in, if it is in one."""
    here = folder.resolve()
    return next((each for each in (here, *here.parents) if (each / ".git").exists()), None)


def _job(ci: str, folder: Path, root: Path | None) -> dict[str, str]:
    """The nightly job, by its path: where it is looked for, and for the suite where that is."""
    from harness.suite.first import JOBS, job_text

    inside = "" if root is None else folder.resolve().relative_to(root).as_posix()
    if root is None or inside == ".":
        return {JOBS[ci]: job_text(ci)}
    return {str(root / JOBS[ci]): job_text(ci, inside)}


def _files(seen: "Seen | None") -> dict[str, str]:
    """What is to be written, by path."""
    from harness.report.checked import advised
    from harness.suite.first import SECRETS, SUITE, Names, secrets_text, suite_text
    from harness.suite.schema import SCHEMA_FILE, schema_text

    target: dict[str, Any] | str = {"base_url": "", "api_key": "${SIGMA_API_KEY}", "dialect": "auto"}
    url = None if seen is None else seen.address.base_url
    if seen is not None:
        target = advised(seen) or "standin"
    if isinstance(target, dict):
        target["base_url"] = "${SIGMA_URL}"
    suite = suite_text(target, Names() if seen is None else _names(seen))
    files = {SUITE: suite, SCHEMA_FILE: schema_text()}
    if isinstance(target, dict):
        files[SECRETS] = secrets_text(url)
    return files


def _ignored() -> dict[str, str]:
    from harness.suite.first import IGNORED, ignored_text

    return {IGNORED: ignored_text()}


def _names(seen: "Seen") -> "Names":
    """Names for the examples: a model beside the default one, what searches, a document set, a persona."""
    from harness.report.abilities import told_apart
    from harness.suite.first import Names, can_stand

    has = seen.catalogue
    default = (has.default_provider, has.default_model)
    provider, model = told_apart(has.providers or (), default) or (None, None)
    attached = {tool for one in has.personas or () if one.persona_id == 0 for tool in one.tools or ()}
    searching = (one.name for one in has.tools or () if one.tool_id in attached and one.name == SEARCH)
    sets = filter(can_stand, has.document_sets or ())
    personas = (one.name for one in has.personas or () if one.persona_id != 0 and can_stand(one.name))
    tool = next(searching, None)
    return Names(provider, model, tool, next(sets, None) if tool else None, next(personas, None))


SEARCH = "internal_search"


def _refuse_present(folder: Path, files: dict[str, str], *, force: bool) -> None:
    from harness.errors import UsageError

    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: this is a file, and a folder is wanted")
    present = [str(folder / path) for path in files if os.path.lexists(folder / path)]
    if present and not force:
        them = "it is there already" if len(present) == 1 else "they are there already"
        raise UsageError(
            f"{', '.join(present)}: {them}; --force overwrites, harness init DIR writes elsewhere"
        )


def _write(folder: Path, files: dict[str, str]) -> None:
    from harness.errors import UsageError

    for name, text in files.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{path}: cannot be written: {error.strerror}") from None


def _next(folder: Path, seen: "Seen | None", talk: "Console", *, is_ignored: bool) -> None:
    """What to do now, in the order in which to do it."""
    from harness.suite.first import SECRETS, SUITE

    suite = folder / SUITE
    own = seen is None or seen.suite.target.base_url is not None
    steps = [
        *([f"{folder / SECRETS} says what to set: SIGMA_URL, SIGMA_API_KEY"] if own else []),
        *([] if is_ignored else ["keep .env and results/ out of the repository (.gitignore)"]),
        'harness check "$SIGMA_URL"' if own else "harness check standin",
        f"harness plan {suite}",
        f"harness run {suite}",
    ]
    talk.print("\nnext:", highlight=False)
    for step in steps:
        talk.print(f"  {step}", highlight=False, markup=False, soft_wrap=True)
