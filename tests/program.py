"""The program as its users start it: in a process of its own; or in this one, which is quicker."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from typer.testing import CliRunner, Result

from harness.cli import app

HARNESS = [sys.executable, "-m", "harness"]


def harness(
    *args: str | Path, cwd: Path, timeout_s: float = 60, **environment: str
) -> subprocess.CompletedProcess[str]:
    """What a command does in *cwd*, with this in its environment; of ours that is around it gets nothing."""
    return subprocess.run(
        [*HARNESS, *map(str, args)],
        cwd=cwd,
        env=_around(environment),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def harness_here(*args: str | Path, keys: str | None = None) -> Result:
    """What a command does in this process, in its folder and environment, when somebody types *keys*."""
    return CliRunner().invoke(app, [*map(str, args)], input=keys)


@contextmanager
def going(
    cwd: Path, *args: str | Path, until: Callable[[Path], bool], **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """`harness run` in *cwd*, once its folder has come so far; whatever is left of it is killed."""
    with subprocess.Popen(
        [*HARNESS, "run", *map(str, args)],
        cwd=cwd,
        env=_around(environment),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            while not any(until(found) for found in cwd.glob("results/*/2*")):
                assert process.poll() is None, process.stderr and process.stderr.read()
                os.sched_yield()
            yield process
        finally:
            process.kill()


def _around(environment: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("SIGMA_")} | environment
