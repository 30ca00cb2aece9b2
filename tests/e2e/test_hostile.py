"""Hostile answers are text in everything that shows them: the terminal, Markdown, JUnit, annotations.

The stand-in's `fault=hostile` puts markup, escapes of a terminal, marks that turn a line round, NULs and
lines of megabytes into every part of a reply. Nothing of that may reach a reader as anything but letters.
"""

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as Xml

import pytest

from harness.errors import Exit
from harness.report.visible import LONGEST, as_json, cut, document, one_line, shortened, visible
from harness.standin.hostile import TEXT, TOOL
from tests.conftest import Standin

SUITE = r"""
suite: hostile
target: standin
defaults: {repeat: 2}
variants:
  "bad \e[31m\u202e[bold]": {llm_override: {model_provider: Simulated, model_version: "sim:ttft=1ms,gap=0,fault=hostile"}}
  long: {llm_override: {model_provider: Simulated, model_version: "sim:ttft=1ms,gap=0,fault=hostile:5M"}}
  broken: {llm_override: {model_provider: Simulated, model_version: "sim:ttft=1ms,gap=0,fault=hostile,fault=error@4:NOT_FOUND"}}
  odd: {llm_override: {model_provider: Simulated, model_version: "sim:ttft=1ms,gap=0,tokens=3,fault=unknown"}}
prompts:
  - id: "one\n::error::\u202e\e[2J|<b>"
    message: "say \e[31m\u202e"
    assert: [{type: equals, value: "Paris\e[31m\u202e"}]
  - id: two
    message: say it
    assert: [is-json, {type: regex, value: ^Paris$}, {type: not-contains, value: script}]
load:
  main: {workers: 1}
"""  # noqa: E501  a variant is a line


class Ran(NamedTuple):
    code: int
    told: str
    talk: str


def harness_(*args: str | Path, cwd: Path, keys: str = "", **environment: str) -> Ran:
    command = [sys.executable, "-m", "harness", *map(str, args)]
    env = {key: value for key, value in os.environ.items() if not key.startswith("GITHUB_")} | environment
    typed = keys.encode()
    done = subprocess.run(
        command, cwd=cwd, env=env, input=typed, capture_output=True, timeout=60, check=False
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


def hidden(text: str, *, but: str = "\n") -> set[str]:
    """The characters of *text* that a reader does not see, or that do something."""
    return {each for each in text if unicodedata.category(each)[0] in "CZ" and each not in f" {but}"}


def longest(text: str) -> int:
    return max(map(len, text.split("\n")))


class Recorded(NamedTuple):
    cwd: Path
    folder: Path
    ran: Ran


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """A run of hostile answers, as a user runs it in CI."""
    cwd = tmp_path_factory.mktemp("hostile")
    (cwd / "suite.yaml").write_text(SUITE)
    ran = harness_("run", "suite.yaml", cwd=cwd)
    (folder,) = (each for each in (cwd / "results" / "hostile").iterdir() if not each.is_symlink())
    return Recorded(cwd, folder, ran)


@pytest.mark.slow
def test_a_run_prints_nothing_that_a_terminal_would_act_on(recorded: Recorded) -> None:
    assert recorded.ran.code == Exit.FAILED, recorded.ran.talk
    for told in (recorded.ran.told, recorded.ran.talk):
        assert hidden(told) == set()
        assert longest(told) < 500
    assert r"<b>\x1b[31m\u202e\x07\x00\r\x08[bold]{{7*7}}" in recorded.ran.talk
    assert r"bad \x1b[31m\u202e[bold]" in recorded.ran.told
    assert "Traceback" not in recorded.ran.talk


@pytest.mark.slow
def test_colours_are_the_only_escapes_where_they_are_wanted(recorded: Recorded) -> None:
    """A terminal shows them: what is left without rich's own has none of theirs."""
    forced = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "200"}
    ran = harness_("grade", recorded.folder, cwd=recorded.cwd, **forced)
    assert ran.code == Exit.FAILED
    for told in (ran.told, ran.talk):
        pieces = told.split("\x1b[")
        rest = pieces[0] + "".join(piece.partition("m")[2] for piece in pieces[1:])
        codes = {piece.partition("m")[0] for piece in pieces[1:]}
        assert hidden(rest) == set()
        assert all(code.replace(";", "").isdigit() for code in codes)


