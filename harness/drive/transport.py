"""The way to Sigma and back: an httpx transport that says when each byte came.

This half is what httpx sees: requests in, responses out, connections kept in between. The reading
itself is `harness.drive.connection`; TLS and proxies are `harness.drive.tls` and `harness.drive.proxy`.

Why not stock httpx: its pool is quadratic in the number of open streams and its stream layers
take 200 to 1,000 µs of CPU a packet, and a load tester that is slower than what it measures
reports itself (perf.md 0.1). All that people know stays httpx: clients, requests, headers,
auth, hooks, exceptions, and what the environment says of proxies and certificates. There is no HTTP/2, no
SOCKS and no `Expect: 100-continue`.
"""

import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from os import environ
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.request import getproxies

import httpx
from pydantic import SecretStr

from harness.drive import tls
from harness.drive.clock import KernelClock
from harness.drive.connection import Connection
from harness.drive.proxy import from_environment, proxy_at
from harness.drive.tape import Tape
from harness.drive.way import Route, reach
from harness.errors import UsageError
from harness.suite.model import Suite
from harness.suite.servers import Target

STAMPS_VARIABLE = "HARNESS_STAMPS"
"""`user` takes all stamps ourselves, as on a machine whose kernel gives none."""

_Limits = Mapping[str, float | None]


def transports(base_url: httpx.URL | str) -> Callable[[], "StampedTransport"]:
    """What to call for the transport of each worker's client: always the same, made for *base_url*.

    Enter each client with `async with`. Certificates and proxies are as the environment says. Raises
    `UsageError` where *base_url* is neither http nor https, and where the environment cannot be followed.
    """
    return _sharing(StampedTransport(kernel_stamps=_kernel_stamps()), base_url)


def transport_of(suite: Suite, base_url: httpx.URL | str) -> Callable[[], "StampedTransport"]:
    """The same with the certificates and the proxy of *suite*, if *base_url* is on its own server.

    Another server (`--target`) gets neither, as it does not get the key. Raises `UsageError` where a file
    is missing or is no certificate.
    """
    target = _own(suite, base_url)
    if target is None:
        return transports(base_url)
    transport = StampedTransport(
        verify=_file(suite, target, "ca_file") or target.verify_tls,
        cert=_certificate(suite, target),
        proxy=target.proxy.get_secret_value() if isinstance(target.proxy, SecretStr) else target.proxy,
        kernel_stamps=_kernel_stamps(),
    )
    return _sharing(transport, base_url)


def _own(suite: Suite, base_url: httpx.URL | str) -> Target | None:
    """The target of *suite*, if *base_url* is on the server it names."""
    written = suite.target.base_url
    if written is None:
        return None
    ours, asked = httpx.URL(written), httpx.URL(base_url)
    same = (ours.scheme, ours.host, ours.port) == (asked.scheme, asked.host, asked.port)
    return suite.target if same else None


def _file(suite: Suite, target: Target, key: Literal["ca_file", "client_cert", "client_key"]) -> Path | None:
    """The file of a key, relative to the suite."""
    written = getattr(target, key)
    if written is None:
        return None
    path: Path = suite.path.parent / written
    if not path.exists():
        raise UsageError(f"target.{key}: {path}: there is no such file")
    return path


def _certificate(suite: Suite, target: Target) -> tls.Cert | None:
    certificate, key = _file(suite, target, "client_cert"), _file(suite, target, "client_key")
    if certificate is None and key is not None:
        raise UsageError("target.client_key is the key of a certificate: name that in target.client_cert")
    return (certificate, key) if certificate is not None and key is not None else certificate


def _kernel_stamps() -> bool:
    match environ.get(STAMPS_VARIABLE, ""):
        case "" | "kernel":
            return True
        case "user":
            return False
        case other:
            raise UsageError(f"{STAMPS_VARIABLE}={other}: kernel or user")


def _sharing(transport: "StampedTransport", base_url: httpx.URL | str) -> Callable[[], "StampedTransport"]:
    url = httpx.URL(base_url)
    if url.scheme not in {"http", "https"} or not url.host:
        raise UsageError(
            f"target {str(base_url)!r}: no such scheme; use http:// or https://, as in http://127.0.0.1:8080"
        )
    transport.route(url)  # files are read and keys made now, and not within the first request
    return lambda: transport


