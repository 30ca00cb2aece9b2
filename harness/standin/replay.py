"""A recorded run, played back as a server: the same requests get the same packets, when they came.

So a run can be repeated without a Sigma and without tokens. Replies go out as they came, byte by byte and
read by read; only the id of a session is another one, of the same length, so that two who are given the same
recording do not share a conversation. Message ids are as recorded.

Of the rest of an API there is what the run came across (`harness.standin.recalled`); what it did not is 404.
`GET /_standin/plays` tells what was played to whom, and when each piece of it was written.
"""

import gc
import math
import time
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import anyio
import anyio.lowlevel
import msgspec
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from harness.sigma.deprecated import PATHS
from harness.sigma.request import SEND
from harness.standin.chat import sever
from harness.standin.recalled import Recalled, projects, session
from harness.standin.recordings import Conversation, End, Recording, Recordings, asked, choose, note, unknown
from harness.standin.request import complaint, read_ask
from harness.standin.server import Options, serve_app

_SLEEP_NS = 300_000
"""Less than this is not worth a sleep: the loop's timer has steps of a millisecond."""

_BURST = 16
_PLAYS = 10_000
_ENDPOINTS = {SEND: "send-chat-message"} | {path: name for name, path in PATHS.items()}


@dataclass(slots=True)
class Play:
    """One recording as it was played: stamps of CLOCK_MONOTONIC just before each write, in nanoseconds."""

    exchange_id: str
    request_ns: int
    head_ns: int | None = None
    sent_ns: "array[int]" = field(default_factory=lambda: array("q"))

    def as_json(self) -> dict[str, Any]:
        """An item of `GET /_standin/plays`."""
        return {
            "exchange_id": self.exchange_id,
            "request_ns": self.request_ns,
            "head_ns": self.head_ns,
            "sent_ns": list(self.sent_ns),
        }


@dataclass(slots=True)
class Replay:
    """A run that is being played back, *speed* times as fast as it was; `math.inf` waits for nothing."""

    recordings: Recordings
    recalled: Recalled
    speed: float = 1.0
    conversations: dict[str, Conversation] = field(default_factory=dict)
    plays: deque[Play] = field(default_factory=lambda: deque(maxlen=_PLAYS))

    def conversation(self, session_id: str | None) -> Conversation | None:
        """The conversation of that id; None where it is neither one of ours nor one of the recorded ones."""
        if session_id is None:
            return Conversation(str(uuid4()))
        if session_id not in self.conversations and session_id in self.recordings.sessions:
            self.conversations[session_id] = Conversation(session_id, recorded=[session_id])
        return self.conversations.get(session_id)


