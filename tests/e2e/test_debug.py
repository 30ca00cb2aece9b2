"""What a user sees of a bug of ours, and what `--debug` adds: requests and tracebacks, and no secret."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import Exit
from tests.e2e.test_hostile import harness_

SUITE = """
suite: small
target: standin
prompts: [{message: What is the capital of France?, assert: [is-json]}]
"""
BROKEN = """
import sys
import harness.pipeline
from harness.redact.veil import veil_of
from harness.cli import main


def broken(suite, options):
    key = "sk-planted-0123456789"
    assert veil_of(harness.pipeline.load_suite(suite))
    try:
        raise KeyError(key)
    except KeyError as error:
        try:
            raise TypeError(f"no {key}\\x1b[31m") from error
        except TypeError as inner:
            raise ExceptionGroup("several", [inner])


harness.pipeline.run = broken
sys.argv = ["harness", *sys.argv[1:]]
main()
"""
"""A command that has a bug: it has a key in a variable, and in what it raises."""


DAMAGED = """
import sys
import harness.pipeline
from polars.exceptions import PanicException
from harness.cli import main


def damaged(suite, options):
    raise BaseExceptionGroup("several", [PanicException("index out of bounds")])


harness.pipeline.run = damaged
sys.argv = ["harness", "run", "suite.yaml"]
main()
"""
"""A command whose polars gives up, as it does on some damaged files."""


def broken(folder: Path, *before: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    (folder / "suite.yaml").write_text(SUITE)
    command = [sys.executable, "-c", BROKEN, *before, "run", "suite.yaml"]
    env = {"SIGMA_API_KEY": "sk-planted-0123456789", **environment}
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.slow
def test_a_bug_is_told_in_one_message_with_a_code_of_its_own(tmp_path: Path) -> None:
    done = broken(tmp_path)
    assert done.returncode == Exit.BUG
    assert re.fullmatch(
        r"this is a bug in sigma-harness \S+, and no fault of your suite or of Sigma: "
        r"TypeError in <string>, line \d+\. .* harness --debug .*\n",
        done.stderr,
    )
    assert done.stdout == ""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["flag", "variable"])
def test_with_debug_there_is_a_traceback_without_the_key_and_without_escapes(
    tmp_path: Path, how: str
) -> None:
    flags, environment = (("--debug",), {}) if how == "flag" else ((), {"HARNESS_DEBUG": "1"})
    done = broken(tmp_path, *flags, **environment)
    assert done.returncode == Exit.BUG
    assert f"TypeError: no {'*' * 21}\\x1b[31m" in done.stderr
    assert f"KeyError: '{'*' * 21}'" in done.stderr
    assert "planted" not in done.stderr.replace('key = "sk-planted-0123456789"', "")
    assert "\x1b" not in done.stderr


@pytest.mark.slow
def test_with_debug_every_request_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(SUITE)
    ran = harness_("--debug", "run", "suite.yaml", cwd=tmp_path)
    assert ran.code == Exit.FAILED
    line = r"^\d{4}-\d\d-\d\d [\d:,]+ (GET|POST|DELETE) /\S* (\d{3}|broke off|\w+) \d+\.\d ms$"
    told = [each for each in ran.talk.splitlines() if re.match(r"\d{4}-", each)]
    assert len(told) > 5
    assert not [each for each in told if not re.match(line, each)]
    assert sum("POST /chat/send-chat-message 200" in each for each in told) == 1
    quiet = harness_("run", "suite.yaml", cwd=tmp_path)
    assert "send-chat-message" not in quiet.talk


@pytest.mark.slow
def test_with_debug_a_mistake_of_the_user_has_its_traceback_and_its_message(tmp_path: Path) -> None:
    ran = harness_("--debug", "gate", "nothing", cwd=tmp_path)
    quiet = harness_("gate", "nothing", cwd=tmp_path)
    assert ran.code == quiet.code == Exit.USAGE
    assert "Traceback" in ran.talk
    assert ran.talk.endswith(quiet.talk)
    assert "Traceback" not in quiet.talk


@pytest.mark.slow
def test_an_address_where_nobody_answers_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(SUITE)
    ran = harness_("--debug", "run", "suite.yaml", "--target", "http://127.0.0.1:9", cwd=tmp_path)
    assert ran.code == Exit.ENVIRONMENT
    assert re.search(r" GET /\S* ConnectError \d+\.\d ms", ran.talk)


@pytest.mark.slow
def test_a_table_that_polars_gives_up_on_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(SUITE)
    done = subprocess.run(
        [sys.executable, "-c", DAMAGED], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == Exit.ENVIRONMENT
    assert done.stderr.startswith("polars gave up on a table of this run: ")
    assert done.stderr.endswith("harness grade RUN --retime makes all tables anew\n")
    assert "Traceback" not in done.stderr
