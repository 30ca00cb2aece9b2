"""The README says what there is, and what it says works."""

import re
from pathlib import Path

import polars as pl
import pytest
import typer.main

from harness.cli import app
from harness.suite.asserts import TYPES
from harness.suite.model import SuiteFile
from harness.suite.phases import Phase
from harness.suite.prompts import UNBUILT
from harness.suite.read import load_suite, parse_suite
from harness.suite.settings import Settings
from tests.checks_reference import reference

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
COMMANDS = typer.main.get_group(app).commands


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name: str) -> None:
    assert f"`harness {name}" in README


def test_every_option_of_run_is_in_the_readme() -> None:
    (row,) = (line for line in README.splitlines() if line.startswith("| `harness run SUITE"))
    options = {
        parameter.opts[0] for parameter in COMMANDS["run"].params if parameter.opts[0].startswith("--")
    }
    assert {option for option in options if option not in row} == set()


@pytest.mark.parametrize(
    "key",
    [
        field.alias or name
        for model in (SuiteFile, Settings)
        for name, field in model.model_fields.items()
        if UNBUILT not in field.metadata
    ],
)
def test_every_suite_key_is_in_the_readme(key: str) -> None:
    assert f"`{key}`" in README


def test_the_suites_of_the_readme_load() -> None:
    suites = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert suites
    for text in suites:
        parse_suite(
            text, Path("smoke.yaml"), {"SIGMA_URL": "https://sigma.example.com", "SIGMA_API_KEY": "k"}
        )


def test_what_is_said_not_to_be_built_is_refused() -> None:
    (sentence,) = re.findall(r"planned but not built \((.*?)\)", README)
    keys = set(re.findall(r"`(\w+)`", sentence))
    unbuilt = {name for name, field in SuiteFile.model_fields.items() if UNBUILT in field.metadata}
    assert unbuilt <= keys


def test_the_reference_of_checks_is_that_of_the_models() -> None:
    told = (ROOT / "docs" / "checks.md").read_text()
    missing = [line for line in reference() if line not in told]
    assert missing == [], "python -m tests.checks_reference prints what belongs there"
    listed = set(re.findall(r"^\| (`[^|]*`) \|", told, re.MULTILINE))
    types = {name for row in listed for name in re.findall(r"`([^`]+)`", row)}
    assert set(TYPES) - {"assert-set"} <= types


def test_the_page_on_checks_has_suites_that_load() -> None:
    told = (ROOT / "docs" / "checks.md").read_text()
    checks = re.findall(r"```yaml\n(assert:.*?)```", told, re.DOTALL)
    assert checks
    for text in checks:
        asserts = "\n".join(f"    {line}" for line in text.splitlines())
        parse_suite(
            f"target: standin\njudge: self\nprompts:\n  - message: a\n{asserts}\n", Path("s.yaml"), {}
        )


@pytest.mark.parametrize("path", sorted((ROOT / "suites").glob("*.yaml")), ids=lambda path: path.name)
def test_every_suite_that_is_shipped_loads(path: Path) -> None:
    assert load_suite(path, environ={"SIGMA_URL": "https://sigma.example.com", "SIGMA_API_KEY": "k"}).prompts


def test_the_loads_of_the_page_on_loads_are_read(tmp_path: Path) -> None:
    columns = {"trial_id": ["t"], "variant": ["base"], "case_id": ["p"], "phase": ["peak"], "due_ns": [5]}
    pl.DataFrame({**columns, "began_ns": [6]}).write_parquet(tmp_path / "last-night.parquet")
    (tmp_path / "production.csv").write_text("due_s\n0\n28900\n")
    head = "target: standin\nvariants: {base: {}, deep: {}, candidate: {}}\nprompts: [{id: p, message: hi}]\n"
    told = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "loads.md").read_text(), re.DOTALL)
    phases = [parse_suite(head + text, tmp_path / "s.yaml", {}).load for text in told]
    assert {key for load in phases for phase in load.values() for key in phase.model_fields_set} == set(
        Phase.model_fields
    ), "every key of a phase has an example"
