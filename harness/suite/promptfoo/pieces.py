"""The files of a promptfoo config, each value of them with the line it stands in.

A `Piece` is one value and its place. Whoever converts goes through the entries
of a piece and either takes one or tells of it: that nothing is lost without a
word rests on there being no third way. ``$ref`` is resolved before anybody
looks, as promptfoo does it.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from harness.errors import SuiteError, UsageError
from harness.suite.document import parse_foreign
from harness.suite.places import Place


@dataclass(frozen=True, slots=True)
class Note:
    """Something of the config that has no equivalent: where it stands, what it is, why, and what to do."""

    file: str
    line: int
    what: str
    why: str

    def __str__(self) -> str:
        what = f"{self.what}: " if self.what else ""
        return " ".join(f"{self.file}:{self.line}: {what}{self.why}".split())


@dataclass(frozen=True, slots=True)
class Piece:
    """One *value* of a config. *name* is its path, as people write it: ``tests[0].assert[1]``.

    In a table or a line of JSON its place is that of the whole line, with 0 as its column.
    """

    value: Any
    place: Place
    file: str
    name: str = ""

    @property
    def line(self) -> int:
        """The line of its key, or of itself; from 1."""
        return self.place.key[0] if self.place.key else self.place.line

    def entries(self) -> Iterator[tuple[str, "Piece"]]:
        """The keys of a mapping with what they hold; nothing of anything else."""
        for key, value in self.value.items() if isinstance(self.value, dict) else ():
            yield key, self._below(key, value)

    def items(self) -> list["Piece"]:
        """The items of a list; something else is a list of itself."""
        if not isinstance(self.value, list):
            return [self]
        return [self._below(index, value) for index, value in enumerate(self.value)]

    def at(self, key: str) -> "Piece | None":
        """What a mapping has under *key*."""
        return (
            self._below(key, self.value[key]) if isinstance(self.value, dict) and key in self.value else None
        )

    def _below(self, part: str | int, value: Any) -> "Piece":
        name = f"{self.name}[{part}]" if isinstance(part, int) else f"{self.name}.{part}".lstrip(".")
        there = self.place.child(part) or replace(self.place, column=0, keys={}, items=[])
        return Piece(value, there, self.file, name)


_MOST_VALUES, _DEEPEST_REFS = 200_000, 20

Tell = Callable[[Piece, str], None]
"""Takes what has no equivalent, and why it has none."""
Find = Callable[[str], list[tuple[str, str]]]
"""Takes a file's name or pattern, relative to the config; gives the names and texts there are."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a conversion reads from and tells to. *prefix* leads from the suite to the config's folder."""

    find: Find
    tell: Tell
    prefix: str = ""

    def moved(self, path: str) -> str:
        """A path relative to the config, as the suite has to write it."""
        outside = path.startswith("/") or not self.prefix
        return path.removeprefix("./") if outside else f"{self.prefix}/{path.removeprefix('./')}"

    def files(self, piece: Piece) -> list[Piece]:
        """The files that the ``file://`` text of *piece* names, as texts; it is told where there are none."""
        if not isinstance(piece.value, str) or not piece.value:
            self.tell(piece, "left out: the name of a file is wanted")
            return []
        name = named_file(piece.value)
        try:
            found = self.find(name)
        except (OSError, ValueError) as error:
            self.tell(piece, f"{name} cannot be read: {getattr(error, 'strerror', None) or error}")
            return []
        if not found:
            self.tell(piece, f"{name}: there is no such file; nothing of it is here")
        return [Piece(text, Place("", 1, 1, 1), file) for file, text in found]

    def documents(self, piece: Piece) -> list[Piece]:
        """The data in the YAML, JSON, JSONL and CSV files that *piece* names."""
        read = [document(file, self.tell) for file in self.files(piece)]
        return [each for each in read if each is not None]


def is_number(value: object) -> bool:
    """Whether *value* is a number that a suite can have: finite, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def named_file(text: str) -> str:
    """``file://x.yaml`` and ``x.yaml`` are the same file."""
    return text.removeprefix("file://")


def ends(text: str, *endings: str) -> bool:
    """Whether a file's name has one of these endings, in any case."""
    return text.lower().endswith(endings)


def document(file: Piece, tell: Tell) -> Piece | None:
    """The data of a file given as its text; None, and told, where it cannot be read."""
    match file.file.lower().rpartition(".")[2]:
        case "csv" | "tsv" as ending:
            return _rows(file, "," if ending == "csv" else "\t")
        case "jsonl":
            return _lines(file, tell)
        case _:
            return _yaml(file, tell)


