"""The texts in the bytes of a reply, and which bytes each of their characters is.

What is to be masked is looked for in texts as people read them: put together from the packets they came in,
with JSON's escapes resolved. It is masked in the bytes as they came. So every text here is a list of pieces,
each a stretch of the body; nothing is copied out and nothing put back.

The reader takes any bytes. Of JSON it needs tokens, not documents, since a reply may break off anywhere; what
is no JSON at all is text as it stands.
"""

import json
import re
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial
from itertools import accumulate
from typing import NamedTuple

Range = tuple[int, int]
"""A stretch of the body: its first byte, and the one after its last."""


class Piece(NamedTuple):
    """A stretch of the body that is part of a text; *escaped* inside a string of JSON."""

    start: int
    end: int
    escaped: bool = True


class Unit(NamedTuple):
    """A character, and the bytes that it is: several stretches where a pair of halves was torn apart."""

    char: str
    ranges: tuple[Range, ...]


Place = tuple[bytes, ...]
"""Model, turn, tab and sub turn, as they are written."""
Block = tuple[bytes, tuple[str, ...], Place]
Whole = tuple[bytes, tuple[str, ...], bytes]


@dataclass(slots=True)
class Texts:
    """The texts of a reply. *numbers* are those that a tool was given, or gave: they may be anything.

    *blocks* are put together from the packets they came in. What is in two blocks, one after the other, is a
    text as well, one of *wholes*: an answer is cut into blocks wherever a tool was called.
    """

    alone: list[list[Piece]] = field(default_factory=list)
    blocks: dict[Block, list[Piece]] = field(default_factory=dict)
    wholes: dict[Whole, list[Piece]] = field(default_factory=dict)
    numbers: list[Range] = field(default_factory=list)

    def __iter__(self) -> Iterator[list[Piece]]:
        yield from self.alone
        yield from self.blocks.values()
        several = Counter((family, path, place[0]) for family, path, place in self.blocks)
        yield from (pieces for key, pieces in self.wholes.items() if several[key] > 1)


_FREE = frozenset(
    {"tool_args", "tool_arguments", "argument_deltas", "data", "result", "tool_result", "details", "error"}
)
"""Below these keys stands what no API has names for: there, keys and numbers are texts as well."""

_NO_TEXT = frozenset({"placement", "chat_session_id", "error_code"})
_TOKENS = frozenset({"content", "reasoning", "argument_deltas"})
"""What comes a token at a time: a piece of it is no text by itself."""

_STRING = rb'"([^"\\]*(?:\\.[^"\\]*)*)'
_TOKEN = re.compile(_STRING + rb'("?)(\s*:)?|(-?\d[\d.eE+-]*)|([{\[])|([}\]])|[,:\s]+|[A-Za-z]+', re.DOTALL)
_USUAL = re.compile(
    rb'\{"placement":\s*\{([\w":,\s-]*)\},\s*"obj":\s*\{"type":\s*"(\w+_delta)",\s*"(content|reasoning)":\s*'
    + _STRING
    + rb'"\}\}\r?',
    re.DOTALL,
)
_INDEX = re.compile(rb'"(\w+)"\s*:\s*(\d+)')
_CONTROL = re.compile(rb"(?:event|id|retry|)\s*:")
_SHORTEST_NUMBER = 6


def texts_of(body: bytes) -> Texts:
    """Every text in *body*, in the order in which it began."""
    found = Texts()
    reader = _Reader(body, found)
    start = 3 if body.startswith(b"\xef\xbb\xbf") else 0
    if _is_one_document(body[start:]):
        reader.document(start, len(body))
        return found
    while start < len(body):
        end = body.find(b"\n", start)
        end = len(body) if end < 0 else end
        reader.line(start, end)
        start = end + 1
    return found


def _is_one_document(body: bytes) -> bool:
    """Whether *body* is JSON over several lines, rather than a line for each document."""
    first, _, more = body.strip().partition(b"\n")
    return bool(more) and first[:1] in {b"{", b"["} and not _is_json(first) and _is_json(body)


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text.decode(errors="replace"), strict=False)
    except (ValueError, RecursionError):
        return False
    return True


