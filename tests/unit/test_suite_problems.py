"""Everything that is wrong with a suite is told at once, each thing at its line and column."""

from pathlib import Path

import pytest

from harness.errors import SuiteError
from harness.suite.expect import BUILT, NOT_OFFERED
from harness.suite.model import Suite
from harness.suite.prompts import Expect
from harness.suite.read import parse_suite
from harness.suite.resolve import resolve_cases

HEAD = "target: standin\n"
ONE = "prompts: [{message: hi}]\n"


def read(text: str) -> Suite:
    return parse_suite(text, Path("s.yaml"), {})


def problems(text: str) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        read(text)
    return [f"{each.line}:{each.column} {each.message}" for each in caught.value.problems]


def assert_told(text: str, starts: list[str]) -> None:
    """Exactly these problems, by how each of them begins."""
    found = problems(text)
    assert len(found) == len(starts), found
    for told, start in zip(found, starts, strict=True):
        assert told.startswith(start)


def test_all_problems_of_a_file_are_told_in_its_order() -> None:
    text = """\
target: standin
varaints: {}
load: {workers: 0}
defaults:
  vars: {product: Atlas}
prompts:
  - id: a
    message: |
      Hello,
      what is {{ produt }}?
    turn: 3
    repeat: two
    assert: [icontain, {type: regex, value: "("}]
  - id: a
    message: 42
  - tags: [x]
"""
    found = problems(text)
    starts = [
        "2:1 varaints: unknown key",
        "3:17 load.workers: 0: at least 1 is wanted",
        '10:18 prompts[0].message: variable "produt" is not defined',
        "11:5 prompts[0].turn: unknown key",
        "12:13 prompts[0].repeat: two: a whole number is wanted",
        "13:14 prompts[0].assert[0]: icontain: unknown type",
        "13:45 prompts[0].assert[1].value: regex: this is no regular expression: missing )",
        '14:9 prompts[1].id: "a" is the id of prompts[0] (line 7) already: ids are unique',
        "15:14 prompts[1].message: 42: text is wanted",
        "16:5 prompts[2]: a prompt needs a message, or turns",
    ]
    assert_told(text, starts)
    assert "did you mean variants?" in found[0]
    assert "did you mean product?" in found[2]
    assert "did you mean turns?" in found[3]
    assert "did you mean icontains?" in found[5]


