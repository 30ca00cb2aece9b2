"""What the agent did: a table of calls for each type, and what could not be graded."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.audit import Finding, Word
from harness.grade.agent import _matching, _met_in_order
from harness.grade.arguments import differences
from harness.grade.checks import check
from harness.grade.subject import Subject
from harness.result import Exchange
from harness.sigma.transcript import Status, ToolCall
from harness.suite.asserts.agent import Called, Named
from tests.grade.checking import expect, opinion, told
from tests.replies import IDS, SESSION, STOP, answer, delta, exchange, packet

SEQUENCE, ARGS = "trajectory:tool-sequence", "trajectory:tool-args-match"


def custom(
    name: str, turn: int, tab: int = 0, args: dict[str, Any] | None = None, error: bool = False
) -> list[str]:
    """The packets of one call of a custom tool."""
    failed: Any = {"error": {"message": "no"}} if error else {}
    return [
        packet("custom_tool_start", turn, tab, tool_name=name),
        *(
            [packet("custom_tool_args", turn, tab, tool_name=name, tool_args=args)]
            if args is not None
            else []
        ),
        packet("custom_tool_delta", turn, tab, tool_name=name, response_type="json", data="x", **failed),
        packet("section_end", turn, tab),
    ]


def called(*rounds: str | tuple[str, ...]) -> Exchange:
    """A reply after these rounds of calls; those of a tuple side by side."""
    lines = [SESSION, IDS]
    for turn, names in enumerate(rounds):
        for tab, name in enumerate((names,) if isinstance(names, str) else names):
            lines += custom(name, turn, tab)
    last = len(rounds)
    return exchange([*lines, packet("message_start", last), delta("done", last), STOP])


def with_args(*calls: dict[str, Any] | None) -> Exchange:
    lines = [line for turn, args in enumerate(calls) for line in custom("book", turn, args=args)]
    last = len(calls)
    return exchange([SESSION, IDS, *lines, packet("message_start", last), delta("done", last), STOP])


@pytest.mark.parametrize(
    ("mode", "steps", "rounds", "passed"),
    [
        ("in_order", ["a", "c"], ["a", "b", "c"], True),
        ("in_order", ["c", "a"], ["a", "b", "c"], False),
        ("in_order", ["b", "a"], [("a", "b")], True),
        ("in_order", ["a", "a"], ["a"], False),
        ("exact", ["a", "b"], ["a", "b"], True),
        ("exact", ["b", "a"], [("a", "b")], True),
        ("exact", ["a"], ["a", "b"], False),
        ("exact", ["b", "a"], ["a", "b"], False),
        ("any_order", ["b", "a"], ["a", "b"], True),
        ("any_order", ["a", "a"], ["a", "b"], False),
        ("any_order", ["a"], ["a", "a"], False),
        ("at_least", ["b", "a"], ["a", "x", "b"], True),
        ("at_least", ["a", "a"], ["a", "b"], False),
        ("only", ["a", "b"], ["a", "a"], True),
        ("only", ["a"], ["a", "b"], False),
        ("only", ["a"], [], True),
    ],
)
def test_the_five_ways_in_which_calls_may_follow_each_other(
    mode: str, steps: list[str], rounds: list[Any], passed: bool
) -> None:
    found = opinion({"type": SEQUENCE, "value": {"mode": mode, "steps": steps}}, called(*rounds))
    assert found.passed is passed, found.reason


def test_a_list_of_steps_is_in_order_and_a_step_may_be_a_pattern() -> None:
    assert opinion({"type": SEQUENCE, "value": ["a", "c"]}, called("a", "b", "c")).passed is True
    steps = [{"pattern": "^a|b$"}, "a"]
    assert opinion({"type": SEQUENCE, "value": steps}, called(("a", "b"))).passed is True
    assert opinion({"type": SEQUENCE, "value": ["a", "b", "c"]}, called("a", "b")).score == pytest.approx(
        2 / 3
    )


def test_the_rounds_of_a_later_turn_come_later() -> None:
    assert opinion({"type": SEQUENCE, "value": ["b", "a"]}, called("b"), called("a")).passed is True
    assert opinion({"type": SEQUENCE, "value": ["b", "a"]}, called("a"), called("b")).passed is False


@pytest.mark.parametrize(
    ("value", "args", "passed"),
    [
        ({"args": {"a": 1}}, {"a": 1, "b": 2}, True),
        ({"args": {"a": 1}}, {"a": 1.0}, True),
        ({"args": {"a": 1}}, {"a": "1"}, False),
        ({"args": {"a": 1}}, {"a": True}, False),
        ({"args": {"a": 1}}, {}, False),
        ({"args": {"a": None}}, {"a": None}, True),
        ({"args": {"a": {"b": 1}}}, {"a": {"b": 1, "c": 2}}, True),
        ({"args": {"a": [1, {"b": 2}]}}, {"a": [1, {"b": 2, "c": 3}]}, True),
        ({"args": {"a": [1]}}, {"a": [1, 2]}, False),
        ({"args": {"a": 1}, "mode": "exact"}, {"a": 1, "b": 2}, False),
        ({"args": {"a": 1}, "mode": "exact", "ignore": ["b"]}, {"a": 1, "b": 2}, True),
        ({"args": {"a": 1}, "mode": "exact", "defaults": {"b": 2}}, {"a": 1, "b": 2}, True),
        ({"args": {"a": 1, "b": 2}, "defaults": {"b": 2}}, {"a": 1}, True),
        ({"args": {"a": 1, "b": 9}, "ignore": ["b"]}, {"a": 1}, True),
        ({"args": {"a": {"b": 9}}, "ignore": ["a.b"]}, {"a": {"b": 1}}, True),
        ({"args": {"a": [1, 9]}, "ignore": ["a[1]"]}, {"a": [1, 2]}, True),
        ({"args": {"a": 10}, "tolerance": 0.5}, {"a": 10.4}, True),
        ({"args": {"a": 10}, "tolerance": 0.5}, {"a": 10.6}, False),
        ({"args": {"a": 100}, "tolerance": "1%"}, {"a": 101}, True),
        ({"args": {"a": 100}, "tolerance": "1%"}, {"a": 102}, False),
    ],
    ids=str,
)
def test_arguments_are_held_against_what_was_expected(
    value: dict[str, Any], args: dict[str, Any], passed: bool
) -> None:
    found = opinion({"type": ARGS, "value": {"name": "book", **value}}, with_args(args))
    assert found.passed is passed, found.reason


def test_one_call_that_fits_is_enough_and_else_the_nearest_is_told() -> None:
    wanted = {"type": ARGS, "value": {"name": "book", "args": {"a": 1, "b": 2}}}
    assert opinion(wanted, with_args({"a": 0}, {"a": 1, "b": 2})).passed is True
    found = opinion(wanted, with_args({"a": 0}, {"a": 1, "b": 3}))
    assert (found.passed, found.reason) == (False, "book: b: 2 was wanted, and 3 given")
    assert opinion(wanted, called("other")).reason.startswith("book was not called")
    assert opinion(wanted, with_args(None)).passed is None


@pytest.mark.parametrize(
    ("value", "passed"),
    [
        ({"max": 3}, True),
        ({"max": 2}, False),
        ({"min": 3}, True),
        ({"type": "round", "max": 2}, True),
        ({"type": "round", "min": 3}, False),
        ({"pattern": "^a", "min": 2, "max": 2}, True),
        ({"type": "reasoning", "max": 0}, True),
    ],
    ids=str,
)
def test_steps_are_counted(value: dict[str, Any], passed: bool) -> None:
    assert (
        opinion({"type": "trajectory:step-count", "value": value}, called(("a", "b"), "ab")).passed is passed
    )


def test_calls_that_failed_are_counted_and_what_is_not_shown_leaves_it_open() -> None:
    lines = [SESSION, IDS, *custom("a", 0), *custom("b", 1, error=True), packet("message_start", 2), STOP]
    one = exchange([*lines[:-1], delta("x", 2), STOP])
    assert opinion("tool-error", one).passed is False
    assert opinion({"type": "tool-error", "max": 1}, one).passed is True
    assert opinion({"type": "tool-error", "name": "a"}, one).passed is True
    unknown = exchange(
        [
            SESSION,
            IDS,
            packet("custom_tool_start", 0, tool_name="a"),
            packet("message_start", 1),
            delta("x", 1),
            STOP,
        ]
    )
    calls = unknown.transcript.tool_calls if unknown.transcript else ()
    assert [call.status for call in calls] == [Status.UNKNOWN]
    assert opinion("tool-error", unknown).passed is None
    assert opinion({"type": "tool-error", "max": 1}, unknown).passed is True


@pytest.mark.parametrize(
    ("tools", "threshold", "passed", "score"),
    [
        (["a", "b"], 1.0, True, 1.0),
        (["a"], 1.0, False, 2 / 3),
        (["a"], 0.6, True, 2 / 3),
        (["c"], 0.1, False, 0.0),
    ],
)
def test_f1_is_of_the_sets_of_tools(tools: list[str], threshold: float, passed: bool, score: float) -> None:
    found = opinion({"type": "tool-call-f1", "value": tools, "threshold": threshold}, called("a", "b", "a"))
    assert found.passed is passed
    assert found.score == pytest.approx(score)


@pytest.mark.parametrize(
    ("kind", "setting"), [("tools-obeyed", "allowed_tool_ids"), ("filters-obeyed", "search_filters.tags")]
)
@pytest.mark.parametrize(
    ("words", "passed"),
    [
        ([Word.TOOK_EFFECT], True),
        ([Word.TOOK_EFFECT, Word.IGNORED], False),
        ([Word.TOOK_EFFECT, Word.NOT_SHOWN], None),
        ([Word.NOT_EXERCISED], None),
        ([], None),
    ],
)
def test_what_was_asked_is_obeyed_as_far_as_the_audit_saw(
    kind: str, setting: str, words: list[Word], passed: bool | None
) -> None:
    one = exchange(answer("x"))
    findings = {one.exchange_id: [Finding(setting, "asked", "seen", word) for word in words]}
    assert check(expect(kind), Subject((one,), findings=findings)).passed is passed


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("{type: 'trajectory:tool-sequence', value: []}", "at least 1 of them is wanted"),
        ("{type: 'trajectory:tool-sequence', value: {mode: inorder, steps: [a]}}", "did you mean in_order?"),
        ("{type: 'trajectory:tool-sequence'}", "wants a value: {type: 'trajectory:tool-sequence'"),
        ("{type: 'trajectory:tool-args-match', value: {name: a}}", '"args" is missing'),
        (
            "{type: 'trajectory:tool-args-match', value: {name: a, args: {}, tolerance: -1}}",
            "a tolerance is a number",
        ),
        (
            "{type: 'trajectory:tool-args-match', value: {name: a, args: {}, ignore: ['a..b']}}",
            "a path into the arguments",
        ),
        ("{type: 'trajectory:step-count', value: {}}", "a min is wanted, a max, or both"),
        (
            "{type: 'trajectory:step-count', value: {type: round, pattern: a, max: 1}}",
            "a pattern is of the names of tools",
        ),
        ("{type: tool-error, max: -1}", "at least 0 is wanted"),
        ("{type: tools-obeyed, value: x}", "unknown key; tools-obeyed has type, weight, metric"),
    ],
)
def test_what_a_type_does_not_take_is_told(written: str, says: str) -> None:
    assert says in told(written)


names = st.lists(st.sampled_from("abc"), max_size=6)


def call(name: str, turn: int) -> ToolCall:
    return ToolCall(call_id="c", name=name, arguments=None, placement=(turn, 0, None), status=Status.OK)


@given(names, names)
def test_in_order_is_a_subsequence_where_no_calls_are_side_by_side(
    steps: list[str], calls: list[str]
) -> None:
    rounds = [[call(name, turn)] for turn, name in enumerate(calls)]
    wanted = [Named(name=step) for step in steps]
    rest = iter(calls)
    assert (_met_in_order(rounds, wanted) == len(steps)) == all(step in rest for step in steps)


@given(names, st.randoms(use_true_random=False))
def test_a_matching_does_not_depend_on_the_order(calls: list[str], random: Any) -> None:
    shuffled = random.sample(calls, len(calls))
    made = [call(name, 0) for name in calls]
    assert _matching(made, [Named(name=name) for name in shuffled]) == len(calls)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("ab", min_size=1, max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)
arguments = st.dictionaries(st.text("ab", min_size=1, max_size=2), values, max_size=4)


@given(arguments, arguments)
def test_arguments_fit_themselves_and_more_of_them_when_partial(
    args: dict[str, Any], more: dict[str, Any]
) -> None:
    assert not list(differences(Called(name="t", args=args), args))
    assert not list(differences(Called(name="t", args=args, mode="exact"), args))
    assert not list(differences(Called(name="t", args=args), more | args))