@dataclass(slots=True)
class _Reader:
    """The fold over the lines of a reply."""

    body: bytes
    found: Texts
    raw: Piece | None = None

    def line(self, start: int, end: int) -> None:
        """One line of the body."""
        usual = _USUAL.fullmatch(self.body, start, end)
        if usual is not None:  # nearly always
            place = _place_in(usual[1])
            self.goes_on(_family(usual[2]), ("obj", usual[3].decode()), place, Piece(*usual.span(4)))
            return
        line = self.body[start:end]
        if line.startswith(b"data:"):
            self.document(start + 5, end)
        elif control := _CONTROL.match(line):
            self.as_it_stands(start + control.end(), end)
        else:
            self.document(start, end)

    def document(self, start: int, end: int) -> None:
        """What should be one document of JSON; where it is none, it is text as it stands as well."""
        text = self.body[start:end].strip()
        if not text or text == b"[DONE]":
            return
        if text[:1] not in {b"{", b"[", b'"'}:
            self.as_it_stands(start, end)
            return
        self.tokens(start, end)
        if not _is_json(text):
            self.as_it_stands(start, end)

    def as_it_stands(self, start: int, end: int) -> None:
        """A line of another kind; those that follow one another, as in a web page, are one text."""
        before = self.raw
        if before is not None and before.end + 1 == start:
            self.raw = Piece(before.start, end, escaped=False)
            self.found.alone[-1] = [self.raw]
        else:
            self.raw = Piece(start, end, escaped=False)
            self.found.alone.append([self.raw])

    def tokens(self, start: int, end: int) -> None:
        """The strings of a document, each put where it belongs once the whole of the document is known."""
        read = _Document()
        at = start
        while at < end and (token := _TOKEN.match(self.body, at, end)):
            read.take(token)
            at = token.end()
        for path, piece in read.strings:
            self.string(read, path, piece)
        self.found.numbers += read.numbers

    def string(self, read: "_Document", path: tuple[str, ...], piece: Piece) -> None:
        """One string of a document."""
        streamed = path[:1] == ("obj",) and "[]" not in path and read.kind.endswith((b"_delta", b"_start"))
        if path == ("answer_piece",):
            self.goes_on(b"message", path, read.place, piece)
        elif streamed and path[1:]:
            self.goes_on(_family(read.kind), path, read.place, piece)
            if path[1] not in _TOKENS:
                self.found.alone.append([piece])
        else:
            self.found.alone.append([piece])

    def goes_on(self, family: bytes, path: tuple[str, ...], place: Place, piece: Piece) -> None:
        """More of a text: of its own block, and of all that this model said in that field."""
        self.found.blocks.setdefault((family, path, place), []).append(piece)
        self.found.wholes.setdefault((family, path, place[0]), []).append(piece)


class _Document:
    """The fold over the tokens of one document: its strings with their paths, and where it stands."""

    def __init__(self) -> None:
        self.strings: list[tuple[tuple[str, ...], Piece]] = []
        self.numbers: list[Range] = []
        self.kind = b""
        self.path: list[str] = [""]
        self.indexes: dict[bytes, bytes] = {}

    @property
    def place(self) -> Place:
        """Model, turn, tab and sub turn, as they are written."""
        return _place(self.indexes)

    def take(self, token: re.Match[bytes]) -> None:
        """The next token."""
        text, _, colon, number, opens, closes = token.groups()
        if text is not None:
            self.key(token) if colon is not None else self.value(token)
        elif number is not None:
            self.number(token)
        elif opens is not None:
            self.path.append("[]" if opens == b"[" else "")
        elif closes is not None and len(self.path) > 1:
            self.path.pop()

    def key(self, token: re.Match[bytes]) -> None:
        """A key; what follows stands below it."""
        if not _FREE.isdisjoint(self.path[:-1]):
            self.strings.append(((*self.path, "{}"), Piece(*token.span(1))))
        self.path[-1] = token[1].decode(errors="replace")

    def value(self, token: re.Match[bytes]) -> None:
        """A string."""
        where = self.where()
        if where == ("obj", "type"):
            self.kind = token[1]
        elif where[:1] and where[0] in _NO_TEXT:
            return
        else:
            self.strings.append((where, Piece(*token.span(1))))

    def number(self, token: re.Match[bytes]) -> None:
        """A number: one of those that say where, or one that only a tool knows."""
        where, text = self.where(), token[4]
        if where[:1] == ("placement",) or len(where) == 1:
            self.indexes[where[-1].encode()] = text
        elif not _FREE.isdisjoint(where) and text.lstrip(b"-").isdigit() and len(text) >= _SHORTEST_NUMBER:
            self.numbers.append(token.span(4))

    def where(self) -> tuple[str, ...]:
        """The keys down to here; a list is one of them."""
        return tuple(each for each in self.path[1:] if each)


