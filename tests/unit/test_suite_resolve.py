"""From what is written to what is asked."""

from pathlib import Path

import pytest

from harness.errors import SuiteError
from harness.suite.asserts.stream import Ttft
from harness.suite.asserts.text import IContains
from harness.suite.model import Suite
from harness.suite.read import load_suite, parse_suite
from harness.suite.resolve import (
    effective,
    repeats,
    resolve_cases,
    resolve_variants,
    retries,
    runs_on,
)

DATA = Path(__file__).parents[1] / "suites"
ENVIRON = {"SIGMA_URL": "http://sigma.example.com", "SIGMA_API_KEY": "on_key"}
HEAD = "target: standin\n"


def read(text: str) -> Suite:
    return parse_suite(HEAD + text, Path("s.yaml"), {})


@pytest.fixture(scope="module")
def built() -> Suite:
    return load_suite(DATA / "built.yaml", environ=ENVIRON)


def test_a_matrix_is_replaced_by_its_cells_in_the_order_written(built: Suite) -> None:
    variants = resolve_variants(built)
    assert list(variants) == [
        "base",
        "candidate/claude+free",
        "candidate/claude+forced",
        "candidate/gpt+free",
        "deep",
        "side-by-side",
    ]


def test_extends_merges_one_level_into_the_model(built: Suite) -> None:
    gpt = resolve_variants(built)["candidate/gpt+free"]
    assert gpt.llm_override is not None
    assert gpt.llm_override.model_dump(exclude_none=True) == {
        "model_provider": "OpenAI",
        "model_version": "gpt-5",
        "temperature": 0,
    }
    assert gpt.allowed_tool_ids == ("internal_search", "web_search")


def test_null_takes_away_what_the_parent_set() -> None:
    suite = read(
        "variants:\n"
        "  a: {forced_tool_id: 3, llm_override: {model_version: x, temperature: 1}, repeat: 4, only: [p]}\n"
        "  b: {extends: a, forced_tool_id: null, llm_override: {temperature: null}}\n"
        "  c: {extends: b, llm_override: null}\n"
        "prompts: [{id: p, message: hi}]\n"
        "defaults: {forced_tool_id: 9}\n"
    )
    variants = resolve_variants(suite)
    (case,) = resolve_cases(suite)
    (turn,) = case.turns
    assert [effective(turn, variants[name]).forced_tool_id for name in "abc"] == [3, None, None]
    asked = [effective(turn, variants[name]).llm_override for name in "abc"]
    assert [each and each.model_dump(exclude_none=True) for each in asked] == [
        {"model_version": "x", "temperature": 1},
        {"model_version": "x"},
        None,
    ]
    assert variants["c"].repeat == 4
    assert variants["c"].only == ("p",)


def test_no_variants_are_one_that_asks_for_nothing() -> None:
    suite = read("prompts: [{message: hi, stream: false}]\n")
    (case,) = resolve_cases(suite)
    ((name, variant),) = resolve_variants(suite).items()
    assert name == "default"
    assert effective(case.turns[0], variant).model_dump(exclude_none=True) == {"stream": False}


def test_settings_are_laid_over_each_other_from_target_to_variant() -> None:
    suite = parse_suite(
        "target: {standin: {}, persona_id: 1, project_id: 1}\n"
        "defaults: {persona_id: 2, forced_tool_id: 2, deep_research: false, time_limit: 2s}\n"
        "prompts:\n"
        "  - forced_tool_id: 3\n"
        "    time_limit: 3s\n"
        "    turns: [{message: a}, {message: b, time_limit: 4s}]\n"
        "variants: {v: {stream: false}}\n",
        Path("s.yaml"),
        {},
    )
    (case,) = resolve_cases(suite)
    asked = [
        effective(turn, resolve_variants(suite)["v"]).model_dump(exclude_none=True) for turn in case.turns
    ]
    common = {"persona_id": 2, "project_id": 1, "forced_tool_id": 3, "deep_research": False, "stream": False}
    assert asked == [common | {"time_limit": 3_000_000_000}, common | {"time_limit": 4_000_000_000}]


def test_a_variant_overrides_what_a_prompt_sets_when_it_says_so() -> None:
    suite = read("variants: {v: {stream: false, overrides: true}}\nprompts: [{message: a, stream: true}]\n")
    (case,) = resolve_cases(suite)
    assert effective(case.turns[0], resolve_variants(suite)["v"]).stream is False


def test_messages_ids_and_checks_are_filled_in(built: Suite) -> None:
    cases = resolve_cases(built)
    assert [case.case_id for case in cases] == [
        "refund-window", "invoice-total", "faq/colour", "sso-setup", "every-parameter", "goes-on",
        "in-a-project", "which-model", "row/82",
    ]  # fmt: skip
    assert cases[0].turns[0].message == "How long is the refund window for Atlas?"
    assert cases[2].cluster == "looks"
    (colour,) = (check.args for check in cases[2].turns[0].assert_ if check.type == "icontains")
    assert colour == IContains(value="blue")


