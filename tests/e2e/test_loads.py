"""Loads and verdicts through the command line: what is printed, kept, and answered with which exit code."""

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from harness.record.conserved import broken
from tests.conftest import stream_source
from tests.program import harness_here

pytestmark = pytest.mark.slow


def suite(folder: Path, url: str, shape: str, load: str, more: str = "") -> Path:
    path = folder / "s.yaml"
    path.write_text(
        f"""
suite: s
target: {{base_url: "{url}/m/{shape}", allow_anonymous: true, audit: 0%}}
load: {load}
prompts: [{{id: p, message: go}}]
{more}
"""
    )
    return path


def tables(folder: Path) -> dict[str, pl.DataFrame]:
    run = folder / "results" / "s" / "latest"
    return {path.stem: pl.read_parquet(path) for path in run.glob("*.parquet")}


def test_an_open_load_shows_service_and_response_and_counts_only_what_was_measured(tmp_path: Path) -> None:
    with stream_source() as url:
        written = suite(
            tmp_path, url, "ttft=20,gap=2,n=5", "{rate: 40/s, ramp: 500ms, for: 1s, cool_down: 250ms}"
        )
        ran = harness_here("run", written, "--results", tmp_path / "results", "--json")
    told = json.loads(ran.stdout)
    (load,) = told["loads"]
    assert (load["arrivals"], load["dropped"], load["delayed"]) == (40, 0, 0)
    assert load["asked_per_s"] == pytest.approx(40)
    assert load["service"]["ttft"]["p50"]["n"] == load["response"]["ttft"]["p50"]["n"] == 40
    assert load["response"]["ttft"]["p50"]["value"] >= load["service"]["ttft"]["p50"]["value"]
    assert [row["trials"] for row in told["rows"]] == [60]
    found = tables(tmp_path)
    assert found["trials"]["window"].value_counts().sort("window").rows() == [
        ("cool_down", 10), ("measured", 40), ("warm_up", 10)
    ]  # fmt: skip
    assert found["exchanges"]["counted"].sum() == 40
    assert broken(found) == []
    assert found["moments"]["began"].max() == 60


def test_a_server_past_its_capacity_is_no_success_of_an_open_load(tmp_path: Path) -> None:
    with stream_source() as url:
        load = "{rate: 60/s, arrivals: poisson, for: 3s}"
        written = suite(tmp_path, url, "ttft=30,gap=2,n=5,slots=1", load)
        ran = harness_here("run", written, "--results", tmp_path / "results", "--quiet")
    assert ran.exit_code == 3, ran.output
    assert "verdict: server-saturated" in ran.stdout or "verdict: client-bound" in ran.stdout
    assert "no steady state" in ran.stdout
    manifest = json.loads((tmp_path / "results" / "s" / "latest" / "manifest.json").read_text())
    assert manifest["exit_code"] == 3
    assert manifest["verdict"]["word"] in {"server-saturated", "client-bound"}
    assert manifest["in_flight_ns"] > 0


def test_drops_are_counted_and_are_no_failure_of_the_server(tmp_path: Path) -> None:
    with stream_source() as url:
        load = "{rate: 50/s, for: 1s, max_in_flight: 2, when_full: drop}"
        written = suite(tmp_path, url, "ttft=200,gap=2,n=2", load)
        ran = harness_here("run", written, "--results", tmp_path / "results", "--json")
    assert ran.exit_code == 3
    told = json.loads(ran.stdout)
    (load_row,), (row,) = told["loads"], told["rows"]
    assert load_row["dropped"] == row["not_run"] > 20
    assert row["passed"] + row["not_run"] == 50
    assert (row["error"], row["failed"]) == (0, 0)
    trials = tables(tmp_path)["trials"]
    assert set(trials.filter(pl.col("skip") == "dropped")["state"]) == {"not_run"}


def test_everything_is_made_again_from_what_was_recorded_and_comes_out_the_same(tmp_path: Path) -> None:
    with stream_source() as url:
        load = "{a: {workers: 3, for: 500ms}, b: {rate: 20/s, for: 500ms}}"
        written = suite(tmp_path, url, "ttft=5,gap=1,n=4", load)
        harness_here("run", written, "--results", tmp_path / "results", "--quiet")
    before, run = tables(tmp_path), tmp_path / "results" / "s" / "latest"
    summary = (run / "summary.json").read_text()
    for path in [*run.glob("*.parquet"), run / "summary.json"]:
        path.unlink()
    again = harness_here("grade", "s", "--retime", "--results", tmp_path / "results")
    assert "verdict:" in again.stdout
    after = tables(tmp_path)
    assert {name: frame.equals(before[name]) for name, frame in after.items()} == dict.fromkeys(before, True)
    assert (run / "summary.json").read_text() == summary