@pytest.mark.parametrize(
    ("rest", "found"),
    [
        pytest.param("", ['1:1 "prompts" is missing'], id="no prompts"),
        pytest.param(
            "prompts: []\n", ["2:1 prompts: this is empty: nothing would be asked"], id="empty prompts"
        ),
        pytest.param(
            "prompts:\n",
            ["2:9 prompts: nothing is written here: a list is wanted, such as [a, b]"],
            id="null",
        ),
        pytest.param(
            "prompts: [hello, {message: a, repeat: 0}]\n",
            [
                "2:11 prompts[0]: hello: a mapping is wanted (key: value)",
                "2:39 prompts[1].repeat: 0: at least 1 is wanted",
            ],
            id="list items keep their numbers",
        ),
        pytest.param(
            "prompts: [{id: a}]\n", ["2:11 prompts[0]: a prompt needs a message, or turns"], id="no message"
        ),
        pytest.param(
            "prompts:\n  - message:\n",
            ["3:5 prompts[0]: a prompt needs a message, or turns"],
            id="null message",
        ),
        pytest.param(
            "prompts: [{message: a, turns: [{message: b}]}]\n",
            ["2:24 prompts[0].turns: a prompt has a message or turns, not both"],
            id="message and turns",
        ),
        pytest.param(
            "prompts: [{turns: []}]\n", ["2:11 prompts[0]: a prompt needs a message, or turns"], id="no turns"
        ),
        pytest.param(
            "prompts: [{message: a}, {message: a}]\n",
            ["2:25 prompts[1]: the same messages as prompts[0] (line 2): give one an id"],
            id="two alike",
        ),
        pytest.param(
            "prompts: [{id: 'x{{ n }}', vars: {n: 1}, message: a}, {id: x1, message: b}]\n",
            ['2:60 prompts[1].id: "x1" is the id of prompts[0] (line 2) already: ids are unique'],
            id="ids alike once filled in",
        ),
        pytest.param(
            "prompts: [{turns: [{message: a}, {message: b, id: '1'}, {}, {message: q, project_id: 3}]}]\n",
            [
                '2:51 prompts[0].turns[1].id: "1" is the id of prompts[0].turns[0] already',
                "2:57 prompts[0].turns[2]: a turn needs a message",
                "2:74 prompts[0].turns[3].project_id: this holds for a whole conversation",
            ],
            id="turns",
        ),
        pytest.param(
            "prompts: [{turns: [{message: a}, {message: b, after: x}]}]\n",
            [
                '2:54 prompts[0].turns[1].after: no earlier turn is called "x"',
            ],
            id="a branch from nowhere",
        ),
        pytest.param(
            "prompts: [{message: a, allowed_tool_ids: [1.5, true, search, 7]}]\n",
            [
                "2:43 prompts[0].allowed_tool_ids[0]: 1.5: an id (a whole number) or a name (text) is wanted",
                "2:48 prompts[0].allowed_tool_ids[1]: true: an id (a whole number) or a name",
            ],
            id="ids and names",
        ),
        pytest.param(
            "prompts: [{message: a, vars: {my-var: 1, if: 2, ok: 3}}]\n",
            [
                "2:31 prompts[0].vars.my-var: a variable is named with letters, digits and _",
                "2:42 prompts[0].vars.if: a variable is named with letters, digits and _",
            ],
            id="names of variables",
        ),
        pytest.param(
            "defaults: {time_limit: 90, retry: {for: [connect, 429, 50], attempts: 0}}\n" + ONE,
            [
                "2:24 defaults.time_limit: 90: a duration needs a unit: write 90s, 90m or 90ms",
                "2:56 defaults.retry.for[2]: 50: allowed here: connect, reset, timeout, 429",
                "2:71 defaults.retry.attempts: 0: at least 1 is wanted",
            ],
            id="defaults",
        ),
        pytest.param(
            "suite: ../x\n" + ONE,
            ["2:8 suite: ../x: results are kept under this name"],
            id="name of a folder",
        ),
        pytest.param(
            "load: {}\n" + ONE, ["2:1 load: this is empty: nothing would be asked"], id="empty load"
        ),
        pytest.param(
            "load: {wokers: 3}\n" + ONE,
            ["2:8 load.wokers: unknown key"],
            id="a phase without a name, misspelt",
        ),
        pytest.param(
            "load: {a: {workers: 1.5}, b: {rate: 3}}\n" + ONE,
            [
                "2:21 load.a.workers: 1.5: a whole number is wanted",
                "2:37 load.b.rate: 3: a rate needs a unit: write 3/s, 3/m or 3/h",
            ],
            id="phases",
        ),
        pytest.param(
            "budget: {minutes: 0, deep_research: -1, tokens: 3X}\n" + ONE,
            [
                "2:19 budget.minutes: 0: more than 0 is wanted",
                "2:37 budget.deep_research: -1: at least 0 is wanted",
                "2:49 budget.tokens: 3X: a count is a whole number, or one with k or M: 500, 20k, 3M",
            ],
            id="budget",
        ),
        pytest.param(
            "load:\n"
            "  a: {rate: 2/s, workers: 8, cv: 2, when_full: drop}\n"
            "  b: {workers: 8, arrivals: gamma, max_in_flight: 4, cool_down: 1s}\n"
            "  c: {stages: [{rate: 1/s, for: 1s}], rate: 1/s, for: 5s, mix: {default: 0}}\n"
            "  d: {rate: 2, ramp: 5, stages: []}\n" + ONE,
            [
                "3:18 load.a.workers: an open load has none: conversations begin when they are due",
                "3:30 load.a.cv: this is for arrivals: gamma",
                "3:37 load.a.when_full: nothing is dropped without a limit",
                "4:19 load.b.arrivals: say how uneven",
                "4:19 load.b.arrivals: this is for an open load",
                "4:36 load.b.max_in_flight: this is for an open load",
                "4:54 load.b.cool_down: this is for a phase that lasts for a time",
                "5:7 load.c.stages: stages have rates of their own",
                "5:50 load.c.for: each of the stages says how long it lasts",
                "5:59 load.c.mix: one variant at least needs a share",
                "6:13 load.d.rate: 2: a rate needs a unit",
                "6:22 load.d.ramp: 5: a duration needs a unit",
                "6:25 load.d.stages: this is empty",
            ],
            id="loads",
        ),
        pytest.param(
            "load: {m: {for: 5s, mix: {zz: 1}}}\n"
            "gates: {rules: [{metric: x, variant: foo, load: bar, tag: q, max: 3xx}, {max: 1}]}\n" + ONE,
            [
                '2:31 load.m.mix.zz: "zz" is no variant',
                '3:26 gates.rules[0].metric: "x" is no metric; there are pass_rate',
                '3:38 gates.rules[0].variant: "foo" is no variant',
                '3:49 gates.rules[0].load: "bar" is no phase of load',
                '3:59 gates.rules[0].tag: "q" is no tag of a prompt',
                "3:67 gates.rules[0].max: 3xx: a limit is a number or has a unit: 0.95, 3pp, 15%, 4s, 3M",
                '3:73 gates.rules[1]: "metric" is missing',
            ],
            id="mix and gates",
        ),
    ],
)
def test_a_problem_is_told_where_it_is(rest: str, found: list[str]) -> None:
    assert_told(HEAD + rest, found)


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("{}", ["1:9 target: either standin or base_url is wanted, and one of them"]),
        (
            '{standin: {}, base_url: "http://x"}',
            ["1:9 target: either standin or base_url is wanted, and one of them"],
        ),
        (
            "{base_url: 'localhost:8080'}",
            ["1:20 target.base_url: localhost:8080: the address of a server is wanted"],
        ),
        (
            "{base_url: 'http://x:99999'}",
            ["1:20 target.base_url: http://x:99999: the address of a server is wanted"],
        ),
        (
            "{base_url: 'http://x/?a=b'}",
            ["1:20 target.base_url: http://x/?a=b: an address ends before ? and #"],
        ),
        ("{base_url: 5}", ['1:20 target.base_url: 5: text is wanted; quote it: "5"']),
        (
            "{standin: {}, audit: 1.5}",
            ["1:30 target.audit: 1.5: a share needs a unit"],
        ),
        ("{standin: {}, dialect: onix}", ["1:32 target.dialect: onix: allowed here: sigma, onyx, auto"]),
        (
            "{standin: {dialect: onyx}, dialect: sigma}",
            ["1:45 target.dialect: the stand-in is to speak onyx"],
        ),
        ("http://x", ["1:9 target: http://x: a mapping is wanted (key: value)"]),
    ],
)
def test_a_target_is_the_stand_in_or_an_address(target: str, found: list[str]) -> None:
    assert_told(f"target: {target}\n{ONE}", found)


