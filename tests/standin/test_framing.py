"""How the lines stand on the wire, in each dialect."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Reply, Standin

SCHEMAS = json.loads(Path(__file__).with_name("schemas.json").read_text())

JOURNEYS = [
    ("What is the API rate limit?", "swift", {}),
    ("What is the API rate limit?", "steady", {}),
    pytest.param("What is the refund window?", "thinker", {}, marks=pytest.mark.slow),
    ("Convert 5 km to miles, and what is the API rate limit?", "swift", {}),
    ("Search the web: how long is the Nile?", "steady", {}),
    ("Compare the refund policy in the EU with that in the US", "swift", {"deep_research": True}),
    pytest.param(
        "Compare single sign-on with Okta and Entra ID",
        "thinker",
        {"deep_research": True},
        marks=pytest.mark.slow,
    ),
    ("anything", "sim:ttft=0,gap=0,tokens=3,reasoning=2,narration=2,tool=search:1ms,tool=fail:1ms", {}),
]


_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def fits(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    """Whether *value* is as *schema* says: as much of JSON Schema as schemas.json uses."""
    if reference := schema.get("$ref"):
        schema = root["$defs"][reference.rsplit("/", 1)[1]]
    if options := schema.get("anyOf"):
        return any(fits(value, option, root) for option in options)
    if value != schema.get("const", value) or value not in schema.get("enum", [value]):
        return False
    kind = schema.get("type")
    if kind is not None and not isinstance(value, _TYPES[kind]):
        return False
    match value:
        case bool():
            return kind in {"boolean", None}
        case list():
            return all(fits(one, schema.get("items", {}), root) for one in value)
    return not isinstance(value, dict) or _object_fits(value, schema, root)


def _object_fits(value: dict[str, Any], schema: dict[str, Any], root: dict[str, Any]) -> bool:
    known = schema.get("properties", {})
    if known and set(value) != set(known):  # real servers send every field, nulls included
        return False
    return all(fits(inner, known[key], root) for key, inner in value.items() if key in known)


def packet_schema(kind: str) -> dict[str, Any]:
    """The schema of a packet type; they are listed by name, each with its type as a constant."""
    return next(
        schema
        for schema in SCHEMAS["PacketObj"].values()
        if schema.get("properties", {}).get("type", {}).get("const") == kind
    )


def schema_of(line: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    if "obj" in line:
        return line["obj"], packet_schema(line["obj"]["type"])
    for key, name in (
        ("error", "StreamingError"),
        ("reserved_assistant_message_id", "MessageResponseIDInfo"),
        ("chat_session_id", "CreateChatSessionID"),
    ):
        if key in line:
            return line, SCHEMAS[name]
    raise AssertionError(f"no such line: {line}")


@pytest.mark.parametrize(("message", "model", "fields"), JOURNEYS)
def test_every_line_has_the_fields_of_the_wire(
    onyx: Standin, message: str, model: str, fields: dict[str, Any]
) -> None:
    reply = onyx.ask(message, model, **fields)
    for line in reply.lines:
        value, schema = schema_of(line)
        assert fits(value, schema, schema), line
        if "obj" in line:
            assert fits(line["placement"], SCHEMAS["Placement"], SCHEMAS["Placement"])
    assert reply.kinds[-1] == "stop"


def test_a_wrong_line_would_be_noticed() -> None:
    schema = packet_schema("message_delta")
    assert fits({"type": "message_delta", "content": "x"}, schema, schema)
    assert not fits({"type": "message_delta", "content": 3}, schema, schema)
    assert not fits({"type": "message_delta"}, schema, schema)


def test_onyx_writes_json_lines_under_an_event_stream(onyx: Standin) -> None:
    reply = onyx.ask("What is the capital of France?")
    assert reply.content_type == "text/event-stream; charset=utf-8"
    assert reply.text.endswith("\n")
    assert all(line.startswith('{"') for line in reply.text.removesuffix("\n").split("\n"))


def test_sigma_writes_events(sigma: Standin) -> None:
    reply = sigma.ask("What is the capital of France?")
    assert reply.content_type == "text/event-stream; charset=utf-8"
    assert re.fullmatch(r"(data: \{[^\n]+\}\n\n)+", reply.text)


def test_lines_are_ascii_with_spaces_as_real_servers_write_them(onyx: Standin) -> None:
    reply = onyx.ask("What is the capital of Brazil?")
    assert reply.text.isascii()
    assert "Bras\\u00edlia" in reply.text
    assert reply.text.split("\n")[0] == json.dumps(json.loads(reply.text.split("\n")[0]))


@pytest.mark.parametrize("dialect", ["sigma", "onyx"])
def test_a_reply_is_session_ids_packets_stop(dialect: str, request: pytest.FixtureRequest) -> None:
    standin: Standin = request.getfixturevalue(dialect)
    reply: Reply = standin.ask("What is the capital of France?")
    assert list(reply.lines[0]) == ["chat_session_id", "incognito"]
    assert list(reply.lines[1]) == ["user_message_id", "reserved_assistant_message_id"]
    assert set(reply.kinds[1:-1]) == {"message_delta"}
    assert (reply.kinds[0], reply.kinds[-1]) == ("message_start", "stop")
    assert reply.answer() == "The capital of France is Paris."


def test_the_same_question_gives_the_same_words(onyx: Standin) -> None:
    first, second = (onyx.ask("How are webhooks signed?", "steady") for _ in range(2))
    assert first.answer() == second.answer()


@pytest.mark.slow
def test_the_document_form_has_every_field(onyx: Standin) -> None:
    document = onyx.whole("What is the API rate limit?", "thinker")
    assert fits(document, SCHEMAS["ChatFullResponse"], SCHEMAS["ChatFullResponse"])
    assert "[[1]](" in document["answer"]
    assert "[[" not in document["answer_citationless"]
    assert document["tool_calls"][0]["tool_name"] == "internal_search"


@pytest.mark.slow
def test_streamed_and_whole_replies_say_the_same(onyx: Standin) -> None:
    question = "How do I set up SSO with Okta?"
    assert onyx.ask(question, "steady").answer() == onyx.whole(question, "steady")["answer"]


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        ("GET", "/chat/send-chat-message", 405, "Method Not Allowed"),
        ("GET", "/api/health", 404, "404: Not Found"),
        ("GET", "/tool/999", 404, "Tool by specified id does not exist"),
    ],
)
def test_what_is_not_there_is_refused_as_real_servers_do(
    onyx: Standin, method: str, path: str, status: int, detail: str
) -> None:
    answer = onyx.http.request(method, path)
    assert (answer.status_code, answer.json()) == (status, {"detail": detail})
