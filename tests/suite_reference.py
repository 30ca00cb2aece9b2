"""The tables of docs/suite.md, made from the JSON Schema, which is made from the models that read suites.

``python -m tests.suite_reference`` writes them anew, between the marks in the page; a test holds the page to
it.
"""

import re
from pathlib import Path
from typing import Any

from harness.suite.schema import suite_schema

PAGE = Path(__file__).parents[1] / "docs" / "suite.md"
SCHEMA = suite_schema()
_TABLE = re.compile(r"(<!-- keys of (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_HEAD = ("| key | what it is | default | |", "|---|---|---|---|")
_INHERITED = "#/definitions/Settings/properties/"


def written(page: str) -> str:
    """The page with its tables made anew."""
    return _TABLE.sub(lambda found: f"{found[1]}{_table(found[2])}\n{found[3]}", page)


def shown(page: str) -> set[str]:
    """The models that the page has a table of."""
    return {name for _, name, _ in _TABLE.findall(page)}


def own_keys(name: str) -> dict[str, dict[str, Any]]:
    """The keys of a model, but for the request settings that it shares with others."""
    keys = _mapping(name)["properties"].items()
    return {key: value for key, value in keys if not value.get("$ref", "").startswith(_INHERITED)}


def _mapping(name: str) -> dict[str, Any]:
    """The mapping that a model is, beside its short form."""
    model = SCHEMA if name == "Suite" else SCHEMA["definitions"][name]
    mapping: dict[str, Any] = next(way for way in model.get("anyOf", [model]) if "properties" in way)
    return mapping


def _table(name: str) -> str:
    required = _mapping(name).get("required", ())
    rows = (_row(key, value, required=key in required) for key, value in own_keys(name).items())
    return "\n".join((*_HEAD, *rows))


def _row(key: str, value: dict[str, Any], *, required: bool) -> str:
    name = f"**`{key}`**" if required else f"`{key}`"
    default = "" if "default" not in value else f"`{_as_yaml(value['default'])}`"
    return f"| {name} | {_kind(value)} | {default} | {value['description']} |".replace("||", "\\|\\|")


def _as_yaml(value: Any) -> str:
    match value:
        case list():
            return f"[{', '.join(map(_as_yaml, value))}]"
        case bool():
            return str(value).lower()
        case _:
            return str(value)


def _kind(value: dict[str, Any]) -> str:
    """What may be written, in words."""
    match value:
        case {"title": title}:
            return str(title).replace("${NAME}", "`${NAME}`")
        case {"$ref": ref}:
            return _named(ref.rpartition("/")[2])
        case {"enum": allowed}:
            return ", ".join(f"`{_as_yaml(each)}`" for each in allowed)
        case {"anyOf": ways}:
            return _one_of([each for each in ways if _says_something(each)])
    many = {"items": "list of", "additionalProperties": "by name,"}
    return next((f"{of} {_many(value[key])}" for key, of in many.items() if value.get(key)), "mapping")


def _one_of(ways: list[dict[str, Any]]) -> str:
    """Ways to write a value; a list of what may stand alone is not told again."""
    *others, last = dict.fromkeys(map(_kind, ways))
    return ", or ".join((*others, "a list" if others and "items" in ways[-1] else last))


def _says_something(way: dict[str, Any]) -> bool:
    """Not that it may be null, or something that is filled in later."""
    return way != {"type": "null"} and way.keys() != {"type", "pattern"}


_CALLED = {
    "Check": "[check](checks.md)",
    "FileDescriptor": "mapping",
    "GateRule": "[rule](#rule)",
    "Load": "[phase](#load), or phases by name",
    "OpenAiProvider": "[provider](#provider)",
    "Phase": "[phase](#load)",
    "Quarantined": "[entry](#quarantine)",
    "Redaction": "[entry](#redact)",
    "Settings": "[request settings](#request-settings)",
    "Variant": "[variant](#variants)",
}


def _many(value: dict[str, Any]) -> str:
    """More than one of them: a name has an s, before the end of its link."""
    one = _kind(value)
    if one.startswith("["):
        return re.sub(r"y?\]", lambda end: "ies]" if len(end[0]) > 1 else "s]", one, count=1)
    return {"text": "texts", "id or name": "ids or names"}.get(one, one)


def _named(model: str) -> str:
    """A model by what people call it, linked to its table."""
    if model in _CALLED:
        return _CALLED[model]
    words = re.sub(r"(?<!^)(?=[A-Z])", "_", model).lower()
    short = [_kind(way) for way in SCHEMA["definitions"][model].get("anyOf", ()) if "properties" not in way]
    return ", or ".join((*filter(None, short[:1]), f"[{words}](#{words})"))


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