def _yaml(file: Piece, tell: Tell) -> Piece | None:
    try:
        data, place, problems = parse_foreign(file.value, file.file)
    except SuiteError as error:
        try:
            return replace(file, value=json.loads(file.value))  # JSON that is no YAML: lone escapes, tabs
        except (ValueError, RecursionError):
            first = error.problems[0]
            tell(replace(file, place=Place("", first.line, first.column, first.line)), first.message)
            return None
    for problem in problems:
        there = Place("", problem.line, problem.column, problem.line)
        tell(replace(file, place=there), f"left out: {problem.message}")
    root = Piece(data, place, file.file)
    return _Resolved(root, tell).root()


def _rows(file: Piece, delimiter: str) -> Piece:
    reader = csv.reader(io.StringIO(file.value, newline=""), delimiter=delimiter)
    columns = [name.strip() for name in next(reader, [])]
    rows: list[dict[str, str]] = []
    places: list[Place] = []
    line = reader.line_num + 1
    for cells in reader:
        if cells:
            padded = [*cells, *[""] * (len(columns) - len(cells))]
            named = {name: value for name, value in zip(columns, padded, strict=False) if name}
            more = "".join(cells[len(columns) :]).strip()
            rows.append(named | ({"(more cells)": more} if more else {}))
            places.append(Place(len(places), line, 1, reader.line_num))
        line = reader.line_num + 1
    return replace(file, value=rows, place=Place("", 1, 1, 1, items=places), name="rows")


def _lines(file: Piece, tell: Tell) -> Piece:
    rows: list[Any] = []
    places: list[Place] = []
    for number, line in enumerate(file.value.split("\n"), 1):
        place = Place(len(places), number, 1, number)
        try:
            if line.strip():
                rows.append(json.loads(line))
                places.append(place)
        except (ValueError, RecursionError) as error:
            tell(replace(file, place=place), f"left out: this line is no JSON: {error}")
    return replace(file, value=rows, place=Place("", 1, 1, 1, items=places), name="rows")


@dataclass(slots=True)
class _Resolved:
    """A document with its ``{$ref: '#/a/b'}`` replaced by what they point at.

    *values* counts them: what refers to what refers to another twice grows without end.
    """

    piece: Piece
    tell: Tell
    open: list[str] = field(default_factory=list)
    values: int = 0

    def root(self) -> Piece:
        if "$ref" not in str(self.piece.value):
            return self.piece
        value, place = self.value(self.piece)
        return replace(self.piece, value=value, place=place)

    def value(self, piece: Piece) -> tuple[Any, Place]:
        self.values += 1
        if self.values > _MOST_VALUES:
            raise UsageError(
                f"{piece.file}:{piece.line}: its $refs come to more than {_MOST_VALUES:,} values"
            )
        match piece.value:
            case {"$ref": str(pointer)}:
                return self.target(piece, pointer)
            case dict():
                pairs = [(key, *self.value(below)) for key, below in piece.entries()]
                place = replace(piece.place, keys=piece.place.keys | {key: there for key, _, there in pairs})
                return {key: value for key, value, _ in pairs}, place
            case list():
                both = [self.value(below) for below in piece.items()]
                return [value for value, _ in both], replace(piece.place, items=[place for _, place in both])
            case _:
                return piece.value, piece.place

    def target(self, piece: Piece, pointer: str) -> tuple[Any, Place]:
        """What *pointer* points at, with the keys that stand beside the ``$ref`` laid over it."""
        is_open = pointer in self.open or len(self.open) >= _DEEPEST_REFS
        found: Piece | None = self.piece if pointer.startswith("#/") and not is_open else None
        for part in pointer.removeprefix("#/").split("/"):
            found = found and found.at(part.replace("~1", "/").replace("~0", "~"))
        if found is None:
            self.tell(piece, f"$ref {pointer} points at nothing in this file: write out what it stands for")
            return None, piece.place
        self.open.append(pointer)
        value, place = self.value(found)
        self.open.pop()
        beside = {key: self.value(below) for key, below in piece.entries() if key != "$ref"}
        if beside and isinstance(value, dict):
            value = value | {key: each for key, (each, _) in beside.items()}
            place = replace(place, keys=place.keys | {key: there for key, (_, there) in beside.items()})
        return value, place
