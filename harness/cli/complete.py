"""What the shell offers at a TAB: suites, runs, and the names that a suite has.

typer asks, in a new process for each TAB. So nothing heavy is imported, nothing is sent, and whatever goes
wrong means that nothing is offered: a command line that is being written is no place for our errors. With
HARNESS_DEBUG they are shown all the same.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from pathlib import Path

import typer

from harness.suite import ENDINGS

Offer = Callable[[typer.Context, str], Iterable[str]]


def _quietly(offer: Offer) -> Offer:
    """What *offer* has that begins as the word does; nothing where it fails.

    A name that a line cannot hold, as one with a line's end, is not offered: shells are told one a line.
    """

    @wraps(offer)
    def offered(ctx: typer.Context, incomplete: str) -> list[str]:
        try:
            found = (each for each in offer(ctx, incomplete) if each.startswith(incomplete))
            return [each for each in found if each.isprintable()]
        except OSError:  # what is being written is not there, or not to be read
            return []
        except Exception:  # a line that is being written is no place for a traceback
            if "HARNESS_DEBUG" in os.environ:
                raise
            return []

    return offered


@_quietly
def suites(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    """YAML files, and the folders on the way to them; where one folder alone fits, what is in it."""
    folder, slash, begun = incomplete.rpartition("/")
    there = f"{folder}{slash}"
    hidden = begun.startswith(".")
    found = sorted(each for each in Path(there or ".").iterdir() if hidden or not each.name.startswith("."))
    seen = [each for each in found if each.name.startswith(begun)]
    files = [each.name for each in seen if each.suffix in ENDINGS and each.is_file()]
    folders = [each.name for each in seen if each.is_dir()]
    if len(folders) == 1 and not files:
        yield from suites(ctx, f"{there}{folders[0]}/") or (f"{there}{folders[0]}/",)
        return
    yield from (f"{there}{name}" for name in files)
    yield from (f"{there}{name}/" for name in folders)


@_quietly
def runs(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    """What a RUN may be called: `latest`, a suite, a baseline, an id; or folders, where one is written."""
    import json

    if "/" in incomplete:
        there = f"{incomplete.rpartition('/')[0]}/"
        for each in sorted(each for each in Path(there).iterdir() if each.is_dir()):
            yield f"{there}{each.name}" + ("" if (each / "manifest.json").is_file() else "/")
        return
    ids = sorted((path.parent for path in _manifests(ctx)), key=lambda folder: folder.name, reverse=True)
    yield from ("latest",) if ids else ()
    yield from dict.fromkeys(each.parent.name for each in ids)
    for file in _results(ctx).glob("*/baselines.json"):
        yield from json.loads(file.read_bytes())
    yield from (each.name for each in ids)


@_quietly
def suites_and_runs(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    """Either of them."""
    yield from (*suites(ctx, incomplete), *runs(ctx, incomplete))


@_quietly
def of_suites(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    """A suite by its file, or by the name under which it has results."""
    yield from suites(ctx, incomplete)
    yield from dict.fromkeys(path.parent.parent.name for path in _manifests(ctx))


@_quietly
def servers(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    """The one target that has a name, and suites, which have a target."""
    yield from (*targets(ctx, incomplete), *suites(ctx, incomplete))


@_quietly
def baselines(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    """What a run may be held against: a variant of its suite, or what a RUN may be called."""
    suite = _suite(ctx)
    if suite is not None:
        yield from variants(ctx, incomplete)
        yield from (each.name for each in suite.parent.glob("baselines/*/*") if each.is_dir())
    yield from runs(ctx, incomplete)


@_quietly
def variants(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    """The variants of the suite on the command line."""
    from harness.suite import named

    del incomplete
    yield from named.variants(_suite(ctx) or Path())


@_quietly
def prompts(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    """The prompts of the suite on the command line."""
    from harness.suite import named

    del incomplete
    yield from named.prompts(_suite(ctx) or Path())


@_quietly
def tags(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    """The tags of the suite on the command line."""
    from harness.suite import named

    del incomplete
    yield from named.tags(_suite(ctx) or Path())


@_quietly
def clusters(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    """Where a cluster may be."""
    del ctx, incomplete
    yield from ("local", "auto", "ray://")


@_quietly
def processes(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    """One for each core, or a number up to that."""
    from harness.cli.choice import cores

    del ctx, incomplete
    yield from ("auto", *(str(number) for number in range(1, cores() + 1)))


@_quietly
def targets(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    """The one target that has a name."""
    del ctx, incomplete
    yield "standin"


def _results(ctx: typer.Context) -> Path:
    return Path(ctx.params.get("results") or "results")


def _manifests(ctx: typer.Context) -> Iterator[Path]:
    return _results(ctx).glob("*/*/manifest.json")


def _suite(ctx: typer.Context) -> Path | None:
    """The suite on the command line, if it is there already."""
    written = ctx.params.get("suite")
    return None if written is None else Path(written)
