"""Killed at any moment, a run leaves what had happened and nothing that did not."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.journal import moments, read

pytestmark = [pytest.mark.endurance, pytest.mark.timeout(600)]

SUITE = """
suite: killed
target: standin
defaults: {repeat: 400}
variants:
  plain: {llm_override: {model_provider: Simulated, model_version: "sim:ttft=5ms,gap=1ms,tokens=20"}}
prompts: [{id: hello, message: hello}]
load: {workers: 8}
"""


def children_of(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def gone(pid: int, within_s: float = 10) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
    return False


@pytest.mark.parametrize("moment", range(12))
def test_a_kill_at_any_moment_loses_at_most_the_line_being_written_and_leaves_no_stand_in(
    tmp_path: Path, moment: int
) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text(SUITE)
    command = [sys.executable, "-m", "harness", "run", str(suite)]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as run:
        assert run.stderr is not None
        progress = iter(run.stderr.readline, b"")
        assert next(line for line in progress if re.search(rb"\b[1-9]\d*/400 done", line))
        children = children_of(run.pid)
        deadline = time.monotonic() + 0.12 * moment
        while time.monotonic() < deadline and run.poll() is None:
            pass
        run.kill()
    assert children
    assert all(gone(child) for child in children)
    (journal,) = tmp_path.glob("results/killed/2*/journal-0.jsonl")
    whole = journal.read_bytes()
    results = list(read(journal))
    assert results
    assert len(results) + len(moments(journal)) == whole.count(b"\n")
    assert all(one.exchanges and one.failure is None for one in results)
    assert len({one.trial_id for one in results}) == len(results)
