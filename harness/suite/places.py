"""Where everything in a suite was written, so that a problem can point at it.

A `Place` tree runs parallel to the data of the file. Whoever finds something
wrong names it by its path (``("prompts", 2, "message")``) in a `Finding` and
knows nothing of lines; this module turns findings into `Problem`s. The road not
taken, values that carry their own position, does not survive pydantic.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from harness.errors import Problem

Where = tuple[str | int, ...]

_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_BARE = re.compile(r"[\w/+*:-]+")


@dataclass(slots=True)
class Place:
    """One value of the file. Lines and columns count from 1.

    *key* is where its key stands, *text* how a scalar was written, *name* its key
    or its place in the list as the file counts it. Keys are never taken out of
    *keys*, also when their value turned out to be of no use: what was written is
    not missing. *lost* counts the items that were taken out of the list.
    """

    name: str | int
    line: int
    column: int
    last_line: int
    key: tuple[int, int] | None = None
    text: str | None = None
    keys: dict[str, "Place"] = field(default_factory=dict)
    items: list["Place"] = field(default_factory=list)
    lost: int = 0

    def child(self, part: str | int) -> "Place | None":
        """The value under a key or an index; None if the file has none there."""
        if isinstance(part, str):
            return self.keys.get(part)
        return self.items[part] if part < len(self.items) else None

    def copied(self, name: str | int) -> "Place":
        """The same place, all the way down, for another use of what stands there."""
        keys = {key: below.copied(key) for key, below in self.keys.items()}
        items = [below.copied(below.name) for below in self.items]
        start = (self.line, self.column, self.last_line)
        return Place(name, *start, key=self.key, text=self.text, keys=keys, items=items, lost=self.lost)

    def walk(self, path: Where) -> tuple[list["Place"], Where]:
        """The places along *path*, from this one on, and the parts of the path that are in the file.

        Parts that are not are passed over: short forms such as ``load: {workers: 8}``
        have fewer levels in the file than in the model.
        """
        found = [self]
        there: Where = ()
        for part in path:
            below = found[-1].child(part)
            if below is not None:
                found.append(below)
                there += (part,)
        return found, there


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong at *path*.

    *near* is a regular expression that finds the exact spot inside a scalar (its
    last group); *at_key* points at the key instead of the value; *also* is a
    second place, whose line is put where the message says ``{also}``.
    """

    path: Where
    message: str
    near: str = ""
    at_key: bool = False
    also: Where | None = None


Tell = Callable[[Finding], None]


def name_of(path: Iterable[str | int]) -> str:
    """A path as people write it: ``prompts[2].assert[0].value``."""
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += f"[{part}]"
        elif _BARE.fullmatch(part):
            shown += f".{part}" if shown else part
        else:
            shown += f'["{part}"]'
    return shown


def lines_of(text: str) -> list[str]:
    """The lines of a file as YAML counts them."""
    return _BREAK.split(text)


def problem_at(finding: Finding, root: Place, lines: Sequence[str], file: str) -> Problem:
    """The finding with its line and column.

    A path that is not in the file is shown at the nearest thing above it that is.
    """
    found, there = root.walk(finding.path)
    place = found[-1]
    line, column = place.line, place.column
    if place.key is not None and (finding.at_key or there[-1:] != finding.path[-1:]):
        line, column = place.key
    if finding.near:
        line, column = _find(finding.near, place, lines) or (line, column)
    shown = name_of(above.name for above in found[1:])
    message = finding.message
    if finding.also is not None:
        other = root.walk(finding.also)[0][-1]
        message = message.replace("{also}", f"line {(other.key or (other.line,))[0]}")
    return Problem(file, line, column, f"{shown}: {message}" if shown else message)


def _find(pattern: str, place: Place, lines: Sequence[str]) -> tuple[int, int] | None:
    for number in range(place.line, min(place.last_line, len(lines)) + 1):
        start = place.column - 1 if number == place.line else 0
        if match := re.compile(pattern).search(lines[number - 1], start):
            return number, match.start(match.re.groups) + 1
    return None
