"""Killed at random moments, and what resumes it killed, too: two hundred runs that lose nothing."""

import pytest

from tests.conftest import Standin
from tests.endurance.killing import Fate, at_random, fate

pytestmark = [pytest.mark.endurance, pytest.mark.timeout(600)]

RUNS = 200


@pytest.fixture(scope="module")
def fates(tmp_path_factory: pytest.TempPathFactory, sigma: Standin) -> list[Fate]:
    """What became of each."""
    return [fate(tmp_path_factory.mktemp("killed"), sigma, *at_random(seed)) for seed in range(RUNS)]


@pytest.mark.timeout(7200)
def test_killed_at_random_moments_no_run_loses_a_result_or_counts_one_twice(fates: list[Fate]) -> None:
    assert [each for each in fates if not each.is_whole] == []
    assert sum(each.kills for each in fates) >= RUNS


def test_the_moments_are_spread_over_the_whole_of_a_run(fates: list[Fate]) -> None:
    had = [each.had for each in fates if each.kills]
    assert min(had) == 0
    assert max(had) >= 60
    assert sum(0 < each < 60 for each in had) >= RUNS // 20


@pytest.mark.timeout(3600)
def test_of_several_processes_any_may_be_killed(
    tmp_path_factory: pytest.TempPathFactory, sigma: Standin
) -> None:
    told = [
        fate(tmp_path_factory.mktemp("shared"), sigma, *at_random(seed), processes=2) for seed in range(100)
    ]
    assert [each for each in told if not each.is_whole] == []
    assert sum(each.kills for each in told) >= 100
