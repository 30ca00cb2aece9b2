"""A source of streams to measure against: our own, or the program that HARNESS_STREAMSERVER names.

The program is started as `FILE PORT`; it has to understand the paths of `harness.calibrate.source` and write
the same stamps.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def our_source() -> Iterator[tuple[str, int]]:
    command = [sys.executable, "-m", "harness.calibrate.source"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[1], process.pid
        finally:
            process.kill()


@contextmanager
def native_source(binary: str) -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([binary, str(port)], stdout=subprocess.DEVNULL) as process:
        try:
            while not _accepts(port):
                continue
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            process.terminate()


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


@contextmanager
def serving_streams() -> Iterator[tuple[str, int]]:
    """The URL of a source, and the id of its process."""
    native = os.environ.get("HARNESS_STREAMSERVER")
    with native_source(native) if native else our_source() as found:
        yield found
