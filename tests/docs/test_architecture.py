"""docs/architecture.md: its tables are those of the code, and what it names is where it says."""

import ast
import re
from pathlib import Path

import pytest

from tests.architecture import PACKAGE, PAGE, rendered
from tests.docs.pages import ROOT

TEXT = PAGE.read_text()
NAMED = [
    (path, name)
    for path, names in re.findall(r"`(harness/[\w/]+\.py)`: (`[\w.]+`(?:, `[\w.]+`)*)", TEXT)
    for name in re.findall(r"`([\w.]+)`", names)
]
TYPES = TEXT.partition("## Central types")[2].partition("\n## ")[0]
STARTS = {"open_process", "Popen", "Thread", "ThreadPoolExecutor"}


def defined(path: Path) -> set[str]:
    """What a module defines at its top, and the methods of its classes."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        for part in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(f"{getattr(node, 'name', '')}.{part.name}")
    return found


def test_the_tables_are_those_of_the_contracts_and_docstrings() -> None:
    assert rendered(TEXT) == TEXT, "python -m tests.architecture writes them"


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_every_station_is_a_function_that_there_is(path: str, name: str) -> None:
    assert name in defined(ROOT / path)


def test_a_trial_is_followed_from_the_command_to_the_report() -> None:
    assert len(NAMED) > 30
    assert (NAMED[0][0], NAMED[-1][0]) == ("harness/cli/run.py", "harness/gate/ruling.py")


def test_every_central_type_is_where_it_is_said_to_be() -> None:
    rows = re.findall(r"^\| (`.*?`) \| (`.*?`) \|", TYPES, re.MULTILINE)
    assert rows
    for types, places in rows:
        there = {name for place in re.findall(r"`(.*?)`", places) for name in defined(ROOT / place)}
        assert set(re.findall(r"`(\w+)`", types)) <= there, types


def test_every_module_that_starts_a_process_or_a_thread_is_on_the_page() -> None:
    told = TEXT.partition("## Processes, threads, tasks")[2].partition("\n## ")[0]
    for path in PACKAGE.rglob("*.py"):
        calls = {
            getattr(node.func, "attr", getattr(node.func, "id", ""))
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call)
        }
        if calls & STARTS:
            assert f"`{path.relative_to(ROOT)}`" in told
