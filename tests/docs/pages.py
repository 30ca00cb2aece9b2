"""Pages of the repository as programs: the files that a page names, its commands, and what they print.

A block whose first line is ``# name.yaml`` is a file of that name. A ```sh, ```console or ```text block that
begins with ``$ `` is commands, run in order in a folder that has the files of the page so far and the
repository's `suites/`. What follows a command in its block, or stands in the ```text block after it, is its
output: each of its lines has to be printed, in that order. Figures, ids and times are blanked on both sides,
and rows that begin with a figure are not looked for; ``...`` stands for lines left out, and within a line for
a part of it. A command ends with 0, or with what a last line ``exit N`` says.

    python -m tests.docs.pages README.md           what its commands really print, to be pasted
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SHELLS = frozenset({"sh", "console", "text"})

_HEADING = re.compile(r"#{1,6} +(.+?)\s*$")
_FENCE = re.compile(r"(`{3,})\s*([\w-]*)\s*$")
_NAME = re.compile(r"# ([\w./-]+\.\w+)$")


class Block(NamedTuple):
    """What stands between two fences: under which heading, in which line of the page (that of its fence)."""

    language: str
    text: str
    heading: str
    line: int

    @property
    def name(self) -> str | None:
        """The name of the file that it is, if it is one."""
        found = _NAME.match(self.text.partition("\n")[0])
        return found[1] if found else None


@dataclass(frozen=True, slots=True)
class Command:
    """A line to run, the lines it is said to print, and the exit code it is said to have."""

    line: str
    printed: tuple[str, ...]
    exit_code: int = 0


def blocks(page: Path) -> list[Block]:
    """All that stands between fences on a page, in order."""
    return list(_blocks(page.read_text(encoding="utf-8").splitlines()))


def _blocks(lines: Sequence[str]) -> Iterator[Block]:
    heading, fence, began, language = "", "", 0, ""
    for at, line in enumerate(lines):
        if fence:
            if line.strip() == fence:
                yield Block(language, "\n".join(lines[began + 1 : at]) + "\n", heading, began + 1)
                fence = ""
        elif opened := _FENCE.match(line.lstrip()):
            fence, language, began = opened[1], opened[2], at
        elif found := _HEADING.match(line):
            heading = found[1]
    if fence:
        raise ValueError(f"line {began + 1}: a block without an end")


def commands(section: Sequence[Block]) -> list[Command]:
    """What the blocks of a section run, each command with its output, of its own block or the one after."""
    found: list[list[str]] = []
    awaited = False
    for block in section:
        shell = block.language in SHELLS and block.text.startswith("$ ")
        if shell:
            for line in block.text.splitlines():
                if line.startswith("$ "):
                    found.append([line[2:]])
                else:
                    found[-1].append(line)
        elif block.language == "text" and awaited:
            found[-1] += block.text.splitlines()
        awaited = shell
    return [_command(*lines) for lines in found]


def _command(line: str, *printed: str) -> Command:
    said = [line for line in printed if line.strip()]
    if said and (code := re.fullmatch(r"exit (\d+)", said[-1])):
        return Command(line, tuple(said[:-1]), int(code[1]))
    return Command(line, tuple(said))


def sections(page: Path) -> dict[str, list[Block]]:
    """The blocks of a page by the heading above them, of those headings that have commands."""
    found: dict[str, list[Block]] = {}
    for block in blocks(page):
        found.setdefault(block.heading, []).append(block)
    return {heading: held for heading, held in found.items() if commands(held)}


def write_files(page: Path, heading: str, folder: Path) -> None:
    """Put into *folder* the files that the page names, down to the end of that section."""
    last = max(block.line for block in blocks(page) if block.heading == heading)
    for block in blocks(page):
        if block.name is not None and block.line <= last:
            path = folder / block.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
    if not (folder / "suites").exists():
        (folder / "suites").symlink_to(ROOT / "suites")


def run(command: Command, folder: Path) -> tuple[int, str]:
    """Run one command as a shell would: its exit code, and all that it printed, in its order."""
    told = {key: value for key, value in os.environ.items() if not key.startswith(("SIGMA_", "GITHUB_"))}
    told["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{told['PATH']}"
    told["PYTHONUNBUFFERED"] = "1"  # else what goes to standard output comes last, as in no terminal
    line = command.line.removesuffix('; echo "exit $?"')
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=told,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


_BLANKS = (
    (re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}"), "RUN"),
    (re.compile(r"[\u2500-\u259f]+"), "▪"),  # bars and frames
    (re.compile(r"verdict: (valid|degraded|client-bound)"), "verdict: #"),  # what else this machine did
    (re.compile(r"\b(valid|degraded|client-bound|server-saturated)  "), "#  "),
    (re.compile(r"[-+−<>≤≥]?\d[\d,.]*( ?(ms|µs|s|min|h|pp|USD|MiB)\b|%)?|–"), "#"),
)


def blanked(line: str) -> str:
    """A line without what is another in every run: figures, ids, bars, how busy this machine was."""
    for pattern, blank in _BLANKS:
        line = pattern.sub(blank, line)
    return " ".join(line.split())


def missing(said: Sequence[str], printed: str) -> list[str]:
    """The lines that a page says and that were not printed, each looked for below the one before it."""
    lines = [blanked(line) for line in printed.splitlines()]
    below, lost = 0, []
    for line in said:
        if line.strip() == "..." or line.lstrip()[:1].isdigit():
            continue
        wanted = re.compile(".*".join(re.escape(part.strip()) for part in blanked(line).split("...")))
        at = next((at for at in range(below, len(lines)) if wanted.fullmatch(lines[at])), None)
        if at is None:
            lost.append(line)
        else:
            below = at + 1
    return lost


def main(page: Path) -> None:
    """Run a page and print what its commands really do, to be pasted."""
    for heading in sections(page):
        with TemporaryDirectory() as folder:
            write_files(page, heading, Path(folder))
            for command in commands(sections(page)[heading]):
                code, printed = run(command, Path(folder))
                print(f"$ {command.line}\n{printed}exit {code}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