def test_what_the_stand_in_speaks_is_what_is_spoken_to_it() -> None:
    assert read("target: {standin: {dialect: onyx}}\n" + ONE).target.dialect == "onyx"
    assert read(HEAD + ONE).target.dialect == "sigma"


@pytest.mark.parametrize(
    ("variants", "found"),
    [
        ("{a: {extends: bas}, base: {}}", ['2:25 variants.a.extends: no variant is called "bas"']),
        ("{a: {extends: a}}", ["2:25 variants.a.extends: circular: a extends a"]),
        (
            "{a: {extends: b}, b: {extends: c}, c: {extends: a}, d: {extends: a}}",
            ["2:59 variants.c.extends: circular: a extends b extends c extends a"],
        ),
        (
            "{b: {matrix: {stream: {a: true}}}, c: {extends: b}}",
            ['2:59 variants.c.extends: "b" has a matrix and stands for several variants'],
        ),
        ("{a: {exclude: [x]}}", ["2:16 variants.a.exclude: there is no matrix to leave a cell out of"]),
        (
            "{b: {matrix: {forced_tool_id: {x: 1, y: null}, stream: {z: true}}, exclude: [x+zz]}}",
            ['2:88 variants.b.exclude[0]: no cell is called "x+zz"'],
        ),
        (
            "{b: {matrix: {stream: {z: true}}, exclude: [z]}}",
            ["2:45 variants.b.exclude: this leaves out every cell"],
        ),
        ("{b: {matrix: {}}}", ["2:16 variants.b.matrix: this makes 0 variants"]),
        (
            "{b: {matrix: {strm: {a: 1}, stream: 3, forced_tool_id: {x: [1], a+b: 2}}}}",
            [
                "2:25 variants.b.matrix.strm: no such setting",
                "2:47 variants.b.matrix.stream: 3: a mapping is wanted (key: value)",
                "2:70 variants.b.matrix.forced_tool_id.x: this is a list: an id (a whole number) or a name",
                "2:75 variants.b.matrix.forced_tool_id.a+b: a value of a matrix has a name without + and /",
            ],
        ),
        (
            "{b: {matrix: {llm_override: {c: {model_vers: gpt}}}}}",
            ["2:44 variants.b.matrix.llm_override.c.model_vers: unknown key"],
        ),
        (
            "{a: {only: [tag:x, foo]}, b: {only: []}}",
            [
                '2:23 variants.a.only[0]: "tag:x" is no id of a prompt and no tag of one (tag:...)',
                '2:30 variants.a.only[1]: "foo" is no id of a prompt and no tag of one (tag:...)',
                "2:47 variants.b.only: this names no prompt: take it out, or the variant",
            ],
        ),
    ],
)
def test_variants_that_cannot_be_worked_out_are_told(variants: str, found: list[str]) -> None:
    assert_told(f"{HEAD}variants: {variants}\n{ONE}", found)


