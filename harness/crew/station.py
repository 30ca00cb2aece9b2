"""One process of ours on a node of a cluster, as who leads sees it: a seat whose journal comes home."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from io import BytesIO
from math import inf
from pathlib import Path
from typing import Any, BinaryIO, cast

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from harness import journal
from harness.crew import wire
from harness.crew.driver import Node, brief, errors, is_passing
from harness.crew.messages import Broke, FromProcess, Hello, ToProcess
from harness.crew.processes import SeatLostError
from harness.crew.relay import ALONE_S, About, News
from harness.errors import RunDirectoryError

LOST_S = 2.5 * ALONE_S
"""How long a node may say nothing. A process that nobody asks has ended by then, and sends no more."""

WAIT_S = 1.0
"""How long a relay waits for something new before it says that there is nothing."""

_RETRY_S = 0.5


@dataclass(slots=True)
class Station:
    """A process of ours on a *node*, which has our calls by *relay*, an actor. It is a seat.

    *sent* and *came* are the messages to it and from it, and *journal* is where what it writes lies here.
    """

    number: int
    node: Node
    relay: Any
    about: About
    ahead_ns: int = 0
    journal: Path | None = None
    how: str = "is lost"
    sent: MemoryObjectSendStream[bytes] = field(init=False)
    to_send: MemoryObjectReceiveStream[bytes] = field(init=False)
    came: MemoryObjectSendStream[FromProcess] = field(init=False)
    to_hear: MemoryObjectReceiveStream[FromProcess] = field(init=False)

    def __post_init__(self) -> None:
        self.sent, self.to_send = anyio.create_memory_object_stream[bytes](inf)
        self.came, self.to_hear = anyio.create_memory_object_stream[FromProcess](inf)

    @property
    def name(self) -> str:
        """What it is called, for people."""
        return f"process {self.number} on node {self.node.name} (pid {self.about.pid})"

    def close(self) -> None:
        """Nothing is said or heard any more."""
        for end in (self.sent, self.to_send, self.came, self.to_hear):
            end.close()

    async def send(self, message: ToProcess) -> None:
        """Say *message*; it is on its way when this returns. Raises `SeatLostError`."""
        if isinstance(message, Hello):
            self.journal = message.journal
            message = replace(message, journal=Path(self.about.journal))
        try:
            self.sent.send_nowait(wire.packed(message))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise SeatLostError(self.how) from error

    async def receive(self) -> FromProcess:
        """The next message, once all that was journalled before it is here. Raises `SeatLostError`."""
        try:
            return await self.to_hear.receive()
        except anyio.EndOfStream as error:
            raise SeatLostError(self.how) from error


async def follow(station: Station) -> None:
    """Carry what is said to a process and what it says, until it is gone."""
    try:
        async with anyio.create_task_group() as both:
            both.start_soon(_push, station)
            await _pull(station)
            both.cancel_scope.cancel()
    finally:
        station.to_send.close()
        station.came.close()


async def _push(station: Station) -> None:
    number = 0
    async for message in station.to_send:
        number += 1
        try:
            await _called(station.relay.send, number, message)
        except SeatLostError:
            return  # whoever listens finds out how


async def _pull(station: Station) -> None:
    """Bring home what a process says and writes, until it is gone."""
    heard, book = 0, Book(lambda: station.journal)
    try:
        while True:
            news: News = await _called(station.relay.ask, heard, book.offset, WAIT_S)
            await book.append(news.journal)
            heard += len(news.said)
            for message in news.said:
                station.came.send_nowait(wire.read(BytesIO(message).read))
            if news.ended is not None and not news.said and not news.journal:
                raise SeatLostError(news.ended)
    except SeatLostError as lost:
        station.how = str(lost)
    except RunDirectoryError as error:
        station.came.send_nowait(Broke(error))
        station.how = "had nowhere to write to"
    finally:
        with anyio.CancelScope(shield=True):
            await book.close()


async def _called(method: Any, *args: object) -> Any:
    """What *method* of a relay returns. Where the way there breaks off it is asked again, for a while.

    Raises `SeatLostError`.
    """
    until = anyio.current_time() + LOST_S
    while True:
        try:
            with anyio.fail_after(LOST_S):
                return await method.remote(*args)
        except TimeoutError:
            raise SeatLostError(f"is lost: it has said nothing for {LOST_S:g} s") from None
        except errors() as error:
            if not is_passing(error) or anyio.current_time() > until:
                raise SeatLostError(f"is lost: {brief(error)}") from error
        await anyio.sleep(_RETRY_S)


class Book:
    """The journal of a process as it comes home, behind what an earlier leg of the run left in its file.

    *place* tells that file once there is something to write. *offset* is how many bytes came.
    """

    def __init__(self, place: Callable[[], Path | None]) -> None:
        self._place = place
        self._file: BinaryIO | None = None
        self._written = time.perf_counter()
        self.offset = 0

    async def append(self, told: bytes) -> None:
        """Write *told* behind what was there; the disk has it a second later. Raises `RunDirectoryError`."""
        if not told:
            return
        try:
            file = self._file = self._file or self._opened()
            if not os.path.samestat(self._path.stat(), os.fstat(file.fileno())):
                raise FileNotFoundError(2, "another file is in its place")
            while told:
                written = file.write(told)
                self.offset += written
                told = told[written:]
            if time.perf_counter() - self._written > journal.SYNC_EVERY_S:
                self._written = time.perf_counter()
                await anyio.to_thread.run_sync(os.fsync, file.fileno())
        except OSError as error:
            raise RunDirectoryError(
                f"{self._path}: cannot be written: {error.strerror}; what was recorded before is whole, and "
                f"`harness run --resume {self._path.parent.name}` goes on with it once that is mended"
            ) from error

    async def close(self) -> None:
        """Have the disk hold all of it."""
        if self._file is not None:
            with suppress(OSError):
                await anyio.to_thread.run_sync(os.fsync, self._file.fileno())
            self._file.close()

    @property
    def _path(self) -> Path:
        place = self._place()
        assert place is not None  # noqa: S101  it is said in the first message, and nothing is written before
        return place

    def _opened(self) -> BinaryIO:
        file = self._path.open("ab", buffering=0)
        file.truncate(self._path.stat().st_size - journal.torn(self._path))
        return cast("BinaryIO", file)
