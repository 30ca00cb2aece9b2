"""Stand-ins in processes of their own, and the event loop of the product."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest


@dataclass(frozen=True, slots=True)
class Standin:
    url: str
    pid: int


@contextmanager
def serving(*options: str, **environment: str) -> Iterator[Standin]:
    """A stand-in started with these options of `harness serve`; ended by its process id."""
    command = [sys.executable, "-m", "harness", "serve", "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | environment)
    assert process.stdout is not None
    try:
        ready = process.stdout.readline().split()
        assert ready[:1] == ["ready"], f"no ready line but {ready}"
        yield Standin(ready[1], process.pid)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(10)
        process.stdout.close()


@pytest.fixture(scope="session")
def sigma() -> Iterator[Standin]:
    """A stand-in that speaks as the guide says."""
    with serving("--dialect", "sigma", "--with-parent") as standin:
        yield standin


@pytest.fixture(scope="session")
def onyx() -> Iterator[Standin]:
    """A stand-in that speaks as real servers do."""
    with serving("--dialect", "onyx", "--with-parent") as standin:
        yield standin


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}
