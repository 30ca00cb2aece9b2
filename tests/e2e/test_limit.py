"""`harness limit` through the command line: what is found, refused, given up and told, with which exit code.

Machines are busy, so nothing here says how quick a server is: a server may look slower than it is, never
quicker. How near a known limit is found is measured in `tests/endurance/test_limit_live.py`.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from harness.cli import app
from harness.record.runs import planned
from harness.record.store import read_manifest
from tests.bounds import started
from tests.conftest import Serving, Standin

SLOW = pytest.mark.slow


def harness(*args: str | Path) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def suite(folder: Path, url: str, model: str, more: str = "") -> Path:
    path = folder / "s.yaml"
    path.write_text(
        f"""
suite: s
target: {{base_url: "{url}", audit: 0%}}
defaults:
  llm_override: {{model_provider: Simulated, model_version: "{model}"}}
load: {{workers: 3}}
prompts: [{{id: p, message: go}}]
{more}
"""
    )
    return path


def found(ran: Result) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


def requests(standin: Standin) -> int:
    return int(standin.get("/_standin/stats")["requests"])


@SLOW
@pytest.mark.timeout(180)
def test_a_number_of_workers_is_found_told_kept_and_can_be_looked_at(sigma: Standin, tmp_path: Path) -> None:
    written = suite(tmp_path, sigma.url, "sim:ttft=300ms,gap=0,tokens=1,slots=2")
    results = tmp_path / "results"
    options = ("--concurrency", "--for", "3s", "--cool-down", "0s", "--results", results, "--max", "3")
    ran = harness("limit", written, "--slo", "ttft.p75<420ms, error_rate<50%", *options, "--json", "--quiet")
    told = found(ran)
    assert ran.exit_code == told["exit_code"]
    assert told["kind"] == "workers"
    assert told["holds"] in {None, 1.0, 2.0}  # of three, one always waits for 150 ms and more
    kept = results / "s.limit"
    assert json.loads((kept / "limit.json").read_text()) == told
    assert len(list(kept.glob("limit-*Z.json"))) == 1
    for probe in told["probes"]:
        manifest = read_manifest(kept / probe["run_id"])
        (load,) = planned(manifest).suite.load.values()
        assert load.workers == probe["load"]
        assert probe["word"] in {"holds", "past", "client"}
        assert {each["term"] for each in probe["findings"]} == {"ttft.p75<420ms", "error_rate<50%"}
    again = harness("report", kept / told["probes"][0]["run_id"])
    assert again.exit_code == 0
    assert "TTFT p95" in again.stdout
    assert not (results / "s").exists()


@SLOW
def test_the_table_has_a_line_for_each_probe_and_ends_with_the_answer(sigma: Standin, tmp_path: Path) -> None:
    written = suite(tmp_path, sigma.url, "sim:ttft=1ms,gap=0,tokens=1")
    options = ("--concurrency", "--for", "2s", "--max", "1", "--cool-down", "0s")
    ran = harness("limit", written, "--slo", "ttft.p50<20s", *options, "--results", tmp_path / "results")
    assert ran.exit_code == 0, ran.output
    assert "ttft.p50<20s" in ran.stdout
    says = "at least 1 worker: the highest number of workers that was to be asked holds (2 probes, "
    assert says in ran.stdout
    assert "asked for longer" in ran.stdout
    assert "┊" in ran.stdout
    assert "probe 1: 1 worker (start)" in ran.stderr
    assert "probe 2: 1 worker (again, for longer)" in ran.stderr


@SLOW
def test_a_server_that_turns_everything_away_is_left_alone_at_once(serving: Serving, tmp_path: Path) -> None:
    with serving("--dialect", "sigma") as standin:
        written = suite(tmp_path, standin.url, "sim:fault=http:503")
        options = ("--for", "20s", "--start", "4/s", "--cool-down", "0s", "--results", tmp_path / "results")
        ran = harness("limit", written, "--slo", "error_rate<5%", *options, "--json", "--quiet")
        asked = requests(standin)
    told = found(ran)
    assert ran.exit_code == 1
    assert (told["holds"], told["ended"]) == (None, "least")
    assert told["says"].startswith("no rate holds: not even 1.67")
    assert all(probe["early"] and probe["why"].startswith("storm: ") for probe in told["probes"])
    assert asked < 12 * len(told["probes"])  # of 24 to 96 a probe
    for probe in told["probes"]:
        manifest = read_manifest(Path(probe["folder"]))
        assert not manifest.interrupted


@SLOW
def test_a_server_that_refuses_until_tomorrow_is_not_past_its_limit(sigma: Standin, tmp_path: Path) -> None:
    written = suite(tmp_path, sigma.url, "sim:fault=http:429")
    options = ("--for", "5s", "--start", "20/s", "--results", tmp_path / "results")
    ran = harness("limit", written, "--slo", "error_rate<5%", *options, "--json", "--quiet")
    told = found(ran)
    assert (ran.exit_code, told["ended"], told["past"]) == (3, "stopped", None)
    assert "Sigma refuses everything until" in told["says"]


@SLOW
def test_answers_that_are_too_bad_are_past_the_limit(sigma: Standin, tmp_path: Path) -> None:
    more = "    assert: [{type: contains, value: right}]"
    written = suite(tmp_path, sigma.url, "sim:ttft=1ms,gap=0,tokens=2,right=50%")
    text = written.read_text().replace("[{id: p, message: go}]", f"\n  - id: p\n    message: go\n{more}")
    written.write_text(text)
    options = ("--concurrency", "--max", "1", "--for", "2s", "--results", tmp_path / "results")
    ran = harness(
        "limit", written, "--slo", "ttft.p50<20s", "--quality", "pass_rate>0.9", *options, "--json", "--quiet"
    )
    told = found(ran)
    assert (ran.exit_code, told["ended"]) == (1, "least")
    (probe,) = told["probes"]
    words = {each["term"]: each["word"] for each in probe["findings"]}
    assert words == {"ttft.p50<20s": "holds", "pass_rate>0.9": "past"}


@SLOW
def test_nobody_waits_for_the_end_of_a_reply_whose_first_word_is_too_late_by_now(
    sigma: Standin, tmp_path: Path
) -> None:
    written = suite(tmp_path, sigma.url, "sim:ttft=40s,gap=0,tokens=1")
    options = ("--for", "2s", "--start", "20/s", "--cool-down", "0s", "--results", tmp_path / "results")
    ran = harness("limit", written, "--slo", "ttft.p95<500ms", *options, "--json", "--quiet")
    told = found(ran)
    assert (ran.exit_code, told["ended"]) == (1, "least")
    for probe in told["probes"]:
        (finding,) = probe["findings"]
        assert probe["early"]
        assert finding["broke"] == finding["n"] > 0
        assert finding["value"] is None
        manifest = read_manifest(Path(probe["folder"]))
        assert manifest.ended_ns is not None
        assert manifest.ended_ns - manifest.started_ns < 40e9  # no reply had come by then


@SLOW
def test_the_budget_of_the_suite_is_for_the_whole_search(sigma: Standin, tmp_path: Path) -> None:
    written = suite(tmp_path, sigma.url, "sim:ttft=50ms,gap=0,tokens=9", "budget: {tokens: 400}")
    options = ("--concurrency", "--for", "2s", "--cool-down", "0s", "--results", tmp_path / "results")
    ran = harness("limit", written, "--slo", "ttft.p50<20s", *options, "--json", "--quiet")
    told = found(ran)
    assert (ran.exit_code, told["ended"]) == (3, "stopped")
    assert "the budget" in told["why"]
    spent = [read_manifest(Path(probe["folder"])).spent for probe in told["probes"]]
    assert all(each["server_tokens"] > each["estimated_tokens"] > 0 for each in spent)
    assert sum(each["server_tokens"] for each in spent) < 400 * 1.5


@contextmanager
def held_up() -> Iterator[None]:
    """Keep every other thread of this process from running for some 200 ms of each second."""
    over = threading.Event()

    def hold_up() -> None:
        while not over.wait(0.8):
            sum(range(9_000_000))  # one call into C, which lets go of no lock

    thread = threading.Thread(target=hold_up, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@SLOW
def test_where_this_machine_may_open_no_more_files_that_is_the_limit(sigma: Standin, tmp_path: Path) -> None:
    written = suite(tmp_path, sigma.url, "sim:ttft=2s,gap=0,tokens=1")
    limited = 'ulimit -n 120 && exec "$@"'  # room for 28 trials, of the 40 that are under way at 20/s
    command = ["sh", "-c", limited, "sh", sys.executable, "-m", "harness", "limit", str(written)]
    command += [
        "--slo",
        "ttft.p50<20s",
        "--start",
        "20/s",
        "--for",
        "4s",
        "--cool-down",
        "0s",
        "--json",
        "--quiet",
    ]
    command += ["--results", str(tmp_path / "results")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    told = json.loads(ran.stdout)
    assert (ran.returncode, told["ended"]) == (3, "client")
    assert "found no room: this machine may have no more files open" in told["says"]


@SLOW
@pytest.mark.timeout(180)
def test_where_this_machine_is_too_slow_that_is_said_and_no_limit_of_the_server(
    sigma: Standin, tmp_path: Path
) -> None:
    written = suite(tmp_path, sigma.url, "sim:ttft=30ms,gap=0,tokens=1")
    options = ("--for", "2s", "--start", "20/s", "--cool-down", "0s", "--results", tmp_path / "results")
    with held_up():
        ran = harness("limit", written, "--slo", "response_ttft.p95<60ms", *options, "--json", "--quiet")
    told = found(ran)
    assert (ran.exit_code, told["ended"]) == (3, "client")
    assert told["past"] is None
    assert "this machine is the limit, and not the server" in told["says"]
    assert "harness calibrate" in told["says"]
    assert [probe["verdict"] for probe in told["probes"][-2:]] == ["client-bound"] * 2


@SLOW
def test_a_ctrl_c_ends_with_what_is_known(sigma: Standin, tmp_path: Path) -> None:
    written = suite(tmp_path, sigma.url, "sim:ttft=1ms,gap=0,tokens=1")
    command = [sys.executable, "-m", "harness", "limit", str(written), "--slo", "ttft.p50<20s", "--for", "2s"]
    command += ["--concurrency", "--cool-down", "0s", "--results", str(tmp_path / "results")]
    with started(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        seen = []
        for line in process.stderr:
            seen.append(line)
            if "done" in line and any("probe 2:" in each for each in seen):
                process.send_signal(signal.SIGINT)
                break
        threading.Thread(target=process.stderr.read, daemon=True).start()
        told = process.stdout.read()
        assert process.wait(60) == 3
    assert "stopped: interrupted; so far 1 worker holds (" in told
    assert json.loads((tmp_path / "results" / "s.limit" / "limit.json").read_text())["ended"] == "stopped"


@SLOW
def test_a_server_that_is_gone_ends_with_what_is_known(serving: Serving, tmp_path: Path) -> None:
    with serving("--dialect", "sigma") as standin:
        written = suite(tmp_path, standin.url, "sim:ttft=1ms,gap=0,tokens=1")
        command = [sys.executable, "-m", "harness", "limit", str(written), "--slo", "ttft.p50<20s"]
        command += ["--for", "2s", "--concurrency", "--cool-down", "0s"]
        command += ["--results", str(tmp_path / "results")]
        with started(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
        ) as process:
            assert process.stderr is not None
            assert process.stdout is not None
            for line in process.stderr:
                if line.startswith("1 worker: holds"):
                    os.kill(standin.pid, signal.SIGKILL)
                    break
            threading.Thread(target=process.stderr.read, daemon=True).start()
            told = process.stdout.read()
            assert process.wait(60) == 3
    assert "so far 1 worker holds" in told


REFUSED: list[tuple[list[str], str]] = [
    ([], "what has to hold? --slo"),
    (["--slo", "ttft.p95<2"], "--slo 'ttft.p95<2': a duration needs a unit: write 2s"),
    (["--slo", "tfft.p95<2s"], "did you mean ttft.p95?"),
    (["--slo", "ttft.p95<2s", "--quality", "pass_rat>0.9"], "did you mean pass_rate?"),
    (["--slo", "ttft.p95<2s", "--for", "60"], "--for 60: a duration needs a unit: write 60s"),
    (["--slo", "ttft.p95<2s", "--for", "10ms"], "--for 10ms: at least 1 s are wanted"),
    (["--slo", "ttft.p95<2s", "--cool-down", "x"], "--cool-down x: a duration is written as"),
    (["--slo", "ttft.p95<2s", "--start", "fast"], "--start fast: a rate is written as 2/s"),
    (["--slo", "ttft.p95<2s", "--start", "0.1/s"], "ttft.p95<2s asks for 20 trials"),
    (["--slo", "ttft.p95<2s", "--max", "0.5/s"], "--max 0.5/s: this is less than the first load, 1"),
    (["--slo", "ttft.p95<2s", "--tolerance", "0.05"], "--tolerance 0.05: a share is written as 15%"),
    (["--slo", "ttft.p95<2s", "--tolerance", "90%"], "--tolerance 90%: it lies between 1% and 50%"),
    (["--slo", "ttft.p95<2s", "--concurrency", "--start", "2/s"], "a load is a number of workers"),
    (["--slo", "ttft.p95<2s", "--concurrency", "--arrivals", "constant"], "workers have none"),
    (["--slo", "ttft.p95<2s", "--variant", "nobody"], "no variant nobody in this suite"),
    (["--slo", "ttft.p95<2s", "--target", "ftp://x"], "--target ftp://x"),
]


@pytest.mark.parametrize(("options", "says"), REFUSED, ids=[says for _, says in REFUSED])
def test_what_is_wrong_is_said_before_anything_is_sent(
    sigma: Standin, tmp_path: Path, options: list[str], says: str
) -> None:
    written = suite(tmp_path, sigma.url, "sim:tokens=1")
    before = requests(sigma)
    ran = harness("limit", written, *options, "--results", tmp_path / "results", "--quiet")
    assert ran.exit_code != 0
    assert says in str(ran.exception)
    assert requests(sigma) == before
    assert not (tmp_path / "results").exists()
