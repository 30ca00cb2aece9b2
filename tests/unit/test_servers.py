"""Our servers end when they are told to, whatever the interpreter is doing just then."""

import subprocess
import sys

import pytest

VIEW = "from harness.view.server import listen, serve; serve(None, listen('127.0.0.1', 0), told)"
STANDIN = "from harness.standin.server import Options, serve; serve(Options(), lambda url: told())"
TOLD = """
import signal, weakref

class Thing: pass

def told():
    thing = Thing()
    gone = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGTERM))
    del thing  # the signal arrives within a callback, which lets no exception out
"""


@pytest.mark.slow
@pytest.mark.parametrize("server", [VIEW, STANDIN], ids=["view", "stand-in"])
def test_a_signal_within_a_callback_before_the_server_is_up_ends_it(server: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TOLD + server], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
