"""When each trial of an open load is due: absolute, worked out ahead, from one seed.

A load is an intensity over time (a ramp, then stretches of constant rate) and a way of spacing. Arrivals
are drawn in operational time, where one falls due per unit on average, and moved to the clock by the inverse
of the cumulated intensity (Çinlar 1975). So a ramp of a Poisson load is a Poisson process, and a ramp of
evenly spaced arrivals stays as even as a ramp can be.

A trace brings its own times (`harness.suite.trace`), and they are kept as they are.

Nothing here looks at a clock, and how many processes send the load changes nothing: process *p* of *n* takes
every *n*-th arrival of this one schedule. (Peers draw the gaps per worker: with ten workers the same
seeded gaps ten times over, or a rate that drifts with every late start.)
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, count, repeat
from math import sqrt
from random import Random
from typing import Literal, NamedTuple

from harness.suite.phases import Phase

SECOND = 1_000_000_000

Window = Literal["warm_up", "measured", "cool_down"]


class Arrival(NamedTuple):
    """A moment at which a trial falls due, in ns after the start of its phase, and whether it is measured."""

    due_ns: int
    window: Window


class Stretch(NamedTuple):
    """*seconds* in which the rate goes evenly from *begins* to *ends*, per second."""

    seconds: float
    begins: float
    ends: float

    @property
    def expected(self) -> float:
        """How many arrivals fall due in it on average."""
        return (self.begins + self.ends) / 2 * self.seconds

    def when(self, expected: float) -> float:
        """Seconds after its begin at which so many arrivals are expected."""
        slope = (self.ends - self.begins) / self.seconds
        # The root of begins*t + slope*t²/2 in the form that loses no digits where the slope is small.
        root = self.begins + sqrt(max(0.0, self.begins**2 + 2 * slope * expected))
        return 2 * expected / root if root else 0.0


def arrivals(load: Phase, seed: int | str) -> Iterator[Arrival]:
    """The arrivals of an open phase, in order: without end unless the phase says for how long."""
    for seconds in _on_the_clock(_spaced(load, Random(seed)), stretches(load)):  # noqa: S311  a load, no secret
        due_ns = round(seconds * SECOND)
        yield Arrival(due_ns, window(load, due_ns))


def replayed(load: Phase, times_ns: Iterable[int]) -> Iterator[Arrival]:
    """The arrivals of a phase that replays a trace with these *times_ns*, in order, up to the phase's end.

    To the nanosecond as they were; with a *speed* each to the nearest, so that no error adds up.
    """
    ends = ends_ns(load)
    for at_ns in times_ns:
        due_ns = at_ns if load.speed is None else round(at_ns / load.speed)
        if ends is not None and due_ns >= ends:
            return
        yield Arrival(due_ns, window(load, due_ns))


def peak(due_ns: Sequence[int]) -> int:
    """How many of these moments, in order, lie in the second that has most of them."""
    return max(
        (number + 1 - bisect_left(due_ns, at - SECOND + 1) for number, at in enumerate(due_ns)), default=0
    )


def window(load: Phase, after_ns: int) -> Window:
    """Whether what begins so long after the start of the phase is measured."""
    if after_ns < load.settled_ns:
        return "warm_up"
    if load.measured_ns is not None and after_ns >= load.settled_ns + load.measured_ns:
        return "cool_down"
    return "measured"


def ends_ns(load: Phase) -> int | None:
    """When nothing falls due any more, after the start of the phase; None for one without end."""
    return None if load.measured_ns is None else load.settled_ns + load.measured_ns + (load.cool_down or 0)


def stretches(load: Phase) -> Iterator[Stretch]:
    """The intensity of an open phase over time, without the parts that take none."""
    rates = [(stage.rate, float(stage.for_)) for stage in load.stages or ()]
    rates = rates or [(load.rate or 0.0, float("inf") if load.for_ is None else float(load.for_))]
    first, last = rates[0][0], rates[-1][0]
    parts: list[tuple[float, float, float]] = [
        (load.ramp or 0, 0.0, first),
        (load.warm_up or 0, first, first),
    ]
    parts += [(lasts, rate, rate) for rate, lasts in rates]
    parts += [(load.cool_down or 0, last, last)]
    return (Stretch(lasts / SECOND, begins, ends) for lasts, begins, ends in parts if lasts)


def _spaced(load: Phase, random: Random) -> Iterator[float]:
    """Arrivals in operational time: one per unit on average, without end."""
    match load.arrivals:
        case "constant":
            return map(float, count())
        case "poisson":
            return accumulate(random.expovariate(1.0) for _ in repeat(None))
        case "gamma":
            shape = 1 / (load.cv or 1.0) ** 2
            return accumulate(random.gammavariate(shape, 1 / shape) for _ in repeat(None))


def _on_the_clock(operational: Iterator[float], parts: Iterator[Stretch]) -> Iterator[float]:
    began, passed = 0.0, 0.0
    part = next(parts)
    for moment in operational:
        # An open end expects infinitely many; its product with a rate is never NaN, since no rate is 0 there.
        while moment - passed >= part.expected:
            began, passed = began + part.seconds, passed + part.expected
            following = next(parts, None)
            if following is None:
                return
            part = following
        yield began + part.when(moment - passed)
