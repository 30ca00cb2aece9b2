"""The fuzzing of every check with a hundred times the examples, and a fuzzer that follows branches."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.readers import READERS
from tests.properties.test_fuzzing import EXAMPLES, fuzz

pytestmark = [pytest.mark.endurance, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("name", READERS)
def test_a_hundred_times_the_examples_find_nothing_more(name: str) -> None:
    fuzz(name, 100 * EXAMPLES)


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris, of the group `fuzz`, is missing"
)
@pytest.mark.parametrize("name", READERS)
def test_a_minute_of_following_the_branches_finds_nothing(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz", name, "--seconds", "60"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, timeout=600, check=False)
    (tmp_path / "told").write_bytes(done.stderr)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-4000:]
