"""`harness plan SUITE`: what would run, in which order; look-ups only."""

import gc
import json
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.choice import Limit, Prompts, Repeat, Seed, SuitePath, Tags, Target, Variants

if TYPE_CHECKING:
    from harness.plan import Trial


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
) -> None:
    """Print the trials that a run would send, with their ids, in their order.

    The names in the suite (models, tools, personas) are looked up at the target
    unless --offline; a name that does not exist is an error, as it is in a run.
    """
    from harness.plan import Choice, make_plan
    from harness.suite.read import load_suite

    gc.disable()  # what is made here is kept to the end, which is near
    choice = Choice(tuple(variant or ()), tuple(prompt or ()), tuple(only or ()), repeat, limit)
    planned = make_plan(load_suite(suite), choice, seed=seed)
    if not offline:
        from harness.drive.preflight import look

        planned, _ = look(planned, target)
    as_lines = map(_json_line, planned.trials) if as_json else planned.lines()
    typer.echo("\n".join(as_lines))
    budget = planned.suite.budget
    research = planned.deep_research
    spent = f", {research} deep-research runs of {budget.deep_research} allowed" if research else ""
    names = "names not looked up" if offline else "all names found"
    typer.echo(f"{len(planned.trials)} trials{spent}; {names}", err=True)


def _json_line(trial: "Trial") -> str:
    return json.dumps(trial.describe(), ensure_ascii=False)
