"""What promptfoo's checks of tools mean, in our words.

A name of theirs is a glob in any case, ours is the name itself; a pattern of
theirs is a glob, ours a regular expression. A list that is negated forbids each
of its tools; ours would be content with one that was not called.
"""

import re
from typing import Any

Check = dict[str, Any]

_OWN_NAMES = {"arguments": "args", "tool": "name"}


def in_our_words(check: Check) -> Check:
    """A ``trajectory:`` check of promptfoo, with its values as we read them."""
    base = check["type"].removeprefix("not-")
    value = check.get("value")
    match value:
        case list() if base.endswith(":tool-used") and (base != check["type"] or any(map(_is_glob, value))):
            return all_of(check, [_tool(each) for each in value])
        case list():
            value = [_step(each) for each in value]
        case dict():
            value = _matched(value, base)
        case str() if _is_glob(value):
            value = _tool(value)
    return check | {"value": value}


def all_of(check: Check, values: list[Any]) -> Check:
    """One check that wants what *check* says of each of *values*."""
    return _set("assert-set", check, values, check["type"])


def any_of(check: Check, values: list[Any]) -> Check:
    """One check that is content with any of *values*: not all of them are missed."""
    return _set("not-assert-set", check, values, f"not-{check['type']}")


def _set(name: str, check: Check, values: list[Any], kind: str) -> Check:
    about = {key: value for key, value in check.items() if key in {"weight", "metric"}}
    rest = {key: value for key, value in check.items() if key not in {"type", "value", *about}}
    return {"type": name, **about, "assert": [{"type": kind, "value": value, **rest} for value in values]}


def _is_glob(name: Any) -> bool:
    return isinstance(name, str) and re.search(r"[*?]", name) is not None


def _tool(name: Any) -> Any:
    return {"pattern": as_regex(name)} if _is_glob(name) else name


def _step(step: Any) -> Any:
    return _matched(step, "") if isinstance(step, dict) else _tool(step)


def _matched(value: dict[str, Any], base: str) -> dict[str, Any]:
    """The keys of a matcher; a tool that is only limited from above has to be called all the same."""
    made: dict[str, Any] = {}
    for key, below in value.items():
        name = _OWN_NAMES.get(key, snake_case(key))
        if name in {"name", "pattern"} and (name == "pattern" or _is_glob(below)):
            made["pattern"] = as_regex(below)
        else:
            made[name] = (
                [_step(each) for each in below] if name == "steps" and isinstance(below, list) else below
            )
    if base.endswith(":tool-used") and "max" in made:
        made.setdefault("min", 1)
    return made


def as_regex(glob: Any) -> Any:
    """``search_*`` as a regular expression that takes the whole name, in any case."""
    if not isinstance(glob, str):
        return glob
    taken = re.escape(glob).replace(r"\*", ".*").replace(r"\?", ".")
    return f"(?i)^{taken}$"


def snake_case(key: str) -> str:
    """``databaseType`` as ``database_type``."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", key).lower()
