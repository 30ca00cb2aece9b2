"""The data of a file as a `SuiteFile`, and all that is wrong with its keys and values.

pydantic finds every wrong key and value at once but says so in its own words
and by its own paths; here they become ours. What was wrong is then taken out
and the rest validated again, so that the checks that need a whole suite
(ids, variables, variants) have one to work on, and the user hears everything
in one go. What only the taking out made wrong is not reported.
"""

import types
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from harness.errors import did_you_mean
from harness.suite.model import SuiteFile
from harness.suite.places import Finding, Place, Tell, Where
from harness.suite.values import HiddenValueError

_ROUNDS = 6
_IN_PLACE_OF_WHAT_IS_NEEDED: dict[str, Any] = {"target": "standin", "prompts": ()}


def validate(data: dict[str, Any], root: Place, tell: Tell) -> SuiteFile | None:
    """What of *data* is right, as a suite; None if nothing is left to go on with.

    What is wrong is told, then taken out of *data* and of the lists of *root*.
    """
    for attempt in range(_ROUNDS):
        try:
            return SuiteFile.model_validate(data)
        except ValidationError as error:
            wrong = [_untagged(each) for each in error.errors(include_url=False)]
        for each in wrong if attempt == 0 else ():
            if (finding := _in_our_words(each, root)) is not None:
                tell(finding)
        _take_out([each["loc"] for each in wrong], data, root)
    return None


def _untagged(error: ErrorDetails) -> ErrorDetails:
    """Entries of `files:` are tagged with what they were taken for, which is no place in the file."""
    loc = error["loc"]
    for at in range(2, len(loc)):
        if loc[at - 2] == "files" and isinstance(loc[at - 1], int) and loc[at] in {"text", "descriptor"}:
            error["loc"] = loc[:at] + loc[at + 1 :]
            break
    return error


def _in_our_words(error: ErrorDetails, root: Place) -> Finding | None:
    path = error["loc"]
    places, there = root.walk(path)
    place = places[-1]
    if error["type"] == "extra_forbidden":
        key = str(path[-1])
        allowed = keys_at(path[:-1])
        close = did_you_mean(key, allowed)
        instead = _INSTEAD.get(key) or close or ";"
        return Finding(there, f"unknown key{instead} allowed here: {', '.join(allowed)}", at_key=True)
    if error["type"] == "missing":
        if path[-1] in place.keys:  # it was written, and what was wrong with it has been said
            return None
        return Finding(path, f'"{path[-1]}" is missing{_EXAMPLES.get(str(path[-1]), "")}')
    is_key = path[-1:] == ("[key]",)
    if is_key or isinstance(error.get("ctx", {}).get("error"), HiddenValueError):
        return Finding(there, wanted(error, place.text), at_key=is_key)
    return Finding(there, f"{_shown(error['input'], place)}: {wanted(error, place.text)}")


_INSTEAD = {
    "token_limit": "; budget.tokens bounds a run, and time_limit a turn;",
    "cost_limit": "; budget.usd bounds a run, and time_limit a turn;",
    "turn_limit": "; a conversation has the turns that are written;",
}
"""Of the limits that inspect has for a sample: what there is in place of those that are not here."""

_EXAMPLES = {
    "target": '; write "target: standin", or "target: {base_url: ..., api_key: ...}"',
    "prompts": '; the smallest is "prompts: [{message: What is the capital of France?}]"',
}


def _shown(value: object, place: Place) -> str:
    """The value as the file has it: never what the environment put there."""
    match value:
        case None:
            return "nothing is written here"
        case dict():
            return "this is a mapping"
        case list() | tuple():
            return "this is a list"
        case _:
            written = place.text if place.text is not None else str(value)
            return written if len(written) <= 60 else f"{written[:57]}..."


