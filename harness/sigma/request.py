"""Turn + settings -> the body of one `POST /chat/send-chat-message`, in either dialect.

A setting that is None is left out and never sent as null: an explicit null
`parent_message_id` wipes the conversation's history (wire 0.5), and other nulls
say no more than leaving out does.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

from pydantic import SecretStr

from harness.suite.settings import FileDescriptor, LlmOverride, SearchFilters, Settings

SEND = "/chat/send-chat-message"

Value = TypeVar("Value")

_AS_THEY_ARE = ("forced_tool_id", "deep_research", "include_citations", "additional_context", "origin")


def request_body(
    message: str,
    settings: Settings,
    *,
    dialect: str,
    session_id: str | None = None,
    parent_message_id: int | None = None,
) -> dict[str, Any]:
    """The JSON object to send for *message* under *settings*, whose names are ids by now.

    Without *session_id* the server makes a session, of the settings' persona and
    project. Without *parent_message_id* the message follows the last one of its
    session. A file that is still a path or a name is left out: there is nothing to
    send of it before it is uploaded or looked up.
    """
    named = "internal_search_filters" if dialect == "onyx" else "search_filters"
    made = {
        "llm_override": _given(settings.llm_override, override),
        "llm_overrides": _given(settings.llm_overrides, lambda models: [override(each) for each in models]),
        "allowed_tool_ids": _given(settings.allowed_tool_ids, list),
        named: _given(settings.search_filters, partial(filters, dialect=dialect)),
        "file_descriptors": _given(settings.files, descriptors),
        "mcp_headers": _given(settings.mcp_headers, _revealed),
        **{name: getattr(settings, name) for name in _AS_THEY_ARE},
    }
    body = {"message": message, **_place(settings, session_id, parent_message_id)}
    body |= {name: value for name, value in made.items() if value is not None}
    return body | {"stream": settings.stream is not False}


def _given(value: Value | None, made: Callable[[Value], Any]) -> Any:
    """*made* of *value*; what is not set stays None, and so out of the request."""
    return None if value is None else made(value)


def _revealed(headers: Mapping[str, SecretStr]) -> dict[str, str]:
    return {name: value.get_secret_value() for name, value in headers.items()}


def _place(settings: Settings, session_id: str | None, parent_message_id: int | None) -> dict[str, Any]:
    """Where in which conversation the message goes."""
    place: dict[str, Any] = {}
    if session_id is not None:
        place["chat_session_id"] = session_id
    elif info := session_info(settings):
        place["chat_session_info"] = info
    if parent_message_id is not None:
        place["parent_message_id"] = parent_message_id
    return place


def masked(body: dict[str, Any]) -> dict[str, Any]:
    """*body* as it may be kept and shown: what is secret in it is not."""
    if "mcp_headers" not in body:
        return body
    return body | {"mcp_headers": dict.fromkeys(body["mcp_headers"], "***")}


def session_info(settings: Settings, *, description: str | None = None) -> dict[str, Any]:
    """`chat_session_info`: whose session a new conversation gets; empty for all defaults.

    *description* is its title, which only onyx has.
    """
    info = {
        "persona_id": settings.persona_id,
        "project_id": settings.project_id,
        "description": description,
    }
    return {key: value for key, value in info.items() if value is not None}


def override(chosen: LlmOverride) -> dict[str, Any]:
    """`llm_override` with the fields that were chosen."""
    return chosen.model_dump(exclude_none=True)


def descriptors(files: Iterable[FileDescriptor | str]) -> list[dict[str, Any]]:
    """`file_descriptors`: those of *files* that the server has."""
    return [each.model_dump(exclude_none=True) for each in files if isinstance(each, FileDescriptor)]


def filters(chosen: SearchFilters, *, dialect: str) -> dict[str, Any]:
    """The search filters; onyx takes tags as a list of pairs, the guide as a mapping (wire, two dialects)."""
    body = chosen.model_dump(exclude_none=True, mode="json")
    if dialect == "onyx" and chosen.tags is not None:
        body["tags"] = [{"tag_key": key, "tag_value": value} for key, value in chosen.tags.items()]
    return body
