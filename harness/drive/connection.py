"""One socket, and the reply being read from it.

The loop calls `Connection.on_readable`, which reads once, takes the kernel's stamp and feeds
httptools, which puts the bytes on the request's `Tape`. No task switch, no decoding and no
logging lie between the socket and the tape; the task that waits for the reply is woken at its
head and at its end. TLS lies between the two as another kind of socket (`harness.drive.tls`),
so that the plain path knows nothing of it.

Why not `asyncio.Protocol`, which is some µs cheaper: its transports call `recv`, which drops the kernel's
stamp. This module and `harness.drive.way` speak to the event loop by name: `add_reader` has no
counterpart in anyio without a task switch.
"""

import asyncio  # noqa: TID251 - see above
import math
import os
import socket
import time
from collections import deque
from collections.abc import Callable

import httptools
import httpx

from harness.drive.clock import ANCILLARY, KernelClock
from harness.drive.tape import LONGEST_REPLY, Tape
from harness.drive.tls import Channel, Secure, TlsAlertError
from harness.drive.way import Route

_READ_SIZE = 65_536
_HOLD = 1_048_576  # so many bytes may wait for their reader before we stop taking more

LONGEST_HEAD = 262_144
"""Bytes that may come without one of the body among them: heads of 1xx responses and the final one, sizes of
chunks and what may stand behind them, trailers. httptools would collect a header for ever."""


class NotHttpError(httpx.RemoteProtocolError):
    """What came is not HTTP/1.1, or has no end; a bare `RemoteProtocolError` is a close too early."""


