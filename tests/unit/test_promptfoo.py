"""What each thing of promptfoo becomes, and that nothing is lost without a word."""

import contextlib
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import SuiteError, UsageError
from harness.suite.document import parse_foreign
from harness.suite.edit import as_yaml
from harness.suite.expect import NOT_OFFERED
from harness.suite.promptfoo import Imported, imported
from harness.suite.promptfoo.asserts import OURS, cell
from harness.suite.read import parse_suite

FILES = {
    "words.txt": "one",
    "chat.json": '[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "{{ q }}"}]',
    "t.csv": 'q,__expected\nhello,contains: hi\n\n"two\nlines",javascript: 1\nx,ok,more\n',
    "t.yaml": "- vars: {q: one}\n",
    "schema.json": '{"type": "object"}',
}


def find(name: str) -> list[tuple[str, str]]:
    return [(each, text) for each, text in FILES.items() if name in {each, "*"}]


def convert(config: dict[str, Any] | str, **options: Any) -> Imported:
    text = config if isinstance(config, str) else as_yaml(config)
    return imported(text, "c.yaml", find, **options)


def with_check(check: Any) -> Imported:
    return convert({"prompts": ["hi"], "providers": ["openai:gpt-5"], "tests": [{"assert": [check]}]})


def only_check(check: Any) -> Any:
    done = with_check(check)
    assert done.notes == ()
    ((made,),) = (prompt["assert"] for prompt in done.suite["prompts"])
    return made


def says(done: Imported) -> list[str]:
    return [str(note) for note in done.notes]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({"type": "latency", "threshold": 5000}, {"type": "latency", "threshold": "5s"}),
        ({"type": "latency", "threshold": 1500}, {"type": "latency", "threshold": "1500ms"}),
        ({"type": "cost", "threshold": 0.01}, {"type": "cost", "threshold": 0.01}),
        ({"type": "equals", "value": 42}, {"type": "equals", "value": "42"}),
        ({"type": "equals", "value": True}, {"type": "equals", "value": "true"}),
        ({"type": "contains-any", "value": "a, b"}, {"type": "contains-any", "value": ["a", "b"]}),
        ({"type": "contains-all", "value": '"a, b",c'}, {"type": "contains-all", "value": ["a, b", "c"]}),
        ({"type": "regex", "value": r"(?<n>\d)\k<n>"}, {"type": "regex", "value": r"(?P<n>\d)(?P=n)"}),
        ({"type": "regex", "value": "(?<=a)b"}, {"type": "regex", "value": "(?<=a)b"}),
        ({"type": "similar", "value": "a"}, {"type": "similar", "value": "a", "threshold": 0.75}),
        ({"type": "levenshtein", "value": "a"}, {"type": "levenshtein", "value": "a", "threshold": 5}),
        ({"type": "word-count", "value": {"min": 1}}, {"type": "word-count", "value": {"min": 1}}),
        ({"type": "python", "value": "file://x.py"}, {"type": "python", "value": "file://x.py:get_assert"}),
        ({"type": "python", "value": "file://./x.py:f"}, {"type": "python", "value": "file://x.py:f"}),
        (
            {"type": "is-json", "value": "file://schema.json"},
            {"type": "is-json", "value": {"type": "object"}},
        ),
        ({"type": "icontains", "value": "file://words.txt"}, {"type": "icontains", "value": "one"}),
        (
            {"type": "is-sql", "value": {"databaseType": "MySQL"}},
            {"type": "is-sql", "value": {"database_type": "MySQL"}},
        ),
        (
            {"type": "trajectory:tool-args-match", "value": {"name": "a", "args": {"userId": 1}}},
            {"type": "trajectory:tool-args-match", "value": {"name": "a", "args": {"userId": 1}}},
        ),
        (
            {"type": "similar", "value": ["a", "b"], "weight": 2},
            {
                "type": "not-assert-set",
                "weight": 2,
                "assert": [
                    {"type": "not-similar", "value": "a", "threshold": 0.75},
                    {"type": "not-similar", "value": "b", "threshold": 0.75},
                ],
            },
        ),
        (
            {"type": "not-trajectory:tool-used", "value": ["a", "b_*"]},
            {
                "type": "assert-set",
                "assert": [
                    {"type": "not-trajectory:tool-used", "value": "a"},
                    {"type": "not-trajectory:tool-used", "value": {"pattern": "(?i)^b_.*$"}},
                ],
            },
        ),
        (
            {"type": "trajectory:tool-used", "value": ["a", "b"]},
            {"type": "trajectory:tool-used", "value": ["a", "b"]},
        ),
        (
            {"type": "trajectory:tool-used", "value": {"name": "a?", "max": 2}},
            {"type": "trajectory:tool-used", "value": {"pattern": "(?i)^a.$", "max": 2, "min": 1}},
        ),
        (
            {"type": "trajectory:tool-sequence", "value": {"mode": "in_order", "steps": ["a", "b.*"]}},
            {
                "type": "trajectory:tool-sequence",
                "value": {"mode": "in_order", "steps": ["a", {"pattern": r"(?i)^b\..*$"}]},
            },
        ),
        (
            {"type": "trajectory:tool-args-match", "value": {"tool": "a", "arguments": {"b": 1}}},
            {"type": "trajectory:tool-args-match", "value": {"name": "a", "args": {"b": 1}}},
        ),
        ({"type": "not-similar", "value": "a"}, {"type": "not-similar", "value": "a", "threshold": 0.75}),
        ({"type": "contains", "value": "{{ env.A }}"}, {"type": "contains", "value": "${A}"}),
        (
            {"type": "contains", "value": "{{ env.A | default('b') }}"},
            {"type": "contains", "value": "${A:-b}"},
        ),
        ({"type": "contains", "value": "${A}"}, {"type": "contains", "value": "$${A}"}),
        (
            {"type": "llm-rubric", "value": "{{ q | dump }} {{ q.length }}", "weight": 2, "metric": "m"},
            {"type": "llm-rubric", "value": "{{ q | tojson }} {{ q|length }}", "weight": 2, "metric": "m"},
        ),
        (
            {"type": "assert-set", "threshold": 0.5, "assert": [{"type": "contains", "value": "a"}]},
            {"type": "assert-set", "threshold": 0.5, "assert": [{"type": "contains", "value": "a"}]},
        ),
    ],
)
def test_a_check_says_the_same_with_us(theirs: Any, ours: Any) -> None:
    assert only_check(theirs) == ours


