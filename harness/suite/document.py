"""YAML taken apart, with the place of every key and value.

It reads PyYAML's events, not its nodes or its objects: events say what was quoted and tagged, nesting can
be bounded (libyaml's composer crashes the interpreter on a deep file), and YAML 1.1's idea of what is a
boolean or a date never comes into play (`harness.suite.scalars`). Nothing here knows what a suite is, so that
it is quick to import.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from harness.errors import Problem, SuiteError
from harness.suite import scalars
from harness.suite.places import Finding, Place, lines_of, problem_at
from harness.suite.scalars import Filled

Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # libyaml is some eight times faster
_DEEPEST = 40
_TOO_DEEP = f"this is nested more than {_DEEPEST} levels deep"
_MOST_BY_ALIAS = 100_000
_SHORTEST_SECRET = 4


def parse_foreign(text: str, file: str) -> tuple[Any, Place, list[Problem]]:
    """The data of another tool's YAML or JSON file, its places, and what of it was left out.

    ``${VAR}`` stays as it is. Raises `SuiteError` where nothing can be read.
    """
    builder = Builder(file, lines_of(text), None)
    data, root = builder.document(text)
    return None if data is _BROKEN else data, root, builder.problems


def _plain_or_text(text: str) -> scalars.Scalar:
    """A plain word of YAML 1.2; text where the versions of YAML are not agreed."""
    try:
        return scalars.plain(text)
    except ValueError:
        return text


class _Broken:
    """Stands for a value that has been complained about, and is left out of its container."""


_BROKEN = _Broken()
_KEY_IS_NO_WORD = 'a key is a word; text that starts with {{ or [ is quoted: "{{ question }}"'


@dataclass(slots=True)
class Builder:
    """Data and places from events; what is wrong on the way goes into *problems*.

    *anchors* hold, of each anchor that was closed, its value, its place and how
    many values are in it; *secrets* what came from the environment, and how it was
    written. Without *environ* the file is another tool's: ``${ }`` is text, and nothing is
    taken for a slip that YAML itself allows.
    """

    file: str
    lines: list[str]
    environ: Mapping[str, str] | None
    problems: list[Problem] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)
    events: Iterator[Any] = field(default_factory=lambda: iter(()))
    anchors: dict[str, tuple[Any, Place, int]] = field(default_factory=dict)
    open_anchors: list[str] = field(default_factory=list)
    values: int = 0
    by_alias: int = 0
    unset: list[tuple[Place, Problem]] = field(default_factory=list)

    def document(self, text: str) -> tuple[Any, Place]:
        """The one document of the file; None as its data if it is empty."""
        self.events = yaml.parse(text, Loader=Loader)
        documents: list[tuple[Any, Place]] = []
        try:
            for event in self.events:
                if isinstance(event, yaml.DocumentStartEvent):
                    if documents:
                        self.stop(
                            event, "a second document begins here; one file is one suite: take out the ---"
                        )
                    documents.append(self.value(next(self.events), "", 0))
        except yaml.YAMLError as error:
            raise SuiteError([*self.problems, self.syntax(error)]) from None
        return documents[0] if documents else (None, Place("", 1, 1, 1))

    def value(self, event: Any, name: str | int, depth: int) -> tuple[Any, Place]:
        """The value that begins with *event*, and where it stands."""
        if depth > _DEEPEST:
            self.stop(event, _TOO_DEEP)
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, name)
        place = Place(name, event.start_mark.line + 1, event.start_mark.column + 1, event.end_mark.line + 1)
        if event.anchor is None:
            return self.content(event, place, depth), place
        before = self.values
        self.open_anchors.append(event.anchor)
        data = self.content(event, place, depth)
        self.open_anchors.remove(event.anchor)
        self.anchors[event.anchor] = (data, place, self.values - before)
        return data, place

    def content(self, event: Any, place: Place, depth: int) -> Any:
        """The value itself."""
        self.values += 1
        if event.tag not in {None, "!"}:
            self.complain(
                place,
                f"{event.tag} is a YAML tag, which suites do not use; text that starts with ! is quoted",
            )
            return self.skip(event)
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(event, place)
        return (
            self.sequence(place, depth)
            if isinstance(event, yaml.SequenceStartEvent)
            else self.mapping(place, depth)
        )

    def sequence(self, place: Place, depth: int) -> list[Any]:
        """The list whose start was read."""
        data: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            value, below = self.value(event, len(data) + place.lost, depth + 1)
            if value is _BROKEN:
                place.lost += 1
            else:
                data.append(value)
                place.items.append(below)
        return data

    def mapping(self, place: Place, depth: int) -> Any:
        """The mapping whose start was read. Of a key written twice the first counts."""
        data: dict[str, Any] = {}
        merged: list[tuple[dict[str, Any], Place]] = []
        usable = True
        while not isinstance(key := next(self.events), yaml.MappingEndEvent):
            at = _spot(key)
            if not isinstance(key, yaml.ScalarEvent):
                self.complain(at, _KEY_IS_NO_WORD)
                self.skip(key)
                self.skip(next(self.events))
                usable = False
                continue
            value, below = self.value(next(self.events), key.value, depth + 1)
            below.key = (at.line, at.column)
            if key.value == "<<" and not key.style:
                merged += self.merged(value, below)
            elif first := place.keys.get(key.value):
                since = first.key[0] if first.key else first.line
                self.complain(at, f'"{key.value}" is written twice here; the first is in line {since}')
            else:
                place.keys[key.value] = below
                if value is not _BROKEN:
                    data[key.value] = value
                elif place.name == "vars":
                    data[key.value] = ""  # so that the templates that use it are not told of as well
        for value, below in merged:
            place.keys = below.keys | place.keys
            data = value | data
        return data if usable else _BROKEN

    def merged(self, value: Any, place: Place) -> list[tuple[dict[str, Any], Place]]:
        """What ``<<: *a`` or ``<<: [*a, *b]`` adds, the first winning."""
        pairs = list(zip(value, place.items, strict=True)) if isinstance(value, list) else [(value, place)]
        if all(isinstance(each, dict) for each, _ in pairs):
            return pairs
        if value is not _BROKEN:
            self.complain(place, "<< merges mappings: write <<: *name, or quote the key")
        return []

    def scalar(self, event: Any, place: Place) -> Any:
        """A word or a text; in a suite, with its variables filled in."""
        place.text = event.value
        if self.environ is None:
            return event.value if event.style else _plain_or_text(event.value)
        return self.filled(event, place, self.environ)

    def filled(self, event: Any, place: Place, environ: Mapping[str, str]) -> Any:
        """The word or text of a suite."""
        text: str = event.value
        plain = not event.style
        if "${" in text:
            text, gaps = scalars.fill(text, environ, quoted=not plain)
            for gap in gaps:
                finding = Finding((), gap.message, near=gap.near)
                self.unset.append((place, problem_at(finding, place, self.lines, self.file)))
                self.problems.append(self.unset[-1][1])
            if gaps:
                return _BROKEN
            if isinstance(text, Filled):
                self.secrets[str(text)] = event.value
            return text
        if not plain:
            return text
        try:
            value = scalars.plain(text)
        except ValueError as error:
            self.complain(place, f"{text} {error}")
            return _BROKEN
        if isinstance(value, str) and self.is_cut_short(event.end_mark):
            self.complain(
                place, "what follows the # is a comment: quote the text, or write a space after the #"
            )
            return _BROKEN
        return value

    def is_cut_short(self, end: Any) -> bool:
        """Whether ``say #1 now`` was read as ``say``: one space, and no space after the ``#``."""
        return re.match(r" #[^\s#]", self.lines[end.line][end.column :]) is not None

    def alias(self, event: Any, name: str | int) -> tuple[Any, Place]:
        """A copy of what the anchor named: its problems are shown where it was written."""
        if event.anchor in self.open_anchors:
            self.stop(event, f"*{event.anchor} stands inside the value it repeats")
        if event.anchor not in self.anchors:
            self.stop(
                event,
                f"no &{event.anchor} stands before this *{event.anchor}; text that starts with * is quoted",
            )
        data, place, size = self.anchors[event.anchor]
        self.by_alias += size
        self.values += size
        if self.by_alias > _MOST_BY_ALIAS:
            told = f"aliases repeat more than {_MOST_BY_ALIAS:,} values"
            self.stop(event, f"{told}: write fewer of them, or rows in a file (each:)")
        return _copied(data), place.copied(name)

    def skip(self, event: Any) -> _Broken:
        """Pass over the value that begins with *event*; libyaml's time grows with the square of its depth."""
        depth = 0
        while True:
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                self.stop(event, _TOO_DEEP)
            if depth == 0:
                return _BROKEN
            event = next(self.events)

    def complain(self, place: Place, message: str) -> None:
        """Note a problem and go on."""
        self.problems.append(Problem(self.file, place.line, place.column, message))

    def stop(self, event: Any, message: str) -> None:
        """Raise a problem after which nothing more can be read."""
        mark = event.start_mark
        raise SuiteError([*self.problems, Problem(self.file, mark.line + 1, mark.column + 1, message)])

    def syntax(self, error: yaml.YAMLError) -> Problem:
        """The one problem of a file that is no YAML."""
        if isinstance(error, yaml.reader.ReaderError):
            before = lines_of("\n".join(self.lines)[: error.position])
            number = error.character if isinstance(error.character, int) else ord(error.character)
            message = f"the character U+{number:04X} is not allowed in YAML; take it out"
            return Problem(self.file, len(before), len(before[-1]) + 1, message)
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        line, column = (mark.line, mark.column) if mark is not None else (0, 0)
        opened = getattr(error, "context_mark", None)
        here = self.lines[line] if line < len(self.lines) else ""
        since = f" (since line {opened.line + 1})" if opened is not None and opened.line != line else ""
        hint = _hint(here, str(getattr(error, "problem", ""))).replace("{since}", since)
        return Problem(self.file, line + 1, column + 1, f"this is not YAML: {hint}")

    def masked(self, problem: Problem) -> Problem:
        """The problem without anything that came from the environment."""
        message = problem.message
        for secret, written in self.secrets.items():
            if len(secret) >= _SHORTEST_SECRET:
                message = message.replace(secret, written)
        return replace(problem, message=message)