def test_a_variant_that_sets_what_its_prompt_sets_is_told_with_both_places() -> None:
    text = HEAD + (
        "variants:\n"
        "  loud: {stream: true, only: [x]}\n"
        "  meant: {stream: true, overrides: true}\n"
        "  cells: {matrix: {stream: {on: true, off: false}}, only: [y]}\n"
        "  apart: {stream: true, only: [z]}\n"
        "prompts:\n"
        "  - {id: x, message: a, stream: false}\n"
        "  - {id: y, turns: [{message: b}, {message: c, stream: true}]}\n"
        "  - {id: z, message: d}\n"
    )
    why = "set stream too, and the variant runs on it: keep one of them, or add overrides: true to"
    assert problems(text) == [
        f"3:18 variants.loud.stream: prompts[0] (line 8) {why} variants.loud",
        f"5:28 variants.cells.matrix.stream: prompts[1].turns[1] (line 9) {why} variants.cells",
    ]


@pytest.mark.parametrize("where", ["defaults", "variant", "prompt", "cell"])
def test_deep_research_without_a_budget_is_told_the_line_to_add(where: str) -> None:
    deep = "deep_research: true"
    text = {
        "defaults": f"defaults: {{{deep}}}\nprompts: [{{message: a, repeat: 6}}]\n",
        "variant": f"variants: {{d: {{{deep}, repeat: 3}}}}\nprompts: [{{message: a}}, {{message: b}}]\n",
        "prompt": f"prompts: [{{message: a, {deep}, repeat: 6}}]\n",
        "cell": "variants: {d: {matrix: {deep_research: {on: true, off: false}}}}\n"
        "prompts: [{message: a, repeat: 6}]\n",
    }[where]
    (found,) = problems(HEAD + text)
    assert found.endswith("add budget: {deep_research: 6}")
    assert read(HEAD + text + "budget: {deep_research: 6}\n").budget.deep_research == 6


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ("2024-01-01T02:00:00+02:00", "2024-01-01T00:00:00Z"),
        ("'2024-01-01 00:00:00.5-01:00'", "2024-01-01T01:00:00.500000Z"),
    ],
)
def test_a_cutoff_is_a_moment_in_utc(written: str, meant: str) -> None:
    suite = read(HEAD + f"prompts: [{{message: a, search_filters: {{time_cutoff: {written}}}}}]\n")
    filters = suite.prompts[0].search_filters
    assert filters is not None
    assert filters.time_cutoff == meant


@pytest.mark.parametrize(
    "written", ["2024-01-01", "2024-01-01T00:00:00", "yesterday", "0001-01-01T00:00:00+14:00"]
)
def test_a_cutoff_without_its_zone_is_told(written: str) -> None:
    text = HEAD + f"prompts: [{{message: a, search_filters: {{time_cutoff: {written}}}}}]\n"
    assert_told(text, [f"2:54 prompts[0].search_filters.time_cutoff: {written}: ISO 8601 with its zone"])


# Checks


