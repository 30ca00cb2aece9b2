"""`harness plan SUITE`: what would run, in which order; look-ups only."""

import gc
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import complete
from harness.cli.choice import (
    CaFile,
    ClientCert,
    ClientKey,
    Insecure,
    Limit,
    Of,
    Prompts,
    Proxy,
    Repeat,
    Rerun,
    Seed,
    SuitePath,
    Tags,
    Target,
    Variants,
)

if TYPE_CHECKING:
    from harness.decide.forecast import Forecast
    from harness.plan.trials import Plan, Trial
    from harness.sigma.catalogue import Catalogue
    from harness.sigma.client import Address
    from harness.suite.phases import Phase

_LISTED = 20


def plan(
    context: typer.Context,
    suite: SuitePath,
    target: Target = None,
    ca_file: CaFile = None,
    client_cert: ClientCert = None,
    client_key: ClientKey = None,
    proxy: Proxy = None,
    insecure: Insecure = False,
    variant: Variants = None,
    prompt: Prompts = None,
    only: Tags = None,
    limit: Limit = None,
    repeat: Repeat = None,
    seed: Seed = 0,
    rerun: Rerun = None,
    of: Of = None,
    offline: Annotated[bool, typer.Option("--offline", help="Look nothing up: names stay names.")] = False,
    forecast: Annotated[
        bool,
        typer.Option("--forecast", help="Print only what it takes and what its gate can see."),
    ] = False,
    baseline: Annotated[
        str | None,
        typer.Option(
            help="What the gate would be held against, if not what the suite names.",
            autocompletion=complete.baselines,
        ),
    ] = None,
    results: Annotated[Path, typer.Option(help="Where runs are: the last says what to expect.")] = Path(
        "results"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print the trials as JSON, one a line.")] = False,
    requests: Annotated[
        bool, typer.Option("--requests", help="Print each distinct request as a curl command.")
    ] = False,
    every: Annotated[
        bool,
        typer.Option("--all", help=f"List every trial; a terminal is shown the first {_LISTED} otherwise."),
    ] = False,
) -> None:
    """Print the trials that a run would send, with their ids, in their order; and what that would take.

    The names in the suite (models, tools, personas, files ...) are looked up at the
    target unless --offline; a name that does not exist is an error, as it is in a run.
    """
    from rich.console import Console

    from harness.cli.run import to_rerun
    from harness.decide.forecast import lines as forecast_lines
    from harness.drive.access import Access, accessed, doubts
    from harness.plan.trials import Choice, make_plan
    from harness.report.visible import visible
    from harness.suite.read import load_suite

    gc.disable()  # what is made here is kept to the end, which is near
    choice = Choice(tuple(variant or ()), tuple(prompt or ()), tuple(only or ()), repeat, limit)
    choice, _ = to_rerun(context, suite, choice, Console(stderr=True))
    access = Access(ca_file, client_cert, client_key, proxy, insecure=insecure)
    loaded = accessed(load_suite(suite, elsewhere=target is not None), target, access)
    for words in doubts(loaded, target):
        typer.secho(f"warning: {visible(words)}", err=True, fg="red", bold=True)
    planned = make_plan(loaded, choice, seed=seed)
    warnings, found, address = planned.suite.warnings, "names not looked up", None
    if not offline:
        from harness.drive.preflight import look

        planned, catalogue, address = look(planned, target)
        warnings += catalogue.warnings
        found = f"all names found at {_seen(catalogue, address)}"
    for warning in warnings:
        typer.echo(f"warning: {visible(warning)}", err=True)
    expected = _expected(planned, results, baseline)
    told = [*forecast_lines(expected), *_asks(planned, expected, target)]
    if forecast:
        typer.echo(_json(expected) if as_json else "\n".join(told))
        return
    if requests:
        lines = _requests(planned, target, address)
    else:
        lines = map(_json_line, planned.trials) if as_json else _listed(planned, every=every)
    typer.echo("\n".join(lines))
    for line in (*_loads(planned), *told, f"{_counted(planned)}; {visible(found)}"):
        typer.echo(line, err=True)


def _listed(plan: "Plan", *, every: bool) -> Iterator[str]:
    """A line for each trial; a terminal gets the first of many, so that what is told beneath is in sight."""
    from harness.report.visible import one_line

    first = _LISTED if sys.stdout.isatty() and not every else len(plan.trials)
    yield from map(one_line, plan.lines(first))
    if len(plan.trials) > first:
        yield f"and {len(plan.trials) - first:,} more; --all lists every one"


def _asks(plan: "Plan", expected: "Forecast", target: str | None) -> "Iterator[str]":
    """That a run would ask before it spends that much."""
    from harness.decide.spending import beyond, is_free, limits_of

    above = beyond(plan, expected, limits_of(plan.suite.budget, ()))
    if above and not is_free(plan.suite, target):
        yield f"harness run asks before it sends this, unless --yes: {above}"


def _counted(plan: "Plan") -> str:
    from harness.report.live import several

    research = plan.deep_research
    allowed = plan.suite.budget.deep_research
    spent = f", {several(research, 'deep-research run')} of {allowed} allowed" if research else ""
    return f"{several(len(plan.trials), 'trial')}{spent}"


def _expected(plan: "Plan", results: Path, baseline: str | None) -> "Forecast":
    from harness.decide.forecast import forecast
    from harness.decide.sides import against
    from harness.errors import UsageError

    try:
        than = against(plan.suite, plan.variants, results, baseline)
    except UsageError as error:
        if baseline is not None:
            raise
        typer.echo(f"warning: {error}", err=True)
        than = None
    return forecast(plan, results, than)


def _json(value: object) -> str:
    from harness.report.visible import document

    return document(value)


def _loads(plan: "Plan") -> Iterator[str]:
    """A line for each phase: how long it goes on, what falls due in it, and when most of that does."""
    from harness.plan.schedule import ends_ns
    from harness.report.live import several
    from harness.report.visible import visible

    for name, load in plan.suite.load.items():
        ends = ends_ns(load)
        here = [trial for trial in plan.trials if trial.phase == name]
        if load.is_open:
            last = max((trial.due_ns or 0 for trial in here), default=0)
            lasts = _lasts(last if ends is None else ends)
            told = f"{len(here)} conversations fall due over {lasts} ({_kind(load)}, open)"
            yield f"phase {visible(name)}: {told}: {'; '.join(_course(load, here))}"
        elif name in plan.cycles:
            arms = len(plan.cycles[name].arms)
            lasts = "" if ends is None else f" over {_lasts(ends)}"
            told = f"{several(arms, 'trial')} again and again{lasts}, by {several(load.slots, 'worker')}"
            yield "; ".join((f"phase {visible(name)}: {told}", *_around(load)))
        elif here:
            told = f"{several(len(here), 'trial')}, each once, by {several(load.slots, 'worker')}"
            yield "; ".join((f"phase {visible(name)}: {told}", *_around(load)))


def _kind(load: "Phase") -> str:
    if load.trace is not None:
        return "trace"
    return load.arrivals if load.cv is None else f"{load.arrivals}, cv {load.cv:g}"


def _course(load: "Phase", here: "Sequence[Trial]") -> Iterator[str]:
    """What an open load is like, in words and numbers."""
    from harness.plan.schedule import peak
    from harness.report.visible import visible

    if load.trace is not None:
        yield f"as in {visible(load.trace.path)}" + ("" if load.speed is None else f" at {load.speed:g}x")
    else:
        yield _rates(load)
    yield f"at most {peak([trial.due_ns or 0 for trial in here])} in any second"
    yield from _around(load)
    measured = sum(trial.window == "measured" for trial in here)
    if measured < len(here):
        yield f"{measured} of them are measured"
    if load.max_in_flight is not None:
        rest = "dropped" if load.when_full == "drop" else "sent late"
        yield f"{load.max_in_flight} in flight at most, and what finds them is {rest}"


def _rates(load: "Phase") -> str:
    if load.stages is None:
        return f"{load.rate or 0:g}/s"
    return ", then ".join(f"{stage.rate:g}/s for {_lasts(stage.for_)}" for stage in load.stages)


def _around(load: "Phase") -> Iterator[str]:
    """How a load builds up and ends, and the shares in it."""
    from harness.report.visible import visible

    for what, lasts_ns in (("ramp", load.ramp), ("warm-up", load.warm_up), ("cool-down", load.cool_down)):
        if lasts_ns:
            yield f"{what} {_lasts(lasts_ns)}"
    if load.mix is not None:
        total = sum(load.mix.values())
        yield "mix " + ", ".join(f"{visible(name)} {part / total:.0%}" for name, part in load.mix.items())


def _lasts(nanoseconds: int) -> str:
    """Below a minute with its milliseconds: a load may be that short."""
    from harness.report.live import duration

    seconds = nanoseconds / 1e9
    return duration(seconds) if seconds >= 60 else f"{seconds:.3f}".rstrip("0").rstrip(".") + " s"


def _seen(catalogue: "Catalogue", address: "Address") -> str:
    """Which Sigma that was: its address, version and dialect, and whose key it was asked with."""
    account = catalogue.account.get("email")
    told = (
        catalogue.version and f"version {catalogue.version}",
        address.dialect,
        account and f"as {account}",
    )
    return f"{address.base_url} ({', '.join(part for part in told if part)})"


def _requests(plan: "Plan", target: str | None, found: "Address | None") -> Iterator[str]:
    """Curl commands, to where the target was found; those for the stand-in say how to start one."""
    from harness.drive.preflight import as_written
    from harness.report.curl import curl_commands
    from harness.sigma.client import Address

    written = as_written(plan.suite, target)
    address = found or written
    if written is None:
        dialect = found.dialect if found else plan.suite.target.dialect
        yield f"# for the stand-in: harness serve --port 8080 --dialect {dialect}"
        yield ""
        address = Address("http://127.0.0.1:8080", dialect)
    if address is not None:
        yield from curl_commands(plan, address)


def _json_line(trial: "Trial") -> str:
    from harness.report.visible import as_json

    return as_json(trial.describe())
