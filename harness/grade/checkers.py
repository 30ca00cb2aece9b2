"""Processes that run the suite's own Python (`harness.grade.runner`), each call within its time limit.

A call that takes too long costs its process, and the next one gets another. What the suite's code prints, and
what it dies with, goes to a log beside the results.
"""

import sys
from contextlib import suppress
from os import cpu_count
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import anyio
import msgspec
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from harness.grade.runner import Call, Gave

MOST = 4
LONGEST = 16 * 2**20
"""Bytes of one answer."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Gave).decode


class Checkers:
    """As many processes as are of use here, each started when it is first needed; ended with the block."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.count = min(cpu_count() or 1, MOST)
        self._folder = folder.resolve()
        self._log = log
        self._idle: list[_Checker] = []

    async def __aenter__(self) -> Self:
        self._stderr = self._log.open("ab")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for checker in self._idle:
            await checker.end()
        self._stderr.close()
        if not self._log.stat().st_size:
            self._log.unlink()

    async def call(self, call: Call, *, limit_s: float) -> Gave:
        """What *call* gave; or that it took longer than *limit_s* seconds, or its process with it."""
        checker = self._idle.pop() if self._idle else await _started(self._folder, self._stderr)
        try:
            with anyio.fail_after(limit_s):
                gave = await checker.call(call)
        except TimeoutError:
            await checker.end()
            return Gave(error=f"took longer than its time limit of {limit_s:g} s")
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
            code = await checker.end()
            return Gave(error=f"ended its process (exit code {code})")
        except BaseException:
            await checker.end()
            raise
        self._idle.append(checker)
        return gave


class _Checker:
    """One process, which has one call at a time."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None  # noqa: S101  it was opened with pipes
        assert process.stdout is not None  # noqa: S101  as above
        self._process = process
        self._calls = process.stdin
        self._answers = BufferedByteReceiveStream(process.stdout)

    async def call(self, call: Call) -> Gave:
        await self._calls.send(_encode(call) + b"\n")
        return _decode(await self._answers.receive_until(b"\n", LONGEST))

    async def end(self) -> int:
        """End it; what it may have had to say is of no use any more."""
        with anyio.CancelScope(shield=True):
            if self._process.returncode is None:
                with suppress(ProcessLookupError):
                    self._process.kill()
            await self._process.wait()
            await self._process.aclose()
        return self._process.returncode or 0


async def _started(folder: Path, stderr: IO[bytes]) -> _Checker:
    command = [sys.executable, "-P", "-m", "harness.grade.runner", str(folder)]
    return _Checker(await anyio.open_process(command, cwd=folder, stderr=stderr, start_new_session=True))
