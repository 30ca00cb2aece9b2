"""Who may use the stand-in: whoever has the key, where there is one, and no page of somebody else.

A page that is open in a browser on this machine can send a request here that the browser asks nobody about,
and whose body is JSON all the same. Real servers have their sign-in against that; the stand-in asks whose
page it is (`harness.doors`). On loopback health, version and our own `/_standin/*` want no key; where other
machines reach it, `/_standin/*` does, since it shows what everybody has asked. There it answers under any
name, as a container has to, and the key is what a page does not have.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from harness.doors import is_ours, is_same, is_strange

_OPEN = frozenset({"/health", "/auth/type", "/version"})


@dataclass(frozen=True, slots=True)
class Door:
    """Whom the stand-in answers; *remote* says that other machines may reach it."""

    host: str = "127.0.0.1"
    key: str | None = field(default=None, repr=False)
    remote: bool = False


def guarded(app: ASGIApp, door: Door) -> ASGIApp:
    """*app*, asked only by whom *door* lets in; who has no key is refused with 403 as by real servers."""
    names = {"localhost", door.host.lower()}

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refused := _refusal(scope["path"], Headers(scope=scope))):
            await JSONResponse({"detail": refused}, 403)(scope, receive, send)
            return
        await app(scope, receive, send)

    def _refusal(path: str, headers: Headers) -> str | None:
        if not (door.remote or is_ours(headers.get("host", ""), names)):
            return "This server answers as localhost, or by its address."
        if is_strange(headers):
            return "This server does not answer pages of other servers."
        if door.key is None or path in _OPEN or (path.startswith("/_standin/") and not door.remote):
            return None
        return None if is_same(_key(headers), door.key) else "Access denied. User is not authenticated."

    return answer


def _key(headers: Mapping[str, str]) -> str:
    """The key of a request: `Authorization`, or the header for where a proxy uses that one."""
    value = headers.get("x-onyx-authorization") or headers.get("authorization") or ""
    return value.removeprefix("Bearer ").strip()
