"""Deciding through the command line: gates, baselines, budgets, forecasts, confirmations, exit codes."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.program import harness_here

pytestmark = pytest.mark.slow

MODEL = "sim:ttft=1ms,gap=0ms,tokens=3"
DROP = "{metric: pass_rate, max_drop: 5pp}"


def suite(
    folder: Path,
    *,
    right: str = "100%",
    rules: str = DROP,
    how: str = "",
    more: str = "",
    name: str = "s",
    repeat: int = 4,
) -> Path:
    """Twenty-five prompts under ``base``, which is always right, and ``new``, which is right so often."""
    path = folder / f"{name}.yaml"
    gates = f"gates: {{baseline: base, {how}rules: [{rules}]}}" if rules else ""
    path.write_text(
        f"""
suite: {name}
target: standin
defaults: {{repeat: {repeat}, assert: [{{type: starts-with, value: right}}]}}
variants:
  base: {{llm_override: {{model_provider: Simulated, model_version: "{MODEL},right=100%"}}}}
  new: {{llm_override: {{model_provider: Simulated, model_version: "{MODEL},gap=1ms,right={right}"}}}}
prompts:
  - {{id: "q{{{{ n }}}}", message: "Question {{{{ n }}}}?", each: rows.csv, tags: [all]}}
load: {{workers: 8}}
{gates}
{more}
"""
    )
    (folder / "rows.csv").write_text("n\n" + "\n".join(map(str, range(25))) + "\n")
    return path


def trials(folder: Path, name: str = "s") -> pl.DataFrame:
    return pl.read_parquet(folder / "results" / name / "latest" / "trials.parquet")


def manifest(folder: Path, name: str = "s") -> dict[str, Any]:
    told: dict[str, Any] = json.loads((folder / "results" / name / "latest" / "manifest.json").read_text())
    return told


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_variant_that_is_worse_fails_before_everything_was_asked(at: Path) -> None:
    ran = harness_here("run", suite(at, right="50%", how="plan: sequential, ", repeat=8), "--gate")
    assert ran.exit_code == 1, ran.output
    assert "gate: fail" in ran.stdout
    found = trials(at)
    sent = found.filter(pl.col("began_ns").is_not_null())
    assert len(found) == 400
    assert len(sent) <= 200
    assert set(found.filter(pl.col("began_ns").is_null())["skip"]) == {"decided"}
    told = manifest(at)
    assert sum(told["decided"].values()) == len(found) - len(sent)
    assert (told["gate"]["planned"], told["gate"]["sent"]) == (400, len(sent))
    again = harness_here("gate", "latest", "--json")
    assert again.exit_code == 1
    assert json.loads(again.stdout)["word"] == "fail"


def test_variants_that_are_alike_pass_and_are_found_alike(at: Path) -> None:
    ran = harness_here("run", suite(at), "--gate")
    assert ran.exit_code == 0, ran.output
    compared = harness_here("compare", "base", "new", "--of", "latest", "--json")
    (found,) = json.loads(compared.stdout)
    (rate,) = (line["difference"] for line in found["lines"] if line["metric"]["name"] == "pass_rate")
    assert (rate["value"], rate["prompts"], rate["n_after"]) == (0.0, 25, 100)
    assert found["divergences"][0]["kind"] == "none"


def test_a_run_held_against_itself_fails_nothing(at: Path) -> None:
    rules = f"{DROP}, {{metric: ttft.p50, max_ratio: 1.1}}, {{metric: tokens, max_ratio: 1.1}}"
    harness_here("run", suite(at, right="80%", rules=rules), "-q")
    found = json.loads(harness_here("gate", "latest", "--baseline", "latest", "--json").stdout)
    assert {rule["word"] for rule in found["rules"]} <= {"pass", "inconclusive"}
    assert len(found["rules"]) == 6


def test_too_little_is_inconclusive_and_never_0(at: Path) -> None:
    narrow = "{metric: pass_rate, max_drop: 1pp}"
    ran = harness_here("run", suite(at, right="97%", rules=narrow, repeat=2), "--gate")
    assert ran.exit_code == 3, ran.output
    assert "gate: inconclusive" in ran.stdout
    strict = suite(at, right="97%", rules=narrow, repeat=2, how="on_inconclusive: fail, ")
    assert harness_here("run", strict, "--gate", "-q").exit_code == 1


def test_what_is_inconclusive_is_asked_more_where_the_suite_wants_that(at: Path) -> None:
    how = "plan: sequential, on_inconclusive: extend, extend_to: 3, "
    rules = "{metric: pass_rate, max_drop: 3pp}"
    ran = harness_here("run", suite(at, rules=rules, how=how, repeat=2), "--gate")
    assert ran.exit_code == 0, ran.output
    rounds = trials(at)["repeat"].n_unique()
    assert 2 < rounds <= 6
    assert harness_here("grade", "latest", "-q").exit_code == 0
    assert len(trials(at)) == 50 * rounds


def test_a_gate_without_rules_or_without_its_baseline_sends_nothing(at: Path) -> None:
    bare = harness_here("run", suite(at, rules=""), "--gate")
    assert "s.yaml has no gates: they say when a run is good enough" in str(bare.exception)
    nowhere = suite(at).read_text().replace("baseline: base", "baseline: green")
    (at / "s.yaml").write_text(nowhere)
    assert "green" in str(harness_here("run", at / "s.yaml", "--gate").exception)
    assert not (at / "results").exists()


def test_a_stored_baseline_is_held_against_and_may_pool_several_runs(at: Path) -> None:
    path = suite(at, rules="{metric: pass_rate, max_drop: 6pp}")
    path.write_text(path.read_text().replace("baseline: base", "baseline: green"))
    runs = []
    for _ in range(2):
        assert harness_here("run", path, "-q").exit_code == 0
        runs.append((at / "results" / "s" / "latest").resolve().name)
    assert harness_here("baseline", "set", *runs, "green", "--anyway").exit_code == 0
    (listed,) = json.loads(harness_here("baseline", "list", "--json").stdout)
    assert (listed["suite"], listed["name"], listed["runs"]) == ("s", "green", runs)
    heads, told = map(str.split, harness_here("baseline", "list").stdout.splitlines())
    assert heads == ["suite", "baseline", "set", "(UTC)", "runs"]
    assert (told[:2], told[-2:]) == (["s", "green"], [f"{runs[0]},", runs[1]])
    gated = harness_here("gate", "latest", "--json")
    found = json.loads(gated.stdout)
    assert gated.exit_code == 0, gated.output
    assert [(rule["variant"], rule["word"]) for rule in found["rules"]] == [("base", "pass"), ("new", "pass")]
    pooled = json.loads(harness_here("compare", "green", runs[0], "--json").stdout)
    (rate,) = (line["difference"] for line in pooled[0]["lines"] if line["metric"]["name"] == "pass_rate")
    assert (rate["n_before"], rate["n_after"]) == (200, 100)
    assert harness_here("baseline", "remove", "s", "green").exit_code == 0
    assert harness_here("gate", "latest").exit_code != 0


def test_a_pinned_baseline_needs_no_results(at: Path) -> None:
    path = suite(at, rules="{metric: pass_rate, max_drop: 6pp}")
    path.write_text(path.read_text().replace("baseline: base", "baseline: green"))
    harness_here("run", path, "-q")
    assert harness_here("baseline", "set", "latest", "green", "--pin", "--anyway").exit_code == 0
    assert list((at / "baselines" / "s" / "green").glob("*/trials.parquet"))
    ran = harness_here("run", path, "--gate", "--results", at / "elsewhere")
    assert ran.exit_code == 0, ran.output
    assert "against green" in ran.stdout


def test_a_run_that_was_stopped_early_is_no_baseline(at: Path) -> None:
    harness_here("run", suite(at, right="50%", how="plan: sequential, ", repeat=8), "--gate", "-q")
    refused = harness_here("baseline", "set", "latest", "green")
    assert refused.exit_code != 0
    assert "stopped early" in str(refused.exception)
    assert harness_here("baseline", "set", "latest", "green", "--anyway").exit_code == 0


def test_runs_that_are_unlike_each_other_are_not_pooled(at: Path) -> None:
    runs = []
    for right in ("100%", "60%"):
        harness_here("run", suite(at, right=right), "-q")
        runs.append((at / "results" / "s" / "latest").resolve().name)
    refused = harness_here("baseline", "set", *runs, "green")
    assert refused.exit_code != 0
    assert "[new] passes" in str(refused.exception)


def test_a_token_budget_ends_the_run_within_two_percent(at: Path) -> None:
    ran = harness_here("run", suite(at, rules="", more="budget: {tokens: 800}"))
    assert ran.exit_code == 3, ran.output
    assert spent(at) <= 816
    found = trials(at)
    assert set(found.filter(pl.col("state") == "not_run")["skip"]) == {"budget"}
    assert found.filter(pl.col("state") == "failed").is_empty()


def spent(at: Path) -> int:
    """The tokens that a run says it spent, which are those of all exchanges in its tables."""
    told: int = manifest(at)["spent"]["estimated_tokens"]
    tokens = pl.read_parquet(at / "results/s/latest/exchanges.parquet").select("asked_tokens", "said_tokens")
    assert told == tokens.sum().sum_horizontal().item()
    return told


@pytest.mark.parametrize("budget", [8_000, 40])
def test_however_many_workers_are_free_no_more_is_sent_than_a_budget_holds(at: Path, budget: int) -> None:
    """Nobody knows what a trial costs before one has ended, and that one may be more than there is."""
    (at / "s.yaml").write_text(f"""
