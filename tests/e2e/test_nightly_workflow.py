"""The nightly workflow runs as it stands: its steps, in order, in a copy of the repository."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
import yaml

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def steps() -> list[str]:
    """The commands of the workflow but for its installation, which `.ci/run` has done already."""
    told: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "ci" / "nightly.yml").read_text())
    found = [step["run"] for step in told["jobs"]["evaluate"]["steps"] if "run" in step]
    install, *rest = found
    assert install.endswith("pip install --quiet -c .ci/constraints.txt .")
    return rest


def test_the_workflow_runs_as_it_stands(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "suites", tmp_path / "suites")
    binaries = Path(shutil.which("harness") or "").parent
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(binaries)
    summary = tmp_path / "summary.md"
    runner = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    for command in steps():
        done = subprocess.run(
            ["bash", "-e", "-c", command],
            cwd=tmp_path,
            env=os.environ | runner,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert summary.read_text().startswith("## ✅ nightly: pass")
    names = [case.get("name") for case in Xml.parse(tmp_path / "junit.xml").getroot().iter("testcase")]  # noqa: S314
    assert "pass_rate max_drop 10pp [candidate]" in names
    assert "faq/refund-eu" in names
