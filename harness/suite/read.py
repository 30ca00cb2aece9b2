"""A suite from its file: YAML taken apart with the place of every key and value.

The only module that knows yaml. It reads PyYAML's events, not its nodes or its
objects: events say what was quoted and tagged, nesting can be bounded (libyaml's
composer crashes the interpreter on a deep file), and YAML 1.1's idea of what is
a boolean or a date never comes into play (`harness.suite.scalars`). All that is
wrong with a suite is raised at once, as one `SuiteError`.
"""

import codecs
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from harness.errors import Problem, SuiteError, UsageError, did_you_mean
from harness.suite import keys, scalars
from harness.suite.check import check
from harness.suite.model import Suite
from harness.suite.places import Finding, Place, lines_of, problem_at
from harness.suite.scalars import Filled
from harness.suite.validate import validate

_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # libyaml is some eight times faster
MOST_BYTES = 16 * 2**20
"""The largest file of a suite: 250,000 prompts of a line. More are rows of another file."""
_OTHER_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_DEEPEST = 40
_TOO_DEEP = f"this is nested more than {_DEEPEST} levels deep"
_MOST_BY_ALIAS = 100_000
_SHORTEST_SECRET = 4
_OF_ANOTHER = ("base_url", "api_key")
_NOWHERE = "http://unset.invalid"  # RFC 6761: no server has this name
_SMALLEST = (
    'the smallest suite is "target: standin" and "prompts: [{message: What is the capital of France?}]"'
)


def load_suite(
    path: str | Path, *, environ: Mapping[str, str] | None = None, elsewhere: bool = False
) -> Suite:
    """The suite in the file at *path*; ``${VAR}`` is filled in from *environ* (the process's own if None).

    One that is asked *elsewhere* (``--target``) needs no address and no key of its own. Raises `SuiteError`
    with everything that is wrong with it, in the order of the file, and `UsageError` if there is no such
    file. Nothing is sent anywhere.
    """
    path = Path(path)
    text = _text_of(path, _bytes_of(path))
    return parse_suite(text, path, os.environ if environ is None else environ, elsewhere=elsewhere)


def _bytes_of(path: Path) -> bytes:
    """What is in the file of a suite: an ordinary one, of a size that somebody may have written."""
    try:
        if path.is_dir():
            raise UsageError(f"{path}: this is a folder, and a suite is a file{_neighbour(path / path.name)}")
        if path.exists() and not path.is_file():
            raise UsageError(f"{path}: this is no ordinary file, and a suite is one")
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such file{_neighbour(path)}") from None
    except (OSError, ValueError) as error:  # a NUL in the name is the latter
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path}: the file cannot be read: {reason}") from None
    if len(raw) > MOST_BYTES:
        most = MOST_BYTES // 2**20
        message = f"the file has more than {most} MB: put the prompts into a file of rows (each: rows.jsonl)"
        raise SuiteError([Problem(str(path), 1, 1, message)])
    return raw


def _text_of(path: Path, raw: bytes) -> str:
    other = next((name for mark, name in _OTHER_MARKS if raw.startswith(mark)), None)
    if other is not None:
        raise SuiteError([Problem(str(path), 1, 1, f"this is {other}: save the file as UTF-8")])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = lines_of(raw[: error.start].decode("utf-8", "replace"))
        message = f"byte 0x{raw[error.start]:02x} is not UTF-8: save the file as UTF-8"
        raise SuiteError([Problem(str(path), len(before), len(before[-1]) + 1, message)]) from None


def parse_suite(
    text: str, path: Path, environ: Mapping[str, str], *, recorded: bool = False, elsewhere: bool = False
) -> Suite:
    """The suite written in *text*; *path* is what errors and results call it. Raises `SuiteError`.

    One that is asked *elsewhere* needs no address and no key of its own. Of a suite that was *recorded* with
    its run, the files with keys may be gone, or are a stranger's words.
    """
    builder = _Builder(str(path), lines_of(text), environ)
    data, root = builder.document(text)
    if not isinstance(data, dict):
        what = "the file is empty" if data is None else "a suite is a mapping (target:, prompts:, ...)"
        raise SuiteError(builder.problems or [Problem(str(path), 1, 1, f"{what}; {_SMALLEST}")])
    if elsewhere:
        builder.forgive(data, root)
    told = {(each.line, each.column, each.message): each for each in builder.problems}

    def tell(finding: Finding) -> None:
        problem = problem_at(finding, root, builder.lines, str(path))
        what = finding.message.partition(";")[0]  # of an anchor, or of defaults, once for all who use it
        told.setdefault((problem.line, problem.column, what), problem)

    file = validate(data, root, tell)
    suite = None if file is None else Suite.of(file, path, text)
    warnings = () if suite is None else check(suite, data, root, tell)
    warnings += () if suite is None or recorded else keys.check(suite, tell)
    if suite is None or told:
        raise SuiteError([builder.masked(problem) for problem in told.values()])
    return suite.model_copy(update={"warnings": warnings})