@pytest.mark.parametrize("kind", sorted(OURS))
def test_every_type_of_ours_keeps_its_name_also_with_not(kind: str) -> None:
    values: dict[str, Any] = {
        "python": "file://x.py",
        "assert-set": None,
        "word-count": 3,
        "latency": None,
        "cost": None,
        "is-refusal": None,
        "answer-relevance": None,
    }
    check: dict[str, Any] = {
        "value": values.get(kind, "a"),
        "threshold": 1,
        "assert": [{"type": "is-refusal"}],
    }
    if kind != "assert-set":
        check.pop("assert")
    if check["value"] is None or kind.startswith(("is-", "contains-j")):
        check.pop("value")
    for name in (kind, f"not-{kind}"):
        (made,) = with_check({"type": name, **check}).suite["prompts"][0]["assert"]
        assert made["type"] == name


@pytest.mark.parametrize(
    ("theirs", "why"),
    [
        *(
            ({"type": kind, "value": "x"}, f"{kind} has no equivalent: {why}")
            for kind, why in NOT_OFFERED.items()
        ),
        ({"type": "not-g-eval", "value": "x"}, "not-g-eval has no equivalent"),
        ({"type": "contians", "value": "x"}, "did you mean contains?"),
        ({"type": "promptfoo:redteam:pii"}, "red-team checks are not offered"),
        ({"type": "python", "value": "len(output)"}, "Python goes into a file"),
        ({"type": "regex", "value": "("}, "no regular expression"),
        ({"type": "equals", "value": {"a": 1}}, "a text is wanted"),
        ({"type": "contains", "value": "file://gone.txt"}, "there is no such file"),
        ({"type": "contains", "value": "file://x.js"}, "a value that code works out"),
        ({"type": "latency"}, "latency without threshold tells nothing"),
        ({"type": "contains", "value": ""}, "contains without value tells nothing"),
        ({"value": "x"}, "a mapping with a type"),
        ("contains", "a mapping with a type"),
    ],
)
def test_a_check_without_an_equivalent_is_told_with_its_line_and_left_out(theirs: Any, why: str) -> None:
    done = with_check(theirs)
    assert "assert" not in done.suite["prompts"][0]
    assert any(why in each and each.startswith("c.yaml:") for each in says(done))
    assert any("none of its checks is left" in each for each in says(done))


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("Paris", {"type": "equals", "value": "Paris"}),
        ("Note: this", {"type": "equals", "value": "Note: this"}),
        ("equals: Paris", {"type": "equals", "value": "Paris"}),
        ("not-contains: x", {"type": "not-contains", "value": "x"}),
        ("icontains-any: a,b", {"type": "icontains-any", "value": "a,b"}),
        ("grade: is kind", {"type": "llm-rubric", "value": "is kind"}),
        ("llm-rubric: is kind", {"type": "llm-rubric", "value": "is kind"}),
        ("similar(0.9): a", {"type": "similar", "value": "a", "threshold": 0.9}),
        ("similar: a", {"type": "similar", "value": "a", "threshold": 0.8}),
        ("latency(500)", {"type": "latency", "threshold": 500}),
        ("is-json", {"type": "is-json"}),
        ("fn: output == 1", {"type": "javascript", "value": "output == 1"}),
        ("python: file://x.py", {"type": "python", "value": "file://x.py"}),
        ("file://x.py:f", {"type": "python", "value": "file://x.py:f"}),
        ("file://x.js", {"type": "javascript", "value": "file://x.js"}),
        ("trajectory:tool-used: search", {"type": "trajectory:tool-used", "value": "search"}),
    ],
)
def test_a_cell_of_a_table_is_read_as_promptfoo_does(text: str, check: Any) -> None:
    assert cell(text) == check