def _copied(data: Any) -> Any:
    match data:  # copy.deepcopy keeps a memo of every word, and takes ten times as long
        case dict():
            return {key: _copied(value) for key, value in data.items()}
        case list():
            return [_copied(value) for value in data]
        case _:
            return data


def _spot(event: Any) -> Place:
    mark = event.start_mark
    return Place("", mark.line + 1, mark.column + 1, mark.line + 1)


_TRAPS = (
    # what the parser says (a part of it), a pattern in the line, what the person probably wanted
    ("", r"^ *\t", "a tab indents this line: YAML wants spaces"),
    ("escape", "", r"a backslash inside double quotes: put a regex into single quotes, '1,?284\.50'"),
    ("", r"\{.*\$\{", 'inside braces a variable is quoted: {api_key: "${SIGMA_API_KEY}"}'),
    ("", r"\{\{", 'text with {{ }} is quoted: "{{ question }}"'),
    ("cannot start any token", "", "text that starts with a character like this one is quoted"),
    ("", r"\{.*\?\s*[,}\]]", 'inside braces text with a ? is quoted: {message: "What is it?"}'),
    ("mapping values", r":\s.*:\s", 'text with ": " inside is quoted: "Note: this"'),
    (
        "mapping values",
        "",
        "this key is not in line with those around it, or the text before it needs quotes",
    ),
    ("", "", "look for a bracket or a quote that is not closed{since}, or a wrong indentation"),
)


def _hint(line: str, said: str) -> str:
    """What probably went wrong in *line*, by the traps people fall into."""
    return next(hint for problem, pattern, hint in _TRAPS if problem in said and re.search(pattern, line))
