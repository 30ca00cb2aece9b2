"""The routes of files and projects (wire reference 5.2)."""

from typing import Any
from uuid import UUID

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from harness.standin.chat import Standin
from harness.standin.files import USER_ID, rejection
from harness.standin.request import FileIds, Instructions

_PROJECTS = "/user/projects"
_FILE = f"{_PROJECTS}/file"


def routes() -> list[Route]:
    """All of them, those with fixed paths before those with ids."""
    return [
        Route(f"{_FILE}/upload", upload, methods=["POST"]),
        Route(f"{_FILE}/statuses", statuses, methods=["POST"]),
        Route(f"{_FILE}/", guides_list),
        Route(f"{_FILE}/{{file_id}}", get_file),
        Route(f"{_FILE}/{{file_id}}", delete_file, methods=["DELETE"]),
        Route("/user/files/recent", recent),
        Route("/chat/file/{content_id}", download),
        Route(_PROJECTS, list_projects),
        Route(f"{_PROJECTS}/create", create_project, methods=["POST"]),
        Route(f"{_PROJECTS}/files/{{project_id:int}}", project_files),
        Route(f"{_PROJECTS}/{{project_id:int}}/files/{{file_id}}", link_file, methods=["POST"]),
        Route(f"{_PROJECTS}/{{project_id:int}}/instructions", instructions, methods=["GET", "POST"]),
    ]


def _standin(request: Request) -> Standin:
    standin: Standin = request.app.state.standin
    return standin


def _complaint(
    kind: str, at: tuple[str, str], message: str, *, value: Any = None, route: str
) -> JSONResponse:
    """A 422 in the shape of real servers."""
    problem = {"type": kind, "loc": at, "msg": message, "input": value}
    where = 'File "/app/onyx/server/features/projects/api.py", line 174, in upload_user_files'
    said = f"1 validation error: {problem}  {where}   {route}"
    return JSONResponse({"status_code": 422, "message": said, "data": None}, 422)


async def upload(request: Request) -> Response:
    """`POST /user/projects/file/upload`: 200 even where everything was rejected."""
    async with request.form() as form:
        parts = [part for part in form.getlist("files") if isinstance(part, UploadFile)]
        contents = [(part.filename or "", await part.read()) for part in parts]
        project = form.get("project_id")
    if not contents:
        return _complaint("missing", ("body", "files"), "Field required", route=f"POST {_FILE}/upload")
    if isinstance(project, str) and not project.isdecimal():
        message = "Input should be a valid integer, unable to parse string as an integer"
        at, route = ("body", "project_id"), f"POST {_FILE}/upload"
        return _complaint("int_parsing", at, message, value=project, route=route)
    files = _standin(request).files
    project_id = int(project) if isinstance(project, str) else None
    if project_id is not None and files.project(project_id) is None:
        detail = "Failed to upload files. Please try again or contact support if the issue persists."
        return JSONResponse({"detail": detail}, 500)
    taken, rejected = [], []
    for name, content in contents:
        why = rejection(name, content)
        if why is not None:
            rejected.append({"file_name": name, "reason": why})
            continue
        taken.append(files.add(name, content))
        if project_id is not None:
            files.link(project_id, taken[-1]["id"])
    return JSONResponse({"user_files": taken, "rejected_files": rejected})


async def statuses(request: Request) -> Response:
    """`POST /user/projects/file/statuses`: unknown ids are left out."""
    wanted = FileIds.model_validate_json(await request.body()).file_ids
    found = (_standin(request).files.snapshot(each) for each in wanted)
    return JSONResponse([each for each in found if each is not None])


async def guides_list(request: Request) -> Response:
    """`GET /user/projects/file/`: the guide has it, real servers do not."""
    if _standin(request).dialect == "onyx":
        return JSONResponse({"detail": "Method Not Allowed"}, 405)
    return JSONResponse(_standin(request).files.snapshots())


async def recent(request: Request) -> Response:
    """`GET /user/files/recent`."""
    return JSONResponse(_standin(request).files.snapshots())


def _malformed(request: Request) -> Response | None:
    """The refusal of a path whose `file_id` is no UUID."""
    wanted = request.path_params["file_id"]
    try:
        UUID(wanted)
    except ValueError:
        message, route = "Input should be a valid UUID, invalid character", request.url.path
        at = ("path", "file_id")
        return _complaint("uuid_parsing", at, message, value=wanted, route=f"{request.method} {route}")
    return None


async def get_file(request: Request) -> Response:
    """`GET /user/projects/file/{id}`."""
    if (malformed := _malformed(request)) is not None:
        return malformed
    found = _standin(request).files.snapshot(request.path_params["file_id"])
    return JSONResponse({"detail": "File not found"}, 404) if found is None else JSONResponse(found)


async def delete_file(request: Request) -> Response:
    """`DELETE /user/projects/file/{id}`."""
    if (malformed := _malformed(request)) is not None:
        return malformed
    told = _standin(request).files.delete(request.path_params["file_id"])
    return JSONResponse({"detail": "File not found"}, 404) if told is None else JSONResponse(told)


async def download(request: Request) -> Response:
    """`GET /chat/file/{file_id}`: the content as it was uploaded."""
    found = _standin(request).files.content(request.path_params["content_id"])
    if found is None:
        return JSONResponse({"detail": "File not found"}, 404)
    content, mime = found
    return Response(content, media_type=mime)


def _project(request: Request, row: Any) -> dict[str, Any]:
    standin = _standin(request)
    return {
        "id": row["id"],
        "name": row["name"],
        "description": None,
        "created_at": row["created"].replace("+00:00", "Z"),
        "user_id": USER_ID,
        "instructions": row["instructions"],
        "chat_sessions": standin.sessions.listing(1_000, project=row["id"])["sessions"],
    }


async def list_projects(request: Request) -> Response:
    """`GET /user/projects`."""
    return JSONResponse([_project(request, row) for row in _standin(request).files.projects()])


async def create_project(request: Request) -> Response:
    """`POST /user/projects/create?name=`."""
    name = request.query_params.get("name")
    if not name:
        return _complaint("missing", ("query", "name"), "Field required", route=f"POST {_PROJECTS}/create")
    files = _standin(request).files
    return JSONResponse(_project(request, files.project(files.create_project(name))))


async def project_files(request: Request) -> Response:
    """`GET /user/projects/files/{project_id}`."""
    files = _standin(request).files
    found = (files.snapshot(each) for each in files.of_project(request.path_params["project_id"]))
    return JSONResponse([each for each in found if each is not None])


async def link_file(request: Request) -> Response:
    """`POST /user/projects/{project_id}/files/{file_id}`."""
    files, path = _standin(request).files, request.path_params
    found = files.snapshot(path["file_id"])
    if found is None or files.project(path["project_id"]) is None:
        return JSONResponse({"detail": "Project or file not found"}, 404)
    files.link(path["project_id"], path["file_id"])
    return JSONResponse(found)


async def instructions(request: Request) -> Response:
    """`GET` and `POST /user/projects/{project_id}/instructions`."""
    files, project_id = _standin(request).files, request.path_params["project_id"]
    if files.project(project_id) is None:
        return JSONResponse({"detail": "Project not found"}, 404)
    if request.method == "POST":
        told = Instructions.model_validate_json(await request.body())
        files.instruct(project_id, told.instructions)
    row = files.project(project_id)
    return JSONResponse({"instructions": row["instructions"] if row is not None else None})