def _place(indexes: dict[bytes, bytes]) -> Place:
    turn = indexes.get(b"turn_index", indexes.get(b"ind", b"0"))
    rest = (indexes.get(name, b"0") for name in (b"tab_index", b"sub_turn_index"))
    return (indexes.get(b"model_index", b"0"), turn, *rest)


@lru_cache(maxsize=256)
def _place_in(placement: bytes) -> Place:
    return _place(dict(_INDEX.findall(placement)))


@lru_cache(maxsize=64)
def _family(kind: bytes) -> bytes:
    """What a packet and those that go on from it have in common: older servers begin a text at its start."""
    return kind.removesuffix(b"_delta").removesuffix(b"_start")


# From bytes to characters, and back

_UNIT = re.compile(
    rb"\\u([0-9a-fA-F]{4})|\\(.)|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}|.",
    re.DOTALL,
)
_PLAIN_UNIT = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}|.", re.DOTALL
)
_CHAR = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|" + _UNIT.pattern, re.DOTALL)
"""The same, with both halves of a character in one."""
_SHORT = {b"n": "\n", b"t": "\t", b"r": "\r", b"b": "\b", b"f": "\f"}
_HALF = re.compile("[\ud800-\udfff]")

Ranges = Callable[[int, int], Iterator[Range]]
"""The bytes of the characters from one index to another."""


def read(body: bytes, pieces: list[Piece]) -> tuple[str, Ranges]:
    """The text of *pieces*, and where its characters are."""
    parts = [_text(body, piece) for piece in pieces]
    text = "".join(parts)
    if len(pieces) > 1 and _HALF.search(text):
        units = list(_fused(unit for piece in pieces for unit in _units(body, piece)))
        return "".join(unit.char for unit in units), partial(_of_units, units)
    starts = list(accumulate(map(len, parts), initial=0))
    return text, partial(_of_pieces, pieces, starts=starts, offsets=cache(partial(_offsets, body)))


def _text(body: bytes, piece: Piece) -> str:
    """The text of one piece, the quick way where there is one."""
    raw = body[piece.start : piece.end]
    try:
        text = raw.decode()
        if not piece.escaped or "\\" not in text:
            return text
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return "".join(unit.char for unit in _fused(_units(body, piece)))


def _units(body: bytes, piece: Piece) -> Iterator[Unit]:
    unit = _UNIT if piece.escaped else _PLAIN_UNIT
    for match in unit.finditer(body, piece.start, piece.end):
        yield Unit(_char(match), (match.span(),))


def _char(match: re.Match[bytes]) -> str:
    code, short = match.groups() if match.re is _UNIT else (None, None)
    if code is not None:
        return chr(int(code, 16))
    if short is not None:
        return _SHORT.get(short) or short.decode("latin-1")
    return match[0].decode(errors="replace")[:1]


def _fused(units: Iterable[Unit]) -> Iterator[Unit]:
    r"""*units* with the two halves of a character (`\ud83d\ude00`) as one."""
    before: Unit | None = None
    for unit in units:
        if before is not None and "\ud800" <= before.char < "\udc00" <= unit.char < "\ue000":
            both = (before.char + unit.char).encode("utf-16", "surrogatepass").decode("utf-16")
            before = Unit(both, (*before.ranges, *unit.ranges))
            continue
        if before is not None:
            yield before
        before = unit
    if before is not None:
        yield before


def _of_units(units: list[Unit], start: int, end: int) -> Iterator[Range]:
    for unit in units[start:end]:
        yield from unit.ranges


def _of_pieces(
    pieces: list[Piece], start: int, end: int, *, starts: list[int], offsets: Callable[[Piece], "array[int]"]
) -> Iterator[Range]:
    at = bisect_right(starts, start) - 1
    while at < len(pieces) and starts[at] < end:
        piece, length = pieces[at], starts[at + 1] - starts[at]
        first, last = max(start - starts[at], 0), min(end - starts[at], length)
        if length == piece.end - piece.start:  # a byte for each character
            yield piece.start + first, piece.start + last
        elif first < last:
            places = offsets(piece)
            yield places[first], places[last]
        at += 1


def _offsets(body: bytes, piece: Piece) -> "array[int]":
    """Where each character of *piece* begins, and where the last ends."""
    char = _CHAR if piece.escaped else _PLAIN_UNIT
    starts = array("q", (match.start() for match in char.finditer(body, piece.start, piece.end)))
    starts.append(piece.end)
    return starts
