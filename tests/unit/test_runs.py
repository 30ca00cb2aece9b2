"""Which run is meant by a word."""

from pathlib import Path

import pytest
from msgspec.json import encode

from harness.errors import UsageError
from harness.plan.trials import Plan
from harness.record.runs import planned, run_folder
from harness.record.store import point_latest
from tests.report.made import manifest

FIRST, SECOND, THIRD = "20260101T000000Z-0001", "20260102T000000Z-0002", "20260103T000000Z-0003"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two runs of one suite, the second without an end, and a later one of another."""
    for suite, run in (("support", FIRST), ("support", SECOND), ("search", THIRD)):
        folder = tmp_path / suite / run
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
    point_latest(tmp_path / "support" / FIRST)
    (tmp_path / "support" / "no-run").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("word", "suite", "run"),
    [
        (FIRST, "support", FIRST),
        (f"support/{SECOND}", "support", SECOND),
        ("support/latest", "support", FIRST),
        ("search", "search", THIRD),
        ("latest", "search", THIRD),
    ],
)
def test_a_run_is_named_by_its_id_by_its_suite_or_as_the_latest(
    results: Path, word: str, suite: str, run: str
) -> None:
    assert run_folder(word, results) == (results / suite / run).resolve()


def test_a_folder_is_a_run_wherever_it_is(results: Path, tmp_path: Path) -> None:
    folder = results / "support" / SECOND
    assert run_folder(str(folder), tmp_path / "elsewhere") == folder.resolve()


def test_the_file_of_a_suite_is_the_newest_run_that_was_made_from_it(results: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("")
    for run, made_from in ((FIRST, path), (SECOND, tmp_path / "b.yaml")):
        folder = results / "support" / run
        (folder / "manifest.json").write_bytes(encode(manifest(folder, 1, suite_path=str(made_from))))
    assert run_folder(str(path), results) == (results / "support" / FIRST).resolve()
    path.unlink()
    with pytest.raises(UsageError, match="no run"):
        run_folder(str(path), results)


def test_a_suite_that_is_nearly_named_is_found_out(results: Path) -> None:
    with pytest.raises(UsageError) as told:
        run_folder("suport", results)
    assert (
        "a suite means its latest run: search, support; harness runs lists all; did you mean support?"
        in str(told.value)
    )


def test_a_run_that_does_not_exist_is_told_with_what_does_and_the_nearest_one(results: Path) -> None:
    with pytest.raises(UsageError) as told:
        run_folder(FIRST.replace("0001", "0009"), results)
    for word in (str(results), FIRST, THIRD, "did you mean", "search, support"):
        assert word in str(told.value)


def test_the_folder_of_a_suite_is_its_latest_run(results: Path, tmp_path: Path) -> None:
    assert (
        run_folder(str(tmp_path / "support"), results / "elsewhere")
        == (results / "support" / SECOND).resolve()
    )


def test_a_folder_without_a_manifest_is_no_run(results: Path) -> None:
    with pytest.raises(UsageError, match="no run"):
        run_folder(str(results / "support" / "no-run"), results)


def test_an_id_of_two_suites_is_told_with_both(results: Path) -> None:
    twin = results / "search" / FIRST
    twin.mkdir()
    (twin / "manifest.json").write_text("{}")
    with pytest.raises(UsageError) as told:
        run_folder(FIRST, results)
    assert str(twin) in str(told.value)
    assert str(results / "support" / FIRST) in str(told.value)


def test_without_any_run_it_is_said_how_one_is_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="harness run SUITE makes one"):
        run_folder("latest", tmp_path)


def test_who_only_shows_a_run_reads_its_suite_without_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SIGMA_API_KEY", "a-secret")
    suite = 'target: {base_url: "${SIGMA_URL}", api_key: "${SIGMA_API_KEY}"}\nprompts: [{message: hi}]\n'
    told = manifest(Path(), 1, suite_text=suite, choice={})
    assert _key(planned(told)) == "a-secret"
    shown = planned(told, {})
    assert _key(shown) != "a-secret"
    assert [trial.trial_id for trial in shown.trials] == [trial.trial_id for trial in planned(told).trials]


def _key(plan: Plan) -> str:
    assert plan.suite.target.api_key is not None
    return plan.suite.target.api_key.get_secret_value()
