"""`harness runs [SUITE]`: what is in the results; with `--prune`, old runs are deleted."""

from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import complete
from harness.suite import ENDINGS

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from harness.listing import Entry, Probes
    from harness.record.places import Place
    from harness.record.pruning import Old, Rules
    from harness.report.fitting import Fitting

_LISTED = 20


def runs(
    suite: Annotated[
        str | None,
        typer.Argument(
            metavar="SUITE",
            help="Only the runs of this suite, by its name or its file; of all if not said.",
            show_default=False,
            autocompletion=complete.of_suites,
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, help="List so many, the newest first; all probes of a limit are one.")
    ] = _LISTED,
    every: Annotated[bool, typer.Option("--all", help="List them all, and each probe.")] = False,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune", help="Delete the old runs of SUITE, or of all: by --keep, --older-than or both."
        ),
    ] = False,
    keep: Annotated[
        int | None,
        typer.Option(min=0, help="With --prune: the newest so many of each suite that have ended stay."),
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="With --prune: only what began so long ago, such as 30d."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --prune: show what would go, and delete nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --prune: do not ask.")] = False,
    results: Annotated[Path, typer.Option(help="Where runs are kept.")] = Path("results"),
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, on standard output.")] = False,
) -> None:
    """List the runs in the results, the newest first: how each ended, what it came to, what it takes on disk.

    The probes of a harness limit are one line, unless --all or their SUITE asks for each.

    --prune deletes old ones, after showing them and asking. A run that a baseline names, that goes on, or
    that latest leads to stays, and so does everything that is no run. Of --keep and --older-than both have to
    say that a run is old.

    Exit codes: 0 listed, or deleted · 2 no such suite, or nobody is there to be asked · 3 you said no, or
    interrupted · 4 something cannot be deleted.
    """
    from harness import listing
    from harness.errors import UsageError
    from harness.record.places import places
    from harness.report.visible import visible

    of = None if suite is None else _folder_name(suite, results)
    if prune:
        _prune(results, _rules(keep, older_than), of, dry_run=dry_run, yes=yes, as_json=as_json)
        return
    if keep is not None or older_than is not None or dry_run or yes:
        raise UsageError("--keep, --older-than, --dry-run and --yes say how runs are deleted: add --prune")
    found = [place for place in places(results) if of is None or place.suite == of]
    most = len(found) if every else limit
    if as_json:
        _tell(found[:most])
    elif found:
        lines = [(place,) for place in found] if every or of is not None else listing.lines(found)
        _list(lines[:most], len(found), results)
    else:
        typer.echo(f"no runs in {visible(str(results))}; harness run SUITE makes one", err=True)


def _folder_name(suite: str, results: Path) -> str:
    """The name of the suite's folder in the results. Raises `UsageError` where there is none such."""
    from harness.errors import UsageError, did_you_mean
    from harness.flaky import meant
    from harness.record.histograms import filename
    from harness.record.places import places

    known = {place.suite for place in places(results)}
    if filename(suite) in known:
        return filename(suite)
    if Path(suite).suffix in ENDINGS:
        return meant(suite, results).suite
    listed = f"; there are {', '.join(sorted(known))}" if known else "; there are none at all"
    fix = "; to delete old runs: harness runs --prune --keep 10" if suite == "prune" else ""
    raise UsageError(f"no runs of {suite} in {results}{did_you_mean(suite, known)}{listed}{fix}")


# The list


def _tell(shown: "Sequence[Place]") -> None:
    from harness.listing import Heads, entries
    from harness.report.visible import document

    typer.echo(document([_as_told(each) for each in entries(shown, Heads())]))


def _list(lines: "Sequence[Sequence[Place]]", found: int, results: Path) -> None:
    """A line for each of *lines*: of a run, or of several that are probes; of all that were *found*."""
    from rich.console import Console

    from harness.listing import Heads, entries, probes
    from harness.report.visible import visible

    heads = Heads()
    alone = iter(entries([of[0] for of in lines if len(of) == 1], heads))
    console = Console()
    console.width = console.width if console.is_terminal else 200
    rows = [_cells(next(alone)) if len(of) == 1 else _probe_cells(probes(of, heads)) for of in lines]
    console.print(_listed(rows), crop=False)
    shown = sum(map(len, lines))
    runs_ = "1 run" if found == 1 else f"{found:,} runs"
    told = runs_ if shown == found else f"{shown:,} of {runs_}"
    more = "" if len(lines) == found else "; --all lists every one"
    typer.echo(f"{told} in {visible(str(results))}, the newest first{more}", err=True)


