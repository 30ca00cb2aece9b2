"""The command line as a user runs it: exit code, files, text."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest

import harness
from harness.errors import Exit
from harness.journal import read
from tests.bounds import started
from tests.conftest import Serving, Standin
from tests.terminal import answered

HARNESS = [sys.executable, "-m", "harness"]

pytestmark = pytest.mark.slow

SMALL = """
suite: small
target: standin
variants:
  plain: {llm_override: {model_provider: Simulated, model_version: "sim:tokens=5"}}
prompts:
  - {id: hello, message: hello}
"""


def harness_(*args: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("SIGMA_")} | environment
    return subprocess.run(
        [*HARNESS, *map(str, args)], cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False
    )


def suite(folder: Path, text: str) -> Path:
    path = folder / "suite.yaml"
    path.write_text(text)
    return path


def left_behind(folder: Path) -> set[str]:
    """The process ids of all that was started in *folder* and still runs."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink() == folder:
                found.add(process.name)
    return found


def test_a_run_prints_its_figures_to_standard_output_and_its_talk_to_standard_error(tmp_path: Path) -> None:
    done = harness_("run", suite(tmp_path, SMALL), "--json", cwd=tmp_path)
    assert done.returncode == Exit.OK, done.stderr
    (row,) = json.loads(done.stdout)["rows"]
    assert (row["variant"], row["trials"], row["passed"]) == ("plain", 1, 1)
    assert row["ttft_p50_ms"] == {"value": None, "n": 1}
    assert "1/1 done" in done.stderr
    assert "results: " in done.stderr


def test_a_failed_check_ends_with_1_and_says_what_the_answer_was(tmp_path: Path) -> None:
    failing = SMALL.replace("message: hello}", "message: hello, assert: [{type: contains, value: Paris}]}")
    done = harness_("run", suite(tmp_path, failing), cwd=tmp_path)
    assert done.returncode == Exit.FAILED
    assert re.search(r"failed +hello \[plain\]: contains: the answer does not contain 'Paris'", done.stderr)


def test_a_fault_of_sigma_ends_with_3_and_is_counted_by_its_kind(tmp_path: Path) -> None:
    broken = SMALL.replace("tokens=5", "tokens=5,fault=reset@2")
    done = harness_("run", suite(tmp_path, broken), cwd=tmp_path)
    assert done.returncode == Exit.INCOMPLETE
    assert "faults: disconnected 1" in done.stdout


def test_a_setting_that_was_ignored_makes_a_trial_invalid_and_the_run_ends_with_3(tmp_path: Path) -> None:
    ignored = SMALL.replace("tokens=5", "tokens=5,ignore=forced").replace(
        '"}}', '"}, forced_tool_id: internal_search}'
    )
    done = harness_("run", suite(tmp_path, ignored), cwd=tmp_path)
    assert done.returncode == Exit.INCOMPLETE
    assert "forced_tool_id was ignored: asked internal_search, seen no tool call" in done.stderr


