"""Checks of how the reply came: whole or broken, how fast, how much. Durations are in nanoseconds."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from harness.errors import did_you_mean
from harness.suite.prompts import Arguments
from harness.suite.values import Count, Duration, Number, Texts, list_of_one


class StreamCheck(Arguments):
    """A check that reads how a reply ended, when its packets came, or how much there was."""


class TimeCheck(StreamCheck):
    """A check that claims something about time: it holds only where the measuring can be believed."""


class ExpectsFailure(StreamCheck):
    """A check by which a suite may say that a turn is to fail: then its failure is graded like an answer."""

    @property
    def expects_failure(self) -> bool:
        """Whether the check, without a `not-`, wants the turn to fail."""
        return True


class StreamComplete(StreamCheck):
    """The reply ended by its stop packet, without an error, with an answer."""


OUTCOMES = ("success", "empty", "error", "cancelled", "truncated")
FAULTS = ("connect", "timed_out", "disconnected", "protocol", "http", "error_line")


def _outcome(value: str) -> str:
    known = (*OUTCOMES, *FAULTS)
    if value not in known:
        close = did_you_mean(value, known)
        raise ValueError(f"{value} is no outcome{close or ';'} allowed here: {', '.join(known)}")
    return value


class Outcome(ExpectsFailure):
    """What the reply came to is one of *value*: an outcome, or the fault by which it broke.

    ``error`` is what Sigma itself says, in the stream or by its HTTP status; a network that failed is none,
    unless its fault is named.
    """

    example: ClassVar[str] = "{type: outcome, value: error}"
    value: Annotated[
        tuple[Annotated[str, AfterValidator(_outcome)], ...],
        BeforeValidator(list_of_one),
        Field(min_length=1),
    ]

    @property
    def expects_failure(self) -> bool:
        """Unless an answer, or an empty one, would do as well."""
        return "success" not in self.value


class ErrorCode(ExpectsFailure):
    """Sigma failed with one of the codes *value*: its own, such as ``NOT_FOUND``, or the HTTP status."""

    example: ClassVar[str] = "{type: error-code, value: NOT_FOUND}"
    value: Annotated[Texts, Field(min_length=1)]


class Ttft(TimeCheck):
    """The first packet of answer text, of any block, came within *threshold* of the turn being sent."""

    example: ClassVar[str] = "{type: ttft, threshold: 4s}"
    threshold: Duration


class Latency(TimeCheck):
    """The reply was complete within *threshold* of the turn being sent."""

    example: ClassVar[str] = "{type: latency, threshold: 20s}"
    threshold: Duration


Milestones = Literal[
    "first_packet",
    "first_reasoning",
    "first_tool",
    "first_search_doc",
    "first_answer_token",
    "first_dr_plan",
    "first_research_agent",
    "answer",
]


class Milestone(TimeCheck):
    """The first packet of its kind came within *threshold* of the turn being sent.

    ``first_answer_token`` is of any block of text, ``answer`` of the final one. ``first_dr_plan`` and
    ``first_research_agent`` are of a deep research.
    """

    example: ClassVar[str] = "{type: milestone, name: first_search_doc, threshold: 2s}"
    name: Milestones
    threshold: Duration


class Stall(TimeCheck):
    """No two packets of the final answer were further apart than *threshold*."""

    example: ClassVar[str] = "{type: stall, threshold: 1s}"
    threshold: Duration


class TokensPerSecond(TimeCheck):
    """The answer came at *min* to *max* tokens a second, by the o200k estimate of its tokens."""

    example: ClassVar[str] = "{type: tokens-per-second, min: 20}"
    min: Annotated[Number | None, Field(ge=0)] = None
    max: Annotated[Number | None, Field(ge=0)] = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        return _bounded(self, self.min, self.max)


class Tokens(StreamCheck):
    """The answer, the reasoning, or all, has *min* to *max* tokens by the o200k estimate."""

    example: ClassVar[str] = "{type: tokens, max: 500}"
    min: Count | None = None
    max: Count | None = None
    of: Literal["answer", "reasoning", "all"] = "answer"

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        return _bounded(self, self.min, self.max)


C = TypeVar("C")


def _bounded(check: C, least: float | None, most: float | None) -> C:
    if least is None and most is None:
        raise ValueError("a min is wanted, a max, or both")
    if most is not None and most < (least or 0):
        raise ValueError("min is more than max: nothing could pass")
    return check


class Cost(StreamCheck):
    """What can be seen of the turn costs at most *threshold* USD by `prices`: message, reasoning and answer.

    A server's prompt, the documents and what went before are not on the wire: it is a lower bound.
    """

    example: ClassVar[str] = "{type: cost, threshold: 0.002}"
    threshold: Annotated[Number, Field(ge=0)]


TYPES: Mapping[str, type[StreamCheck]] = {
    "outcome": Outcome,
    "error-code": ErrorCode,
    "stream-complete": StreamComplete,
    "ttft": Ttft,
    "latency": Latency,
    "milestone": Milestone,
    "stall": Stall,
    "tokens-per-second": TokensPerSecond,
    "tokens": Tokens,
    "cost": Cost,
}
