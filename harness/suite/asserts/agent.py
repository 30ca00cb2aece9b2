"""Checks of what the agent did: which tools it called, how, and in what order."""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from harness.suite.asserts.text import Pattern
from harness.suite.model import Arguments, Written
from harness.suite.values import Text, Whole


class AgentCheck(Arguments):
    """A check that reads the tool calls of a turn, or of a whole conversation."""


Times = Annotated[Whole, Field(ge=0)]


class Used(Written):
    """A tool, by *name* or by a *pattern* in it, and how often: without bounds at least once."""

    name: Text | None = None
    pattern: Pattern | None = None
    min: Times | None = None
    max: Times | None = None

    @model_validator(mode="after")
    def _one_tool(self) -> Self:
        if (self.name is None) == (self.pattern is None):
            raise ValueError("either name or pattern is wanted, and one of them")
        if self.max is not None and self.max < (self.min or 0):
            raise ValueError("min is more than max: no number of calls could pass")
        return self


def _tools(value: object) -> object:
    match value:
        case str() if value:
            return ({"name": value},)
        case list() if value and all(isinstance(each, str) and each for each in value):
            return tuple({"name": each} for each in value)
        case dict():
            return (value,)
        case _:
            raise ValueError("the name of a tool is wanted, a list of names, or {name | pattern, min, max}")


class ToolUsed(AgentCheck):
    """Every tool of *value* was called, as often as it says."""

    value: Annotated[tuple[Used, ...], BeforeValidator(_tools)]


TYPES: Mapping[str, type[AgentCheck]] = {"trajectory:tool-used": ToolUsed}
