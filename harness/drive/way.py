"""The way to a server: its name looked up, its address called, through a proxy, with TLS around it.

Each step leaves its mark on the tape. What comes out is a socket, or what stands for one over TLS; everything
after that is `harness.drive.connection`, the other module that speaks to the event loop by name.
"""

import asyncio  # noqa: TID251 - see above
import contextlib
import errno
import socket
import ssl
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import httpx

from harness.drive.clock import KernelClock
from harness.drive.proxy import Proxy, tunnel
from harness.drive.tape import Tape
from harness.drive.tls import Channel, Secure, TlsError, advice
from harness.errors import MachineError

if sys.platform != "win32":
    import resource

_READ_SIZE = 65_536


class Route(NamedTuple):
    """How to get to a server: with a *context* over TLS, with a *proxy* through that."""

    host: str
    port: int
    context: ssl.SSLContext | None = None
    proxy: Proxy | None = None

    def __str__(self) -> str:
        return f"{self.host} port {self.port}"

    @property
    def authority(self) -> str:
        """Host and port, as HTTP writes them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


async def reach(
    route: Route, *, clock: KernelClock, within: float | None, tape: Tape | None = None
) -> Channel:
    """A channel to the server by *route*, at most *within* seconds later; *clock* stamps what comes by it.

    Every address of the name is tried in turn, as the resolver orders them. *tape* gets the marks of the way.
    Raises `httpx.ConnectError`, `httpx.ConnectTimeout`, `httpx.ProxyError`, `MachineError` where it is this
    machine that can open no connection, and RuntimeError where the event loop is not asyncio's.
    """
    loop = _running_loop()
    tape = Tape() if tape is None else tape
    try:
        async with asyncio.timeout(within):
            return await _channel(loop, route, clock, tape)
    except TimeoutError:
        raise httpx.ConnectTimeout(
            f"no connection to {route} in the time allowed: {_reached(route, tape)}"
        ) from None
    except OSError as exc:
        to = route if route.proxy is None else f"{route.proxy}, on the way to {route}"
        raise httpx.ConnectError(f"no connection to {to}: {exc}") from exc


def _reached(route: Route, tape: Tape) -> str:
    """How far we had come when the time was up."""
    if tape.tcp_ns is not None:
        return "the TLS handshake went on"
    waited = "the server" if route.proxy is None else route.proxy
    return f"{waited} did not answer" if tape.resolved_ns is not None else "its name was being looked up"


async def _channel(loop: asyncio.AbstractEventLoop, route: Route, clock: KernelClock, tape: Tape) -> Channel:
    """The way to the server, from end to end."""
    proxy, early = route.proxy, b""
    with contextlib.ExitStack() as undo:
        channel: Channel = undo.enter_context(await _first_to_answer(loop, proxy or route, clock, tape))
        if proxy is not None and proxy.context is not None:
            channel = await _secured(loop, Secure(channel, proxy.context, proxy.host), str(proxy))
        if proxy is not None and route.context is not None:
            talk = _Talk(loop, channel)
            early = await tunnel(proxy, route.authority, tell=talk.tell, hear=talk.hear)
        tape.tcp_ns = time.perf_counter_ns()
        if route.context is not None:
            channel = await _secured(loop, Secure(channel, route.context, route.host, early), str(route))
        undo.pop_all()
        return channel


async def _secured(loop: asyncio.AbstractEventLoop, secure: Secure, where: str) -> Secure:
    talk = _Talk(loop, secure.beneath)
    try:
        await secure.shake_hands(talk.tell, talk.hear)
    except ssl.SSLError as exc:
        raise httpx.ConnectError(f"no TLS with {where}: {advice(exc)}") from exc
    except TlsError as exc:
        raise httpx.ConnectError(f"no TLS with {where}: {exc}") from exc
    return secure


class _Talk:
    """Saying and hearing in turn, before there is a connection: with the proxy, and in the handshake."""

    def __init__(self, loop: asyncio.AbstractEventLoop, channel: Channel) -> None:
        self._loop = loop
        self._channel = channel

    async def tell(self, words: bytes) -> None:
        """Put *words* on the wire."""
        unsent = memoryview(words)
        while unsent:
            try:
                unsent = unsent[self._channel.send(unsent) :]
            except BlockingIOError:
                await self._ready(self._loop.add_writer, self._loop.remove_writer)

    async def hear(self) -> bytes:
        """The next bytes of the other side; none when it has hung up."""
        while True:
            try:
                return self._channel.recvmsg(_READ_SIZE, 0)[0]
            except BlockingIOError:
                await self._ready(self._loop.add_reader, self._loop.remove_reader)

    async def _ready(self, add: Callable[..., object], remove: Callable[[int], object]) -> None:
        ready = self._loop.create_future()
        add(self._channel.fileno(), _set, ready)
        try:
            await ready
        finally:
            remove(self._channel.fileno())


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "StampedTransport needs anyio's asyncio backend, with or without uvloop; this is another (trio?)"
        ) from None


async def _first_to_answer(
    loop: asyncio.AbstractEventLoop, there: Route | Proxy, clock: KernelClock, tape: Tape
) -> socket.socket:
    """A connected socket: every address of the host is tried in turn, as the resolver orders them."""
    failures: list[OSError] = []
    try:
        addresses = await loop.getaddrinfo(there.host, there.port, type=socket.SOCK_STREAM)
    except OSError:
        _look_at_ourselves()  # a resolver that can open no file says that there is no such name
        raise
    tape.resolved_ns = time.perf_counter_ns()
    for family, kind, protocol, _, address in addresses:
        with contextlib.ExitStack() as undo:
            try:
                sock = undo.enter_context(socket.socket(family, kind, protocol))
                sock.settimeout(0)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                clock.stamp(sock)
                await loop.sock_connect(sock, address)
            except OSError as exc:
                if (lack := _lack(exc, family, address)) is not None:
                    raise MachineError(f"no connection to {there} can be opened: {lack}") from exc
                failures.append(exc)
            else:
                undo.pop_all()
                return sock
    raise OSError("; ".join(str(failure) for failure in failures))


def _look_at_ourselves() -> None:
    """Raise `MachineError` where this machine can open no socket at all."""
    try:
        socket.socket().close()
    except OSError as exc:
        if (lack := _lack(exc, socket.AF_INET, None)) is not None:
            raise MachineError(f"no name can be looked up: {lack}") from exc


def _lack(exc: OSError, family: int, address: Any) -> str | None:
    """What this machine lacks, and the remedy; None where *exc* is about the server or the way to it."""
    match exc.errno:
        case errno.EMFILE:
            return (
                f"this process has all the files open that it may ({_most_files()}); raise that with "
                "ulimit -n, or use fewer workers"
            )
        case errno.ENFILE:
            return "this machine has all the files open that it can (fs.file-max); use fewer workers"
        case errno.ENOBUFS | errno.ENOMEM:
            return "this machine has no memory left for another socket; use fewer workers"
        case errno.EADDRNOTAVAIL if _is_reachable(family, address):
            return (
                "this machine has no free port left; open fewer connections a second, or give it more ports "
                "(net.ipv4.ip_local_port_range)"
            )
        case _:
            return None


def _most_files() -> str:
    return "" if sys.platform == "win32" else f"{resource.getrlimit(resource.RLIMIT_NOFILE)[0]:,}"


def _is_reachable(family: int, address: Any) -> bool:
    """Whether this machine has an address of its own to call *address* from; nothing is sent.

    TCP says EADDRNOTAVAIL where it has none (IPv6 that is switched off), and where its ports are used up.
    """
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect(address)
    except OSError:
        return False
    return True
