"""Checks of what the answer says and what form it has."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, Field

from harness.suite.model import Arguments


class TextCheck(Arguments):
    """A check that reads the answer, and nothing else."""


class Equals(TextCheck):
    """The answer is exactly *value*."""

    value: str


class Contains(TextCheck):
    """The answer has *value* somewhere in it."""

    value: Annotated[str, Field(min_length=1)]


class IContains(TextCheck):
    """The answer has *value* somewhere in it, in any case."""

    value: Annotated[str, Field(min_length=1)]


@lru_cache(maxsize=4096)
def _regex(pattern: str) -> str:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"this is no regular expression: {error}") from error
    return pattern


Pattern = Annotated[str, Field(min_length=1), AfterValidator(_regex)]


class Regex(TextCheck):
    """*value* matches somewhere in the answer, in the syntax of Python's `re`."""

    value: Pattern


TYPES: Mapping[str, type[TextCheck]] = {
    "equals": Equals,
    "contains": Contains,
    "icontains": IContains,
    "regex": Regex,
}
