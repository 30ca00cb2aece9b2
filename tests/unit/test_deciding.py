"""What a gate is told beside the tables: what differs between runs, and what is doubted all the same."""

from pathlib import Path
from typing import Any

import pytest

from harness.compare.comparison import what_differs
from harness.decide.sides import Against, Standing, against, bench, unproven
from harness.errors import UsageError
from harness.gate.ruling import Word, ruling
from harness.plan.trials import make_plan
from harness.record.store import Manifest
from harness.sigma.fingerprint import Fingerprint
from harness.suite.read import parse_suite
from harness.verdict.word import Verdict
from harness.verdict.word import Word as Believed
from tests.arms import arm, passes, source

SUITE = """
suite: s
target: standin
variants: {base: {}, new: {}}
prompts: [{id: p0, message: hi}]
gates:
  baseline: base
  rules: [{metric: pass_rate, max_drop: 5pp}, {metric: ttft.p50, max: 4s}, {metric: error_rate, max: 10%}]
"""
CAME = passes(*[5] * 60)


def manifest(**changed: Any) -> Manifest:
    fields: dict[str, Any] = {
        "run_id": "r",
        "suite": "s",
        "suite_path": "s.yaml",
        "suite_text": SUITE,
        "target": "https://sigma.example.com",
        "dialect": "sigma",
        "seed": 0,
        "choice": {},
        "planned": 1,
        "started_at": "2026-11-23T00:00:00+00:00",
        "started_ns": 0,
    }
    return Manifest(**(fields | changed))


def standing(verdict: Believed = Believed.VALID, **changed: Any) -> Standing:
    plan = make_plan(parse_suite(SUITE, Path("s.yaml"), {}))
    return Standing(plan, manifest(**changed), source({"base": CAME, "new": CAME}), Verdict(verdict))


def words(run: Standing) -> dict[str, Word]:
    found = ruling(bench(run, Against("base")))
    return {rule.metric: rule.word for rule in found.rules}


def test_a_run_that_is_whole_is_ruled_on() -> None:
    assert words(standing()) == dict.fromkeys(("pass_rate", "ttft.p50", "error_rate"), Word.PASS)


def test_a_run_whose_client_was_too_slow_has_no_ruling_about_time() -> None:
    for verdict in (Believed.CLIENT_BOUND, Believed.SERVER_SATURATED):
        assert words(standing(verdict)) == {
            "pass_rate": Word.PASS,
            "ttft.p50": Word.INCONCLUSIVE,
            "error_rate": Word.PASS,
        }


def test_a_target_that_changed_meanwhile_leaves_comparisons_open() -> None:
    found = ruling(bench(standing(changed=("models",)), Against("base")))
    assert [rule.word for rule in found.rules] == [Word.INCONCLUSIVE, Word.PASS, Word.PASS]
    assert "the target changed while r went on: models" in found.rules[0].reason


def test_what_is_different_between_two_runs_is_said() -> None:
    same = manifest()
    assert what_differs(same, same) == []
    other = {
        "judge": "J2",
        "embeddings": "E2",
        "suite_text": "other",
        "target": "https://other.example.com",
        "changed": ("tools",),
        "run_id": "r2",
    }
    told = what_differs(manifest(judge="J1"), manifest(**other))
    assert [sentence.split(":")[0] for sentence in told] == [
        "the target changed while r2 went on",
        "judged by J1 before and J2 after",
        "similarity was measured by different embeddings",
        "the suite was changed in between; prompts that are asked in other words are left out",
        "the target is another",
    ]
    assert "harness grade r --suite" in told[1]


def test_two_stand_ins_are_the_same_target_and_a_new_version_is_not() -> None:
    one, other = (manifest(target=f"http://127.0.0.1:{port}") for port in (1, 2))
    assert what_differs(one, other) == []
    versions = [manifest(fingerprint=Fingerprint({"version": each, "models": "m"})) for each in ("a", "b")]
    assert what_differs(*versions) == ["the target is not what it was: version"]


def audit(trial: str, asked: str, finding: str) -> dict[str, Any]:
    return {"exchange_id": trial, "setting": "llm_override", "asked": asked, "finding": finding}


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ("not shown", "not shown", ["llm_override"]),
        ("not shown", "not exercised", ["llm_override"]),
        ("took effect", "not shown", []),
        ("not shown", "took effect", []),
    ],
)
def test_a_setting_in_which_arms_differ_has_to_be_seen_in_one_of_them(
    before: str, after: str, found: list[str]
) -> None:
    audits = [audit("base/p0/1", "A/a", before), audit("new/p0/1", "B/b", after)]
    of = source({"base": passes(5), "new": passes(5)}, audits=audits)
    assert unproven(arm(of, "base"), arm(of, "new")) == found


def test_a_setting_that_both_arms_ask_for_alike_is_no_difference() -> None:
    audits = [audit("base/p0/1", "A/a", "not shown"), audit("new/p0/1", "A/a", "not shown")]
    of = source({"base": passes(5), "new": passes(5)}, audits=audits)
    assert unproven(arm(of, "base"), arm(of, "new")) == []


def test_a_rule_that_compares_needs_something_to_compare_with(tmp_path: Path) -> None:
    text = SUITE.replace("  baseline: base\n", "")
    suite = parse_suite(text, tmp_path / "s.yaml", {})
    with pytest.raises(UsageError, match="pass_rate max_drop 5pp compares, and nothing says with what"):
        against(suite, ["base", "new"], tmp_path)
    assert against(suite, ["base", "new"], tmp_path, "new") == Against("new")
    with pytest.raises(UsageError, match="gren is no baseline of s"):
        against(suite, ["base", "new"], tmp_path, "gren")


def test_rules_of_numbers_alone_need_no_baseline(tmp_path: Path) -> None:
    text = SUITE.replace("  baseline: base\n", "").replace("{metric: pass_rate, max_drop: 5pp}, ", "")
    assert against(parse_suite(text, tmp_path / "s.yaml", {}), ["base", "new"], tmp_path) is None


def test_a_baseline_that_was_not_chosen_is_said_to_be_one(tmp_path: Path) -> None:
    suite = parse_suite(SUITE, tmp_path / "s.yaml", {})
    with pytest.raises(UsageError, match="the baseline base is a variant that is not among those chosen"):
        against(suite, ["new"], tmp_path)
