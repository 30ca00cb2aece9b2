"""The reference of all checks in docs/checks.md, made from the models that read them.

``python -m tests.checks_reference`` prints it; a test holds the page to it.
"""

import inspect
import re
from collections.abc import Iterator
from types import ModuleType

from harness.suite.asserts import agent, code, form, judged, retrieval, stream, text
from harness.suite.prompts import Arguments
from harness.suite.settings import Written

FAMILIES: tuple[tuple[str, ModuleType], ...] = (
    ("Text", text),
    ("Form", form),
    ("Tools", agent),
    ("Retrieval", retrieval),
    ("Stream, time and amounts", stream),
    ("Asked of others", judged),
    ("Your own", code),
)
SHAPES: dict[str, type[Written]] = {
    "of `word-count`": text.Words,
    "of `is-sql`, `contains-sql`": form.Sql,
    "of `trajectory:tool-used`": agent.Used,
    "of `trajectory:tool-sequence`": agent.Sequence,
    "of `trajectory:tool-args-match`": agent.Called,
    "of `trajectory:step-count`": agent.Steps,
}


def reference() -> Iterator[str]:
    for title, family in FAMILIES:
        yield from (f"## {title}", "", "| type | keys | |", "|---|---|---|")
        names: dict[type[Arguments], list[str]] = {}
        for name, kind in family.TYPES.items():
            names.setdefault(kind, []).append(f"`{name}`")
        for kind, called in names.items():
            yield f"| {', '.join(called)} | {_keys(kind)} | {_says(kind)} |"
        yield ""
    yield from ("## Values that are mappings", "", "| value | keys | |", "|---|---|---|")
    for of, shape in SHAPES.items():
        yield f"| {of} | {_keys(shape)} | {_says(shape)} |"


def _keys(model: type[Written]) -> str:
    names = model.keys() if issubclass(model, Arguments) else list(model.model_fields)
    fields = model.model_fields
    needed = {name for name in names if name in fields and fields[name].is_required()}
    return ", ".join(f"**`{name}`**" if name in needed else f"`{name}`" for name in names)


def _says(model: type[Written]) -> str:
    told = " ".join(inspect.cleandoc(model.__doc__ or "").split())
    told = re.sub(r"(?<!\*)\*(\w+)\*(?!\*)", r"`\1`", told)
    return re.sub(r"``(.*?)``", r"`\1`", told).replace("|", "\\|")


if __name__ == "__main__":
    print("\n".join(reference()))