@pytest.mark.parametrize(
    ("provider", "override"),
    [
        ("openai:gpt-5-mini", {"model_provider": "OpenAI", "model_version": "gpt-5-mini"}),
        ("openai:chat:gpt-5", {"model_provider": "OpenAI", "model_version": "gpt-5"}),
        ("anthropic:messages:claude-x", {"model_provider": "Anthropic", "model_version": "claude-x"}),
        ("ollama:chat:llama3:8b", {"model_provider": "Ollama", "model_version": "llama3:8b"}),
        ("bedrock:converse:us.a.b:0", {"model_provider": "Bedrock", "model_version": "us.a.b:0"}),
        ("vertex:gemini-2.5", {"model_provider": "Google", "model_version": "gemini-2.5"}),
        (
            {"id": "openai:gpt-5", "label": "a b/c", "config": {"temperature": 0}},
            {"model_provider": "OpenAI", "model_version": "gpt-5", "temperature": 0},
        ),
        ({"openai:gpt-5": {}}, {"model_provider": "OpenAI", "model_version": "gpt-5"}),
    ],
)
def test_a_provider_is_a_variant(provider: Any, override: dict[str, Any]) -> None:
    done = convert({"prompts": ["hi"], "providers": [provider]})
    assert done.notes == ()
    assert [each["llm_override"] for each in done.suite["variants"].values()] == [override]


@pytest.mark.parametrize(
    "provider",
    [
        "https://a.example.com",
        "file://p.py",
        "exec:run",
        "python:p.py",
        "echo",
        "openai:embedding:e",
        "openai:",
    ],
)
def test_a_provider_that_is_no_model_is_told(provider: str) -> None:
    done = convert({"prompts": ["hi"], "providers": [provider]})
    assert "variants" not in done.suite
    assert [note.line for note in done.notes] == [4]


def test_two_keys_in_one_line_are_two_notes_and_one_assertion_used_twice_is_one() -> None:
    text = """
prompts: [p]
providers: [{id: openai:gpt-5, config: {top_p: 1, top_k: 2}}]
checks: {a: &a {type: g-eval, value: x}}
tests: [{assert: [*a]}, {assert: [{type: is-json}, *a]}]
"""
    whats = [(note.line, note.what) for note in convert(text).notes]
    assert whats[:2] == [(3, "providers[0].config.top_p"), (3, "providers[0].config.top_k")]
    assert [what for line, what in whats[2:] if line == 4] == ["checks", "tests[0].assert[0]"]


