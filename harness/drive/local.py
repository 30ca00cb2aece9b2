"""A Sigma of our own, in a process of its own, for as long as a block lasts."""

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
import anyio.abc
from anyio.streams.buffered import BufferedByteReceiveStream

from harness.errors import StandinError

READY_S = 20.0
END_S = 3.0


@asynccontextmanager
async def local_sigma(dialect: str = "sigma") -> AsyncIterator[str]:
    """A stand-in Sigma in a process of its own, on a free port of loopback; its URL.

    It is ended when the block is left, however that happens; it also ends by
    itself when this process dies. Raises `StandinError` where it does not come up.
    """
    command = [sys.executable, "-m", "harness", "serve", "--port", "0", "--dialect", dialect, "--with-parent"]
    # In a session of its own: a Ctrl-C is for us, and the trials under way still need their Sigma.
    async with await anyio.open_process(command, stderr=subprocess.PIPE, start_new_session=True) as process:
        try:
            yield await _ready(process)
        finally:
            with anyio.CancelScope(shield=True):
                await _end(process)


async def _ready(process: anyio.abc.Process) -> str:
    line = b""
    if process.stdout is not None:
        with anyio.move_on_after(READY_S), suppress(anyio.EndOfStream, anyio.IncompleteRead):
            line = await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 1000)
    match line.decode(errors="replace").split():
        case ["ready", url]:
            return url
        case _:
            said = await _last_words(process)
            raise StandinError(f"the stand-in did not come up within {READY_S:g} s{said}")


async def _last_words(process: anyio.abc.Process) -> str:
    said = b""
    if process.stderr is not None:
        with anyio.move_on_after(1), suppress(anyio.EndOfStream):
            said = await process.stderr.receive(2000)
    return f"; it said: {said.decode(errors='replace').strip()}" if said else ""


async def _end(process: anyio.abc.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    with anyio.move_on_after(END_S):
        await process.wait()
        return
    with suppress(ProcessLookupError):
        process.kill()
