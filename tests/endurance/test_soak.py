"""Long and wide: 200,000 exchanges, 500 at once, leave neither memory nor files behind."""

import pytest

from tests.endurance.soaking import Soak, soak

pytestmark = [pytest.mark.endurance, pytest.mark.timeout(7200)]

TRIALS, IN_FLIGHT = 200_000, 500


@pytest.fixture(scope="module")
def soaked(tmp_path_factory: pytest.TempPathFactory) -> Soak:
    """`harness run`, watched from outside."""
    return soak(tmp_path_factory.mktemp("soak"), trials=TRIALS, in_flight=IN_FLIGHT)


def test_memory_is_flat_while_it_runs(soaked: Soak) -> None:
    assert len(soaked.driven) >= 20
    assert soaked.slope < 1.0


def test_open_files_are_those_of_what_is_in_flight(soaked: Soak) -> None:
    _, most = soaked.files
    assert most <= IN_FLIGHT + 64
    first, last = soaked.driven[0][1], soaked.driven[-1][1]
    assert last.files - first.files <= 8
    after = [look for look in soaked.looks if look.done is None and "graded" in look.says]
    assert max(look.files for look in after) < 64


def test_every_trial_passes_it_ends_and_nothing_warns(soaked: Soak) -> None:
    assert soaked.code == 0
    assert soaked.warnings == []
    assert max(done for done, _ in soaked.driven) > 0.95 * TRIALS
