"""Before anything is sent: where the target is, that a Sigma answers there, and that every name exists.

Look-ups only. What a plan needs to know ahead is the same whether it is then
run or only printed, and printing a plan must not cost what running one does:
nothing heavy is imported here.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from harness.drive.local import local_sigma
from harness.drive.loop import in_a_loop
from harness.drive.pool import plain_errors
from harness.drive.transport import transport_of
from harness.errors import TargetError, UsageError
from harness.plan.trials import Plan
from harness.redact.veil import veil_of
from harness.sigma.catalogue import Catalogue, look_up, prompts_of
from harness.sigma.client import Address, Client
from harness.sigma.deprecated import PATHS
from harness.sigma.names import hints, resolve
from harness.sigma.probe import dialect_of, identified, located, require_endpoint
from harness.suite import values
from harness.suite.keys import KEY_VARIABLE, key_around, key_of, standin_of
from harness.suite.model import Suite
from harness.suite.settings import Settings


def look(plan: Plan, target: str | None = None) -> tuple[Plan, Catalogue, Address]:
    """*plan* with every name resolved at its target, or at *target*; no trial is sent.

    Raises `UsageError` for names that do not exist, `TargetError` and
    `StandinError` where no Sigma answers.
    """
    return in_a_loop(partial(_look, plan, target))


async def _look(plan: Plan, target: str | None) -> tuple[Plan, Catalogue, Address]:
    async with address_of(plan.suite, target) as address:
        return await resolved(plan, address)


@asynccontextmanager
async def address_of(suite: Suite, target: str | None) -> AsyncIterator[Address]:
    """Where *suite* is to be run; our own stand-in is started, and ended, around the block.

    *target* is a URL, or ``standin``, in place of the suite's own. A URL gets the key in SIGMA_API_KEY, or in
    the file that SIGMA_API_KEY_FILE names, and never the suite's, which is for another server.
    """
    written = as_written(suite, target)
    if written is not None:
        yield written
        return
    own = suite.target
    spoken = (own.standin.dialect if own.standin else None) or own.dialect
    veil, standin = veil_of(suite), standin_of(suite)
    spoken = "sigma" if spoken == "auto" else spoken
    async with local_sigma(spoken, standin, hidden=veil.secrets) as url:
        yield Address(url, own.dialect, veil=veil)


def as_written(suite: Suite, target: str | None) -> Address | None:
    """The address that *suite* or *target* gives; None for the stand-in, which has none before it runs."""
    own = suite.target
    if target is not None and target != "standin":
        return Address(_checked(target), own.dialect, key_around(), veil_of(suite))
    if target is None and own.base_url is not None:
        return Address(own.base_url, own.dialect, key_of(own, suite.path), veil_of(suite))
    return None


def _checked(target: str) -> str:
    """*target*, by the rules of a suite's `base_url`: it is shown and kept, so no password may be in it."""
    try:
        return values.address(target)
    except values.HiddenValueError as error:
        raise UsageError(f"--target: {error}; the key is taken from {KEY_VARIABLE}") from None
    except ValueError as error:
        raise UsageError(f"--target {target}: {error}; or standin") from None


