"""What bounds the tests, itself: a test that hangs is ended and named, and leaves no process behind."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.bounds import started

ROOT = Path(__file__).parents[2]
HANGS = """
import subprocess, sys, pytest

WAITS = [sys.executable, "-c", "import sys; sys.stdin.read()"]

@pytest.fixture
def server():
    with subprocess.Popen(WAITS, stdin=subprocess.PIPE) as process:
        yield process
        process.wait()

def test_that_fails_and_then_waits(server):
    assert server is None, "it failed"
"""
PYTEST = """
import sys
import pytest
from tests import bounds
bounds.GRACE_S = 0.5
pytest.main(["-p", "no:cacheprovider", *sys.argv[1:]], plugins=[bounds])
"""


@pytest.mark.slow
def test_a_test_that_hangs_after_it_failed_is_named_and_its_process_is_ended_with_its_stacks(
    tmp_path: Path,
) -> None:
    (tmp_path / "test_hangs.py").write_text(HANGS)
    done = subprocess.run(
        [sys.executable, "-c", PYTEST, "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 1
    assert (
        "failed: test_hangs.py::test_that_fails_and_then_waits (call): AssertionError: it failed"
        in done.stdout
    )
    assert "Timeout" in done.stderr
    assert 'test_hangs.py", line 10 in server' in done.stderr


def test_a_process_is_killed_where_what_is_done_with_it_fails() -> None:
    waits = [sys.executable, "-c", "input()"]
    with pytest.raises(ZeroDivisionError), started(waits, stdin=subprocess.PIPE) as process:
        raise ZeroDivisionError
    assert process.returncode == -9
