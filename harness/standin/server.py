"""The stand-in as a process: socket, signals, ready line.

uvicorn serves it, with two things added: connections that can be reset on purpose, and an end that does not
wait for open streams. The socket listens before the ready line is given, so whoever reads the line can
connect.
"""

import ctypes
import os
import signal
import socket
import sqlite3
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from harness.doors import is_loopback
from harness.errors import PortError, StandinError
from harness.standin.app import create_app
from harness.standin.chat import Standin
from harness.standin.files import Files
from harness.standin.guard import Door, guarded
from harness.standin.models import PROVIDERS, Provider
from harness.standin.raw import Bare
from harness.standin.request import Dialect
from harness.standin.search import Library, shipped_corpus
from harness.standin.sessions import Sessions

_PR_SET_PDEATHSIG = 1
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Options:
    """How to serve. Port 0 takes a free one; *db* is a file, or `:memory:`; the key is in no repr.

    *ignores* are settings to do nothing with, *providers* real models beside the simulated ones. Without
    *deprecated* the endpoints of old are gone, as they are on real servers.
    """

    host: str = "127.0.0.1"
    port: int = 0
    dialect: Dialect = "sigma"
    db: str = ":memory:"
    api_key: str | None = field(default=None, repr=False)
    access_log: bool = False
    with_parent: bool = False
    ignores: frozenset[str] = frozenset()
    deprecated: bool = True
    providers: tuple[Provider, ...] = ()


class BreakableProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, with the bare connection for whoever wants to break a reply.

    It reaches the application as the ASGI extension `standin`: `drop()` closes in order, `reset()` with a
    TCP reset (lingering off makes the kernel send one instead of a FIN), and `write` passes all framing by.
    """

    _nth = -1

    def on_message_begin(self) -> None:
        """Add the extension to the scope of each request."""
        super().on_message_begin()
        self._nth += 1
        wire = self.transport
        connection: Any = Bare(wire.write, self.flow.drain, wire.close, self._reset, self._nth)
        self.scope["extensions"] = {"standin": connection}

    def _reset(self) -> None:
        raw = self.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.transport.abort()


_ACCEPTS = 16


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise PortError(f"cannot serve on {host}:{port}: {reason}; --port 0 takes a free one") from error
    return listener


def _databases(path: str) -> tuple[Sessions, Files]:
    try:
        return Sessions(path), Files(path)
    except sqlite3.Error as error:
        raise StandinError(f"cannot keep sessions in {path}: {error}") from error


def _die_with_parent(config: uvicorn.Config) -> None:
    """End this process when the one that started it ends, however that happens."""
    parent = os.getppid()

    async def look() -> None:
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    config.callback_notify = look
    config.timeout_notify = 1
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def serve(options: Options, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; *ready* is called with the URL once connections are accepted.

    Both signals end it in order and at once: open streams are cut, the database is closed, the exit code is
    0. A port that is taken is a `PortError`.
    """

    def app() -> ASGIApp:
        sessions, files = _databases(options.db)
        standin = Standin(
            options.dialect,
            sessions,
            Library(shipped_corpus()),
            files,
            options.ignores,
            (*PROVIDERS, *options.providers),
        )
        return create_app(standin, deprecated=options.deprecated)

    serve_app(app, options, ready)


def serve_app(made: Callable[[], ASGIApp], options: Options, ready: Callable[[str], None]) -> None:
    """The same for any app, which is made once its port is known to be free."""
    listener = _listen(options.host, options.port)
    config = uvicorn.Config(
        guarded(made(), Door(options.host, options.api_key, remote=not is_loopback(options.host))),
        http=BreakableProtocol,
        ws="none",
        lifespan="auto",
        log_level="info" if options.access_log else "critical",
        access_log=options.access_log,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=0,
        backlog=2048,
    )
    if options.with_parent:
        _die_with_parent(config)
    server = uvicorn.Server(config)

    def leave(_number: int, _frame: FrameType | None) -> None:
        # No exception: raised within a callback of the interpreter's own it would be passed over.
        server.should_exit = True

    # Until uvicorn has its own, and when it raises the signal again after it has shut down.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    host, port = listener.getsockname()[:2]
    ready(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
    # uvloop accepts one connection for each listening socket in a turn of its loop, and with hundreds of
    # streams a turn takes long: so there are several of the one. Else some of 500 clients wait for minutes.
    server.run(sockets=[listener, *(listener.dup() for _ in range(_ACCEPTS - 1))])