def test_an_address_is_shown_without_what_may_be_secret() -> None:
    done = convert({"prompts": ["p"], "providers": ["https://u:hunter2@a.example.com/x?key=hunter2"]})
    assert "hunter2" not in done.text("c.yaml")
    assert "a.example.com/x has no equivalent" in says(done)[0]


def test_two_providers_of_one_model_are_two_variants() -> None:
    done = convert({"prompts": ["hi"], "providers": ["openai:gpt-5", "azure:gpt-5", "openai:chat:gpt-5"]})
    assert list(done.suite["variants"]) == ["gpt-5", "gpt-5-2", "gpt-5-3"]


def test_lists_of_texts_are_multiplied_out_and_other_lists_are_not() -> None:
    variables = {"a": ["x", "y"], "b": ["1", "2"], "c": [1, 2]}
    done = convert({"prompts": ["{{ a }}"], "providers": [], "tests": [{"vars": variables}]})
    made = [(each["vars"]["a"], each["vars"]["b"], each["vars"]["c"]) for each in done.suite["prompts"]]
    assert made == [(a, b, [1, 2]) for a in "xy" for b in "12"]
    assert len({each["id"] for each in done.suite["prompts"]}) == 4
    off = convert(
        {"prompts": ["p"], "tests": [{"vars": variables, "options": {"disableVarExpansion": True}}]}
    )
    assert len(off.suite["prompts"]) == 1


def test_a_variable_that_names_another_is_filled_in() -> None:
    tests = [{"vars": {"a": "1 {{ b }}", "b": "2 {{c}}", "c": "3"}}]
    done = convert({"prompts": ["{{ a }}"], "providers": [], "tests": tests})
    assert done.suite["prompts"][0]["vars"]["a"] == "1 2 3"
    assert done.notes == ()


def test_a_variable_reads_in_a_message_as_javascript_would_write_it() -> None:
    tests = [{"vars": {"a": True, "b": 1.0, "c": 4.5, "d": 7, "e": None, "f": "x\n"}}]
    done = convert({"prompts": ["p"], "providers": [], "tests": tests})
    assert done.suite["prompts"][0]["vars"] == {"a": "true", "b": 1, "c": 4.5, "d": 7, "e": "", "f": "x"}


def test_defaults_hold_for_every_test() -> None:
    default = {"vars": {"a": "1"}, "assert": [{"type": "is-json"}], "threshold": 0.5}
    tests = [{"vars": {"b": "2"}}, {"vars": {"a": "3"}, "threshold": 1}]
    done = convert({"prompts": ["{{ a }}"], "providers": [], "defaultTest": default, "tests": tests})
    assert done.suite["defaults"] == default
    first, second = done.suite["prompts"]
    assert (first["vars"], "threshold" in first) == ({"b": "2"}, False)
    assert (second["vars"], second["threshold"]) == ({"a": "3"}, 1)


def test_a_test_without_the_default_checks_has_them_not() -> None:
    default = {"assert": [{"type": "is-json"}]}
    tests = [{"options": {"disableDefaultAsserts": True}}, {"assert": [{"type": "is-xml"}]}]
    done = convert({"prompts": ["p"], "providers": [], "defaultTest": default, "tests": tests})
    assert "defaults" not in done.suite
    first, second = done.suite["prompts"]
    assert "assert" not in first
    assert [each["type"] for each in second["assert"]] == ["is-json", "is-xml"]


def test_the_grader_of_all_tests_is_the_judge() -> None:
    grader = {"id": "openai:gpt-5", "config": {"temperature": 0}}
    config = {
        "prompts": ["p"],
        "providers": [],
        "defaultTest": {"options": {"provider": grader, "prefix": "x "}},
        "tests": [{"assert": [{"type": "llm-rubric", "value": "is kind"}]}],
    }
    done = convert(config)
    model = {"model_provider": "OpenAI", "model_version": "gpt-5", "temperature": 0}
    assert done.suite["judge"] == {"target": "self", "llm_override": model}
    assert done.suite["prompts"][0]["message"] == "x p"
    assert done.notes == ()


