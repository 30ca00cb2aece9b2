"""Whether the arguments of a tool call are those that were expected (`trajectory:tool-args-match`)."""

from collections.abc import Iterator
from math import isclose
from typing import Any, NamedTuple

from harness.suite.asserts.agent import Called


class Difference(NamedTuple):
    """Where two values differ, and what stands there; the path is empty for the whole."""

    path: str
    wanted: str
    seen: str

    def __str__(self) -> str:
        return f"{self.path or 'the arguments'}: {self.wanted} was wanted, and {self.seen} given"


def differences(wanted: Called, given: Any) -> Iterator[Difference]:
    """What keeps the arguments *given* from being those *wanted*, the first first."""
    if not isinstance(given, dict):
        yield Difference("", "a mapping", _shown(given))
        return
    yield from _differ(wanted.args, {**(wanted.defaults or {}), **given}, "", wanted)


def _differ(wanted: Any, given: Any, path: str, how: Called) -> Iterator[Difference]:
    if path in how.ignore:
        return
    match wanted, given:
        case dict(), dict():
            yield from _mappings(wanted, given, path, how)
        case list(), list():
            if len(wanted) != len(given):
                yield Difference(path, f"{len(wanted)} elements", f"{len(given)}")
                return
            for at, (one, other) in enumerate(zip(wanted, given, strict=True)):
                yield from _differ(one, other, f"{path}[{at}]", how)
        case _ if not _alike(wanted, given, how.tolerance):
            yield Difference(path, _shown(wanted), _shown(given))


def _mappings(wanted: dict[str, Any], given: dict[str, Any], path: str, how: Called) -> Iterator[Difference]:
    for key, value in wanted.items():
        below = f"{path}.{key}" if path else str(key)
        if key in given:
            yield from _differ(value, given[key], below, how)
        elif below not in how.ignore:
            yield Difference(below, _shown(value), "nothing")
    if how.mode == "exact":
        for key, value in given.items():
            below = f"{path}.{key}" if path else str(key)
            defaults = {} if path else how.defaults or {}
            is_default = key in defaults and value == defaults[key]
            if key not in wanted and below not in how.ignore and not is_default:
                yield Difference(below, "nothing", _shown(value))


def _alike(wanted: Any, given: Any, tolerance: tuple[float, float]) -> bool:
    """Numbers by their value, everything else by type and value: "1" is no 1, and true is none either."""
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (wanted, given))
    if numbers:
        absolute, relative = tolerance
        return wanted == given or isclose(wanted, given, abs_tol=absolute, rel_tol=relative)
    return type(wanted) is type(given) and bool(wanted == given)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