def wanted(error: ErrorDetails, written: str | None) -> str:
    """What is allowed in place of what was *written*, and what was probably meant."""
    context = error.get("ctx", {})
    value = error["input"]
    match error["type"]:
        case "value_error":
            says = str(context["error"])
        case "string_type":
            says = "text is wanted"
            if isinstance(value, bool | int | float):
                says += f'; quote it: "{written}"'
        case "bool_type":
            says = f"true or false is wanted{_YES_OR_NO.get(str(value).lower(), '')}"
        case "int_type" | "int_from_float" | "float_type":
            says = "a number is wanted" if error["type"] == "float_type" else "a whole number is wanted"
            if isinstance(value, str) and value.removeprefix("-").isdecimal():
                says += ", without quotes"
        case "literal_error":
            allowed = str(context["expected"]).replace(" or ", ", ").replace("'", "")
            says = f"allowed here: {allowed}{did_you_mean(str(value), allowed.split(', '))}"
        case kind:
            says = _WANTED.get(kind, "this is not allowed here").format_map(context)
    return says


_YES_OR_NO = dict.fromkeys(("yes", "on", "y"), "; in YAML 1.2 only true is true") | dict.fromkeys(
    ("no", "off", "n"), "; in YAML 1.2 only false is false"
)
_WANTED = {
    "tuple_type": "a list is wanted, such as [a, b]",
    "model_type": "a mapping is wanted (key: value)",
    "model_attributes_type": "a mapping is wanted (key: value)",
    "dict_type": "a mapping is wanted (key: value)",
    "greater_than_equal": "at least {ge} is wanted",
    "greater_than": "more than {gt} is wanted",
    "less_than": "less than {lt} is wanted",
    "less_than_equal": "at most {le} is wanted",
    "too_short": "at least {min_length} of them is wanted",
    "string_too_short": "it must not be empty",
    "finite_number": "a finite number is wanted",
}


def keys_at(path: Where, root: type[BaseModel] = SuiteFile) -> list[str]:
    """The keys that may be written at *path* in a *root*, its own before the request fields."""
    model = _model_at(root, path)
    if model is None:
        return []
    own = [name for name in model.model_fields if name in model.__annotations__]
    rest = [name for name in model.model_fields if name not in model.__annotations__]
    return [model.model_fields[name].alias or name for name in own + rest]


def _model_at(hint: Any, path: Where) -> type[BaseModel] | None:
    if get_origin(hint) is Annotated:
        return _model_at(get_args(hint)[0], path)
    if get_origin(hint) in {Union, types.UnionType}:
        return next(filter(None, (_model_at(each, path) for each in get_args(hint))), None)
    if get_origin(hint) in {dict, tuple}:
        return _model_at(get_args(hint)[get_origin(hint) is dict], path[1:])
    if not (isinstance(hint, type) and issubclass(hint, BaseModel)):
        return None
    if not path:
        return hint
    inner = (field for name, field in hint.model_fields.items() if path[0] in {name, field.alias})
    return next((_model_at(field.annotation, path[1:]) for field in inner), None)


def _take_out(paths: list[Where], data: dict[str, Any], root: Place) -> None:
    """Delete what is at *paths*, or the nearest thing above that is there."""
    there = {_nearest(path, data) for path in paths}
    for path in sorted(
        there, key=lambda path: [(isinstance(part, int), part) for part in path], reverse=True
    ):
        if any(path[:depth] in there for depth in range(1, len(path))):
            continue
        container: Any = data
        for part in path[:-1]:
            container = container[part]
        if path:
            del container[path[-1]]
            if isinstance(path[-1], int):
                place = root.walk(path[:-1])[0][-1]
                del place.items[path[-1]]
                place.lost += 1
    for key, value in _IN_PLACE_OF_WHAT_IS_NEEDED.items():
        data.setdefault(key, value)


def _nearest(path: Where, data: dict[str, Any]) -> Where:
    there: Where = ()
    container: Any = data
    for part in path:
        inside = (isinstance(container, dict) and part in container) or (
            isinstance(container, list) and isinstance(part, int) and part < len(container)
        )
        if inside:
            there += (part,)
            container = container[part]
    return there
