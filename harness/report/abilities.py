"""What a suite may use on a Sigma: yes, no or not known, each with the reason, and what to do about it.

A function for each thing, from what a look around saw. Only what a server shows is a yes or a no; where it
does not say, the answer is that it is not known, and how it can be found out.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from harness.drive.survey import READY, UPLOAD, USAGE, Heard, Seen
from harness.sigma.catalogue import Provider
from harness.sigma.deprecated import PATHS
from harness.sigma.request import SEND
from harness.suite.first import can_stand
from harness.suite.keys import KEY_VARIABLE


class Known(StrEnum):
    """Whether something can be used."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "not known"


class Ability(NamedTuple):
    """One thing: whether it can be used, why that is so, and what to do about it where there is something."""

    what: str
    known: Known
    why: str
    remedy: str = ""


_GONE = frozenset({404, 405, 410, 501})
_REFUSED = frozenset({401, 403})
_SEARCH = "internal_search"


def abilities(seen: Seen) -> list[Ability]:
    """Everything that is told of, in the order in which it is shown."""
    told = (_key, _asking, _override, _filters, _research, _files, _side_by_side, _deprecated)
    return [*(ability(seen) for ability in told), _audit(seen), *_of_account(seen), _crowd(seen)]


def stands_in_the_way(seen: Seen) -> bool:
    """Whether no suite could be run with this key as it is: it is nobody's, or may not ask."""
    wanted = not seen.suite.target.allow_anonymous and seen.address.api_key is not None
    return (seen.is_nobodys and wanted) or _asking(seen).known is Known.NO


def _key(seen: Seen) -> Ability:
    has_key, email = seen.address.api_key is not None, seen.account.get("email")
    if seen.is_nobodys:
        whose = "the key is taken for NOBODY'S" if has_key else "there is no key"
        why = f"{whose}: anybody may ask as an anonymous user, with other rights"
        remedy = f"is {KEY_VARIABLE} right?" if has_key else f"set {KEY_VARIABLE}, or allow_anonymous: true"
        return Ability("key", Known.NO, why, remedy)
    if not seen.account:
        why = seen.catalogue.refused.get("/me", "GET /me, which says whose it is, may not be asked")
        return Ability("key", Known.UNKNOWN, why, "a key of unlimited scope may ask it")
    whose = f"that of {email}" if isinstance(email, str) else "that of an account without an address"
    whose = whose if has_key else f"none, and none is wanted: the account is {whose.removeprefix('that of ')}"
    ends = seen.account.get("token_expires_at")
    return Ability("key", Known.YES, whose + (f"; it ends on {ends}" if isinstance(ends, str) else ""))


def _asking(seen: Seen) -> Ability:
    """Whether this key may send messages at all: what has none is refused for that, or before."""
    what, heard = "asking", seen.heard[SEND]
    match heard.status:
        case 422:
            return Ability(what, Known.YES, "a request without a message was refused for that alone")
        case 401 | 403:
            remedy = "the key needs the right write:chat"
            return Ability(what, Known.NO, f"POST {SEND} {heard}", remedy)
        case 429:
            until = heard.told.get("reset_at")
            remedy = f"wait until {until}" if isinstance(until, str) else "wait, or have the limit raised"
            return Ability(what, Known.NO, f"the usage budget is spent: POST {SEND} {heard}", remedy)
        case status if status in _GONE:
            return Ability(what, Known.NO, f"POST {SEND} {heard}", "this server is older than that endpoint")
        case _:
            return Ability(what, Known.UNKNOWN, f"POST {SEND} {heard}", "--ask sends a message")


def _override(seen: Seen) -> Ability:
    what, providers = "llm_override", seen.catalogue.providers
    if providers is None:
        return _unlisted(what, seen, "/llm/provider", "names of models cannot be checked before a run")
    count = sum(len(provider.models) for provider in providers)
    if not count:
        return Ability(what, Known.NO, "no model is configured", "a server's admin has to add one")
    why = f"{_counted(count, 'model')} of {_counted(len(providers), 'provider')}"
    return Ability(what, Known.YES, why + _default(seen), "")


def _default(seen: Seen) -> str:
    name = "/".join(part for part in (seen.catalogue.default_provider, seen.catalogue.default_model) if part)
    return f"; without it {name} answers" if name else "; which of them is the default is not said"


