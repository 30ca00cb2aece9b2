"""TLS for now: httpx's own transport, filling the same tape with stamps of our own.

httpcore tells its `trace` extension what it does, which gives the marks of the request
without a copy of its code. The kernel's stamps do not survive the trip through its streams;
a transport that decrypts by itself (`ssl.MemoryBIO`) will take this module's place.
"""

import ssl
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx

from harness.drive.tape import Tape


class StockTransport(httpx.AsyncBaseTransport):
    """`httpx.AsyncHTTPTransport` that honours `request.extensions["tape"]` as `StampedTransport` does.

    Give each worker its own: the pool looks at all its connections on every request. *context* may be shared.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._inner = httpx.AsyncHTTPTransport(verify=context)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The response to *request*, as soon as its head is there."""
        tape: Tape | None = request.extensions.get("tape")
        if tape is None:
            return await self._inner.handle_async_request(request)
        tape.began_ns = time.perf_counter_ns()
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        last_part = f"http11.send_request_{'body' if has_body else 'headers'}.started"

        async def mark(event: str, _: dict[str, Any]) -> None:
            now = time.perf_counter_ns()
            match event:
                case "connection.connect_tcp.complete" | "connection.start_tls.complete":
                    tape.connected_ns = now
                case "http11.receive_response_headers.complete":
                    tape.headers_ns = now
                case _ if event == last_part:
                    tape.sent_ns = now

        request.extensions["trace"] = mark
        try:
            response = await self._inner.handle_async_request(request)
        except BaseException:
            tape.ended_ns = time.perf_counter_ns()
            raise
        response.stream = _Taping(cast("httpx.AsyncByteStream", response.stream), tape)
        return response


class _Taping(httpx.AsyncByteStream):
    """The body of a stock response: goes onto the tape, not to the caller."""

    def __init__(self, inner: httpx.AsyncByteStream, tape: Tape) -> None:
        self._inner = inner
        self._tape = tape

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._inner:
                now = time.perf_counter_ns()
                self._tape.keep(chunk, now, now)
        finally:
            self._tape.ended_ns = time.perf_counter_ns()
        yield b""  # which makes this an iterator; httpx drops it

    async def aclose(self) -> None:
        if self._tape.ended_ns is None:
            self._tape.ended_ns = time.perf_counter_ns()
        await self._inner.aclose()
