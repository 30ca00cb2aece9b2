"""The ledger over runs: who is in it, which nights count, and what is left out and why."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from harness.errors import UsageError
from harness.flaky import Ledger, ledger, quarantine_lines
from harness.record.store import Manifest, write_manifest
from tests.arms import table


def night(results: Path, day: int, came: dict[str, tuple[int, int]], **more: object) -> None:
    """A run on that day of November, in which each prompt passed and failed so often."""
    run = f"202611{day:02}T030000Z-aaaa"
    folder = results / "s" / run
    folder.mkdir(parents=True)
    fields = {"words": "words", "checks": "checks", "quarantined": None, "error": 0, "exit_code": 1} | more
    rows = [
        {
            "case_id": case,
            "variant": "v",
            "phase": "main",
            "passed": passed,
            "failed": failed,
            "error": fields["error"],
            "invalid": 0,
            "not_run": 0,
            "asked": fields["words"],
            "checks": fields["checks"],
            "quarantined": fields["quarantined"],
        }
        for case, (passed, failed) in came.items()
    ]
    table("cases", rows).write_parquet(folder / "cases.parquet")
    manifest = Manifest(
        run_id=run,
        suite="s",
        suite_path="s.yaml",
        suite_text="",
        target="t",
        dialect="sigma",
        seed=0,
        choice={},
        planned=1,
        started_at=f"2026-11-{day:02}T03:00:00+00:00",
        started_ns=0,
        exit_code=1,
    )
    changed = {key: value for key, value in more.items() if key in Manifest.__struct_fields__}
    write_manifest(msgspec.structs.replace(manifest, **changed), folder)


def names(told: Ledger) -> dict[str, str]:
    return {entry.case_id: entry.name for entry in told.entries}


def test_prompts_are_called_what_their_nights_say(tmp_path: Path) -> None:
    for day in range(1, 15):
        night(tmp_path, day, {"sound": (8, 0), "broken": (0, 8), "odd": (4, 4), "new": (1, 0)})
    told = ledger("s", tmp_path)
    assert names(told) == {"odd": "flaky", "broken": "stable fail", "new": "unknown", "sound": "stable pass"}
    assert [entry.case_id for entry in told.entries] == ["odd", "broken", "new", "sound"]
    odd = told.entries[0]
    assert (odd.nights, odd.passed, odd.failed, odd.last_red) == (14, 56, 56, "2026-11-14")


def test_only_nights_that_asked_the_same_count(tmp_path: Path) -> None:
    for day in range(1, 6):
        night(tmp_path, day, {"p": (0, 8)}, words="as it was")
    for day in range(6, 20):
        night(tmp_path, day, {"p": (8, 0)})
    (entry,) = ledger("s", tmp_path).entries
    assert (entry.name, entry.nights, entry.failed) == ("stable pass", 14, 0)


def test_a_run_that_is_not_whole_is_left_out_and_said_so(tmp_path: Path) -> None:
    night(tmp_path, 1, {"p": (8, 0)})
    night(tmp_path, 2, {"p": (0, 8)}, interrupted=True)
    night(tmp_path, 3, {"p": (0, 8)}, decided={"v": 3})
    told = ledger("s", tmp_path)
    assert len(told.runs) == 1
    assert told.left_out == {
        "20261102T030000Z-aaaa": "it was interrupted",
        "20261103T030000Z-aaaa": "it was stopped early, which biases what it found",
    }
    assert told.entries[0].failed == 0


def test_errors_are_counted_beside_and_are_no_failures(tmp_path: Path) -> None:
    night(tmp_path, 1, {"p": (3, 0)}, error=5)
    (entry,) = ledger("s", tmp_path).entries
    assert (entry.passed, entry.failed, entry.missing) == (3, 0, 5)


def test_a_change_has_its_day(tmp_path: Path) -> None:
    for day in range(1, 21):
        night(tmp_path, day, {"p": (5, 0) if day < 13 else (2, 3)})
    (entry,) = ledger("s", tmp_path).entries
    assert (entry.since, entry.before, entry.after) == ("2026-11-13", 1.0, 0.4)


def test_a_flaky_prompt_comes_with_the_line_that_lets_it_decide_nothing(tmp_path: Path) -> None:
    for day in range(1, 15):
        night(tmp_path, day, {"odd": (4, 4), "sound": (8, 0)})
    lines = list(quarantine_lines(ledger("s", tmp_path), datetime(2026, 11, 15, tzinfo=UTC)))
    assert lines == ['  - {prompt: odd, variant: v, until: "2026-11-29", reason: "flaky, passes 50% of 112"}']
    night(tmp_path, 15, {"odd": (4, 4)}, quarantined="2026-12-01")
    assert not list(quarantine_lines(ledger("s", tmp_path), datetime(2026, 11, 15, tzinfo=UTC)))


def test_a_suite_without_runs_is_an_error_that_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no runs of nobody"):
        ledger("nobody", tmp_path)
