"""Checks of what the agent did: which tools it called, how, and in what order."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from harness.suite import literals
from harness.suite.asserts.text import Pattern
from harness.suite.prompts import Arguments
from harness.suite.settings import Written
from harness.suite.values import Portion, Text, Whole, list_of_one


class AgentCheck(Arguments):
    """A check that reads the tool calls of a turn, or of a whole conversation."""


Times = Annotated[Whole, Field(ge=0)]

_A_TOOL = "the name of a tool is wanted, a list of names, or {name | pattern, min, max}"


def _one_named(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


class Named(Written):
    """A tool, by its *name* or by a *pattern* (a regular expression) found in it."""

    short: ClassVar[Any] = Text
    name: Text | None = None
    pattern: Pattern | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.name is None) == (self.pattern is None):
            raise ValueError("either name or pattern is wanted, and one of them")
        return self

    @property
    def told(self) -> str:
        """What it is called in a reason."""
        return self.name or f"a tool like {self.pattern}"

    def fits(self, name: str | None) -> bool:
        """Whether a call of *name* is meant."""
        if name is None:
            return False
        return name == self.name if self.name is not None else re.search(self.pattern or "", name) is not None


class Used(Named):
    """A tool and how often it is called: without bounds at least once; with *max* alone, also not at all."""

    min: Times | None = None
    max: Times | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.max is not None and self.max < (self.min or 0):
            raise ValueError("min is more than max: no number of calls could pass")
        return self


def _tools(value: object) -> object:
    match value:
        case str() if value:
            return ({"name": value},)
        case list() if value and all(isinstance(each, str | dict) and each for each in value):
            return tuple(map(_one_named, value))
        case dict():
            return (value,)
        case _:
            raise ValueError(_A_TOOL)


class ToolUsed(AgentCheck):
    """Every tool of *value* was called, as often as it says."""

    example: ClassVar[str] = "{type: 'trajectory:tool-used', value: internal_search}"
    value: Annotated[tuple[Used, ...], BeforeValidator(_tools)]


Step = Annotated[Named, BeforeValidator(_one_named)]
Mode = Literal["exact", "in_order", "any_order", "at_least", "only"]


class Sequence(Written):
    """*steps* and how the calls are held against them.

    ``exact``: these calls, in this order, and no other. ``in_order``: these in this order, others between
    them. ``any_order``: these calls and no other, in any order. ``at_least``: these among others, in any
    order. ``only``: no call of another tool; not every one of them has to be called.
    """

    short: ClassVar[Any] = Annotated[tuple[Step, ...], Field(min_length=1)]
    mode: Mode = "in_order"
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]


def _sequence(value: object) -> object:
    return {"steps": value} if isinstance(value, list) else value


class ToolSequence(AgentCheck):
    """The calls are as the sequence *value* says; calls side by side have no order among themselves."""

    example: ClassVar[str] = "{type: 'trajectory:tool-sequence', value: [internal_search, open_url]}"
    value: Annotated[Sequence, BeforeValidator(_sequence)]


def _tolerance(value: object) -> object:
    """Absolute as a number, relative as ``1%``."""
    if isinstance(value, str):
        return (0.0, literals.share(value))
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError("a tolerance is a number, or a share such as 1%")
    return (float(value), 0.0)


_TOLERANCE = WithJsonSchema(
    {"title": "number or share", "type": ["number", "string"], "minimum": 0, "pattern": r"^[0-9.]+(%|pp)$"}
)
_PATH = re.compile(r"\w+(\.\w+|\[\d+\])*")


def _path(value: str) -> str:
    if not _PATH.fullmatch(value):
        raise ValueError("a path into the arguments is wanted, such as query or filters.tags[0]")
    return value


class Called(Named):
    """A call of a tool with arguments *args*.

    ``partial``: each argument that is named has its value, at any depth, and there may be others; a list has
    to have as many elements. ``exact``: there is no other. Numbers may differ by *tolerance*; what is at a
    path of *ignore* may be anything; *defaults* are what the tool takes for arguments that a call leaves out.
    """

    short: ClassVar[Any] = None
    args: dict[str, Any]
    mode: Literal["partial", "exact"] = "partial"
    tolerance: Annotated[tuple[float, float], BeforeValidator(_tolerance), _TOLERANCE] = (0.0, 0.0)
    ignore: tuple[Annotated[str, AfterValidator(_path)], ...] = ()
    defaults: dict[str, Any] | None = None


class ToolArgs(AgentCheck):
    """Some call of the tool has the arguments that *value* says."""

    example: ClassVar[str] = (
        "{type: 'trajectory:tool-args-match', value: {name: internal_search, args: {queries: [refunds]}}}"
    )
    value: Called


class Steps(Written):
    """How many steps: calls of tools (those that fit *pattern*), rounds of calls, or blocks of reasoning."""

    type: Literal["tool", "round", "reasoning"] = "tool"
    pattern: Pattern | None = None
    min: Times | None = None
    max: Times | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("a min is wanted, a max, or both")
        if self.max is not None and self.max < (self.min or 0):
            raise ValueError("min is more than max: no number of steps could pass")
        if self.pattern is not None and self.type != "tool":
            raise ValueError("a pattern is of the names of tools: take it out, or type: " + self.type)
        return self


class StepCount(AgentCheck):
    """There were as many steps as *value* says."""

    example: ClassVar[str] = "{type: 'trajectory:step-count', value: {max: 4}}"
    value: Steps


class ToolError(AgentCheck):
    """At most *max* calls failed: of every tool, or of those by *name* or *pattern*."""

    name: Text | None = None
    pattern: Pattern | None = None
    max: Times = 0


class ToolsObeyed(AgentCheck):
    """`allowed_tool_ids` and `forced_tool_id` took effect, as far as the audit can see."""


class ToolCallF1(AgentCheck):
    """The F1 of the tools called, against those of *value*, reaches *threshold*; how often does not count."""

    example: ClassVar[str] = "{type: tool-call-f1, value: [internal_search, open_url], threshold: 0.8}"
    value: Annotated[tuple[Text, ...], BeforeValidator(list_of_one)]
    threshold: Portion = 1.0


TYPES: Mapping[str, type[AgentCheck]] = {
    "trajectory:tool-used": ToolUsed,
    "trajectory:tool-sequence": ToolSequence,
    "trajectory:tool-args-match": ToolArgs,
    "trajectory:step-count": StepCount,
    "tool-error": ToolError,
    "tools-obeyed": ToolsObeyed,
    "tool-call-f1": ToolCallF1,
}
