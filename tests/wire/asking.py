"""Recorded requests on their way to the stand-in: their ids and names become ours, what they need is made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import httpx

from tests.conftest import Standin
from tests.wire.recorded import Recording

KEY = "onyx_pat_of_this_test"
"""The only key that stand-in `keyed` takes."""

NAMES_HERE: dict[tuple[str, Any], Any] = {
    ("persona_id", 1): 0,  # the agent with all tools
    ("forced_tool_id", 6): 12,
    ("model_provider", "FakeLLM"): "Simulated",
    ("model_version", "fake-model"): "swift",
    ("model_version", "fake-model-b"): "steady",
    ("model_provider", "SecondProvider"): "Harbor",
    ("model_version", "fake-reasoner"): "lighthouse",
}

Ids = dict[Any, Any]
Reply = tuple[int, str, bytes]
Send = Callable[[Standin, httpx.Request], Reply]


def whole(standin: Standin, request: httpx.Request) -> Reply:
    """Send a request and read its reply to the end."""
    answer = standin.http.send(request)
    assert "content-encoding" not in answer.headers  # whatever was accepted
    return answer.status_code, answer.headers["content-type"], answer.content


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How one recorded request is asked here.

    *at* is the stand-in: the one that speaks onyx, the one that speaks sigma, one with a key, one without the
    deprecated endpoints. *before* makes what the request needs and returns recorded ids with ours. *message*,
    *model* and *fields* stand in the body for the recorded ones. *unlike* are aspects of the class in which
    the reply may differ, and *why* says why.
    """

    at: Literal["onyx", "sigma", "keyed", "bare"] = "onyx"
    key: str | None = KEY
    before: Callable[[Standin], Ids] | None = None
    message: str | None = None
    model: str | None = None
    fields: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    send: Send = whole
    unlike: frozenset[str] = frozenset()
    why: str = ""


def request_of(one: Recording, asked: Asked, standin: Standin) -> httpx.Request:
    """The recorded request as it goes to *standin*."""
    ids = asked.before(standin) if asked.before else {}
    path, body = one.path, translated(one.asked, ids)
    for theirs, ours in ids.items():
        path = path.replace(theirs, str(ours)) if isinstance(theirs, str) else path
    if isinstance(body, dict):
        body |= dict(asked.fields)
        if asked.message is not None:
            body["message"] = asked.message
        if asked.model is not None:
            body["llm_override"] = {"model_provider": "Simulated", "model_version": asked.model}
    own = {"Host", "User-Agent", "Content-Length"}
    headers = {name: value for name, value in one.headers.items() if name not in own}
    for name in ("Authorization", "X-Onyx-Authorization"):
        if headers.get(name) == "Bearer onyx_pat_***":
            headers[name] = f"Bearer {asked.key}"
    if isinstance(body, str) or body is None:
        content = None if body is None else body.encode()
        return standin.http.build_request(one.method, path, content=content, headers=headers)
    return standin.http.build_request(one.method, path, json=body, headers=headers)


def translated(value: Any, ids: Ids, key: str = "") -> Any:
    """A recorded JSON value with our ids and names for theirs."""
    match value:
        case dict():
            return {name: translated(inner, ids, name) for name, inner in value.items()}
        case list():
            return [translated(inner, ids, key) for inner in value]
        case str():
            return ids.get(value, NAMES_HERE.get((key, value), value))
        case int() if key in {"parent_message_id", "project_id"}:
            return ids.get((key, value), value)
        case int() if not isinstance(value, bool):
            return NAMES_HERE.get((key, value), value)
    return value


# What must be there before

TALK = "85ebbebf-eb14-4d87-9a5c-8e91c622ed6e"
STOPPED = "83862b6d-282c-4801-9ca4-e6822dc69f77"
LEFT = "e9b3326d-8f1b-4214-b792-19af02d29bc7"


def talk(session: str) -> Callable[[Standin], Ids]:
    """A conversation of one turn."""

    def made(standin: Standin) -> Ids:
        said = standin.ask("hello", "sim:tokens=3")
        return {
            session: said.session_id,
            ("parent_message_id", 65): said.user_id,
            ("parent_message_id", 66): said.assistant_id,
        }

    return made


