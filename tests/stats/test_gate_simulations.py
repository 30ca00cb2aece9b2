"""A gate is seldom wrong and sees what its plan says, by simulation with the code that decides, in short."""

import pytest

from tests.gate_simulations import SUITES, Plan, covered, simulated
from tests.statistics_tables import PAGE, TABLES

DRAWS = 400
SLACK = 3 * (0.05 * 0.95 / DRAWS) ** 0.5

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", SUITES)
@pytest.mark.parametrize("sequential", [False, True])
def test_a_candidate_that_is_as_good_seldom_fails(name: str, *, sequential: bool) -> None:
    found = simulated(Plan(60, 5), SUITES[name], 0.0, sequential=sequential, draws=DRAWS, seed=9)
    assert found.failed <= 0.05 + SLACK


@pytest.mark.parametrize("name", SUITES)
@pytest.mark.parametrize(("sequential", "wanted"), [(False, 0.80), (True, 0.77)])
def test_the_drop_that_a_plan_sees_is_found_as_often_as_it_says(
    name: str, wanted: float, *, sequential: bool
) -> None:
    plan = Plan(60, 5).seeing(SUITES[name])
    found = simulated(plan, SUITES[name], plan.margin, sequential=sequential, draws=DRAWS, seed=9)
    assert found.failed >= wanted - 3 * (0.8 * 0.2 / DRAWS) ** 0.5
    assert found.passed <= 0.05 + SLACK


@pytest.mark.parametrize("name", SUITES)
def test_intervals_of_differences_hold_the_true_one(name: str) -> None:
    assert covered(Plan(100, 5), SUITES[name], "suite", draws=DRAWS) >= 0.95 - SLACK


def test_looking_early_spends_less() -> None:
    suite = SUITES["every prompt passes 89 %"]
    assert simulated(Plan(100, 8), suite, 0.1, sequential=True, draws=100).spent < 0.6


def test_the_page_has_its_tables() -> None:
    text = PAGE.read_text()
    for mark in TABLES:
        table = text.partition(f"<!-- {mark} -->\n")[2].partition("<!-- end -->")[0]
        assert len(table.splitlines()) > 4, mark
