"""The view as a process: a socket, its limits, and its end."""

import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from harness.errors import PortError
from harness.view.guard import LONGEST_HEAD

MOST_CONNECTIONS = 200
PATIENCE_S = 5
"""For a request to be whole once its connection is there, or its first byte."""


class ImpatientProtocol(H11Protocol):
    """uvicorn's HTTP protocol, which else waits for ever for a request that comes a byte at a time."""

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._late = self.loop.call_later(PATIENCE_S, self.transport.close)

    def data_received(self, data: bytes) -> None:
        """Take in what came; wait on where that was no whole request."""
        super().data_received(data)
        if self._answers():
            self._late.cancel()
        elif self._late.cancelled():
            self._late = self.loop.call_later(PATIENCE_S, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._late.cancel()
        super().connection_lost(exc)

    def _answers(self) -> bool:
        return not getattr(self.cycle, "response_complete", True)  # it is None before the first request


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises `PortError` where that cannot be."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        reason = error.strerror or str(error)
        raise PortError(
            f"cannot listen on {host}:{port}: {reason}; --port 0 takes a free one, and another harness view "
            "may be there already"
        ) from error
    return listener


def serve(app: ASGIApp, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM; both end it at once, with exit code 0. *ready* is called before.

    Nothing is logged: addresses may hold a token.
    """
    config = uvicorn.Config(
        app,
        http=ImpatientProtocol,
        ws="none",
        lifespan="off",
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=PATIENCE_S,
        limit_concurrency=MOST_CONNECTIONS,
        h11_max_incomplete_event_size=LONGEST_HEAD,
    )
    server = uvicorn.Server(config)

    def leave(_number: int, _frame: FrameType | None) -> None:
        # No exception: raised within a callback of the interpreter's own it would be passed over.
        server.should_exit = True

    # Until uvicorn has its own, and when it raises the signal again after it has shut down.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    ready()
    server.run(sockets=[listener])
