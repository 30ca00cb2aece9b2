"""Turn + settings -> the body of one `POST /chat/send-chat-message`, in either dialect.

A setting that is None is left out and never sent as null: an explicit null
`parent_message_id` wipes the conversation's history (wire 0.5), and other nulls
say no more than leaving out does.
"""

from typing import Any

from harness.suite.model import LlmOverride, SearchFilters, Settings

SEND = "/chat/send-chat-message"


def request_body(
    message: str,
    settings: Settings,
    *,
    dialect: str,
    session_id: str | None = None,
    parent_message_id: int | None = None,
) -> dict[str, Any]:
    """The JSON object to send for *message* under *settings*, whose names are ids by now.

    Without *session_id* the server makes a session, of the settings' persona and project. Without
    *parent_message_id* the message follows the last one of its session.
    """
    body: dict[str, Any] = {"message": message}
    if parent_message_id is not None:
        body["parent_message_id"] = parent_message_id
    if session_id is not None:
        body["chat_session_id"] = session_id
    elif info := session_info(settings):
        body["chat_session_info"] = info
    if settings.llm_override is not None:
        body["llm_override"] = override(settings.llm_override)
    if settings.allowed_tool_ids is not None:
        body["allowed_tool_ids"] = list(settings.allowed_tool_ids)
    if settings.forced_tool_id is not None:
        body["forced_tool_id"] = settings.forced_tool_id
    if settings.search_filters is not None:
        name = "internal_search_filters" if dialect == "onyx" else "search_filters"
        body[name] = filters(settings.search_filters, dialect=dialect)
    if settings.deep_research is not None:
        body["deep_research"] = settings.deep_research
    body["stream"] = settings.stream is not False
    return body


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


def filters(chosen: SearchFilters, *, dialect: str) -> dict[str, Any]:
    """The search filters; onyx takes tags as a list of pairs, the guide as a mapping (wire, two dialects)."""
    body = chosen.model_dump(exclude_none=True, mode="json")
    if dialect == "onyx" and chosen.tags is not None:
        body["tags"] = [{"tag_key": key, "tag_value": value} for key, value in chosen.tags.items()]
    return body
