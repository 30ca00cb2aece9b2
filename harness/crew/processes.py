"""Processes of this machine, as the one that leads them sees each."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

import harness
from harness.crew import wire
from harness.crew.messages import FromProcess, ToProcess

CHILD = [sys.executable, "-P", "-m", "harness.crew.child"]
"""How it is started. -P: what lies in the folder where the user stands is none of our modules."""

ENDS_S = 20.0
"""How long a process may take to end once that was all: it has to close its journal."""


class SeatLostError(Exception):
    """A process is gone, and says no more. The message says how."""


class Seat(Protocol):
    """One process of a run, here or on another machine, to which messages go and from which they come.

    Its clock is *ahead_ns* behind that of the run: so much is added to its stamps.
    """

    number: int
    ahead_ns: int

    @property
    def name(self) -> str:
        """What it is called, for people."""

    async def send(self, message: ToProcess) -> None:
        """Say *message*. Raises `SeatLostError`."""

    async def receive(self) -> FromProcess:
        """The next message, once all that was journalled before it is in the run's folder.

        Raises `SeatLostError`.
        """


@dataclass(slots=True)
class Local:
    """A process of this machine, which has the clock of the run."""

    number: int
    process: Process
    incoming: BufferedByteReceiveStream
    ahead_ns: int = 0

    @property
    def name(self) -> str:
        """What it is called, for people."""
        return f"process {self.number} (pid {self.process.pid})"

    async def send(self, message: ToProcess) -> None:
        """Say *message*. Raises `SeatLostError`."""
        assert self.process.stdin is not None  # noqa: S101  it was opened with one
        try:
            await self.process.stdin.send(wire.packed(message))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError) as error:
            raise SeatLostError(await self._fate()) from error

    async def receive(self) -> FromProcess:
        """The next message. Raises `SeatLostError`."""
        try:
            message: FromProcess = await wire.received(self.incoming.receive_exactly)
        except (anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError, OSError) as error:
            raise SeatLostError(await self._fate()) from error
        return message

    async def _fate(self) -> str:
        with anyio.move_on_after(ENDS_S):
            return ended(await self.process.wait())
        return "closed its pipe"


def ended(code: int) -> str:
    """How a process ended, by the *code* that it left."""
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


@asynccontextmanager
async def processes(count: int) -> AsyncIterator[list[Seat]]:
    """So many processes of this machine, from number 1 on: 0 leads them. Leaving the block ends them.

    Each is started by itself, not forked: it has an interpreter, an event loop and memory of its own.
    """
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(_process(1 + nth)) for nth in range(count)]


@asynccontextmanager
async def _process(number: int) -> AsyncIterator[Local]:
    process = await anyio.open_process(
        CHILD,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None,
        env=with_us(),
    )
    assert process.stdout is not None  # noqa: S101  it was opened with one
    try:
        yield Local(number, process, BufferedByteReceiveStream(process.stdout))
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process)


def with_us() -> dict[str, str]:
    """The environment with this very package first on the search path, wherever it was imported from."""
    ours, path = str(Path(harness.__file__).parent.parent), os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": os.pathsep.join([ours, *([path] if path else [])])}


async def _end(process: Process) -> None:
    """Close the pipe to *process*, which then ends on the spot if it has not yet."""
    if process.stdin is not None:
        with suppress(anyio.BrokenResourceError, OSError):
            await process.stdin.aclose()
    with anyio.move_on_after(ENDS_S) as late:
        await process.wait()
    if late.cancelled_caught:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if process.stdout is not None:
        await process.stdout.aclose()
