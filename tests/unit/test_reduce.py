"""What the repeats of a prompt come to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.grade.reduce import Repeat, reduced
from harness.grade.states import State
from harness.suite.prompts import Reduce

P, F, E, I, N = State.PASSED, State.FAILED, State.ERROR, State.INVALID, State.NOT_RUN  # noqa: E741


def came_to(how: str | dict[str, str], states: list[State]) -> tuple[State | None, float | None]:
    told = reduced([Repeat(state) for state in states], Reduce.model_validate(how))
    return told.state, told.value


@pytest.mark.parametrize(
    ("how", "states", "state", "value"),
    [
        ("8 of 10", [P] * 8 + [F] * 2, P, 0.8),
        ("8 of 10", [P] * 7 + [F] * 3, F, 0.7),
        ("8 of 10", [P] * 8 + [E] * 2, P, 1.0),
        ("8 of 10", [P] * 7 + [F] * 2 + [E], E, 7 / 9),
        ("8 of 10", [P] * 7 + [F] * 3 + [N] * 0, F, 0.7),
        ("8 of 10", [P] * 6 + [F, N, E, P], E, 7 / 8),
        ("8 of 10", [P] * 3, N, 1.0),
        ("8 of 10", [F] * 3, F, 0.0),
        ("8 of 10", [P] * 16 + [F] * 4, P, 0.8),
        ("8 of 10", [P] * 15 + [F] * 5, F, 0.75),
        ("8 of 10", [P] * 9 + [I], I, 1.0),
        ("majority", [P, P, F], P, 2 / 3),
        ("majority", [P, F], F, 0.5),
        ("majority", [P, P, E], P, 1.0),
        ("majority", [P, F, E], E, 0.5),
        ("majority", [E, E], E, None),
        ("mean", [P, F, P, P], None, 0.75),
        ("pass@2", [P, F, F, F], None, 0.5),
        ("pass^2", [P, P, P, F], None, 0.5),
        ("pass^3", [P, P], None, None),
        ({"by": "pass^2", "min": "50%"}, [P, P, P, F], P, 0.5),
        ({"by": "pass^2", "min": "51%"}, [P, P, P, F], F, 0.5),
        ({"by": "pass^2", "min": "50%"}, [P, P, F, E], E, 1 / 3),
        ({"by": "mean", "min": "60%"}, [P, P, F, F], F, 0.5),
    ],
)
def test_repeats_are_reduced(
    how: str | dict[str, str], states: list[State], state: State | None, value: float | None
) -> None:
    assert came_to(how, states) == (state, value if value is None else pytest.approx(value))


def test_scores_are_what_a_mean_is_of() -> None:
    told = reduced([Repeat(P, 0.9), Repeat(F, 0.1), Repeat(E, None)], Reduce(by="mean"))
    assert told.value == pytest.approx(0.5)


def test_the_reason_counts_what_there_was() -> None:
    told = reduced([Repeat(P), Repeat(F), Repeat(E)], Reduce(by="majority"))
    assert told.reason == "majority: 1 passed, 1 failed, 1 neither: these might decide it"


hows = st.sampled_from(
    ["majority", "2 of 3", "5 of 5", {"by": "pass^2", "min": "40%"}, {"by": "mean", "min": "50%"}]
)


@given(hows, st.lists(st.sampled_from([P, F, E, N]), min_size=1, max_size=9))
def test_a_decision_stands_whatever_the_missing_repeats_would_have_been(
    how: str | dict[str, str], states: list[State]
) -> None:
    state, _ = came_to(how, states)
    if state in {P, F}:
        for outcome in (P, F):
            assert came_to(how, [outcome if each in {E, N} else each for each in states])[0] is state


@given(hows, st.lists(st.sampled_from([P, F]), min_size=3, max_size=9))
def test_one_more_pass_never_makes_it_worse(how: str | dict[str, str], states: list[State]) -> None:
    better = [P, *states[1:]]
    if came_to(how, states)[0] is P:
        assert came_to(how, better)[0] is P
