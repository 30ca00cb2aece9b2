"""What is said between the process that leads a run and those that send its trials.

Pickled, since both are of one version and one run: nobody else is listened to (`harness.crew.wire`).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import HarnessError
from harness.journal import Leg
from harness.plan.trials import Plan, Trial
from harness.report.tally import Believed, Came
from harness.result import Skip
from harness.sigma.client import Address
from harness.suite.phases import Phase


@dataclass(frozen=True, slots=True)
class Hello:
    """What a process has to know before anything else.

    *plan* is without the trials, which come with their phase. It writes *journal*, its own, and its stamps
    there are moved by *ahead_ns*, by which the clock of the run is ahead of its own. *results* is where a
    calibration may be; None where nobody looks on, and nothing is worked out for them.
    """

    number: int
    plan: Plan
    address: Address
    journal: Path
    leg: Leg | None
    fail_fast: bool
    results: Path | None
    ahead_ns: int = 0


@dataclass(frozen=True, slots=True)
class Go:
    """A share of a phase, to be got ready for: the *index*-th *of* so many.

    *trials* are all of it; None takes every *of*-th of a phase that lasts for a time, but for those that are
    *done*. *deep_research* is how many such runs it may send, None any number. Who *probes* asks the target
    and a source of our own each second how long a cheap request takes.
    """

    phase: str
    load: Phase
    index: int
    of: int
    trials: tuple[Trial, ...] | None
    done: frozenset[str] = frozenset()
    deep_research: int | None = None
    probes: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """The share of this *index* begins, in a phase that began at *start_ns* on the clock of the run."""

    index: int
    start_ns: int


@dataclass(frozen=True, slots=True)
class Source:
    """Our own source is up, at this *address*: it can be asked how long a cheap request takes."""

    address: Address


@dataclass(frozen=True, slots=True)
class Halt:
    """No further trial is to be sent; with *cut* those under way end where they stand."""

    why: Skip
    cut: bool


@dataclass(frozen=True, slots=True)
class End:
    """That was all."""


@dataclass(frozen=True, slots=True)
class Set:
    """The share of this *index* is ready."""

    index: int


@dataclass(frozen=True, slots=True)
class Beat:
    """What a process came to.

    *came* is what came since the last beat, by its own clock, and *met* the sessions of each trial. The
    rest is as it stands now: *going* are the trials under way by phase and variant, *stopped* why it sends no
    more, *spent_deep* how many deep-research runs it sent, *believed* what it is worth by itself.
    """

    came: Came
    met: tuple[tuple[str, tuple[str, ...]], ...] = ()
    going: Mapping[tuple[str, str], int] = field(default_factory=Counter)
    fell_due: int = 0
    began: int = 0
    dropped: int = 0
    in_flight_ns: int = 0
    spent_deep: int = 0
    clock_steps: int = 0
    stopped: Skip | None = None
    said: str = ""
    believed: Believed | None = None


@dataclass(frozen=True, slots=True)
class Over:
    """Every trial of the share of this *index* has a result."""

    index: int


@dataclass(frozen=True, slots=True)
class Broke:
    """An error that ends the run: ours, with its message, or the *trace* of a bug."""

    error: HarnessError | None
    trace: str = ""


ToProcess = Hello | Go | Start | Source | Halt | End
FromProcess = Set | Beat | Over | Broke