@pytest.mark.parametrize("key", ["token_limit", "cost_limit", "turn_limit"])
def test_a_limit_that_other_tools_have_says_what_there_is_in_its_place(key: str) -> None:
    (found,) = problems(HEAD + f"defaults: {{{key}: 3}}\n" + ONE)
    assert "; budget." in found or "; a conversation has the turns that are written;" in found


@pytest.mark.parametrize("kind", sorted(BUILT))
def test_a_built_type_is_taken_with_and_without_not(kind: str) -> None:
    plain, negated = (Expect.model_validate(each) for each in (kind, f"not-{kind}"))
    assert (plain.name, plain.type, plain.negated) == (kind, kind, False)
    assert (negated.name, negated.type, negated.negated) == (f"not-{kind}", kind, True)


@pytest.mark.parametrize("kind", sorted(NOT_OFFERED))
def test_a_type_that_is_not_offered_says_why(kind: str) -> None:
    (found,) = problems(HEAD + f"prompts: [{{message: a, assert: ['{kind}']}}]\n")
    assert found == f"2:33 prompts[0].assert[0]: {kind} is not offered: {NOT_OFFERED[kind]}"


@pytest.mark.parametrize(
    ("check", "found"),
    [
        (
            "{type: contans, value: x}",
            "2:40 prompts[0].assert[0].type: contans: unknown type; did you mean contains?",
        ),
        ("{value: x}", '2:33 prompts[0].assert[0]: "type" is missing'),
        ("5", "2:33 prompts[0].assert[0]: 5: a mapping is wanted"),
        ("equals", "2:33 prompts[0].assert[0]: equals wants a value"),
        (
            "{type: contains, value: 42}",
            '2:57 prompts[0].assert[0].value: contains: text is wanted; quote it: "42"',
        ),
        ("{type: contains, value: ''}", "2:57 prompts[0].assert[0].value: contains: "),
        (
            "{type: contains, value: [a, b]}",
            "2:57 prompts[0].assert[0].value: contains: one text is wanted; for a list there are",
        ),
        ("{type: contains, value: x, mn: 1}", "2:60 prompts[0].assert[0].mn: unknown key; contains has"),
        (
            "{type: contains, value: x, threshold: 1}",
            "2:60 prompts[0].assert[0].threshold: unknown key; contains has",
        ),
        ("{type: contains, value: x, weight: -1}", "2:68 prompts[0].assert[0].weight: -1: at least 0"),
        (
            "{type: regex, value: '['}",
            "2:54 prompts[0].assert[0].value: regex: this is no regular expression",
        ),
        ("ttft", "2:33 prompts[0].assert[0]: ttft wants a threshold"),
        (
            "{type: ttft, threshold: 4}",
            "2:57 prompts[0].assert[0].threshold: ttft: a duration needs a unit: write 4s",
        ),
        ("{type: ttft, threshold: 4s, value: 1}", "2:61 prompts[0].assert[0].value: unknown key; ttft has"),
        (
            "{type: stream-complete, value: x}",
            "2:57 prompts[0].assert[0].value: unknown key; stream-complete has",
        ),
        ("'trajectory:tool-used'", "2:33 prompts[0].assert[0]: trajectory:tool-used wants a value"),
        (
            "{type: 'trajectory:tool-used', value: []}",
            "2:71 prompts[0].assert[0].value: trajectory:tool-used: the name of a tool is wanted",
        ),
        (
            "{type: 'trajectory:tool-used', value: {name: a, mx: 1}}",
            "2:81 prompts[0].assert[0].value.mx: unknown key; did you mean max?",
        ),
        (
            "{type: 'trajectory:tool-used', value: {min: 1}}",
            "2:64 prompts[0].assert[0].value: trajectory:tool-used: either name or pattern",
        ),
        (
            "{type: 'trajectory:tool-used', value: {name: 3}}",
            "2:78 prompts[0].assert[0].value.name: trajectory:tool-used: text is wanted",
        ),
        (
            "{type: 'trajectory:tool-used', value: {name: a, min: 2, max: 1}}",
            "2:64 prompts[0].assert[0].value: trajectory:tool-used: min is more",
        ),
        (
            "{type: 'trajectory:tool-used', value: {name: a, max: -1}}",
            "2:86 prompts[0].assert[0].value.max: trajectory:tool-used: at least 0",
        ),
    ],
)
def test_a_check_of_the_wrong_shape_is_told(check: str, found: str) -> None:
    assert_told(HEAD + f"prompts: [{{message: a, assert: [{check}]}}]\n", [found])


