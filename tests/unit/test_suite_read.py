"""From the bytes of a file to its data: YAML, its traps, the environment, and where things stand."""

import os
import re
from itertools import pairwise
from pathlib import Path

import pytest

from harness.errors import SuiteError, UsageError
from harness.suite.edit import with_key
from harness.suite.gates import rules_of
from harness.suite.model import Suite
from harness.suite.phases import Phase
from harness.suite.prompts import Prompt, Turn, Variant
from harness.suite.read import MOST_BYTES, load_suite, parse_suite
from harness.suite.servers import Standin, Target
from harness.suite.settings import FileDescriptor, LlmOverride, SearchFilters

DATA = Path(__file__).parents[1] / "suites"
ENVIRON = {"SIGMA_URL": "https://sigma.example.com/api", "SIGMA_API_KEY": "on_very-secret"}
HEAD = "target: standin\n"
ONE = "prompts: [{message: hi}]\n"


def read(text: str, environ: dict[str, str] = ENVIRON) -> Suite:
    return parse_suite(text, Path("s.yaml"), environ)


def problems(text: str, environ: dict[str, str] = ENVIRON) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        read(text, environ)
    return [f"{each.line}:{each.column} {each.message}" for each in caught.value.problems]


def test_the_smallest_suite_is_read() -> None:
    suite = load_suite(DATA / "smallest.yaml", environ=ENVIRON)
    assert suite.name == "smallest"
    assert suite.target.base_url == ENVIRON["SIGMA_URL"]
    assert suite.prompts[0].assert_[0].options == {"value": "Paris"}
    assert suite.load["main"].slots == 8


def test_the_suite_with_everything_is_read() -> None:
    suite = load_suite(DATA / "everything.yaml", environ=ENVIRON)
    assert suite.name == "support-agent"
    assert suite.defaults.time_limit == 90_000_000_000
    assert suite.prompts[0].search_filters is not None
    assert suite.prompts[0].search_filters.time_cutoff == "2024-01-01T00:00:00Z"
    assert suite.budget.tokens == 3_000_000
    assert suite.gates is not None
    assert [rule.told for rule in rules_of(suite)] == [
        "pass_rate max_drop 3pp",
        "pass^3 min 0.95 (tag critical)",
        "ttft.p95 max_ratio 1.15 (load peak)",
        "tokens max_ratio 1.2",
        "error_rate max 1%",
    ]
    assert suite.warnings == ()


def test_the_suites_of_these_tests_use_every_key_that_was_built() -> None:
    written = "".join((DATA / name).read_text() for name in ("built.yaml", "standin.yaml"))
    assert load_suite(DATA / "standin.yaml", environ=ENVIRON).target.standin is not None
    requests = (LlmOverride, SearchFilters, FileDescriptor, Turn, Prompt, Variant)
    unused = {
        f"{model.__name__}.{key}"
        for model in (*requests, Standin, Target, Phase)
        for name, field in model.model_fields.items()
        if not re.search(rf"\b{(key := field.alias or name)}:", written)
    }
    assert unused <= {"Variant.overrides"}


def test_everything_has_every_key_of_what_is_built() -> None:
    built, everything = (
        set(re.findall(r"\b([a-z_]+):", (DATA / name).read_text()))
        for name in ("built.yaml", "everything.yaml")
    )
    assert built - everything - {"question", "answer", "topic"} == set()


# Files


def test_a_file_that_is_not_there_is_named_with_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "nightly.yaml").write_text(HEAD + ONE)
    with pytest.raises(
        UsageError, match=r"nigthly\.yaml: there is no such file; did you mean nightly\.yaml\?"
    ):
        load_suite(tmp_path / "nigthly.yaml")


def test_a_folder_is_no_suite(tmp_path: Path) -> None:
    (tmp_path / "nightly.yaml").write_text(HEAD + ONE)
    with pytest.raises(UsageError, match=r"this is a folder.*nightly\.yaml"):
        load_suite(tmp_path)


