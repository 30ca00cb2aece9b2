"""What there is to choose from: tools, personas, document sets; and how each is listed.

Ids have gaps and the order of the list is not theirs, as on a real installation, so that nobody relies on
either. One custom tool has the name of its only operation (`unit_convert`), the other has two operations
under a title of its own (`Calendar`): real servers have both kinds, and tell apart the row's name from what
the model calls.
"""

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["search", "web", "open", "custom"]


@dataclass(frozen=True, slots=True)
class Tool:
    """A row of `GET /tool`; *operations* are the names the model calls it by."""

    id: int
    name: str
    title: str
    description: str
    kind: Kind
    code: str | None
    operations: tuple[str, ...]
    parameters: tuple[tuple[str, str], ...] = ()


SEARCH = Tool(
    1,
    "internal_search",
    "Internal Search",
    "The Search Action allows the agent to search through connected knowledge to help build an answer.",
    "search",
    "SearchTool",
    ("internal_search",),
)
WEB = Tool(
    3,
    "web_search",
    "Web Search",
    "The Web Search Action allows the agent to perform internet searches for up-to-date information.",
    "web",
    "WebSearchTool",
    ("web_search",),
)
OPEN = Tool(
    7,
    "open_url",
    "Open URL",
    "The Open URL Action allows the agent to fetch and read contents of web pages.",
    "open",
    "OpenURLTool",
    ("open_url",),
)
CONVERT = Tool(
    12,
    "unit_convert",
    "Unit Converter",
    "Converts a quantity from one unit to another.",
    "custom",
    None,
    ("unit_convert",),
    (("value", "number"), ("from", "string"), ("to", "string")),
)
CALENDAR = Tool(
    14,
    "Calendar",
    "Calendar",
    "Counts days and finds dates.",
    "custom",
    None,
    ("days_between", "add_days"),
    (("start", "string"), ("end", "string"), ("days", "integer")),
)
TOOLS = (CONVERT, CALENDAR, OPEN, SEARCH, WEB)


@dataclass(frozen=True, slots=True)
class Persona:
    """An agent: which tools it may use, and how it opens an answer."""

    id: int
    name: str
    description: str
    tools: tuple[Tool, ...]
    system_prompt: str = ""
    greeting: str = ""
    document_sets: tuple[str, ...] = ()


PERSONAS = (
    Persona(0, "Assistant", "Your AI assistant with search, web browsing and small tools.", TOOLS),
    Persona(
        1,
        "Support Agent",
        "Answers customers of Atlas from policies and support articles.",
        (SEARCH,),
        "You are a support agent of Atlas. Thank the customer, answer from the knowledge base only.",
        "Thank you for asking. ",
        ("Policies", "Support"),
    ),
    Persona(2, "Writer", "Writes without looking anything up.", (), "You have no tools."),
)
DEFAULT = PERSONAS[0]
DOCUMENT_SETS = ("Policies", "Product", "Engineering", "Support")


def persona(persona_id: int) -> Persona | None:
    """The persona of that id, if there is one."""
    return next((known for known in PERSONAS if known.id == persona_id), None)


def _definition(tool: Tool) -> dict[str, Any] | None:
    if tool.kind != "custom":
        return None
    parameters = [{"name": name, "in": "query", "schema": {"type": kind}} for name, kind in tool.parameters]
    return {
        "openapi": "3.1.0",
        "info": {"title": tool.title, "version": "1.0.0", "description": tool.description},
        "paths": {
            f"/{name}": {"get": {"operationId": name, "parameters": parameters}} for name in tool.operations
        },
    }


def tool_snapshot(tool: Tool) -> dict[str, Any]:
    """One entry of `GET /tool`."""
    return {
        "id": tool.id,
        "name": tool.name,
        "description": tool.description,
        "definition": _definition(tool),
        "display_name": tool.title,
        "in_code_tool_id": tool.code,
        "custom_headers": [] if tool.code is None else None,
        "passthrough_auth": False,
        "mcp_server_id": None,
        "user_id": None,
        "oauth_config_id": None,
        "oauth_config_name": None,
        "enabled": True,
        "permissions": {},
        "chat_selectable": tool is not OPEN,
        "agent_creation_selectable": True,
        "default_enabled": tool is OPEN,
    }


def document_set_snapshot(number: int, name: str) -> dict[str, Any]:
    """One entry of `GET /manage/document-set`."""
    return {
        "id": number,
        "name": name,
        "description": f"{name} of Atlas",
        "cc_pair_summaries": [],
        "is_up_to_date": True,
        "is_public": True,
        "users": [],
        "groups": [],
        "permissions": {},
        "federated_connector_summaries": [],
    }


def persona_listing(known: Persona) -> dict[str, Any]:
    """One entry of `GET /persona`."""
    sets = [document_set_snapshot(DOCUMENT_SETS.index(name) + 1, name) for name in known.document_sets]
    return {
        "id": known.id,
        "name": known.name,
        "description": known.description,
        "tools": [tool_snapshot(tool) for tool in known.tools],
        "starter_messages": None,
        "document_sets": sets,
        "hierarchy_node_count": 0,
        "attached_document_count": 0,
        "knowledge_sources": [],
        "default_model_configuration_id": None,
        "uploaded_image_id": None,
        "icon_name": None,
        "is_public": True,
        "is_listed": True,
        "display_priority": 0 if known.id == 0 else None,
        "is_featured": known.id == 0,
        "builtin_persona": known.id == 0,
        "labels": [],
        "owner": None,
        "owner_group": None,
        "user_permission": "EDITOR",
        "permissions": {},
    }


def persona_snapshot(known: Persona) -> dict[str, Any]:
    """The answer of `GET /persona/{id}`: the listing, less its counts, and what only the full form has."""
    counts = {"hierarchy_node_count", "attached_document_count", "knowledge_sources"}
    listed = {key: value for key, value in persona_listing(known).items() if key not in counts}
    return listed | {
        "user_file_ids": [],
        "users": [],
        "groups": [],
        "hierarchy_nodes": [],
        "attached_documents": [],
        "system_prompt": known.system_prompt,
        "replace_base_system_prompt": False,
        "task_prompt": "",
        "datetime_aware": True,
        "search_start_date": None,
        "user_shares": [],
        "group_shares": [],
        "public_permission": "VIEWER",
        "sharing_status": "PUBLIC",
        "admin_count": 0,
        "ownership_vacant": True,
    }
