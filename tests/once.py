"""What several modules start from, made once for all processes of a test run; whoever asks gets a copy."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A copy, one's own, of the folder that *make* has filled; it is called by the first that asks.

    pytest-xdist gives each of its processes a folder of its own; the one above is everybody's.
    """
    own = factory.getbasetemp()
    above = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    made = above / f"made-once-{name}"
    with (above / f"{made.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            partial = above / f"{made.name}.partial"
            partial.mkdir()
            make(partial)
            partial.rename(made)
    copy = factory.mktemp(name) / "copy"
    shutil.copytree(made, copy, symlinks=True)
    return copy