def test_a_file_that_is_not_utf_8_is_shown_the_byte(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_bytes(b"target: standin\nprompts: [{message: caf\xe9}]\n")
    with pytest.raises(SuiteError, match=r"s\.yaml:2:24: byte 0xe9 is not UTF-8"):
        load_suite(tmp_path / "s.yaml")


def test_a_byte_order_mark_is_no_part_of_the_suite(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_bytes(b"\xef\xbb\xbf" + (HEAD + ONE).encode())
    assert load_suite(tmp_path / "s.yaml", environ={}).prompts[0].message == "hi"


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "\n\n"])
def test_an_empty_file_is_told_what_the_smallest_suite_is(text: str) -> None:
    assert problems(text)[0].startswith("1:1 the file is empty; the smallest suite is")


@pytest.mark.parametrize("text", ["hello\n", "- a\n"])
def test_a_suite_is_a_mapping(text: str) -> None:
    assert problems(text)[0].startswith("1:1 a suite is a mapping")


def test_the_name_of_the_file_is_made_safe_for_a_folder() -> None:
    assert parse_suite(HEAD + ONE, Path("a dir/my suite: 2.yaml"), {}).name == "my-suite-2"


# The traps of YAML 1.1 (peers.md, section 5), each a reading of 1.2 or an error that names it


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(
            "defaults: {retry: {on: [connect]}}\n",
            "2:20 defaults.retry.on: unknown key; allowed here: attempts, for",
            id="on as a key is the word on",
        ),
        pytest.param(
            "defaults: {deep_research: yes}\n",
            "2:27 defaults.deep_research: yes: true or false is wanted; in YAML 1.2 only true is true",
            id="yes is text",
        ),
        pytest.param(
            "defaults: {stream: off}\n",
            "2:20 defaults.stream: off: true or false is wanted; in YAML 1.2 only false is false",
            id="off is text",
        ),
        pytest.param(
            "defaults:\n  time_limit: 1:30\n",
            "3:15 defaults.time_limit: 1:30: a duration is written with units, such as 1m30s or 1h30m, "
            "not as a clock time",
            id="no base 60",
        ),
        pytest.param(
            "defaults: {vars: {code: 010}}\n",
            '2:25 010 is a different number in YAML 1.1 and 1.2: quote it ("010"), or drop the leading zero',
            id="leading zero",
        ),
        pytest.param(
            "defaults: {vars: {code: 0o10}}\n",
            '2:25 0o10 is a different number in YAML 1.1 and 1.2: quote it ("0o10"), '
            "or drop the leading zero",
            id="octal",
        ),
        pytest.param(
            "defaults: {vars: {version: 4.10}}\n",
            '2:28 defaults.vars.version: 4.10 is the number 4.1; to keep it as written, quote it: "4.10"',
            id="a number that would be filled in otherwise",
        ),
        pytest.param(
            "defaults: {search_filters: {time_cutoff: 2024-01-01}}\n",
            "2:42 defaults.search_filters.time_cutoff: 2024-01-01: ISO 8601 with its zone is wanted: "
            '"2024-01-01T00:00:00Z"',
            id="a date is text",
        ),
        pytest.param(
            "target: standin\n",
            '2:1 "target" is written twice here; the first is in line 1',
            id="duplicate key",
        ),
        pytest.param(
            "description: {{ q }}\n",
            '2:15 a key is a word; text that starts with {{ or [ is quoted: "{{ question }}"',
            id="unquoted template",
        ),
        pytest.param(
            "defaults: {vars: {u: ${A}}}\n",
            '2:23 this is not YAML: inside braces a variable is quoted: {api_key: "${SIGMA_API_KEY}"}',
            id="variable inside braces",
        ),
        pytest.param(
            "description: Note: this\n",
            '2:18 this is not YAML: text with ": " inside is quoted: "Note: this"',
            id="colon in text",
        ),
        pytest.param(
            "description: %1\n",
            "2:14 this is not YAML: text that starts with a character like this one is quoted",
            id="percent",
        ),
        pytest.param(
            "description: @a\n",
            "2:14 this is not YAML: text that starts with a character like this one is quoted",
            id="at",
        ),
        pytest.param(
            "description: !c\n",
            "2:14 !c is a YAML tag, which suites do not use; text that starts with ! is quoted",
            id="tag",
        ),
        pytest.param(
            "description: say #1 now\n",
            "2:14 what follows the # is a comment: quote the text, or write a space after the #",
            id="comment in text",
        ),
        pytest.param(
            "defaults: {llm_override: {model_version: 4.10}}\n",
            '2:42 defaults.llm_override.model_version: 4.10: text is wanted; quote it: "4.10"',
            id="version without quotes",
        ),
        pytest.param(
            "\tdescription: a\n", "2:1 this is not YAML: a tab indents this line: YAML wants spaces", id="tab"
        ),
    ],
)
def test_a_trap_of_yaml_is_named(text: str, problem: str) -> None:
    found = problems(HEAD + text + (ONE if "not YAML" not in problem else ""))
    assert found == [problem]