async def resolved(plan: Plan, address: Address) -> tuple[Plan, Catalogue, Address]:
    """*plan* with ids for names, what was looked up for it, and the address as it turned out to be.

    That one has ``/api`` where only there a Sigma answers, and the dialect that the server speaks where the
    suite says ``auto``. Raises `TargetError` where nothing can be asked, `UsageError` for names that do not
    exist: all of them, with what there is instead.
    """
    with plain_errors():
        found, account, warnings = await _reached(plan, address)
        async with Client(found, transport_of(plan.suite, found.base_url)()) as client:
            catalogue = await looked_up(plan, client, account)
    resolutions: dict[int, Settings] = {}
    problems: dict[str, list[str]] = {}
    for asked in plan.asked():
        for settings in asked.settings:
            if id(settings) not in resolutions:
                resolutions[id(settings)], wrong = resolve(settings, catalogue, plan.suite.path)
                warnings += hints(resolutions[id(settings)], catalogue)
                for problem in wrong:
                    problems.setdefault(problem, []).append(f"{asked.case.case_id} [{asked.variant}]")
    for judging in _of_judge(plan.suite):
        for problem in resolve(judging, catalogue, plan.suite.path)[1]:
            problems.setdefault(problem, []).append("judge")
    if problems:
        raise UsageError("\n".join(map(_with_places, problems, problems.values())))
    catalogue = replace(catalogue, warnings=tuple(dict.fromkeys((*warnings, *catalogue.warnings))))
    return plan.with_settings(lambda settings: resolutions[id(settings)]), catalogue, found


async def looked_up_again(plan: Plan, address: Address) -> Catalogue:
    """What the server at *address*, as it was found, has by now. Raises `TargetError`."""
    async with Client(address, transport_of(plan.suite, address.base_url)()) as client:
        with plain_errors():
            return await looked_up(plan, client, await identified(client, allow_anonymous=True))


async def looked_up(plan: Plan, client: Client, account: Mapping[str, Any]) -> Catalogue:
    """What the server of *client* has, as far as *plan* or its fingerprint need it."""
    catalogue = await look_up(client, _distinct(plan), account)
    asked = {settings.persona_id for settings in _distinct(plan)}
    ids = {one.persona_id for one in catalogue.personas or () if {one.persona_id, one.name} & asked}
    if None in asked:
        ids.add(0)
    return replace(catalogue, prompts=await prompts_of(client, ids))


async def _reached(plan: Plan, address: Address) -> tuple[Address, Mapping[str, Any], list[str]]:
    """Where the server really is and what it speaks, whose key it was given, and what is odd about that."""
    warnings: list[str] = []
    async with Client(address, transport_of(plan.suite, address.base_url)()) as client:
        found = await located(client)
    needed = _distinct(plan)
    async with Client(found, transport_of(plan.suite, found.base_url)()) as client:
        try:
            account = await identified(client, allow_anonymous=plan.suite.target.allow_anonymous)
        except TargetError as error:
            raise TargetError(f"{error}; harness check {found.base_url} tries a key without a run") from None
        for endpoint in sorted({one.endpoint for one in needed if one.endpoint in PATHS}):
            await require_endpoint(client, str(endpoint))
        if found.dialect == "auto":
            return replace(found, dialect=await _told(client)), account, warnings
        filtered = any(one.search_filters is not None for one in needed)
        if found.dialect == "sigma" and filtered and await dialect_of(client) == "onyx":
            warnings.append(
                "this Sigma reads internal_search_filters, and the suite's search_filters would be dropped "
                "without a word: set target.dialect: onyx, or auto"
            )
    return found, account, warnings


async def _told(client: Client) -> str:
    dialect = await dialect_of(client)
    if dialect is None:
        raise TargetError(
            f"{client.address.base_url}: which dialect this Sigma speaks cannot be told from how it refuses "
            "a request without a message; write target.dialect: onyx or sigma"
        )
    return dialect


def _distinct(plan: Plan) -> list[Settings]:
    """The settings of *plan*, each object once, since most trials share theirs; and those of its judge."""
    asked = {id(one): one for asked in plan.asked() for one in asked.settings}
    return [*asked.values(), *_of_judge(plan.suite)]


def _of_judge(suite: Suite) -> list[Settings]:
    """What Sigma is asked with where it judges itself; none where it does not, or by its default model."""
    judge = suite.judge
    if judge is None or judge.target is None or judge.llm_override is None:
        return []
    return [Settings(llm_override=judge.llm_override)]


def _with_places(problem: str, places: list[str]) -> str:
    more = f" and {len(places) - 1} more" if len(places) > 1 else ""
    return f"{problem} (in {places[0]}{more})"
