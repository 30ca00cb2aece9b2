"""A process that has run out of files or of ports, and drives trials all the same; says what came of it.

    crowded.py LOOP files URL    so few files are left that some of the trials can connect, and not all
    crowded.py LOOP names        none is left to look up a name
    crowded.py LOOP ports        in a network of its own, with two ports to connect from

Prints a line of JSON. Exits with 77 where this system gives no network of one's own.
"""

import ctypes
import fcntl
import json
import os
import resource
import socket
import struct
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import anyio

from harness.drive.pool import drive
from harness.drive.reins import Reins
from harness.drive.transport import StampedTransport
from harness.errors import HarnessError
from harness.result import Result
from harness.sigma.client import Address, Client
from harness.suite.phases import Phase
from tests.drive.test_attempt import trial

NEW_USER, NEW_NET = 0x10000000, 0x40000000
SET_FLAGS, UP = 0x8914, 1
FILES = 64
NO_NETWORK = 77


def fill_the_table(leave: int) -> None:
    """Open files until no more can be, and give *leave* back."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    held: list[int] = []
    with suppress(OSError):
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    for file in held[:leave]:
        os.close(file)


def move_out() -> None:
    """Into a network of our own, in which two ports are there to connect from."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_NET if os.geteuid() == 0 else NEW_USER | NEW_NET) != 0:
        sys.exit(NO_NETWORK)
    try:
        with socket.socket() as sock:
            fcntl.ioctl(sock, SET_FLAGS, struct.pack("16sh", b"lo", UP))
        Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("40000 40001")
    except OSError:
        sys.exit(NO_NETWORK)


async def driven(url: str, leave: int | None = None) -> dict[str, Any]:
    """What came of eight trials at once; the table is filled once the loop has its own files."""
    results: list[Result] = []
    told: HarnessError | None = None
    await anyio.to_thread.run_sync(int)
    async with StampedTransport() as transport:
        if leave is not None:
            fill_the_table(leave)
        trials = [trial(f"sim:ttft=0,tokens={number}") for number in range(1, 9)]
        try:
            await drive(
                trials,
                Phase(workers=len(trials)),
                lambda: Client(Address(url), transport),
                results.append,
                reins=Reins(),
            )
        except HarnessError as error:
            told = error
    return {
        "told": str(told),
        "kind": type(told).__name__,
        "exit_code": told and int(told.exit_code),
        "faults": [str(one.failure) for one in results if one.failure is not None],
    }


def main() -> None:
    loop, what, *where = sys.argv[1:]
    options = {"use_uvloop": loop == "uvloop"}
    match what:
        case "files":
            told = anyio.run(driven, where[0], 2, backend_options=options)
        case "names":
            told = anyio.run(driven, "http://localhost:9", 0, backend_options=options)
        case _:
            move_out()
            with closing(socket.create_server(("127.0.0.1", 9000))):  # takes them, and says nothing
                told = anyio.run(driven, "http://127.0.0.1:9000", backend_options=options)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
