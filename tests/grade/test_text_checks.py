"""What the answer says and what form it has: a table of answers, and what the reader refuses."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu import sentence_bleu

from harness.grade.likeness import LONGEST, bleu, levenshtein, rouge_n
from harness.result import Failure, Fault, Step
from tests.grade.checking import on, opinion, told
from tests.replies import answer, exchange

SCHEMA = {"type": "object", "required": ["total"], "properties": {"total": {"type": "number"}}}
ORDERS = {"dialect": "postgres", "allowed_tables": ["orders"]}
XML = "<order><item><price>1</price></item></order>"


@pytest.mark.parametrize(
    ("written", "text", "passed"),
    [
        ({"type": "equals", "value": "Paris"}, "Paris", True),
        ({"type": "equals", "value": {"a": [1, None]}}, '{"a": [1.0, null]}', True),
        ({"type": "equals", "value": {"a": 1}}, '{"a": true}', False),
        ({"type": "equals", "value": {"a": 1}}, '{"a": 1, "b": 2}', False),
        ({"type": "equals", "value": [1]}, "no JSON", False),
        ({"type": "equals", "value": 42}, "42", True),
        ({"type": "contains-all", "value": ["a", "b"]}, "b and a", True),
        ({"type": "contains-all", "value": "a, b"}, "b only", False),
        ({"type": "contains-all", "value": '"a, b", c'}, "a, b and c", True),
        ({"type": "contains-any", "value": ["x", "b"]}, "b", True),
        ({"type": "contains-any", "value": ["x", "y"]}, "b", False),
        ({"type": "contains-any", "value": ["B"]}, "b", False),
        ({"type": "icontains-all", "value": ["STRASSE", "b"]}, "Straße B", True),
        ({"type": "icontains-any", "value": ["NO", "B"]}, "b", True),
        ({"type": "starts-with", "value": "The"}, "The end", True),
        ({"type": "starts-with", "value": "the"}, "The end", False),
        ({"type": "regex", "value": r"^\d+\s(?P<unit>days)$"}, "30 days", True),
        ({"type": "is-json"}, ' {"total": 1}\n', True),
        ({"type": "is-json"}, "12", True),
        ({"type": "is-json"}, '{"total": NaN}', False),
        ({"type": "is-json"}, '{"total": 1} and more', False),
        ({"type": "is-json"}, "[" * 100_000, False),
        ({"type": "is-json", "value": SCHEMA}, '{"total": 1}', True),
        ({"type": "is-json", "value": SCHEMA}, '{"total": "1"}', False),
        ({"type": "contains-json"}, 'It is ```json\n{"total": 1}\n```.', True),
        ({"type": "contains-json"}, "It is {not} [json}", False),
        ({"type": "contains-json", "value": SCHEMA}, '{"a": 1} or {"total": 2}', True),
        ({"type": "contains-json", "value": SCHEMA}, '{"a": 1}', False),
        ({"type": "is-html"}, "<p>One</p><p>Two<br></p>", True),
        ({"type": "is-html"}, "<!doctype html><html><body>x</body></html>", True),
        ({"type": "is-html"}, "Text <p>One</p>", False),
        ({"type": "is-html"}, "<answer>One</answer>", False),
        ({"type": "is-html"}, "1 < 2 and 3 > 2", False),
        ({"type": "contains-html"}, "Text <b>One</b>", True),
        ({"type": "contains-html"}, "a <b c", False),
        ({"type": "is-xml"}, f"<?xml version='1.0'?>{XML}", True),
        ({"type": "is-xml", "value": "order.item.price"}, XML, True),
        ({"type": "is-xml", "value": ["order.item.name"]}, XML, False),
        ({"type": "is-xml"}, "<a><b></a>", False),
        (
            {"type": "contains-xml", "value": {"required_elements": ["order.item"]}},
            f"Here: {XML} - done",
            True,
        ),
        ({"type": "contains-xml"}, "a < b", False),
        ({"type": "is-sql"}, "SELECT a FROM orders WHERE b > 1", True),
        ({"type": "is-sql"}, "hello world", False),
        ({"type": "is-sql"}, "SELECT FROM WHERE", False),
        ({"type": "is-sql", "value": ORDERS}, "WITH x AS (SELECT a FROM orders) SELECT a FROM x", True),
        ({"type": "is-sql", "value": ORDERS}, "DELETE FROM users", False),
        ({"type": "is-sql", "value": {"allowedColumns": ["a"]}}, "SELECT b FROM t", False),
        ({"type": "is-sql", "value": "PostgreSQL"}, "SELECT 'a' ~ 'b'", True),
        ({"type": "contains-sql"}, "Try\n```sql\nSELECT 1\n```", True),
        ({"type": "contains-sql"}, "Try something else", False),
        ({"type": "levenshtein", "value": "kitten", "threshold": 3}, "sitting", True),
        ({"type": "levenshtein", "value": "kitten", "threshold": 2}, "sitting", False),
        ({"type": "word-count", "value": 2}, "two words", True),
        ({"type": "word-count", "value": {"max": 1}}, "two words", False),
        ({"type": "word-count", "value": {"min": 2, "max": 3}}, "one two  three", True),
        ({"type": "rouge-n", "value": "the cat sat", "threshold": 0.6}, "the cat ran", True),
        ({"type": "rouge-n", "value": "the cat sat", "n": 2, "threshold": 0.6}, "the cat ran", False),
        ({"type": "bleu", "value": "the cat sat on the mat"}, "the cat sat on the mat", True),
        ({"type": "bleu", "value": ["no match here at all", "the cat sat on the mat"]}, "a dog", False),
        ("is-refusal", "I\u2019m sorry, but I can\u2019t help with that.", True),
        ("is-refusal", "The refund window is 30 days.", False),
    ],
    ids=str,
)
def test_a_check_of_the_answer_finds_what_it_says(written: Any, text: str, passed: bool) -> None:
    found = on(written, text)
    assert found.passed is passed, found.reason
    assert found.score is None or 0 <= found.score <= 1
    assert len(found.reason) < 800


TYPES = ["equals", "contains-all", "regex", "is-json", "is-html", "is-xml", "is-sql", "is-refusal", "bleu"]


@pytest.mark.parametrize("kind", TYPES)
def test_an_answer_that_broke_could_not_be_graded(kind: str) -> None:
    broke = exchange(answer("The cap")[:-1], failure=Failure(Fault.DISCONNECTED, Step.BODY, "reset"))
    value = {} if kind.startswith("is-") else {"value": ["x"] if kind == "contains-all" else "x"}
    assert opinion({"type": kind, **value}, broke).passed is None


def test_the_share_that_is_there_is_the_score() -> None:
    assert on({"type": "contains-all", "value": ["a", "b", "c", "d"]}, "a, b, c").score == 0.75
    assert on({"type": "levenshtein", "value": "abcd", "threshold": 9}, "abce").score == 0.75


def test_a_pattern_that_takes_for_ever_leaves_the_answer_ungraded() -> None:
    began = time.monotonic()
    found = on({"type": "regex", "value": "(a+)+$"}, "a" * 40 + "b")
    if found.passed is None:
        assert "took longer than 2 s" in found.reason
    assert time.monotonic() - began < 30


def test_nothing_outside_is_asked_for_a_schema_an_entity_or_a_file() -> None:
    remote = {"type": "is-json", "value": {"$ref": "http://127.0.0.1:9/schema.json"}}
    found = on(remote, "{}")
    assert found.passed is None
    assert "refers to what is not in it" in found.reason
    entity = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'
    assert "root:" not in on("is-xml", entity).reason
    bomb = (
        '<!DOCTYPE a [<!ENTITY b "'
        + "c" * 100
        + '">'
        + "".join(f'<!ENTITY b{n} "{"&b;" if n == 0 else f"&b{n - 1};" * 10}">' for n in range(9))
        + "]><a>&b8;</a>"
    )
    on("is-xml", bomb)


def test_five_megabytes_are_graded() -> None:
    text = "word " * 1_000_000
    for written in (
        {"type": "levenshtein", "value": "short"},
        {"type": "contains-json"},
        {"type": "word-count", "value": {"min": 1_000_000}},
        "is-xml",
        "contains-html",
    ):
        assert on(written, text).passed is not None


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("{type: contains-all, value: []}", "contains-all: "),
        ("{type: contains-any, value: [1]}", 'texts are wanted; quote it: "1"'),
        (
            "{type: contains-any}",
            "contains-any wants a value: {type: contains-any, value: [30 days, thirty days]}",
        ),
        ("{type: is-json, value: {type: objekt}}", "this is no JSON Schema: "),
        ("{type: is-json, value: 'file://schema.json'}", "write it here, not as text"),
        ("{type: is-sql, value: oracel}", "oracel: Unknown dialect"),
        ("{type: is-sql, value: {allowed_table: [a]}}", "unknown key; did you mean allowed_tables?"),
        ("{type: is-xml, value: 'a b'}", "an element is named by its path from the root"),
        ("{type: word-count, value: {}}", "a min is wanted, a max, or both"),
        ("{type: word-count, value: {min: 2, max: 1}}", "no number of words could pass"),
        ("{type: levenshtein, value: x, threshold: -1}", "at least 0 is wanted"),
        ("{type: rouge-n, value: x, n: 0}", "at least 1 is wanted"),
        ("{type: bleu, value: x, threshold: 2}", "threshold"),
        ("{type: regex, value: '(?<x'}", "this is no regular expression"),
    ],
)
def test_what_a_type_does_not_take_is_told(written: str, says: str) -> None:
    assert says in told(written)


words = st.text(st.sampled_from("abc d"), max_size=12)
PAIRS = [
    ("the cat sat on the mat", "the cat is on the mat"),
    ("The refund window is 30 days.", "Refunds: thirty days from the invoice."),
    ("a b c d e f", "f e d c b a"),
    ("one", "one"),
]


@pytest.mark.parametrize(("reference", "text"), PAIRS)
def test_measures_agree_with_their_libraries(reference: str, text: str) -> None:
    for n in (1, 2):
        theirs = RougeScorer([f"rouge{n}"]).score(reference, text)[f"rouge{n}"].fmeasure
        assert rouge_n(reference, text, n) == theirs
    assert bleu((reference,), text) == pytest.approx(sentence_bleu(text, [reference]).score / 100)


@given(words, words)
def test_a_distance_is_a_metric_and_agrees_with_its_library(one: str, other: str) -> None:
    assert levenshtein(one, other, 5) == Levenshtein.distance(one, other) == levenshtein(other, one, 5)
    assert (levenshtein(one, other, 5) == 0) == (one == other)


def test_a_distance_of_long_texts_is_worked_out_no_further_than_is_asked() -> None:
    assert levenshtein("a" * (LONGEST + 1), "b" * 10, 5) == 6


@given(st.lists(words.filter(bool), min_size=1, max_size=4), words)
def test_all_is_each_of_them_and_any_is_one(values: list[str], text: str) -> None:
    has = [value in text for value in values]
    text = text or "x"
    has = [value in text for value in values]
    if text.strip():
        assert on({"type": "contains-all", "value": values}, text).passed is all(has)
        assert on({"type": "contains-any", "value": values}, text).passed is any(has)


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(documents)
def test_what_json_writes_is_json_and_equal_to_itself(document: Any) -> None:
    text = json.dumps(document)
    assert on("is-json", text).passed is True
    if isinstance(document, dict | list):
        assert on({"type": "equals", "value": document}, text).passed is True
        assert on("contains-json", f"see {text} there").passed is True
