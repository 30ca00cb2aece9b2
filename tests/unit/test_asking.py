"""A question at a terminal, and what is taken for an answer."""

import sys

import pytest

from tests.terminal import answered

TIMES = 400
ASKS = """
import sys
import polars  # whose handler of a Ctrl-C has a read go on that was under way
from harness.cli.asking import agreed
print([agreed("Delete it?", what="it") for _ in range(int(sys.argv[1]))])
"""


def said(*answers: str | None, times: int = 1) -> str:
    """The last line of a program that asks so often."""
    code, seen = answered([sys.executable, "-c", ASKS, str(times)], *answers)
    assert code == 0, seen
    return seen.splitlines()[-1]


@pytest.mark.slow
def test_a_ctrl_c_at_whatever_moment_of_a_question_is_a_no() -> None:
    """It comes as soon as the question is seen, which is before or after a read has begun."""
    assert said(*[None] * TIMES, times=TIMES) == str([False] * TIMES)


@pytest.mark.parametrize(
    ("answer", "agreed"), [("y", True), ("YES ", True), ("n", False), ("No", False), ("", False)]
)
def test_a_yes_is_one_and_nothing_is_a_no(answer: str, agreed: bool) -> None:
    assert said(answer) == str([agreed])


def test_what_is_neither_is_asked_again() -> None:
    assert said("perhaps", "yess", "y") == "[True]"
