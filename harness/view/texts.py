"""Texts as a page shows them: answers with their citations linked, JSON set out, two texts word by word."""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, Literal, NamedTuple

import msgspec

from harness.report.pages import plain
from harness.report.visible import LONGEST
from harness.sigma.transcript import Citation

WORDS = 5_000
"""Words of each side that are compared one by one."""

_CITED = re.compile(r"\[\[(\d{1,6})\]\]\(([^\s()]{0,2000})\)|\[(\d{1,6})\]")
_EXACT = 1_000
"""Words up to which the most frequent ones are matched, too: that takes the square of them."""

_WORD = re.compile(r"\s*\S+")


class Piece(NamedTuple):
    """A stretch of an answer; *number* is that of the document it cites."""

    text: str
    number: int | None = None


class Change(NamedTuple):
    """A stretch that both texts have, or one of them."""

    kind: Literal["same", "ins", "del"]
    text: str


def pieces(answer: str, citations: Sequence[Citation], links: Mapping[str, str | None]) -> list[Piece]:
    """*answer* in pieces: what it says, and the numbers by which it cites.

    An address behind a number is left out where it is that of the document, which stands with the documents;
    any other stays as it was written. *links* are the addresses of the documents, by id.
    """
    cited = {each.number: each.document_id for each in citations if each.number is not None}
    return list(_pieces(answer[:LONGEST], len(answer), cited, links))


def _pieces(
    shown: str, whole: int, cited: Mapping[int, str], links: Mapping[str, str | None]
) -> Iterator[Piece]:
    at = 0
    for found in _CITED.finditer(shown):
        number, address = int(found[1] or found[3]), found[2]
        if number not in cited:
            continue
        yield Piece(plain(shown[at : found.start()]))
        yield Piece(f"[{number}]", number)
        if address and address != links.get(cited[number]):
            yield Piece(plain(f"({address})"))
        at = found.end()
    yield Piece(plain(shown[at:]))
    if whole > len(shown):
        yield Piece(f" … ({whole - len(shown):,} more characters)")


def web_address(link: str | None) -> str | None:
    """*link*, where a browser would go to it and nothing else would happen."""
    return link if link and re.match(r"https?://[^\s]+\Z", link, re.IGNORECASE) else None


def set_out(document: str | None) -> str:
    """JSON for people, indented; as it is where it is none, or too long to be looked at."""
    if document is None:
        return ""
    if len(document) > 4 * LONGEST:
        return plain(document)
    try:
        return plain(pretty(msgspec.json.decode(document)))
    except (msgspec.DecodeError, RecursionError):
        return plain(document)


def pretty(value: Any) -> str:
    """*value* as indented JSON. A text alone is shown as the text that it is."""
    if isinstance(value, str):
        return value
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def changes(before: str, after: str) -> tuple[list[Change], str]:
    """What became of *before* word by word, and a note where the texts were too long to be compared whole."""
    was, now = _words(before), _words(after)
    longest = max(len(was), len(now))
    note = ""
    if longest > WORDS:
        note = f"Only the first {WORDS:,} of up to {longest:,} words are compared."
    found: list[Change] = []
    matcher = SequenceMatcher(None, was[:WORDS], now[:WORDS], autojunk=longest > _EXACT)
    for kind, i1, i2, j1, j2 in matcher.get_opcodes():
        if kind == "equal":
            found.append(Change("same", plain("".join(was[i1:i2]))))
            continue
        if i2 > i1:
            found.append(Change("del", plain("".join(was[i1:i2]))))
        if j2 > j1:
            found.append(Change("ins", plain("".join(now[j1:j2]))))
    return found, note


def _words(text: str) -> list[str]:
    """The words of *text*, each with the space before it; one without end is cut into many."""
    long = 400
    return [
        word[at : at + long] for word in _WORD.findall(text[: 40 * WORDS]) for at in range(0, len(word), long)
    ]
