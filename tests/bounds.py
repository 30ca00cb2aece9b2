"""No test goes on for ever, and which one failed is said at once: loaded by `tests/conftest.py`.

pytest-timeout fails a test that takes too long by raising in it. That is no bound where the way out is what
hangs, as waiting for a process is, and none at all once a test has failed: its clock is stopped then, before
fixtures are taken down. So a process that still runs such a test later is ended, and the stacks of all its
threads are written; xdist says which test it was, and goes on with the others in another process.
"""

import faulthandler
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import pytest

GRACE_S = 60
"""How long a test may take to end after its time is up, or after it has failed."""

_STDERR = pytest.StashKey[int]()


class Settings(Protocol):
    """What pytest-timeout knows of a test."""

    timeout: float


@pytest.hookimpl(trylast=True)  # once there is what writes to the terminal
def pytest_configure(config: pytest.Config) -> None:
    if terminal := config.pluginmanager.get_plugin("terminalreporter"):
        config.pluginmanager.register(AtOnce(terminal))
    assert sys.__stderr__ is not None
    config.stash[_STDERR] = os.dup(sys.__stderr__.fileno())  # itself, before what tests write there is kept


def pytest_timeout_set_timer(item: pytest.Item, settings: Settings) -> None:
    _end_after(settings.timeout + GRACE_S, item)


@pytest.hookimpl(trylast=True)  # pytest-timeout and pytest stop their clocks here
def pytest_exception_interact(node: pytest.Item | pytest.Collector) -> None:
    if isinstance(node, pytest.Item):
        _end_after(GRACE_S, node)


def pytest_timeout_cancel_timer() -> None:
    faulthandler.cancel_dump_traceback_later()


def _end_after(seconds: float, item: pytest.Item) -> None:
    faulthandler.dump_traceback_later(seconds, exit=True, file=item.config.stash[_STDERR])


@contextmanager
def started(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A process, waited for at the end, but killed before that where what is done with it fails.

    *options* are those of `subprocess.Popen`.
    """
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


class AtOnce:
    """Writes a line for each test that failed, while the others go on: a log that was cut off has it, too."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self.terminal = terminal

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            said = crash.message if crash else report.longreprtext
            line = f"failed: {report.nodeid} ({report.when}): {' '.join(said.split())[:300]}"
            self.terminal.write_line(f"\n{line}")
