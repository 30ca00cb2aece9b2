"""What the pages say of the command line is what the command line says, and takes."""

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.cli.optional import OptionalValue, _filled
from tests.cli_reference import PAGE, WIDTH, commands, helped, reference, trimmed
from tests.docs.pages import ROOT
from tests.docs.written import PAGES, command_lines, named

COMMANDS = commands()
README = (ROOT / "README.md").read_text()


def test_the_reference_of_commands_is_what_help_says() -> None:
    assert PAGE.read_text() == reference(), "python -m tests.cli_reference writes the page"


def test_help_says_the_same_in_a_process_of_its_own() -> None:
    plain = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "COLUMNS": str(WIDTH)}
    done = subprocess.run(
        ["harness", "baseline", "set", "--help"], env=plain, capture_output=True, text=True, check=True
    )
    assert trimmed(done.stdout) == helped("harness baseline set")


@pytest.mark.parametrize("words", [words for words in COMMANDS if words.count(" ") == 1])
def test_every_command_is_in_the_readme(words: str) -> None:
    assert f"`{words}" in README


@pytest.mark.parametrize("words", [words for words in COMMANDS if words.count(" ") == 2])
def test_every_command_of_a_group_is_told_of_beside_the_reference(words: str) -> None:
    lines = [["harness", *told] for page in PAGES if page != PAGE for _, told in command_lines(page)]
    assert any(line[:3] == words.split() for line in lines)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_line_of_a_page_has_commands_and_options_that_there_are(page: Path) -> None:
    wrong = [f"{where}: {problem}" for where, words in command_lines(page) if (problem := _wrong(words))]
    assert wrong == []


_OF_ALL = {"--debug", "--version", "--help", "--install-completion", "--show-completion"}


RECIPES = sorted(path for kind in ("yml", "yaml") for path in (ROOT / "docs").rglob(f"*.{kind}"))


@pytest.mark.parametrize("recipe", RECIPES, ids=named)
def test_every_command_line_of_a_recipe_has_commands_and_options_that_there_are(recipe: Path) -> None:
    lines = re.findall(r"(?:^|[\s/`])harness ([a-z][^`\n]*)", recipe.read_text())
    assert lines
    assert [line for line in lines if _wrong(shlex.split(line, comments=True))] == []


def _wrong(words: list[str]) -> str:
    """What the parser of the command line says of *words* after ``harness``; nothing is run."""
    rest = [word.strip("[]") if word.startswith("[-") else word for word in words]
    while rest and rest[0] in _OF_ALL:
        del rest[0]
    known = "harness"
    while rest and f"{known} {rest[0]}" in COMMANDS:
        known = f"{known} {rest.pop(0)}"
    if hasattr(COMMANDS[known], "commands"):
        is_unknown = rest and (rest[0].islower() or rest[0].startswith("-"))
        return f"{known} has no {rest[0]}" if is_unknown else ""
    return _misread(COMMANDS[known], rest, known)


def _misread(command: Any, words: list[str], known: str) -> str:
    context = command.context_class(command, info_name=known)
    filled = list(_filled(words)) if isinstance(command, OptionalValue) else [*words]
    try:
        values, left, _ = command.make_parser(context).parse_args(args=filled)
    except Exception as error:  # noqa: BLE001  the parser's own kinds of error are no public names
        return "" if f"'{words[-1]}' requires an argument" in str(error) else f"{error!r}"  # named, not typed
    wanted = [each.name for each in command.params if each.param_type_name == "argument" and each.required]
    given = [name for name in wanted if isinstance(values.get(name), str | list | tuple) and values[name]]
    if left or 0 < len(given) < len(wanted):
        return f"{known} takes {wanted}, and is given {words}"
    return ""
