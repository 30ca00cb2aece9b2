"""SECURITY.md: every promise is one sentence or two, with tests that exist and are not skipped everywhere."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text()
PROMISED = PAGE.partition("## Promises")[2].partition("## Not promised")[0]
ROWS = [
    (cells[0].strip(), re.findall(r"`([^`]+)`", cells[1]))
    for line in PROMISED.splitlines()
    if line.startswith("| ") and not line.startswith("| promise")
    for cells in [line.strip("| ").rsplit(" | ", 1)]
]


def test_there_are_promises_of_each_kind() -> None:
    kinds = re.findall(r"^### (.+)$", PROMISED, re.MULTILINE)
    assert len(kinds) == 5
    assert len(ROWS) >= 4 * len(kinds)


@pytest.mark.parametrize(("promise", "files"), ROWS, ids=[promise[:60] for promise, _ in ROWS])
def test_every_promise_names_tests_that_there_are(promise: str, files: list[str]) -> None:
    assert promise.endswith(".")
    assert files, "nothing holds it"
    for file in files:
        tree = ast.parse((ROOT / file).read_text())
        tests = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        ]
        assert tests, f"{file} holds no test"


def test_it_says_what_is_not_promised_how_to_report_and_which_versions() -> None:
    for heading in ("## Not promised", "## Telling us of a hole", "## Supported versions"):
        assert len(PAGE.partition(heading)[2].partition("\n## ")[0].strip()) > 50
    told = PAGE.partition("## Telling us of a hole")[2]
    assert "@" not in told, "no address was made up"
    assert "//" not in told
