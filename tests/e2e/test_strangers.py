"""A folder of results that somebody else made: nothing of it is run, and nothing outside of it is touched.

Each command that reads results is run in a process with an audit hook (`tests.e2e.trap`), on runs whose
manifest, tables and files were made to have it do more than read.
"""

import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import polars as pl
import pytest

from harness.errors import Exit

SUITE = """
suite: s
target: standin
judge: {target: self, llm_override: {model_provider: Simulated, model_version: judge}}
prompts:
  - id: one
    message: How long is the refund window for customers in the EU?
    assert:
      - {type: icontains, value: 30 days}
      - {type: python, value: "file://checks.py:good"}
      - {type: llm-rubric, value: It says "thirty days"}
  - {id: two, message: What does the Team plan cost?}
load: {main: {workers: 2}}
"""
HARM = "open(__file__ + '.harm', 'w')\ndef good(output, context): return True\n"
READING: dict[str, list[str]] = {
    "grade": ["grade", "RUN", "-q"],
    "retime": ["grade", "RUN", "-q", "--retime"],
    "report": ["report", "RUN"],
    "files": [
        "report",
        "RUN",
        "--html",
        "o.html",
        "--markdown",
        "o.md",
        "--junit",
        "o.xml",
        "--csv",
        "tables",
    ],
    "compare": ["compare", "one", "two", "--of", "RUN"],
    "flaky": ["flaky", "s", "--results", "RESULTS"],
    "label": ["judge", "label", "RUN", "--by", "me"],
    "baselines": ["baseline", "list", "--results", "RESULTS"],
}


class Recorded(NamedTuple):
    folder: Path
    run_id: str
    trapped: list[str]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """A run as somebody made it, elsewhere; the trap was set for it, too."""
    cwd = tmp_path_factory.mktemp("theirs")
    log = tmp_path_factory.mktemp("trap") / "trapped"
    (cwd / "suite.yaml").write_text(SUITE)
    (cwd / "checks.py").write_text("def good(output, context): return True\n")
    command = [sys.executable, "-m", "tests.e2e.trap", str(log), str(cwd), "run", "suite.yaml", "-q"]
    done = subprocess.run(command, cwd=cwd, env=trapping(), capture_output=True, timeout=60, check=False)
    assert done.returncode == Exit.OK, done.stderr.decode()
    folder = (cwd / "results" / "s" / "latest").resolve()
    (cwd / "suite.yaml").unlink()
    return Recorded(folder, folder.name, log.read_text().splitlines())


class Given(NamedTuple):
    """Results that came from a stranger: *cwd* is ours, and *run* in its folder of results."""

    cwd: Path
    run: Path

    def edit(self, **changed: Any) -> None:
        path = self.run / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changed))

    def in_place_of(self, name: str, put: Callable[[Path], None]) -> None:
        path = self.run / name
        path.unlink(missing_ok=True)
        put(path)


@pytest.fixture
def given(recorded: Recorded, tmp_path: Path) -> Given:
    run = tmp_path / "ours" / "results" / "s" / recorded.run_id
    shutil.copytree(recorded.folder, run)
    return Given(tmp_path / "ours", run)


class Read(NamedTuple):
    code: int
    talk: str
    trapped: list[str]


def trapping() -> dict[str, str]:
    """The environment in which the trap is found, and writes no bytecode."""
    own = {"PYTHONPATH": os.fspath(Path(__file__).parents[2]), "PYTHONDONTWRITEBYTECODE": "1"}
    return os.environ | own


def read(given: Given, command: str) -> Read:
    """What *command* came to, what it said, and what the trap has of it."""
    log = given.cwd.parent / "trapped"
    log.touch()
    words = {"RUN": str(given.run), "RESULTS": str(given.cwd / "results")}
    args = [words.get(each, each) for each in READING[command]]
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.trap", log, given.cwd, *args],
        cwd=given.cwd,
        env=trapping(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return Read(done.returncode, (done.stdout + done.stderr).decode(), log.read_text().splitlines())


@pytest.mark.slow
def test_a_run_connects_to_its_target_and_to_nobody_else(recorded: Recorded) -> None:
    """Target and judge are the stand-in here; no telemetry is sent, and nobody asked for a newer version."""
    called = [line for line in recorded.trapped if line.startswith("connects ")]
    hosts = {host for line in called for host in re.findall(r"\(+'?([^',]*)'?, ", line)}
    assert {line.split()[1] for line in called} >= {"socket.connect", "socket.getaddrinfo"}
    assert hosts == {"127.0.0.1"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "where"),
    [
        *((command, "of the run") for command in READING),
        ("grade", "of the results"),
        ("files", "of the results"),
    ],
)
def test_code_that_came_with_results_is_not_run_and_nobody_is_asked(
    given: Given, command: str, where: str
) -> None:
    """The suite that the manifest names lies among the results, word for word, with its checks beside it."""
    folder = given.run if where == "of the run" else given.cwd / "results"
    (folder / "suite.yaml").write_text(SUITE)
    (folder / "checks.py").write_text(HARM)
    given.edit(suite_path=str(folder / "suite.yaml"), target="http://127.0.0.1:9")
    (given.run / "said.jsonl").unlink(missing_ok=True)
    told = read(given, command)
    assert told.trapped == []
    assert told.code in set(Exit), told.talk
    assert "Traceback" not in told.talk
    assert not list(given.cwd.rglob("*.harm"))