def _filters(seen: Seen) -> Ability:
    what, switches, tools = "search_filters", seen.catalogue.switches, seen.catalogue.tools
    if seen.dialect is None:
        remedy = "write target.dialect: onyx or sigma, and look at the audit of a run"
        return Ability(what, Known.UNKNOWN, "which dialect it speaks does not show", remedy)
    if tools is not None and not any(_SEARCH in tool.aliases for tool in tools):
        none = " (it has no vector DB)" if switches.get("vector_db_enabled") is False else ""
        return Ability(what, Known.NO, f"there is no tool {_SEARCH}{none}", "")
    sent = "internal_search_filters" if seen.dialect == "onyx" else "search_filters"
    parts = [f"sent as {sent}"]
    if seen.sources:
        parts.append(f"{len(seen.sources)} source types")
    if seen.catalogue.tags is not None:
        keys = sorted({key for key, _ in seen.catalogue.tags})
        parts.append(f"tags {_few(keys)}" if keys else "no document has a tag")
    if switches.get("auto_detect_search_filters") is True:
        parts.append("the server may narrow a search further by itself")
    if tools is None:
        return _unlisted(what, seen, "/tool", "; ".join(parts))
    return Ability(what, Known.YES, "; ".join(parts))


def _research(seen: Seen) -> Ability:
    what = "deep_research"
    match _switch(seen, "deep_research_enabled"):
        case True:
            return Ability(what, Known.YES, "switched on", "budget.deep_research has to say how many")
        case False:
            return Ability(
                what, Known.NO, "switched off (GET /settings)", "a server's admin can switch it on"
            )
    return Ability(what, Known.UNKNOWN, _unsaid(seen), "try one, with budget: {deep_research: 1}")


def _side_by_side(seen: Seen) -> Ability:
    what = "llm_overrides"
    if seen.dialect == "sigma":
        return Ability(what, Known.NO, "several models side by side are of the dialect onyx only")
    match _switch(seen, "multi_model_chat_enabled"):
        case True if seen.dialect == "onyx":
            return Ability(what, Known.YES, "two or three models may answer side by side")
        case False:
            return Ability(
                what, Known.NO, "switched off (GET /settings)", "a server's admin can switch it on"
            )
    return Ability(what, Known.UNKNOWN, _unsaid(seen), "try two models in one prompt")


def _files(seen: Seen) -> Ability:
    """An upload without a file is refused for that where uploads are taken, and leaves nothing behind."""
    what, heard = "files", seen.heard[UPLOAD]
    why = f"POST {UPLOAD} {heard}"
    match heard.status:
        case 422:
            most = _number(_switch(seen, "user_file_max_upload_size_mb"))
            limit = "" if most is None else f", of {most:g} MB at most"
            have = seen.catalogue.files
            there = "" if have is None else f"; {_counted(len(have), 'file')} of this account there"
            return Ability(what, Known.YES, f"uploads are taken{limit}{there}")
        case status if status in _REFUSED:
            return Ability(what, Known.NO, why, "the key needs more rights")
        case status if status in _GONE:
            return Ability(what, Known.NO, why, "this server takes no uploads")
    return Ability(what, Known.UNKNOWN, why, "try a prompt with a small file")


def _deprecated(seen: Seen) -> Ability:
    what, there, remedy = "deprecated endpoints", [], ""
    unclear = [
        f"POST {path} {seen.heard[path]}" for path in PATHS.values() if not _is_clear(seen.heard[path])
    ]
    there = [name for name, path in PATHS.items() if seen.heard[path].status == 422]
    if there:
        remedy = "to be left by 1 February 2026; suites/migration.yaml compares"
        return Ability(what, Known.YES, " and ".join(there), remedy)
    if unclear:
        return Ability(what, Known.UNKNOWN, "; ".join(unclear))
    return Ability(
        what, Known.NO, "gone, as they are from servers of today", "send-chat-message replaces them"
    )


def _is_clear(heard: Heard) -> bool:
    return heard.status == 422 or heard.status in _GONE


def _audit(seen: Seen) -> Ability:
    """Whether a run can see which model answered: only the session detail says so (wire 1.2)."""
    what, alike = "audit: which model", _alike(seen.catalogue.providers or ())
    but = f"; but no session tells {' from '.join(alike)}" if alike else ""
    if seen.models:
        named = seen.models[0]
        model = "/".join(part for part in (named.model_provider, named.model_name) if part)
        return Ability(what, Known.YES, f"conversations keep it: the latest was answered by {model}{but}")
    if seen.answers:
        why = f"{_counted(seen.answers, 'earlier answer')} of this account, and none names its model"
        return Ability(what, Known.NO, why, "llm_override will be not shown in the audit")
    why = f"this account has no answer yet that could show it{but}"
    return Ability(what, Known.UNKNOWN, why, "--ask finds out")


