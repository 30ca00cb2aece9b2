"""`harness init` as a user runs it: what it writes runs as it stands."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.errors import Exit, TargetError, UsageError
from harness.suite.first import JOBS, Names, can_stand, job_text, secrets_text, suite_text
from harness.suite.read import load_suite, parse_suite
from harness.suite.schema import FIRST_LINE, schema_text
from tests.conftest import Standin
from tests.program import harness_here

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {"SIGMA_URL": "https://sigma.example.com", "SIGMA_API_KEY": "a-key-of-mine"}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("SIGMA_URL", "SIGMA_API_KEY", "SIGMA_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.slow
def test_a_first_suite_runs_against_the_stand_in_as_it_was_written_before_anything_is_set() -> None:
    done = harness_here("init")
    assert done.exit_code == Exit.OK, done.output
    assert done.stdout.split() == ["suite.yaml", "suite.schema.json", ".env.example"]
    assert Path("suite.yaml").read_text().startswith(f"{FIRST_LINE}\n")
    assert Path("suite.schema.json").read_text() == schema_text()
    assert 'harness check "$SIGMA_URL"' in done.stderr
    assert "keep .env and results/ out of the repository" in done.stderr
    ran = harness_here("run", "suite.yaml", "--target", "standin", "-q")
    assert ran.exit_code == Exit.OK, ran.output


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_with_names_of_a_sigma_the_nightly_job_runs_as_it_was_written(
    onyx: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGMA_URL", onyx.url)
    done = harness_here("init", "mine", "--ci", "github")
    assert done.exit_code == Exit.OK, done.output
    folder = Path("mine")
    assert (folder / ".gitignore").read_text().split() == ["results/", ".env", ".venv/"]
    assert f"SIGMA_URL={onyx.url}\n" in (folder / ".env.example").read_text()
    suite = load_suite(folder / "suite.yaml")
    assert suite.target.dialect == "onyx"
    override, search = suite.variants["other-model"].llm_override, suite.prompts[-1].search_filters
    assert override is not None
    assert (override.model_provider, override.model_version) == ("Simulated", "thinker")
    assert search is not None
    assert search.document_set == ("Policies",)
    (folder / ".venv").mkdir()
    (folder / ".venv" / "bin").symlink_to(Path(shutil.which("harness") or "").parent)
    install, *steps = commands(yaml.safe_load((folder / JOBS["github"]).read_text()))
    assert 'pip install --quiet "sigma-harness' in install
    for step in steps:
        ran = subprocess.run(
            ["bash", "-e", "-c", step],
            cwd=folder,
            env=dict(os.environ),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == Exit.OK, f"{step}\n{ran.stdout}\n{ran.stderr}"
    assert (folder / "junit.xml").exists()


def commands(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["jobs"]["evaluate"]["steps"] if "run" in step]


def test_what_is_there_is_not_overwritten_and_nothing_is_written_beside_it() -> None:
    Path("suite.yaml").write_text("mine")
    error = harness_here("init").exception
    assert isinstance(error, UsageError)
    assert str(error).startswith("suite.yaml: it is there already; --force overwrites")
    assert [path.name for path in Path().iterdir()] == ["suite.yaml"]
    assert harness_here("init", "--ci", "gitlab", "--force").exit_code == Exit.OK
    assert {path.name for path in Path().iterdir()} == {
        *("suite.yaml", "suite.schema.json", ".env.example"),
        JOBS["gitlab"],
    }
    assert "suite: first" in Path("suite.yaml").read_text()


def test_a_suite_that_is_there_gets_a_nightly_job_and_stays_as_it_is() -> None:
    Path("suite.yaml").write_text("mine")
    done = harness_here("init", "--ci", "gitlab")
    assert (done.exit_code, done.stdout) == (Exit.OK, f"{JOBS['gitlab']}\n")
    assert done.stderr == f"{JOBS['gitlab']} belongs at the root of the repository\n"
    assert {path.name for path in Path().iterdir()} == {"suite.yaml", JOBS["gitlab"]}
    assert Path("suite.yaml").read_text() == "mine"
    assert isinstance(harness_here("init", "--ci", "gitlab").exception, UsageError)
    for_names = harness_here("init", "--ci", "github", "--target", "standin").exception
    assert str(for_names).startswith("suite.yaml: it is there already")


@pytest.mark.parametrize("folder", ["evals", "some evals/it's"])
def test_the_job_of_a_suite_within_a_repository_is_at_its_root_and_works_in_the_suites_folder(
    folder: str,
) -> None:
    Path(".git").mkdir()
    assert harness_here("init", folder, "--ci", "github").exit_code == Exit.OK
    done = harness_here("init", folder, "--ci", "gitlab")
    assert (done.exit_code, done.stdout, done.stderr) == (Exit.OK, f"{JOBS['gitlab']}\n", "")
    job = yaml.safe_load(Path(JOBS["github"]).read_text())["jobs"]["evaluate"]
    assert job["defaults"] == {"run": {"working-directory": folder}}
    assert job["steps"][-1]["with"]["path"] == f"{folder}/junit.xml\n{folder}/results/\n"
    job = yaml.safe_load(Path(JOBS["gitlab"]).read_text())["nightly"]
    for script in ("script", "after_script"):
        moved = subprocess.check_output(["bash", "-c", f"{job[script][0]} && pwd"], text=True)
        assert moved.strip() == str(Path(folder).resolve())
    assert job["artifacts"]["paths"] == [f"{folder}/night/"]
    assert job["artifacts"]["reports"]["junit"] == f"{folder}/junit.xml"
    assert job["cache"][1]["paths"] == [f"{folder}/results/"]


def test_without_a_gate_an_error_of_sigma_fails_the_nightly_job() -> None:
    assert "allow_failure" not in yaml.safe_load(job_text("gitlab"))["nightly"]


def test_a_sigma_that_is_away_is_an_error_where_it_is_named_and_else_leaves_the_names_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    away = "http://127.0.0.1:9"
    assert isinstance(harness_here("init", "--target", away).exception, TargetError)
    assert list(Path().iterdir()) == []
    monkeypatch.setenv("SIGMA_URL", away)
    done = harness_here("init")
    assert done.exit_code == Exit.OK
    assert "the examples have no names of it" in done.stderr
    assert "# other-model:" in Path("suite.yaml").read_text()


def test_the_file_of_a_suite_is_no_target_of_a_first_one() -> None:
    Path("mine.yaml").write_text(
        "target: {base_url: 'http://127.0.0.1:9'}\nprompts: [{id: a, message: hi}]\n"
    )
    error = harness_here("init", "first", "--target", "mine.yaml").exception
    assert isinstance(error, UsageError)
    assert "the URL of a Sigma is wanted" in str(error)
    assert not Path("first").exists()


@pytest.mark.parametrize("name", ["", "a\u202eb", "{{ x }}", "{% raw %}", "{# x #}"])
def test_a_name_that_no_suite_can_hold_is_in_no_example(name: str) -> None:
    assert not can_stand(name)


@pytest.mark.parametrize("name", ["gpt-5", "true", 'a "b" {c}: #1', "${HOME}", "Ünïcode 中", "1.5"])
def test_every_name_that_can_stand_in_a_suite_is_read_as_it_is(name: str) -> None:
    text = suite_text({"base_url": "${SIGMA_URL}"}, Names(name, name, "internal_search", name, name))
    suite = parse_suite(text, Path("suite.yaml"), ENVIRONMENT)
    override, search = suite.variants["other-model"].llm_override, suite.prompts[-1].search_filters
    assert override is not None
    assert (override.model_provider, override.model_version) == (name, name)
    assert search is not None
    assert search.document_set == (name,)


@pytest.mark.parametrize(("forge", "file"), [("github", "nightly.yml"), ("gitlab", "gitlab-nightly.yml")])
def test_the_nightly_job_is_that_of_the_documentation(forge: str, file: str) -> None:
    shipped = ROOT / "harness" / "suite" / "first" / f"{forge}.yml"
    assert shipped.read_text() == (ROOT / "docs" / "ci" / file).read_text()
    job = job_text(forge)
    assert "harness run suite.yaml --junit junit.xml\n" in job
    assert not any(
        word in job for word in ("suites/", "nightly.yaml", "constraints", "#   SIGMA", "stand-in")
    )
    assert yaml.safe_load(job).keys() >= {"nightly" if forge == "gitlab" else "jobs"}


def test_secrets_are_told_of_in_a_file_that_a_shell_can_read(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text(secrets_text("http://sigma:8080/$(id)/api"))
    command = f'set -a; . {file}; printf %s "$SIGMA_URL"'
    assert subprocess.check_output(["sh", "-c", command], text=True) == "http://sigma:8080/$(id)/api"