def test_a_bad_escape_asks_for_single_quotes() -> None:
    (found,) = problems(HEAD + 'prompts: [{message: a, assert: [{type: regex, value: "1,?284\\.50"}]}]\n')
    assert found.startswith("2:")
    assert "put a regex into single quotes" in found


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("true", True), ("false", False),
        ("12:30:45", "12:30:45"), ("2024-01-01", "2024-01-01"), ("1000.0", 1000.0), ("42", 42), ("-1", -1),
        ("1_000", "1_000"), ("~", None), ("'42'", "42"), ('"true"', "true"), ("1.2.3", "1.2.3"), ("=", "="),
    ],
)  # fmt: skip
def test_a_plain_word_means_what_yaml_1_2_says(written: str, meant: object) -> None:
    value = read(HEAD + f"prompts: [{{message: a, vars: {{x: {written}}}}}]\n").prompts[0].vars["x"]
    assert value == meant
    assert type(value) is type(meant)


def test_a_comment_after_a_word_is_a_comment() -> None:
    assert read(HEAD + "prompts:\n  - message: hello # world\n").prompts[0].message == "hello"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("prompts: [{message: hi}\n", "since line 2"),
        ('prompts:\n  - message: "hi\n', "since line 3"),
        ("prompts:\n - message: hi\n   id: a\n  tags: [x]\n", "wrong indentation"),
    ],
)
def test_a_syntax_error_is_one_problem_with_a_hint(text: str, place: str) -> None:
    (found,) = problems(HEAD + text)
    assert "this is not YAML: " in found
    assert place in found


def test_a_control_character_is_shown_where_it_stands() -> None:
    assert problems(HEAD + 'prompts: [{message: "a\x01"}]\n') == [
        "2:23 the character U+0001 is not allowed in YAML; take it out"
    ]


def test_a_second_document_is_refused() -> None:
    assert problems(HEAD + ONE + "---\na: 1\n")[0].startswith("3:1 a second document begins here")


# Anchors and aliases


def test_a_problem_behind_an_alias_is_told_once_where_it_was_written() -> None:
    text = (
        HEAD
        + "prompts:\n"
        + "  - {message: a, assert: &checks [{type: contans, value: x}]}\n"
        + "  - {message: b, assert: *checks}\n"
    )
    (found,) = problems(text)
    assert found.startswith("3:42 prompts[0].assert[0].type: contans: unknown type; did you mean contains?")


def test_merge_keys_take_what_is_not_written() -> None:
    text = (
        HEAD
        + "prompts:\n  - &p {id: a, message: hi, tags: [x]}\n  - {<<: *p, id: b}\n  - {<<: [*p], id: c}\n"
    )
    first, second, third = read(text).prompts
    assert (second.id, third.id) == ("b", "c")
    assert first.message == second.message == third.message
    assert second.tags == ("x",)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("prompts: *x\n", "2:10 no &x stands before this *x; text that starts with * is quoted"),
        ("prompts: &a [*a]\n", "2:14 *a stands inside the value it repeats"),
        ("prompts: [{<<: 3, message: a}]\n", "2:16 << merges mappings: write <<: *name, or quote the key"),
        ("a: " + "[" * 100_000, "2:44 this is nested more than 40 levels deep"),
        ("- " * 5_000, "2:83 this is nested more than 40 levels deep"),
    ],
)
def test_what_would_not_end_is_refused(text: str, problem: str) -> None:
    assert problems((HEAD if not text.startswith("-") else "\n") + text)[-1] == problem


