"""Proxies: which one a request goes through, and how to get through it.

The rules are those that users of httpx know: HTTP_PROXY, HTTPS_PROXY and ALL_PROXY in either case, and
NO_PROXY for what they are not for. Two things are ours. NO_PROXY takes networks (10.0.0.0/8) as curl and
Go do; and what the environment says is never meant for this machine itself, so that the stand-in is
reached on a computer where everything else goes through a proxy.
"""

import base64
import ipaddress
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import httpx

from harness.drive.tls import Hear, Tell
from harness.errors import UsageError
from harness.redact.veil import OPEN, Veil

_LONGEST_HEAD = 65_536
_LONGEST_WORDS = 120
_STATUS = re.compile(rb"HTTP/1\.[01] +(\d{3}) *([^\r\n]*)")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy; with a *context* it is itself spoken to over TLS. What opens it is in no repr."""

    host: str
    port: int
    context: ssl.SSLContext | None = field(default=None, repr=False)
    authorization: bytes | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"the proxy {self.host} port {self.port}"


def proxy_at(url: str, context: Callable[[], ssl.SSLContext]) -> Proxy:
    """The proxy at *url*; *context* is asked for where the proxy wants TLS.

    Raises `UsageError`, without the URL: there may be a password in it.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme.startswith("socks"):
        raise UsageError(
            f"{parts.scheme} proxies are not supported, only http:// and https:// ones; "
            "target.proxy (false for none) goes before HTTP_PROXY, HTTPS_PROXY and ALL_PROXY"
        )
    if host is None or parts.scheme not in {"http", "https"}:
        raise UsageError("a proxy's address is http://host:port, with user:password@ where it wants them")
    tls = parts.scheme == "https"
    return Proxy(
        host, port or (443 if tls else 80), context() if tls else None, _basic(parts.username, parts.password)
    )


def _basic(user: str | None, password: str | None) -> bytes | None:
    if user is None and password is None:
        return None
    return b"Basic " + base64.b64encode(f"{unquote(user or '')}:{unquote(password or '')}".encode())


def from_environment(url: httpx.URL, proxies: Mapping[str, str]) -> str | None:
    """The URL of the proxy for *url* by *proxies* (`urllib.request.getproxies`), None to go directly."""
    named = proxies.get(url.scheme) or proxies.get("all")
    port = url.port or (443 if url.scheme == "https" else 80)
    if not named or is_direct(url.raw_host.decode("ascii"), port, proxies.get("no", "")):
        return None
    return named


def is_direct(host: str, port: int, no_proxy: str) -> bool:
    """Whether *no_proxy* (names, addresses, networks, `*`; each may have a port) covers *host*.

    A name covers what is below it. This machine is covered whatever it says.
    """
    host = host.lower().rstrip(".")
    number = _number(host)
    if host == "localhost" or host.endswith(".localhost") or (number is not None and number.is_loopback):
        return True
    return any(_covers(entry, host, port) for entry in re.split(r"[\s,]+", no_proxy.lower()) if entry)


def _covers(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    number = _number(host)
    if number is not None and "/" in entry:
        try:
            return number in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, _, wanted = entry.rpartition(":") if re.search(r"(^[^:]*|\]):\d+$", entry) else (entry, "", "")
    name = name.strip("[]").lstrip(".").removeprefix("*.").rstrip(".")
    if wanted and int(wanted) != port:
        return False
    return bool(name) and (host == name or (number is None and host.endswith(f".{name}")))


def _number(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


async def tunnel(proxy: Proxy, where: str, *, tell: Tell, hear: Hear) -> bytes:
    """Have *proxy* connect us to *where* (host:port); what came behind its consent.

    Raises `httpx.ProxyError` where it does not.
    """
    opening = f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n".encode("ascii")
    if proxy.authorization is not None:
        opening += b"Proxy-Authorization: %b\r\n" % proxy.authorization
    await tell(opening + b"\r\n")
    rest = b""
    while True:
        head, rest = await _head(rest, proxy, hear)
        said = _STATUS.match(head)
        if said is None:
            raise httpx.ProxyError(f"{proxy} answers CONNECT with something that is not HTTP/1.1")
        status = int(said[1])
        if 200 <= status < 300:
            return rest
        if status >= 200:
            veil = _veil(proxy)
            words = await _words(head, rest, hear, veil)
            reason = veil.text(" ".join((said[1] + b" " + said[2]).decode("latin-1").split()))
            raise httpx.ProxyError(
                f"{proxy} refuses to connect us to {where}: {reason}{words}{_hint(status)}"
            )


async def _head(begun: bytes, proxy: Proxy, hear: Hear) -> tuple[bytes, bytes]:
    while b"\r\n\r\n" not in begun:
        more = await hear()
        if not more or len(begun) > _LONGEST_HEAD:
            raise httpx.ProxyError(f"{proxy} hung up, or said too much, before it had answered CONNECT")
        begun += more
    head, _, rest = begun.partition(b"\r\n\r\n")
    return head, rest


def _veil(proxy: Proxy) -> Veil:
    """Over what opens *proxy*, which may repeat it in its refusal."""
    if proxy.authorization is None:
        return OPEN
    encoded = proxy.authorization.decode().removeprefix("Basic ")
    return OPEN.also(encoded, base64.b64decode(encoded).decode().partition(":")[2])


async def _words(head: bytes, body: bytes, hear: Hear, veil: Veil) -> str:
    """The first words of the page that a proxy sends with its refusal, if it has any."""
    length = _LENGTH.search(head)
    wanted = min(int(length[1]), _LONGEST_HEAD) if length else 0
    while len(body) < wanted and (more := await hear()):
        body += more
    text = re.sub(
        r"<(style|script|title).*?</\1>|<[^>]*>", " ", body.decode(errors="replace"), flags=re.S | re.I
    )
    words = veil.text(" ".join(text.split()))[:_LONGEST_WORDS]  # before the cut: half a key is secret, too
    return f" ({words})" if words else ""


def _hint(status: int) -> str:
    return "; it wants a user and a password: http://user:password@host:port" if status == 407 else ""
