"""The short way to fill in a template gives what Jinja2 gives; a problem is where the mistake was put."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import Problem, SuiteError
from harness.suite import sandbox, templates
from harness.suite.model import SuiteFile
from harness.suite.phases import Phase
from harness.suite.prompts import Prompt, Variant
from harness.suite.read import parse_suite


def problems(text: str) -> list[Problem]:
    try:
        parse_suite(text, Path("s.yaml"), {})
    except SuiteError as error:
        return error.problems
    return []


VALUES = {"a": "Atlas", "b": 3, "c": 1.5, "d": True, "e": None, "f": ["x", 1], "g": "{{ a }}"}
SIMPLE = ["{{ a }}", "{{b}}", "{{  c\n}}", "{{ d }}", "{{ e }}", "{{ f }}", "{{ g }}", "{{ nope }}"]
MARKS = ["{", "}", "{{", "}}", "{%", "%}", "{#", "#}", "-", " ", "\n", "é", "{{ a | upper }}", "{{- a -}}"]
PIECES = st.sampled_from([*SIMPLE, *MARKS])


@given(st.lists(PIECES, max_size=8).map("".join))
def test_the_short_way_says_what_jinja_says(source: str) -> None:
    ours: list[str] = []
    jinjas: list[str] = []
    text = templates.render(source, VALUES, lambda message, _: ours.append(message))
    if not templates.is_template(source):
        assert text == source
        return
    assert sandbox.render(source, VALUES, lambda message, _: jinjas.append(message)) == text
    assert ours == jinjas


@given(st.integers(1, 12), st.data())
def test_each_mistake_is_told_at_its_own_prompt(size: int, data: st.DataObject) -> None:
    wrong = data.draw(st.sets(st.integers(0, size - 1)))
    kinds = {index: data.draw(st.sampled_from(["key", "type", "variable", "shape"])) for index in wrong}
    lines = {
        "key": "  - {message: m%d, mesage: x}",
        "type": "  - {message: m%d, repeat: x}",
        "variable": "  - {message: 'm%d {{ x }}'}",
        "shape": "  - m%d",
    }
    text = "target: standin\nprompts:\n" + "\n".join(
        lines.get(kinds.get(index, ""), "  - message: m%d") % index for index in range(size)
    )
    assert [(each.line, each.message.partition("]")[0]) for each in problems(text)] == [
        (index + 3, f"prompts[{index}") for index in sorted(wrong)
    ]


@given(st.text(max_size=60))
def test_any_text_is_a_suite_or_problems_with_a_place(text: str) -> None:
    assert all(each.line >= 1 and each.column >= 1 for each in problems(text))


KEYS = [
    *SuiteFile.model_fields,
    *Prompt.model_fields,
    *Variant.model_fields,
    *Phase.model_fields,
    "assert",
    "type",
]
WORDS = st.sampled_from(
    [*KEYS, "value", "contains", "tag:x", "a", "1", "1.5", "true", "null", "yes", "{{a}}", "''"]
)
TREES = st.recursive(
    WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=25,
)


def _flow(tree: object) -> str:
    match tree:
        case dict():
            return "{" + ", ".join(f'"{key}": {_flow(value)}' for key, value in tree.items()) + "}"
        case list():
            return "[" + ", ".join(map(_flow, tree)) + "]"
        case _:
            return f'"{tree}"' if "{" in str(tree) or ":" in str(tree) else str(tree)


@settings(max_examples=50)
@given(st.dictionaries(WORDS, TREES, max_size=6))
def test_any_tree_of_our_words_is_a_suite_or_problems_in_our_words(tree: dict[str, object]) -> None:
    text = _flow({"target": "standin", "prompts": [{"message": "hi"}]} | tree)
    assert not any("Input should" in each.message or "<class" in each.message for each in problems(text))
