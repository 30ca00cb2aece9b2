"""`harness report` as a user runs it: in the terminal, as a page, of two runs, and where it cannot."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec import structs

from harness.errors import Exit
from harness.journal import JOURNAL
from harness.record.store import SUMMARY, read_manifest, write_manifest
from harness.report.html import LIMIT
from harness.report.visible import visible
from harness.standin.hostile import TEXT
from tests.e2e.test_hostile import SUITE as HOSTILE
from tests.program import HARNESS, harness
from tests.report.test_html import Read, hidden

pytestmark = pytest.mark.slow

SUITE = """
suite: told
target: standin
variants:
  plain: {llm_override: {model_provider: Simulated, model_version: "sim:tokens=5"}}
  other: {llm_override: {model_provider: Simulated, model_version: "sim:tokens=9"}}
prompts:
  - {id: good, message: hello}
  - {id: bad, message: hello, assert: [{type: contains, value: bananas}]}
gates: {baseline: plain, rules: [{metric: pass_rate, max_drop: 5pp}]}
"""


class Recorded(NamedTuple):
    cwd: Path
    folder: Path
    ran: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    cwd = tmp_path_factory.mktemp("told")
    (cwd / "suite.yaml").write_text(SUITE)
    ran = harness("run", "suite.yaml", "--quiet", "--html", cwd=cwd)
    (folder,) = (each for each in (cwd / "results" / "told").iterdir() if not each.is_symlink())
    return Recorded(cwd, folder, ran)


def test_in_the_terminal_it_tells_what_the_run_told_at_its_end(recorded: Recorded) -> None:
    told = harness("report", "told", cwd=recorded.cwd)
    assert told.returncode == Exit.OK
    assert told.stdout == recorded.ran.stdout
    assert "bad [plain]: contains" in told.stderr
    assert f"results: {recorded.folder}" in told.stderr.splitlines()


def test_as_json_it_tells_which_run_how_it_ended_and_every_figure_of_its_summary(recorded: Recorded) -> None:
    told = json.loads(harness("report", "told", "--json", cwd=recorded.cwd).stdout)
    assert (told["run_id"], told["exit_code"]) == (recorded.folder.name, recorded.ran.returncode)
    kept = json.loads((recorded.folder / SUMMARY).read_text())
    assert {key: told[key] for key in kept if key in told} == {key: kept[key] for key in kept if key in told}
    assert [row["variant"] for row in told["rows"]] == ["plain", "other"]


def test_a_terminal_without_the_letters_gets_escapes_and_the_run_its_exit_code(recorded: Recorded) -> None:
    command = [*HARNESS, "report", "told"]
    env = {**os.environ, "PYTHONIOENCODING": "latin-1", "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=recorded.cwd, env=env, capture_output=True, timeout=55, check=False)
    assert done.returncode == 0, done.stderr.decode("latin-1")
    assert b"\\u2013" in done.stdout


def test_a_run_leaves_its_page_where_it_is_asked_to(recorded: Recorded) -> None:
    path = re.search(r"^report: (.*)$", recorded.ran.stderr, re.MULTILINE)
    assert path is not None
    assert recorded.cwd / path[1] == recorded.folder / "report.html"
    assert (recorded.folder / "report.html").read_text().startswith("<!doctype html>")


def test_a_page_goes_beside_the_tables_or_where_it_is_asked_for(recorded: Recorded) -> None:
    """The option may stand before the run's name as well as after it, and be given a file or none."""
    for args, path in (
        (("told", "--html"), recorded.folder / "report.html"),
        (("--html", "told"), recorded.folder / "report.html"),
        (("told", "--html=a/odd.name"), recorded.cwd / "a" / "odd.name"),
    ):
        before = path.stat().st_mtime_ns if path.exists() else 0
        told = harness("report", *args, cwd=recorded.cwd)
        assert told.returncode == Exit.OK, told.stderr
        assert told.stdout == ""
        written = re.search(r"^report: (.*)$", told.stderr, re.MULTILINE)
        assert written is not None
        assert (recorded.cwd / written[1]) == path
        assert path.stat().st_mtime_ns > before


