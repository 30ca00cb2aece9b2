"""Texts of others as text: prompts, answers, errors and names may be hostile, or megabytes in one line."""

import json

import msgspec

LONGEST = 20_000
"""Characters of a text that are shown at once."""


def visible(text: str) -> str:
    """*text* with what a terminal would act on, or turn round, shown as an escape: answers may be hostile."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in "\n\t" else each.encode("unicode_escape").decode()
        for each in text
    )


def shortened(text: str, longest: int) -> str:
    """*text* in one line of at most *longest* characters."""
    words = text.split(maxsplit=longest)  # a word has a letter at least, so these are enough
    shown = visible(" ".join(words)[: longest + 1])
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def cut(text: str, longest: int = LONGEST) -> str:
    """*text* with nothing hidden in it, and no longer than a reader bears; says what it left out."""
    shown = visible(text[:longest])
    left = len(text) - longest
    return shown if left <= 0 else f"{shown} … ({left:,} more characters)"


def one_line(text: str) -> str:
    """*text* whole, with nothing hidden in it and no line end: for lists that have a line for each thing."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def as_json(value: object) -> str:
    """*value* as JSON in one line: the same when read, with nothing hidden when looked at."""
    return _escaped(json.dumps(value, ensure_ascii=False))


def document(value: object) -> str:
    """*value*, of which structs may be a part, as an indented JSON document, likewise."""
    return _escaped(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _escaped(text: str) -> str:
    """JSON with an escape for what is not printable: outside of its strings that is line ends only."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in text)
