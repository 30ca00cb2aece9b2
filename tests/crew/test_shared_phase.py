"""Of a phase that lasts for a time those trials count that were sent, however far apart processes are."""

from itertools import islice
from pathlib import Path

import pytest

from harness import journal
from harness.conduct.finish import _sent
from harness.plan.trials import Plan, Trial, make_plan
from harness.result import Result
from harness.suite.read import parse_suite

SUITE = """
suite: s
target: standin
prompts: [{id: a, message: hello}, {id: b, message: hello again}]
load: {workers: 2, for: 1s}
"""


@pytest.fixture
def plan() -> Plan:
    return make_plan(parse_suite(SUITE, Path("s.yaml"), {}))


def journalled(path: Path, trials: list[Trial]) -> None:
    path.touch()
    with journal.Journal(path) as book:
        for each in trials:
            book.append(Result(each.trial_id, each.case.case_id, each.variant, each.repeat, each.phase))


def test_a_process_that_is_ahead_leaves_no_trials_behind_that_nobody_sent(tmp_path: Path, plan: Plan) -> None:
    every = list(islice(plan.phase("main"), 40))
    ahead, behind = every[0:40:2], every[1:12:2]
    journalled(tmp_path / journal.JOURNAL, [])
    journalled(tmp_path / journal.of_process(1), ahead)
    journalled(tmp_path / journal.of_process(2), behind)
    assert set(_sent(plan, tmp_path)) == {each.trial_id for each in (*ahead, *behind)}


def test_one_process_sends_in_order_and_what_never_came_before_the_last_was_under_way(
    tmp_path: Path, plan: Plan
) -> None:
    every = list(islice(plan.phase("main"), 10))
    journalled(tmp_path / journal.JOURNAL, [*every[:6], every[8]])
    assert list(_sent(plan, tmp_path)) == [each.trial_id for each in every[:9]]
