"""docs/peers.md: every yes of ours is shown by a test that there is, and that is run."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "peers.md"
ROWS = [
    [cell.strip() for cell in line.strip().strip("|").split("|")]
    for line in PAGE.read_text().splitlines()
    if line.startswith("| ") and not line.startswith(("| capability", "| | |"))
]
SHOWN = re.findall(r"\[`(\w+)`\]\(([^)]+)\)", PAGE.read_text())


@cache
def functions(path: Path) -> dict[str, list[str]]:
    """The tests of a file, each with its decorators and what marks the whole file."""
    tree = ast.parse(path.read_text())
    marks = [ast.unparse(node) for node in tree.body if _is_mark(node)]
    return {
        node.name: [*marks, *map(ast.unparse, node.decorator_list)]
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def _is_mark(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"


@pytest.mark.parametrize(("name", "link"), SHOWN, ids=[name for name, _ in SHOWN])
def test_what_shows_it_is_a_test_that_is_run_in_every_build(name: str, link: str) -> None:
    path = (PAGE.parent / link).resolve()
    assert path.is_file()
    assert not path.is_relative_to(ROOT / "tests" / "benchmarks")
    marks = " ".join(functions(path)[name])
    assert not re.search(r"\.skip\(|xfail|endurance|benchmark", marks), marks


def test_what_is_said_to_be_here_is_shown() -> None:
    there = [row for row in ROWS if len(row) == 5]
    assert len(there) > 60
    for *_, here, shown in there:
        assert here.startswith("no:") or here == "no" or "](../tests/" in shown, here