def deleted(session: str) -> Callable[[Standin], Ids]:
    """A conversation that was deleted."""

    def made(standin: Standin) -> Ids:
        said = standin.ask("hello", "sim:tokens=3")
        standin.http.delete(f"/chat/delete-chat-session/{said.session_id}").raise_for_status()
        return {session: said.session_id}

    return made


def stopped(session: str) -> Callable[[Standin], Ids]:
    """A conversation whose second turn was stopped, before its first word."""

    def made(standin: Standin) -> Ids:
        said = standin.ask("hello", "sim:tokens=3")
        override = {"model_provider": "Simulated", "model_version": "sim:ttft=20s"}
        body = {"message": "x", "chat_session_id": said.session_id, "llm_override": override}
        stopped_midway(standin, standin.http.build_request("POST", "/chat/send-chat-message", json=body))
        return {session: said.session_id}

    return made


def left(session: str) -> Callable[[Standin], Ids]:
    """A conversation whose reply goes on, though its client has gone."""

    def made(standin: Standin) -> Ids:
        body = {
            "message": "x",
            "llm_override": {"model_provider": "Simulated", "model_version": "sim:gap=8ms,tokens=60"},
        }
        request = standin.http.build_request("POST", "/chat/send-chat-message", json=body)
        reply = abandoned(standin, request)
        return {session: reply[2].split(b'"')[3].decode()}

    return made


def uploaded(standin: Standin) -> Ids:
    """The recorded uploads, a text and a picture, ready for use."""
    ids: Ids = {}
    for name, kind, content, theirs in (
        (
            "notes.txt",
            "text/plain",
            b"The secret number is 1234.\n" * 20,
            ("05e31cec-a328-4495-9260-cbc07d616876", "61401e24-f8d5-4833-beab-3238e406de53"),
        ),
        (
            "pic.png",
            "image/png",
            b"\x89PNG\r\n\x1a\n",
            ("28655903-68f3-4e65-a653-e3ecf5876945", "9f4bec5c-466c-45e0-bef3-77fb244808ef"),
        ),
    ):
        answer = standin.http.post("/user/projects/file/upload", files={"files": (name, content, kind)})
        (file,) = answer.json()["user_files"]
        ids |= {theirs[0]: file["id"], theirs[1]: file["file_id"]}
    return ids


def processed(standin: Standin) -> Ids:
    """The same, when they have been processed."""
    ids = uploaded(standin)
    for user_file_id in list(ids.values())[::2]:
        while standin.get(f"/user/projects/file/{user_file_id}")["status"] != "COMPLETED":
            pass  # each look is a round trip
    return ids


def project(standin: Standin) -> Ids:
    """A project."""
    made = standin.http.post("/user/projects/create?name=harness")
    return {("project_id", 1): made.json()["id"]}


# Ways to send that are more than a request and its reply


def stopped_midway(standin: Standin, request: httpx.Request) -> Reply:
    """Send a turn of a session that exists, and stop it when its first lines have come."""
    session_id = _json(request)["chat_session_id"]
    answer = standin.http.send(request, stream=True)
    body = bytearray()
    wanted = 3 if b"tool=" in request.content else 1
    asked = False
    for chunk in answer.iter_raw():
        body += chunk
        if not asked and body.count(b"\n") >= wanted:
            asked = True
            stop = httpx.post(f"{standin.url}/chat/stop-chat-session/{session_id}")
            assert stop.json() == {"message": "Chat session stopped"}
    return answer.status_code, answer.headers["content-type"], bytes(body)


def abandoned(standin: Standin, request: httpx.Request) -> Reply:
    """Send a turn, and hang up after eight lines."""
    with httpx.Client() as http:
        answer = http.send(request, stream=True)
        body = bytearray()
        for chunk in answer.iter_raw():
            body += chunk
            if body.count(b"\n") >= 8:
                break
        answer.close()
    return answer.status_code, answer.headers["content-type"], bytes(body)


def beside_another(standin: Standin, request: httpx.Request) -> Reply:
    """Send a turn while another one of its session is in flight."""
    with httpx.Client() as http, http.stream(request.method, request.url, content=request.content) as other:
        rest = other.iter_raw()
        next(rest)
        reply = whole(standin, request)
        assert b"stop" in b"".join(rest)
    return reply


def _json(request: httpx.Request) -> Any:
    return httpx.Response(200, content=request.content).json()
