"""What `redact:` may name: patterns that are well known, each with what tells a real one from a lookalike.

Sources, looked at side by side: gitleaks and GitHub's secret scanning for keys, Presidio for people's data,
ISO 13616 (IBAN), ISO 7812 (cards), RFC 7519 (JWT). A pattern alone takes every order number for a card, so
what has a check digit is checked.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import regex

from harness.errors import did_you_mean

Genuine = Callable[[str], bool]
"""Whether what a pattern found is what it looks like."""

LONGEST_SEARCH_S = 2.0
"""A pattern may take for ever on a text that its author did not think of."""


class Known(NamedTuple):
    """A pattern of ours, and what else must hold of what it finds, or of its first words."""

    pattern: str
    genuine: Genuine | None = None


def _digits(text: str) -> str:
    return "".join(each for each in text if each.isdecimal())


def luhn(text: str) -> bool:
    """Whether the digits of *text* end in the check digit of payment cards (ISO 7812)."""
    digits = [int(each) for each in _digits(text)]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return 12 <= len(digits) <= 19 and len(set(digits)) > 1 and (sum(doubled) + sum(digits[-1::-2])) % 10 == 0


def iban(text: str) -> bool:
    """Whether *text* has the check digits of an IBAN (ISO 13616: the remainder by 97 is 1)."""
    letters = re.sub(r"\s", "", text).upper()
    number = "".join(str(int(each, 36)) for each in letters[4:] + letters[:4])
    return 15 <= len(letters) <= 34 and int(number) % 97 == 1


def _phone(text: str) -> bool:
    return 8 <= len(_digits(text)) <= 15


_KEYS = (
    r"sk-[A-Za-z0-9_-]{16,}",  # OpenAI, Anthropic, OpenRouter ...
    r"on_(?:tenant_)?[A-Za-z0-9_.%-]{20,}",  # Onyx, and so Sigma
    r"gh[pousr]_[A-Za-z0-9]{36,}",
    r"github_pat_[A-Za-z0-9_]{36,}",
    r"glpat-[A-Za-z0-9_-]{20,}",
    r"(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}",
    r"AIza[A-Za-z0-9_-]{35}",
    r"xox[abeoprs]-[A-Za-z0-9-]{10,}",
    r"hf_[A-Za-z0-9]{30,}",
    r"[sr]k_(?:live|test)_[A-Za-z0-9]{16,}",
    r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
)

KNOWN: dict[str, Known] = {
    "api-key": Known(
        rf"(?<![A-Za-z0-9])(?:{'|'.join(_KEYS)})"
        r"|(?i:(?<=\bbearer[ \t])[A-Za-z0-9._~+/-]{16,}=*)"
        r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    ),
    "card": Known(r"(?<![\d.])\d(?:[ \xa0-]?\d){11,18}", luhn),
    "email": Known(r"(?<![\w.+-])[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_][\w-]{1,62}"),
    "iban": Known(r"(?i)(?<![a-z0-9])[a-z]{2}\d{2}(?: ?[a-z0-9]{4}){2,7}(?: ?[a-z0-9]{1,3})?", iban),
    "jwt": Known(r"(?<![\w-])eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*"),
    "phone": Known(
        r"(?<![\w+])(?:\+|00)[1-9]\d{0,2}[ ./-]?(?:\(?\d{1,5}\)?[ ./-]?){1,5}\d{2,}(?!\w)"
        r"|(?<![\w-])\(?[2-9]\d{2}\)?[ .-]\d{3}[ .-]\d{4}(?![\w-])",
        _phone,
    ),
}
"""What `redact:` may name, by its name."""


def known(name: str) -> str:
    """*name*, if a pattern is known by it. Raises `ValueError`."""
    if name not in KNOWN:
        near = did_you_mean(name, KNOWN) or f"; to mask the word itself write {{pattern: {name}}}"
        raise ValueError(f"known by name are {', '.join(KNOWN)}{near}")
    return name


def pattern(written: str) -> str:
    """*written*, if it is a regular expression that finds something. Raises `ValueError`."""
    try:
        finds_nothing = regex.compile(written).fullmatch("", timeout=LONGEST_SEARCH_S) is not None
    except regex.error as error:
        raise ValueError(f"this is no regular expression: {error}") from None
    if finds_nothing:
        raise ValueError("this matches where there is nothing, too: write + for *")
    return written


Finder = Callable[[str], Iterator[tuple[int, int]]]
"""Where in a text something is that is to be masked. Raises `TimeoutError`."""


def finder(written: str, *, named: bool) -> Finder:
    """What finds the stretches of a text for one entry of `redact:`, *named* or a pattern."""
    known = KNOWN[written] if named else Known(written)
    return partial(_found, regex.compile(known.pattern), known.genuine)  # which goes to other processes, too


def _found(compiled: regex.Pattern[str], genuine: Genuine | None, text: str) -> Iterator[tuple[int, int]]:
    # With a check to pass, what was found may begin or end too early: 12 4111 1111 1111 1111.
    places = compiled.finditer(text, timeout=LONGEST_SEARCH_S, overlapped=genuine is not None)
    for match in places:
        length = len(match[0]) if genuine is None else _genuine(match[0], genuine)
        if length:
            yield match.start(), match.start() + length


def _genuine(text: str, genuine: Genuine) -> int:
    """How much of *text* is genuine: the longest that ends with a word; 0 for none."""
    ends = (end.end() for end in re.finditer(r"\w\b", text))
    return next((end for end in sorted(ends, reverse=True) if genuine(text[:end])), 0)