class Played:
    """The ASGI side of one recording. A client that hangs up ends it."""

    def __init__(self, recording: Recording, body: bytes, play: Play, speed: float) -> None:
        self._recording = recording
        self._body = body
        self._play = play
        self._speed = speed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write each piece when it is due, and end as the recorded reply did."""
        one = self._recording
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_until_gone, receive, tasks.cancel_scope)
            if one.status is not None:
                await self._write(one.status, send)
            if one.end is not End.SILENT:
                await self._until(one.ended_ns)
            if one.end is End.WHOLE:
                await send(_piece(b"", more=False))
            else:
                if one.end is End.DROPPED or math.isinf(self._speed):
                    await sever(scope, "drop")
                await anyio.sleep_forever()  # until the client is gone: what it gave up, we do not end
            tasks.cancel_scope.cancel()

    async def _write(self, status: int, send: Send) -> None:
        one, begin = self._recording, 0
        await self._until(one.head_ns)
        self._play.head_ns = time.perf_counter_ns()
        headers = [*one.headers, *self._framing()]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        unbroken = 0
        for end, due_ns in zip(one.ends, one.due_ns, strict=True):
            unbroken = 0 if await self._until(due_ns) else unbroken + 1
            if unbroken % _BURST == _BURST - 1:  # a burst must not keep the others waiting
                await anyio.lowlevel.checkpoint()
            self._play.sent_ns.append(time.perf_counter_ns())
            await send(_piece(self._body[begin:end]))
            begin = end
        if begin < len(self._body):
            await send(_piece(self._body[begin:]))

    def _framing(self) -> list[tuple[bytes, bytes]]:
        """A body that came whole in one read has its length said, as a document has; others are chunked."""
        whole = self._recording.end is End.WHOLE and len(self._recording.ends) <= 1
        return [(b"content-length", b"%d" % len(self._body))] if whole else []

    async def _until(self, due_ns: int) -> bool:
        """Wait until *due_ns* after the request, at our speed; whether there was anything to wait for.

        Counted from the request, so that what is late does not push back what follows.
        """
        due, waited = self._play.request_ns + due_ns / self._speed, False
        while (early := due - time.perf_counter_ns()) > _SLEEP_NS:  # the loop's timer may ring early
            await anyio.sleep(early / 1e9)
            waited = True
        return waited


def _piece(data: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def _replay(request: Request) -> Replay:
    replay: Replay = request.app.state.replay
    return replay


async def answer(request: Request) -> Response | Played:
    """A turn, at any of the endpoints for one: what was recorded of it, as a reply in the making."""
    request_ns = time.perf_counter_ns()
    replay, path, text = _replay(request), request.url.path, await request.body()
    body = _object(text)
    if body is None or not isinstance(body.get("message"), str):
        return _refused(replay, text, f"POST {path}")
    session_id = body.get("chat_session_id")
    conversation = replay.conversation(session_id if isinstance(session_id, str) else None)
    if conversation is None:
        said = f"{session_id} is no conversation of this replay, nor of the run that it plays"
        return JSONResponse({"error_code": "SESSION_NOT_FOUND", "detail": said}, 404)
    wanted = asked(_ENDPOINTS[path], body, conversation.info)
    recording = choose(replay.recordings, wanted, conversation)
    if recording is None:
        return JSONResponse({"error_code": "NOT_FOUND", "detail": unknown(replay.recordings, wanted)}, 404)
    replay.conversations[conversation.session_id] = conversation
    note(replay.recordings, conversation, recording)
    if recording.end is End.NEVER:
        said = f"no answer was recorded that could be replayed: {recording.why}"
        return JSONResponse({"error_code": "SERVICE_UNAVAILABLE", "detail": said}, 503)
    play = Play(recording.exchange_id, request_ns)
    replay.plays.append(play)
    return Played(recording, _renamed(recording, conversation), play, replay.speed)


def _renamed(recording: Recording, conversation: Conversation) -> bytes:
    """The body with the conversation's id for the recorded one; nothing in it may move."""
    old, new = (recording.session_id or "").encode(), conversation.session_id.encode()
    return recording.body.replace(old, new) if len(old) == len(new) else recording.body


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None
    return found if isinstance(found, dict) else None


def _refused(replay: Replay, text: bytes, route: str) -> Response:
    """A request without a message: a probe, which tells the dialects apart by how they complain."""
    try:
        read_ask(text, "onyx" if replay.recordings.manifest.dialect == "onyx" else "sigma")
    except ValidationError as error:
        return JSONResponse(complaint(error, route), 422)
    raise AssertionError("a request without a message was taken for one")


async def create_chat_session(request: Request) -> Response:
    """`POST /chat/create-chat-session`: its recording is found with its first turn."""
    info = _object(await request.body()) or {}
    title = info.get("description")
    made = Conversation(str(uuid4()), info, title if isinstance(title, str) else None)
    _replay(request).conversations[made.session_id] = made
    return JSONResponse({"chat_session_id": made.session_id, "incognito": False})


async def get_chat_session(request: Request) -> Response:
    """`GET /chat/get-chat-session/{id}`: what the run saw of it, under the id that it has now."""
    replay = _replay(request)
    conversation = replay.conversation(request.path_params["session_id"])
    detail = session(replay.recordings, conversation) if conversation else None
    return JSONResponse({"detail": "Chat session not found"}, 404) if detail is None else JSONResponse(detail)


async def stop_chat_session(request: Request) -> Response:
    """`POST /chat/stop-chat-session/{id}`: who stops a reply no longer listens to it."""
    return JSONResponse({"message": "Chat session stopped"})


