"""What hides secrets in the bytes of a reply: our keys always, and what `redact:` finds.

A byte is written over and none is moved: the offsets at which packets stand, and with them every time, are
what they were, and JSON stays JSON. A character that took six bytes becomes six asterisks.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Self
from urllib.parse import quote, unquote, urlsplit
from urllib.request import getproxies

from pydantic import SecretStr

from harness.redact.texts import Range, read, texts_of
from harness.suite.keys import secrets_of
from harness.suite.model import Suite
from harness.suite.redaction import Finder, finder

SHORTEST_SECRET = 8
"""Shorter ones (``none``, ``dummy``, ``test``) open nothing, and are words of answers."""

_MASK = ord("*")
_LINE_ENDS = b"\r\n"
_PIECES = re.compile(
    rb'"(?:content|reasoning|answer_piece|stdout|stderr|data)"\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)', re.DOTALL
)
_ESCAPED = re.compile(rb"\\u00[2-7]")
_OFTEN_ESCAPED = frozenset('"\\/')


@dataclass(frozen=True, slots=True)
class Veil:
    """What is never to be kept: *secrets* word for word, and what *finders* find. In no repr."""

    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    finders: tuple[Finder, ...] = field(default=(), repr=False)

    def also(self, *secrets: str | None) -> Self:
        """The same, and over *secrets*, in every form in which they are sent."""
        more = {form for each in secrets if each for form in forms(each)}
        return self if more <= self.secrets else replace(self, secrets=self.secrets | more)

    @property
    def alone(self) -> "Veil":
        """Over the secrets only: for what names must be recognised in."""
        return Veil(self.secrets)

    def over(self, body: bytearray) -> int:
        """Mask what is in *body*; how many stretches were masked."""
        if not self.finders and not self._may_be_in(body):
            return 0
        return _Masking(self, bytes(body), body).all()

    def text(self, text: str) -> str:
        """*text* with what is in it masked."""
        chars = list(text)
        for start, end in self.find(text):
            chars[start:end] = "*" * (end - start)
        return "".join(chars)

    def without(self, environment: Mapping[str, str]) -> dict[str, str]:
        """What of *environment* holds none of the secrets: a child of ours needs none of them."""
        items = environment.items()
        return {name: value for name, value in items if not any(each in value for each in self.secrets)}

    def find(self, text: str, slow: set[int] | None = None) -> Iterator[Range]:
        """Where in *text* something is to be masked. What a pattern takes too long for is masked whole.

        *slow* keeps which patterns did: the next text is not waited for again.
        """
        for secret in self.secrets:
            yield from _each(text, secret)
        slow = set() if slow is None else slow
        for number, found_by in enumerate(self.finders):
            try:
                if number in slow:
                    raise TimeoutError
                yield from found_by(text)
            except TimeoutError:
                slow.add(number)
                yield 0, len(text)

    def _may_be_in(self, body: bytearray) -> bool:
        """Whether one of the secrets may be in *body*: told quickly, since hardly any reply has one."""
        if not self.secrets:
            return False
        texts = [bytes(body), b"".join(_PIECES.findall(body))]
        if b"\\u" in body and not all(map(str.isascii, self.secrets)):
            return True
        if _ESCAPED.search(body) or any(_OFTEN_ESCAPED & set(secret) for secret in self.secrets):
            texts += [_unescaped(text) for text in texts]
        return any(secret.encode() in text for secret in self.secrets for text in texts)


OPEN = Veil()
"""Over nothing: for a server that was told no secret, and whose words nobody asked to be masked."""


def veil_of(suite: Suite) -> Veil:
    """What hides all that *suite* knows of secrets, and what its `redact:` finds."""
    finders = (finder(each.name or each.pattern or "", named=each.name is not None) for each in suite.redact)
    own, proxies = suite.target.proxy, list(getproxies().values())
    if isinstance(own, SecretStr):
        proxies.append(own.get_secret_value())
    passwords = (each for proxy in proxies for each in passwords_of(proxy))
    veil = Veil(finders=tuple(finders)).also(*secrets_of(suite), *passwords)
    _told.update(veil.secrets)
    return veil


_told: set[str] = set()


def last() -> Veil:
    """Over every secret that this process knows: for what says itself, such as an exception of ours."""
    return Veil(frozenset(_told))


def passwords_of(proxy: str) -> Iterator[str]:
    """What opens the *proxy* at this URL, in every form in which it is written or sent."""
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        user, password = parts.username or "", parts.password
    except ValueError:
        return
    if password:
        yield from (password, unquote(password), basic(unquote(user), unquote(password)))


def forms(secret: str) -> Iterator[str]:
    """*secret* as it may come back: itself, as part of a URL, and without the name of its scheme."""
    _, space, bare = secret.partition(" ")
    for form in (secret, bare) if space else (secret,):
        written = (form, quote(form, safe=""), quote(form), form.replace(" ", "%20"))
        yield from (each for each in written if len(each) >= SHORTEST_SECRET)


def basic(user: str, password: str) -> str:
    """User and password as a proxy gets them."""
    return b64encode(f"{user}:{password}".encode()).decode()


def _each(text: str, secret: str) -> Iterator[Range]:
    """Wherever *secret* is in *text*, and what of it stands at the end: a reply may break off within it."""
    at = text.find(secret)
    while at >= 0:
        yield at, at + len(secret)
        at = text.find(secret, at + len(secret))
    for length in range(len(secret) - 1, SHORTEST_SECRET - 1, -1):
        if text.endswith(secret[:length]):
            yield len(text) - length, len(text)
            return


def _unescaped(text: bytes) -> bytes:
    """*text* with what JSON may write in two ways in one of them; good for finding ASCII."""
    plain = re.sub(rb"\\u00([2-7][0-9a-fA-F])", lambda code: bytes([int(code[1], 16)]), text)
    return re.sub(rb'\\(["/\\])', rb"\1", plain)


@dataclass(slots=True)
class _Masking:
    """One body being masked: *body* as it came, *masked* as it becomes."""

    veil: Veil
    body: bytes
    masked: bytearray
    count: int = 0
    slow: set[int] = field(default_factory=set)

    def all(self) -> int:
        """Mask every text, every number, and what of the secrets stands anywhere else."""
        texts = texts_of(self.body)
        for pieces in texts:
            text, ranges = read(self.body, pieces)
            plain = not pieces[0].escaped
            for start, end in self.veil.find(text, self.slow):
                self.cover(ranges(start, end), plain=plain)
        for number in texts.numbers:
            self.number(number)
        self.sweep()
        return self.count

    def cover(self, ranges: Iterable[Range], *, plain: bool = False) -> None:
        """Write over *ranges*, which are one stretch; it counts unless all of it was masked before."""
        fresh = False
        for start, end in ranges:
            here, hidden = self.body[start:end], b"*" * (end - start)
            fresh |= self.masked[start:end] == here != hidden
            if plain:  # lines stay lines
                hidden = bytes(byte if byte in _LINE_ENDS else _MASK for byte in here)
            self.masked[start:end] = hidden
        self.count += fresh

    def number(self, where: Range) -> None:
        """Make a text of a number that is to be masked: asterisks alone are no JSON."""
        start, end = where
        if any(True for _ in self.veil.find(self.body[start:end].decode(), self.slow)):
            self.masked[start:end] = b'"' + b"*" * (end - start - 2) + b'"'
            self.count += 1

    def sweep(self) -> None:
        """Whatever is no text (the id of a session, a key of the API): our secrets are masked there, too."""
        for raw in {form for secret in self.veil.secrets for form in _in_json(secret)}:
            at = self.masked.find(raw)
            while at >= 0:
                self.cover([(at, at + len(raw))])
                at = self.masked.find(raw, at + len(raw))


def _in_json(secret: str) -> Iterator[bytes]:
    """*secret* as it may be written in a string of JSON, and as it is."""
    for form in (secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
        yield form.encode()
        yield form.replace("/", "\\/").encode()