class Connection:
    """One socket, and the exchange that is going on over it.

    The loop calls `on_readable`, and httptools the other `on_` methods from within it. One task
    at a time waits in `send`, `head`, `piece` or `end`, and is woken when what it waits for may have
    come. Between exchanges the socket stays with the loop, so that a server's close is
    seen when it comes.
    """

    __slots__ = (
        "_arrived", "_bare", "_bodiless", "_clock", "_error", "_forget", "_held", "_length", "_loop",
        "_open_ended", "_parser", "_paused", "_pieces", "_receive", "_received", "_secure", "_seen",
        "_silence", "_sock", "_stamped", "_tape", "_timer", "_waiter", "_whole", "answered", "closed",
        "done", "headers", "http_version", "keep_alive", "route", "status",
    )  # fmt: skip

    def __init__(
        self,
        sock: Channel,
        *,
        clock: KernelClock,
        route: Route,
        forget: Callable[["Connection"], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._secure = sock if isinstance(sock, Secure) else None
        self._receive = sock.recvmsg
        self._clock = clock
        self._forget = forget
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.route = route
        self.closed = False
        self.expect(None, bodiless=False)
        self.done = True
        self._listen()

    def expect(self, tape: Tape | None, *, bodiless: bool) -> None:
        """Get ready for one response; *bodiless* if it has no body whatever its head says (HEAD)."""
        self._tape = tape
        self._bodiless = bodiless
        self._parser = httptools.HttpResponseParser(self)
        self._error: Exception | None = None
        self._silence = math.inf
        self._stamped = self._clock.stamped
        self._arrived = self._seen = time.perf_counter_ns()
        self._pieces: deque[bytes] = deque()
        self._held = 0  # bytes in _pieces
        self._received = 0
        self._bare = 0  # bytes since the last one of the body
        self._paused = False
        self._length: bytes | None = None
        self._open_ended = False  # the body ends where the connection does
        self._whole = False  # the request is out
        self.headers: list[tuple[bytes, bytes]] = []
        self.http_version = b"HTTP/1.1"
        self.status = 0  # until the head of the final response is complete
        self.answered = False  # at least one byte came back
        self.keep_alive = False
        self.done = False

    @property
    def reusable(self) -> bool:
        """Whether another request may go out on this connection."""
        return self.done and self.keep_alive and not (self.closed or self._paused)

    async def send(self, outgoing: bytes, timeout: float | None) -> None:  # noqa: ASYNC109 - per wait, not in all
        """Put *outgoing* on the wire, up to its end or to an answer that comes before it."""
        unsent = memoryview(outgoing)
        while unsent and not (self.status or self.done):
            if self._tape is not None and self._tape.refused:
                await asyncio.Event().wait()  # the cancellation is on its way
            before = time.perf_counter_ns()
            try:
                unsent = unsent[self._sock.send(unsent) :]
            except (BlockingIOError, InterruptedError):
                await self._writable(timeout)
            except OSError as exc:
                self._read_up_to(exc)  # an answer may lie before the hang-up, or the server's reason for it
                return
        self._whole = not unsent
        if self._whole and self._tape is not None:
            self._tape.sent_ns = before

    async def head(self, silence: float | None) -> None:
        """Wait for the head of the response; from here on, *silence* seconds of it are an error."""
        if silence is not None and not self.done:
            self._silence = silence
            self._seen = time.perf_counter_ns()
            self._timer = self._loop.call_later(silence, self._watch)
        while not (self.status or self.done):
            await self._woken()
        if not self.status and self._error is not None:
            raise self._error

    async def piece(self) -> bytes | None:
        """The next bytes of the body, or None at its end."""
        while not (self._pieces or self.done):
            await self._woken()
        if not self._pieces:
            await self.end()
            return None
        piece = self._pieces.popleft()
        self._held -= len(piece)
        if self._paused and self._held < _HOLD // 2 and not self.closed:
            self._paused = False
            self._seen = time.perf_counter_ns()  # the silence so far was ours
            self._listen()
        return piece

    async def end(self) -> None:
        """Wait until the whole reply is here; raises if it never will be."""
        while not self.done:
            await self._woken()
        if self._error is not None:
            raise self._error

    def fail(self, error: Exception) -> None:
        """Close, and raise *error* in the task that waits for the reply; if none does, just close."""
        if not self.done:
            self._error = error
        self.close()

    def close(self) -> None:
        """Let go of the socket. What came is on the tape, and its end is marked."""
        if self.closed:
            return
        self.closed = True
        if not self.done:
            self._end(time.perf_counter_ns())
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        del self._parser  # it refers to us
        self._forget(self)

    def look(self) -> None:
        """See what has come that the loop has not told us of yet: a close, say."""
        if self._secure is None:
            self.on_readable()
        else:
            self.on_secure_readable()

    def _listen(self) -> None:
        plain = self._secure is None
        self._loop.add_reader(self._sock.fileno(), self.on_readable if plain else self.on_secure_readable)

    def on_readable(self) -> None:
        """Read once, stamp, and pass on: the path every byte takes.

        A reset right behind the bytes is looked for here. uvloop (0.23, `UVPoll._fatal_error`) calls a
        reader once for an error on its socket and never again; that one call reads the bytes, and the
        reset behind them would be taken for silence.
        """
        if self._read() and (number := self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
            self._read_up_to(OSError(number, os.strerror(number)))

    def on_secure_readable(self) -> None:
        """The same over TLS, where a good-bye may lie behind the bytes of a read, and a reset behind none."""
        self._read()
        if self.closed:
            return
        if self._secure is not None and self._secure.over:
            self._read()
        elif number := self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._read_up_to(OSError(number, os.strerror(number)))

    def _read_up_to(self, broken: OSError) -> None:
        while self._read(broken):
            pass

    def _read(self, broken: OSError | None = None) -> bool:
        """One read; whether it brought bytes. *broken* is known to lie behind the last of them."""
        try:
            data, ancillary, _, _ = self._receive(_READ_SIZE, ANCILLARY)
        except (BlockingIOError, InterruptedError):
            data, ancillary = b"", []
            if broken is None:
                return False
        except OSError as exc:
            self._lost(exc if broken is None or isinstance(exc, TlsAlertError) else broken)
            return False
        if not data or self.done:  # bytes that nobody asked for are no better than a close
            self._lost(broken)
            return False
        self._seen = seen = time.perf_counter_ns()
        if ancillary:
            arrived = self._clock.monotonic(ancillary[0][2], seen)
            self._arrived = max(arrived, self._arrived)  # a better idea of the clocks may lie some ns behind
        else:
            self._arrived = seen
            self._stamped = False
        self.answered = True
        self._bare += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as exc:
            self._misread(exc)
        self._keep_within_bounds()
        return not self.closed

    def _keep_within_bounds(self) -> None:
        """End a reply that would have no end; not from the parser's callbacks, since that ends the parser."""
        if self._bare > LONGEST_HEAD and not self.done:
            self.fail(
                NotHttpError(f"{self._bare:,} bytes of framing without one of the body, {self._so_far()}")
            )
        elif self._tape is not None and len(self._tape.body) > LONGEST_REPLY:
            self.fail(NotHttpError(f"the reply is longer than the limit of {LONGEST_REPLY:,} bytes"))

    def on_message_begin(self) -> None:
        """The first byte of a response head; there may be heads of 1xx responses before the final one."""
        if self.done:
            self.keep_alive = False  # a second answer to one request
        elif self._tape is not None:
            self._tape.headers_ns = self._arrived

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field of the head, or of the trailer after a chunked body, which is passed over."""
        if not self.status:  # neither trailers nor a second answer
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole: the waiting task can go on, unless it was a 1xx."""
        status = self._parser.get_status_code()
        if self.done:
            return
        if status < 200:
            self.headers.clear()
            return
        self.status = status
        self.http_version = f"HTTP/{self._parser.get_http_version()}".encode()
        fields = {name.lower(): value for name, value in self.headers}
        self._length = fields.get(b"content-length")
        self._open_ended = (
            self._length is None and b"chunked" not in fields.get(b"transfer-encoding", b"").lower()
        )
        if self._bodiless:  # and not to be used again: httptools goes on to look for the body
            self._end(self._arrived)
        self._wake()

    def on_body(self, chunk: bytes) -> None:
        """Bytes of the body, free of their framing."""
        self._bare = 0
        if self._tape is not None:
            self._tape.keep(chunk, self._arrived, self._seen)
        elif not self.done:
            self._hold(chunk)

    def on_message_complete(self) -> None:
        """The body is whole."""
        if self.status and not self.done:
            self.keep_alive = self._whole and self._parser.should_keep_alive()
            self._end(self._arrived)

    def _hold(self, chunk: bytes) -> None:
        self._pieces.append(chunk)
        self._received += len(chunk)
        self._held += len(chunk)
        if self._held > _HOLD and not self._paused:
            self._paused = True
            self._loop.remove_reader(self._sock.fileno())
        self._wake()

    def _lost(self, exc: OSError | None) -> None:
        if exc is not None and not (self._whole or self.answered):  # whoever noticed: a read, or the send
            self.fail(httpx.WriteError(f"the request could not be sent: {exc}"))
        elif exc is not None:
            self.fail(httpx.ReadError(f"{exc.strerror or exc} {self._so_far()}"))
        elif self.status and self._open_ended and not self.done:
            self._end(time.perf_counter_ns())
            self.close()
        else:
            self.fail(httpx.RemoteProtocolError(f"the server closed the connection {self._so_far()}"))

    def _misread(self, exc: Exception) -> None:
        if isinstance(exc, httptools.HttpParserCallbackError):
            self.fail(exc)  # a fault of ours
        elif self.done:
            self.keep_alive = False
        else:
            self.fail(NotHttpError(f"this is not HTTP/1.1 ({exc}), {self._so_far()}"))

    def _so_far(self) -> str:
        if not self.answered:
            return "before any answer"
        if not self.status:
            return "within the response head"
        received = self._received if self._tape is None else len(self._tape.body)
        return f"after {received} bytes of the body" + (f" of {int(self._length)}" if self._length else "")

    def _watch(self) -> None:
        """Look whether the server has been silent for too long; come back when it next could have been.

        One timer for a whole reply, so that a packet costs it nothing. Bytes that came while our loop
        was blocked are no silence of the server's: both loops read sockets before they run timers.
        """
        silent = 0.0 if self._paused else (time.perf_counter_ns() - self._seen) / 1e9
        if silent < self._silence:
            self._timer = self._loop.call_later(self._silence - silent, self._watch)
        else:
            self.fail(httpx.ReadTimeout(f"nothing came for {self._silence:g} s, {self._so_far()}"))

    def _end(self, at: int) -> None:
        self.done = True
        if self._tape is not None:
            self._tape.ended_ns = at
            self._tape.stamps = "kernel" if self._stamped else "user"
            self._tape = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake()

    async def _writable(self, timeout: float | None) -> None:  # noqa: ASYNC109 - see send
        self._loop.add_writer(self._sock.fileno(), self._wake)
        try:
            async with asyncio.timeout(timeout):
                await self._woken()
        except TimeoutError:
            raise httpx.WriteTimeout(f"the server took no byte of the request for {timeout:g} s") from None
        finally:
            if not self.closed:
                self._loop.remove_writer(self._sock.fileno())

    async def _woken(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None:
            _set(self._waiter)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
