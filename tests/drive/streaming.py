"""The server of `streamer.py` as tests see it, plain and over TLS, and certificates for both sides."""

import json
import os
import socket
import ssl
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
import trustme

from harness.drive.tape import Tape

LOOPS = [
    pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
    pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
]
"""The event loops that our transport has to be right on, for the fixture `anyio_backend`."""

OK = "HTTP/1.1 200 OK\r\n"
HELLO = OK + "Content-Length: 5\r\n\r\nhello"
CHUNKED = OK + "Transfer-Encoding: chunked\r\n\r\n"
WHO = OK + "Content-Length: 8\r\n\r\n@CONNECTION@"
TO_THE_END = OK + "\r\n"

Step = Sequence[Any]


@dataclass
class Certificates:
    """A CA of our own, and files with what it signs."""

    folder: Path

    @cached_property
    def authority(self) -> trustme.CA:
        return trustme.CA()

    @cached_property
    def ca(self) -> Path:
        """The file to trust."""
        path = self.folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(path))
        return path

    @cached_property
    def server(self) -> Path:
        """Key and certificate of 127.0.0.1, which also goes by localhost and sigma.test."""
        return self.signed("127.0.0.1", "localhost", "sigma.test")

    def signed(self, *names: str, **how: Any) -> Path:
        """Key and certificate for *names*, in one file."""
        path = self.folder / f"{'-'.join(names)}{len(list(self.folder.iterdir()))}.pem"
        self.authority.issue_cert(*names, **how).private_key_and_cert_chain_pem.write_to_path(str(path))
        return path


@dataclass(frozen=True)
class Streamer:
    """The server, as one test sees it."""

    base: str
    label: str
    ca: Path | None = None

    def __call__(self, *steps: Step, **how: str) -> httpx.URL:
        return httpx.URL(self.base, params={"script": json.dumps(steps), "label": self.label, **how})

    @property
    def secure(self) -> bool:
        return self.base.startswith("https")

    def requests(self) -> list[dict[str, Any]]:
        """What the server got from this test. Blocks the event loop, which here is sometimes the point."""
        return self._ask("ledger")["requests"]  # type: ignore[no-any-return]

    def settled(self) -> list[dict[str, Any]]:
        """The same, once the server has closed all connections of this test."""
        told = self._ask("settled")
        assert told["open"] == 0, "the client has left a connection open"
        return told["requests"]  # type: ignore[no-any-return]

    def _ask(self, what: str) -> Any:
        trust = ssl.create_default_context(cafile=self.ca) if self.ca else True
        answer = httpx.get(f"{self.base}/{what}", params={"label": self.label}, timeout=20, verify=trust)
        return answer.json()


@contextmanager
def streaming(*options: str | Path) -> Iterator[int]:
    """The port of a server started with *options*."""
    command = [sys.executable, str(Path(__file__).with_name("streamer.py")), *map(str, options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a server that does *serve* with each connection, in a thread of its own."""

    def one(sock: socket.socket) -> None:
        with suppress(OSError), sock:
            serve(sock)

    def accept() -> None:
        with suppress(OSError):
            while True:
                thread = threading.Thread(target=one, args=listener.accept()[:1])
                thread.start()
                threads.append(thread)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads = [threading.Thread(target=accept)]
        threads[0].start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(10)
                assert not thread.is_alive()


def descriptors() -> int:
    """How many sockets this process has open."""
    with os.scandir("/proc/self/fd") as entries:
        modes = []
        for entry in entries:
            with suppress(OSError):  # the folder itself
                modes.append(entry.stat().st_mode)
    return sum(stat.S_ISSOCK(mode) for mode in modes)


async def send(client: httpx.AsyncClient, url: httpx.URL, tape: Tape, **how: Any) -> httpx.Response:
    request = client.build_request("POST", url, extensions={"tape": tape}, **how)
    response = await client.send(request, stream=True)
    try:
        assert [piece async for piece in response.aiter_raw()] == []
    finally:
        await response.aclose()
    return response


async def until(true: Callable[[], object]) -> None:
    with anyio.fail_after(5):
        while not true():
            await anyio.lowlevel.checkpoint()
