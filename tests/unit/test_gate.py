"""What a gate rules: pass, fail or inconclusive; and what it never does."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.compare.arms import Source
from harness.gate.ruling import Bench, Look, Ruling, Word, ruling
from harness.stats.judges import Corrected
from harness.suite.gates import rules_of
from harness.suite.model import Suite
from harness.suite.read import parse_suite
from tests.arms import Came, arm, passes, source

SUITE = """
target: standin
variants: {{base: {{}}, new: {{}}}}
defaults: {{repeat: 5}}
prompts: [{{id: p0, message: hi, tags: [t]}}]
gates: {{baseline: base, {how}rules: [{rules}]}}
"""


def suite(rules: str, how: str = "") -> Suite:
    return parse_suite(SUITE.format(rules=rules, how=how), Path("s.yaml"), {})


def bench(of: Source, rules: str, how: str = "", **more: Any) -> Bench:
    by = suite(rules, how)
    assert by.gates is not None
    arms = {(name, "main"): arm(of, name) for name in ("base", "new")}
    baselines = {(name, "main"): arm(of, "base") for name in ("base", "new")}
    return Bench(by.gates, rules_of(by), arms, baselines, "base", "main", **more)


def ruled(base: Came, new: Came, rules: str, how: str = "", **more: Any) -> Ruling:
    return ruling(bench(source({"base": base, "new": new}, **more), rules, how))


DROP = "{metric: pass_rate, max_drop: 5pp}"
STEADY = passes(*[5] * 50, *[4] * 20)
WORSE = passes(*[5] * 20, *[3] * 50)


def test_a_drop_that_is_shown_fails() -> None:
    found = ruled(STEADY, WORSE, DROP)
    assert found.word is Word.FAIL
    (rule,) = found.rules
    assert rule.variant == "new"
    assert rule.value == pytest.approx((20 * 5 + 50 * 3 - 50 * 5 - 20 * 4) / 350)
    assert rule.reason.startswith("it dropped: -22.9 pp")
    assert "n = 70 prompts, 350 and 350 values" in rule.reason


def test_a_margin_that_is_ruled_out_passes() -> None:
    assert ruled(STEADY, STEADY, DROP).word is Word.PASS


def test_too_few_trials_decide_nothing() -> None:
    found = ruled(passes(5, 4, 5, 5), passes(4, 5, 4, 5), DROP)
    assert found.word is Word.INCONCLUSIVE
    assert "cannot be ruled out" in found.rules[0].reason


def test_what_was_never_asked_is_no_pass() -> None:
    assert ruled(STEADY, {}, DROP).word is Word.INCONCLUSIVE
    assert ruled({}, STEADY, DROP).word is Word.INCONCLUSIVE
    assert ruled({}, {}, "{metric: pass_rate, min: 10%}").word is Word.INCONCLUSIVE


def test_a_gate_of_no_rules_is_no_pass() -> None:
    of = bench(source({"base": STEADY, "new": STEADY}), DROP)
    assert ruling(Bench(of.gates, (), of.arms, of.baselines, "base", "main")).word is Word.INCONCLUSIVE


def test_one_rule_that_fails_is_enough_and_none_may_be_open() -> None:
    assert ruled(STEADY, WORSE, f"{DROP}, {{metric: error_rate, max: 5%}}").word is Word.FAIL
    assert ruled(STEADY, STEADY, f"{DROP}, {{metric: error_rate, max: 5%}}").word is Word.PASS
    assert ruled(STEADY, STEADY, f"{DROP}, {{metric: error_rate, max: 0.1%}}").word is Word.INCONCLUSIVE


def test_missing_trials_that_might_change_it_leave_it_open() -> None:
    cut = {case: [*states[:3], "error", "error"] for case, states in STEADY.items()}
    found = ruled(STEADY, cut, DROP)
    assert found.word is Word.INCONCLUSIVE
    assert found.rules[0].missing == 2 * len(STEADY)
    assert "with so much missing" in found.rules[0].reason


def test_trials_that_were_not_sent_since_all_was_decided_are_not_missing() -> None:
    cut = {case: [*states[:4], "not_run"] for case, states in STEADY.items()}
    decided = {f"new/{case}/5": {"skip": "decided"} for case in STEADY}
    assert ruled(STEADY, cut, DROP, trials=decided).rules[0].missing == 0
    budget = {f"new/{case}/5": {"skip": "budget"} for case in STEADY}
    assert ruled(STEADY, cut, DROP, trials=budget).rules[0].missing == len(STEADY)


def test_a_prompt_in_quarantine_decides_nothing() -> None:
    broken = {
        **STEADY,
        "p0": ["failed"] * 5,
        "p1": ["failed"] * 5,
        "p2": ["failed"] * 5,
        "p3": ["failed"] * 5,
    }
    held = {f"p{at}": {"quarantined": "2027-01-01"} for at in range(4)}
    assert ruled(STEADY, broken, DROP).word is not Word.PASS
    assert ruled(STEADY, broken, DROP, cases=held).word is Word.PASS


def test_prompts_that_are_asked_in_other_words_are_not_compared() -> None:
    of = (
        source({"base": STEADY}),
        source({"new": STEADY}, cases={case: {"asked": "other"} for case in STEADY}),
    )
    by = bench(of[0], DROP)
    other = Bench(
        by.gates,
        by.rules,
        {("new", "main"): arm(of[1], "new")},
        {("new", "main"): arm(of[0], "base")},
        "b",
        "main",
    )
    found = ruling(other)
    assert found.word is Word.INCONCLUSIVE
    assert "reworded" in found.rules[0].reason


def test_a_rule_of_a_tag_is_of_its_prompts_alone() -> None:
    tagged = {case: {"tags": ["t"]} for case in list(STEADY)[:50]}
    only = {**STEADY, **{case: ["failed"] * 5 for case in list(STEADY)[50:]}}
    assert ruled(STEADY, only, DROP, cases=tagged).word is Word.FAIL
    found = ruled(STEADY, only, "{metric: pass_rate, tag: t, max_drop: 5pp}", cases=tagged)
    assert (found.word, found.rules[0].prompts) == (Word.PASS, 50)


def test_a_doubt_leaves_a_rule_open_whatever_was_found() -> None:
    of = source({"base": STEADY, "new": WORSE})
    found = ruling(bench(of, DROP, doubt=lambda rule, variant: f"who knows of {variant}"))
    assert (found.word, found.rules[0].reason) == (Word.INCONCLUSIVE, "who knows of new")


def test_a_ratio_is_ruled_on_the_scale_of_its_logarithm() -> None:
    base = [100.0 + at % 17 for at in range(350)]
    same, slower = {"base": base, "new": base}, {"base": base, "new": [1.4 * each for each in base]}
    rule = "{metric: ttft.p50, max_ratio: 1.15}"
    assert ruled(STEADY, STEADY, rule, ttft=same).word is Word.PASS
    found = ruled(STEADY, STEADY, rule, ttft=slower)
    assert found.word is Word.FAIL
    assert found.rules[0].value == pytest.approx(1.4)


def test_a_quantile_of_too_few_values_is_neither_printed_nor_ruled() -> None:
    found = ruled(passes(5, 5), passes(5, 5), "{metric: ttft.p95, max: 4s}").rules[0]
    assert (found.word, found.value) == (Word.INCONCLUSIVE, None)
    assert "of 10 values there is no p95" in found.reason


def test_a_reply_that_timed_out_took_longer_and_is_not_dropped() -> None:
    came = passes(*[5] * 40)
    rule = "{metric: ttft.p95, max: 1s}"
    assert ruled(came, came, rule).word is Word.PASS
    cut = {case: [*states[:4], "error"] for case, states in came.items()}
    lost = {
        f"new/{case}/5": {"fault": "timed_out", "ttft_ms": None, "total_ms": None, "ended_ns": 60_000_000_000}
        for case in cut
    }
    found = ruled(came, cut, rule, exchanges=lost)
    assert found.word is Word.FAIL
    assert "40 timed out" in found.rules[0].reason


def test_a_share_within_a_limit_counts_what_failed_as_late() -> None:
    came = passes(*[5] * 40)
    cut = {case: [*states[:4], "error"] for case, states in came.items()}
    assert ruled(came, came, "{metric: 'ttft<=1s', min: 95%}").word is Word.PASS
    assert ruled(came, cut, "{metric: 'ttft<=1s', min: 95%}").word is Word.FAIL


def test_pass_hat_k_of_prompts_that_always_pass_is_not_certain() -> None:
    rule = "{metric: pass^3, min: 90%}"
    assert ruled(passes(*[5] * 60), passes(*[5] * 60), rule).word is Word.PASS
    assert ruled(passes(*[5] * 6), passes(*[5] * 6), rule).word is Word.INCONCLUSIVE
    assert ruled(passes(*[5] * 60), passes(*[3] * 60), rule).word is Word.FAIL


counts = st.lists(st.integers(0, 5), min_size=1, max_size=30)
margins = st.sampled_from(["1pp", "3pp", "5pp", "10pp", "30pp"])
EVERY = ", ".join(
    (
        "{metric: pass_rate, max_drop: 3pp}",
        "{metric: score, max_drop: 3pp}",
        "{metric: error_rate, max_rise: 1pp}",
        "{metric: ttft.p50, max_ratio: 1.1}",
        "{metric: tokens, max_ratio: 1.1}",
        "{metric: pass^3, max_drop: 3pp}",
    )
)


@settings(max_examples=60)
@given(counts, st.sampled_from(["", "question: population, ", "fail_when: beyond_margin, "]))
def test_a_run_held_against_itself_never_fails(came: list[int], how: str) -> None:
    of = source({"base": passes(*came), "new": passes(*came)})
    found = ruling(bench(of, EVERY, how))
    assert [rule.rule for rule in found.rules if rule.word is Word.FAIL] == []


@settings(max_examples=60)
@given(counts, counts, margins, margins)
def test_a_wider_margin_never_turns_a_pass_into_anything_else(
    base: list[int], new: list[int], one: str, other: str
) -> None:
    narrow, wide = sorted((one, other), key=lambda each: int(each[:-2]))
    came = passes(*base), passes(*new)
    if ruled(*came, f"{{metric: pass_rate, max_drop: {narrow}}}").word is Word.PASS:
        assert ruled(*came, f"{{metric: pass_rate, max_drop: {wide}}}").word is Word.PASS


@settings(max_examples=60)
@given(counts, counts, st.data())
def test_what_goes_missing_never_makes_a_pass(base: list[int], new: list[int], data: st.DataObject) -> None:
    came = passes(*new)
    whole = ruled(passes(*base), came, DROP)
    lost = data.draw(st.sets(st.tuples(st.sampled_from(list(came)), st.integers(0, 4)), max_size=10))
    cut = {
        case: ["error" if (case, at) in lost else state for at, state in enumerate(states)]
        for case, states in came.items()
    }
    if whole.word is not Word.PASS:
        assert ruled(passes(*base), cut, DROP).word is not Word.PASS


def test_a_look_before_the_end_asks_for_more_than_the_last() -> None:
    base, new = passes(*[5] * 30), passes(*[5] * 22, *[4] * 8)
    of = bench(source({"base": base, "new": new}), DROP)
    last = ruling(of, {"main": Look((1.0,), is_last=True)})
    early = ruling(of, {"main": Look((0.25,), is_last=False)})
    assert (last.word, early.word) == (Word.FAIL, Word.INCONCLUSIVE)


def test_bets_are_won_on_a_drop_and_on_its_absence() -> None:
    how = "plan: betting, "
    looks: Mapping[str, Look] = {"main": Look((0.5,), is_last=False)}
    wide = "{metric: pass_rate, max_drop: 20pp}"
    assert ruling(bench(source({"base": STEADY, "new": WORSE}), wide, how), looks).word is Word.FAIL
    assert ruling(bench(source({"base": STEADY, "new": STEADY}), wide, how), looks).word is Word.PASS
    few = source({"base": passes(5, 5), "new": passes(5, 4)})
    assert ruling(bench(few, wide, how), looks).word is Word.INCONCLUSIVE


def judged(value: float, spread: float) -> Corrected:
    return Corrected(value, value - 1.96 * spread, value + 1.96 * spread)


def test_a_judged_rate_is_read_without_the_judge_s_mistakes_where_people_labelled() -> None:
    plain = source({"base": STEADY, "new": STEADY})
    told = {("llm-rubric", "base"): judged(0.9, 0.01), ("llm-rubric", "new"): judged(0.7, 0.01)}
    of = Source("run", plain.scan, lambda: told)
    drop = ruling(bench(of, "{metric: 'check:llm-rubric', max_drop: 5pp}")).rules[0]
    assert drop.word is Word.FAIL
    assert drop.value == pytest.approx(-0.2)
    assert "the judge's mistakes taken out by labels" in drop.reason
    least = ruling(bench(of, "{metric: 'check:llm-rubric', min: 65%}")).rules[0]
    assert least.word is Word.PASS
    assert least.value == 0.7
    hopeless = Source(
        "run", plain.scan, lambda: told | {("llm-rubric", "new"): Corrected(None, why_none="no use")}
    )
    assert ruling(bench(hopeless, "{metric: 'check:llm-rubric', min: 65%}")).word is Word.INCONCLUSIVE
