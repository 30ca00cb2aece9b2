"""Pages of the documentation taken apart: headings, links, code, and the command lines in it.

Blocks between fences are those of `tests.docs.pages`, which runs them.
"""

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.docs.pages import ROOT, Block, blocks

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "results" / "README.md"])
_OPERATORS = {"|", "||", "&&", "&", ";", ">", ">>", "2>&1", "…", "..."}


def named(page: Path) -> str:
    """*page* as seen from the root of the repository."""
    return str(page.relative_to(ROOT))


@cache
def inline(page: Path) -> tuple[str, ...]:
    """What *page* has between single backticks."""
    return tuple(part.content for part in _parts(page) if part.type == "code_inline")


@cache
def links(page: Path) -> tuple[str, ...]:
    """Where the links and pictures of *page* lead."""
    found = (part.attrGet("href") or part.attrGet("src") for part in _parts(page))
    return tuple(str(link) for link in found if link)


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors of *page*, as GitHub makes them of its headings."""
    seen: Counter[str] = Counter()
    made = []
    for token, following in pairwise(_tokens(page)):
        if token.type == "heading_open":
            text = "".join(part.content for part in following.children or () if part.type != "softbreak")
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            made.append(slug if not seen[slug] else f"{slug}-{seen[slug]}")
            seen[slug] += 1
    return frozenset(made)


def command_lines(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Each command line of ours on *page*: where it stands, and its words after ``harness``."""
    for code in inline(page):
        yield from ((f"{named(page)}: {code}", words) for words in _ours(code.replace("\n", " ")))
    for block in blocks(page):
        for line in _lines(block):
            yield from ((f"{named(page)}:{block.line}: {line}", words) for words in _ours(line))


def _lines(block: Block) -> Iterator[str]:
    """The lines of *block* that are typed: all of a script, those with a prompt of a session."""
    text = block.text.replace("\\\n", " ")
    typed = block.language in {"sh", "bash"}
    for line in text.splitlines():
        if typed or line.startswith("$ "):
            yield line.removeprefix("$ ")


def _ours(line: str) -> Iterator[list[str]]:
    """The words after ``harness`` of each command in *line* that is it."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # no line of a shell
        return
    command: list[str] = []
    for word in (*words, ";"):
        if word not in _OPERATORS and not word.endswith(";"):
            command.append(word)
            continue
        command += [word.rstrip(";")] if word.rstrip(";") and word not in _OPERATORS else []
        while command and re.fullmatch(r"\w+=.*", command[0]):
            del command[0]
        if command and Path(command[0]).name == "harness" and not command[0].endswith("/"):
            yield command[1:]
        command = []


@cache
def _tokens(page: Path) -> tuple[Token, ...]:
    return tuple(MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8")))


def _parts(page: Path) -> Iterator[Token]:
    for token in _tokens(page):
        yield from token.children or ()
