"""What no ASGI server can be made to send: framing that is broken, heads without an end, a silent farewell.

A reply that began in form is spoilt after so many words (`spoil`), is sent in another dress (`dressed`), or
never begins (`Broken`). All write to the connection itself, past the server's framing. What has no end goes
on until its client has left, and then stops.
"""

import zlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

import anyio
import anyio.lowlevel
from starlette.types import Message, Receive, Scope, Send

from harness.standin.simulate import Fault, Script, duration, size
from harness.standin.wire import heartbeat

INSTEAD = ("hangup", "garble", "head", "informing", "redirect")
"""Faults that come in place of a reply."""

_HALF_A_LINE = b'{"placement": {"turn_index": 0, "tab_index": 0, "sub_turn_ind'
_PIECE = 65_536
_MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Bare:
    """The connection beneath a response; *nth* counts the requests that came by it before this one."""

    write: Callable[[bytes], None]
    drain: Callable[[], Awaitable[None]]
    drop: Callable[[], None]
    reset: Callable[[], None]
    nth: int


def bare(scope: Scope) -> Bare:
    """The connection of a request."""
    connection: Bare = scope["extensions"]["standin"]
    return connection


async def spoil(fault: Fault, scope: Scope, receive: Receive, frame: tuple[bytes, bytes]) -> None:
    """Break a chunked reply that is under way; *frame* is what stands before and after a line of it."""
    connection = bare(scope)
    begun = frame[0] + _HALF_A_LINE
    match fault.name:
        case "halfchunk":
            connection.write(b"%x\r\n%b" % (2 * len(begun), begun))
            connection.drop()
        case "badchunk":
            connection.write(b"many\r\n%b\r\n" % begun)
            await _gone(receive)
        case "torn":
            connection.write(_chunk(begun))
            await _gone(receive)
        case "drip":
            drops = map(_chunk, chain([begun], repeat(b"x")))
            await _endlessly(drops, connection, receive, every_ns=duration(fault.argument))
        case "hearts":
            beat = _chunk(frame[0] + heartbeat().line + frame[1])
            await _endlessly(repeat(beat), connection, receive, every_ns=duration(fault.argument))
        case "flood":
            await _endlessly(chain([_chunk(begun)], repeat(_chunk(b"x" * _PIECE))), connection, receive)
        case "trailers":
            await _endlessly(chain([b"0\r\n"], repeat(b"X-Trailer: and so on\r\n")), connection, receive)


class Broken:
    """A response that is none: the ASGI side of what comes `INSTEAD` of a reply."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self.status_code = 307 if fault.name == "redirect" else 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Break off, one way or another."""
        connection, argument = bare(scope), self._fault.argument
        match self._fault.name:
            case "redirect":
                headers = [(b"location", argument.encode("ascii", "replace")), (b"content-length", b"0")]
                await send({"type": "http.response.start", "status": 307, "headers": headers})
                await send({"type": "http.response.body", "body": b""})
                return
            case "informing":
                hints = b"HTTP/1.1 103 Early Hints\r\nLink: </and-so-on>\r\n\r\n"
                await _endlessly(repeat(hints), connection, receive, every_ns=duration(argument))
            case "garble":
                connection.write(b"SSH-2.0-OpenSSH_10.2\r\n")
            case "head":
                await _long_head(size(argument), connection)
        connection.drop()
        await _gone(receive)


async def _long_head(length: int, connection: Bare) -> None:
    connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Long: ")
    for _ in range(length // _PIECE + 1):
        connection.write(b"x" * _PIECE)
        await connection.drain()
    connection.write(b"\r\n\r\n{}")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def _endlessly(
    pieces: Iterable[bytes], connection: Bare, receive: Receive, *, every_ns: int = 0
) -> None:
    """Write *pieces* until the client has left."""

    async def write() -> None:
        for piece in pieces:
            connection.write(piece)
            await connection.drain()
            await anyio.sleep(every_ns / 1e9)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write)
        await _gone(receive)
        tasks.cancel_scope.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def dressed(script: Script | None, scope: Scope, send: Send) -> Send:
    """*send*, for a reply that comes compressed unasked, or whose length is not what its head says."""
    if script is None:
        return send
    if script.fault("gzip") or script.fault("bomb"):
        bomb = script.fault("bomb")
        return _Packed(send, size(bomb.argument) if bomb else 0).send
    if fault := script.fault("longer") or script.fault("shorter"):
        sign = 1 if fault.name == "longer" else -1
        return _Mismeasured(bare(scope), sign * int(fault.argument)).send
    return send


class _Packed:
    """A reply as gzip, each piece flushed; behind it so many bytes of a line that *swells* on unpacking."""

    def __init__(self, send: Send, swells: int) -> None:
        self._send = send
        self._swells = swells
        self._gzip = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)

    async def send(self, message: Message) -> None:
        """Pass on *message*, compressed."""
        if message["type"] == "http.response.start":
            kept = [field for field in message["headers"] if field[0] != b"content-length"]
            await self._send({**message, "headers": [*kept, (b"content-encoding", b"gzip")]})
            return
        over = not message.get("more_body", False)
        packed = self._gzip.compress(message["body"]) + self._gzip.flush(zlib.Z_SYNC_FLUSH)
        await self._send({**message, "body": packed, "more_body": True})
        if over:
            for _ in range(self._swells // _MEGABYTE):
                swollen = self._gzip.compress(b"x" * _MEGABYTE)
                await self._send({**message, "body": swollen, "more_body": True})
                await anyio.lowlevel.checkpoint()
            await self._send({**message, "body": self._gzip.flush(), "more_body": False})


class _Mismeasured:
    """A reply in one piece whose Content-Length is *off* by so many bytes, and then the end."""

    def __init__(self, connection: Bare, off: int) -> None:
        self._connection = connection
        self._off = off
        self._head: dict[str, Any] = {}
        self._body = bytearray()

    async def send(self, message: Message) -> None:
        """Hold *message* back until it is the last."""
        if message["type"] == "http.response.start":
            self._head = dict(message)
            return
        self._body += message["body"]
        if message.get("more_body", False):
            return
        fields = [field for field in self._head["headers"] if field[0] != b"content-length"]
        fields.append((b"content-length", b"%d" % max(0, len(self._body) + self._off)))
        lines = [b"HTTP/1.1 %d X" % self._head["status"], *(b"%b: %b" % field for field in fields)]
        self._connection.write(b"\r\n".join(lines) + b"\r\n\r\n" + self._body)
        self._connection.drop()
