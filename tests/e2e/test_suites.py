"""Every suite that is shipped does what its header says, run as a user would, once for all tests here."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree as Xml

import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from harness.cli import app
from harness.journal import read
from harness.suite.model import Suite
from harness.suite.prompts import Expect
from harness.suite.read import load_suite

ROOT = Path(__file__).parents[2]
SUITES = sorted(path.stem for path in (ROOT / "suites").glob("*.yaml"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


class Ran(NamedTuple):
    """A suite that was run: what its command ended with and printed, where, and the folder of the run."""

    exit_code: int
    output: str
    where: Path
    folder: Path

    @property
    def manifest(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads((self.folder / "manifest.json").read_text())
        return told

    def table(self, name: str) -> pl.DataFrame:
        return pl.read_parquet(self.folder / f"{name}.parquet")


Runs = Callable[[str], Ran]


def promised(name: str) -> tuple[str, int]:
    """The command in the header of a suite, and the exit code that it promises."""
    text = (ROOT / "suites" / f"{name}.yaml").read_text()
    header = text[: text.index("\nsuite:")]
    found = re.search(rf"^#   (harness run suites/{name}\.yaml.*?) {{4,}}exit (\d)$", header, re.MULTILINE)
    assert found, f"suites/{name}.yaml: the header has no line `#   harness run suites/{name}.yaml    exit 0`"
    return found[1], int(found[2])


def workflow() -> list[str]:
    """The commands of the nightly workflow but for its installation, which `.ci/run` has done already."""
    told: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "ci" / "nightly.yml").read_text())
    install, *rest = (step["run"] for step in told["jobs"]["evaluate"]["steps"] if "run" in step)
    assert install.endswith("pip install --quiet -c .ci/constraints.txt .")
    return rest


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Runs a suite in a copy of the repository, the first time that it is asked for."""
    where = tmp_path_factory.mktemp("suites")
    shutil.copytree(ROOT / "suites", where / "suites")
    (where / ".venv").mkdir()
    (where / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("SIGMA_")}
    runner = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(where / "summary.md")}

    def shell(command: str, told: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", command], cwd=where, env=told, capture_output=True, text=True, check=False
        )

    @cache
    def ran(name: str) -> Ran:
        nightly = name == "nightly"
        *before, last = workflow() if nightly else [f".venv/bin/{promised(name)[0]}"]
        told = inherited | (runner if nightly else {})
        for command in before:
            assert shell(command, told).returncode == 0, command
        done = shell(last, told)
        folder = (where / "results" / name / "latest").resolve()
        return Ran(done.returncode, done.stdout + done.stderr, where, folder)

    return ran


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_ends_with_the_exit_code_that_its_header_promises(name: str, runs: Runs) -> None:
    ran, (_, code) = runs(name), promised(name)
    too_slow = ran.manifest["verdict"]["word"] == "client-bound"  # of this machine, and no word on the suite
    assert ran.exit_code in ({code, 3} if too_slow else {code}), ran.output
    assert ran.manifest["verdict"]["word"] != "server-saturated"
    assert ran.manifest["warnings"] == []
    assert "warning: " not in ran.output


@pytest.mark.parametrize("name", SUITES)
def test_no_trial_of_a_suite_is_in_error_or_invalid_or_was_cut(name: str, runs: Runs) -> None:
    states = runs(name).table("trials").group_by("state", "skip").len().rows()
    assert {state for state, _, _ in states} <= {"passed", "not_run"}, states
    assert {skip for state, skip, _ in states if state == "not_run"} <= {"decided"}, states


@pytest.mark.parametrize("name", SUITES)
def test_every_check_that_a_suite_names_is_made_and_answered(name: str, runs: Runs) -> None:
    grades = runs(name).table("grades")
    assert grades.filter(pl.col("passed").is_null()).height == 0
    named = {check.name for check in checks(load_suite(ROOT / "suites" / f"{name}.yaml"))}
    assert set(grades["type"]) >= named


def checks(suite: Suite) -> Iterator[Expect]:
    """All checks of a suite, with those inside of others."""
    for prompt in suite.prompts:
        yield from flat(prompt.assert_)
        for turn in prompt.turns or ():
            yield from flat(turn.assert_)


def flat(held: Iterable[Expect]) -> Iterator[Expect]:
    for check in held:
        yield check
        yield from flat(check.asserts)


def test_the_quick_start_leaves_everything_that_the_readme_says(runs: Runs) -> None:
    ran = runs("quickstart")
    for word in ("steady", "must-search", "policies-only", "deep", "TTFT p50", "tool calls"):
        assert word in ran.output
    assert "58/58 done" in ran.output
    assert f"results: results/quickstart/{ran.folder.name}" in ran.output
    exchanges, packets = ran.table("exchanges"), ran.table("packets")
    assert (len(ran.table("trials")), len(exchanges), len(packets)) == (58, 62, exchanges["packets"].sum())
    assert len(list(read(ran.folder / "journal-0.jsonl"))) == 58
    histograms = {path.stem.removeprefix("latency-") for path in ran.folder.glob("latency-*.hgrm")}
    assert {"steady-ttft", "steady-gap", "must-search-first_tool", "deep-total"} <= histograms
    assert not any("response" in name for name in histograms)
    assert (ran.manifest["exit_code"], ran.manifest["planned"]) == (ran.exit_code, 58)
    assert ran.manifest["suite_text"] == (ROOT / "suites" / "quickstart.yaml").read_text()


def test_the_nightly_workflow_runs_as_it_stands(runs: Runs) -> None:
    ran = runs("nightly")
    assert workflow()[-1] == f".venv/bin/{promised('nightly')[0]}"
    assert (ran.where / "summary.md").read_text().startswith("## ✅ nightly: pass"), ran.output
    junit = Xml.parse(ran.where / "junit.xml").getroot()  # noqa: S314
    names = [case.get("name") for case in junit.iter("testcase")]
    assert "pass_rate max_drop 10pp [candidate]" in names
    assert "faq/refund-eu" in names


def test_what_the_workflow_of_gitlab_keeps_is_there(runs: Runs) -> None:
    ran = runs("nightly")
    told = yaml.safe_load((ROOT / "docs" / "ci" / "gitlab-nightly.yml").read_text())["nightly"]
    for command in told["after_script"]:
        subprocess.run(["bash", "-e", "-c", command], cwd=ran.where, check=True)
    assert (ran.where / told["artifacts"]["reports"]["junit"]).is_file()
    (kept,) = told["artifacts"]["paths"]
    assert (ran.where / kept / "trials.parquet").is_file()
    assert not (ran.where / kept).is_symlink()


def test_the_judge_of_the_suite_for_a_regression_can_be_labelled(runs: Runs) -> None:
    results = ["--results", str(runs("regression").where / "results")]
    labelled = CliRunner().invoke(
        app, ["judge", "label", "regression", *results, "--sample", "4"], input="p\nf\np\nq\n"
    )
    assert "3 labelled now, 3 in all" in " ".join(labelled.stderr.split())
    again = CliRunner().invoke(app, ["grade", "regression", *results, "--json"])
    assert {row["agreement"]["n"] for row in json.loads(again.stdout)["judges"]} <= {1, 2, 3}


def test_prompts_of_a_table_have_its_topics_as_clusters(runs: Runs) -> None:
    cases = runs("from-data").table("cases")
    assert set(cases["cluster"]) <= {"money", "people", "security", "api", "product"}
    assert cases["tags"].to_list() == [["faq"]] * 10
