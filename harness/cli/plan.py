"""`harness plan SUITE`: what would run, in which order; look-ups only."""

import gc
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.choice import Limit, Prompts, Repeat, Seed, SuitePath, Tags, Target, Variants

if TYPE_CHECKING:
    from harness.plan import Plan, Trial


def plan(
    suite: SuitePath,
    target: Target = None,
    variant: Variants = None,
    prompt: Prompts = None,
    only: Tags = None,
    limit: Limit = None,
    repeat: Repeat = None,
    seed: Seed = 0,
    offline: Annotated[bool, typer.Option("--offline", help="Look nothing up: names stay names.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the trials as JSON, one a line.")] = False,
    requests: Annotated[
        bool, typer.Option("--requests", help="Print each distinct request as a curl command.")
    ] = False,
) -> None:
    """Print the trials that a run would send, with their ids, in their order.

    The names in the suite (models, tools, personas, files ...) are looked up at the
    target unless --offline; a name that does not exist is an error, as it is in a run.
    """
    from harness.plan import Choice, make_plan
    from harness.suite.read import load_suite

    gc.disable()  # what is made here is kept to the end, which is near
    choice = Choice(tuple(variant or ()), tuple(prompt or ()), tuple(only or ()), repeat, limit)
    planned = make_plan(load_suite(suite), choice, seed=seed)
    warnings = planned.suite.warnings
    dialect: str = planned.suite.target.dialect
    if not offline:
        from harness.drive.preflight import look

        planned, catalogue, address = look(planned, target)
        warnings += catalogue.warnings
        dialect = address.dialect
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)
    if requests:
        lines = _requests(planned, target, dialect)
    else:
        lines = map(_json_line, planned.trials) if as_json else planned.lines()
    typer.echo("\n".join(lines))
    budget = planned.suite.budget
    research = planned.deep_research
    spent = f", {research} deep-research runs of {budget.deep_research} allowed" if research else ""
    names = "names not looked up" if offline else "all names found"
    typer.echo(f"{len(planned.trials)} trials{spent}; {names}", err=True)


def _requests(plan: "Plan", target: str | None, dialect: str) -> Iterator[str]:
    """Curl commands; those for the stand-in say how to start one where they go to."""
    from dataclasses import replace

    from harness.drive.preflight import as_written
    from harness.report.curl import curl_commands
    from harness.sigma.client import Address

    address = as_written(plan.suite, target)
    if address is None:
        yield f"# for the stand-in: harness serve --port 8080 --dialect {dialect}"
        yield ""
        address = Address("http://127.0.0.1:8080", dialect)
    yield from curl_commands(plan, replace(address, dialect=dialect))


def _json_line(trial: "Trial") -> str:
    return json.dumps(trial.describe(), ensure_ascii=False)
