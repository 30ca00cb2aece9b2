"""The tables of docs/architecture.md that the code says itself: ``python -m tests.architecture`` writes them.

Floors and walls are those of the contracts that import-linter holds the code to; what a module is stands in
the first sentence of its docstring. Between two marks of the page everything is replaced.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
PACKAGE = ROOT / "harness"
CONTRACTS: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"][
    "importlinter"
]["contracts"]


def drawing() -> Iterator[str]:
    """The floors as a stack."""
    rows = ["   ".join(names) for names in _floors()]
    width = max(map(len, rows)) + 4
    yield from ("```text", "┌" + "─" * width + "┐")
    yield from (f"│{row.center(width)}│" for row in rows)
    yield from ("└" + "─" * width + "┘", "```")


def modules() -> Iterator[str]:
    """Each floor with its modules, the highest first."""
    yield "| | module | what it is |"
    yield "|--:|---|---|"
    rows = _floors()
    for number, names in zip(range(len(rows), 0, -1), rows, strict=True):
        for name in names:
            path = _in(PACKAGE, name)
            assert path, name
            yield f"| {number} | [`{name}`](../{path.relative_to(ROOT)}) | {first_sentence(path)} |"


def rooms() -> Iterator[str]:
    """The floors within packages, the highest first."""
    yield "| package | floors, the highest first |"
    yield "|---|---|"
    for contract in CONTRACTS:
        for container in contract.get("containers", ()):
            if container != "harness":
                package = ROOT / container.replace(".", "/")
                rows = [[name for name in row if _in(package, name)] for row in _rows(contract)]
                told = " / ".join(", ".join(f"`{name}`" for name in row) for row in rows if row)
                yield f"| `{container.removeprefix('harness.')}` | {told} |"


def walls() -> Iterator[str]:
    """Which modules import what is heavy, or foreign: no other may."""
    yield "| library | imported by | why there |"
    yield "|---|---|---|"
    for contract in CONTRACTS:
        if contract["type"] == "forbidden":
            libraries = ", ".join(f"`{name}`" for name in contract["forbidden_modules"])
            importers = [
                rule.split(" -> ")[0].removeprefix("harness.") for rule in contract["ignore_imports"]
            ]
            modules = ", ".join(f"`{name}`" for name in dict.fromkeys(importers))
            yield f"| {libraries} | {modules} | {contract['name']} |"


def first_sentence(path: Path) -> str:
    """What a module says of itself first."""
    told = ast.get_docstring(ast.parse(path.read_text())) or ""
    words = " ".join(told.partition("\n\n")[0].split())
    found = re.match(r".*?\.(?= [A-Z]|$)", words)
    return re.sub(r"``(.*?)``", r"`\1`", found[0] if found else words).replace("|", "\\|")


def rendered(page: str) -> str:
    """*page* with its tables made anew."""
    for name, table in (("drawing", drawing), ("modules", modules), ("rooms", rooms), ("walls", walls)):
        before, mark, rest = page.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        assert mark, name
        page = "\n".join((f"{before}{mark}{chr(10).join(table())}", f"{end}{after}"))
    return page


def _floors() -> list[list[str]]:
    (contract,) = (each for each in CONTRACTS if each.get("containers") == ["harness"])
    return _rows(contract)


def _rows(contract: dict[str, Any]) -> list[list[str]]:
    return [re.findall(r"\w+", layer) for layer in contract["layers"]]


def _in(package: Path, name: str) -> Path | None:
    """The file of the module or package *name* in *package*, None where there is none."""
    places = (package / name / "__init__.py", package / f"{name}.py")
    return next((place for place in places if place.is_file()), None)


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text()))