# Templates


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        (
            "{message: '{{ a.b }} {{ c }}'}",
            [
                '2:25 prompts[0].message: variable "a" is not defined',
                '2:35 prompts[0].message: variable "c" is not defined',
            ],
        ),
        (
            "{message: '{{ x }} {{ y | upper }}', vars: {x: 1}}",
            ['2:33 prompts[0].message: variable "y" is not defined'],
        ),
        ("{message: '{% if %}'}", ["2:22 prompts[0].message: this template cannot be read"]),
        (
            "{message: '{{ 1 / 0 }}'}",
            ["2:22 prompts[0].message: this template cannot be filled in: division by zero"],
        ),
        (
            "{message: '{{ x.y }}', vars: {x: {z: 1}}}",
            ["2:22 prompts[0].message: 'dict object' has no attribute 'y'"],
        ),
        (
            "{message: \"{{ ''.__class__ }}\"}",
            ["2:22 prompts[0].message: this template cannot be filled in: access to attribute"],
        ),
        ("{message: a, tags: ['{{ x }}']}", ["2:31 prompts[0].tags[0]: {{ }} is filled in only in message"]),
        (
            "{message: a, vars: {x: '{{ y }}'}}",
            ["2:34 prompts[0].vars.x: {{ }} is filled in only in message"],
        ),
        (
            "{message: a, id: '{{ x }}', cluster: '{{ y }}'}",
            ['2:32 prompts[0].id: variable "x"', '2:52 prompts[0].cluster: variable "y"'],
        ),
        (
            "{message: a, assert: [{type: equals, value: '{{ x }}'}]}",
            ['2:59 prompts[0].assert[0].value: variable "x"'],
        ),
    ],
)
def test_a_template_that_cannot_be_filled_in_is_told(prompt: str, found: list[str]) -> None:
    assert_told(HEAD + f"prompts: [{prompt}]\n", found)


def test_an_undefined_variable_is_found_in_its_line_of_a_folded_text() -> None:
    text = HEAD + "prompts:\n  - message: >\n      nope is a word, and\n      here is {{ nope }}\n"
    assert problems(text)[0].startswith('5:18 prompts[0].message: variable "nope" is not defined')


def test_a_check_of_defaults_that_cannot_be_filled_in_is_told_once() -> None:
    text = (
        HEAD
        + "defaults: {assert: [{type: contains, value: '{{ z }}'}]}\nprompts: [{message: a}, {message: b}]\n"
    )
    (found,) = problems(text)
    assert found.startswith('2:49 defaults.assert[0].value: variable "z" is not defined')
    assert found.endswith("met at prompts[0]")


@pytest.mark.parametrize(
    ("prompts", "says"),
    [
        ("{id: x, message: a}", "x has no assert: it passes when the reply is complete"),
        (
            "{id: x, message: a}, {id: y, message: b}",
            "2 of 3 prompts have no assert (the first is x): they pass when the reply is complete",
        ),
    ],
)
def test_prompts_without_a_check_are_a_warning(prompts: str, says: str) -> None:
    (warning,) = read(f"{HEAD}prompts: [{{message: c, assert: [stream-complete]}}, {prompts}]\n").warnings
    assert warning == says


