"""Asking again what failed, and being asked before much is spent: one whole run, and what follows it."""

import json
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from harness.errors import UsageError
from tests.conftest import Standin
from tests.once import once
from tests.program import harness_here
from tests.terminal import answered

pytestmark = pytest.mark.slow

SUITE = """
suite: s
target: {base_url: "${SIGMA_URL}", dialect: sigma}
defaults:
  repeat: 2
  llm_override: {model_provider: Simulated, model_version: "sim:ttft=1ms,gap=0ms,tokens=3"}
prompts:
  - {id: bad, message: "bad?", assert: [{type: starts-with, value: never}]}
  - {id: good, message: "good?", assert: [stream-complete]}
gates: {rules: [{metric: pass_rate, min: 50%}]}
load: {workers: 4}
"""


def ran(folder: Path) -> None:
    """One whole run, of which one of two prompts failed."""
    (folder / "s.yaml").write_text(SUITE)
    done = harness_here("run", folder / "s.yaml", "-q", "--results", folder / "results")
    assert done.exit_code == 1, done.output


@pytest.fixture
def at(tmp_path_factory: pytest.TempPathFactory, sigma: Standin, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIGMA_URL", sigma.url)
    folder = once(tmp_path_factory, "rerun", ran)
    monkeypatch.chdir(folder)
    return folder


def runs(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("results/s/2*"))


def manifest(folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return told


def test_what_failed_is_asked_again_in_a_run_that_says_so(at: Path) -> None:
    (whole,) = runs(at)
    again = harness_here("run", "s.yaml", "--rerun", "failed")
    assert again.exit_code == 1, again.output
    (rerun,) = {*runs(at)} - {whole}
    sent = pl.read_parquet(rerun / "trials.parquet")
    failed = pl.read_parquet(whole / "trials.parquet").filter(pl.col("state") == "failed")
    assert set(sent["trial_id"]) == set(failed["trial_id"])
    assert manifest(rerun)["rerun"] == {"of": whole.name, "states": ["failed"], "gone": []}
    says = f"a rerun of what ended as failed in {whole.name}"
    assert says in re.sub(r"\s+", " ", again.stdout)
    assert json.loads((rerun / "summary.json").read_text())["rerun"]["of"] == whole.name
    _refused("gate", rerun.name)
    _refused("baseline", "set", rerun.name, "green", "--anyway")
    assert harness_here("grade", rerun.name, "-q").exit_code == 1
    assert manifest(rerun)["rerun"]["of"] == whole.name
    first = harness_here("plan", "s.yaml", "--rerun", "failed", "--limit", "1", "--offline")
    assert "a rerun of 1 of them" in first.stderr
    planned = harness_here("plan", "s.yaml", "--rerun", "failed", "--offline")
    assert {line.split()[0] for line in planned.stdout.splitlines()[1:]} == set(failed["trial_id"])
    assert whole.name in planned.stderr
    left = harness_here("run", "s.yaml", "--rerun", "error,invalid")
    assert (left.exit_code, "nothing is left to rerun" in left.stderr) == (0, True)
    listed = json.loads(harness_here("runs", "--json").stdout)
    told = {each["run_id"]: each["rerun"] and each["rerun"]["of"] for each in listed}
    assert told == {whole.name: None, rerun.name: whole.name}


def _refused(*args: str) -> None:
    refused = harness_here(*args)
    assert isinstance(refused.exception, UsageError), args
    assert "rerun" in str(refused.exception)


def test_a_rerun_that_was_killed_goes_on_as_one(at: Path) -> None:
    (whole,) = runs(at)
    harness_here("run", "s.yaml", "--rerun", "failed", "-q")
    (rerun,) = {*runs(at)} - {whole}
    journal = rerun / "journal-0.jsonl"
    first = next(line for line in journal.read_bytes().splitlines(keepends=True) if b'"trial_id"' in line)
    journal.write_bytes(first)
    told = manifest(rerun) | {"exit_code": None, "ended_ns": None}
    (rerun / "manifest.json").write_text(json.dumps(told))
    went_on = harness_here("run", "--resume", rerun.name)
    assert went_on.exit_code == 1, went_on.output
    assert f"a rerun of what ended as failed in {whole.name}" in went_on.stdout
    assert len(pl.read_parquet(rerun / "trials.parquet")) == 2
    assert manifest(rerun)["rerun"]["of"] == whole.name


def test_the_commands_that_a_red_run_names_do_what_they_say(at: Path) -> None:
    red = harness_here("run", "s.yaml", "--results", "of mine", "--limit", "2")
    (run,) = Path("of mine", "s").glob("2*")
    step = red.stderr.splitlines()[-1]
    again = re.fullmatch(
        rf"to see why: harness view {run.name} --results 'of mine'; to ask that again: harness (.+)", step
    )
    assert again, red.stderr
    once_more = harness_here(*shlex.split(again[1]), "-q")
    assert once_more.exit_code == 1
    (rerun,) = {*Path("of mine", "s").glob("2*")} - {run}
    assert manifest(rerun)["rerun"]["of"] == run.name
    assert "to see why" not in once_more.stderr
    assert "to see why" not in harness_here("run", "s.yaml", "--limit", "2", "--json").stderr


def test_a_gate_that_failed_names_what_is_sure(at: Path) -> None:
    gated = harness_here("run", "s.yaml", "--gate", "--prompt", "bad", "--repeat", "10")
    assert gated.exit_code == 1, gated.output
    sure = re.search(r"to ask what failed until that is sure: harness (confirm .+)", gated.stderr)
    assert sure, gated.stderr
    confirmed = harness_here(*shlex.split(sure[1]))
    assert confirmed.exit_code == 1, confirmed.output
    assert "confirmed  bad [default]" in confirmed.stdout
    assert "to see why" not in confirmed.stderr


@pytest.mark.parametrize(
    ("args", "fix"),
    [
        (["--rerun", "failed", "--gate"], "harness confirm RUN"),
        (["--rerun", "failed", "--repeat", "3"], "leave it out"),
        (["--of", "latest"], "add --rerun"),
        (["--rerun", "failed", "--of", "nowhere"], "no run nowhere"),
        (["--rerun", "failed", "--resume", "latest"], "not with --resume"),
    ],
)
def test_what_does_not_go_with_a_rerun_is_refused_and_nothing_is_sent(
    at: Path, args: list[str], fix: str
) -> None:
    before = runs(at)
    refused = harness_here("run", "s.yaml", *args)
    assert isinstance(refused.exception, UsageError), refused.output
    assert fix in str(refused.exception)
    assert runs(at) == before


def test_much_is_not_spent_unasked_where_nobody_can_be_asked(at: Path) -> None:
    before = runs(at)
    refused = harness_here("run", "s.yaml", "--ask-above", "1 tokens")
    assert isinstance(refused.exception, UsageError)
    for words in ("4 trials take about", before[0].name, "more than 1 tokens", "--yes"):
        assert words in str(refused.exception)
    confirmed = harness_here("confirm", before[0].name, "--suite", "s.yaml", "--ask-above", "1 tokens")
    assert isinstance(confirmed.exception, UsageError)
    assert "at most about" in str(confirmed.exception)
    assert runs(at) == before
    free = harness_here("run", "s.yaml", "--ask-above", "1 tokens", "--target", "standin", "-q")
    assert free.exit_code == 1
    assert harness_here("run", "s.yaml", "--ask-above", "1 tokens", "--yes", "-q").exit_code == 1
    assert len(runs(at)) == 3


SEARCH = ("limit", "s.yaml", "--slo", "error_rate<50%", "--start", "4/s")


def test_a_search_for_a_limit_is_not_begun_unasked_either(at: Path) -> None:
    before = runs(at)
    refused = harness_here(*SEARCH, "--max", "4/s", "--ask-above", "50 tokens")
    assert isinstance(refused.exception, UsageError), refused.output
    for words in ("a search up to 4/s, of ", " trials, takes at most about", before[0].name, "more than 50"):
        assert words in str(refused.exception)
    code, seen = on_a_terminal(*SEARCH, "--max", "4/s", "--ask-above", "50 tokens", says="n")
    assert "nothing was sent" in seen
    assert code == 3
    assert not list(at.glob("results/s.limit/*"))


def test_a_search_is_begun_where_that_was_said_and_its_probes_are_not_asked_about(at: Path) -> None:
    span = ("--max", "4/s", "--for", "2s", "--cool-down", "0s", "-q", "--json")
    code, seen = on_a_terminal(*SEARCH, *span, "--ask-above", "50 tokens", says="y")
    assert code in {0, 3}, seen  # 3 where this machine is too slow for it now
    assert len(list(at.glob("results/s.limit/2*"))) >= 2


def test_what_is_not_known_is_said_and_not_asked(at: Path) -> None:
    shutil.rmtree("results")
    first = harness_here("run", "s.yaml", "--ask-above", "1 tokens")
    assert first.exit_code == 1, first.output
    assert "is not known before a first run of the suite: it is sent without asking" in first.stderr


def on_a_terminal(*args: str, says: str | None) -> tuple[int, str]:
    return answered([sys.executable, "-m", "harness", *args], says)


@pytest.mark.parametrize("says", ["n", None])
def test_a_no_and_a_ctrl_c_send_nothing_and_leave_nothing(at: Path, says: str | None) -> None:
    before = runs(at)
    code, seen = on_a_terminal("run", "s.yaml", "--ask-above", "1 tokens", says=says)
    assert "4 trials take about" in seen
    assert "nothing was sent" in seen
    assert (code, runs(at)) == (3, before)


def test_a_yes_sends_it(at: Path) -> None:
    code, seen = on_a_terminal("run", "s.yaml", "--ask-above", "1 tokens", "-q", says="y")
    assert code == 1, seen
    assert len(runs(at)) == 2


def test_runs_are_deleted_once_that_was_answered(at: Path) -> None:
    old = runs(at)[0]
    copied = old.parent / "20260101T000000Z-0000"
    shutil.copytree(old, copied)
    code, seen = on_a_terminal("runs", "--prune", "--keep", "1", says="n")
    assert (code, "nothing was deleted" in seen, copied.exists()) == (3, True, True)
    code, seen = on_a_terminal("runs", "--prune", "--keep", "1", says="y")
    assert (code, copied.exists(), old.exists()) == (0, False, True), seen
