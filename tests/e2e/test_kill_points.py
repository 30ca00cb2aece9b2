"""Killed with SIGKILL at twenty points, from its start to its tables, a run loses nothing that it had."""

from pathlib import Path

import pytest

from tests.conftest import Standin
from tests.endurance.killing import (
    TRIALS,
    Moment,
    after_results,
    after_s,
    after_sessions,
    after_tables,
    fate,
    once_there,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

POINTS: dict[str, tuple[Moment, ...]] = {
    "at once": (after_s(0.0),),
    "while it is loaded": (after_s(0.3),),
    "once it has a manifest": (once_there("manifest.json"),),
    "once it has a journal": (once_there("journal-0.jsonl"),),
    "after one result": (after_results(1),),
    **{f"after {many} results": (after_results(many),) for many in (2, 5, 15, 30, 45, 59, 60)},
    "after a result, and a result later again": (after_results(1), after_results(2)),
    "three times": (after_results(10), after_results(25), after_results(40)),
    "after one session": (after_sessions(1),),
    "after half of the sessions": (after_sessions(30),),
    "after a session, then in the tables": (after_sessions(10), after_tables(1)),
    "after the first table": (after_tables(1),),
    "after five tables": (after_tables(5),),
    "once there is a summary": (once_there("summary.json"),),
}


def test_there_are_twenty_kill_points() -> None:
    assert len(POINTS) == 20


@pytest.mark.parametrize("moments", POINTS.values(), ids=POINTS)
def test_a_killed_run_goes_on_and_no_result_is_lost_or_counts_twice(
    tmp_path: Path, sigma: Standin, moments: tuple[Moment, ...]
) -> None:
    done = fate(tmp_path, sigma, *moments)
    assert done.is_whole, done
    assert done.kills >= 1
    assert done.acknowledged >= TRIALS
    assert done.sent >= TRIALS


def test_of_two_processes_one_is_killed_and_then_the_one_that_leads_and_nothing_is_lost(
    tmp_path: Path, sigma: Standin
) -> None:
    done = fate(tmp_path, sigma, after_results(10), after_results(30), after_sessions(10), processes=2)
    assert done.is_whole, done
    assert done.kills == 3
    assert done.acknowledged >= TRIALS
