"""JSON as servers really send it: read what can be read, keep the fields that fit, write it out again whole.

Python's own reader is the measure of what counts as JSON, since most clients of Sigma use it: it takes NaN,
and halves of surrogate pairs. Neither can be written to a file as it is, so the first becomes null at once
and the second is mended when the pieces of a text have been joined.
"""

import json
import math
from collections.abc import Iterable
from functools import cache
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin

import msgspec
from msgspec import Struct, structs

REFUSED = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What msgspec raises for a document, or a value, that it will not take."""

S = TypeVar("S", bound=Struct)


def loads(data: bytes) -> Any:
    """The JSON document in *data*, read as tolerantly as Python's own reader does.

    Invalid UTF-8 becomes U+FFFD, half a surrogate pair stays in the text (`whole_text` mends it), numbers
    that are not finite become null. Raises `ValueError` when it is no JSON, or nested beyond reason.
    """
    try:
        return msgspec.json.decode(data)
    except REFUSED:
        pass
    try:
        return json.loads(data.decode(errors="replace"), parse_float=_finite, parse_constant=_finite)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def whole_text(text: str) -> str:
    """*text* with its surrogate halves joined, and those without a partner replaced: what UTF-8 can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def as_text(value: Any) -> str:
    """A message for people from whatever stands in its place: a string as it is, "" for null, else JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(shallow(value), ensure_ascii=False)


def fitting(kind: type[S], fields: dict[str, Any]) -> S:
    """A *kind* with those of its *fields* that fit."""
    kept = {}
    for name, wanted in _fields(kind):
        if name in fields:
            try:
                kept[name] = _fit(fields[name], wanted)
            except REFUSED:
                continue
    return kind(**kept)


@cache
def _fields(kind: type[Struct]) -> list[tuple[str, Any]]:
    return [(field.name, field.type) for field in structs.fields(kind)]


def _fit(value: Any, kind: Any) -> Any:
    """*value* as *kind*; of a list, the elements that fit. Raises when it does not fit at all."""
    if isinstance(kind, UnionType) and value is not None:
        kind = get_args(kind)[0]
    if get_origin(kind) is list and isinstance(value, list):
        return fit_each(value, get_args(kind)[0])
    if isinstance(kind, type) and issubclass(kind, Struct) and isinstance(value, dict):
        return fitting(kind, value)
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    return msgspec.convert(value, kind)


def fit_each(values: list[Any], kind: Any) -> list[Any]:
    """Those of *values* that fit, as *kind*."""
    kept = []
    for value in values:
        try:
            kept.append(_fit(value, kind))
        except REFUSED:
            continue
    return kept


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def encodable(value: S) -> S:
    r"""*value* with every text in a form that UTF-8 can hold.

    JSON escapes may hold half a character (`\ud83d`), and its other half may come in the next packet, so
    this can only be mended when the pieces are joined. It hardly ever happens: one attempt to encode tells.
    """
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError:
        text = json.dumps(msgspec.to_builtins(value), ensure_ascii=False)
        return msgspec.json.decode(whole_text(text), type=type(value))
    return value


def shallow(value: Any, levels: int = 100) -> Any:
    """*value*, or null where it is nested deeper than that: it could be read, and not be written again."""
    layer = [value]
    for _ in range(levels):
        layer = [inner for outer in layer for inner in _inside(outer)]
        if not layer:
            return value
    return None


def _inside(value: Any) -> Iterable[Any]:
    match value:
        case dict():
            return value.values()
        case list():
            return value
    return ()
