"""What a template may take: steps, and text that it makes; more of either is an error and no end of memory.

Jinja2's sandbox keeps a template from what it may not touch. It does not keep it from going on for ever, or
from making ten gigabytes out of ``'x' * 10000000000``. A suite may be a stranger's, who sent a folder of
results, so each render has an allowance: every turn of a loop and every call costs a step, every text and
list costs its length where it is made or handed on, and what makes much of little is weighed beforehand.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

MOST_STEPS = 200_000
"""Turns of loops and calls that one template may take."""
MOST_MADE = 64 * 2**20
"""Characters that one template may make; an item of a list counts for some."""

_STEP = MOST_MADE // MOST_STEPS
_ITEM = 16
_MOST_DIGITS = 4_000  # Python writes out 4,300
_MOST_UNKNOWN = 100_000  # of what has no length: as many as the sandbox's range() gives
_WIDE = re.compile(r"\d{7}|%[^a-zA-Z%]*\*|\{[^{}]*\{")

_left: ContextVar[list[int]] = ContextVar("left")


class TooMuch(ValueError):  # noqa: N818  a name says it
    """A template takes more than it may."""


@contextmanager
def allowance() -> Iterator[None]:
    """The steps and the text of one render."""
    token = _left.set([MOST_MADE])
    try:
        yield
    finally:
        _left.reset(token)


def charge(made: Any = None, *, steps: int = 1) -> Any:
    """*made*, once it is paid for. Raises `TooMuch` where nothing is left.

    A list that stands in another twice counts twice: so it would be written out.
    """
    left = _left.get(None)
    if left is None:
        return made
    left[0] -= _STEP * steps
    waiting = [made]
    while waiting and left[0] >= 0:
        match waiting.pop():
            case str() | bytes() as text:
                left[0] -= len(text)
            case dict() as values:
                left[0] -= _STEP + _ITEM * len(values)
                waiting += values.values()
            case list() | tuple() | set() as values:
                left[0] -= _STEP + _ITEM * len(values)
                waiting += values
    if left[0] < 0:
        raise TooMuch(f"it takes more than {MOST_STEPS:,} steps, or makes more than {MOST_MADE:,} characters")
    return made


def written(value: Any) -> Any:
    """*value*, which is about to be written out, once it is paid for."""
    return charge(value, steps=0)


def counted(values: Iterable[Any]) -> Iterator[Any]:
    """The *values* of a loop, each a step."""
    for value in values:
        charge()
        yield value


def joined(parts: Iterable[str]) -> str:
    """The pieces of a text as one, each paid for before they are put together."""
    return "".join([charge(part, steps=0) for part in parts])


def paying(name: str, made_by: Callable[..., Any]) -> Callable[..., Any]:
    """The filter *made_by*, called *name*: it pays for what it is given and for what it makes."""
    first = 1 if hasattr(made_by, "jinja_pass_arg") else 0

    @wraps(made_by)  # with the mark by which Jinja2 knows what to hand to it beside the value
    def paid(*args: Any, **kwargs: Any) -> Any:
        weigh(name, [*args[first:], *kwargs.values()])
        return charge(made_by(*args, **kwargs))

    return paid


def weigh(name: str, args: Sequence[Any]) -> None:
    """Pay for *args* of a filter or a method; raise `TooMuch` where it would make too much of them."""
    for each in args:
        charge(each, steps=0)
    if args and (size := _growth(name, args[0], args[1:])) > MOST_MADE:
        raise TooMuch(f"{name} would make some {size:,} characters, and {MOST_MADE:,} are the most")


def weigh_operator(operator: str, left: Any, right: Any) -> None:
    """Raise `TooMuch` where an operator would make too large a text, list or number."""
    match operator, left, right:
        case ("*", int(), int()):
            _allow_bits(left.bit_length() + right.bit_length())
        case ("*", int(), _) | ("*", _, int()):
            weigh(operator, (left, right) if isinstance(right, int) else (right, left))
        case ("**", int(), int()):
            _allow_bits(left.bit_length() * abs(right))
        case ("%", str(), _):
            weigh(operator, (left, right))


def _allow_bits(bits: int) -> None:
    if bits > _MOST_DIGITS * 3.33:
        raise TooMuch(f"it would make a number of more than {_MOST_DIGITS:,} digits")


def _growth(name: str, value: Any, rest: Sequence[Any]) -> int:
    """How many characters, about, *name* makes of *value*, for what makes much of little."""
    text = value if isinstance(value, str) else ""
    number = max((abs(each) for each in rest if isinstance(each, int)), default=0)
    longest = max((len(each) for each in rest if isinstance(each, str)), default=0)
    match name:
        case "center" | "ljust" | "rjust" | "zfill" | "batch" | "slice" | "round" | "to_bytes":
            grown = number
        case "indent" | "expandtabs":
            grown = (1 + text.count("\n") + text.count("\t")) * max(number, longest)
        case "*" | "tojson":
            grown = _length(value) * number
        case "join" | "urlize" | "wordwrap":
            grown = _length(value) * longest
        case "replace":
            grown = max((text.count(each) for each in rest if isinstance(each, str)), default=0) * longest
        case "format" | "format_map" | "%" | "translate":
            grown = _formatted(text, rest)
        case _:
            grown = 0
    return grown


def _formatted(text: str, rest: Sequence[Any]) -> int:
    """What a format makes at most: each of its places might take the largest there is."""
    if _WIDE.search(text):
        raise TooMuch("a format has a width that is too large, or that is worked out")
    parts = [below for each in rest for below in (each.values() if isinstance(each, dict) else (each,))]
    return len(text) * max((len(part) if isinstance(part, str) else 1 for part in parts), default=0)


def _length(value: Any) -> int:
    try:
        return len(value)
    except TypeError:
        return _MOST_UNKNOWN
