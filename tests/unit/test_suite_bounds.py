"""A template that would take for ever, or all memory, is a problem; honest ones are filled in."""

from pathlib import Path

import pytest

from harness.suite import sandbox
from harness.suite.bounds import MOST_MADE, MOST_STEPS

VALUES = {"name": "Atlas", "rows": [{"a": 1}, {"a": 2}], "text": "one\ntwo", "n": 3}


def filled(source: str) -> tuple[str, list[str]]:
    told: list[str] = []
    return sandbox.render(source, VALUES, lambda message, _: told.append(message)), told


GROWS = "{% set ns = namespace(x='x') %}{% for i in range(60) %}{% set ns.x = "
NESTS = "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}"
ENDLESS = {
    "loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "macros": "{% macro m(n) %}{% if n %}{{ m(n-1) ~ m(n-1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "loops in loops": (
        "{% for x in [1] recursive %}{% if loop.depth < 60 %}{{ loop([1, 2]) }}{% endif %}{% endfor %}"
    ),
    "a text that doubles": (GROWS + "ns.x ~ ns.x %}{% endfor %}{{ ns.x }}"),
    "a sum that doubles": (GROWS + "ns.x + ns.x %}{% endfor %}{{ ns.x }}"),
    "a list of itself twice": (NESTS + "{{ ns.x }}"),
    "the same as JSON": (NESTS + "{{ ns.x | tojson }}"),
    "the same, beside a text": (NESTS + "{{ ns.x ~ '' }}"),
    "a list that is given itself": (
        "{% set x = [1] %}{% for i in range(60) %}{% set _ = x.extend(x) %}{% endfor %}{{ x | length }}"
    ),
    "a text in a block, again and again": (
        "{% set x = 'x' * 999999 %}{% set y %}{% for _ in range(999) %}{{ x }}{% endfor %}{% endset %}{{ y }}"
    ),
    "a filter for each of many": "{{ range(99999) | map('center', 999999) | list | length }}",
}


@pytest.mark.slow
@pytest.mark.parametrize("source", [pytest.param(each, id=name) for name, each in ENDLESS.items()])
def test_what_goes_on_for_ever_stops_where_its_allowance_ends(source: str) -> None:
    text, (told,) = filled(source)
    assert text == ""
    assert told.endswith(
        f"it takes more than {MOST_STEPS:,} steps, or makes more than {MOST_MADE:,} characters"
    )


LARGE = [
    "{{ 'x' * 10000000000 }}",
    "{{ 10000000000 * [1] }}",
    "{{ ('x' * 99999) | list | join('y' * 99999) }}",
    "{{ 'x'.join(('y' * 99999) | list) | replace('x', 'z' * 99999) }}",
    "{{ ('x' * 99999).replace('x', 'y' * 99999) }}",
    "{{ 'x' | center(10000000000) }}",
    "{{ 'x'.ljust(10000000000) }}",
    "{{ 'x'.zfill(10000000000) }}",
    "{{ ('\\n' * 99999) | indent(99999) }}",
    "{{ '\\t'.expandtabs(1000000000) }}",
    "{{ '%10000000000d' % 1 }}",
    "{{ '%*d' % (10000000000, 1) }}",
    "{{ '{:>10000000000}'.format(1) }}",
    "{{ '{:>{}}'.format(1, 10000000000) }}",
    "{{ '%10000000000d' | format(1) }}",
    "{{ ('{0}' * 99999).format('x' * 99999) }}",
    "{{ [1] | batch(9999999999, 0) | list }}",
    "{{ [1] | slice(9999999999) | list }}",
    "{{ 1 | round(999999999) }}",
    "{{ 10 ** 10000000000 }}",
    "{{ 10 ** 5000 }}",
    "{{ (1).to_bytes(10000000000) }}",
    "{{ {'x': 'y'} | tojson(indent=10000000000) }}",
]


@pytest.mark.parametrize("source", LARGE)
def test_what_would_be_too_large_is_not_made(source: str) -> None:
    text, (told,) = filled(source)
    assert text == ""
    assert "this template cannot be filled in: " in told
    assert "too large" in told or "would make" in told


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", id="brackets"),
        pytest.param("{% if n %}" * 150 + "{% endif %}" * 150, id="conditions"),
        pytest.param("{% if n %}" * 3000 + "{% endif %}" * 3000, id="more conditions"),
        pytest.param("{% for i in rows %}" * 40 + "{% endfor %}" * 40, id="loops"),
        pytest.param("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", id="a macro without an end"),
    ],
)
def test_what_is_nested_beyond_reason_is_a_problem_and_no_traceback(source: str) -> None:
    text, (told,) = filled(source)
    assert text == ""
    assert told.endswith("too deeply")


HONEST = {
    "{% for x in rows %}{{ loop.index }}/{{ loop.length }} {{ x.a }}{{ ',' if not loop.last }}{% endfor %}": (
        "1/2 1,2/2 2"
    ),
    "{% for x in [[1, [2]]] recursive %}{{ x if x is number else loop(x) }}{% endfor %}": "12",
    "{{ rows | map(attribute='a') | join(', ') }}": "1, 2",
    "{% set x = [] %}{% for i in range(3) %}{% set _ = x.append(i) %}{% endfor %}{{ x }}": "[0, 1, 2]",
    "{{ text | indent(2) }}|{{ text | upper }}|{{ name ~ n }}|{{ name * 2 }}": (
        "one\n  two|ONE\nTWO|Atlas3|AtlasAtlas"
    ),
    "{{ '%05.2f' % 3.14159 }} {{ '{:>6}'.format(name) }} {{ '{a}'.format(a=1700000000) }}": (
        "03.14  Atlas 1700000000"
    ),
    "{{ 2 ** 64 }} {{ 1700000000 | int }} {{ missing | default(10000000000) }}": (
        "18446744073709551616 1700000000 10000000000"
    ),
    "{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(name) }}{{ name | replace('A', 'a') }}": "<Atlas>atlas",
    "{{ rows | tojson(indent=1) }}": '[\n {\n  "a": 1\n },\n {\n  "a": 2\n }\n]',
    "{{ (text * 100000) | length }}": "700000",
    "{% for a in [] %}x{% else %}none{% endfor %}": "none",
}


@pytest.mark.parametrize(("source", "wanted"), HONEST.items())
def test_honest_templates_are_filled_in_as_ever(source: str, wanted: str) -> None:
    assert filled(source) == (wanted, [])


@pytest.mark.slow
def test_each_render_has_an_allowance_of_its_own() -> None:
    source = "{% for i in range(12000) %}{% for j in range(10) %}{% endfor %}{% endfor %}done"
    assert [filled(source) for _ in range(3)] == [("done", [])] * 3


def test_the_two_modules_are_the_only_ones_that_know_jinja() -> None:
    """An allowance counts for what is rendered here: nobody else renders what a suite says."""
    folder = Path(sandbox.__file__).parents[1]
    using = {path.name for path in folder.rglob("*.py") if "import jinja2" in path.read_text()}
    assert using == {"sandbox.py", "pages.py"}
