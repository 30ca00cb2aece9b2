"""The nightly workflows of GitHub and GitLab are the same commands; `test_suites` runs them as they stand."""

import json
from pathlib import Path
from typing import Any

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


FIRST = ROOT / "harness" / "suite" / "first" / "gitlab.yml"
"""The job that `harness init --ci gitlab` writes."""


def test_gitlabs_own_schema_takes_its_workflow() -> None:
    jsonschema.validate(GITLAB, SCHEMA)
    jsonschema.validate(yaml.safe_load(FIRST.read_text()), SCHEMA)


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
