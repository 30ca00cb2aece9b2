"""Checks that the suite's own Python makes."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, WithJsonSchema

from harness.suite.prompts import Arguments
from harness.suite.values import Duration, Portion, Text

_PLACE = re.compile(r"file://(?P<file>[^:]+\.py):(?P<name>[A-Za-z_]\w*)")


def _function(value: str) -> str:
    if not _PLACE.fullmatch(value):
        raise ValueError("a function in a file beside the suite is wanted: file://checks.py:name")
    return value


class Python(Arguments):
    """A function of the suite's own, called with the answer and its context, for at most *time_limit*.

    It says true or false, a score from 0 to 1, or ``{pass, score, reason, named_scores}``. A score passes
    where it is above 0, or reaches the *threshold*. *config* is handed to it.
    """

    value: Annotated[
        Text,
        AfterValidator(_function),
        WithJsonSchema({"type": "string", "pattern": r"^file://[^:]+\.py:[A-Za-z_]"}),
    ]
    threshold: Portion | None = None
    time_limit: Duration = 10_000_000_000
    config: dict[str, Any] | None = None

    @property
    def file(self) -> str:
        """The file, as it is written: relative to the suite."""
        match = _PLACE.fullmatch(self.value)
        assert match is not None  # noqa: S101  it was validated
        return match["file"]

    @property
    def function(self) -> str:
        """The name of the function in it."""
        return self.value.rpartition(":")[2]


TYPES: Mapping[str, type[Arguments]] = {"python": Python}
