"""Options whose value may be left out: `--html` alone writes beside the tables, `--html FILE` there.

And one whose value is not written yet, at a TAB: without it the parser would lose what stands before. And one
whose value is none: typer passes on what pydantic says of it, which does not say what was written.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand

from harness.suite import ENDINGS

if TYPE_CHECKING:
    from pydantic import ValidationError

_PAGES = (".html", ".htm")


class OptionalValue(TyperCommand):
    """A command with such options.

    A value of `--html` is what ends in .html or .htm, or ``-``: so it may stand before a run's name as well
    as after it. One of `--ask` is what is neither an option nor a target. Typer has no options of this kind.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Takes a bare `--html` for `--html=`, an empty value; at a TAB, leaves a last option out."""
        if ctx.resilient_parsing and args and args[-1].startswith("-"):
            args = args[:-1]
        try:
            return super().parse_args(ctx, list(_filled(args)))
        except typer.BadParameter as error:
            from pydantic import ValidationError

            if isinstance(error.__cause__, ValidationError):
                error.message = _said(error.__cause__)
            raise


def _said(wrong: "ValidationError") -> str:
    """What is wrong with a value, and what it is."""
    found = wrong.errors()[0]
    value, limits = found["input"], found.get("ctx", {})
    match found["type"]:
        case "int_parsing":
            return f"{value!r} is no whole number"
        case "float_parsing":
            return f"{value!r} is no number"
        case "greater_than_equal":
            return f"{value}: it is at least {limits['ge']}"
        case "less_than_equal":
            return f"{value}: it is at most {limits['le']}"
        case _:
            return found["msg"].removeprefix("Value error, ")


def _filled(args: list[str]) -> Iterator[str]:
    for at, word in enumerate(args):
        value = args[at + 1] if at + 1 < len(args) else ""
        is_value = _VALUES.get(word)
        yield word if is_value is None or is_value(value) else f"{word}="


def _is_page(value: str) -> bool:
    return value == "-" or value.endswith(_PAGES)


def _is_message(value: str) -> bool:
    is_target = value == "standin" or value.startswith(("http://", "https://")) or value.endswith(ENDINGS)
    return bool(value) and not value.startswith("-") and not is_target


_VALUES: Mapping[str, Callable[[str], bool]] = {"--html": _is_page, "--ask": _is_message}
"""What the next word has to be like to be the value of an option that may have none."""