def _alike(providers: Iterable[Provider]) -> list[str]:
    """The first model that several providers of one vendor have, by each of their names."""
    having: dict[tuple[str, str], list[str]] = {}
    for one in providers:
        for model in one.models if one.vendor else ():
            having.setdefault((one.vendor, model), []).append(f"{one.name}/{model}")
    return next((names for names in having.values() if len(names) > 1), [])


def told_apart(
    providers: Sequence[Provider], default: tuple[str | None, str | None]
) -> tuple[str, str] | None:
    """The first provider and model beside the *default* of which an audit can see that it answered.

    A session names only the vendor beside the model. Patterns (``openai/*``) are no models, and what cannot
    stand in a suite is left out.
    """
    count = Counter((one.vendor, model) for one in providers for model in set(one.models))
    fit = [
        (one.name, model)
        for one in providers
        for model in one.models
        if (one.name, model) != default and "*" not in model and can_stand(one.name) and can_stand(model)
    ]
    vendors = {one.name: one.vendor for one in providers}
    alone = (each for each in fit if count[vendors[each[0]], each[1]] == 1)
    return next(alone, next(iter(fit), None))


def _of_account(seen: Seen) -> Iterator[Ability]:
    """What the account brings along, and what it may still spend."""
    memory = seen.account.get("personalization")
    if isinstance(memory, dict):
        on = [name for name in ("use_memories", "enable_memory_tool") if memory.get(name)]
        if on:
            remedy = f"PATCH /user/personalization {{{', '.join(f'{name}: false' for name in on)}}}"
            why = f"{' and '.join(on)} on: what one conversation notes goes into the next"
            yield Ability("clean account", Known.NO, why, remedy)
        else:
            yield Ability(
                "clean account", Known.YES, "nothing is remembered from one conversation to the next"
            )
    yield _count(seen.heard[USAGE])


def _count(heard: Heard) -> Ability:
    """What the server itself has counted, and what it lets be spent."""
    what, days = "its own count", heard.told.get("per_day_by_model")
    if heard.status != 200 or not isinstance(days, list):
        return Ability(what, Known.UNKNOWN, f"GET /user/usage {heard}", "budgets go by our estimate")
    counts = [day.get(name) for day in days if isinstance(day, dict) for name in _TOKENS]
    told = [each for each in counts if isinstance(each, int)]
    is_told = len(told) == len(counts)
    tokens = f"{sum(told):,} tokens since yesterday" if is_told else "how many tokens is not said"
    known = Known.YES if is_told else Known.UNKNOWN
    return Ability(what, known, "; ".join((tokens, *_budget(heard.told))))


def _budget(told: Mapping[str, Any]) -> Iterator[str]:
    left, budget = _number(told.get("budget_remaining_cents")), _number(told.get("budget_cents"))
    if left is not None and budget is not None:
        until = told.get("budget_reset_at")
        when = f", until {until}" if isinstance(until, str) else ""
        yield f"{left / 100:.2f} of {budget / 100:.2f} USD are left{when}"
    elif "budget_cents" in told and told["budget_cents"] is None:
        yield "no budget is set"


_TOKENS = ("input_tokens", "output_tokens")


def _crowd(seen: Seen) -> Ability:
    """How many conversations at once there is room for: each holds a thread of the server (wire 5.10)."""
    what, heard = "conversations at once", seen.heard[READY]
    data = heard.told.get("data")
    most = data.get("threadpool_total_tokens") if isinstance(data, dict) else None
    if heard.status != 200 or not isinstance(most, int):
        return Ability(what, Known.UNKNOWN, f"GET {READY} {heard}", "harness limit finds out")
    busy = data.get("threadpool_borrowed_tokens") if isinstance(data, dict) else None
    now = f", {busy} of them busy now" if isinstance(busy, int) else ""
    why = f"{most} threads of the process that answered{now}; a conversation holds one"
    return Ability(what, Known.YES, why, "harness limit finds out what really holds")


def _unlisted(what: str, seen: Seen, path: str, so: str) -> Ability:
    why = seen.catalogue.refused.get(path, f"GET {path} was not answered")
    return Ability(what, Known.UNKNOWN, f"{why}: {so}", "a key of unlimited scope may list them")


def _switch(seen: Seen, name: str) -> Any:
    return seen.catalogue.switches.get(name)


def _unsaid(seen: Seen) -> str:
    return seen.catalogue.refused.get("/settings", "GET /settings leaves it open")


def _number(told: Any) -> float | None:
    """What a server told as a number; None for what is none, or none that can be shown (NaN, 10^400)."""
    try:
        number = float(told) if type(told) in {int, float} else math.nan
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _few(names: list[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
