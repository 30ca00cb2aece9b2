"""The nightly workflows run as they stand: their steps, in order, in a copy of the repository.

Those of GitHub and of GitLab are the same commands, so one run is of both.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
GITHUB: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "ci" / "nightly.yml").read_text())
GITLAB: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "ci" / "gitlab-nightly.yml").read_text())
SCHEMA = json.loads((ROOT / "tests" / "docs" / "gitlab" / "ci.schema.json").read_text())


def of_github() -> list[str]:
    return [step["run"] for step in GITHUB["jobs"]["evaluate"]["steps"] if "run" in step]


def of_gitlab() -> list[str]:
    return list(GITLAB["nightly"]["script"])


def test_both_workflows_are_the_same_commands() -> None:
    assert of_github() == of_gitlab()


def test_gitlabs_own_schema_takes_its_workflow() -> None:
    jsonschema.validate(GITLAB, SCHEMA)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("allow_failure", {"exit_codes": ["inconclusive"]}),
        ("artifacts", {"paths": ["night/"], "reports": {"junitt": "junit.xml"}}),
        ("cache", {"when": "ever"}),
        ("script", 3),
    ],
)
def test_gitlabs_own_schema_refuses_what_is_wrong(key: str, value: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"nightly": GITLAB["nightly"] | {key: value}}, SCHEMA)


def test_gitlab_is_told_that_inconclusive_is_no_failure_and_nothing_else() -> None:
    assert GITLAB["nightly"]["allow_failure"] == {"exit_codes": [3]}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_workflows_run_as_they_stand(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "suites", tmp_path / "suites")
    binaries = Path(shutil.which("harness") or "").parent
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(binaries)
    summary = tmp_path / "summary.md"
    runner = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    install, *rest = of_github()  # the installation is what `.ci/run` has done already
    assert install.endswith("pip install --quiet -c .ci/constraints.txt .")
    for command in (*rest, *GITLAB["nightly"]["after_script"]):
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
    junit = GITLAB["nightly"]["artifacts"]["reports"]["junit"]
    names = [case.get("name") for case in Xml.parse(tmp_path / junit).getroot().iter("testcase")]  # noqa: S314
    assert "pass_rate max_drop 10pp [candidate]" in names
    assert "faq/refund-eu" in names
    (kept,) = GITLAB["nightly"]["artifacts"]["paths"]
    assert (tmp_path / kept / "trials.parquet").is_file()
    assert not (tmp_path / kept).is_symlink()