def test_a_billion_laughs_are_cut_short() -> None:
    names = "abcdefghi"
    text = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in pairwise(names)
    )
    assert problems(text)[-1].endswith(
        "aliases repeat more than 100,000 values: write fewer of them, or rows in a file (each:)"
    )


# The environment


def test_a_variable_is_filled_in_anywhere_and_takes_its_type() -> None:
    text = (
        "target:\n  base_url: ${SIGMA_URL}\n  persona_id: ${PERSONA}\n"
        'prompts:\n  - message: "in ${WHERE:-Rome}, for $${NOT_FILLED}"\nload:\n  workers: ${WORKERS:-4}\n'
    )
    suite = read(text, ENVIRON | {"PERSONA": "7", "WHERE": ""})
    assert suite.target.persona_id == 7
    assert suite.prompts[0].message == "in Rome, for ${NOT_FILLED}"
    assert suite.load["main"].workers == 4


def test_a_quoted_variable_is_text() -> None:
    assert problems(HEAD + ONE + 'load: {workers: "${N}"}\n', {"N": "3"}) == [
        "3:17 load.workers: ${N}: a whole number is wanted, without quotes"
    ]


def test_a_number_in_a_variable_stays_text_where_text_is_wanted() -> None:
    text = "target: {standin: {}}\ndefaults:\n  llm_override:\n    model_version: ${V}\n" + ONE
    override = read(text, {"V": "4.10"}).defaults.llm_override
    assert override is not None
    assert override.model_version == "4.10"


def test_each_missing_variable_is_told_at_its_place_and_nothing_else_is() -> None:
    text = (
        "target:\n  base_url: ${SIGMA_URL}\n  api_key: ${SIGMA_API_KEY}\n"
        "prompts:\n  - message: |\n      a\n      ${X}\n"
    )
    assert problems(text, {}) == [
        "2:13 ${SIGMA_URL} is not set in the environment; set it, or write ${SIGMA_URL:-default}",
        "3:12 ${SIGMA_API_KEY} is not set in the environment; set it",
        "7:7 ${X} is not set in the environment; set it, or write ${X:-default}",
    ]


def test_a_variable_of_a_prompt_that_is_missing_is_told_once() -> None:
    text = HEAD + "defaults:\n  vars:\n    city: ${NOPE}\nprompts: [{message: 'in {{ city }}'}]\n"
    assert problems(text, {}) == [
        "4:11 ${NOPE} is not set in the environment; set it, or write ${NOPE:-default}"
    ]


def test_a_dollar_brace_that_is_no_variable_is_an_error() -> None:
    (found,) = problems(HEAD + "prompts:\n  - message: what does ${!x} do\n")
    assert found == "3:24 ${ begins no variable: write ${NAME} or ${NAME:-default}; $${ is a plain ${"


@pytest.mark.parametrize("key", ["on_literal-secret", "${SIGMA_API_KEY:-on_literal-secret}"])
def test_a_key_written_into_the_file_is_refused_and_not_repeated(key: str) -> None:
    text = f'target: {{base_url: "http://x", api_key: "{key}"}}\n' + ONE
    assert problems(text, {}) == [
        (
            "1:41 target.api_key: keys come from the environment or a file: write ${SIGMA_API_KEY}, "
            "or api_key_file"
        )
    ]


def test_an_empty_key_is_told_of() -> None:
    text = 'target: {base_url: "http://x", api_key: "${K}"}\n' + ONE
    assert problems(text, {"K": ""}) == ["1:41 target.api_key: the variable is set, but empty"]


@pytest.mark.parametrize(
    "address", ["http://user:hunter2@x", "http://user:hunter2@x:99999", "user:hunter2@x"]
)
def test_a_password_in_the_address_is_refused_and_not_repeated(address: str) -> None:
    (found,) = problems(f'target: {{base_url: "{address}"}}\n' + ONE)
    assert "secrets go into api_key" in found
    assert "hunter2" not in found


