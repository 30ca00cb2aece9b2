"""Checks of how the reply came: whole or broken, and how fast. Durations are in nanoseconds."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, Field

from harness.suite import literals
from harness.suite.model import Arguments


class StreamCheck(Arguments):
    """A check that reads how a reply ended, or when its packets came."""


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


Limit = Annotated[int, BeforeValidator(literals.duration), Field(gt=0)]


class Ttft(TimeCheck):
    """The first packet of answer text, of any block, came within *threshold* of the turn being sent."""

    threshold: Limit


TYPES: Mapping[str, type[StreamCheck]] = {"stream-complete": StreamComplete, "ttft": Ttft}