suite: s
target: standin
budget: {{tokens: {budget}}}
defaults:
  repeat: 60
  llm_override: {{model_provider: Simulated, model_version: "sim:ttft=50ms,gap=2ms,tokens=60"}}
prompts: [{{id: p, message: hello there}}]
load: {{workers: 12}}
""")
    assert harness_here("run", "s.yaml", "-q").exit_code == 3
    assert spent(at) > 0
    if budget == 40:
        assert len(pl.read_parquet(at / "results/s/latest/exchanges.parquet")) == 1
    else:
        assert 0.9 * budget < manifest(at)["spent"]["server_tokens"] < 1.02 * budget


def test_a_plan_says_what_it_takes_and_what_its_gate_can_see(at: Path) -> None:
    path = suite(at, rules=f"{DROP}, {{metric: error_rate, max: 1%}}", repeat=2)
    first = json.loads(harness_here("plan", path, "--offline", "--forecast", "--json").stdout)
    assert (first["trials"], first["by"], first["tokens"]) == (100, None, None)
    drop, errors = first["sights"]
    assert drop["enough"] is False
    assert drop["sees"] == pytest.approx(0.19, abs=0.02)  # 25 prompts × 2, assuming 90 % pass
    assert drop["mend"].startswith("repeat: ")
    assert (errors["enough"], errors["mend"]) == (False, "repeat: 12 could")  # 299 values without one error
    harness_here("run", path, "-q")
    second = json.loads(harness_here("plan", path, "--offline", "--forecast", "--json").stdout)
    assert second["tokens"] > 0
    assert second["minutes"] > 0
    assert second["sights"][0]["sees"] < drop["sees"]


def test_a_ratio_that_allows_for_nothing_is_seen_as_the_gain_that_passes(at: Path) -> None:
    path = suite(at, rules="{metric: total.p50, max_ratio: 1}", repeat=2)
    harness_here("run", path, "-q")
    told = json.loads(harness_here("plan", path, "--offline", "--forecast", "--json").stdout)
    (sight,) = told["sights"]
    assert sight["enough"] is True
    assert 0 < sight["sees"] < 1


def test_what_failed_is_confirmed_or_found_flaky(at: Path) -> None:
    path = suite(at, right="30%", rules="", repeat=1)
    assert harness_here("run", path, "-q").exit_code == 1
    red = trials(at).filter(pl.col("state") == "failed").select("case_id", "variant").unique()
    ran = harness_here("confirm", "latest", "-q")
    assert ran.exit_code == 1, ran.output
    told = manifest(at)["confirmed"]
    assert {(each["case_id"], each["variant"]) for each in told} == set(red.iter_rows())
    assert sum(each["word"] == "bad" for each in told) >= len(told) / 2
    asked = trials(at).filter(pl.col("began_ns").is_not_null())
    assert len(asked) < 30 * len(told)


def test_a_prompt_in_quarantine_is_asked_and_decides_nothing_until_its_day(at: Path) -> None:
    path = suite(
        at,
        right="0%",
        rules="",
        repeat=1,
        more="quarantine: [{prompt: q1, variant: new, until: '2999-01-01'}]",
    )
    ran = harness_here("run", path, "--prompt", "q1")
    assert ran.exit_code == 0, ran.output
    assert "in quarantine until 2999-01-01, decides nothing: q1 [new]" in ran.stdout
    path.write_text(path.read_text().replace("2999", "2001"))
    over = harness_here("run", path, "--prompt", "q1")
    assert over.exit_code == 1
    assert "the quarantine of q1 ended on 2001-01-01" in over.stderr