def test_no_secret_is_in_the_suite_or_in_its_problems() -> None:
    secret = ENVIRON["SIGMA_API_KEY"]
    suite = read('target: {base_url: "http://x", api_key: "${SIGMA_API_KEY}"}\n' + ONE)
    assert suite.target.api_key is not None
    assert suite.target.api_key.get_secret_value() == secret
    assert secret not in repr(suite)
    assert secret not in suite.text
    everywhere = (
        'target: {base_url: "${S}", api_key: "${S}", dialect: "${S}"}\n'
        "prompts:\n"
        '  - {message: "${S} {{ x }}", id: "${S}", repeat: "${S}"}\n'
        '  - {message: a, id: "${S}", assert: ["${S}"]}\n'
        'variants: {a: {extends: "${S}", only: ["${S}"], time_limit: "${S}"}}\n'
        'load: {main: {workers: "${S}"}}\n'
    )
    found = problems(everywhere, {"S": secret})
    assert len(found) >= 8
    assert secret not in "\n".join(found)


def wrong_file(path: Path) -> str:
    with pytest.raises((SuiteError, UsageError)) as caught:
        load_suite(path, environ=ENVIRON)
    return str(caught.value).removeprefix(f"{path}:").lstrip()


def test_a_suite_that_is_no_ordinary_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zeros.yaml").symlink_to("/dev/zero")
    for name in ("pipe.yaml", "zeros.yaml"):
        assert wrong_file(tmp_path / name) == "this is no ordinary file, and a suite is one"
    assert "embedded null byte" in wrong_file(Path("a\0b.yaml"))


def test_a_file_of_more_than_it_may_have_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    assert wrong_file(path).endswith(
        "the file has more than 16 MB: put the prompts into a file of rows (each: rows.jsonl)"
    )


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_file_in_another_encoding_is_called_by_its_name(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "other.yaml"
    path.write_bytes((HEAD + ONE).encode(encoding))
    assert wrong_file(path) == f"1:1: this is {encoding.upper()}: save the file as UTF-8"


@pytest.mark.parametrize(
    "nested", ["x: !!python/tuple " + "[" * 100_000, "? " * 50_000, "x: {" + "{ " * 100_000]
)
def test_what_is_left_out_is_bounded_in_its_depth_too(nested: str) -> None:
    """libyaml looks at every level above for each token: a deep file would take minutes."""
    assert problems(HEAD + ONE + nested)[-1].endswith("this is nested more than 40 levels deep")


def test_honest_anchors_and_merges_are_far_from_the_bound() -> None:
    text = (
        "target: standin\ndefaults: &d {repeat: 2}\nprompts:\n"
        "  - &p {<<: *d, message: hi, vars: &v {a: 1}}\n"
        "  - {<<: [*p, *d], message: again}\n  - {message: third, vars: *v}\n"
    )
    suite = read(text)
    assert [(each.message, each.repeat, each.vars) for each in suite.prompts] == [
        ("hi", 2, {"a": 1}),
        ("again", 2, {"a": 1}),
        ("third", None, {"a": 1}),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "# ü 😀\ntarget: standin\nload:\n  main:\n    workers: 2\n    # two\n\nprompts: [{message: a}]\n",
        "target: standin\nprompts: [{message: a}]\nload:\n  workers: 3",
        "target: standin\nload: {workers: 2}  # few\nprompts: [{message: a}]\n",
        'target: standin\nprompts: [{message: "load: {workers: 2}"}]\n"load" : {workers: 2}\n...',
        "---\ntarget: standin\nprompts: [{message: a}]\n",
        '{"target": "standin", "load": {"workers": 2}, "prompts": [{"message": "é"}]}',
        '{"target": "standin", "prompts": [{"message": "a"}]}',
    ],
)
def test_one_key_is_put_into_a_suite_and_the_rest_stays_as_it_was(text: str) -> None:
    load = {"limit": {"rate": "3/s", "for": "5s", "mix": {"default": 1}}}
    before, after = read(text), read(with_key(text, "load", load))
    assert list(after.load) == ["limit"]
    assert (after.load["limit"].rate, after.load["limit"].for_) == (3.0, 5_000_000_000)
    assert after.prompts == before.prompts
    assert with_key(after.text, "load", load) == after.text
