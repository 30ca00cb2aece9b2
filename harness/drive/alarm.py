"""Waking up on time: absolute deadlines of the monotonic clock, met to some tens of microseconds.

The timers of event loops are coarse (uvloop's wheel has steps of 1 ms, statistics.md 1.6), and a load that
is asked for 2,000 arrivals a second needs better. Linux hands out timers as files (timerfd_create(2)), which
a loop watches like a socket. Elsewhere the loop's own timers have to do; how late each request went out is
recorded in any case.
"""

import os
import time
from types import TracebackType
from typing import Self

import anyio
import anyio.lowlevel

from harness.drive.timers import arm, open_timer


class Alarm:
    """A timer to wait on, for one task at a time. Use it as a context manager: it may hold a file."""

    def __init__(self) -> None:
        self._timer = open_timer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            os.close(self._timer)
            self._timer = None

    async def until(self, deadline_ns: int) -> None:
        """Return when `time.perf_counter_ns` has reached *deadline_ns*, but not without asking the loop."""
        if deadline_ns <= time.perf_counter_ns():
            await anyio.lowlevel.checkpoint()
        elif self._timer is None:
            await anyio.sleep(max(0, deadline_ns - time.perf_counter_ns()) / 1e9)
        else:
            arm(self._timer, deadline_ns)
            await anyio.wait_readable(self._timer)
