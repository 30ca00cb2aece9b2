"""Somebody at a terminal, who is asked something."""

import os
import pty
import signal
import subprocess
from collections.abc import Sequence

from tests.bounds import started

ASKED = b"[y/N]"


def answered(command: Sequence[str], *says: str | None) -> tuple[int, str]:
    """The exit code of *command*, and what was seen, where each question is answered so; None is a Ctrl-C."""
    ours, theirs = pty.openpty()
    left, seen, since = iter(says), b"", b""
    with started(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        while some := _read(ours):
            since += some
            if ASKED in since:
                _say(next(left), process, ours)
                seen, since = seen + since, b""
        process.wait()
    os.close(ours)
    return process.returncode, (seen + since).decode()


def _say(answer: str | None, process: "subprocess.Popen[bytes]", terminal: int) -> None:
    if answer is None:
        process.send_signal(signal.SIGINT)
    else:
        os.write(terminal, f"{answer}\n".encode())


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux says so where nobody has the other side open any more
        return b""
