"""`harness plan SUITE`: what would run, in which order; look-ups only."""

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.choice import (
    CaFile,
    ClientCert,
    ClientKey,
    Insecure,
    Limit,
    Prompts,
    Proxy,
    Repeat,
    Seed,
    SuitePath,
    Tags,
    Target,
    Variants,
)

if TYPE_CHECKING:
    from harness.forecast import Forecast
    from harness.plan import Plan, Trial
    from harness.sigma.catalogue import Catalogue
    from harness.sigma.client import Address


def plan(
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
    offline: Annotated[bool, typer.Option("--offline", help="Look nothing up: names stay names.")] = False,
    forecast: Annotated[
        bool,
        typer.Option("--forecast", help="Print only what it takes and what its gate can see."),
    ] = False,
    baseline: Annotated[
        str | None, typer.Option(help="What the gate would be held against, if not what the suite names.")
    ] = None,
    results: Annotated[Path, typer.Option(help="Where runs are: the last says what to expect.")] = Path(
        "results"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print the trials as JSON, one a line.")] = False,
    requests: Annotated[
        bool, typer.Option("--requests", help="Print each distinct request as a curl command.")
    ] = False,
) -> None:
    """Print the trials that a run would send, with their ids, in their order; and what that would take.

    The names in the suite (models, tools, personas, files ...) are looked up at the
    target unless --offline; a name that does not exist is an error, as it is in a run.
    """
    from harness.drive.access import Access, accessed, doubts
    from harness.forecast import lines as forecast_lines
    from harness.plan import Choice, make_plan
    from harness.report.visible import one_line, visible
    from harness.suite.read import load_suite

    gc.disable()  # what is made here is kept to the end, which is near
    choice = Choice(tuple(variant or ()), tuple(prompt or ()), tuple(only or ()), repeat, limit)
    access = Access(ca_file, client_cert, client_key, proxy, insecure=insecure)
    loaded = accessed(load_suite(suite), target, access)
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
    told = list(forecast_lines(expected))
    if forecast:
        typer.echo(_json(expected) if as_json else "\n".join(told))
        return
    if requests:
        lines = _requests(planned, target, address)
    else:
        lines = map(_json_line, planned.trials) if as_json else map(one_line, planned.lines())
    typer.echo("\n".join(lines))
    for line in _loads(planned):
        typer.echo(line, err=True)
    budget = planned.suite.budget
    research = planned.deep_research
    spent = f", {research} deep-research runs of {budget.deep_research} allowed" if research else ""
    for line in told:
        typer.echo(line, err=True)
    typer.echo(f"{len(planned.trials)} trials{spent}; {visible(found)}", err=True)


def _expected(plan: "Plan", results: Path, baseline: str | None) -> "Forecast":
    from harness.deciding import against
    from harness.errors import UsageError
    from harness.forecast import forecast

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
    """A line for each phase that is there for its load: how long it goes on, and what falls due in it."""
    from harness.report.live import duration
    from harness.schedule import ends_ns

    for name, load in plan.suite.load.items():
        ends = ends_ns(load)
        lasts = "" if ends is None else f" over {duration(ends / 1e9)}"
        if load.is_open:
            arrivals = sum(trial.phase == name for trial in plan.trials)
            yield f"phase {name}: {arrivals} conversations fall due{lasts} ({load.arrivals}, open)"
        elif name in plan.cycles:
            arms = len(plan.cycles[name].arms)
            yield f"phase {name}: {load.slots} workers go through {arms} trials again and again{lasts}"


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
