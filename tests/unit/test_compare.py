"""Two arms held against each other: differences with their counts, what moved, and where replies part."""

from typing import Any

import pytest

from harness.compare.arms import Source
from harness.compare.comparison import Asked, Comparison, Line, compare
from harness.report.decided import notes
from harness.stats.paired import Question
from harness.suite.metric import metric
from tests.arms import arm, passes, source

BASE = passes(*[5] * 30, *[4] * 10)


def compared(base: Any, new: Any, asked: Asked | None = None, **more: Any) -> Comparison:
    of = source({"base": base, "new": new}, **more)
    return compare(arm(of, "base"), arm(of, "new"), asked)


def line(found: Comparison, name: str) -> Line:
    (one,) = (each for each in found.lines if each.metric.name == name)
    return one


def test_a_difference_is_after_minus_before_with_the_counts_behind_it() -> None:
    found = line(compared(BASE, passes(*[5] * 20, *[3] * 20)), "pass_rate").difference
    assert found is not None
    assert found.value is not None
    assert found.value == pytest.approx((20 * 5 + 20 * 3) / 200 - (30 * 5 + 10 * 4) / 200)
    assert (found.prompts, found.n_before, found.n_after, found.missing) == (40, 200, 200, 0)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high
    assert found.p is not None
    assert found.p < 0.01


def test_swapping_the_arms_turns_every_difference_round() -> None:
    of = source({"base": BASE, "new": passes(*[5] * 20, *[3] * 20)}, ttft={"new": [120.0] * 200})
    there, back = (compare(arm(of, one), arm(of, other)) for one, other in (("base", "new"), ("new", "base")))
    for one, other in zip(there.lines, back.lines, strict=True):
        if one.difference is not None and one.difference.value is not None:
            assert other.difference is not None
            assert other.difference.value is not None
            assert one.difference.value == pytest.approx(-other.difference.value)
            assert one.difference.p == pytest.approx(other.difference.p, abs=0.02)
        if one.ratio is not None and one.ratio.value is not None:
            assert other.ratio is not None
            assert other.ratio.value is not None
            assert one.ratio.value == pytest.approx(1 / other.ratio.value)


def test_what_is_missing_bounds_the_difference() -> None:
    cut = {case: [*states[:4], "error"] for case, states in BASE.items()}
    found = line(compared(BASE, cut), "pass_rate").difference
    assert found is not None
    assert found.value is not None
    assert found.missing == 40
    assert found.at_least is not None
    assert found.at_most is not None
    assert found.at_most - found.at_least == pytest.approx(0.2)
    assert found.at_least <= found.value <= found.at_most


def test_the_five_states_are_kept_apart() -> None:
    odd = {**BASE, "p0": ["passed", "failed", "error", "invalid", "not_run"]}
    assert compared(BASE, odd).after.states == {
        "passed": 5 * 29 + 4 * 10 + 1,
        "failed": 11,
        "error": 1,
        "invalid": 1,
        "not_run": 1,
    }


def test_a_ratio_of_medians_has_an_interval_around_the_truth() -> None:
    base = [100.0 + (at * 37) % 50 for at in range(200)]
    found = line(
        compared(BASE, BASE, ttft={"base": base, "new": [1.2 * each for each in base]}), "ttft.p50"
    ).ratio
    assert found is not None
    assert found.value == pytest.approx(1.2)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= 1.2 <= found.high
    assert (found.n_before, found.n_after, found.groups) == (200, 200, 40)


def test_a_figure_of_too_few_values_is_none_and_says_why() -> None:
    found = line(compared(passes(5), passes(5)), "ttft.p95").ratio
    assert found is not None
    assert (found.value, found.note) == (None, "20 values in each arm are wanted")


def test_what_one_arm_never_asked_is_named_and_not_compared() -> None:
    found = compared(BASE, {**BASE, "extra": ["failed"] * 5})
    assert found.left_out == {"unmatched": ("extra",)}
    told = line(found, "pass_rate").difference
    assert told is not None
    assert (told.prompts, told.value) == (40, 0.0)


def test_prompts_that_are_graded_otherwise_have_times_to_compare_and_no_pass_rate() -> None:
    before = source({"base": BASE})
    after = source({"base": BASE}, cases={"p0": {"checks": "others"}})
    found = compare(arm(before, "base"), arm(after, "base"))
    assert found.left_out == {"regraded": ("p0",)}
    rate, ttft = line(found, "pass_rate").difference, line(found, "ttft.p50").ratio
    assert rate is not None
    assert ttft is not None
    assert (rate.prompts, ttft.groups) == (39, 40)


def test_a_prompt_that_collapsed_is_found_among_many_that_did_not() -> None:
    steady = passes(*[10] * 40, of=10)
    found = compared(steady, {**steady, "p7": ["failed"] * 10})
    assert [(each.name, each.before, each.after) for each in found.moved] == [("p7", (10, 10), (0, 10))]
    assert found.tested == 40


