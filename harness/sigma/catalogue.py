"""Preflight: what this Sigma has, and names -> ids, before anything is spent.

An `llm_override` that does not resolve is answered by the default model, an
unknown tool id is ignored, both under HTTP 200 (wire 1.2, 1.3). So names are
looked up first, and what does not exist is an error that says what does.

Each list is fetched only where a plan needs it. A key may chat and yet be
refused a list (wire 5.5): then ids pass as they are, and names are an error
that says why they cannot be looked up.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, TypeVar

import httpx

from harness.errors import TargetError, did_you_mean
from harness.sigma.client import Client
from harness.suite.model import LlmOverride, Settings

Read = TypeVar("Read")

PROBE_S = 10.0
"""How long a server may take to say that it is well; even a saturated one says so at once (wire 5.10)."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A row of `GET /tool`; *called* are the names under which the model calls it."""

    tool_id: int
    name: str
    called: tuple[str, ...]
    aliases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Provider:
    """A configured provider and its models; a model may be a pattern (``openai/*``), as LiteLLM has them.

    *vendor* is the kind of provider behind it (``openai``), which is all that session detail shows.
    """

    name: str
    models: tuple[str, ...]
    vendor: str = ""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What a Sigma has. A list is None where it was not needed or not to be had; *refused* says why."""

    tools: tuple[Tool, ...] | None = None
    personas: Mapping[int, str] | None = None
    providers: tuple[Provider, ...] | None = None
    default_provider: str | None = None
    refused: Mapping[str, str] | None = None
    dialect: str = "sigma"

    @property
    def called(self) -> dict[int, tuple[str, ...]]:
        """For each tool id, the names by which the model calls it."""
        return {tool.tool_id: tool.called for tool in self.tools or ()}


async def probe(client: Client) -> None:
    """Raise `TargetError`, with the likely fix, unless a Sigma answers and knows the key.

    `/health` asks for no key and `/me` does. A key that may chat but not ask who it is,
    or a server without that page, passes.
    """
    base = client.address.base_url
    try:
        health = await client.get("/health", silence_s=PROBE_S)
        well = _well(health)
        prefixed = not well and _well(await client.get("/api/health", silence_s=PROBE_S))
        me = await client.get("/me") if well else None
    except httpx.TransportError as error:
        raise TargetError(
            f"{base}: no Sigma answers ({_reason(error)}); is it running, and is target.base_url right?"
        ) from error
    if prefixed:
        raise TargetError(f"{base}: answers under /api; set target.base_url to {base.rstrip('/')}/api")
    if me is None:
        page = "a web page" if health.is_success else str(health.status_code)
        raise TargetError(f"{base}: GET /health answered {page}, so this is not a Sigma that is well")
    if me.status_code == 401 or (me.status_code == 403 and "not authenticated" in me.text):
        key = (
            "the API key was refused" if client.address.api_key else "an API key is wanted, and there is none"
        )
        where = "is target.api_key right, or with --target SIGMA_API_KEY?"
        raise TargetError(f"{base}: {key} (GET /me answered {me.status_code}); {where}")


def _well(response: httpx.Response) -> bool:
    """A 200 that is no web page: the front door shows one for any path that is not the API's."""
    return response.is_success and "html" not in response.headers.get("content-type", "")


async def look_up(client: Client, needed: Iterable[Settings]) -> Catalogue:
    """The lists that *needed* refers to. Raises `TargetError` where nobody answers any more.

    A list that is refused, or that cannot be read, is None in the answer.
    """
    settings = list(needed)
    refused: dict[str, str] = {}

    async def listed(path: str, read: Callable[[Any], Read], *, wanted: bool) -> Read | None:
        if not wanted:
            return None
        try:
            response = await client.get(path)
        except httpx.TransportError as error:
            raise TargetError(f"{client.address.base_url}{path}: {_reason(error)}") from error
        if not _well(response):
            refused[path] = f"GET {path} answered {response.status_code}"
            return None
        try:
            return read(response.json())
        except (ValueError, LookupError, TypeError, AttributeError):
            refused[path] = f"GET {path} answered with something that is no such list"
            return None

    tools = await listed("/tool", _tools, wanted=any(_uses_tools(one) for one in settings))
    personas = await listed("/persona", _personas, wanted=any(one.persona_id is not None for one in settings))
    uses_models = any(one.llm_override is not None for one in settings)
    providers, default = await listed("/llm/provider", _providers, wanted=uses_models) or (None, None)
    return Catalogue(
        tools=tools,
        personas=personas,
        providers=providers,
        default_provider=default,
        refused=refused,
        dialect=client.address.dialect,
    )


def resolve(settings: Settings, catalogue: Catalogue) -> tuple[Settings, list[str]]:
    """*settings* with ids for names, and what of them does not exist, one sentence each."""
    problems: list[str] = []
    update: dict[str, Any] = {}
    if settings.allowed_tool_ids is not None:
        ids = (_tool_id(tool, catalogue, problems, "allowed_tool_ids") for tool in settings.allowed_tool_ids)
        update["allowed_tool_ids"] = tuple(ids)
    if settings.forced_tool_id is not None:
        update["forced_tool_id"] = _tool_id(settings.forced_tool_id, catalogue, problems, "forced_tool_id")
    if settings.persona_id is not None:
        update["persona_id"] = _persona_id(settings.persona_id, catalogue, problems)
    if isinstance(settings.project_id, str):
        problems.append(f"project_id: a name ({settings.project_id}) is not yet supported; write the number")
    if settings.llm_override is not None:
        problems += _check_model(settings.llm_override, catalogue)
    # Most settings name nothing: copying ten thousand of them would take longer than planning them.
    return settings.model_copy(update=update) if update else settings, problems