def _as_told(entry: "Entry") -> dict[str, Any]:
    """What `--json` prints of a run; what is not known of it is null."""
    from msgspec import to_builtins

    head = entry.head
    return {
        "suite": entry.place.suite,
        "run_id": entry.place.run_id,
        "folder": str(entry.place.folder),
        "started_at": None if head is None else head.started_at,
        "ended": entry.ended,
        "exit_code": None if head is None else head.exit_code,
        "planned": None if head is None else head.planned,
        "states": dict(entry.states) or None,
        "verdict": entry.verdict or None,
        "gate": entry.gate or None,
        "baselines": list(entry.baselines),
        "rerun": None if head is None else to_builtins(head.rerun),
        "confirms": head is not None and bool(head.options.get("confirm")),
        "bytes": entry.place.bytes,
        "problem": entry.problem or None,
    }


_WIDE = {"began (UTC)", "trials", "size"}
"""Columns that a narrow terminal is not shown: the time is in the run's id, the trials are in the states."""


def _listed(rows: "Sequence[Mapping[str, Text]]") -> "Fitting":
    from harness.report.fitting import Fitting

    return Fitting(_table(rows), _table(rows, without=_WIDE))


def _table(rows: "Sequence[Mapping[str, Text]]", without: "Set[str]" = frozenset()) -> "Table":
    from harness.report.fitting import plain

    shown = [title for title in rows[0] if title not in without]
    if not any(row[""] for row in rows):
        shown.remove("")
    table = plain()
    for title in shown:
        right = title in {"trials", "size"}
        table.add_column(
            title, justify="right" if right else "left", no_wrap=title in _WHOLE, overflow="fold"
        )
    for row in rows:
        table.add_row(*(row[title] for title in shown))
    return table


_WHOLE = {"run", "began (UTC)", "size"}


def _cells(each: "Entry") -> "dict[str, Text]":
    from harness.report.terminal import STYLES, named

    place, head = each.place, each.head
    states = named(_states(each))
    for state in STYLES:
        states.highlight_words([f" {state.replace('_', ' ')}"], STYLES[state])
    return {
        "suite": named(place.suite),
        "run": named(place.run_id),
        "began (UTC)": named(each.at.removesuffix(" UTC")),
        "ended": named(each.ended),
        "trials": named("–" if head is None else f"{head.planned:,}"),
        "states": states,
        "verdict": named(each.verdict or "–"),
        "gate": named(each.gate or "–"),
        "size": named(_size(place.bytes)),
        "": named(_beside(each)),
    }


def _probe_cells(each: "Probes") -> "dict[str, Text]":
    """The same of all probes of a suite: what each came to says little; what was last found is beside."""
    from harness.report.terminal import named
    from harness.report.visible import shortened

    began = each.places[0].began
    told = {
        "suite": each.places[0].suite,
        "run": f"{len(each.places):,} probes",
        "began (UTC)": "–" if began is None else f"{began:%Y-%m-%d %H:%M:%S}",
        "ended": "going on" if each.going else "–",
        **dict.fromkeys(("trials", "states", "verdict", "gate"), "–"),
        "size": _size(sum(place.bytes for place in each.places)),
        "": shortened(f"last found: {each.says}", 120) if each.says else "",
    }
    return {title: named(text) for title, text in told.items()}


def _states(entry: "Entry") -> str:
    """How many trials are in each state that some are in; a run without a summary has none yet."""
    found = [f"{count:,} {state.replace('_', ' ')}" for state, count in entry.states.items() if count]
    return ", ".join(found) or "–"


