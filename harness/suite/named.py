"""The names that a suite has, for shell completion: of variants, prompts and tags.

Nothing is checked and the environment is not asked: names are wanted most of a suite that is still being
written. What is wrong is passed over, and what cannot be read has no names.
"""

from collections.abc import Iterator, Mapping
from itertools import islice, product
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.suite import templates
from harness.suite.document import parse_foreign

MOST_ROWS = 500
"""Rows of a data set whose prompts are named."""


def variants(suite: Path) -> Iterator[str]:
    """The variants that are run: each cell of a matrix is one. Without any there is `default`."""
    data = _read(suite)
    written = _mapping(data.get("variants"))
    for name, variant in written.items():
        axes = _mapping(_mapping(variant).get("matrix"))
        cells = (
            [f"{name}/{'+'.join(cell)}" for cell in product(*map(_mapping, axes.values()))]
            if axes
            else [name]
        )
        without = {f"{name}/{cell}" for cell in _texts(_mapping(variant).get("exclude"))}
        yield from (cell for cell in cells if cell not in without)
    if data and not written:
        yield "default"


def prompts(suite: Path) -> Iterator[str]:
    """The ids of the prompts; of those over rows, of the first `MOST_ROWS`."""
    data = _read(suite)
    common = _mapping(_mapping(data.get("defaults")).get("vars"))
    for prompt in _prompts(data):
        name, own = prompt.get("id"), _mapping(prompt.get("vars"))
        for row in _rows(prompt.get("each"), suite.parent) if isinstance(name, str) else ():
            yield from _rendered(str(name), {**common, **row, **own})


def tags(suite: Path) -> Iterator[str]:
    """The tags of the prompts, each once."""
    yield from dict.fromkeys(tag for prompt in _prompts(_read(suite)) for tag in _texts(prompt.get("tags")))


def _read(suite: Path) -> Mapping[str, Any]:
    try:
        data, _, _ = parse_foreign(suite.read_text(encoding="utf-8-sig"), str(suite))
    except (OSError, UnicodeDecodeError, HarnessError):
        return {}
    return _mapping(data)


def _prompts(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    written = data.get("prompts")
    return [each for each in written if isinstance(each, dict)] if isinstance(written, list) else []


def _rows(each: Any, folder: Path) -> Iterator[Mapping[str, Any]]:
    """The columns of each row; of a prompt without rows, none once."""
    if each is None:
        return iter(({},))
    from harness.suite import dataset  # noqa: PLC0415 - 0.2 s, which few suites need
    from harness.suite.prompts import Each  # noqa: PLC0415 - the same

    try:
        found = list(islice(dataset.rows(Each.model_validate(each), folder), MOST_ROWS))
    except ValueError:  # no such file, or no such mapping
        return iter(())
    return (dataset.variables(row) for _, row in found)


def _rendered(name: str, variables: Mapping[str, Any]) -> list[str]:
    """The id with its variables; nothing where that fails."""
    wrong: list[str] = []
    made = templates.render(name, variables, lambda said, _: wrong.append(said))
    return [] if wrong else [made]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _texts(value: Any) -> list[str]:
    """A text alone where a list of them may stand."""
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]