def test_a_page_has_the_charts_and_the_comparison_with_the_baseline(recorded: Recorded) -> None:
    told = harness("report", "told", "--html", "-", cwd=recorded.cwd)
    assert told.returncode == Exit.OK
    read = Read(told.stdout)
    assert len(told.stdout.encode()) < LIMIT
    assert len(read.of("figure")) >= 5
    text = " ".join(" ".join(read.text).split())
    assert re.search(r"other against plain of \d{8}T", text)
    assert "case-bad-other-main" in read.ids()


def test_several_files_at_once(recorded: Recorded) -> None:
    args = ("--html", "page.html", "--markdown", "-", "--junit", "j.xml", "--csv", "csv", "--png", "png")
    told = harness("report", "told", *args, cwd=recorded.cwd)
    assert told.returncode == Exit.OK, told.stderr
    assert told.stdout.startswith("## told")
    for path in ("page.html", "j.xml"):
        assert (recorded.cwd / path).stat().st_size > 500
    for folder, ending in (("csv", ".csv"), ("png", ".png")):
        written = list((recorded.cwd / folder).iterdir())
        assert written
        assert {path.suffix for path in written} == {ending}
        assert all(path.name in told.stderr for path in written)


def test_two_variants_are_held_against_each_other(recorded: Recorded) -> None:
    names = ("told:plain", "told:other")
    told = harness("report", "--compare", *names, cwd=recorded.cwd)
    assert told.returncode == Exit.OK
    assert told.stdout == harness("compare", *names, cwd=recorded.cwd).stdout
    page = harness("report", "--compare", *names, "--html", cwd=recorded.cwd)
    assert page.returncode == Exit.OK, page.stderr
    path = recorded.folder / "compare-told_plain-told_other.html"
    assert page.stderr.splitlines()[-1] == f"report: {path}"
    read = Read(path.read_text())
    text = " ".join(" ".join(read.text).split())
    assert "told:other against told:plain" in text
    assert "Answers side by side" in text
    assert read.of("ins")


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        ((), Exit.USAGE, "which run?"),
        (("nobody",), Exit.USAGE, "the newest are 20"),
        (("told", "--compare", "told:plain", "told:other"), Exit.USAGE, "takes the place of RUN"),
        (("--compare", "told:plain", "told:plain"), Exit.USAGE, "the same variant of the same run"),
        (("told", "--html", "suite.yaml/page.html"), Exit.ENVIRONMENT, "cannot be written"),
    ],
)
def test_what_cannot_be_is_said(recorded: Recorded, args: tuple[str, ...], code: Exit, says: str) -> None:
    told = harness("report", *args, cwd=recorded.cwd)
    assert told.returncode == code
    assert says in told.stderr
    assert "Traceback" not in told.stderr


def test_a_run_that_was_killed_has_no_figures_until_it_is_graded(recorded: Recorded, tmp_path: Path) -> None:
    there = tmp_path / "results" / "told" / recorded.folder.name
    there.mkdir(parents=True)
    (there / JOURNAL).write_bytes((recorded.folder / JOURNAL).read_bytes())
    write_manifest(structs.replace(read_manifest(recorded.folder), exit_code=None, verdict=None), there)
    for args in ((), ("--html",), ("--markdown", "-")):
        told = harness("report", "latest", *args, cwd=tmp_path)
        assert told.returncode == Exit.ENVIRONMENT
        assert f"harness grade {there.name} --retime makes them" in told.stderr
        assert told.stdout == ""
    assert not (there / SUMMARY).exists()
    assert harness("grade", "latest", cwd=tmp_path).returncode == recorded.ran.returncode
    assert harness("report", "latest", "--html", cwd=tmp_path).returncode == Exit.OK


def test_hostile_answers_of_megabytes_are_text_in_the_page(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(HOSTILE)
    harness("run", "suite.yaml", "--quiet", cwd=tmp_path)
    told = harness("report", "latest", "--html", "page.html", cwd=tmp_path)
    assert told.returncode == Exit.OK, told.stderr
    text = (tmp_path / "page.html").read_text()
    read = Read(text)
    assert read.open == []
    assert len(text.encode()) < LIMIT
    assert not [letter for line in text.split("\n") for letter in line if hidden(letter)]
    assert len(read.of("script")) == 1
    assert not any(read.of(tag) for tag in ("img", "iframe", "object", "embed"))
    assert not [name for _, attrs in read.tags for name in attrs if name.startswith("on")]
    assert visible(TEXT.split("\n")[1]) in "".join(read.text)
