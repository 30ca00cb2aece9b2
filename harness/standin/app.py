"""The routes of the stand-in.

What is here is here: chat, sessions, files and projects, the catalogue, health, and `/_standin/*`, our own
window on what was received and sent. Administration, registration, tokens and billing are not, and answer 404
as any unknown route does.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from harness.standin import account, catalogue, uploads
from harness.standin import deprecated as old
from harness.standin.chat import Standin, send_chat_message, snapshot
from harness.standin.models import provider_listing
from harness.standin.request import Latest, Preferred, Rename, complaint, read_session_info


def _standin(request: Request) -> Standin:
    standin: Standin = request.app.state.standin
    return standin


def _session_id(request: Request) -> str:
    """The session of the path in the usual spelling; what is no UUID is looked up as it is, and not found."""
    text: str = request.path_params["session_id"]
    try:
        return str(UUID(text))
    except ValueError:
        return text


async def create_chat_session(request: Request) -> Response:
    """`POST /chat/create-chat-session`."""
    info = read_session_info(await request.body())
    if catalogue.persona(info.persona_id) is None:
        return JSONResponse({"detail": "User does not have access to persona"}, 403)
    standin = _standin(request)
    if info.project_id is not None and standin.files.project(info.project_id) is None:
        return JSONResponse({"detail": "User does not have access to project"}, 403)
    persona_id = catalogue.DEFAULT.id if "persona" in standin.ignores else info.persona_id
    project_id = None if "project" in standin.ignores else info.project_id
    session_id = standin.sessions.create(persona_id, info.description, project_id)
    return JSONResponse({"chat_session_id": session_id, "incognito": False})


async def get_chat_session(request: Request) -> Response:
    """`GET /chat/get-chat-session/{id}`."""
    detail = snapshot(_standin(request), _session_id(request))
    if detail is None or (detail["deleted"] and request.query_params.get("include_deleted") != "true"):
        return JSONResponse({"detail": "Chat session not found"}, 404)
    return JSONResponse(detail)


async def list_chat_sessions(request: Request) -> Response:
    """`GET /chat/get-user-chat-sessions`."""
    wanted = request.query_params.get("page_size", "50")
    limit = min(int(wanted), 100) if wanted.isdecimal() else 50
    project = request.query_params.get("project_id", "")
    outside = request.query_params.get("only_non_project_chats") == "true"
    which = int(project) if project.isdecimal() else None
    return JSONResponse(_standin(request).sessions.listing(limit, project=which, outside=outside))


async def delete_chat_session(request: Request) -> Response:
    """`DELETE /chat/delete-chat-session/{id}`."""
    hard = request.query_params.get("hard_delete") == "true"
    if _standin(request).sessions.delete(_session_id(request), hard=hard):
        return JSONResponse(None)
    return JSONResponse({"detail": "Invalid Chat Session ID provided"}, 400)


async def rename_chat_session(request: Request) -> Response:
    """`PUT /chat/rename-chat-session`."""
    told = Rename.model_validate_json(await request.body())
    name = told.name or "A conversation"
    if _standin(request).sessions.rename(str(told.chat_session_id), name):
        return JSONResponse({"new_name": name})
    return JSONResponse({"detail": "Invalid Chat Session ID provided"}, 400)


async def set_message_as_latest(request: Request) -> Response:
    """`PUT /chat/set-message-as-latest`: the mainline turns to this message."""
    told = Latest.model_validate_json(await request.body())
    if _standin(request).sessions.make_latest(told.message_id):
        return JSONResponse(None)
    return JSONResponse({"detail": "Message not found"}, 400)


async def set_preferred_response(request: Request) -> Response:
    """`PUT /chat/set-preferred-response`: of answers side by side, the one to go on from."""
    told = Preferred.model_validate_json(await request.body())
    if _standin(request).sessions.prefer(told.user_message_id, told.preferred_response_id):
        return JSONResponse(None)
    return JSONResponse({"detail": "Message not found"}, 400)


async def ready(request: Request) -> Response:
    """`GET /health/ready`: how full the thread pool is, which the stand-in does not have."""
    busy = _standin(request).ledger.stats()["in_flight"]
    told = {"threadpool_total_tokens": 40, "threadpool_borrowed_tokens": busy, "threadpool_tasks_waiting": 0}
    return JSONResponse({"success": True, "message": "ok", "data": told})


async def stop_chat_session(request: Request) -> Response:
    """`POST /chat/stop-chat-session/{id}`: harmless for an idle session."""
    standin, session_id = _standin(request), _session_id(request)
    if standin.sessions.find(session_id) is None:
        return JSONResponse({"error_code": "SESSION_NOT_FOUND", "detail": "Chat session not found"}, 404)
    standin.stop(session_id)
    return JSONResponse({"message": "Chat session stopped"})


async def resume_stream(request: Request) -> Response:
    """`GET /chat/chat-session/{id}/resume-stream?cursor=0`.

    The stream in flight again, from its beginning.
    """
    standin, session_id = _standin(request), _session_id(request)
    if standin.sessions.find(session_id) is None:
        return JSONResponse({"error_code": "SESSION_NOT_FOUND", "detail": "Chat session not found"}, 404)
    run = standin.latest_run(session_id)
    if run is None:
        detail = "No resumable run for this chat session"
        return JSONResponse({"error_code": "NOT_FOUND", "detail": detail}, 404)
    cursor = request.query_params.get("cursor", "0")
    start = int(cursor) if cursor.isdecimal() else 0
    return StreamingResponse(run.replay(start), media_type="text/event-stream")


async def list_providers(request: Request) -> Response:
    """`GET /llm/provider`, and those of a persona, which are the same."""
    return JSONResponse(provider_listing(_standin(request).providers))


async def get_tool(request: Request) -> Response:
    """`GET /tool/{id}`."""
    wanted = request.path_params["tool_id"]
    for tool in catalogue.TOOLS:
        if tool.id == wanted:
            return JSONResponse(catalogue.tool_snapshot(tool))
    return JSONResponse({"detail": "Tool by specified id does not exist"}, 404)


async def get_persona(request: Request) -> Response:
    """`GET /persona/{id}`."""
    known = catalogue.persona(request.path_params["persona_id"])
    if known is None:
        return JSONResponse({"error_code": "PERSONA_NOT_FOUND", "detail": "Persona not found"}, 404)
    return JSONResponse(catalogue.persona_snapshot(known))


async def list_agents(request: Request) -> Response:
    """`GET /agents?page_num=&page_size=`: the personas by pages, from page 0."""
    number, size = (request.query_params.get(name, "") for name in ("page_num", "page_size"))
    size_of_page = int(size) if size.isdecimal() and int(size) else 10
    first = size_of_page * (int(number) if number.isdecimal() else 0)
    page = catalogue.PERSONAS[first : first + size_of_page]
    items = [catalogue.persona_listing(known) for known in page]
    return JSONResponse({"items": items, "total_items": len(catalogue.PERSONAS)})


async def usage(request: Request) -> Response:
    """`GET /user/usage`: what was asked and answered so far, in tokens and cents."""
    today = datetime.now(UTC).date().isoformat()
    return JSONResponse(account.usage(_standin(request).sessions.said(), today))


async def ledger_entry(request: Request) -> Response:
    """`GET /_standin/ledger/{assistant_message_id}`: when each line of that reply was written."""
    entry = _standin(request).ledger.reply(request.path_params["message_id"])
    return JSONResponse(entry.as_json()) if entry else JSONResponse({"detail": "no such reply"}, 404)


async def stats(request: Request) -> Response:
    """`GET /_standin/stats`."""
    return JSONResponse(_standin(request).ledger.stats())


async def requests(request: Request) -> Response:
    """`GET /_standin/requests`: the last bodies received, as they came."""
    return JSONResponse(_standin(request).ledger.requests())


async def valid_tags(request: Request) -> Response:
    """`GET /query/valid-tags`."""
    return JSONResponse({"tags": _standin(request).library.tags()})


def _constant(path: str, body: Any) -> Route:
    """A GET whose answer never changes."""

    async def answer(request: Request) -> Response:
        return JSONResponse(body)

    return Route(path, answer)


def _routes(*, deprecated: bool) -> list[Route]:
    tools = [catalogue.tool_snapshot(tool) for tool in catalogue.TOOLS]
    personas = [catalogue.persona_listing(known) for known in catalogue.PERSONAS]
    sets = [
        catalogue.document_set_snapshot(number, name)
        for number, name in enumerate(catalogue.DOCUMENT_SETS, 1)
    ]
    return [
        Route("/chat/send-chat-message", send_chat_message, methods=["POST"]),
        Route("/chat/create-chat-session", create_chat_session, methods=["POST"]),
        Route("/chat/get-chat-session/{session_id}", get_chat_session),
        Route("/chat/get-user-chat-sessions", list_chat_sessions),
        Route("/chat/rename-chat-session", rename_chat_session, methods=["PUT"]),
        Route("/chat/set-message-as-latest", set_message_as_latest, methods=["PUT"]),
        Route("/chat/set-preferred-response", set_preferred_response, methods=["PUT"]),
        Route("/chat/delete-chat-session/{session_id}", delete_chat_session, methods=["DELETE"]),
        Route("/chat/chat-session/{session_id}/resume-stream", resume_stream),
        Route("/chat/stop-chat-session/{session_id}", stop_chat_session, methods=["POST"]),
        _constant("/tool", tools),
        _constant("/tool/openapi", [tool for tool in tools if tool["definition"]]),
        Route("/tool/{tool_id:int}", get_tool),
        _constant("/persona", personas),
        Route("/persona/{persona_id:int}", get_persona),
        Route("/agents", list_agents),
        Route("/llm/provider", list_providers),
        Route("/llm/persona/{persona_id:int}/providers", list_providers),
        _constant("/manage/document-set", sets),
        _constant("/manage/document-set-public", sets),
        *uploads.routes(),
        *(old.routes() if deprecated else ()),
        Route("/query/valid-tags", valid_tags),
        _constant("/health", {"success": True, "message": "ok", "data": None}),
        Route("/health/ready", ready),
        _constant("/version", {"backend_version": "stand-in"}),
        _constant("/auth/type", account.auth_type()),
        _constant("/me", account.me()),
        _constant("/settings", account.settings()),
        Route("/user/usage", usage),
        Route("/_standin/ledger/{message_id:int}", ledger_entry),
        Route("/_standin/stats", stats),
        Route("/_standin/requests", requests),
    ]


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    detail = "404: Not Found" if error.status_code == 404 else error.detail
    return JSONResponse({"detail": detail}, error.status_code, headers=error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, ValidationError)  # noqa: S101 - registered for nothing else
    return JSONResponse(complaint(error, f"{request.method} {request.url.path}"), 422)


def create_app(standin: Standin, *, deprecated: bool = True) -> ASGIApp:
    """The ASGI application, for everybody; without *deprecated* the endpoints of old are not there."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        standin.sessions.close()
        standin.files.close()

    app = Starlette(
        routes=_routes(deprecated=deprecated),
        lifespan=lifespan,
        exception_handlers={HTTPException: _http_error, ValidationError: _invalid},
    )
    app.state.standin = standin
    return app