def test_a_variable_that_is_data_is_told_where_a_message_shows_it() -> None:
    done = convert({"prompts": ["{{ a }} {{ b | tojson }}"], "tests": [{"vars": {"a": [1], "b": {"c": 2}}}]})
    (note,) = says(done)
    assert "{{ a }} shows data as Python does" in note


def test_who_asks_what_becomes_only() -> None:
    config = {
        "prompts": [{"id": "a", "raw": "A"}, {"id": "b", "raw": "B"}],
        "providers": [{"id": "openai:x", "prompts": ["a"]}, "openai:y", "azure:z"],
        "tests": [{"description": "t", "providers": ["openai:*"]}, {"description": "u", "prompts": ["b"]}],
    }
    done = convert(config)
    assert [each["id"] for each in done.suite["prompts"]] == ["t/a", "t/b", "u/b"]
    only = {name: each.get("only") for name, each in done.suite["variants"].items()}
    assert only == {"x": ["t/a"], "y": None, "z": ["u/b"]}


def test_a_chat_is_a_message_or_turns() -> None:
    chat = (
        '[{"role":"user","content":"one"},{"role":"assistant","content":"x"},{"role":"user","content":"two"}]'
    )
    default = {"assert": [{"type": "is-json"}]}
    done = convert({"prompts": ["file://chat.json", chat], "providers": [], "defaultTest": default})
    first, second = done.suite["prompts"]
    assert (first["message"], first["additional_context"]) == ("{{ q }}", "Be brief.")
    assert second["turns"] == [{"message": "one"}, {"message": "two", "assert": [{"type": "is-json"}]}]
    assert "what the assistant said" in " ".join(says(done))
    assert "defaults" not in done.suite


def test_a_table_has_the_lines_of_its_rows() -> None:
    done = convert({"prompts": ["{{ q }}"], "providers": [], "tests": "t.csv"})
    assert [each["vars"]["q"] for each in done.suite["prompts"]] == ["hello", "two\nlines", "x"]
    told = [(note.file, note.line, note.what) for note in done.notes]
    assert told == [
        ("t.csv", 4, "rows[1].__expected"),
        ("t.csv", 4, "rows[1]"),
        ("t.csv", 6, "rows[2].(more cells)"),
    ]


def test_how_it_is_run_is_carried_over_and_the_command_line_wins() -> None:
    options = {"repeat": 3, "maxConcurrency": 2, "timeoutMs": 30_000, "maxEvalTimeMs": 90_000}
    config = {
        "prompts": ["p"],
        "providers": [],
        "evaluateOptions": options,
        "commandLineOptions": {"repeat": 5},
    }
    done = convert(config)
    assert done.suite["defaults"] == {"repeat": 5, "time_limit": "30s"}
    assert done.suite["load"] == {"eval": {"workers": 2}}
    assert done.suite["budget"] == {"minutes": 1.5}
    assert [note.what for note in done.notes] == ["evaluateOptions.repeat"]


def test_a_reference_is_what_it_stands_for_and_a_circle_ends() -> None:
    text = """
prompts: [p]
providers: []
assertionTemplates:
  a: {type: contains, value: x}
  b: {$ref: '#/assertionTemplates/b'}
tests:
  - assert: [{$ref: '#/assertionTemplates/a', weight: 3}, {$ref: '#/assertionTemplates/b'}]
"""
    done = convert(text)
    assert done.suite["prompts"][0]["assert"] == [{"type": "contains", "value": "x", "weight": 3}]
    assert "points at nothing" in " ".join(says(done))


@pytest.mark.parametrize("text", ["a: 1", "[]", "just text"])
def test_what_is_no_config_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no promptfoo config"):
        convert(text)