@pytest.mark.parametrize(
    ("rest", "found"),
    [
        pytest.param(
            "{message: a, chat_session_id: nine}",
            ["2:41 prompts[0].chat_session_id: nine: a UUID is wanted"],
            id="no uuid",
        ),
        pytest.param(
            "{message: a, chat_session_id: 5b0f5e0e-2c4e-4a5e-9c1d-0d8a4f6a1b11, persona_id: 1}",
            ["2:79 prompts[0].persona_id: a conversation that exists (chat_session_id) has its own"],
            id="session and persona",
        ),
        pytest.param(
            "{message: a, parent_message_id: 3}",
            ["2:24 prompts[0].parent_message_id: this is of a conversation that exists"],
            id="parent without session",
        ),
        pytest.param(
            "{message: a, forced_tool_id: web_search, allowed_tool_ids: [internal_search]}",
            ["2:24 prompts[0].forced_tool_id: web_search is not among allowed_tool_ids (internal_search)"],
            id="forced and not allowed",
        ),
        pytest.param(
            "{message: a, forced_tool_id: 3, allowed_tool_ids: []}",
            ["2:24 prompts[0].forced_tool_id: 3 is not among allowed_tool_ids (none)"],
            id="forced with none allowed",
        ),
        pytest.param(
            "{message: a, deep_research: true, project_id: 3}",
            [
                "2:24 prompts[0].deep_research: servers refuse deep research in a project",
                "2:39 prompts[0].deep_research: such runs are long and dear",
            ],
            id="research in a project",
        ),
        pytest.param(
            "{message: a, origin: elsewhere}",
            ["2:32 prompts[0].origin: elsewhere: allowed here: webapp"],
            id="origin",
        ),
        pytest.param(
            "{message: a, endpoint: send-messages}",
            ["2:34 prompts[0].endpoint: send-messages: allowed here: send-chat-message"],
            id="endpoint",
        ),
        pytest.param(
            "{message: a, files: [nowhere/x.pdf, tests]}",
            [
                "2:32 prompts[0].files[0]: nowhere/x.pdf: there is no folder nowhere",
                "2:47 prompts[0].files[1]: tests: this is a folder, and a file is wanted",
            ],
            id="files",
        ),
        pytest.param(
            "{message: a, files: [5, [a], {id: x, typ: y}, {id: x}]}",
            [
                "2:32 prompts[0].files[0]: 5: text is wanted",
                "2:35 prompts[0].files[1]: this is a list: text is wanted",
                '2:40 prompts[0].files[2]: "type" is missing',
                "2:48 prompts[0].files[2].typ: unknown key; did you mean type?",
                '2:57 prompts[0].files[3]: "type" is missing',
            ],
            id="neither a text nor a descriptor",
        ),
        pytest.param(
            '{message: a, mcp_headers: {X Y: a, X: 4711, Y: "a\\nb"}}',
            [
                '2:38 prompts[0].mcp_headers["X Y"]: a header\'s name has letters',
                "2:49 prompts[0].mcp_headers.X: a header's value is text",
                "2:58 prompts[0].mcp_headers.Y: a header's value has printable ASCII",
            ],
            id="headers",
        ),
        pytest.param(
            "{message: a, chat_session_id: nine, parent_message_id: 3}",
            ["2:41 prompts[0].chat_session_id: nine: a UUID is wanted"],
            id="a parent whose conversation is no uuid",
        ),
        pytest.param(
            "{message: a, parent_message_id: -1, chat_session_id: 5b0f5e0e-2c4e-4a5e-9c1d-0d8a4f6a1b11}",
            ["2:43 prompts[0].parent_message_id: -1: at least 1 is wanted"],
            id="no id of a message",
        ),
        pytest.param(
            "{turns: [{message: a, persona_id: 1, chat_session_id: 5b0f5e0e-2c4e-4a5e-9c1d-0d8a4f6a1b11}]}",
            [
                "2:33 prompts[0].turns[0].persona_id: a conversation that exists (chat_session_id) has",
                "2:33 prompts[0].turns[0].persona_id: this holds for a whole conversation",
                "2:48 prompts[0].turns[0].chat_session_id: this holds for a whole conversation",
            ],
            id="of the conversation, on a turn",
        ),
        pytest.param(
            "{turns: [{message: a}, {id: e, message: b, after: '1', repeat: 2}, "
            "{id: e/2, message: c, after: '1'}]}",
            ['2:83 prompts[0].turns[2].id: "e/2" is the id of prompts[0].turns[1] already'],
            id="called as a sibling is",
        ),
        pytest.param(
            "{turns: [{message: a}, {message: b, repeat: 2}]}",
            ["2:47 prompts[0].turns[1].repeat: only a branch is repeated"],
            id="repeat of no branch",
        ),
        pytest.param(
            "{turns: [{id: x, message: a}, {id: y, message: b, after: x, repeat: 2}, {message: c}]}",
            ['2:83 prompts[0].turns[2]: "y" is repeated and stands for several turns'],
            id="below a repeated turn",
        ),
        pytest.param(
            "{turns: [{id: x, message: a}, {id: y, after: x, regenerate: x}]}",
            ["2:49 prompts[0].turns[1].after: a turn follows an answer or is answered again, not both"],
            id="both kinds of branch",
        ),
    ],
)
def test_what_no_request_could_say_is_told_before_anything_is_sent(rest: str, found: list[str]) -> None:
    assert_told(f"{HEAD}prompts: [{rest}]\n", found)


