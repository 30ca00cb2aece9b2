"""Every suite that a page shows is read and planned, and every key of a suite is on some page."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from pydantic import BaseModel

from harness.plan.trials import make_plan
from harness.suite.asserts import TYPES
from harness.suite.model import Suite, SuiteFile
from harness.suite.read import load_suite, parse_suite
from tests.checks_reference import reference
from tests.docs.pages import ROOT, Block, blocks
from tests.docs.written import PAGES, inline, named

ENVIRON = {"SIGMA_URL": "https://sigma.example.com", "SIGMA_API_KEY": "k", "OPENAI_API_KEY": "k"}
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one that takes what our reader takes."""
(WRITTEN,) = (kind for kind in SuiteFile.__bases__)
FRAGMENTS = [(page, block) for page in PAGES for block in blocks(page) if block.language == "yaml"]
WHERE = [f"{named(page)}:{block.line}" for page, block in FRAGMENTS]
ASIDE: dict[str, Any] = {
    "target": "standin",
    "judge": "self",
    "prompts": [{"id": "p", "message": "hi", "tags": ["critical"], "repeat": 3}],
    "variants": {"base": {}, "deep": {}, "candidate": {}},
    "load": {"eval": {"workers": 1}, "peak": {"rate": "1/s"}},
}
"""What a fragment may speak of, beside what it shows."""


def parsed(block: Block) -> Any:
    """What stands in *block*."""
    return yaml.load(block.text, LOADER)  # noqa: S506  it is a safe one


def shown(block: Block) -> dict[str, Any] | None:
    """What *block* has of a suite, by its keys; None where it is no part of one."""
    told = parsed(block)
    match told:
        case [{"type": _}, *_]:
            return {"prompts": [{"message": "hi", "assert": told}]}
        case [{"message": _} | {"turns": _}, *_]:
            return {"prompts": told}
        case {"assert": checks}:
            return {"prompts": [{"message": "hi", "assert": checks}]}
        case dict() if set(told) & set(SuiteFile.model_fields):
            return told
    return None


def beside(folder: Path, page: Path) -> None:
    """The files that fragments of *page* name, in *folder*."""
    columns = {"trial_id": ["t"], "variant": ["base"], "case_id": ["p"], "phase": ["peak"], "due_ns": [5]}
    pl.DataFrame({**columns, "began_ns": [6]}).write_parquet(folder / "last-night.parquet")
    (folder / "production.csv").write_text("due_s\n0\n28900\n")
    shutil.copytree(ROOT / "tests" / "suites", folder, dirs_exist_ok=True)
    (folder / "suites").symlink_to(ROOT / "suites")
    (folder / "checks.py").write_text(
        "\n".join(each.text for each in blocks(page) if each.language == "python")
    )
    key = folder / ".config" / "sigma" / "judge.key"
    key.parent.mkdir(parents=True)
    key.write_text("k")
    key.chmod(0o600)


def read(page: Path, block: Block, folder: Path) -> Suite | None:
    """The suite that *block* is, or is a part of; None where it is neither."""
    if (told := shown(block)) is None:
        return None
    beside(folder, page)
    missing = {key: value for key, value in ASIDE.items() if key in _wanted(told) - set(told)}
    text = block.text if told == parsed(block) else yaml.safe_dump(told)
    rest = yaml.safe_dump(missing) if missing else ""
    return parse_suite(f"{text}\n{rest}", folder / "suite.yaml", ENVIRON)


def _wanted(told: dict[str, Any]) -> set[str]:
    """The keys that make a suite of what is *told*."""
    judged = {"judge"} if re.search("llm-rubric|factuality", str(told)) else set()
    arms = {"variants", "load"} if {"load", "gates"} & set(told) and "prompts" not in told else set()
    return {"target", "prompts"} | judged | arms


@pytest.mark.parametrize(("page", "block"), FRAGMENTS, ids=WHERE)
def test_every_suite_of_a_page_is_read_and_planned(
    page: Path, block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    suite = read(page, block, tmp_path)
    if suite is not None:
        assert make_plan(suite).trials


def test_most_blocks_of_yaml_are_suites() -> None:
    assert sum(shown(block) is not None for _, block in FRAGMENTS) > 18


def test_every_key_of_a_phase_has_an_example_on_the_page_on_loads(tmp_path: Path) -> None:
    page = ROOT / "docs" / "loads.md"
    seen: set[str] = set()
    known: set[str] = set()
    for number, block in enumerate(block for there, block in FRAGMENTS if there == page):
        folder = tmp_path / str(number)
        folder.mkdir()
        suite = read(page, block, folder)
        for phase in (suite.load if suite else {}).values():
            seen |= phase.model_fields_set
            known |= set(type(phase).model_fields)
    assert seen == known != set()


@pytest.mark.parametrize("path", sorted((ROOT / "suites").glob("*.yaml")), ids=lambda path: path.name)
def test_every_suite_that_is_shipped_loads(path: Path) -> None:
    assert load_suite(path, environ=ENVIRON).prompts


CODE = "\n".join(
    "\n".join((*inline(page), *(block.text for block in blocks(page) if block.language == "yaml")))
    for page in PAGES
    if page.name != "CHANGELOG.md"
)
UNWRITTEN = {"Expect", "FileDescriptor", "Suite"}
"""What is worked out of what people write; and look-ups put a descriptor where they name a file."""


def below(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Every model of something that people write."""
    for each in kind.__subclasses__():
        yield from (each, *below(each))


KINDS = [kind for kind in below(WRITTEN) if kind.__name__ not in UNWRITTEN]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_key_of_a_suite_is_on_a_page(kind: type[BaseModel]) -> None:
    keys = {each.alias or name for name, each in kind.model_fields.items()}
    assert {key for key in keys if not re.search(rf"(?<![\w-]){re.escape(key)}(?![\w-])", CODE)} == set()


def test_the_reference_of_checks_is_that_of_the_models() -> None:
    told = (ROOT / "docs" / "checks.md").read_text()
    missing = [line for line in reference() if line not in told]
    assert missing == [], "python -m tests.checks_reference prints what belongs there"
    listed = set(re.findall(r"^\| (`[^|]*`) \|", told, re.MULTILINE))
    types = {name for row in listed for name in re.findall(r"`([^`]+)`", row)}
    assert set(TYPES) - {"assert-set"} <= types
