"""Timers as files (timerfd_create(2)) where the system has them: absolute, of CLOCK_MONOTONIC, in ns.

Python has them from 3.13 on; this is the same by way of the C library.
"""

import ctypes
import os
import struct
import sys

_CLOCK_MONOTONIC = 1
_ABSOLUTE = 1
_itimerspec = struct.Struct("llll").pack  # again after so many s and ns (never), first at s and ns
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def open_timer() -> int | None:
    """A timer's file, to be closed by whoever asked; None where there are none."""
    if _libc is None:
        return None
    file: int = _libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    return file if file >= 0 else None


def arm(timer: int, deadline_ns: int) -> None:
    """Have *timer* be readable from *deadline_ns* on, at once if that is past, never if it is 0."""
    if _libc is not None:
        seconds, nanoseconds = divmod(deadline_ns, 1_000_000_000)
        _libc.timerfd_settime(timer, _ABSOLUTE, _itimerspec(0, 0, seconds, nanoseconds), None)