_KEYS = """
    prompts providers targets tests scenarios defaultTest config assert type value threshold weight
    metric vars options prefix repeat id label raw role content description metadata evaluateOptions
    maxConcurrency timeoutMs commandLineOptions $ref path x provider
"""
KEYS = _KEYS.split()
_ODD = """
    file://t.csv file://t.yaml file://chat.json file://gone.txt words.txt contains not-contains
    assert-set python is-json latency trajectory:tool-used similar word-count openai:gpt-5 openai:
    file://p.py {{x}} {{x|dump}} ${A} $${ {% {{ }} #/tests #/x - --- : [ tag:a 1e3 0o7 010 ~ yes
    {{env.A}} role user system
"""
ODD = _ODD.split()
WORDS = st.text("abcdefgh", min_size=3, max_size=8).map(lambda word: f"k{word}")
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)
VALUES = st.one_of(TEXTS, st.booleans(), st.integers(0, 9), st.lists(WORDS, max_size=2))
TOP = ["description", "outputPath", "env", "redteam", "sharing", "tags", "metadata", "extensions", "tracing"]
OF_TEST = ["description", "provider", "providerOutput", "assertScoringFunction", "metadata", "threshold"]
OF_OPTIONS = ["prefix", "suffix", "repeat", "transform", "provider", "rubricPrompt"]
OF_PROVIDER = ["temperature", "max_tokens", "top_p", "apiKey", "tools"]
OF_CHECK = ["threshold", "weight", "metric", "provider", "rubricPrompt", "transform", "config"]


def some(known: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.one_of(st.sampled_from(known), WORDS), VALUES, max_size=4)


CHECKS = st.builds(
    lambda kind, rest: {"type": kind, "value": "a value"} | rest,
    st.sampled_from(["contains", "llm-rubric", "not-similar", "javascript", "g-eval", "python", "nonsense"]),
    some(OF_CHECK),
)
TESTS = st.builds(
    lambda checks, options, rest, variables: rest | {"assert": checks, "options": options, "vars": variables},
    st.lists(CHECKS, max_size=2),
    some(OF_OPTIONS),
    some(OF_TEST),
    st.dictionaries(WORDS, VALUES, max_size=2),
)
CONFIGS = st.builds(
    lambda rest, config, tests: (
        rest | {"prompts": ["p"], "providers": [{"id": "openai:m", "config": config}], "tests": tests}
    ),
    some(TOP),
    some(OF_PROVIDER),
    st.lists(TESTS, min_size=1, max_size=3),
)


def is_told(done: Imported, name: str) -> bool:
    """Whether a note names *name*, or something that holds it."""
    whats = [note.what for note in done.notes if "none of its checks" not in note.why]
    return any(name == what or name.startswith((f"{what}.", f"{what}[")) for what in whats)


def lost_of_test(done: Imported, test: dict[str, Any], name: str, made: dict[str, Any]) -> set[str]:
    """The keys of a test that are neither in its prompt nor in a note."""
    variables = {f"{name}.vars.{key}" for key in test["vars"].keys() - made.get("vars", {}).keys()}
    options = test["options"].keys() - {"prefix", "suffix"} - ({"repeat"} & made.keys())
    variables |= {f"{name}.options.{key}" for key in options}
    around = [str(test["options"].get(key) or "") for key in ("prefix", "suffix")]
    assert made["message"] == around[0].replace("${", "$${") + "p" + around[1].replace("${", "$${")
    here = {
        "assert",
        "vars",
        "options",
        "metadata",
    }  # what becomes of the last is tags, or a note on each key
    here |= {"threshold"} if made.get("threshold") == test.get("threshold") else set()
    here |= {"description"} if made["id"].startswith(described(test)) else set()
    return {
        key for key in {f"{name}.{key}" for key in test.keys() - here} | variables if not is_told(done, key)
    }


def described(test: dict[str, Any]) -> str:
    text = " ".join(str(test.get("description", "")).split())
    return re.sub(r"\{(?=[{%#])", "{ ", text.replace("${", "$${"))


def lost_of_checks(done: Imported, checks: list[dict[str, Any]], name: str, made: dict[str, Any]) -> set[str]:
    ours = iter(made.get("assert", ()))
    lost = set()
    for place, check in enumerate(checks):
        at = f"{name}.assert[{place}]"
        if not is_told(done, at) and not is_told(done, f"{at}.value"):
            here: dict[str, Any] = next(ours, {})
            lost |= {f"{at}.{key}" for key in check.keys() - here.keys() if not is_told(done, f"{at}.{key}")}
    return lost


