"""Before anything is sent: where the target is, that a Sigma answers there, and that every name exists.

Look-ups only. What a plan needs to know ahead is the same whether it is then
run or only printed, and printing a plan must not cost what running one does:
nothing heavy is imported here.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from os import environ

from harness.drive.local import local_sigma
from harness.drive.loop import in_a_loop
from harness.drive.transport import transports
from harness.errors import UsageError
from harness.plan import Plan, Trial
from harness.sigma.catalogue import Catalogue, look_up, probe, resolve
from harness.sigma.client import Address, Client
from harness.suite import values
from harness.suite.model import Settings, Suite

KEY_VARIABLE = "SIGMA_API_KEY"


def look(plan: Plan, target: str | None = None) -> tuple[Plan, Catalogue]:
    """*plan* with every name resolved at its target, or at *target*; no trial is sent.

    Raises `UsageError` for names that do not exist, `TargetError` and
    `StandinError` where no Sigma answers.
    """
    return in_a_loop(partial(_look, plan, target))


async def _look(plan: Plan, target: str | None) -> tuple[Plan, Catalogue]:
    async with address_of(plan.suite, target) as address:
        return await resolved(plan, address)


@asynccontextmanager
async def address_of(suite: Suite, target: str | None) -> AsyncIterator[Address]:
    """Where *suite* is to be run; our own stand-in is started, and ended, around the block.

    *target* is a URL, or ``standin``, in place of the suite's own. A URL gets the
    key in SIGMA_API_KEY and never the suite's, which is for another server.
    """
    own = suite.target
    if target is not None and target != "standin":
        yield Address(_checked(target), own.dialect, environ.get(KEY_VARIABLE))
    elif target is None and own.base_url is not None:
        yield Address(own.base_url, own.dialect, own.api_key.get_secret_value() if own.api_key else None)
    else:
        async with local_sigma(own.dialect) as url:
            yield Address(url, own.dialect)


def _checked(target: str) -> str:
    """*target*, by the rules of a suite's `base_url`: it is shown and kept, so no password may be in it."""
    try:
        return values.address(target)
    except values.HiddenValueError as error:
        raise UsageError(f"--target: {error}; the key is taken from {KEY_VARIABLE}") from None
    except ValueError as error:
        raise UsageError(f"--target {target}: {error}; or standin") from None


async def resolved(plan: Plan, address: Address) -> tuple[Plan, Catalogue]:
    """*plan* with ids for names, and what was looked up for it."""
    async with Client(address, transports(address.base_url)()) as client:
        await probe(client)
        catalogue = await look_up(client, (one for trial in plan.trials for one in trial.settings))
    found: dict[int, Settings] = {}
    problems: dict[str, list[str]] = {}
    for trial in plan.trials:
        for settings in trial.settings:
            if id(settings) not in found:
                found[id(settings)], wrong = resolve(settings, catalogue)
                for problem in wrong:
                    problems.setdefault(problem, []).append(f"{trial.case.case_id} [{trial.variant}]")
    if problems:
        raise UsageError("\n".join(map(_with_places, problems, problems.values())))
    return replace(plan, trials=tuple(_with_ids(trial, found) for trial in plan.trials)), catalogue


def _with_ids(trial: Trial, found: dict[int, Settings]) -> Trial:
    if all(found[id(one)] is one for one in trial.settings):
        return trial
    return replace(trial, settings=tuple(found[id(one)] for one in trial.settings))


def _with_places(problem: str, places: list[str]) -> str:
    more = f" and {len(places) - 1} more" if len(places) > 1 else ""
    return f"{problem} (in {places[0]}{more})"