def parse_foreign(text: str, file: str) -> tuple[Any, Place, list[Problem]]:
    """The data of another tool's YAML or JSON file, its places, and what of it was left out.

    ``${VAR}`` stays as it is. Raises `SuiteError` where nothing can be read.
    """
    builder = _Builder(file, lines_of(text), None)
    data, root = builder.document(text)
    return None if data is _BROKEN else data, root, builder.problems


def with_key(text: str, key: str, value: Any) -> str:
    """*text*, a suite that was found right, with *value* for its *key*; the rest stays as it was written."""
    written = json.dumps(value)  # which is YAML, too
    events: Iterator[Any] = iter(yaml.parse(text, Loader=_Loader))
    top: Any = next(event for event in events if isinstance(event, yaml.MappingStartEvent))
    while isinstance(name := next(events), yaml.ScalarEvent):
        first = next(events)
        last = _last_of(first, events)
        if name.value == key:
            # A block ends where the next key begins, after the line end and the comments between.
            end = "\n" if last is not first and not first.flow_style else ""
            begin = text.index(":", _after(name)) + 1
            return f"{text[:begin]} {written}{end}{text[_after(last) :]}"
    after = _after(top) if top.flow_style else top.start_mark.index
    new = f"{json.dumps(key)}: {written}, " if top.flow_style else f"{key}: {written}\n"
    return text[:after] + new + text[after:]


def _after(event: Any) -> int:
    """Where *event* ends in the text."""
    return int(event.end_mark.index)


def _last_of(first: Any, events: Iterator[Any]) -> Any:
    """The event with which the value ends that begins with *first*."""
    last, depth = first, int(isinstance(first, yaml.CollectionStartEvent))
    while depth:
        last = next(events)
        depth += isinstance(last, yaml.CollectionStartEvent) - isinstance(last, yaml.CollectionEndEvent)
    return last


def as_yaml(data: Any) -> str:
    """*data* as YAML that `parse_suite` reads as *data* again, in the order it has; nothing is an alias."""
    return str(yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=sys.maxsize))


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.2 reads as something else than text, and writes lines as lines."""

    def ignore_aliases(self, data: Any) -> bool:
        """Each use of a value is written out."""
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: FBT001, FBT002 - theirs
        """The items of a list are further in than its key."""
        super().increase_indent(flow, indentless=False)


def _as_text(dumper: _Dumper, text: str) -> Any:
    style = None
    if len(lines_of(text)) > 1:
        style = "|" if not re.search("[\r\x85\u2028\u2029]", text) else '"'
    elif _is_more_than_text(text):
        style = "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _as_text)


def _is_more_than_text(text: str) -> bool:
    try:
        return not isinstance(scalars.plain(text), str)
    except ValueError:
        return True


def _plain_or_text(text: str) -> scalars.Scalar:
    """A plain word of YAML 1.2; text where the versions of YAML are not agreed."""
    try:
        return scalars.plain(text)
    except ValueError:
        return text


def _neighbour(path: Path) -> str:
    folder = path.parent
    names = sorted(each.name for each in folder.glob("*.y*ml")) if folder.is_dir() else []
    close = did_you_mean(path.name, names)
    return close or (f"; {folder} has {', '.join(names[:8])}" if names else "")


class _Broken:
    """Stands for a value that has been complained about, and is left out of its container."""


_BROKEN = _Broken()
_KEY_IS_NO_WORD = 'a key is a word; text that starts with {{ or [ is quoted: "{{ question }}"'


@dataclass(slots=True)
class _Builder:
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
        self.events = yaml.parse(text, Loader=_Loader)
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

    def forgive(self, data: dict[str, Any], root: Place) -> None:
        """Let the target's own address and key be unset: nobody asks there."""
        target = root.keys.get("target")
        own = [target.keys.get(key) for key in _OF_ANOTHER] if target is not None else []
        unneeded = [problem for place, problem in self.unset if any(place is each for each in own)]
        if unneeded:
            self.problems = [each for each in self.problems if each not in unneeded]
            data["target"].setdefault("base_url", _NOWHERE)

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
