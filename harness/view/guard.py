"""What is let in, and what every answer says of itself.

A page of somebody else, open in the same browser, can send requests to a server on this machine, under a name
of its own that it has turned to 127.0.0.1. It cannot choose the name under which they come: so only ours are
answered. An address is as good as our own name, since none can be turned to another machine.
"""

import ipaddress
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_SAID = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


def guarded(app: ASGIApp, names: Collection[str]) -> ASGIApp:
    """*app*, asked only under one of *names* or an address, and only to read; its pages are private."""

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
        refusal = _refusal(scope["method"], Headers(scope=scope).get("host", ""), names)
        await (refusal or app)(scope, receive, told)

    return answer


def _refusal(method: str, host: str, names: Collection[str]) -> PlainTextResponse | None:
    if method not in {"GET", "HEAD"}:
        return PlainTextResponse(
            "This server only shows: GET and HEAD.\n", 405, headers={"allow": "GET, HEAD"}
        )
    name = host_name(host)
    if is_address(name) or name in names:
        return None
    return PlainTextResponse(
        f"This server does not answer as {name or 'nothing'}: ask for it as {', '.join(sorted(names))}, or "
        "by its address; harness view --host NAME makes it answer as NAME.\n",
        421,
    )


def host_name(host: str) -> str:
    """The name in a Host header, without its port."""
    name = host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    return name.lower().rstrip(".")


def is_address(name: str) -> bool:
    """Whether *name* is an address of IPv4 or IPv6."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches *host*."""
    if host == "localhost":
        return True
    return is_address(host) and ipaddress.ip_address(host).is_loopback