def test_a_run_that_was_killed_is_remade_with_what_is_missing_as_not_run(tmp_path: Path) -> None:
    with stream_source() as url:
        written = suite(tmp_path, url, "ttft=5,gap=1,n=4", "{workers: 2}", "defaults: {repeat: 6}")
        harness_here("run", written, "--results", tmp_path / "results", "--quiet")
    run = tmp_path / "results" / "s" / "latest"
    journal, manifest = run / "journal-0.jsonl", run / "manifest.json"
    kept = [line for line in journal.read_text().splitlines(keepends=True) if '"line":"result"' in line[:20]]
    journal.write_text("".join(kept[:4]) + kept[4][: len(kept[4]) // 2])
    manifest.write_text(
        json.dumps(json.loads(manifest.read_text()) | {"exit_code": None, "in_flight_ns": None})
    )
    again = harness_here("grade", run, "--retime", "--json")
    assert again.exit_code == 3
    (row,) = json.loads(again.stdout)["rows"]
    assert (row["passed"], row["not_run"]) == (4, 2)


def test_a_run_that_is_not_there_is_told_with_what_is(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    result = subprocess.run(
        [sys.executable, "-m", "harness", "grade", "latest", "--retime", "--results", tmp_path / "results"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.startswith("no run latest: there is none in")


def test_a_plan_shows_when_an_open_load_falls_due(tmp_path: Path) -> None:
    written = suite(
        tmp_path, "http://127.0.0.1:9", "n=1", "{a: {rate: 4/s, for: 1s}, b: {workers: 2, for: 1m}}"
    )
    told = harness_here("plan", written, "--offline", "--json")
    assert [json.loads(line)["due_ns"] for line in told.stdout.splitlines()] == [
        0, 250_000_000, 500_000_000, 750_000_000
    ]  # fmt: skip
    assert "phase a: 4 conversations fall due over 1 s (constant, open)" in told.stderr
    assert "phase b: 1 trial again and again over 1 min 0 s, by 2 workers" in told.stderr


def test_a_plan_says_of_every_load_what_it_is_like(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("due_s\n7\n7.2\n7.4\n9\n")
    load = """
  every: {workers: 3}
  soak: {workers: 4, ramp: 500ms, for: 90s, mix: {default: 1}}
  bursts: {rate: 6/m, arrivals: gamma, cv: 2, for: 1m, max_in_flight: 8, when_full: drop}
  steps: {stages: [{rate: 2/s, for: 2s}, {rate: 10/s, for: 1s}], warm_up: 1s, cool_down: 500ms}
  again: {trace: t.csv, speed: 2x, max_in_flight: 9}"""
    told = harness_here("plan", suite(tmp_path, "http://127.0.0.1:9", "n=1", load), "--offline").stderr
    lines = [line for line in told.splitlines() if line.startswith("phase ")]
    assert lines[0] == "phase every: 1 trial, each once, by 3 workers"
    assert lines[1] == (
        "phase soak: 1 trial again and again over 1 min 30 s, by 4 workers; ramp 0.5 s; mix default 100%"
    )
    assert "fall due over 1 min 0 s (gamma, cv 2, open): 0.1/s; at most " in lines[2]
    assert lines[2].endswith("in any second; 8 in flight at most, and what finds them is dropped")
    assert lines[3] == (
        "phase steps: 21 conversations fall due over 4.5 s (constant, open): 2/s for 2 s, then 10/s for 1 s; "
        "at most 10 in any second; warm-up 1 s; cool-down 0.5 s; 14 of them are measured"
    )
    assert lines[4] == (
        "phase again: 4 conversations fall due over 1 s (trace, open): as in t.csv at 2x; "
        "at most 3 in any second; 9 in flight at most, and what finds them is sent late"
    )


def test_a_run_is_replayed_as_it_was_and_the_books_balance(tmp_path: Path) -> None:
    """What last night's run did, twice as fast: its own table is the trace, whatever its rows' order."""
    with stream_source() as url:
        load = "{a: {workers: 2, for: 400ms}, b: {rate: 20/s, arrivals: poisson, for: 1s}}"
        written = suite(tmp_path, url, "ttft=20,gap=1,n=4", load, "variants: {x: {}, y: {}}")
        harness_here("run", written, "--results", tmp_path / "results", "--quiet")
        (run,) = (tmp_path / "results" / "s").glob("2*")
        first = pl.read_parquet(run / "trials.parquet")
        again = suite(
            tmp_path, url, "ttft=20,gap=1,n=4",
            f"{{trace: results/s/{run.name}/trials.parquet, speed: 2x}}", "variants: {x: {}, y: {}}",
        )  # fmt: skip
        ran = harness_here("run", again, "--results", tmp_path / "results", "--json")
    told = json.loads(ran.stdout)
    found = tables(tmp_path)
    assert broken(found) == []
    assert [row["arrivals"] for row in told["loads"]] == [len(first)]
    was = first.with_columns(at=pl.coalesce("due_ns", "began_ns")).sort("at")
    now = found["trials"].sort("due_ns")
    assert now.select("variant", "case_id").equals(was.select("variant", "case_id"))
    gaps = (was["at"] - was["at"][0]) / 2 - (now["due_ns"] - now["due_ns"][0])
    assert gaps.abs().max() <= 0.5


def test_workers_of_an_open_load_are_refused_with_what_limits_it(tmp_path: Path) -> None:
    written = suite(tmp_path, "http://127.0.0.1:9", "n=1", "{rate: 4/s, for: 1s}")
    told = harness_here("run", written, "--workers", "4", "--results", tmp_path / "results")
    assert told.exit_code != 0
    assert "max_in_flight limits it" in str(told.exception)


def test_a_stall_in_every_stream_is_its_longest_gap_and_the_usual_gap_stays(tmp_path: Path) -> None:
    """Three peers show the mean of the gaps instead, 30 ms of a stall of a second."""
    with stream_source() as url:
        written = suite(
            tmp_path, url, "ttft=20,gap=10,n=40,stall=20:500", "{workers: 4}", "defaults: {repeat: 8}"
        )
        harness_here("run", written, "--results", tmp_path / "results", "--quiet")
    found = tables(tmp_path)["exchanges"]
    assert found["longest_gap_ms"].min() >= 500  # type: ignore[operator]
    assert found["gap_p50_ms"].median() < 50  # type: ignore[operator]
