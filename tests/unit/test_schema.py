"""The JSON Schema takes whatever the reader takes, and refuses what it can see to be wrong."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import SuiteError
from harness.suite.asserts import TYPES
from harness.suite.document import parse_foreign
from harness.suite.edit import as_yaml
from harness.suite.read import parse_suite
from harness.suite.schema import FIRST_LINE, SCHEMA_FILE, schema_text, suite_schema
from tests.suite_reference import PAGE, own_keys, shown, written

ROOT = Path(__file__).parents[2]
SUITES = [*(ROOT / "suites").glob("*.yaml"), *(ROOT / "tests" / "suites").glob("*.yaml")]
HERE = ROOT / "tests" / "suites" / "s.yaml"
"""Where suites of these tests would lie: the files that they name are there."""
ENVIRON = {
    "SIGMA_URL": "https://sigma.example.com",
    "SIGMA_API_KEY": "a-key",
    "N": "3",
    "T": "90s",
    "D": "onyx",
}
VALIDATOR = jsonschema.Draft7Validator(suite_schema())


def data(text: str) -> Any:
    return parse_foreign(text, "s.yaml")[0]


def reader_takes(text: str) -> bool:
    try:
        parse_suite(text, HERE, ENVIRON)
    except SuiteError:
        return False
    return True


def red(text: str) -> list[str]:
    """What an editor would underline."""
    return [f"{list(error.absolute_path)}: {error.message}" for error in VALIDATOR.iter_errors(data(text))]


def in_pages() -> Iterator[tuple[str, str]]:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for number, text in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)):
            if re.search(r"^target:", text, re.MULTILINE) and re.search(r"^prompts:", text, re.MULTILINE):
                yield f"{page.name}-{number}", text


def test_the_schema_beside_the_suites_is_that_of_the_models() -> None:
    assert (ROOT / "suites" / SCHEMA_FILE).read_text() == schema_text(), (
        f"harness schema --out suites/{SCHEMA_FILE}"
    )
    jsonschema.Draft7Validator.check_schema(json.loads(schema_text()))


def test_every_suite_that_is_shipped_names_its_schema_in_the_first_line() -> None:
    for path in (ROOT / "suites").glob("*.yaml"):
        assert path.read_text().partition("\n")[0] == FIRST_LINE, path.name


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.name)
def test_every_suite_of_the_repository_has_no_red_line(path: Path) -> None:
    assert red(path.read_text()) == []


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in in_pages()])
def test_every_suite_of_the_pages_has_no_red_line(text: str) -> None:
    assert red(text) == []


def test_every_suite_of_the_page_on_suites_is_read() -> None:
    for name, text in in_pages():
        if name.startswith("suite.md"):
            parse_suite(text, HERE.with_name(name), ENVIRON)


def with_prompt(keys: str) -> str:
    return f"target: standin\nprompts: [{{message: hi, {keys}}}]\n"


def with_check(check: str) -> str:
    return f"judge: self\nembeddings: {{model: m}}\n{with_prompt(f'assert: [{check}]')}"


def with_turns(turns: str) -> str:
    return f"target: standin\nprompts: [{{turns: {turns}}}]\n"


def with_variant(variant: str) -> str:
    return f"{with_prompt('tags: a')}variants: {{a: {variant}}}\n"


def with_load(load: str) -> str:
    return f"target: standin\nprompts: [{{message: hi}}]\nload: {load}\n"


def with_target(target: str) -> str:
    return f"target: {target}\nprompts: [{{message: hi}}]\n"


A_SERVER = "base_url: https://sigma.example.com"
BOTH_TAKE = [
    with_target("${S:-standin}"),
    with_target(f"{{{A_SERVER}, api_key: '${{SIGMA_API_KEY}}', proxy: false, audit: 50%}}"),
    with_target(f"{{standin: null, {A_SERVER}, dialect: '${{D}}', cleanup: true}}"),
    with_target("{standin: {}, base_url: null, cleanup: {sessions: true}}"),
    with_prompt("id: a") + "defaults:\n  repeat: ${N:-2}\n  threshold: ${P:-0.5}\n  stream: ${S:-false}\n",
    with_prompt("time_limit: '${T}', stream: false, files: fixtures/invoice.pdf, persona_id: 3"),
    with_prompt("reduce: majority, each: {path: faq.parquet, sample: 1}, tags: a, repeat: 2"),
    with_prompt("reduce: {by: mean}, retry: {for: [connect, 429, '503']}, threshold: 80%, vars: {größe: 1}"),
    with_prompt("llm_override: null, deep_research: null, search_filters: {source_type: web, tags: {a: b}}"),
    with_turns("[{message: hi}, {regenerate: '1', message: null, repeat: 2}]"),
    with_load("\n  workers: ${N}"),
    with_load("{workers: 3, rate: null}"),
    with_load(
        "{trace: {path: fixtures/arrivals.csv, ignore: [prompt, variant]}, speed: 2x, max_in_flight: 3}"
    ),
    with_load("{trace: {rate: 2/s, for: 5s}}"),  # a phase that is called so
    with_load("{a: {rate: 2/s, for: 1m30s}, b: {stages: [{rate: 0.5/s, for: 2d}]}, c: {}}"),
    with_check("stream-complete"),
    with_check("not-is-refusal, citations"),
    with_check("{type: '${C:-contains}', value: x}"),
    with_check("{type: trajectory:tool-used, value: [a, {pattern: b, max: 2}]}"),
    with_check("{type: trajectory:tool-sequence, value: [a, b]}"),
    with_check("{type: word-count, value: 3}, {type: is-sql, value: {databaseType: mysql}}"),
    with_check("{type: documents, relevant: a, recall@5: 80%, recall@10: 0.9}"),
    with_check("{type: ttft, threshold: '{{ 4 }}s'}, {type: assert-set, assert: [stream-complete]}"),
    *(
        with_prompt("id: a") + f"gates: {{rules: [{{metric: '{metric}', min: {least}}}]}}\n"
        for metric, least in {
            **dict.fromkeys(("pass_rate", "score", "pass^1", "pass@1", "check:contains", "check:a b"), 0.5),
            **dict.fromkeys(("ttft<=2s", "stall <= 1.5s", "response_total<=1m"), "50%"),
            **dict.fromkeys(("ttft.p95", "response_ttft.p99.9", "tool.mean", "tool:a-b.p50", "gap.p5"), "1s"),
            **dict.fromkeys(("tokens_per_s.p50", "tokens", "tool_calls"), 3),
        }.items()
    ),
    with_prompt("id: a") + "redact: [email, {name: card}, 'a+', '[0-9]{3}']\n",
    with_variant("{matrix: {stream: {y: true, n: false}, persona_id: {none: null, one: 1}}}"),
    "suite: größe-1.2\ntarget: standin\njudge: null\ngates: null\nprompts: [{message: hi}]\n",
]
"""Suites in all the short forms there are, and others by which a schema might be misled."""


@pytest.mark.parametrize("text", BOTH_TAKE)
def test_what_the_reader_takes_has_no_red_line(text: str) -> None:
    parse_suite(text, HERE, ENVIRON)
    assert red(text) == []


BOTH_REFUSE = {
    "unknown key": "promts: []\n" + with_prompt("id: a"),
    "no target": "prompts: [{message: hi}]\n",
    "no prompts": "target: standin\n",
    "empty prompts": "target: standin\nprompts: []\n",
    "unknown target": with_target("standing"),
    "two targets": with_target(f"{{standin: {{}}, {A_SERVER}}}"),
    "address without scheme": with_target("{base_url: sigma.example.com}"),
    "key in the suite": with_target(f"{{{A_SERVER}, api_key: sk-abcdefgh}}"),
    "two keys": with_target(
        f"{{{A_SERVER}, api_key: '${{SIGMA_API_KEY}}', api_key_file: fixtures/provider.key}}"
    ),
    "audit without unit": with_target("{standin: {}, audit: 50}"),
    "unknown setting": with_prompt("llm_overide: {}"),
    "setting of the wrong type": with_prompt("stream: 'yes'"),
    "duration without unit": with_prompt("time_limit: 90"),
    "duration of nothing": with_prompt("time_limit: 0s"),
    "duration as a clock": with_prompt("time_limit: '1:30'"),
    "units the wrong way round": with_prompt("time_limit: 5s1m"),
    "number in quotes": with_prompt("repeat: '3'"),
    "no repeats": with_prompt("repeat: 0"),
    "number for a text": with_prompt("id: 42"),
    "day without zone": with_prompt("search_filters: {time_cutoff: '2024-01-01'}"),
    "unknown reduction": with_prompt("reduce: 8 off 10"),
    "unknown fault": with_prompt("retry: {for: [conect]}"),
    "score that is true": with_prompt("threshold: true"),
    "score above one": with_prompt("threshold: 1.5"),
    "name of a variable": with_prompt("vars: {a-b: 1}"),
    "unknown origin": with_prompt("origin: web"),
    "prompt without a message": "target: standin\nprompts: [{id: a}]\n",
    "message and turns": with_prompt("turns: [{message: ho}]"),
    "setting of a conversation in a turn": with_turns("[{message: a, persona_id: 3}]"),
    "more siblings than memory holds": with_turns("[{message: a}, {regenerate: '1', repeat: 1000000000}]"),
    "repeat without a branch": with_turns("[{message: a, repeat: 2}]"),
    "unknown check": with_check("strem-complete"),
    "check that is not built": with_check("{type: g-eval, value: x}"),
    "check that needs more": with_check("ttft"),
    "unknown key of a check": with_check("{type: ttft, treshold: 4s}"),
    "check without its value": with_check("{type: contains}"),
    "check with a time without unit": with_check("{type: latency, threshold: 4}"),
    "key of another check": with_check("{type: contains, value: x, threshold: 0.5}"),
    "assert-set without checks": with_check("{type: assert-set}"),
    "tokens without a bound": with_check("{type: tokens, of: all}"),
    "axis that is no setting": with_variant("{matrix: {tone: {a: 1}}}"),
    "cell of the wrong type": with_variant("{matrix: {stream: {a: maybe}}}"),
    "cell with a plus": with_variant("{matrix: {stream: {a+b: true}}}"),
    "empty matrix": with_variant("{matrix: {}}"),
    "unknown key of a load": with_load("{wrokers: 8}"),
    "unknown key of a phase": with_load("{peak: {rate: 2/s, form: 5m}}"),
    "rate without unit": with_load("{rate: 2, for: 5m}"),
    "workers of an open load": with_load("{rate: 2/s, for: 5m, workers: 3}"),
    "limit of a closed load": with_load("{workers: 3, max_in_flight: 4}"),
    "mix of a load without a time": with_load("{workers: 3, mix: {default: 1}}"),
    "gamma without cv": with_load("{rate: 2/s, for: 5m, arrivals: gamma}"),
    "rate beside a trace": with_load("{trace: fixtures/arrivals.csv, rate: 2/s}"),
    "empty load": with_load("{}"),
    "unknown pattern": with_prompt("id: a") + "redact: [emial]\n",
    "gates without rules": with_prompt("id: a") + "gates: {plan: fixed}\n",
    "gates with no rule": with_prompt("id: a") + "gates: {rules: []}\n",
    "unknown metric": with_prompt("id: a") + "gates: {rules: [{metric: ttft.q95, max: 4s}]}\n",
    "metric without its quantile": with_prompt("id: a") + "gates: {rules: [{metric: ttft, max: 4s}]}\n",
    "no stages": with_load("{stages: []}"),
    "rule without a limit": with_prompt("id: a") + "gates: {rules: [{metric: pass_rate}]}\n",
    "unknown plan of gates": with_prompt("id: a")
    + "gates: {plan: sequental, rules: [{metric: pass_rate, min: 1}]}\n",
    "judge without a model": with_prompt("id: a") + "judge: {base_url: 'https://j.example.com'}\n",
    "key that another tool has": with_prompt("id: a") + "defaults: {token_limit: 3k}\n",
}


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in BOTH_REFUSE.items()])
def test_what_is_wrong_with_a_suite_is_underlined_where_one_can_see_it(text: str) -> None:
    assert not reader_takes(text)
    assert red(text)


EVERYTHING = [data(path.read_text()) for path in SUITES if path.name in {"built.yaml", "regression.yaml"}]
VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(
            None,
            True,
            False,
            0,
            1,
            -1,
            2.5,
            10**9,
            "",
            "x",
            "8",
            "90s",
            "0s",
            "1h30m",
            "3M",
            "2/s",
            "15%",
            "3pp",
        ),
        *(
            "2x",
            "${N}",
            "${T}",
            "${D}",
            "{{ product }}",
            "standin",
            "self",
            "8 of 10",
            "pass^3",
            "connect",
            "é",
        ),
        *("2026-12-31", "2024-01-01T00:00:00Z", "https://x.example/", "file://checks.py:no_secrets", "email"),
        *([], ["x"], [1], [{}], {}, {"x": 1}, {"a": {}}, {"min": 1}, {"name": "x"}, {"by": "mean"}),
    ]
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        yield from places(below, (*path, key))


@pytest.mark.slow
@settings(max_examples=60)
@given(st.data())
def test_a_suite_that_was_changed_at_random_has_a_red_line_only_where_the_reader_refuses_it(
    draw: st.DataObject,
) -> None:
    suite = json.loads(json.dumps(draw.draw(st.sampled_from(EVERYTHING))))
    *above, last = draw.draw(st.sampled_from(list(places(suite))))
    place = suite
    for part in above:
        place = place[part]
    if draw.draw(st.booleans()):
        place[last] = draw.draw(VALUES)
    else:
        del place[last]
    text = as_yaml(suite)
    if not VALIDATOR.is_valid(suite):
        assert not reader_takes(text)


def every_key(schema: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(schema, dict):
        yield from schema.get("properties", {}).items()
        for name, below in schema.items():
            if name not in {"if", "allOf"}:
                yield from every_key(below)
    elif isinstance(schema, list):
        for below in schema:
            yield from every_key(below)


def test_every_key_says_what_it_means() -> None:
    shared = "#/definitions/Settings/properties/"
    keys = [(key, value) for key, value in every_key(suite_schema()) if value is not True]
    own = [(key, value) for key, value in keys if not value.get("$ref", "").startswith(shared)]
    assert len(own) > 200
    of_checks = [value for key, value in own if key == "type" and "enumDescriptions" in str(value)]
    assert [key for key, value in own if not value.get("description") and value not in of_checks] == []
    assert len(of_checks) == 1, "what is meant by a type is said of each"


def test_every_check_is_named_with_what_it_means() -> None:
    mapping = suite_schema()["definitions"]["Check"]["anyOf"][1]
    names = mapping["properties"]["type"]["anyOf"][0]
    assert {name for name in names["enum"] if not name.startswith("not-")} == set(TYPES)
    assert len(names["enumDescriptions"]) == len(names["enum"])
    assert all(names["enumDescriptions"])


def test_the_page_on_suites_is_that_of_the_models() -> None:
    page = PAGE.read_text()
    assert page == written(page), "python -m tests.suite_reference writes it anew"
    checks = {model.__name__ for model in TYPES.values()}
    of_checks = {"Check", "Load", "Named", "Used", "Called", "Words", "Sequence", "Steps", "Sql"}
    assert {*suite_schema()["definitions"], "Suite"} - checks - of_checks - shown(page) == {"FileDescriptor"}


def test_every_key_of_the_page_on_suites_has_an_example() -> None:
    page = PAGE.read_text()
    examples = "\n".join(re.findall(r"```yaml\n.*?```|`[^`\n]+`", page, re.DOTALL))
    told = [(name, key) for name in shown(page) for key in own_keys(name)]
    assert [key for key in told if not re.search(rf"\b{key[1]}:", examples)] == []
