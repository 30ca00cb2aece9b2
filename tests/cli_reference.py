"""docs/cli.md: what ``--help`` says of every command. ``python -m tests.cli_reference`` writes it."""

from collections.abc import Iterator
from pathlib import Path

import typer.main
from rich.text import Text
from typer.core import TyperCommand, TyperGroup
from typer.testing import CliRunner

from harness.cli import app

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"
WIDTH = 100
HEAD = f"""# Commands

What `harness COMMAND --help` says, in {WIDTH} columns. `python -m tests.cli_reference` writes this page, and
a test holds it to the commands. What comes of each is in the [README](../README.md#commands), with its
exit codes.
"""


def commands() -> dict[str, TyperCommand | TyperGroup]:
    """Every command by the words that call it, a group before its own, ``harness`` first."""
    return dict(_below(typer.main.get_command(app), "harness"))


def helped(words: str) -> str:
    """What ``--help`` says of the command that is called by *words*, without colours."""
    _, *names = words.split()
    done = CliRunner().invoke(
        app, [*names, "--help"], prog_name="harness", env={"COLUMNS": str(WIDTH), "TERM": "xterm"}
    )
    assert done.exit_code == 0, done.output
    return trimmed(Text.from_ansi(done.output).plain)


def trimmed(text: str) -> str:
    """*text* without blanks at the ends of its lines, and without empty lines around it."""
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")


def reference() -> str:
    """The page."""
    return HEAD + "".join(f"\n## {words}\n\n```text\n{helped(words)}\n```\n" for words in commands())


def _below(command: object, words: str) -> Iterator[tuple[str, TyperCommand | TyperGroup]]:
    assert isinstance(command, TyperCommand | TyperGroup), words
    yield words, command
    for name, part in getattr(command, "commands", {}).items():
        yield from _below(part, f"{words} {name}")


if __name__ == "__main__":
    PAGE.write_text(reference())