def test_a_conversation_keeps_its_own_checks_apart() -> None:
    suite = read(
        "defaults: {assert: [stream-complete]}\n"
        "prompts:\n"
        "  - turns: [{message: a, assert: [{type: equals, value: x}]}, {id: last, message: b}]\n"
        "    assert: [{type: contains, value: y}]\n"
        "  - message: c\n"
        "    assert: [{type: contains, value: z}]\n"
    )
    talk, question = resolve_cases(suite)
    assert [turn.id for turn in talk.turns] == ["1", "last"]
    assert [[check.name for check in turn.assert_] for turn in talk.turns] == [
        ["stream-complete", "equals"],
        ["stream-complete"],
    ]
    assert [check.name for check in talk.conversation_asserts] == ["contains"]
    assert [check.name for check in question.turns[0].assert_] == ["stream-complete", "contains"]
    assert question.conversation_asserts == ()


def test_the_threshold_of_a_ready_check_is_in_nanoseconds() -> None:
    (case,) = resolve_cases(read("prompts: [{message: a, assert: [{type: not-ttft, threshold: 1.5s}]}]\n"))
    args = case.turns[0].assert_[0].args
    assert isinstance(args, Ttft)
    assert args.threshold == 1_500_000_000


def test_variables_of_a_turn_win_over_its_prompt_and_those_over_defaults() -> None:
    suite = read(
        "defaults: {vars: {a: 1, b: 1, c: 1}}\n"
        "prompts:\n"
        "  - vars: {b: 2, c: 2}\n"
        "    turns: [{vars: {c: 3}, message: '{{ a }}{{ b }}{{ c }}'}, {message: '{{ c }}'}]\n"
    )
    (case,) = resolve_cases(suite)
    assert [turn.message for turn in case.turns] == ["123", "2"]


def test_the_id_of_a_prompt_without_one_stays_when_others_come_and_go() -> None:
    (alone,) = resolve_cases(read("prompts: [{message: a}]\n"))
    cases = resolve_cases(
        read("prompts: [{message: b}, {message: a, tags: [x]}, {turns: [{message: a}, {message: b}]}]\n")
    )
    assert cases[1].case_id == alone.case_id
    assert len({case.case_id for case in cases}) == 3


def test_only_names_prompts_and_tags() -> None:
    suite = read(
        "variants: {all: {}, tagged: {only: tag:x}, named: {only: [b]}}\n"
        "prompts: [{id: a, message: a, tags: x}, {id: b, message: b}]\n"
    )
    variants = resolve_variants(suite)
    asked = {
        name: [case.case_id for case in resolve_cases(suite) if runs_on(variant, case)]
        for name, variant in variants.items()
    }
    assert asked == {"all": ["a", "b"], "tagged": ["a"], "named": ["b"]}


def test_repeats_and_retries_are_said_by_the_nearest() -> None:
    suite = read(
        "defaults: {repeat: 2, retry: {attempts: 3}}\n"
        "variants: {plain: {}, own: {repeat: 5, retry: {attempts: 1}}}\n"
        "prompts: [{id: a, message: a}, {id: b, message: b, repeat: 4, retry: {for: [503]}}]\n"
    )
    a, b = resolve_cases(suite)
    plain, own = resolve_variants(suite).values()
    assert [repeats(a, plain, suite), repeats(b, plain, suite), repeats(b, own, suite)] == [2, 4, 5]
    assert [retries(a, plain).attempts, retries(b, plain).attempts, retries(b, own).attempts] == [3, 2, 1]
    assert retries(b, plain).for_ == ("503",)
    assert retries(a, plain).for_ == ("connect", "429", "503")


def test_one_and_no_repeats_are_told_apart() -> None:
    suite = read("prompts: [{message: a}]\n")
    (case,) = resolve_cases(suite)
    assert repeats(case, resolve_variants(suite)["default"], suite) == 1
    assert retries(case, resolve_variants(suite)["default"]).attempts == 2


def test_what_jinja_offers_is_there_and_what_is_random_is_not() -> None:
    suite = read(
        "prompts: [{message: '{% for n in range(3) %}{{ n }}{% endfor %}{{ w | upper }}', vars: {w: x}}]\n"
    )
    assert resolve_cases(suite)[0].turns[0].message == "012X"
    with pytest.raises(SuiteError, match="No filter named 'random'"):
        read("prompts: [{message: '{{ [1, 2] | random }}'}]\n")


def test_literal_braces_are_written_raw() -> None:
    suite = read("prompts: [{message: '{% raw %}{{ x }}{% endraw %}'}]\n")
    assert resolve_cases(suite)[0].turns[0].message == "{{ x }}"