def test_a_tag_that_moved_is_found() -> None:
    tagged = {f"p{at}": {"tags": ["old" if at < 20 else "new"]} for at in range(40)}
    worse = {**BASE, **{f"p{at}": ["passed", "failed"] * 2 + ["failed"] for at in range(20)}}
    found = compared(BASE, worse, cases=tagged)
    assert {each.name for each in found.moved if each.tag} == {"old"}


def test_prompts_that_all_went_one_way_or_the_other_say_more_of_themselves_than_of_others() -> None:
    new = passes(*[5] * 30, *[0] * 10)
    kinds: tuple[Question, Question] = ("suite", "population")
    suite, population = (_error(compared(BASE, new, Asked(question))) for question in kinds)
    assert suite < population


def _error(found: Comparison) -> float:
    told = line(found, "pass_rate").difference
    assert told is not None
    return told.error or 0.0


def call(exchange: str, name: str, arguments: str = "{}", result: str = "[]") -> dict[str, Any]:
    told = {
        "exchange_id": exchange,
        "call_id": "t0.0",
        "name": name,
        "arguments": arguments,
        "result": result,
    }
    return told | {"status": "ok", "duration_ms": 10.0}


def parted(after: list[dict[str, Any]], **more: Any) -> list[tuple[str, str, int]]:
    came = passes(5, 5)
    before = [call(f"base/p{at}/{repeat}", "search") for at in range(2) for repeat in range(1, 6)]
    found = compared(came, came, calls=[*before, *after], **more)
    return [(each.kind, each.what, each.count) for each in found.divergences]


def same(changed: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    names = [f"new/p{at}/{repeat}" for at in range(2) for repeat in range(1, 6)]
    return [call(name, "search") | changed.get(name, {}) for name in names]


def test_replies_part_where_the_first_call_is_another() -> None:
    assert parted(same({})) == [("none", "", 10)]
    other = parted(same({"new/p0/1": {"name": "web"}, "new/p1/2": {"name": "web"}}))
    assert other == [("none", "", 8), ("tool", "call 1: search → web", 2)]
    assert parted(same({"new/p0/1": {"arguments": '{"q":1}'}}))[1:] == [("arguments", "call 1: search", 1)]
    assert parted(same({"new/p0/1": {"result": '["d"]'}}))[1:] == [("documents", "call 1: search", 1)]


def test_a_call_that_only_one_reply_has_is_where_they_part() -> None:
    more = [*same({}), call("new/p0/1", "web")]
    assert parted(more)[1:] == [("tool", "call 2: no call → web", 1)]


def test_an_answer_and_a_fault_are_places_to_part_too() -> None:
    assert parted(same({}), exchanges={"new/p0/1": {"answer": "no"}})[1:] == [("answer", "", 1)]
    broken = {"new/p0/1": {"fault": "truncated"}}
    assert parted(same({}), exchanges=broken)[1:] == [("broken", "truncated", 1)]


def test_how_often_repeats_of_one_arm_part_is_told_beside_it() -> None:
    answers = {f"base/p0/{repeat}": {"answer": f"{repeat}"} for repeat in range(1, 6)}
    came = passes(5)
    found = compared(came, came, exchanges=answers | {f"new/p0/{at}": {"answer": "z"} for at in range(1, 6)})
    (one,) = found.divergences
    assert (one.kind, one.share, one.usual) == ("answer", 1.0, 1.0)


def test_only_the_metrics_that_are_asked_for_are_compared() -> None:
    found = compared(BASE, BASE, Asked(metrics=[metric("ttft<=2s")], traces=False))
    assert [each.metric.name for each in found.lines] == ["ttft<=2s"]
    assert found.divergences == ()


def test_the_order_of_trials_changes_no_figure() -> None:
    new = passes(*[5] * 20, *[3] * 20)
    of = source({"base": BASE, "new": new})
    turned = Source("run", lambda name: of.scan(name).reverse())
    there, back = (compare(arm(each, "base"), arm(each, "new"), Asked(traces=False)) for each in (of, turned))
    one, other = (line(each, "pass_rate").difference for each in (there, back))
    assert one is not None
    assert other is not None
    assert one.value == pytest.approx(other.value)
    assert one.error == pytest.approx(other.error)


def test_only_turns_that_came_to_something_in_both_arms_are_compared() -> None:
    came = passes(5, 5)
    # After, every reply to p0 is one to its slow second turn, of which before there is none.
    slow = {f"new/p0/{repeat}": {"turn_id": "2", "ttft_ms": 900.0} for repeat in range(1, 6)}
    found = line(compared(came, came, exchanges=slow), "ttft.p50").ratio
    assert found is not None
    assert (found.n_before, found.n_after, found.value) == (5, 5, 1.0)


def test_arms_without_a_prompt_in_common_are_not_compared() -> None:
    one, other = passes(5, 5), {"another": next(iter(passes(5).values()))}
    found = compared(one, other)
    assert found.prompts == 0
    first, *rest = notes(found)
    assert first == "no prompt was asked in both in the same words, so there is nothing to compare"
    assert rest[0].startswith("3 prompts in one arm only: ")
