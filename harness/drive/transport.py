"""The way to Sigma and back: an httpx transport that says when each byte came.

This half is what httpx sees: requests in, responses out, connections kept in between. The reading
itself is `harness.drive.connection`.

Why not stock httpx: its pool is quadratic in the number of open streams and its stream layers
take 200 to 1,000 µs of CPU a packet, and a load tester that is slower than what it measures
reports itself (perf.md 0.1). All that people know stays httpx: clients, requests, headers,
auth, hooks, exceptions. TLS goes through stock httpx for now (`harness.drive.stock`). There is no
proxy, no HTTP/2 and no `Expect: 100-continue`.
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Self

import httpx

from harness.drive.clock import KernelClock
from harness.drive.connection import Connection, Origin, connect
from harness.drive.stock import StockTransport
from harness.drive.tape import Tape
from harness.errors import UsageError

_Limits = Mapping[str, float | None]


def transports(base_url: httpx.URL | str) -> Callable[[], httpx.AsyncBaseTransport]:
    """What to call for the transport of each worker's client.

    For http it is always the same `StampedTransport`: share it, and enter each client with `async
    with`. For https it is a stock transport each time, so that no worker pays for
    the connections of the others; they share one SSL context, which takes long to make.
    Raises `UsageError` for any other scheme.
    """
    url = httpx.URL(base_url)
    match url.scheme:
        case "http":
            shared = StampedTransport()
            return lambda: shared
        case "https":
            context = httpx.create_ssl_context()
            return lambda: StockTransport(context)
        case _:
            raise UsageError(
                f"target {str(base_url)!r}: no such scheme; use http:// or https://, as in http://127.0.0.1:8080"
            )


class StampedTransport(httpx.AsyncBaseTransport):
    """HTTP/1.1 over plain TCP for `httpx.AsyncClient`, with the time at which each byte came.

    With a `Tape` in `request.extensions["tape"]`, the client's `send(request, stream=True)` returns at the
    response head, and iterating over `response.aiter_raw()` waits until the body is on the tape; it
    yields nothing. The tape holds raw bytes, so ask for `accept-encoding: identity`. Without a tape
    this is an ordinary streaming transport.

    The bodies of requests are read into memory before anything is sent. Kept connections have no
    limit in number and are used last in, first out. When a kept connection proves dead before one
    byte of the answer came, the request is sent once more on a new one, POST too: servers close
    idle connections (Sigma after 5 s), and a close that crosses our request on the wire is not an
    answer. It is safe enough because we look for such a close before we send; what is left is a
    server that read the whole request and died without a word, and it can at most ask its model twice.
    The tape says when that happened (`resent`).

    Timeouts are those of httpx, except that `pool` has no meaning here, and `read` is the longest silence.
    Several clients may share one transport: it closes when the last of them is left, or by `aclose`.
    """

    def __init__(self) -> None:
        self.clock: KernelClock | None = None
        self._connections: set[Connection] = set()
        self._idle: dict[Origin, dict[Connection, None]] = {}
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
        `UnsupportedProtocol`. What came before a break is on the tape.
        """
        tape: Tape | None = request.extensions.get("tape")
        self._warm_up()
        if tape is not None:
            tape.began_ns = time.perf_counter_ns()
        origin = _origin(request.url)
        outgoing = await _on_the_wire(request)
        kept = self._kept(origin)
        if kept is not None:
            try:
                return await self._exchange(kept, request, outgoing)
            except (httpx.NetworkError, httpx.RemoteProtocolError):
                if kept.answered:
                    raise
            if tape is not None:
                tape.resent = True
        fresh = await self._connect(origin, request)
        return await self._exchange(fresh, request, outgoing)

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

    def _kept(self, origin: Origin) -> Connection | None:
        idle = self._idle.get(origin)
        while idle:
            connection, _ = idle.popitem()
            connection.on_readable()  # a close that has come but that the loop has not told us of yet
            if not connection.closed:
                return connection
        return None

    def _give_back(self, connection: Connection) -> None:
        if connection.reusable:
            self._idle.setdefault(connection.origin, {})[connection] = None
        else:
            connection.close()

    def _forget(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._idle.get(connection.origin, {}).pop(connection, None)

    async def _connect(self, origin: Origin, request: httpx.Request) -> Connection:
        tape: Tape | None = request.extensions.get("tape")
        limits: _Limits = request.extensions.get("timeout", {})
        try:
            connection = await connect(
                origin, clock=self._warm_up(), within=limits.get("connect"), forget=self._forget
            )
        except BaseException:
            if tape is not None:
                tape.ended_ns = time.perf_counter_ns()
            raise
        if tape is not None:
            tape.connected_ns = time.perf_counter_ns()
        self._connections.add(connection)
        return connection

    def _warm_up(self) -> KernelClock:
        """The clock. It takes some milliseconds to make, so it is made on entering, not in a request."""
        if self.clock is None:
            self.clock = KernelClock()
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


def _origin(url: httpx.URL) -> Origin:
    if url.scheme != "http":
        raise httpx.UnsupportedProtocol(
            f"StampedTransport speaks plain http only, not {url.scheme!r}; transports() gives one for https"
        )
    return url.raw_host.decode("ascii"), url.port or 80


async def _on_the_wire(request: httpx.Request) -> bytes:
    body = await request.aread()
    if "transfer-encoding" in request.headers:
        body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)]
    lines += [b"%b: %b" % field for field in request.headers.raw]
    head = b"\r\n".join(lines)
    if not head.count(b"\r") == head.count(b"\n") == len(lines) - 1:
        raise httpx.LocalProtocolError(
            "a header of the request holds a line break; an API key read from a file?"
        )
    return b"%b\r\n\r\n%b" % (head, body)