@pytest.mark.slow
def test_the_trap_sees_what_it_is_there_for(given: Given) -> None:
    """Where the suite is ours, and stands where it did, its Python is run: that is a process."""
    own = given.cwd / "own"
    own.mkdir()
    (own / "suite.yaml").write_text(SUITE)
    (own / "checks.py").write_text(HARM)
    given.edit(suite_path=str(own / "suite.yaml"))
    (given.run / "said.jsonl").unlink()
    told = read(given, "grade")
    assert any(line.startswith("starts ") and "harness.grade.runner" in line for line in told.trapped)
    assert (own / "checks.py.harm").exists()


def crawled(url: str) -> list[str]:
    """Every page of the view that a page of it leads to, each fetched once."""
    with httpx.Client(base_url=url, timeout=30) as http:
        waiting, seen = ["/"], {"/"}
        while waiting:
            page = http.get(waiting.pop())
            if "html" not in page.headers["content-type"]:
                continue
            links = (
                html.unescape(each) for each in re.findall(r'(?:href|src|data-src)="(/[^"#]*)', page.text)
            )
            fresh = [each for each in dict.fromkeys(links) if each not in seen]
            seen.update(fresh)
            waiting += fresh
    return sorted(seen)


@pytest.mark.slow
@pytest.mark.parametrize("ended", [True, False], ids=["with its tables", "killed"])
def test_a_view_of_results_runs_nothing_of_them_and_asks_nobody(given: Given, ended: bool) -> None:
    """Of a run that was killed the view reads the journal, by the suite that the manifest names."""
    (given.cwd / "results" / "suite.yaml").write_text(SUITE)
    (given.cwd / "results" / "checks.py").write_text(HARM)
    given.edit(suite_path=str(given.cwd / "results" / "suite.yaml"), target="http://127.0.0.1:9")
    if not ended:
        given.edit(exit_code=None)
        for table in given.run.glob("*.parquet"):
            table.unlink()
    before = {path: path.stat().st_mtime_ns for path in given.cwd.rglob("*")}
    log = given.cwd.parent / "trapped"
    command = [
        sys.executable,
        "-m",
        "tests.e2e.trap",
        str(log),
        str(given.cwd),
        "view",
        "results",
        "--port",
        "0",
    ]
    with subprocess.Popen(command, cwd=given.cwd, env=trapping(), stdout=subprocess.PIPE, text=True) as view:
        assert view.stdout is not None
        try:
            pages = crawled(view.stdout.readline().strip())
        finally:
            view.terminate()
    assert view.returncode == Exit.OK
    assert len(pages) > 8
    assert any("/trial/" in page for page in pages)
    listens = ("connects socket.bind", "connects socket.getaddrinfo")
    assert [line for line in log.read_text().splitlines() if not line.startswith(listens)] == []
    assert {path: path.stat().st_mtime_ns for path in given.cwd.rglob("*")} == before


ODD: dict[str, Callable[[Path], None]] = {
    "pipe": os.mkfifo,
    "zeros": lambda path: path.symlink_to("/dev/zero"),
    "link": lambda path: path.symlink_to("/etc/passwd"),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "odd"),
    [
        ("journal-0.jsonl", "pipe"),
        ("summary.json", "link"),
        ("trials.parquet", "zeros"),
        ("said.jsonl", "pipe"),
        ("trials.partial", "link"),
    ],
)
def test_what_is_no_file_of_a_run_is_neither_read_nor_written(given: Given, name: str, odd: str) -> None:
    given.in_place_of(name, ODD[odd])
    told = read(given, "grade")
    assert told.code == Exit.ENVIRONMENT, told.talk
    assert f"{name} is a link, a pipe or a device, and no file of a run" in " ".join(told.talk.split())
    assert told.trapped == []
    assert "root:" not in told.talk


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "path"),
    [*((command, "/dev/zero") for command in READING), ("grade", "a\0b")],
    ids=[*READING, "NUL"],
)
def test_a_manifest_that_names_files_of_ours_has_none_of_them_read_or_written(
    given: Given, command: str, path: str
) -> None:
    """As its suite, and as the file of labels, which `judge label` would write."""
    mine = given.cwd.parent / "mine.csv"
    text = SUITE.replace("judge: {", f"judge: {{labels: {mine}, ").replace(
        "\n      - {type: python", "\n      # {"
    )
    given.edit(suite_path=path, suite_text=text, suite="../../..")
    told = read(given, command)
    assert told.code in set(Exit), told.talk
    assert "Traceback" not in told.talk
    assert "bug in" not in told.talk
    assert told.trapped == []
    assert not mine.exists()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["report", "files"])
def test_a_table_that_unpacks_to_gigabytes_is_refused(given: Given, bomb: Path, command: str) -> None:
    for name in ("trials", "exchanges"):
        shutil.copyfile(bomb, given.run / f"{name}.parquet")
    told = read(given, command)
    assert told.code in {Exit.ENVIRONMENT, Exit.USAGE}, told.talk
    assert "bytes that unpack to 272,000,000: no file that was written to be read" in " ".join(
        told.talk.split()
    )


@pytest.fixture(scope="module")
def bomb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small file with one very long column."""
    path = tmp_path_factory.mktemp("bomb") / "bomb.parquet"
    long = pl.lit("x" * 100).repeat_by(17_000_000).explode().alias("trial_id")
    pl.LazyFrame({"trial_id": ["x"]}).select(long).sink_parquet(path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("command", ["report", "files"])
def test_a_table_that_is_broken_is_a_message(given: Given, command: str) -> None:
    path = given.run / "trials.parquet"
    whole = path.read_bytes()
    for broken in (b"", whole[: len(whole) // 2] + whole[-8:]):
        path.write_bytes(broken)
        told = read(given, command)
        assert told.code in {Exit.ENVIRONMENT, Exit.USAGE}, told.talk
        assert "trials.parquet: cannot be read" in " ".join(told.talk.split())
        assert "Traceback" not in told.talk
