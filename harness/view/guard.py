"""Who is let in, and what every answer says of itself.

Only what reads is answered, only under names of ours, and no page of somebody else that is open in the same
browser (`harness.doors`). Where other machines, or other people on this one, reach the view, it wants a token
too: from a program as `Authorization: Bearer`, from a browser once, in the address that `harness view`
prints. That visit is given a cookie in its place, so no address, history or Referer keeps the token.
"""

import hashlib
import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from html import escape
from itertools import chain
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from harness.doors import bearer, host_name, is_ours, is_same, is_strange

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
TOKEN = "token"  # noqa: S105  the name of it in an address
LONGEST_HEAD = 16_384
"""Bytes of a request's line and headers: an address of ours with every filter set has some hundreds."""
_SAID = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Door:
    """Under which *names* the view answers, and whom: everybody, or who has the *token*."""

    names: Collection[str]
    token: str | None = field(default=None, repr=False)
    port: int = 0

    @property
    def cookie(self) -> str:
        """The cookie's name: browsers keep one jar for all ports of a machine."""
        return f"harness_view_{self.port}"

    @property
    def pass_(self) -> str:
        """What the cookie holds: not the token, which may be good for other doors."""
        return hmac.new(str(self.token).encode(), b"harness view", hashlib.sha256).hexdigest()


def guarded(app: ASGIApp, door: Door) -> ASGIApp:
    """*app*, asked only by whom *door* lets in, and only to read; its pages are private."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _SAID.items():
                    headers.setdefault(name, value)
            await send(message)

        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        await (_instead(scope, door) or app)(scope, receive, told)

    return answer


def _instead(scope: Scope, door: Door) -> Response | None:
    """What is answered in place of a page; None where the page is."""
    headers = Headers(scope=scope)
    if scope["method"] not in {"GET", "HEAD"}:
        return PlainTextResponse(
            "This server only shows: GET and HEAD.\n", 405, headers={"allow": "GET, HEAD"}
        )
    if len(b"".join((scope["raw_path"], scope["query_string"], *chain(*headers.raw)))) > LONGEST_HEAD:
        return PlainTextResponse("This request is too long for any page of ours.\n", 431)
    if not is_ours(host := headers.get("host", ""), door.names):
        return PlainTextResponse(
            f"This server does not answer as {host_name(host) or 'nothing'}: ask for it as "
            f"{', '.join(sorted(door.names))}, or by its address; harness view --host NAME makes it answer "
            "as NAME.\n",
            421,
        )
    if is_strange(headers, visits=True):
        return PlainTextResponse("This server does not answer pages of other servers.\n", 403)
    return None if door.token is None else _unless_known(scope, headers, door)


def _unless_known(scope: Scope, headers: Mapping[str, str], door: Door) -> Response | None:
    """What is answered to who does not show the token or its cookie, or has just brought the token."""
    token, asked = str(door.token), parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    brought = [value for name, value in asked if name == TOKEN]
    if brought:
        return _exchanged(scope, door, asked) if is_same(brought[-1], token) else _unknown()
    if is_same(bearer(headers), token):
        return None
    shown = cookie_parser(headers.get("cookie", "")).get(door.cookie, "")
    return None if is_same(shown, door.pass_) else _unknown()


def _exchanged(scope: Scope, door: Door, asked: list[tuple[str, str]]) -> Response:
    """The cookie for the token, and on to the same address without it.

    By `Refresh` and not by a redirect: a browser that was led here by a link of another site, a chat's say,
    keeps a `SameSite=Strict` cookie back from a redirect, but not from what our own page leads to.
    """
    rest = urlencode([(name, value) for name, value in asked if name != TOKEN])
    path = scope["raw_path"].decode("latin-1").lstrip("/\\")  # two slashes would make it another server's
    address = f"/{path}?{rest}" if rest else f"/{path}"
    page = f'<!doctype html><title>harness view</title><p><a href="{escape(address)}">Go on</a></p>'
    answer = HTMLResponse(page, headers={"refresh": f"0; url={address}"})
    answer.set_cookie(door.cookie, door.pass_, httponly=True, samesite="strict", path="/")
    return answer


def _unknown() -> Response:
    return PlainTextResponse(
        "This view wants its token: open the address that harness view has printed, once; a program sends "
        "Authorization: Bearer TOKEN. Whoever did that and came here by a link on another page presses Enter "
        "in the address bar.\n",
        401,
        headers={"www-authenticate": "Bearer"},
    )