def test_everything_wrong_with_a_suite_is_said_at_once_and_nothing_is_sent(tmp_path: Path) -> None:
    wrong = SMALL.replace("prompts:", "promts: []\nprompts:").replace(
        "message: hello", "message: '{{ who }}'"
    )
    done = harness_("run", suite(tmp_path, wrong), cwd=tmp_path)
    assert done.returncode == Exit.USAGE
    assert done.stdout == ""
    assert len(re.findall(r"suite\.yaml:\d+:\d+: ", done.stderr)) == 2
    assert "did you mean" in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_name_that_this_sigma_does_not_have_is_said_before_anything_is_sent(tmp_path: Path) -> None:
    wrong = SMALL.replace('"}}', '"}, forced_tool_id: internal_serch}')
    done = harness_("run", suite(tmp_path, wrong), cwd=tmp_path)
    assert done.returncode == Exit.USAGE
    assert "no tool internal_serch" in done.stderr
    assert "did you mean internal_search?" in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_target_that_is_not_there_ends_with_4(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    done = harness_("run", suite(tmp_path, SMALL), "--target", url, cwd=tmp_path)
    assert done.returncode == Exit.ENVIRONMENT
    assert f"{url}: no Sigma answers" in done.stderr


def test_results_that_cannot_be_written_end_with_4(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file stands where the folder should be")
    done = harness_("run", suite(tmp_path, SMALL), cwd=tmp_path)
    assert done.returncode == Exit.ENVIRONMENT
    assert "cannot be made" in done.stderr


def test_a_journal_that_can_take_no_more_ends_the_run_with_4_and_keeps_what_it_has(tmp_path: Path) -> None:
    many = suite(tmp_path, SMALL.replace("prompts:", "defaults: {repeat: 20}\nprompts:"))
    # No file of this run may grow beyond 8 KiB: to a program, that is a full disk.
    full = ["bash", "-c", 'ulimit -f 8 && exec "$@"', "bash", *HARNESS, "run", str(many)]
    done = subprocess.run(full, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == Exit.ENVIRONMENT, done.stderr
    assert "journal-0.jsonl: cannot be written: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    (run,) = (tmp_path / "results" / "small").glob("2*")
    assert all(one.failure is None for one in read(run / "journal-0.jsonl"))
    assert json.loads((run / "manifest.json").read_text())["exit_code"] is None
    assert left_behind(tmp_path) == set()


def test_tables_that_cannot_be_written_end_the_run_with_4_and_the_journal_is_whole(tmp_path: Path) -> None:
    full = ["bash", "-c", 'ulimit -f 12 && exec "$@"', "bash", *HARNESS, "run", str(suite(tmp_path, SMALL))]
    done = subprocess.run(full, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == Exit.ENVIRONMENT, done.stderr
    assert "exchanges.parquet: cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    (run,) = (tmp_path / "results" / "small").glob("2*")
    assert len(list(read(run / "journal-0.jsonl"))) == 1
    assert list(run.glob("*.partial")) == []


def test_ctrl_c_before_the_first_trial_ends_with_3(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        command = [*HARNESS, "run", str(suite(tmp_path, SMALL)), "--target", url]
        with started(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
            asking, _ = silent.accept()
            with asking:
                process.send_signal(signal.SIGINT)
                _, said = process.communicate(timeout=30)
    unknown = "what this takes in tokens and money is not known before a first run of the suite: "
    unknown += "it is sent without asking, and a budget would bound it"
    assert (process.returncode, said.splitlines()) == (Exit.INCOMPLETE, [unknown, "interrupted"])
    assert not (tmp_path / "results").exists()


LEFT = """
suite: left
target: {{base_url: "{url}", cleanup: true}}
defaults: {{repeat: 30}}
load: {{workers: 3}}
prompts:
  - message: hi
    files: notes.md
    llm_override: {{model_provider: Simulated, model_version: "sim:ttft=20ms,gap=20ms,tokens=2000"}}
"""


def test_what_ctrl_c_cuts_off_is_ended_on_the_server_and_leaves_no_session_and_no_file_there(
    serving: Serving, tmp_path: Path
) -> None:
    (tmp_path / "notes.md").write_text("The canteen opens at 11:30.")
    with serving() as target:
        command = [*HARNESS, "run", str(suite(tmp_path, LEFT.format(url=target.url)))]
        with started(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            awaited = ["3 in flight", "stopping"]
            for line in process.stderr:
                if awaited and awaited[0] in line:
                    awaited.pop(0)
                    process.send_signal(signal.SIGINT)
            assert process.wait(30) == Exit.INCOMPLETE
        assert target.get("/_standin/stats")["in_flight"] == 0
        assert target.get("/chat/get-user-chat-sessions")["sessions"] == []
        assert target.get("/user/files/recent") == []
    (exchanges,) = (tmp_path / "results" / "left").glob("2*/exchanges.parquet")
    assert pl.read_parquet(exchanges)["stopped"].to_list() == [True] * 3


def test_a_run_against_a_server_that_is_there_uses_it(tmp_path: Path, sigma: Standin) -> None:
    done = harness_("run", suite(tmp_path, SMALL), "--target", sigma.url, cwd=tmp_path)
    assert done.returncode == Exit.OK, done.stderr
    (manifest,) = (tmp_path / "results" / "small").glob("2*/manifest.json")
    assert json.loads(manifest.read_text())["target"] == sigma.url


def test_the_plan_lists_the_trials_that_a_run_records(tmp_path: Path) -> None:
    path = suite(tmp_path, SMALL.replace("prompts:", "defaults: {repeat: 3}\nprompts:"))
    offline = harness_("plan", path, "--offline", "--json", cwd=tmp_path)
    assert offline.returncode == Exit.OK, offline.stderr
    planned = [json.loads(line) for line in offline.stdout.splitlines()]
    assert [trial["repeat"] for trial in planned] == [1, 2, 3]
    assert planned[0]["turns"][0]["message"] == "hello"
    looked_up = harness_("plan", path, cwd=tmp_path)
    assert [line.split()[0] for line in looked_up.stdout.splitlines()[1:]] == [
        one["trial_id"] for one in planned
    ]
    assert "3 trials; all names found" in looked_up.stderr
    assert not (tmp_path / "results").exists()
    assert harness_("run", path, cwd=tmp_path).returncode == Exit.OK
    (trials,) = (tmp_path / "results" / "small").glob("2*/trials.parquet")
    assert sorted(pl.read_parquet(trials)["trial_id"]) == sorted(one["trial_id"] for one in planned)


def test_a_terminal_is_shown_the_first_trials_of_a_long_plan_and_a_pipe_all_of_them(tmp_path: Path) -> None:
    checked = SMALL.replace("message: hello}", "message: hello, assert: [stream-complete]}")
    path = suite(tmp_path, checked.replace("prompts:", "defaults: {repeat: 22}\nprompts:"))
    command = [*HARNESS, "plan", str(path), "--offline", "--results", str(tmp_path)]

    def seen(*options: str) -> list[str]:
        code, text = answered([*command, *options])
        assert code == Exit.OK, text
        return text.splitlines()

    piped = harness_(*command[len(HARNESS) :], cwd=tmp_path)
    head, *trials = (line.split() for line in piped.stdout.splitlines())
    told = piped.stderr.splitlines()
    assert len(trials) == 22
    assert told[-1].startswith("22 trials; ")
    short = seen()
    assert [line.split() for line in short[:21]] == [head, *trials[:20]]
    assert short[21:] == ["and 2 more; --all lists every one", *told]
    assert [line.split() for line in seen("--all")[:23]] == [head, *trials]
    assert [json.loads(line)["trial_id"] for line in seen("--json")[:22]] == [row[0] for row in trials]
    exactly = seen("--limit", "20")
    assert [line.split() for line in exactly[1:21]] == trials[:20]
    assert "--all" not in exactly[21]


@pytest.mark.parametrize(("signals", "finished"), [(1, True), (2, False)], ids=["once", "twice"])
def test_ctrl_c_leaves_a_whole_record_and_no_process(tmp_path: Path, signals: int, finished: bool) -> None:
    slow = SMALL.replace("tokens=5", "ttft=10ms,gap=20ms,tokens=100").replace(
        "prompts:", "defaults: {repeat: 50}\nload: {workers: 2}\nprompts:"
    )
    command = [*HARNESS, "run", str(suite(tmp_path, slow))]
    with started(
        command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stderr is not None
        awaited = [r"\b[1-9]\d*/50 done"] + ["stopping"] * (signals - 1)  # one is done, others are under way
        for line in process.stderr:
            if awaited and re.search(awaited[0], line):
                awaited.pop(0)
                process.send_signal(signal.SIGINT)
        assert process.wait(30) == Exit.INCOMPLETE
    (run,) = (folder for folder in (tmp_path / "results" / "small").iterdir() if not folder.is_symlink())
    results = list(read(run / "journal-0.jsonl"))
    assert len(results) == 50
    sent = [one for one in results if one.exchanges]
    cut = [one for one in sent if one.skip is not None]
    assert bool(cut) is not finished
    assert len(sent) - len(cut) >= 1
    trials = pl.read_parquet(run / "trials.parquet")
    assert set(trials["state"]) == {"passed", "not_run"}
    assert json.loads((run / "manifest.json").read_text())["interrupted"] is True
    assert left_behind(tmp_path) == set()


def test_the_pipeline_is_a_library(tmp_path: Path) -> None:
    loaded = harness.load_suite(suite(tmp_path, SMALL))
    done = harness.run(loaded, harness.Options(results=tmp_path / "here", choice=harness.Choice(repeat=2)))
    assert done.exit_code == Exit.OK
    assert done.summary.rows[0].passed == 2
    assert done.tables["exchanges"]["answer"].to_list() != []
    assert done.folder.parent == tmp_path / "here" / "small"


@pytest.mark.anyio
async def test_a_run_works_where_an_event_loop_is_running_as_in_a_notebook(tmp_path: Path) -> None:
    done = harness.run(suite(tmp_path, SMALL), harness.Options(results=tmp_path))
    assert done.summary.rows[0].passed == 1


LOADED = """
import contextlib, io, sys
from typer.main import get_command
from harness.cli import app

def paths(command, path):
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from paths(below, [*path, name])

def loaded(*args):
    with contextlib.redirect_stdout(io.StringIO()) as told, contextlib.suppress(SystemExit):
        app(args)
    assert told.getvalue(), args
    return " ".join(sys.modules)

print(" ".join(sys.modules))
print([loaded(*path, "--help") for path in paths(get_command(app), [])][-1])
print(loaded("schema"))
"""


def test_help_of_every_command_and_the_schema_stay_light() -> None:
    """What is loaded by the command line alone, by the help of all commands, and by what needs the keys."""
    cli, helped, schema = (
        set(line.split())
        for line in subprocess.run(
            [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True
        ).stdout.splitlines()
    )
    heavy = {"altair", "httpx", "numpy", "polars", "ray", "starlette", "uvicorn", "vl_convert"}
    assert heavy & schema == set()
    heavy |= {"anyio", "bpe_openai", "hdrh", "jinja2", "msgspec", "yaml"}
    assert heavy & helped == set()
    assert (heavy | {"pydantic"}) & cli == set(), "typer itself loads it where there are parameters"


def test_a_limit_of_open_files_is_raised_or_said_to_be_too_low_before_anything_is_sent(
    tmp_path: Path,
) -> None:
    path = suite(tmp_path, SMALL)
    run = f"{shlex.join(HARNESS)} run {shlex.quote(str(path))} --workers 100"

    def under(limit: str) -> subprocess.CompletedProcess[str]:
        command = ["sh", "-c", f"ulimit {limit}; {run}"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert under("-Sn 64").returncode == Exit.OK
    refused = under("-n 128")
    assert refused.returncode == Exit.USAGE
    assert "100 workers need up to 264 open files, and this system allows 128" in refused.stderr
