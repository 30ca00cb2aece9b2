"""Options whose value may be left out: `--html` alone writes beside the tables, `--html FILE` there.

And one whose value is not written yet, at a TAB: without it the parser would lose what stands before.
"""

from collections.abc import Iterator
from typing import Any

from typer.core import TyperCommand

_PAGES = (".html", ".htm")


class OptionalValue(TyperCommand):
    """A command with such options.

    A value is what ends in .html or .htm, or ``-``: so `--html` may stand before a run's name as well as
    after it. Typer has no options of this kind.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Takes a bare `--html` for `--html=`, an empty value; at a TAB, leaves a last option out."""
        if ctx.resilient_parsing and args and args[-1].startswith("-"):
            args = args[:-1]
        return super().parse_args(ctx, list(_filled(args)))


def _filled(args: list[str]) -> Iterator[str]:
    for at, word in enumerate(args):
        value = args[at + 1] if at + 1 < len(args) else ""
        bare = word == "--html" and value != "-" and not value.endswith(_PAGES)
        yield f"{word}=" if bare else word
