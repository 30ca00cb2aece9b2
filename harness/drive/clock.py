"""Kernel receive stamps, moved to the clock of everything else.

Linux notes on CLOCK_REALTIME when a segment came in and hands that out with the bytes
(SO_TIMESTAMPNS). We count on CLOCK_MONOTONIC (`time.perf_counter_ns`). The two are slewed
together by NTP, so their difference stands still until somebody *sets* the wall clock: the
narrowest of all samples is the best estimate, and a sample further off than both widths is
such a step. Taking each new sample as it comes would put its noise into the figures.

Measured (perf.md 2.9): 4 µs median and 10 to 20 µs p99 off the true time of sending, where
the event loop sees the same bytes up to milliseconds late.
"""

import socket
import struct
import sys
import time

ANCILLARY = socket.CMSG_SPACE(struct.calcsize("ll")) if sys.platform != "win32" else 0
"""How much room `recvmsg` needs for one stamp."""

_SO_TIMESTAMPNS = 35  # Linux's number; the socket module has no name for it
_WARM_WITHIN_NS = 50_000_000
_SAMPLE_EVERY_NS = 1_000_000_000
_IMPLAUSIBLE_NS = 5_000_000  # a delay above this, or below zero, has the offset looked at again

_unpack = struct.Struct("ll").unpack


class KernelClock:
    """Switches stamps on for sockets and turns them into monotonic nanoseconds.

    `stamped` says whether this machine gives stamps at all; `steps` counts how often the wall
    clock was set, and `clamped` the stamps that lay after the moment we read them (each a sign
    of a step); a run with either is to say so. Close it when the last stamped socket is closed.
    With *enabled* False it behaves as on a machine that has no stamps.
    """

    __slots__ = ("_due", "_offset", "_width", "_witness", "clamped", "steps")

    def __init__(self, *, enabled: bool = True) -> None:
        self._witness = _witness() if enabled else None
        self.steps = 0
        self.clamped = 0
        self._offset, self._width = _difference()
        self._due = time.perf_counter_ns() + _SAMPLE_EVERY_NS

    @property
    def stamped(self) -> bool:
        """Whether the kernel gave a stamp when it was tried."""
        return self._witness is not None

    def stamp(self, sock: socket.socket) -> None:
        """Have the kernel stamp what *sock* receives from now on, where it can."""
        if self.stamped:
            sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)

    def monotonic(self, raw: bytes, seen: int) -> int:
        """When the bytes came that were read at *seen* with the stamp *raw*; never after *seen*."""
        seconds, nanoseconds = _unpack(raw)
        realtime = seconds * 1_000_000_000 + nanoseconds
        arrived: int = realtime - self._offset
        if seen < self._due and 0 <= seen - arrived < _IMPLAUSIBLE_NS:
            return arrived
        self._sample()
        arrived = realtime - self._offset
        if arrived > seen:
            self.clamped += 1
            return seen
        return arrived

    def close(self) -> None:
        """Let the kernel stop stamping; sockets that ask from now on get none."""
        if self._witness is not None:
            self._witness.close()
            self._witness = None

    def _sample(self) -> None:
        offset, width = _difference()
        if abs(offset - self._offset) > width + self._width:
            self.steps += 1
            self._offset, self._width = offset, width
        elif width < self._width:
            self._offset, self._width = offset, width
        self._due = time.perf_counter_ns() + _SAMPLE_EVERY_NS


def _difference() -> tuple[int, int]:
    """Realtime less monotonic, and how far off that may be: the narrowest of five brackets."""
    width, offset = min(_bracket() for _ in range(5))
    return offset, width


def _bracket() -> tuple[int, int]:
    before = time.perf_counter_ns()
    wall = time.time_ns()
    after = time.perf_counter_ns()
    return after - before, wall - (before + after) // 2


def _witness() -> socket.socket | None:
    """A socket that keeps stamping switched on, or None where there are no stamps.

    The kernel starts to stamp a moment *after* the first socket asked, and stops after the last
    one closed. So one socket asks ahead of the others, is tried until a stamp comes, and
    stays open. It is tried over TCP: datagrams are stamped when they are read if they were not before.
    """
    if sys.platform != "linux":
        return None
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            witness = socket.create_connection(server.getsockname(), timeout=1)
            sender, _ = server.accept()
    except OSError:
        return None
    with sender:
        if _gets_stamps(witness, sender):
            return witness
    witness.close()
    return None


def _gets_stamps(witness: socket.socket, sender: socket.socket) -> bool:
    deadline = time.perf_counter_ns() + _WARM_WITHIN_NS
    try:
        witness.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        while time.perf_counter_ns() < deadline:
            sender.send(b".")
            if witness.recvmsg(1, ANCILLARY)[1]:
                return True
    except OSError:
        return False
    return False
