"""What a phase of `load:` says: when conversations begin, and for how long. Durations are in nanoseconds."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from harness.suite.settings import Written
from harness.suite.values import AtLeastOne, Duration, Number, Rate, Span, Speed, Text, list_of_one


class Stage(Written):
    """One stretch of an open load."""

    rate: Rate
    """How many conversations begin, such as 2/s."""
    for_: Annotated[Duration, Field(alias="for")]
    """How long."""


class Trace(Written):
    """Arrivals of a file, one a row (`harness.suite.trace`): its path alone, or with these beside it."""

    short: ClassVar[Any] = Text
    path: Text
    """The file, beside the suite: `trials.parquet` of a run, or csv, JSON lines or Parquet with a column
    `due_s` or `due_ns` and, where wanted, `variant` and `prompt`.
    """
    from_: Annotated[Span, Field(alias="from")] = 0
    """How far into the file to begin, in its own time."""
    phase: Text | None = None
    """Of a run with several phases, take this one; all of them if not said."""
    ignore: Annotated[tuple[Literal["variant", "prompt"], ...], BeforeValidator(list_of_one)] = ()
    """What is not taken from the rows: `variant`, `prompt`, or both."""

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, written: Any) -> Any:
        return {"path": written} if isinstance(written, str) else written


class Phase(Written):
    """One entry of ``load:``: closed with `workers`, open with `rate`, `stages` or `trace`."""

    workers: AtLeastOne | None = None
    """A closed load: so many conversations at once, 8 where nothing is said; the next one begins when a
    worker is free. Their first starts are spread over a moment; `ramp` says over how long, `0s` for a wave.
    """
    rate: Rate | None = None
    """An open load: conversations begin at this rate, however many are under way."""
    stages: tuple[Stage, ...] | None = None
    """An open load of several rates, one after the other."""
    trace: Trace | None = None
    """An open load whose conversations begin when the rows of a file say: `trace: last-night.parquet`."""
    speed: Speed | None = None
    """How fast a trace is gone through: `2x` is twice as fast."""
    arrivals: Literal["constant", "poisson", "gamma"] = "constant"
    """How the arrivals of an open load are spaced. The whole schedule comes from `--seed`, worked out ahead;
    a late start moves no other.
    """
    cv: Annotated[Number, Field(gt=0)] | None = None
    """Of `gamma`, the coefficient of variation of the gaps: 2 is twice as uneven as poisson."""
    ramp: Span | None = None
    """How long the load takes to build up: the rate from nothing, the workers one after another."""
    warm_up: Span | None = None
    """How long it then goes on before anything is measured."""
    for_: Annotated[Duration | None, Field(alias="for")] = None
    """How long is measured: the prompts are gone through again and again, and whatever began is finished, not
    cut. Without it every trial is sent once.
    """
    cool_down: Span | None = None
    """How long the load then goes on for those that are still under way, unmeasured."""
    max_in_flight: AtLeastOne | None = None
    """How many conversations of an open load may be under way."""
    when_full: Literal["delay", "drop"] = "delay"
    """What becomes of an arrival that finds `max_in_flight` under way: sent late, or dropped and counted."""
    mix: dict[str, Annotated[Number, Field(ge=0)]] | None = None
    """The shares of the variants, of a phase with a time or a trace: `{base: 98, deep: 2}`. By how many
    prompts each has, if not said.
    """

    @property
    def is_open(self) -> bool:
        """Whether conversations begin when they are due, rather than when a worker is free."""
        return self.rate is not None or self.stages is not None or self.trace is not None

    @property
    def is_timed(self) -> bool:
        """Whether the phase lasts for a time, rather than until every trial was sent once."""
        return self.for_ is not None or self.stages is not None

    @property
    def asks_each_once(self) -> bool:
        """Whether every trial is sent once, by whoever is free: some of them can be asked by themselves."""
        return not (self.is_open or self.is_timed)

    @property
    def slots(self) -> int:
        """How many conversations a closed load has at once."""
        return self.workers or 8

    @property
    def settled_ns(self) -> int:
        """When the phase has come to its load, after its start: from then on it is measured."""
        return (self.ramp or 0) + (self.warm_up or 0)

    @property
    def measured_ns(self) -> int | None:
        """How long is measured; None where the phase lasts until every trial was sent."""
        if self.stages is not None:
            return sum(stage.for_ for stage in self.stages)
        return self.for_
