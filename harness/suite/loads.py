"""What the keys of a phase of `load:` say together: what belongs to an open load, what to one for a time.

And what is in the file of a trace: it is read with the suite, so that nothing is sent before it is right.
"""

from collections.abc import Collection, Iterator, Mapping
from itertools import islice

from harness.errors import did_you_mean
from harness.suite import trace
from harness.suite.dataset import DatasetError
from harness.suite.model import Suite
from harness.suite.phases import Phase
from harness.suite.places import Finding, Tell, name_of
from harness.suite.prompts import Variant
from harness.suite.resolve import Case, runs_on

OF_OPEN = ("arrivals", "cv", "max_in_flight", "when_full")
_OF_TIMED = ("mix", "cool_down")
"""The first of them a trace may have as well."""
NOT_OF_TRACES = {
    "rate": "a trace says when conversations begin: take rate out, or the trace",
    "stages": "a trace says when conversations begin: take the stages out, or the trace",
    "arrivals": "a trace says itself how its arrivals are spaced: take this out",
    "ramp": "a trace builds up as it does: take this out; warm_up says how much of it is not measured",
}

Asked = Mapping[str, Case]
"""The cases of a suite by their ids."""


def check(suite: Suite, tell: Tell) -> None:
    """Tell of each key that has no meaning beside the others of its phase."""
    for name, phase in suite.load.items():
        for key, message in (*_of_another_kind(phase), *_lacking(phase)):
            tell(Finding(("load", name, key), message, at_key=True))


def check_traces(suite: Suite, tell: Tell, variants: Mapping[str, Variant], cases: Asked | None) -> None:
    """Tell what is wrong with the files of traces, once for each; *cases* is None where not all are known."""
    for name, phase in suite.load.items():
        if phase.trace is None:
            continue
        try:
            rows = trace.rows(phase.trace, suite.path.parent)
        except DatasetError as error:
            tell(Finding(("load", name, "trace"), str(error)))
            continue
        wrong = next(_unmeasured(phase, rows), None)
        if wrong is None and cases is not None:
            wrong = next(_unknown(rows, variants, cases), None)
        if wrong is not None:
            tell(Finding(("load", name, "trace"), f"{phase.trace.path}: {wrong}"))


def warnings(suite: Suite) -> Iterator[str]:
    """What a person should know of a trace that is the latest run, whichever that is."""
    for name, phase in suite.load.items():
        if phase.trace is not None and "latest" in phase.trace.path.split("/"):
            yield (
                f"{name_of(('load', name, 'trace'))}: the latest run is another one soon, and then this one "
                "can neither be resumed nor graded again: name the run, or copy the file beside the suite"
            )


def _unmeasured(phase: Phase, rows: tuple[trace.Row, ...]) -> Iterator[str]:
    speed = phase.speed or 1.0
    begins = phase.warm_up or 0
    ends = None if phase.for_ is None else begins + phase.for_
    due = (row.at_ns / speed for row in rows)
    if not any(begins <= at and (ends is None or at < ends) for at in due):
        lasts = rows[-1].at_ns / speed / 1e9
        yield f"nothing of it is due while the phase is measured: its last arrival is after {lasts:,.3f} s"


def _unknown(rows: tuple[trace.Row, ...], variants: Mapping[str, Variant], cases: Asked) -> Iterator[str]:
    """What rows name that the suite does not have, or does not ask."""
    first = {(row.variant, row.case_id): row for row in reversed(rows)}
    for (variant, case_id), row in sorted(first.items(), key=lambda each: each[1].number):
        if variant is not None and variant not in variants:
            yield _none_such(row.number, "variant", variant, variants)
        elif case_id is not None and case_id not in cases:
            yield _none_such(row.number, "prompt", case_id, cases)
        elif case_id is not None:
            asks = variants if variant is None else {variant: variants[variant]}
            if not any(runs_on(each, cases[case_id]) for each in asks.values()):
                of = f"variant {variant} does not" if variant else "no variant does"
                yield f"row {row.number} asks prompt {case_id}, and {of} run on it (only:)"
        elif variant is not None and not any(runs_on(variants[variant], each) for each in cases.values()):
            yield f"row {row.number} is of variant {variant}, which runs on no prompt (only:)"


def _none_such(number: int, kind: str, name: str, known: Collection[str]) -> str:
    there = ", ".join(islice(known, 8)) + (" ..." if len(known) > 8 else "")
    near = did_you_mean(name, known) or ";"
    return (
        f'row {number}: "{name}" is no {kind} of this suite{near} it has {there}; with '
        f"{{path: ..., ignore: {kind}}} the rest is taken without it"
    )


def _of_another_kind(phase: Phase) -> Iterator[tuple[str, str]]:
    """What belongs to another kind of load."""
    written = phase.model_fields_set
    yield from _beside_trace(phase)
    if phase.rate is not None and phase.stages is not None:
        yield "stages", "stages have rates of their own: take rate out, or the stages"
    if phase.stages is not None and phase.for_ is not None:
        yield "for", "each of the stages says how long it lasts: take this out"
    if phase.is_open and phase.workers is not None:
        limit = "max_in_flight limits how many are under way"
        yield "workers", f"an open load has none: conversations begin when they are due; {limit}"
    for key in () if phase.is_open else OF_OPEN:
        if key in written:
            yield key, "this is for an open load: say rate: 2/s, too"
    for key in () if phase.is_timed else _OF_TIMED[phase.trace is not None :]:
        if key in written:
            yield key, "this is for a phase that lasts for a time: say for: 5m, too"


def _beside_trace(phase: Phase) -> Iterator[tuple[str, str]]:
    written = phase.model_fields_set if phase.trace is not None else set()
    return ((key, told) for key, told in NOT_OF_TRACES.items() if key in written)


def _lacking(phase: Phase) -> Iterator[tuple[str, str]]:
    """What says nothing without something else."""
    if phase.arrivals == "gamma" and phase.cv is None:
        yield "arrivals", "say how uneven: cv: 2 is twice as uneven as poisson, cv: 0.5 half as uneven"
    elif phase.cv is not None and phase.arrivals != "gamma":
        yield "cv", "this is for arrivals: gamma; constant ones have 0, poisson ones 1"
    if phase.is_open and phase.when_full == "drop" and phase.max_in_flight is None:
        yield "when_full", "nothing is dropped without a limit: say max_in_flight: 64, too"
    if phase.speed is not None and phase.trace is None:
        yield "speed", "this is for a trace: say trace: FILE, too; any other load says its rate"
    if phase.stages == ():
        yield "stages", "this is empty: nothing would be asked"
    if phase.mix is not None and not sum(phase.mix.values()):
        yield "mix", "one variant at least needs a share of more than 0"
