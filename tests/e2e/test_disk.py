"""A disk that is full, read-only or taken away ends a run with 4; what was recorded is whole, and goes on."""

import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest

from harness.errors import Exit
from harness.journal import JOURNAL, read
from tests.program import HARNESS

pytestmark = pytest.mark.slow

SUITE = """
suite: small
target: standin
defaults: {repeat: 60}
variants:
  plain: {llm_override: {model_provider: Simulated, model_version: "sim:tokens=REPLY"}}
prompts: [{id: hello, message: hello, assert: [{type: stream-complete}]}]
"""


def suite(folder: Path, *, tokens: int) -> Path:
    path = folder / "suite.yaml"
    path.write_text(SUITE.replace("REPLY", str(tokens)))
    return path


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )


def mounted(options: str, path: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`harness run` whose results are on a file system of its own, of which there is a copy in `kept`."""
    if run("unshare", "-rm", "mount", "-t", "tmpfs", "none", cwd, cwd=cwd).returncode != 0:
        pytest.skip("this machine lets nobody mount a file system of his own")
    (cwd / "results").mkdir()
    script = (
        f'mount -t tmpfs -o {options} none results && {{ "$@"; code=$?; cp -r results kept; exit $code; }}'
    )
    return run("unshare", "-rm", "bash", "-c", script, "bash", *HARNESS, "run", path, cwd=cwd)


def test_a_full_disk_ends_the_run_and_the_run_goes_on_where_there_is_room(tmp_path: Path) -> None:
    done = mounted("size=200k", suite(tmp_path, tokens=100), tmp_path)
    assert done.returncode == Exit.ENVIRONMENT, done.stderr
    assert f"{JOURNAL}: cannot be written: No space left on device; what was recorded before is whole" in (
        done.stderr
    )
    assert "Traceback" not in done.stderr
    (kept,) = (tmp_path / "kept" / "small").glob("2*")
    recorded = [one.trial_id for one in read(kept / JOURNAL)]
    assert 0 < len(recorded) < 60
    assert f"harness run --resume {kept.name}" in done.stderr

    again = run(*HARNESS, "run", "--resume", kept, cwd=tmp_path)
    assert again.returncode == Exit.OK, again.stderr
    assert f"with {len(recorded)} of 60 trials done" in again.stderr
    trials = pl.read_parquet(kept / "trials.parquet")
    assert len(trials) == trials["trial_id"].n_unique() == 60


def test_a_read_only_folder_is_said_to_be_one_before_anything_is_sent(tmp_path: Path) -> None:
    done = mounted("ro", suite(tmp_path, tokens=5), tmp_path)
    assert done.returncode == Exit.ENVIRONMENT, done.stderr
    assert "cannot be made: Read-only file system; choose another place with --results" in done.stderr
    assert "done ·" not in done.stderr


def test_a_folder_that_is_deleted_under_a_run_ends_it(tmp_path: Path) -> None:
    slow = suite(tmp_path, tokens=5).read_text().replace("sim:tokens=5", "sim:ttft=1s,gap=1s,tokens=30")
    path = tmp_path / "slow.yaml"
    path.write_text(slow)
    with subprocess.Popen(
        [*HARNESS, "run", str(path)],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            while (
                not (found := list(tmp_path.glob(f"results/*/2*/{JOURNAL}"))) or not found[0].stat().st_size
            ):
                assert process.poll() is None
            shutil.rmtree(found[0].parent)
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == Exit.ENVIRONMENT, said
    assert f"{JOURNAL}: was deleted or replaced while the run went on" in said
    assert "Traceback" not in said