@given(CONFIGS)
def test_no_key_is_lost_without_a_word(config: dict[str, Any]) -> None:
    done = convert(config)
    here = {"prompts", "providers", "tests"}
    here |= (
        {"description"} if str(config.get("description", "")) == done.suite.get("description", "") else set()
    )
    settings_ = config["providers"][0]["config"].keys() - done.suite["variants"]["m"]["llm_override"].keys()
    names = {*(config.keys() - here), *(f"providers[0].config.{key}" for key in settings_)}
    lost = {name for name in names if not is_told(done, name)}
    made = iter(done.suite["prompts"])
    for number, test in enumerate(config["tests"]):
        expanded = [next(made) for _ in range(combinations_of(test["vars"]))]
        lost |= lost_of_test(done, test, f"tests[{number}]", expanded[-1])
        lost |= lost_of_checks(done, test["assert"], f"tests[{number}]", expanded[0])
    assert next(made, None) is None
    assert lost == set()


def combinations_of(variables: dict[str, Any]) -> int:
    return math.prod(len(value) for value in variables.values() if isinstance(value, list) and value)


@given(
    st.recursive(
        st.one_of(TEXTS, st.text(max_size=30), st.booleans(), st.integers(), st.none()),
        nested := (
            lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(TEXTS, below, max_size=3))
        ),
    )
)
def test_what_is_written_as_yaml_is_read_as_it_was(data: Any) -> None:
    assert parse_foreign(as_yaml({"data": data}), "s.yaml")[0] == {"data": data}


@given(st.text(max_size=40).filter(lambda text: not re.search(r"\{[{%#]|[%#}]\}", text)))
def test_a_text_is_sent_as_it_was(text: str) -> None:
    prompt = f"a {text} b"
    variable = f"c {text} d"
    done = convert({"prompts": [prompt], "providers": [], "tests": [{"vars": {"v": variable}}]})
    suite = parse_suite(done.text("c.yaml"), Path("s.yaml"), {"SIGMA_URL": "http://s", "SIGMA_API_KEY": "k"})
    assert suite.prompts[0].message == prompt
    assert suite.prompts[0].vars == {"v": variable}


ANYTHING = st.recursive(
    st.one_of(
        TEXTS, st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.sampled_from(ODD)
    ),
    lambda below: st.one_of(
        st.lists(below, max_size=3), st.dictionaries(st.sampled_from(KEYS), below, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=6))
def test_whatever_is_written_is_converted_and_read_again_or_refused(config: dict[str, Any]) -> None:
    try:
        done = convert({"prompts": ["p"]} | config)
    except UsageError:
        return
    text = done.text("c.yaml")
    assert parse_foreign(text, "s.yaml")[0] == done.suite
    with contextlib.suppress(SuiteError):
        parse_suite(text, Path("s.yaml"), {})


def test_the_head_of_the_file_has_the_list() -> None:
    text = convert({"prompts": ["hi"], "providers": ["echo"]}).text("c.yaml")
    assert "# c.yaml:4: providers[0]: echo has no equivalent" in text
    assert Path("c.yaml").name in text


def test_references_that_grow_without_end_are_refused() -> None:
    """Each refers to the one before it nine times: a billion in the end."""
    laughs = ""
    for n in range(1, 10):
        same = ", ".join([f"{{$ref: '#/a{n - 1}'}}"] * 9)
        laughs += f"a{n}: [{same}]\n"
    text = f"prompts: [hi]\nproviders: [openai:gpt-4o]\na0: [lol]\n{laughs}tests: {{$ref: '#/a9'}}\n"
    with pytest.raises(UsageError, match=r"c\.yaml:\d+: its \$refs come to more than 200,000 values"):
        imported(text, "c.yaml", lambda _: [])


def test_json_nested_beyond_reason_is_told_and_no_traceback() -> None:
    with pytest.raises(UsageError, match=r"c\.yaml:1:.*nested more than 40 levels deep"):
        imported("[" * 5000, "c.yaml", lambda _: [])
