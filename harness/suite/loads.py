"""What the keys of a phase of `load:` say together: what belongs to an open load, what to one for a time."""

from collections.abc import Iterator

from harness.suite.model import Phase, Suite
from harness.suite.places import Finding, Tell

_OF_OPEN = ("arrivals", "cv", "max_in_flight", "when_full")
_OF_TIMED = ("mix", "cool_down")


def check(suite: Suite, tell: Tell) -> None:
    """Tell of each key that has no meaning beside the others of its phase."""
    for name, phase in suite.load.items():
        for key, message in (*_of_another_kind(phase), *_lacking(phase)):
            tell(Finding(("load", name, key), message, at_key=True))


def _of_another_kind(phase: Phase) -> Iterator[tuple[str, str]]:
    """What belongs to another kind of load."""
    written = phase.model_fields_set
    if phase.rate is not None and phase.stages is not None:
        yield "stages", "stages have rates of their own: take rate out, or the stages"
    if phase.stages is not None and phase.for_ is not None:
        yield "for", "each of the stages says how long it lasts: take this out"
    if phase.is_open and phase.workers is not None:
        limit = "max_in_flight limits how many are under way"
        yield "workers", f"an open load has none: conversations begin when they are due; {limit}"
    for key in () if phase.is_open else _OF_OPEN:
        if key in written:
            yield key, "this is for an open load: say rate: 2/s, too"
    for key in () if phase.is_timed else _OF_TIMED:
        if key in written:
            yield key, "this is for a phase that lasts for a time: say for: 5m, too"


def _lacking(phase: Phase) -> Iterator[tuple[str, str]]:
    """What says nothing without something else."""
    if phase.arrivals == "gamma" and phase.cv is None:
        yield "arrivals", "say how uneven: cv: 2 is twice as uneven as poisson, cv: 0.5 half as uneven"
    elif phase.cv is not None and phase.arrivals != "gamma":
        yield "cv", "this is for arrivals: gamma; constant ones have 0, poisson ones 1"
    if phase.is_open and phase.when_full == "drop" and phase.max_in_flight is None:
        yield "when_full", "nothing is dropped without a limit: say max_in_flight: 64, too"
    if phase.stages == ():
        yield "stages", "this is empty: nothing would be asked"
    if phase.mix is not None and not sum(phase.mix.values()):
        yield "mix", "one variant at least needs a share of more than 0"
