"""What stands on a node of a cluster: it starts our process there, and hands on what is said and written.

An actor of Ray is made of it (`harness.crew.cluster`), and nothing here knows of that. Whoever leads the run
asks again and again what is new. An answer that is lost on the way is no loss: what was said is kept until
the next question tells that it came, and the journal is asked for from where one has it. What is said to our
process is numbered, so that saying it twice is saying it once.
"""

import os
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, NamedTuple

from harness import __version__
from harness.crew.processes import CHILD, ended, with_us
from harness.crew.wire import whole

ALONE_S = 12.0
"""After so long without a word from whoever leads the run, a process ends by itself.

A node that the network cut off would otherwise go on to ask what others were given to ask in its place.
"""

MOST = 8 * 2**20
"""Bytes of journal in one answer."""

TAIL = 2000
"""Of what a process that ended wrote to standard error, so many bytes are told."""


class About(NamedTuple):
    """What runs on a node, which machine that is, and where its process writes its journal."""

    version: str
    machine: str
    pid: int
    journal: str


class News(NamedTuple):
    """What came since the last question: messages, bytes of the journal, and how the process *ended*.

    All that was written before the last of *said* is in *journal*, or was before: where that is more than
    fits in, there is nothing in *said* yet.
    """

    said: tuple[bytes, ...]
    journal: bytes
    ended: str | None


def machine() -> str:
    """Which machine this is, or which container: who has the same reaches what listens on its loopback."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{socket.gethostname()} {boot.read_text().strip() if boot.exists() else ''}"


class Relay:
    """A process of ours on this node, by its pipes. Its methods may be called from several threads."""

    def __init__(self, child: Sequence[str] = CHILD, alone_s: float = ALONE_S) -> None:
        self._folder = TemporaryDirectory(prefix="harness-")
        self._journal = Path(self._folder.name) / "journal.jsonl"
        self._errors = Path(self._folder.name) / "stderr"
        with self._errors.open("wb") as errors:
            self._child = subprocess.Popen(  # noqa: S603  ourselves
                child,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=with_us(),
                start_new_session=True,  # a Ctrl-C in the terminal of a local Ray is for who leads the run
            )
        self._news = threading.Condition()
        self._said: list[bytes] = []
        self._heard = 0
        self._handed = 0
        self._closed = False
        self._ended: str | None = None
        self._last_asked = time.perf_counter()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        threading.Thread(target=self._mind, args=(alone_s,), daemon=True).start()

    def about(self) -> About:
        """What runs here; the first thing that is asked."""
        return About(__version__, machine(), self._child.pid, str(self._journal))

    def now(self) -> int:
        """What time it is here, in nanoseconds: the clock that every process of this machine stamps by."""
        self._last_asked = time.perf_counter()
        return time.perf_counter_ns()

    def send(self, number: int, message: bytes) -> None:
        """Hand on the *number*-th message, counted from 1; one that was handed on already is passed over."""
        self._last_asked = time.perf_counter()
        if number <= self._handed or self._child.stdin is None:
            return
        self._handed = number
        try:
            self._child.stdin.write(message)
            self._child.stdin.flush()
        except (BrokenPipeError, ValueError):
            pass  # it has ended; `ask` tells so

    def ask(self, heard: int, offset: int, wait_s: float) -> News:
        """What came after the first *heard* messages and the first *offset* bytes of the journal.

        Waits for a message for at most *wait_s*.
        """
        self._last_asked = time.perf_counter()
        with self._news:
            del self._said[: heard - self._heard]
            self._heard = heard
            self._news.wait_for(lambda: self._said or self._ended, wait_s)
            said, ended = tuple(self._said), self._ended
        written = self._written(offset)
        return News(said if len(written) < MOST else (), written, ended)

    def close(self) -> None:
        """End the process, if it still runs, and take away what it wrote here."""
        self._closed = True
        self._child.kill()
        self._listener.join()
        for pipe in filter(None, (self._child.stdin, self._child.stdout)):
            with suppress(BrokenPipeError):
                pipe.close()
        self._folder.cleanup()

    def _written(self, offset: int) -> bytes:
        try:
            with self._journal.open("rb") as file:
                file.seek(offset)
                return file.read(MOST)
        except FileNotFoundError:
            return b""

    def _listen(self) -> None:
        """Keep what the process says until it says no more."""
        out = self._child.stdout
        assert out is not None  # noqa: S101  it is a pipe
        while message := _next(out):
            with self._news:
                self._said.append(message)
                self._news.notify_all()
        ended = self._how(self._child.wait())
        with self._news:
            self._ended = ended
            self._news.notify_all()

    def _how(self, code: int) -> str:
        with self._errors.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            last = file.read().decode(errors="replace").strip()
        return ended(code) + (f":\n{last}" if last else "")

    def _mind(self, alone_s: float) -> None:
        """End the process when nobody has asked for long: who leads the run is gone, or cannot be heard."""
        while not self._closed and self._ended is None:
            time.sleep(alone_s / 10)
            if time.perf_counter() - self._last_asked > alone_s:
                self._child.kill()
                return


def _next(out: IO[bytes]) -> bytes:
    """The next whole message, as it came; empty where there is none any more."""
    try:
        return whole(lambda size: _exactly(out, size))
    except EOFError:
        return b""


def _exactly(out: IO[bytes], size: int) -> bytes:
    read = out.read(size)
    if len(read) < size:
        raise EOFError
    return read
