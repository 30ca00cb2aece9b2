"""Kernel stamps on our clock, and what happens when somebody sets the wall clock."""

import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from harness.drive.clock import KernelClock


@pytest.fixture
def clock() -> Iterator[KernelClock]:
    clock = KernelClock()
    yield clock
    clock.close()


def stamp_now() -> bytes:
    """What the kernel would hand out for a segment that comes in now."""
    return struct.pack("ll", *divmod(time.time_ns(), 1_000_000_000))


def test_a_stamp_lies_between_the_moments_around_it(clock: KernelClock) -> None:
    before = time.perf_counter_ns()
    raw = stamp_now()
    after = time.perf_counter_ns()
    assert before - 100_000 <= clock.monotonic(raw, after) <= after
    assert clock.steps == 0


@pytest.mark.skipif(sys.platform != "linux", reason="kernel stamps are Linux's")
def test_linux_gives_stamps(clock: KernelClock) -> None:
    assert clock.stamped


@pytest.mark.skipif(sys.platform != "linux", reason="kernel stamps are Linux's")
def test_stamps_can_be_left_out_as_on_a_machine_that_has_none() -> None:
    clock = KernelClock(enabled=False)
    with closing(clock), socket.socket() as sock:
        clock.stamp(sock)
        assert not clock.stamped
        assert sock.getsockopt(socket.SOL_SOCKET, 35) == 0  # SO_TIMESTAMPNS


@pytest.mark.parametrize("seconds", [-3600, -1, 1, 3600])
def test_a_step_of_the_wall_clock_is_counted_and_followed(clock: KernelClock, seconds: int) -> None:
    clock._offset -= seconds * 1_000_000_000  # as if it had been set by so much since we last looked
    before = time.perf_counter_ns()
    raw = stamp_now()
    after = time.perf_counter_ns()
    assert before - 100_000 <= clock.monotonic(raw, after) <= after
    assert clock.steps == 1


def test_a_stamp_after_the_read_is_taken_back_to_it_and_counted(clock: KernelClock) -> None:
    seen = time.perf_counter_ns()
    seconds, nanoseconds = divmod(time.time_ns() + 1_000_000, 1_000_000_000)
    assert clock.monotonic(struct.pack("ll", seconds, nanoseconds), seen) == seen
    assert clock.clamped == 1


def test_noise_of_the_samples_does_not_move_the_offset(clock: KernelClock) -> None:
    offset, width = clock._offset, clock._width
    for _ in range(200):
        clock._sample()
    assert abs(clock._offset - offset) <= width
    assert clock._width <= width
    assert clock.steps == 0
