"""What several checks come to together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.grade.opinion import Grade, together, weighed


def graded(passed: bool | None, score: float | None = None, weight: float = 1.0, kind: str = "c") -> Grade:
    told = score if score is not None or passed is None else float(passed)
    return Grade("1", kind, None, passed, told, weight, "so it is")


YES, NO, OPEN = graded(True), graded(False), graded(None)


@pytest.mark.parametrize(
    ("grades", "threshold", "passed", "score"),
    [
        ([], None, True, None),
        ([YES, YES], None, True, 1.0),
        ([YES, NO], None, False, 0.5),
        ([YES, OPEN], None, None, None),
        ([OPEN, NO], None, False, None),
        ([YES, graded(False, weight=0)], None, True, 1.0),
        ([graded(False, weight=0)], None, True, None),
        ([graded(True, 0.7), graded(True, 0.9)], None, True, 0.8),
        ([YES, NO], 0.5, True, 0.5),
        ([YES, NO], 0.51, False, 0.5),
        ([graded(True, weight=3), NO], 0.75, True, 0.75),
        ([graded(True, 0.1), graded(True, 0.1), graded(True, 0.1)], 0.1, True, 0.1),
        ([YES, OPEN], 0.5, True, None),
        ([NO, OPEN], 0.6, False, None),
        ([YES, OPEN], 0.6, None, None),
        ([graded(False, weight=0)], 0.9, True, None),
    ],
)
def test_checks_are_weighed_and_what_is_open_leaves_open_what_hangs_on_it(
    grades: list[Grade], threshold: float | None, passed: bool | None, score: float | None
) -> None:
    told = together(grades, threshold)
    assert told.passed is passed
    assert told.score == (None if score is None else pytest.approx(score))


def test_the_reason_is_that_of_the_first_check_that_decided() -> None:
    wrong, unknown = graded(False, kind="contains"), graded(None, kind="ttft")
    assert together([YES, unknown, wrong], None).reason == "contains: so it is"
    assert together([YES, unknown], None).reason == "ttft could not be graded: so it is"
    assert together([YES, wrong], 0.9).reason == "score 0.50, below 0.9; least: contains: so it is"
    assert together([YES, unknown], 0.9).reason == (
        "score 0.50 to 1.00, wanted 0.9; ttft could not be graded: so it is"
    )


scores = st.floats(min_value=0, max_value=1)
grades = st.lists(
    st.builds(graded, st.booleans(), scores, st.floats(min_value=0.01, max_value=10)), min_size=1
)


@given(grades, scores)
def test_a_threshold_is_reached_exactly_where_the_weighed_score_reaches_it(
    several: list[Grade], threshold: float
) -> None:
    score = weighed(several)
    assert score is not None
    if abs(score - threshold) > 1e-6:
        assert together(several, threshold).passed is (score > threshold)


@given(grades, st.lists(st.floats(min_value=0.01, max_value=10), min_size=1), scores)
def test_whatever_open_checks_turn_out_to_be_a_decision_stands(
    known: list[Grade], weights: list[float], threshold: float
) -> None:
    before = together([*known, *(graded(None, weight=weight) for weight in weights)], threshold).passed
    for outcome in (True, False):
        after = [*known, *(graded(outcome, weight=weight) for weight in weights)]
        if before is not None:
            assert together(after, threshold).passed is before