@pytest.mark.slow
def test_markdown_and_junit_hold_it_as_text_in_lines_that_can_be_read(recorded: Recorded) -> None:
    made = harness_("report", recorded.folder, "--markdown", "a.md", "--junit", "a.xml", cwd=recorded.cwd)
    assert made.code == Exit.OK
    markdown = (recorded.cwd / "a.md").read_text()
    assert hidden(markdown, but="\n\u2060") == set()  # a word joiner breaks mentions and links, on purpose
    assert longest(markdown) < 1_000
    assert "<script" not in markdown
    assert not any(line.lstrip().startswith(("::", "#", "```")) for line in markdown.split("\n")[1:])
    document = (recorded.cwd / "a.xml").read_text()
    assert hidden(document) == set()
    root = Xml.fromstring(document)  # noqa: S314  our own
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("8", "6", "2")
    texts = [each.text or "" for each in root.iter() if each.tag in {"failure", "error"}]
    assert sum("<script>alert(1)</script>" in text for text in texts) == 6  # all but those of `odd`
    assert max(map(len, texts)) < LONGEST + 100


@pytest.mark.slow
def test_annotations_are_one_command_each_whatever_an_answer_says(recorded: Recorded) -> None:
    told = harness_("report", recorded.folder, "--junit", "b.xml", cwd=recorded.cwd, GITHUB_ACTIONS="true")
    lines = told.talk.strip().split("\n")
    assert hidden(told.talk) == set()
    assert [line.partition(" file=")[0] for line in lines] == ["::error"] * 6 + ["::warning"] * 2
    for line in lines:
        properties = line[2:].partition("::")[0]
        assert "one %3A%3Aerror%3A%3A" in properties or "two" in properties


@pytest.mark.slow
def test_a_comparison_names_hostile_tools_and_prompts_as_they_read(recorded: Recorded) -> None:
    told = harness_("compare", "long", "odd", "--of", recorded.folder, cwd=recorded.cwd)
    assert told.code == Exit.OK
    assert hidden(told.told) == set()
    assert "days_between<script>alert" in told.told
    apart = harness_("compare", "odd", "long", "--of", recorded.folder, cwd=recorded.cwd).told
    assert r"one ::error::\u202e\x1b[2J|<b>" in " ".join(apart.split())


@pytest.mark.slow
def test_a_document_on_standard_output_has_nothing_hidden_and_reads_as_what_it_was(
    recorded: Recorded,
) -> None:
    told = harness_("grade", recorded.folder, "--json", cwd=recorded.cwd).told
    assert hidden(told) == set()
    assert "bad \x1b[31m\u202e[bold]" in {row["variant"] for row in json.loads(told)["rows"]}
    told = harness_("compare", "odd", "long", "--of", recorded.folder, "--json", cwd=recorded.cwd).told
    assert hidden(told) == set()
    assert any(TOOL in each["what"] for each in json.loads(told)[0]["divergences"])


@pytest.mark.slow
def test_a_plan_and_its_curl_commands_have_no_line_of_a_prompts_own(recorded: Recorded) -> None:
    listed = harness_("plan", "suite.yaml", "--offline", cwd=recorded.cwd).told
    assert hidden(listed) == set()
    assert len(listed.strip().split("\n")) == 1 + 4 * 2 * 2
    commands = harness_("plan", "suite.yaml", "--offline", "--requests", cwd=recorded.cwd).told
    assert hidden(commands) == set()
    assert all(line.startswith(("# ", "curl ")) for line in commands.split("\n") if line)
    for line in (
        harness_("plan", "suite.yaml", "--offline", "--json", cwd=recorded.cwd).told.strip().split("\n")
    ):
        assert hidden(line) == set()
    trial = json.loads(line)
    assert (trial["case_id"], trial["turns"][0]["message"]) in {
        ("one\n::error::\u202e\x1b[2J|<b>", "say \x1b[31m\u202e"),
        ("two", "say it"),
    }


