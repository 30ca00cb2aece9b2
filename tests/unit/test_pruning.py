"""What `harness runs` lists and deletes: what is in the results, and only what is a run, old and nobody's."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from harness.cli import app
from harness.errors import RunDirectoryError, UsageError
from harness.gate.ruling import Word
from harness.grade.states import State
from harness.record.baselines import keep
from harness.record.places import places
from harness.record.pruning import ASIDE, delete
from harness.record.runs import run_folder
from harness.record.store import Rerun, is_being_written, point_latest, write_manifest, writing
from tests.report.made import Came, made, manifest, ruled
from tests.terminal import answered

NOW = datetime.now(UTC)


def harness(*args: str | Path) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], catch_exceptions=True)


def run_id(days_ago: float) -> str:
    return f"{NOW - timedelta(days=days_ago):%Y%m%dT%H%M%SZ}-0000"


def run(results: Path, days_ago: float, suite: str = "s", **fields: Any) -> Path:
    """A run that began so long ago and whose files are as old."""
    folder = results / suite / run_id(days_ago)
    folder.mkdir(parents=True)
    write_manifest(manifest(folder, 3, suite=suite, **fields), folder)
    (folder / "journal-0.jsonl").write_text("x" * 1000)
    for path in folder.iterdir():
        os.utime(path, (then := (NOW - timedelta(days=days_ago)).timestamp(), then))
    return folder


@pytest.fixture
def results(tmp_path: Path) -> Iterator[Path]:
    """Six runs of one suite, one a day, and two probes of a limit; ``latest`` is the newest."""
    folder = tmp_path / "results"
    for days in range(1, 7):
        run(folder, days)
    for days in (8, 9):
        run(folder, days, "s.limit")
    point_latest(folder / "s" / run_id(1))
    point_latest(folder / "s.limit" / run_id(8))
    yield folder
    assert not list(folder.glob(f"*/{ASIDE}"))


def there(results: Path, suite: str = "s") -> list[int]:
    """How many days ago the runs that are there began."""
    return [days for days in range(1, 40) if (results / suite / run_id(days)).exists()]


def pruned(results: Path, *args: str) -> Result:
    return harness("runs", "--prune", "--yes", "--results", results, *args)


def test_every_run_is_listed_with_how_it_ended_the_newest_first(tmp_path: Path) -> None:
    old = made(tmp_path / "s" / run_id(3), [Came(), Came("r", state=State.PASSED)], gate=ruled(Word.FAIL))
    keep("green", [old], "s", results=tmp_path)
    killed = run(tmp_path, 2, exit_code=None)
    cut = run(tmp_path, 1, exit_code=3, interrupted=True, rerun=Rerun(old.name, ("failed",)))
    listed = json.loads(harness("runs", "--results", tmp_path, "--json").stdout)
    assert [(each["run_id"], each["ended"]) for each in listed] == [
        (cut.name, "interrupted (3)"),
        (killed.name, "killed"),
        (old.name, "failed (1)"),
    ]
    assert listed[0]["rerun"] == {"of": old.name, "states": ["failed"], "gone": []}
    assert (listed[1]["states"], listed[1]["verdict"]) == (None, "valid")
    facts = {key: listed[2][key] for key in ("planned", "verdict", "gate", "baselines")}
    assert facts == {"planned": 2, "verdict": "valid", "gate": "fail", "baselines": ["green"]}
    assert listed[2]["states"] == {"passed": 1, "failed": 1, "error": 0, "invalid": 0, "not_run": 0}
    assert listed[2]["bytes"] == sum(path.stat().st_size for path in old.iterdir())
    table = harness("runs", "--results", tmp_path).stdout
    for words in ("baseline green", f"rerun of {old.name}: failed", "1 passed, 1 failed"):
        assert words in table


def test_a_run_that_goes_on_is_listed_as_that(tmp_path: Path) -> None:
    folder = run(tmp_path, 30, exit_code=None)
    with writing(folder):
        assert is_being_written(folder)
        assert "going on" in harness("runs", "--results", tmp_path).stdout


@pytest.mark.parametrize("damage", ["torn", "gone", "empty"])
def test_a_damaged_run_is_a_row_that_says_so(results: Path, damage: str) -> None:
    path = results / "s" / run_id(2) / "manifest.json"
    match damage:
        case "torn":
            path.write_bytes(path.read_bytes()[:100])
        case "gone":
            path.unlink()
        case _:
            path.write_bytes(b"")
    listed = harness("runs", "s", "--results", results)
    assert listed.exit_code == 0, listed.output
    (row,) = (line for line in listed.stdout.splitlines() if run_id(2) in line)
    assert "damaged" in row
    assert "manifest.json" in row


def elsewhere(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="it takes setpriv to have root keep to permissions")
def test_what_this_account_may_not_look_into_is_listed_and_stays(results: Path) -> None:
    caps = "-dac_override,-dac_read_search"
    bound = () if os.geteuid() else ("setpriv", f"--inh-caps={caps}", f"--bounding-set={caps}")
    runs = (*bound, sys.executable, "-m", "harness", "runs", "--results", results)
    closed = [results / "s" / run_id(6), results / "other"]
    closed[1].mkdir()
    for folder in closed:
        folder.chmod(0)
    try:
        listed = elsewhere(*runs)
        gone = elsewhere(*runs, "--prune", "--keep", "3", "--yes")
    finally:
        for folder in closed:
            folder.chmod(0o700)
    (row,) = (line for line in listed.stdout.splitlines() if run_id(6) in line)
    assert "damaged" in row
    assert "Permission denied" in row
    assert (gone.returncode, there(results)) == (0, [1, 2, 3, 6]), gone.stderr
    assert "this account may not" in gone.stderr


def test_a_long_list_says_how_to_see_all_of_it(results: Path) -> None:
    some = harness("runs", "s", "--limit", "2", "--results", results)
    assert [day for day in range(1, 7) if run_id(day) in some.stdout] == [1, 2]
    assert "2 of 6 runs" in some.stderr
    assert "--all" in some.stderr
    every = harness("runs", "s", "--limit", "2", "--all", "--results", results)
    assert all(run_id(day) in every.stdout for day in range(1, 7))


def test_probes_of_a_limit_are_one_line_where_the_newest_stands(results: Path) -> None:
    run(results, 5.5, "s.limit")
    (results / "s.limit" / "limit.json").write_text(
        '{"says": "the highest rate that holds is 8/s", "seed": 0}'
    )
    listed = harness("runs", "--results", results)
    (row,) = (line for line in listed.stdout.splitlines() if "s.limit" in line)
    assert "3 probes" in row
    assert "last found: the highest rate that holds is 8/s" in row
    days = [line.split()[1] for line in listed.stdout.splitlines()[1:]]
    assert days == [*map(run_id, range(1, 6)), "3", run_id(6)]
    assert "9 runs in" in listed.stderr
    assert "--all lists every one" in listed.stderr
    first = harness("runs", "--limit", "6", "--results", results)
    assert "3 probes" in first.stdout
    assert "8 of 9 runs" in first.stderr
    for each in (("--all",), ("s.limit",)):
        whole = harness("runs", *each, "--results", results)
        assert all(run_id(days) in whole.stdout for days in (5.5, 8, 9))
        assert "3 probes" not in whole.stdout
        assert "--all" not in whole.stderr
    told = json.loads(harness("runs", "--json", "--limit", "7", "--results", results).stdout)
    assert [each["run_id"] for each in told] == [*map(run_id, range(1, 6)), run_id(5.5), run_id(6)]


def test_a_probe_that_goes_on_and_one_alone_are_told(results: Path) -> None:
    with writing(run(results, 7, "s.limit", exit_code=None)):
        (row,) = (
            line for line in harness("runs", "--results", results).stdout.splitlines() if "s.limit" in line
        )
    assert "going on" in row
    run(results, 7, "other.limit")
    assert "other.limit  20" in harness("runs", "--results", results).stdout


def test_where_nothing_is_it_is_said_how_a_run_is_made(tmp_path: Path) -> None:
    told = harness("runs", "--results", tmp_path / "nowhere")
    assert (told.exit_code, told.stdout) == (0, "")
    assert "harness run SUITE makes one" in told.stderr
    assert harness("runs", "--results", tmp_path / "nowhere", "--json").stdout == "[]\n"


def test_a_suite_without_runs_is_told_with_those_that_have_some(results: Path) -> None:
    for word, fix in (("z", "there are s, s.limit"), ("prune", "harness runs --prune --keep 10")):
        refused = harness("runs", word, "--results", results)
        assert isinstance(refused.exception, UsageError)
        assert fix in str(refused.exception)


@pytest.mark.parametrize(
    ("rules", "stay"),
    [
        (["--keep", "2"], [1, 2]),
        (["--older-than", "60h"], [1, 2]),
        (["--keep", "4", "--older-than", "60h"], [1, 2, 3, 4]),
        (["--keep", "0", "--older-than", "3d"], [1, 2]),
        (["--keep", "0"], [1]),
        (["--keep", "9"], [1, 2, 3, 4, 5, 6]),
    ],
)
def test_a_run_goes_where_every_rule_says_that_it_is_old(
    results: Path, rules: list[str], stay: list[int]
) -> None:
    assert pruned(results, "s", *rules).exit_code == 0
    assert there(results) == stay
    assert there(results, "s.limit") == [8, 9]


def test_probes_of_a_limit_are_kept_by_their_own_number(results: Path) -> None:
    assert pruned(results, "--keep", "1").exit_code == 0
    assert (there(results), there(results, "s.limit")) == ([1], [8])


def test_a_run_that_was_killed_is_no_reason_to_delete_one_that_was_not(results: Path) -> None:
    for days in (2, 3):
        (results / "s" / run_id(days) / "manifest.json").unlink()
    pruned(results, "s", "--keep", "2")
    assert there(results) == [1, 2, 3, 4]
    pruned(results, "s", "--keep", "1")
    assert there(results) == [1]


def test_what_asked_again_what_had_failed_is_no_reason_to_delete_the_run_that_it_came_from(
    tmp_path: Path,
) -> None:
    run(tmp_path, 4)
    run(tmp_path, 3)
    run(tmp_path, 2, options={"confirm": True})
    run(tmp_path, 1, rerun=Rerun(run_id(3), ("failed",)))
    pruned(tmp_path, "s", "--keep", "1")
    assert there(tmp_path) == [1, 2, 3]


def test_a_folder_with_a_name_of_its_own_is_not_among_the_newest_that_stay(results: Path) -> None:
    (results / "s" / run_id(6)).rename(results / "s" / "golden")
    pruned(results, "s", "--keep", "2")
    assert there(results) == [1, 2]
    assert (results / "s" / "golden").exists()
    (results / "s" / "latest").unlink()  # as where a file system has no links
    pruned(results, "s", "--keep", "0")
    assert there(results) == [1]


def test_what_a_baseline_names_what_goes_on_and_what_latest_leads_to_stays(results: Path) -> None:
    keep("green", [results / "s" / run_id(5)], "s", results=results)
    point_latest(results / "s" / run_id(3))
    with writing(results / "s" / run_id(4)):
        told = pruned(results, "s", "--keep", "0")
    assert there(results) == [3, 4, 5]
    for words in ("baseline green", "latest", "it goes on"):
        assert words in told.stderr
    assert (results / "s" / "latest").resolve().name == run_id(3)


def test_a_run_that_just_stopped_writing_stays(results: Path) -> None:
    folder = run(results, 7, exit_code=None)
    os.utime(folder / "journal-0.jsonl")
    pruned(results, "s", "--keep", "0")
    assert there(results) == [1, 7]


def test_what_is_no_run_stays(results: Path) -> None:
    suite = results / "s"
    (suite / "limit.json").write_text("{}")
    (suite / "notes").mkdir()
    (suite / run_id(30)).mkdir()  # the name alone makes no run
    (suite / run_id(6)).rename(suite / "golden")
    (results / "calibration.json").write_text("{}")
    told = pruned(results, "--keep", "0")
    assert told.exit_code == 0, told.output
    left = {path.name for path in suite.iterdir()}
    assert left == {"limit.json", "notes", run_id(30), "golden", run_id(1), "latest"}
    assert "a name of its own" in told.stderr
    assert (results / "calibration.json").exists()


def test_no_link_is_followed_out_of_the_results(results: Path, tmp_path: Path) -> None:
    outside = run(tmp_path / "outside", 20)
    (results / "linked").symlink_to(tmp_path / "outside" / "s")
    (results / "s" / run_id(20)).symlink_to(outside)
    inside = results / "s" / run_id(5) / "elsewhere"
    inside.symlink_to(tmp_path / "outside")
    os.utime(inside, (0, 0), follow_symlinks=False)
    assert pruned(results, "--keep", "0").exit_code == 0
    assert there(results) == [1, 20]
    assert (outside / "manifest.json").exists()


def test_runs_are_not_moved_aside_through_a_link(results: Path, tmp_path: Path) -> None:
    aside = results / "s" / ASIDE
    (tmp_path / "there").mkdir()
    aside.symlink_to(tmp_path / "there")
    assert isinstance(pruned(results, "s", "--keep", "1").exception, RunDirectoryError)
    assert there(results) == [1, 2, 3, 4, 5, 6]
    aside.unlink()


def test_where_it_cannot_be_read_what_baselines_name_nothing_goes(results: Path) -> None:
    (results / "s" / "baselines.json").write_text("{")
    assert isinstance(pruned(results, "s", "--keep", "1").exception, RunDirectoryError)
    assert there(results) == [1, 2, 3, 4, 5, 6]
    assert harness("runs", "s", "--results", results).exit_code == 0


def test_a_prune_that_was_killed_leaves_nothing_that_looks_like_a_run(results: Path) -> None:
    aside = results / "s" / ASIDE
    aside.mkdir()
    (results / "s" / run_id(6)).rename(aside / run_id(6))  # where it was when it was killed
    listed = json.loads(harness("runs", "--all", "--results", results, "--json").stdout)
    assert run_id(6) not in {each["run_id"] for each in listed}
    with pytest.raises(UsageError):
        run_folder(run_id(6), results)
    told = pruned(results, "s", "--keep", "9")
    assert "1 that an earlier prune had left half-deleted" in told.stderr
    assert not aside.exists()


@pytest.mark.slow
def test_a_ctrl_c_at_the_question_is_a_no(results: Path) -> None:
    command = [sys.executable, "-m", "harness", "runs", "--prune", "--keep", "4", "--results", str(results)]
    assert answered(command, None)[0] == 3
    assert there(results) == [1, 2, 3, 4, 5, 6]


def test_a_run_that_another_prune_has_deleted_meanwhile_is_gone(results: Path) -> None:
    found = places(results)
    assert pruned(results, "s", "--keep", "5").exit_code == 0
    assert [delete(place) for place in found if place.run_id == run_id(6)] == [""]


def test_latest_that_leads_nowhere_is_mended(results: Path) -> None:
    link = results / "s" / "latest"
    link.unlink()
    link.symlink_to(run_id(33))
    pruned(results, "s", "--keep", "2")
    assert link.resolve().name == run_id(1)


def test_what_would_go_is_shown_and_nothing_goes(results: Path) -> None:
    told = harness("runs", "--prune", "--keep", "4", "--dry-run", "--results", results)
    assert told.exit_code == 0
    assert run_id(5) in told.stdout
    assert run_id(4) not in told.stdout
    assert "2 runs" in told.stderr
    assert there(results) == [1, 2, 3, 4, 5, 6]
    found = json.loads(
        harness("runs", "--prune", "--keep", "5", "--dry-run", "--json", "--results", results).stdout
    )
    assert [(each["run_id"], each["deleted"]) for each in found] == [(run_id(6), False)]


def test_without_a_terminal_nothing_goes_unless_that_was_said(results: Path) -> None:
    refused = harness("runs", "--prune", "--keep", "4", "--results", results)
    assert isinstance(refused.exception, UsageError)
    assert "--yes" in str(refused.exception)
    assert there(results) == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_who_has_no_standard_input_at_all_is_not_asked_either(results: Path) -> None:
    command = (sys.executable, "-m", "harness", "runs", "--prune", "--keep", "4", "--results", results)
    refused = elsewhere("sh", "-c", 'exec "$@" <&-', "sh", *command)
    assert (refused.returncode, there(results)) == (2, [1, 2, 3, 4, 5, 6])
    assert "--yes" in refused.stderr


@pytest.mark.parametrize(
    ("args", "fix"),
    [
        (["--prune"], "--keep 10, --older-than 30d"),
        (["--prune", "--older-than", "30"], "a duration"),
        (["--keep", "3"], "add --prune"),
        (["--dry-run"], "add --prune"),
    ],
)
def test_deleting_without_a_rule_and_rules_without_deleting_are_refused(
    results: Path, args: list[str], fix: str
) -> None:
    refused = harness("runs", *args, "--results", results)
    assert isinstance(refused.exception, UsageError)
    assert fix in str(refused.exception)
