"""The ledger over runs: who is in it, which nights count, what is left out and why, and what to paste."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.errors import UsageError
from harness.flaky import Entry, Ledger, ledger, meant, quarantine_lines
from harness.record.store import Manifest, write_manifest
from harness.suite.read import parse_suite
from tests.arms import table

TODAY = datetime(2026, 11, 15, tzinfo=UTC)

Came = Mapping[str, tuple[int, int]]
"""How often each prompt passed and failed; ``p@v`` is prompt p under variant v, ``p`` is under ``v``."""


def night(results: Path, day: int, came: Came, **more: Any) -> Path:
    """A run on that day of November, in which each prompt passed and failed so often.

    *more* are fields of its manifest, columns of all its prompts, ``tools`` (what each repeat that passed and
    what each that failed called), and ``judge_of``, the prompts whose grades are a judge's.
    """
    run = f"202611{day:02}T030000Z-aaaa"
    folder = results / "s" / run
    folder.mkdir(parents=True)
    said = {"asked": "words", "quarantined": None, "error": 0, "invalid": 0, "not_run": 0}
    said = {name: more.get(name, value) for name, value in said.items()}
    said["checks"] = more.get("checked_by", "checks")
    rows: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("cases", "trials", "exchanges", "tool_calls", "grades")
    }
    for pair, counts in came.items():
        case, _, variant = pair.partition("@")
        own = {"case_id": case, "variant": variant or "v", "phase": "main"}
        rows["cases"].append(own | said | {"passed": counts[0], "failed": counts[1]})
        states = ["passed"] * counts[0] + ["failed"] * counts[1]
        for repeat, state in enumerate(states):
            name = f"{pair}/{repeat}"
            rows["trials"].append({"trial_id": name, **own, "repeat": repeat, "state": state})
            sent = {"exchange_id": name, "trial_id": name, "turn_id": "1", "attempt": 1}
            rows["exchanges"].append(sent)
            for tool in more.get("tools", ((), ()))[state == "failed"]:
                rows["tool_calls"].append({"exchange_id": name, "name": tool})
            judge = "a judge" if case in more.get("judge_of", ()) else None
            rows["grades"].append({"trial_id": name, "type": "t", "judge": judge})
    for name, made in rows.items():
        table(name, made).write_parquet(folder / f"{name}.parquet")
    manifest = Manifest(
        run_id=run,
        suite="s",
        suite_path="s.yaml",
        suite_text="",
        target="https://sigma.example.com",
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
    return folder


def names(told: Ledger) -> dict[str, str]:
    return {entry.case_id: entry.name for entry in told.entries}


def only(told: Ledger) -> Entry:
    (entry,) = told.entries
    return entry


def flaky(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["flaky", *arguments])


def test_prompts_are_called_what_their_nights_say(tmp_path: Path) -> None:
    for day in range(1, 15):
        night(tmp_path, day, {"sound": (8, 0), "broken": (0, 8), "odd": (4, 4), "new": (1, 0)})
    told = ledger("s", tmp_path)
    assert names(told) == {"odd": "flaky", "broken": "stable fail", "new": "unknown", "sound": "stable pass"}
    assert [entry.case_id for entry in told.entries] == ["odd", "broken", "new", "sound"]
    odd = told.entries[0]
    assert (odd.runs, odd.passed, odd.failed, odd.last_failed) == (14, 56, 56, "2026-11-14")
    assert sum(odd.masses.values()) == pytest.approx(1)


def test_a_prompt_has_an_entry_for_each_variant(tmp_path: Path) -> None:
    for day in range(1, 11):
        night(tmp_path, day, {"p@a": (8, 0), "p@b": (4, 4)})
    told = ledger("s", tmp_path)
    assert [(entry.variant, entry.name) for entry in told.entries] == [("b", "flaky"), ("a", "stable pass")]


def test_phases_of_a_run_are_one_night(tmp_path: Path) -> None:
    folder = night(tmp_path, 1, {"p": (3, 0)})
    rows = [
        {"case_id": "p", "variant": "v", "phase": phase, "passed": 3, "failed": failed, "error": 1}
        | {"invalid": 0, "not_run": 0, "asked": "words", "checks": "checks"}
        for phase, failed in (("calm", 0), ("peak", 2))
    ]
    table("cases", rows).write_parquet(folder / "cases.parquet")
    entry = only(ledger("s", tmp_path))
    assert (entry.runs, entry.passed, entry.failed, entry.missing) == (1, 6, 2, 2)


@pytest.mark.parametrize("other", [{"asked": "as it was"}, {"checked_by": "others"}])
def test_only_nights_that_asked_and_checked_the_same_count(tmp_path: Path, other: dict[str, str]) -> None:
    for day in range(1, 6):
        night(tmp_path, day, {"p": (0, 8)}, **other)
    for day in range(6, 20):
        night(tmp_path, day, {"p": (8, 0)})
    entry = only(ledger("s", tmp_path))
    assert (entry.name, entry.runs, entry.failed, entry.otherwise) == ("stable pass", 14, 0, 5)


def test_another_judge_counts_for_what_it_judged_only(tmp_path: Path) -> None:
    came = {"judged": (0, 8), "plain": (0, 8)}
    night(tmp_path, 1, came, judge="one", judge_of=("judged",))
    night(tmp_path, 2, came, judge="other", judge_of=("judged",))
    told = {entry.case_id: entry for entry in ledger("s", tmp_path).entries}
    assert (told["judged"].runs, told["judged"].otherwise) == (1, 1)
    assert (told["plain"].runs, told["plain"].otherwise) == (2, 0)


def test_a_run_that_is_not_whole_is_left_out_and_said_so(tmp_path: Path) -> None:
    night(tmp_path, 1, {"p": (8, 0)})
    night(tmp_path, 2, {"p": (0, 8)}, interrupted=True)
    night(tmp_path, 3, {"p": (0, 8)}, decided={"v": 3})
    killed = night(tmp_path, 4, {"p": (0, 8)}, exit_code=None)
    (killed / "cases.parquet").unlink()
    told = ledger("s", tmp_path)
    assert len(told.runs) == 1
    assert told.left_out == {
        "20261102T030000Z-aaaa": "it was interrupted",
        "20261103T030000Z-aaaa": "it was stopped early, which biases what it found",
        "20261104T030000Z-aaaa": "it was killed, or goes on still",
    }
    assert told.entries[0].failed == 0


def test_a_run_that_cannot_be_read_is_left_out_and_the_others_are_not(tmp_path: Path) -> None:
    night(tmp_path, 1, {"p": (8, 0)})
    torn = night(tmp_path, 2, {"p": (0, 8)})
    (torn / "cases.parquet").write_bytes((torn / "cases.parquet").read_bytes()[:100])
    scribbled = night(tmp_path, 3, {"p": (0, 8)})
    (scribbled / "manifest.json").write_text("{")
    told = ledger("s", tmp_path)
    assert told.runs == ("20261101T030000Z-aaaa",)
    assert "cases.parquet: cannot be read" in told.left_out[torn.name]
    assert "not a manifest" in told.left_out[scribbled.name]


def test_a_ledger_of_runs_of_which_none_is_whole_is_empty(tmp_path: Path) -> None:
    night(tmp_path, 1, {"p": (8, 0)}, interrupted=True)
    told = ledger("s", tmp_path)
    assert (told.runs, told.entries, len(told.left_out)) == ((), (), 1)


def test_nights_of_another_sigma_do_not_count(tmp_path: Path) -> None:
    night(tmp_path, 1, {"p": (0, 8)}, target="https://elsewhere.example.com")
    night(tmp_path, 2, {"p": (8, 0)})
    told = ledger("s", tmp_path)
    assert only(told).failed == 0
    assert told.left_out == {
        "20261101T030000Z-aaaa": "it asked https://elsewhere.example.com, the last run "
        "https://sigma.example.com"
    }


def test_the_stand_in_is_the_same_on_whichever_port(tmp_path: Path) -> None:
    night(tmp_path, 1, {"p": (8, 0)}, target="http://127.0.0.1:40001")
    night(tmp_path, 2, {"p": (8, 0)}, target="http://127.0.0.1:40002")
    assert len(ledger("s", tmp_path).runs) == 2


def test_errors_are_counted_beside_and_are_no_failures(tmp_path: Path) -> None:
    night(tmp_path, 1, {"p": (3, 0)}, error=5, invalid=2, not_run=1)
    night(tmp_path, 2, {"p": (0, 0)}, error=8)
    entry = only(ledger("s", tmp_path))
    assert (entry.runs, entry.passed, entry.failed, entry.missing) == (1, 3, 0, 16)


def test_nights_of_long_ago_weigh_less(tmp_path: Path) -> None:
    for day in range(1, 6):
        night(tmp_path, day, {"p": (0, 8)})
    for day in range(16, 29):
        night(tmp_path, day, {"p": (8, 0)})
    assert only(ledger("s", tmp_path, 1_000)).name == "flaky"
    assert only(ledger("s", tmp_path, 2)).name == "stable pass"


def test_a_change_has_its_day(tmp_path: Path) -> None:
    for day in range(1, 21):
        night(tmp_path, day, {"p": (5, 0) if day < 13 else (2, 3)})
    entry = only(ledger("s", tmp_path))
    assert (entry.since, entry.before, entry.after) == ("2026-11-13", 1.0, 0.4)
    assert entry.newly_failing
    assert entry.why == "newly failing, passes 40% since 2026-11-13, 100% before"


def test_a_change_of_long_ago_or_for_the_better_is_nothing_new(tmp_path: Path) -> None:
    for day in range(1, 25):
        night(
            tmp_path, day, {"worse": (5, 0) if day < 9 else (2, 3), "better": (1, 4) if day < 20 else (5, 0)}
        )
    told = {entry.case_id: entry for entry in ledger("s", tmp_path, half_life_days=7).entries}
    assert (told["worse"].since, told["worse"].newly_failing) == ("2026-11-09", False)
    assert (told["better"].since, told["better"].newly_failing) == ("2026-11-20", False)


def test_a_first_red_night_is_news_and_comes_first(tmp_path: Path) -> None:
    for day in range(1, 6):
        night(tmp_path, day, {"fresh": (8, 0) if day < 5 else (7, 1), "odd": (4, 4)})
    fresh, odd = ledger("s", tmp_path).entries
    assert (fresh.case_id, fresh.newly_failing, odd.newly_failing) == ("fresh", True, False)
    assert fresh.why == "newly failing, first failed on 2026-11-05"


def test_one_failure_of_a_prompt_that_is_stable_is_no_news(tmp_path: Path) -> None:
    for day in range(1, 29):
        night(tmp_path, day, {"p": (8, 0) if day < 28 else (7, 1)})
    entry = only(ledger("s", tmp_path))
    assert (entry.name, entry.newly_failing, entry.last_failed) == ("stable pass", False, "2026-11-28")
    assert lines(tmp_path, datetime(2026, 11, 29, tzinfo=UTC)) == []


def test_a_prompt_that_was_red_on_its_only_night_is_not_new(tmp_path: Path) -> None:
    night(tmp_path, 1, {"p": (1, 2)})
    assert not only(ledger("s", tmp_path)).newly_failing


def test_prompts_that_the_suite_has_no_more_are_not_listed(tmp_path: Path) -> None:
    night(tmp_path, 1, {"gone": (4, 4), "p": (8, 0)})
    night(tmp_path, 2, {"p": (8, 0), "q": (8, 0)})
    night(tmp_path, 3, {"p": (8, 0)}, choice={"prompts": ["p"]})
    told = ledger("s", tmp_path)
    assert names(told).keys() == {"p", "q"}
    assert told.gone == (("gone", "v"),)


def test_tool_paths_are_told_apart(tmp_path: Path) -> None:
    night(tmp_path, 1, {"p": (6, 2)}, tools=(("search", "open"), ("search",)))
    night(tmp_path, 2, {"p": (8, 0)}, tools=(("search", "open"), ()))
    entry = only(ledger("s", tmp_path))
    assert entry.paths == 2
    assert entry.path_bits == pytest.approx(0.543564)  # of 14 and 2


def test_a_path_is_that_of_last_attempts(tmp_path: Path) -> None:
    folder = night(tmp_path, 1, {"p": (1, 0)}, tools=(("search",), ()))
    both = [
        {"exchange_id": name, "trial_id": "p/0", "turn_id": "1", "attempt": attempt}
        for attempt, name in enumerate(("cut off", "p/0"), 1)
    ]
    table("exchanges", both).write_parquet(folder / "exchanges.parquet")
    calls = [{"exchange_id": "cut off", "name": "crash"}, {"exchange_id": "p/0", "name": "search"}]
    table("tool_calls", calls).write_parquet(folder / "tool_calls.parquet")
    night(tmp_path, 2, {"p": (1, 0)}, tools=(("search",), ()))
    assert only(ledger("s", tmp_path)).paths == 1


def test_what_was_asked_again_is_told_beside_and_is_no_night(tmp_path: Path) -> None:
    night(tmp_path, 1, {"p": (7, 1)})
    told = [{"case_id": "p", "variant": "v", "word": "bad", "passed": 0, "failed": 3}]
    night(tmp_path, 2, {"p": (0, 3)}, confirmed=told)
    entry = only(ledger("s", tmp_path))
    assert (entry.runs, entry.failed) == (1, 1)
    assert entry.confirmed is not None
    assert (entry.confirmed.day, entry.confirmed.word, entry.confirmed.failed) == ("2026-11-02", "bad", 3)
    assert entry.why.endswith("; confirmed on 2026-11-02: 0 of 3 passed")
    night(tmp_path, 3, {"p": (7, 1)}, asked="other words")
    assert only(ledger("s", tmp_path)).confirmed is None


def test_a_pass_rate_that_creeps_down_is_an_alarm_of_its_variant(tmp_path: Path) -> None:
    for day in range(1, 29):
        down = 0 if day < 17 else 1
        came = {f"p{at}": (9 - down, 1 + down) if (at + day) % 2 else (10 - down, down) for at in range(10)}
        came |= {f"{case}@steady": (9, 1) for case in came}
        came |= {"late@v": (1, 9)} if day > 5 else {}
        night(tmp_path, day, came)
    (drift,) = ledger("s", tmp_path).drifts
    assert (drift.variant, drift.since, drift.runs) == ("v", "2026-11-17", 28)
    assert "2026-11-17" <= drift.alarm <= "2026-11-28"


def test_a_run_stands_for_its_suite_as_of_that_run(tmp_path: Path) -> None:
    suite = tmp_path / "s.yaml"
    suite.touch()
    for day in range(1, 4):
        night(tmp_path, day, {"p": (8, 0)}, suite_path=str(suite))
    run = "20261102T030000Z-aaaa"
    assert (
        meant("s", tmp_path) == meant(None, tmp_path) == meant(str(suite), tmp_path) == ("s", tmp_path, None)
    )
    assert meant(run, tmp_path) == meant(str(tmp_path / "s" / run), Path()) == ("s", tmp_path, run)
    assert ledger("s", tmp_path, last=run).runs == ("20261101T030000Z-aaaa", run)


def test_a_suite_without_runs_is_an_error_that_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no runs of nobody"):
        ledger("nobody", tmp_path)
    with pytest.raises(UsageError, match=r"no runs of nobody.*harness run SUITE makes one"):
        meant("nobody", tmp_path)
    night(tmp_path, 1, {"p": (8, 0)})
    (tmp_path / "s").rename(tmp_path / "nightly")
    with pytest.raises(UsageError, match="did you mean nightly"):
        meant("nigthly", tmp_path)


def test_a_half_life_of_nothing_is_refused(tmp_path: Path) -> None:
    night(tmp_path, 1, {"p": (8, 0)})
    with pytest.raises(UsageError, match="longer than 0"):
        ledger("s", tmp_path, 0)
    for written in ("0d", "14"):
        refused = flaky("s", "--results", str(tmp_path), "--half-life", written)
        assert isinstance(refused.exception, UsageError)


def lines(results: Path, today: datetime = TODAY) -> list[str]:
    return list(quarantine_lines(ledger("s", results), today))


def test_a_flaky_prompt_comes_with_the_line_that_lets_it_decide_nothing(tmp_path: Path) -> None:
    for day in range(1, 15):
        night(tmp_path, day, {"odd": (4, 4), "sound": (8, 0), "broken": (0, 8)})
    assert lines(tmp_path) == ['  - {prompt: odd, until: "2026-11-29", reason: "flaky, passes 50% of 112"}']
    night(tmp_path, 15, {"odd": (4, 4)}, quarantined="2026-12-01")
    assert lines(tmp_path) == []
    assert len(lines(tmp_path, datetime(2026, 12, 2, tzinfo=UTC))) == 1  # it is over


def test_a_prompt_that_is_flaky_under_one_variant_is_held_there_only(tmp_path: Path) -> None:
    for day in range(1, 15):
        night(tmp_path, day, {"p@a": (4, 4), "p@b": (8, 0), "q@a": (4, 4), "q@b": (4, 4)})
    assert [line.partition(", until")[0] for line in sorted(lines(tmp_path))] == [
        "  - {prompt: p, variant: a",
        "  - {prompt: q",
    ]


def test_a_newly_failing_prompt_comes_with_its_line_too(tmp_path: Path) -> None:
    for day in range(1, 15):
        night(tmp_path, day, {"fresh": (2, 0) if day < 14 else (1, 1)})
    (line,) = lines(tmp_path)
    assert 'reason: "newly failing, first failed on 2026-11-14"' in line


def test_the_lines_can_be_pasted_whatever_prompts_are_called(tmp_path: Path) -> None:
    odd = ["faq/a-b.c", "faq[3]", "a: b", "# c", "yes", "12", 'it\'s "so"', "a, {b}", "käse", "-", "Null"]
    for day in range(1, 8):
        night(tmp_path, day, dict.fromkeys(odd, (4, 4)))
    pasted = lines(tmp_path)
    assert len(pasted) == len(odd)
    prompts = "\n".join(f"  - {{id: {msgspec.json.encode(name).decode()}, message: a}}" for name in odd)
    text = "\n".join(["target: standin", "prompts:", prompts, "quarantine:", *pasted, ""])
    suite = parse_suite(text, Path("s.yaml"), {})
    assert {held.prompt for held in suite.quarantine} == set(odd)


def test_the_command_lists_the_worst_and_says_what_it_left_out(tmp_path: Path) -> None:
    for day in range(1, 15):
        night(tmp_path, day, {"odd": (4, 4), "sound": (8, 0)})
    night(tmp_path, 15, {"odd": (0, 8)}, interrupted=True)
    told = flaky("--results", str(tmp_path))
    assert told.exit_code == 0
    assert "odd" in told.stdout
    assert "sound" not in told.stdout
    assert "\n  - {prompt: odd, until: " in told.stdout
    assert "14 runs of s read, 1 left out; 2 prompts × variants, 1 of them never failed" in told.stderr
    assert "left out: 20261115T030000Z-aaaa: it was interrupted" in told.stderr
    assert told.stdout.split()[:5] == ["prompt", "variant", "is", "likely", "runs"]
    assert "sound" in flaky("s", "--all", "--results", str(tmp_path)).stdout


def test_the_command_prints_the_ledger_as_json(tmp_path: Path) -> None:
    night(tmp_path, 1, {"odd": (4, 4)})
    told = flaky("s", "--json", "--results", str(tmp_path))
    found = msgspec.json.decode(told.stdout, type=Ledger)
    assert found == ledger("s", tmp_path)


def test_a_prompt_in_quarantine_that_is_stable_again_may_leave(tmp_path: Path) -> None:
    for day in range(1, 15):
        night(tmp_path, day, {"sound": (8, 0)}, quarantined="2999-12-31")
    told = flaky("s", "--results", str(tmp_path))
    assert "sound [v] is stable again: its line in quarantine: can go" in told.stderr