def _beside(entry: "Entry") -> str:
    """What is to be known of a run beside its figures."""
    from harness.report.visible import shortened

    names = f"baseline {', '.join(entry.baselines)}" if entry.baselines else ""
    return "; ".join(part for part in (names, entry.is_about, shortened(entry.problem, 120)) if part)


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"


# Deleting


def _rules(keep: int | None, older_than: str | None) -> "Rules":
    from datetime import UTC, datetime, timedelta

    from harness.errors import UsageError
    from harness.record.pruning import Rules
    from harness.suite.literals import duration

    if keep is None and older_than is None:
        raise UsageError("--prune: which runs are old? --keep 10, --older-than 30d, or both")
    if older_than is None:
        return Rules(keep)
    try:
        age = timedelta(seconds=duration(older_than) / 1e9)
        return Rules(keep, datetime.now(UTC) - age)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"--older-than {older_than}: {error}") from None


def _prune(
    results: Path, rules: "Rules", suite: str | None, *, dry_run: bool, yes: bool, as_json: bool
) -> None:
    from harness.cli.asking import agreed
    from harness.errors import Exit
    from harness.record.pruning import old_runs, sweep

    old = old_runs(results, rules, suite)
    goes = [each for each in old if not each.stays]
    sizes = {each.place: each.place.bytes for each in old}
    took = sum(sizes[each.place] for each in goes)
    told = f"{len(goes):,} run{'' if len(goes) == 1 else 's'}, {_size(took)}"
    if not as_json:
        _show(old, goes)
    asks = bool(goes) and not (dry_run or yes)
    if asks and not agreed(f"delete {told}?", what=f"{told} to be deleted"):
        typer.echo("nothing was deleted", err=True)
        raise typer.Exit(Exit.INCOMPLETE)
    left = 0 if dry_run or not results.is_dir() else sweep(results)
    if left:
        typer.echo(f"{left:,} that an earlier prune had left half-deleted are gone now", err=True)
    gone = [] if dry_run else _delete(goes)
    if as_json:
        typer.echo(_document(sizes, old, gone))
    elif dry_run and goes:
        typer.echo(f"{told} would be deleted; nothing was, by --dry-run", err=True)


def _show(old: "Sequence[Old]", goes: "Sequence[Old]") -> None:
    """What would go, and what is old and stays all the same."""
    from rich.console import Console

    from harness.listing import Heads, entries
    from harness.report.visible import visible

    if goes:
        console = Console()
        console.width = console.width if console.is_terminal else 200
        console.print(
            _listed([_cells(each) for each in entries([old.place for old in goes], Heads())]), crop=False
        )
    else:
        typer.echo("nothing to delete", err=True)
    for each in old:
        if each.stays:
            which = f"{each.place.suite}/{each.place.run_id}"
            typer.echo(f"stays: {visible(which)}: {visible(each.stays)}", err=True)


def _delete(goes: "Sequence[Old]") -> "list[Place]":
    """Delete them one after the other; those that are gone."""
    from rich.console import Console

    from harness.errors import Exit
    from harness.record.pruning import delete, mend_latest
    from harness.report.live import counted

    gone: list[Place] = []
    try:
        with counted(Console(stderr=True), "runs deleted", len(goes)) as advance:
            for each in goes:
                if why := delete(each.place):
                    typer.echo(f"stays: {each.place.run_id}: {why}", err=True)
                else:
                    gone.append(each.place)
                advance()
    except KeyboardInterrupt:
        typer.echo(f"interrupted: {len(gone)} of {len(goes)} runs were deleted", err=True)
        raise typer.Exit(Exit.INCOMPLETE) from None
    for suite in {each.place.folder.parent for each in goes}:
        mend_latest(suite)
    if goes:
        typer.echo(f"{len(gone):,} runs deleted", err=True)
    return gone


def _document(sizes: "Mapping[Place, int]", old: "Iterable[Old]", gone: "Sequence[Place]") -> str:
    from harness.report.visible import document

    return document(
        [
            {
                "suite": each.place.suite,
                "run_id": each.place.run_id,
                "bytes": sizes[each.place],
                "stays": each.stays or None,
                "deleted": each.place in gone,
            }
            for each in old
        ]
    )