@pytest.mark.slow
def test_a_recorded_reply_is_read_as_text_and_cut_and_whole_as_json(onyx: Standin, tmp_path: Path) -> None:
    reply = onyx.ask("go", "sim:ttft=0,gap=0,fault=hostile:5M")
    (tmp_path / "body").write_text(reply.text)
    read = harness_("read", "body", cwd=tmp_path)
    assert read.code == Exit.OK
    assert hidden(read.told, but="\n\t") == set()
    assert longest(read.told) < LONGEST + 100
    assert "more characters)" in read.told
    assert "␛[31m\\u202e␇␀" in read.told
    document = harness_("read", "body", "--json", cwd=tmp_path).told
    assert hidden(document) == set()
    assert json.loads(document)["answer"] == reply.answer()


JUDGED = """
suite: judged
target: standin
judge: {target: self, llm_override: {model_provider: Simulated, model_version: judge}}
prompts:
  - id: one
    message: say it
    llm_override: {model_provider: Simulated, model_version: "sim:ttft=1ms,gap=0,fault=hostile:50k"}
    assert: [{type: llm-rubric, value: It says "thirty days :boom:"}]
"""


@pytest.mark.slow
def test_who_labels_sees_an_answer_as_it_reads_and_no_more_than_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(JUDGED)
    ran = harness_("run", "suite.yaml", cwd=tmp_path)
    assert ran.code == Exit.FAILED, ran.talk
    assert hidden(ran.talk) == set()
    told = harness_("judge", "label", "judged", "--by", "me", cwd=tmp_path, keys="f\n")
    assert told.code == Exit.OK, told.talk
    assert hidden(told.talk + told.told) == set()
    assert longest(told.talk) < LONGEST + 100
    assert "more characters)" in told.talk
    assert r"<b>\x1b[31m\u202e\x07\x00" in told.talk
    assert ":boom:" in told.talk


@pytest.mark.slow
def test_an_error_quotes_what_is_wrong_as_text(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text('suite: s\ntarget: standin\n"pro\\e[2J\\u202empts": 1\n')
    told = harness_("run", "suite.yaml", cwd=tmp_path)
    assert told.code == Exit.USAGE
    assert hidden(told.talk) == set()
    assert r"pro\x1b[2J\u202empts" in told.talk


@pytest.mark.parametrize("text", [TEXT, TOOL, "\ud800 \x9b \u2028", "plain"])
def test_every_way_of_showing_a_text_leaves_nothing_hidden(text: str) -> None:
    assert hidden(visible(text), but="\n\t") == set()
    assert hidden(cut(text), but="\n\t") == set()
    assert hidden(one_line(text), but="") == set()
    assert hidden(shortened(text, 40), but="") == set()
    assert len(shortened(text, 40)) <= 40
    assert hidden(as_json({"text": text}), but="") == set()
    assert json.loads(as_json({"text": text})) == {"text": text}
    if "\ud800" not in text:  # which nobody can encode
        assert hidden(document({"text": text})) == set()
        assert json.loads(document({"text": text})) == {"text": text}


def test_what_is_cut_says_how_much_is_left_out_and_takes_no_time_over_it() -> None:
    assert cut("A" * 5_000_000, 10) == "A" * 10 + " … (4,999,990 more characters)"
    assert shortened("\u202e" * 5_000_000, 8) == "\\u202e\\…"
    assert shortened("word " * 1_000_000, 12) == "word word w…"
    assert cut("fits") == shortened("fits", 4) == "fits"