class StampedTransport(httpx.AsyncBaseTransport):
    """HTTP/1.1 for `httpx.AsyncClient`, plain or over TLS, with the time at which each byte came.

    *verify*, *cert*, *proxy* and *trust_env* are those of httpx: a file or folder of CAs, or False; a file
    with certificate and key, or the two; the proxy for everything (False for none, whatever the
    environment says); whether the environment is asked (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY,
    NO_PROXY, SSL_CERT_FILE, SSL_CERT_DIR). Through a proxy https is tunnelled (CONNECT), and http is
    asked of the proxy itself, whose refusals are then responses like any other. With *kernel_stamps*
    False all stamps are our own.

    With a `Tape` in `request.extensions["tape"]`, the client's `send(request, stream=True)` returns at the
    response head, and iterating over `response.aiter_raw()` waits until the body is on the tape; it
    yields nothing. The tape holds raw bytes, so ask for `accept-encoding: identity`; what was compressed all
    the same, `harness.drive.encoding` decodes. Without a tape this is an ordinary streaming transport.

    The bodies of requests are read into memory before anything is sent. Connections have no
    limit in number, so no request waits for one, and are used last in, first out. When a kept
    connection proves dead before one byte of the answer came, the request is sent once more on a new
    one, POST too: servers close idle connections (Sigma after 5 s), and a close that crosses our request
    on the wire is not an answer. It is safe enough because we look for such a close before we send; what is
    left is a server that read the whole request and died without a word, and it can at most ask its model
    twice. The tape says when that happened (`resent`).

    Timeouts are those of httpx, except that `pool` has no meaning here, and `read` is the longest silence.
    Several clients may share one transport: it closes when the last of them is left, or by `aclose`.
    """

    def __init__(
        self,
        *,
        verify: tls.Verify = True,
        cert: tls.Cert | None = None,
        proxy: str | Literal[False] | None = None,
        trust_env: bool = True,
        kernel_stamps: bool = True,
    ) -> None:
        self.clock: KernelClock | None = None
        self._verify = verify
        self._cert = cert
        self._proxy = proxy
        self._trust_env = trust_env
        self._kernel_stamps = kernel_stamps
        self._context: ssl.SSLContext | None = None
        self._routes: dict[tuple[str, bytes, int | None], Route] = {}
        self._connections: set[Connection] = set()
        self._idle: dict[Route, dict[Connection, None]] = {}
        self._users = 0

    async def __aenter__(self) -> Self:
        self._users += 1
        self._warm_up()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._users -= 1
        if self._users <= 0:
            await self.aclose()

    @property
    def clock_steps(self) -> int:
        """How often the wall clock was seen to be set: stamps taken around that may be off."""
        return self.clock.steps + self.clock.clamped if self.clock else 0

    async def aclose(self) -> None:
        """Close all connections; whoever still waits for a reply gets a RuntimeError."""
        for connection in list(self._connections):
            connection.fail(RuntimeError("the transport was closed before the reply had ended"))
        if self.clock is not None:
            self.clock.close()
            self.clock = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The response to *request*, as soon as its head is there.

        Raises the exceptions of httpx, as does the body: `ConnectError`, `ConnectTimeout`, `WriteError`,
        `WriteTimeout`, `ReadError`, `ReadTimeout`, `RemoteProtocolError`, `LocalProtocolError`,
        `ProxyError`, `UnsupportedProtocol`. What came before a break is on the tape. The first request to a
        server may raise `UsageError`: a certificate or a proxy cannot be used; and any that opens a
        connection `MachineError`: there are no files or ports left to do it with.
        """
        tape: Tape | None = request.extensions.get("tape")
        self._warm_up()
        route = self.route(request.url)
        if tape is not None:
            tape.began_ns = time.perf_counter_ns()
        outgoing = await _on_the_wire(request, route)
        kept = self._kept(route)
        if kept is not None:
            try:
                return await self._exchange(kept, request, outgoing)
            except (httpx.NetworkError, httpx.RemoteProtocolError):
                if kept.answered:
                    raise
            if tape is not None:
                tape.resent = True
        fresh = await self._connect(route, request)
        return await self._exchange(fresh, request, outgoing)

    def route(self, url: httpx.URL) -> Route:
        """How requests to *url* go, found out once for each server.

        Raises `UsageError` where a certificate or a proxy cannot be used, and `httpx.UnsupportedProtocol`.
        """
        key = (url.scheme, url.raw_host, url.port)
        if key not in self._routes:
            if url.scheme not in {"http", "https"}:
                raise httpx.UnsupportedProtocol(f"StampedTransport speaks http and https, not {url.scheme!r}")
            secure = url.scheme == "https"
            at = self._proxy
            if at is None and self._trust_env:
                at = from_environment(url, getproxies())
            self._routes[key] = Route(
                url.raw_host.decode("ascii"),
                url.port or (443 if secure else 80),
                self._trusted() if secure else None,
                proxy_at(at, self._trusted_of_proxy) if at else None,
            )
        return self._routes[key]

    def _trusted(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = tls.context_of(self._verify, self._cert, trust_env=self._trust_env)
        return self._context

    def _trusted_of_proxy(self) -> ssl.SSLContext:
        """For a proxy that is spoken to over TLS: *verify* and *cert* are for servers, and it is none."""
        return tls.context_of(verify=True, cert=None, trust_env=self._trust_env)

    async def _exchange(
        self, connection: Connection, request: httpx.Request, outgoing: bytes
    ) -> httpx.Response:
        tape: Tape | None = request.extensions.get("tape")
        limits: _Limits = request.extensions.get("timeout", {})
        try:
            connection.expect(tape, bodiless=request.method == "HEAD")
            await connection.send(outgoing, limits.get("write"))
            await connection.head(limits.get("read"))
        except BaseException:
            connection.close()
            raise
        return httpx.Response(
            connection.status,
            headers=connection.headers,
            stream=_Body(connection, give_back=self._give_back, taped=tape is not None),
            extensions={"http_version": connection.http_version},
        )

    def _kept(self, route: Route) -> Connection | None:
        idle = self._idle.get(route)
        while idle:
            connection, _ = idle.popitem()
            connection.look()  # a close that has come but that the loop has not told us of yet
            if not connection.closed:
                return connection
        return None

    def _give_back(self, connection: Connection) -> None:
        if connection.reusable:
            self._idle.setdefault(connection.route, {})[connection] = None
        else:
            connection.close()

    def _forget(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._idle.get(connection.route, {}).pop(connection, None)

    async def _connect(self, route: Route, request: httpx.Request) -> Connection:
        tape: Tape | None = request.extensions.get("tape")
        limits: _Limits = request.extensions.get("timeout", {})
        try:
            channel = await reach(route, clock=self._warm_up(), within=limits.get("connect"), tape=tape)
        except BaseException:
            if tape is not None:
                tape.ended_ns = time.perf_counter_ns()
            raise
        if tape is not None:
            tape.connected_ns = tape.tcp_ns if route.context is None else time.perf_counter_ns()
        connection = Connection(channel, clock=self._warm_up(), route=route, forget=self._forget)
        self._connections.add(connection)
        return connection

    def _warm_up(self) -> KernelClock:
        """The clock. It takes some milliseconds to make, so it is made on entering, not in a request."""
        if self.clock is None:
            self.clock = KernelClock(enabled=self._kernel_stamps)
        return self.clock


class _Body(httpx.AsyncByteStream):
    """The body of a response; gives the connection back when it has been read, or closes it."""

    def __init__(
        self, connection: Connection, give_back: Callable[[Connection], None], *, taped: bool
    ) -> None:
        self._connection = connection
        self._give_back = give_back
        self._taped = taped
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            if self._taped:
                await self._connection.end()
                return
            while (piece := await self._connection.piece()) is not None:
                yield piece
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            self._give_back(self._connection)


async def _on_the_wire(request: httpx.Request, route: Route) -> bytes:
    body = await request.aread()
    if "transfer-encoding" in request.headers:
        body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
    path, fields = request.url.raw_path, list(request.headers.raw)
    if route.proxy is not None and route.context is None:
        path = b"http://%b%b" % (request.url.netloc, path)
        if route.proxy.authorization is not None:
            fields.append((b"Proxy-Authorization", route.proxy.authorization))
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), path)]
    lines += [b"%b: %b" % field for field in fields]
    head = b"\r\n".join(lines)
    if not head.count(b"\r") == head.count(b"\n") == len(lines) - 1:
        raise httpx.LocalProtocolError(
            "a header of the request holds a line break; an API key read from a file?"
        )
    return b"%b\r\n\r\n%b" % (head, body)
