"""One plain word of YAML, read as YAML 1.2 reads it, with ``${VAR}`` filled in.

PyYAML reads YAML 1.1, where ``no`` is false, ``1:30`` is ninety and
``2024-01-01`` is a date. Suites are full of such words, so its resolver is not
used: only ``true`` and ``false`` are booleans, and what 1.1 and 1.2 read as
different numbers (``010``) is an error instead of a surprise. Variables are
filled in after the file was taken apart, so no value can change its structure.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, nan

Scalar = str | int | float | bool | None

_WORDS: dict[str, Scalar] = (
    dict.fromkeys(("", "~", "null", "Null", "NULL"))
    | dict.fromkeys(("true", "True", "TRUE"), True)
    | dict.fromkeys(("false", "False", "FALSE"), False)
    | dict.fromkeys((".inf", "+.inf"), inf)
    | {"-.inf": -inf, ".nan": nan}
)
_INT = re.compile(r"[-+]?[0-9]{1,40}|0x[0-9a-fA-F]{1,32}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_OCTAL = re.compile(r"[-+]?0[0-9]+|0o[0-7]+")

_VARIABLE = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})?")


class Filled(str):
    """Text that came, at least in part, from the environment.

    *value* is what a plain word of this text means (so ``workers: ${WORKERS}``
    can be a number); *default_used* says that a default written in the file, and
    not the environment, gave part of it.
    """

    __slots__ = ("default_used", "value")
    value: Scalar
    default_used: bool


@dataclass(frozen=True, slots=True)
class Gap:
    """Why a ``${...}`` could not be filled in; *near* finds it in the file."""

    message: str
    near: str


def plain(text: str) -> Scalar:
    """What an unquoted word of YAML 1.2 (core schema) means.

    Raises `ValueError` for numbers that YAML 1.1 and 1.2 read differently.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _OCTAL.fullmatch(text):
        raise ValueError(
            f'is a different number in YAML 1.1 and 1.2: quote it ("{text}"), or drop the leading zero'
        )
    if _INT.fullmatch(text):
        return int(text, 16) if "x" in text else int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _unset(name: str) -> str:
    """What to do about a variable; a key has no default that might stand in a file."""
    default = "" if is_secret(name) else f", or write ${{{name}:-default}}"
    return f"${{{name}}} is not set in the environment; set it{default}"


def is_secret(name: str) -> bool:
    """Whether what a header or a variable of this name holds opens something, and is no word of answers."""
    words = ("auth", "cookie", "key", "pass", "secret", "signature", "token")
    return any(word in name.lower() for word in words)


def fill(text: str, environ: Mapping[str, str], *, quoted: bool) -> tuple[str, list[Gap]]:
    """*text* with its variables, and what was missing.

    ``${VAR}`` must be set, ``${VAR:-default}`` is *default* where VAR is unset or
    empty (as in the shell), ``$${VAR}`` stands for ``${VAR}`` itself. *quoted*
    text is text whatever it looks like.
    """
    gaps: list[Gap] = []
    names = 0
    default_used = False

    def replacement(match: re.Match[str]) -> str:
        nonlocal names, default_used
        name, default = match.group(1, 2)
        if match[0] == "$${":
            return "${"
        if name is None:
            gaps.append(
                Gap("${ begins no variable: write ${NAME} or ${NAME:-default}; $${ is a plain ${", r"\$\{")
            )
            return ""
        names += 1
        if default is not None and not environ.get(name):
            default_used = True
            return default
        if name not in environ:
            gaps.append(Gap(_unset(name), rf"\$\{{{name}\b"))
        return environ.get(name, "")

    filled = _VARIABLE.sub(replacement, text)
    if gaps or not names:
        return filled, gaps
    answer = Filled(filled)
    answer.default_used = default_used
    try:
        answer.value = filled if quoted else plain(filled)
    except ValueError:  # 0123 in a variable is a key more often than a number
        answer.value = filled
    return answer, gaps
