"""The house rules that no linter holds: modules in circles, modules and functions that grow."""

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[2]
LONGEST = 500
SUPPRESSED = re.compile(r"# (noqa(: [A-Z0-9, ]+)?|type: ignore(\[[a-z, -]+\])?)$")
LONG: dict[str, str] = {}
"""Modules that are longer, and why."""


@pytest.fixture(scope="module", name="trees")
def _trees() -> dict[str, ast.Module]:
    """Every module of the product, by its name."""
    paths = sorted((ROOT / "harness").rglob("*.py"))
    return {module(path): ast.parse(path.read_bytes()) for path in paths}


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def run_on_import(nodes: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that an import runs: none of functions, and none for type checkers only."""
    for node in nodes:
        yield node
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                continue
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                yield from run_on_import(node.orelse)
            case _:
                below = (getattr(node, name, []) for name in ("body", "orelse", "finalbody"))
                for statements in below:
                    yield from run_on_import(statements)


def imported(tree: ast.Module, known: dict[str, ast.Module]) -> Iterator[str]:
    """The modules of ours that are loaded with *tree*."""
    for node in run_on_import(tree.body):
        match node:
            case ast.Import():
                yield from (each.name for each in node.names if each.name in known)
            case ast.ImportFrom(module=str(name)):
                for each in node.names:
                    inner = f"{name}.{each.name}"
                    yield from [inner] if inner in known else [name] if name in known else []


def test_no_module_needs_itself(trees: dict[str, ast.Module]) -> None:
    needs = {name: set(imported(tree, trees)) - {name} for name, tree in trees.items()}
    assert needs["harness.cli"] >= {"harness.cli.run", "harness.errors"}
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_functions_are_short(trees: dict[str, ast.Module]) -> None:
    lines = [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert median(lines) < 12


def test_no_module_grows_beyond_a_sitting_without_a_reason() -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_bytes().splitlines())
        for path in (ROOT / "harness").rglob("*.py")
    }
    assert {name for name, lines in lengths.items() if lines > LONGEST} == set(LONG)


def test_whatever_is_not_checked_has_its_reason() -> None:
    """As for an import within a function: what it saves, or whose it is."""
    bare = [
        f"{path.relative_to(ROOT)}:{at}"
        for path in sorted((ROOT / "harness").rglob("*.py"))
        for at, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if SUPPRESSED.search(line)
    ]
    assert bare == []
