"""What this Sigma has: models, tools, personas, document sets, projects, files, switches.

An `llm_override` that does not resolve is answered by the default model, an
unknown tool id is ignored, both under HTTP 200 (wire 1.2, 1.3). So names are
looked up first (`harness.sigma.names`), in the lists that are fetched here.

All lists are asked for at once, since their fingerprint tells whether a server
was changed under a run. A key may chat and yet be refused a list (wire 5.5), and
a server may lack a page: such a list is None, and where the plan needed it a
warning says so. It never fails a run by itself.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import anyio
import httpx

from harness.errors import TargetError
from harness.sigma.client import Client
from harness.sigma.probe import document, is_well, reason
from harness.suite.settings import FileDescriptor, Settings


@dataclass(frozen=True, slots=True)
class Tool:
    """A row of `GET /tool`; *called* are the names by which the model calls it, *about* what it is told."""

    tool_id: int
    name: str
    called: tuple[str, ...]
    aliases: tuple[str, ...]
    about: str = ""


@dataclass(frozen=True, slots=True)
class Provider:
    """A configured provider and its models; a model may be a pattern (``openai/*``), as LiteLLM has them.

    *vendor* is the kind of provider behind it (``openai``), which is all that session detail shows.
    """

    name: str
    models: tuple[str, ...]
    vendor: str = ""


@dataclass(frozen=True, slots=True)
class Persona:
    """A row of `GET /persona`; *tools* are the ids of those attached to it, None where it does not say."""

    persona_id: int
    name: str
    tools: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class UserFile:
    """A file that was uploaded before, with everything by which people may name it."""

    user_file_id: str
    file_id: str
    name: str
    kind: str
    status: str = "COMPLETED"

    @property
    def descriptor(self) -> FileDescriptor:
        """The file as a request names it."""
        return FileDescriptor(id=self.file_id, type=self.kind, name=self.name, user_file_id=self.user_file_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """What a Sigma has. A list is None where it was not to be had; *refused* says why, by path.

    *conversations* are the personas of the conversations that the suite goes on in, by session; *prompts*
    what the personas in use are told, by id. *account* and *switches* are `/me` and `/settings` as they came.
    """

    tools: tuple[Tool, ...] | None = None
    personas: tuple[Persona, ...] | None = None
    providers: tuple[Provider, ...] | None = None
    default_provider: str | None = None
    default_model: str | None = None
    document_sets: tuple[str, ...] | None = None
    projects: Mapping[int, str] | None = None
    files: tuple[UserFile, ...] | None = None
    tags: frozenset[tuple[str, str]] | None = None
    conversations: Mapping[str, int | None] = field(default_factory=dict)
    prompts: Mapping[int, str] = field(default_factory=dict)
    version: str | None = None
    account: Mapping[str, Any] = field(default_factory=dict)
    switches: Mapping[str, Any] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    dialect: str = "sigma"

    @property
    def called(self) -> dict[int, tuple[str, ...]]:
        """For each tool id, the names by which the model calls it."""
        return {tool.tool_id: tool.called for tool in self.tools or ()}


async def look_up(
    client: Client,
    needed: Iterable[Settings],
    account: Mapping[str, Any] | None = None,
    *,
    everything: bool = False,
) -> Catalogue:
    """Every list that can be had, and a warning for each that *needed* refers to and that cannot.

    Lists that take a server long, of files and tags, are asked for only where they are needed, or for
    *everything*; then one that does not come is one that is not to be had.

    Raises `TargetError` where nobody answers any more.
    """
    asked = _asked(needed)
    sessions = [_List(each, "", f"/chat/get-chat-session/{each}", _persona_of) for each in _sessions(asked)]
    wanted = [one for one in _LISTS if everything or one.worth is None or one.worth & asked.keys()]
    found, refused = await _fetched(client, [*wanted, *sessions], lenient=everything)
    if _GUIDES_FILES in refused:
        own = _List("files", "files", _OWN_FILES, _files)
        more, why = await _fetched(client, [own], lenient=everything)
        found, refused = found | more, refused | why
    conversations = {one.name: found.pop(one.name) for one in sessions if one.name in found}
    providers, default, default_model = found.pop("providers", (None, None, None))
    return Catalogue(
        **found,
        providers=providers,
        default_provider=default,
        default_model=default_model,
        conversations=conversations,
        account=account or {},
        refused=refused,
        warnings=tuple(
            f"{one.words} could not be listed ({refused[one.path]}): what the suite says of them is unchecked"
            for one in wanted
            if one.path in refused and one.needed & asked.keys()
        ),
        dialect=client.address.dialect,
    )


async def _fetched(
    client: Client, lists: Iterable["_List"], *, lenient: bool
) -> tuple[dict[str, Any], dict[str, str]]:
    """What each of *lists* has, by field, and why some have nothing, by path.

    Raises `TargetError` where one does not come at all, unless this is *lenient*.
    """
    found: dict[str, Any] = {}
    refused: dict[str, str] = {}

    async def fetch(one: _List) -> None:
        try:
            response = await client.get(one.path)
        except httpx.TransportError as error:
            if not lenient:
                raise TargetError(f"{client.address.base_url}{one.path}: {reason(error)}") from error
            refused[one.path] = f"GET {one.path} did not answer ({reason(error)})"
            return
        if not is_well(response):
            page = "a web page" if response.is_success else response.status_code
            refused[one.path] = f"GET {one.path} answered {page}"
            return
        try:
            found[one.name] = one.read(response.json())
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            refused[one.path] = f"GET {one.path} answered with something that is no such list"

    async with anyio.create_task_group() as tasks:
        for one in lists:
            tasks.start_soon(fetch, one)
    return found, refused


async def prompts_of(client: Client, personas: Iterable[int]) -> dict[int, str]:
    """What each of *personas* is told, by id, where it may be read: it is part of what is tested."""
    told: dict[int, str] = {}

    async def one(persona: int) -> None:
        try:
            detail = document(await client.get(f"/persona/{persona}"))
        except httpx.TransportError as error:
            raise TargetError(f"{client.address.base_url}/persona/{persona}: {reason(error)}") from error
        if detail:
            told[persona] = "\n".join(str(detail.get(key) or "") for key in ("system_prompt", "task_prompt"))

    async with anyio.create_task_group() as tasks:
        for persona in set(personas):
            tasks.start_soon(one, persona)
    return told


def _sessions(asked: "Asked") -> set[str]:
    return asked.get("chat_session_id", set())


Asked = Mapping[str, set[Any]]


def _asked(needed: Iterable[Settings]) -> dict[str, set[Any]]:
    """The settings that are used at all, each with the values that can be told apart."""
    asked: dict[str, set[Any]] = {}
    for settings in needed:
        for name in settings.model_fields_set:
            value = getattr(settings, name)
            if value is None:
                continue
            asked.setdefault(name, set()).update({value} if isinstance(value, int | str) else ())
            if name == "search_filters":
                for part in value.model_fields_set:
                    asked.setdefault(f"search_filters.{part}", set())
    return asked


def _operations(definition: dict[str, Any] | None) -> Iterator[str]:
    """The operation ids of an OpenAPI tool: the names by which the model calls it."""
    for methods in ((definition or {}).get("paths") or {}).values():
        for operation in methods.values():
            if isinstance(operation, dict) and isinstance(operation.get("operationId"), str):
                yield operation["operationId"]


def _text(row: dict[str, Any], key: str = "name") -> str:
    """The text under *key*. Raises `LookupError` and `TypeError`: with such a row it is no list."""
    if not isinstance(row[key], str):
        raise TypeError
    return str(row[key])


def _rows(listed: Any) -> list[Any]:
    """The rows of a list. Raises `TypeError` where it is none."""
    if not isinstance(listed, list):
        raise TypeError
    return listed


def _number(row: dict[str, Any]) -> int:
    if type(row["id"]) is not int:
        raise TypeError
    return int(row["id"])


def _tool(row: dict[str, Any]) -> Tool:
    name = _text(row)
    called = tuple(_operations(row.get("definition"))) or (name,)
    known = (name, row.get("display_name"), row.get("in_code_tool_id"), *called)
    aliases = {each for each in known if isinstance(each, str)}
    about = json.dumps([row.get("description"), row.get("definition")], sort_keys=True)
    return Tool(_number(row), name, called, tuple(sorted(aliases)), about)


def _tools(rows: Any) -> tuple[Tool, ...]:
    return tuple(map(_tool, _rows(rows)))


def _personas(rows: Any) -> tuple[Persona, ...]:
    return tuple(
        Persona(
            _number(row),
            _text(row),
            None if row.get("tools") is None else tuple(map(_number, row["tools"])),
        )
        for row in _rows(rows)
    )


def _providers(listed: Any) -> tuple[tuple[Provider, ...], str | None, str | None]:
    """The providers, and names of the default one and its model; older servers list them bare (wire 5.5)."""
    rows, default = (
        (listed, None) if isinstance(listed, list) else (listed["providers"], listed.get("default_text"))
    )
    providers = tuple(
        Provider(
            _provider_name(row), tuple(map(_text, row["model_configurations"])), row.get("provider") or ""
        )
        for row in rows
    )
    if not default:
        return providers, None, None
    named = {_number(row): _provider_name(row) for row in rows}.get(default["provider_id"])
    return providers, named, None if default.get("model_name") is None else _text(default, "model_name")


def _provider_name(row: dict[str, Any]) -> str:
    return _text(row) if row["name"] else _text(row, "provider")


def _names(rows: Any) -> tuple[str, ...]:
    return tuple(map(_text, _rows(rows)))


def _projects(rows: Any) -> dict[int, str]:
    return {_number(row): _text(row) for row in _rows(rows)}


def user_file(row: Mapping[str, Any]) -> UserFile:
    """One uploaded file, as any of the endpoints for files tells it. Raises `LookupError`."""
    return UserFile(
        str(row["id"]),
        str(row["file_id"]),
        row["name"],
        row["chat_file_type"],
        row.get("status", "COMPLETED"),
    )


def _files(rows: Any) -> tuple[UserFile, ...]:
    return tuple(map(user_file, _rows(rows)))


def _tags(listed: Any) -> frozenset[tuple[str, str]]:
    return frozenset((_text(row, "tag_key"), _text(row, "tag_value")) for row in listed["tags"])


def _version(told: Any) -> str:
    return str(told["backend_version"])


def _object(told: Any) -> dict[str, Any]:
    return dict(told)


def _persona_of(told: Any) -> int | None:
    persona: int | None = told["persona_id"]
    return persona


class _List(NamedTuple):
    """One list: the field it fills, how people call it, and the settings that need it.

    Without one of *worth* it is not asked for at all; None is for those that are in the fingerprint.
    """

    name: str
    words: str
    path: str
    read: Callable[[Any], Any]
    needed: frozenset[str] = frozenset()
    worth: frozenset[str] | None = None


_GUIDES_FILES = "/user/projects/file/"
_OWN_FILES = "/user/files/recent"
"""Real servers do not have the guide's list of files, but this one (wire, two dialects)."""

_FILES, _TAGS = frozenset({"files"}), frozenset({"search_filters.tags"})
_LISTS = (
    _List("version", "version", "/version", _version),
    _List("switches", "settings", "/settings", _object),
    _List("tools", "tools", "/tool", _tools, frozenset({"allowed_tool_ids", "forced_tool_id"})),
    _List("personas", "personas", "/persona", _personas, frozenset({"persona_id"})),
    _List("providers", "models", "/llm/provider", _providers, frozenset({"llm_override", "llm_overrides"})),
    _List(
        "document_sets",
        "document sets",
        "/manage/document-set",
        _names,
        frozenset({"search_filters.document_set"}),
    ),
    _List("projects", "projects", "/user/projects", _projects, frozenset({"project_id"})),
    _List("files", "files", _GUIDES_FILES, _files, worth=_FILES),
    _List("tags", "tags", "/query/valid-tags", _tags, _TAGS, _TAGS),
)