async def delete_chat_session(request: Request) -> Response:
    """`DELETE /chat/delete-chat-session/{id}`."""
    _replay(request).conversations.pop(request.path_params["session_id"], None)
    return JSONResponse(None)


async def list_projects(request: Request) -> Response:
    """`GET /user/projects`."""
    replay = _replay(request)
    rows = projects(replay.recordings, replay.recalled, replay.conversations.values())
    return JSONResponse({"detail": "404: Not Found"}, 404) if rows is None else JSONResponse(rows)


async def upload(request: Request) -> Response:
    """`POST /user/projects/file/upload`: a file is what it was in the run; its content is not looked at."""
    async with request.form() as form:
        names = [part.filename or "" for part in form.getlist("files") if isinstance(part, UploadFile)]
    taken = [_replay(request).recalled.upload(name) for name in names]
    return JSONResponse({"user_files": taken, "rejected_files": []})


async def list_files(request: Request) -> Response:
    """`GET /user/projects/file/` and `GET /user/files/recent`."""
    return JSONResponse([row for rows in _replay(request).recalled.uploads.values() for row in rows])


async def get_file(request: Request) -> Response:
    """`GET /user/projects/file/{id}`."""
    row = _replay(request).recalled.file(request.path_params["file_id"])
    return JSONResponse({"detail": "File not found"}, 404) if row is None else JSONResponse(row)


async def delete_file(request: Request) -> Response:
    """`DELETE /user/projects/file/{id}`: the next upload of its name is that file again."""
    return JSONResponse({"has_associations": False, "project_names": [], "assistant_names": []})


async def listed(request: Request) -> Response:
    """Every other list, as far as the run knows it."""
    found = _replay(request).recalled.lists.get(request.url.path)
    return JSONResponse({"detail": "404: Not Found"}, 404) if found is None else JSONResponse(found)


async def plays(request: Request) -> Response:
    """`GET /_standin/plays`: what was played, the first one first."""
    return JSONResponse([play.as_json() for play in _replay(request).plays])


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return JSONResponse({"detail": "404: Not Found" if status == 404 else str(error)}, status)


def create_app(replay: Replay) -> ASGIApp:
    """The ASGI application."""
    file = "/user/projects/file"
    app = Starlette(
        routes=[
            *(Route(path, answer, methods=["POST"]) for path in _ENDPOINTS),
            Route("/chat/create-chat-session", create_chat_session, methods=["POST"]),
            Route("/chat/get-chat-session/{session_id}", get_chat_session),
            Route("/chat/stop-chat-session/{session_id}", stop_chat_session, methods=["POST"]),
            Route("/chat/delete-chat-session/{session_id}", delete_chat_session, methods=["DELETE"]),
            Route("/user/projects", list_projects),
            Route(f"{file}/upload", upload, methods=["POST"]),
            Route(f"{file}/", list_files),
            Route("/user/files/recent", list_files),
            Route(f"{file}/{{file_id}}", get_file),
            Route(f"{file}/{{file_id}}", delete_file, methods=["DELETE"]),
            Route("/_standin/plays", plays),
            *(Route(path, listed) for path in replay.recalled.lists),
        ],
        exception_handlers={HTTPException: _http_error},
    )
    app.state.replay = replay
    drops = any(one.status is None and one.end is End.DROPPED for one in replay.recordings.every)
    return Closing(app) if drops else app


class Closing:
    """The app with no connection kept for a second request.

    A client that finds a kept connection dead sends its request once more, on a new one. A recorded reply
    that was dropped before its first byte would so be asked for twice, and the second time answered with
    another one.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; the reply says that it is the last one of its connection."""

        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        await self._app(scope, receive, closing)


def serve(replay: Replay, options: Options, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, as the stand-in does; *ready* is called with the URL.

    Of *options* it is the address, the key, the access log and the parent that count. A port that is taken is
    a `PortError`.
    """

    def app() -> ASGIApp:
        gc.freeze()  # the recordings stay: walking through them again and again would hold up what is due
        return create_app(replay)

    serve_app(app, options, ready)
