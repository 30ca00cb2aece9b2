"""A machine that has no files or ports left ends the run, with the remedy; it is no fault of Sigma's."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Standin
from tests.drive.crowded import NO_NETWORK

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="counts the files and ports of Linux"),
    pytest.mark.parametrize("loop", ["uvloop", "asyncio"]),
]


def crowded(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-W", "error", "-m", "tests.drive.crowded", *arguments]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    if said.returncode == NO_NETWORK:
        pytest.skip("this system gives no network of one's own")
    assert said.returncode == 0, said.stderr
    assert said.stderr == ""
    told: dict[str, Any] = json.loads(said.stdout)
    return told


def test_a_full_file_table_ends_the_run_and_is_no_fault_of_the_server(sigma: Standin, loop: str) -> None:
    told = crowded(loop, "files", sigma.url)
    assert (told["kind"], told["exit_code"], told["faults"]) == ("MachineError", 4, [])
    assert "this process has all the files open that it may (64)" in told["told"]
    assert "ulimit -n, or use fewer workers" in told["told"]


def test_a_name_that_cannot_be_looked_up_for_want_of_files_is_no_name_that_does_not_exist(loop: str) -> None:
    told = crowded(loop, "names")
    assert (told["kind"], told["exit_code"], told["faults"]) == ("MachineError", 4, [])
    assert told["told"].startswith("no name can be looked up: this process has all the files open")


def test_ports_that_are_used_up_end_the_run_and_are_no_fault_of_the_server(loop: str) -> None:
    told = crowded(loop, "ports")
    assert (told["kind"], told["exit_code"], told["faults"]) == ("MachineError", 4, [])
    assert "this machine has no free port left" in told["told"]
    assert "net.ipv4.ip_local_port_range" in told["told"]