PAIR = "llm_overrides: [{model_provider: A, model_version: a}, {model_provider: B, model_version: b}]"


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ("llm_overrides: [{model_version: a}]", "one alone is llm_override"),
        ("llm_overrides: []", "two or three models answer side by side, and here are 0"),
        (f"{PAIR}, stream: false", "models side by side and stream: false exclude each other"),
        (f"{PAIR}, llm_override: {{model_version: x}}", "models side by side and llm_override exclude"),
    ],
)
def test_models_side_by_side_have_their_rules(settings: str, wrong: str) -> None:
    (told,) = problems(f"target: {{standin: {{dialect: onyx}}}}\nprompts: [{{message: a, {settings}}}]\n")
    assert wrong in told


def test_models_side_by_side_are_unknown_to_the_guide() -> None:
    (told,) = problems(f"{HEAD}prompts: [{{message: a, {PAIR}}}]\n")
    assert "target.dialect: onyx" in told


def test_a_model_that_is_wrong_is_told_of_and_not_counted_too() -> None:
    (told,) = problems(f"{HEAD}prompts: [{{message: a, llm_overrides: [a, {{model_version: b}}]}}]\n")
    assert "llm_overrides[0]: a: a mapping is wanted" in told


def test_no_message_shows_the_value_of_a_header() -> None:
    for value in ("4711", '"4711\\n"', "[4711]", '"4711\u00e9"'):
        told = problems(f"{HEAD}prompts: [{{message: a, mcp_headers: {{X: {value}}}}}]\n")
        assert told
        assert "4711" not in str(told)


def test_nothing_follows_answers_side_by_side() -> None:
    head = "target: {standin: {dialect: onyx}}\n"
    (told,) = problems(f"{head}prompts: [{{turns: [{{message: a, {PAIR}}}, {{message: b}}]}}]\n")
    assert "nothing can follow answers that stand side by side" in told
    (prompt,) = read(f"{head}prompts: [{{turns: [{{message: a}}, {{message: b, {PAIR}}}]}}]\n").prompts
    assert prompt.turns is not None
    assert len(prompt.turns[1].llm_overrides or ()) == 2


def test_a_combination_that_a_variant_makes_is_told_at_the_variant_and_once() -> None:
    text = f"""{HEAD}variants:
  forced: {{forced_tool_id: web_search}}
prompts:
  - {{message: a, allowed_tool_ids: [internal_search]}}
  - {{message: b, allowed_tool_ids: [internal_search]}}
  - {{message: c, allowed_tool_ids: [web_search]}}
"""
    assert_told(text, ["3:12 variants.forced.forced_tool_id: web_search is not among"])


def test_a_conversation_may_take_away_the_persona_of_the_target() -> None:
    session = "chat_session_id: 5b0f5e0e-2c4e-4a5e-9c1d-0d8a4f6a1b11"
    target = "target: {standin: {}, persona_id: 1}\n"
    (told,) = problems(f"{target}prompts: [{{message: a, {session}}}]\n")
    assert told.startswith("1:23 target.persona_id: a conversation that exists")
    (case,) = resolve_cases(read(f"{target}prompts: [{{message: a, {session}, persona_id: null}}]\n"))
    assert case.turns[0].persona_id is None


def test_trials_that_would_pile_up_in_one_conversation_are_warned_of() -> None:
    session = "chat_session_id: 5b0f5e0e-2c4e-4a5e-9c1d-0d8a4f6a1b11"
    (warning,) = [
        one
        for one in read(f"{HEAD}defaults: {{repeat: 3}}\nprompts: [{{message: a, {session}}}]\n").warnings
        if "conversation" in one
    ]
    assert warning.startswith("3 trials go on in the conversation 5b0f5e0e")
    fixed = read(
        f"{HEAD}defaults: {{repeat: 3}}\nprompts: [{{message: a, {session}, parent_message_id: 4}}]\n"
    )
    assert not [one for one in fixed.warnings if "conversation" in one]