def _tool_id(wanted: int | str, catalogue: Catalogue, problems: list[str], where: str) -> int | str:
    if catalogue.tools is None:
        problems += _unlisted(wanted, catalogue, "/tool", where)
        return wanted
    named = [tool.tool_id for tool in catalogue.tools if wanted == tool.tool_id or wanted in tool.aliases]
    if len(named) == 1:
        return named[0]
    if named:
        problems.append(f"{where}: {wanted} names {len(named)} tools; write one of the ids {named}")
        return wanted
    have = ", ".join(f"{tool.name} ({tool.tool_id})" for tool in catalogue.tools)
    near = did_you_mean(wanted, (tool.name for tool in catalogue.tools))
    problems.append(f"{where}: this Sigma has no tool {wanted}; it has {have}{near}")
    return wanted


def _persona_id(wanted: int | str, catalogue: Catalogue, problems: list[str]) -> int | str:
    if catalogue.personas is None:
        problems += _unlisted(wanted, catalogue, "/persona", "persona_id")
        return wanted
    named = [number for number, name in catalogue.personas.items() if wanted in {number, name}]
    match named:
        case [number]:
            return number
        case []:
            have = ", ".join(f"{name} ({number})" for number, name in catalogue.personas.items())
            near = did_you_mean(wanted, catalogue.personas.values())
            problems.append(f"persona_id: this Sigma has no persona {wanted}; it has {have}{near}")
        case _:
            problems.append(f"persona_id: {wanted} names {len(named)} personas; write one of the ids {named}")
    return wanted


def _check_model(chosen: LlmOverride, catalogue: Catalogue) -> Iterator[str]:
    if catalogue.providers is None:
        # No name is translated here, so a key without this list may still run; only the check is lost.
        return
    if chosen.model_version is None and chosen.model_provider is None:
        return
    if chosen.model_provider is None and catalogue.dialect == "onyx":
        have = [one.name for one in catalogue.providers if chosen.model_version in one.models]
        yield (
            "llm_override: model_version without model_provider is answered by the default model; "
            f"set model_provider to {' or '.join(have) or 'the provider that has it'}"
        )
        return
    name = chosen.model_provider or catalogue.default_provider
    if name is None:
        known = ", ".join(one.name for one in catalogue.providers)
        yield f"llm_override: this Sigma names no default provider; set model_provider to one of {known}"
        return
    provider = next((one for one in catalogue.providers if one.name == name), None)
    if provider is None:
        have = [one.name for one in catalogue.providers]
        yield (
            f"llm_override.model_provider: this Sigma has no provider {name}; it has "
            f"{', '.join(have)}{did_you_mean(name, have)}"
        )
    elif chosen.model_version is None:
        yield (
            f"llm_override: model_provider {name} without model_version is answered by the default model; "
            f"name one of {', '.join(provider.models)}"
        )
    elif not any(fnmatchcase(chosen.model_version, model) for model in provider.models):
        others = [one.name for one in catalogue.providers if chosen.model_version in one.models]
        elsewhere = f"; {others[0]} has it: set model_provider: {others[0]}" if others else ""
        near = elsewhere or did_you_mean(chosen.model_version, provider.models)
        yield (
            f"llm_override.model_version: provider {name} has no model {chosen.model_version}; it has "
            f"{', '.join(provider.models)}{near}"
        )


def _unlisted(wanted: int | str, catalogue: Catalogue, path: str, where: str) -> list[str]:
    if isinstance(wanted, int):
        return []
    why = (catalogue.refused or {}).get(path, f"{path} was not looked up")
    return [f"{where}: {wanted} cannot be looked up by name ({why}); write the id"]


def _tool(row: dict[str, Any]) -> Tool:
    called = tuple(_operations(row.get("definition"))) or (row["name"],)
    aliases = {row["name"], row.get("display_name"), row.get("in_code_tool_id"), *called} - {None}
    return Tool(row["id"], row["name"], called, tuple(aliases))


def _operations(definition: dict[str, Any] | None) -> Iterator[str]:
    """The operation ids of an OpenAPI tool: the names by which the model calls it."""
    for methods in ((definition or {}).get("paths") or {}).values():
        for operation in methods.values():
            if isinstance(operation, dict) and "operationId" in operation:
                yield operation["operationId"]


def _tools(rows: Any) -> tuple[Tool, ...]:
    return tuple(map(_tool, rows))


def _personas(rows: Any) -> dict[int, str]:
    return {row["id"]: row["name"] for row in rows}


def _providers(listed: Any) -> tuple[tuple[Provider, ...], str | None]:
    """The providers and the default one's name; older servers answer with a bare list (wire 5.5)."""
    rows, default = (
        (listed, None) if isinstance(listed, list) else (listed["providers"], listed.get("default_text"))
    )
    providers = tuple(
        Provider(
            row["name"] or row["provider"],
            tuple(model["name"] for model in row["model_configurations"]),
            row.get("provider") or "",
        )
        for row in rows
    )
    ids = {row["id"]: row["name"] or row["provider"] for row in rows}
    return providers, ids.get(default["provider_id"]) if default else None


def _uses_tools(settings: Settings) -> bool:
    return bool(settings.allowed_tool_ids) or settings.forced_tool_id is not None


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
