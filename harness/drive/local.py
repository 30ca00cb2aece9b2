"""A Sigma of our own, in a process of its own, for as long as a block lasts."""

import json
import os
import sys
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from tempfile import TemporaryFile
from typing import IO

import anyio
import anyio.abc
from anyio.streams.buffered import BufferedByteReceiveStream

from harness.errors import StandinError
from harness.redact.veil import Veil
from harness.suite.servers import Standin

READY_S = 20.0
LAST_WORDS = 2000


@asynccontextmanager
async def local_sigma(
    dialect: str = "sigma", standin: Standin | None = None, *, hidden: Collection[str] = ()
) -> AsyncIterator[str]:
    """A stand-in Sigma in a process of its own, on a free port of loopback; its URL.

    What *standin* says goes to it on its standard input: keys of providers are for no command
    line, and its environment has nothing in which one of *hidden* is. It is ended when the block is
    left, however that happens; it also ends by itself when this process dies. Raises `StandinError`
    where it does not come up.
    """
    command = [sys.executable, "-m", "harness", "serve", "--port", "0", "--dialect", dialect]
    command += ["--with-parent", "--settings-from-stdin"]
    # What it says goes into a file: a pipe that nobody empties would bring it to a halt once it is full.
    with TemporaryFile() as said:
        # In a session of its own: a Ctrl-C is for us, and the trials under way still need their Sigma.
        env = Veil(frozenset(hidden)).without(os.environ)
        opened = anyio.open_process(command, stderr=said, start_new_session=True, env=env)
        async with await opened as process:
            try:
                await _configure(process, standin or Standin())
                yield await _ready(process, said)
            finally:
                with anyio.CancelScope(shield=True):
                    await _end(process)


async def _configure(process: anyio.abc.Process, standin: Standin) -> None:
    providers = {
        name: {
            "base_url": provider.base_url,
            "api_key": provider.api_key.get_secret_value() if provider.api_key else None,
            "models": provider.models,
        }
        for name, provider in standin.providers.items()
    }
    if process.stdin is not None:
        with suppress(anyio.BrokenResourceError):  # it is gone already: its last words say why
            await process.stdin.send(json.dumps({"ignore": standin.ignore, "providers": providers}).encode())
        await process.stdin.aclose()


async def _ready(process: anyio.abc.Process, said: IO[bytes]) -> str:
    line = b""
    if process.stdout is not None:
        broken = (anyio.EndOfStream, anyio.IncompleteRead, anyio.DelimiterNotFound)
        with anyio.move_on_after(READY_S), suppress(*broken):
            line = await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 1000)
    match line.decode(errors="replace").split():
        case ["ready", url]:
            return url
        case _:
            raise StandinError(f"the stand-in did not come up within {READY_S:g} s{_last_words(said)}")


def _last_words(said: IO[bytes]) -> str:
    size = os.fstat(said.fileno()).st_size
    last = os.pread(said.fileno(), LAST_WORDS, max(0, size - LAST_WORDS))
    return f"; it said: {last.decode(errors='replace').strip()}" if last else ""


async def _end(process: anyio.abc.Process) -> None:
    # It keeps nothing that a polite end would save, and that one takes a quarter of a second.
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()
