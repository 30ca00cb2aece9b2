"""Waking up on time: absolute deadlines of the monotonic clock, met to some tens of microseconds.

The timers of event loops are coarse (uvloop's wheel has steps of 1 ms, statistics.md 1.6), and a load that
is asked for 2,000 arrivals a second needs better. Linux hands out timers as files (timerfd_create(2)), which
a loop watches like a socket. Elsewhere the loop's own timers have to do; how late each request went out is
recorded in any case.
"""

import ctypes
import os
import struct
import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

import anyio
import anyio.lowlevel

_MONOTONIC = 1
_ABSOLUTE = 1
_itimerspec = struct.Struct("llll").pack  # every so many s and ns (never), first at s and ns


class Alarm:
    """A timer to wait on, for one task at a time. Use it as a context manager: it may hold a file."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
        flags = os.O_NONBLOCK | os.O_CLOEXEC if sys.platform == "linux" else 0
        made = -1 if self._libc is None else self._libc.timerfd_create(_MONOTONIC, flags)
        self._file: int | None = made if made >= 0 else None

    @property
    def exact(self) -> bool:
        """Whether this machine has timers as files."""
        return self._file is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    async def until(self, deadline_ns: int) -> None:
        """Return when `time.perf_counter_ns` has reached *deadline_ns*, but not without asking the loop."""
        if deadline_ns <= time.perf_counter_ns():
            await anyio.lowlevel.checkpoint()
        elif self._file is None or self._libc is None:
            await anyio.sleep((deadline_ns - time.perf_counter_ns()) / 1e9)
        else:
            seconds, nanoseconds = divmod(deadline_ns, 1_000_000_000)
            self._libc.timerfd_settime(self._file, _ABSOLUTE, _itimerspec(0, 0, seconds, nanoseconds), None)
            await anyio.wait_readable(self._file)
            with suppress(BlockingIOError):  # a wait that was cancelled may have left it read
                os.read(self._file, 8)
