"""How far the clock of another machine is from ours, by asking it what time it is.

Every stamp is of CLOCK_MONOTONIC, which on each machine counts from its own start. Who is asked answers at
some moment between our asking and the answer's coming; when within that nobody can know, since the way there
and the way back may differ. Taken is the middle, and what it may be off by is half of the round trip
(Cristian, "Probabilistic clock synchronization", Distributed Computing 3, 1989). Of many round trips the
shortest says most, and is the only one that counts (a minimum filter): the others waited in a queue, ours,
theirs or the network's.

Two clocks do not go at the same rate, either. They are held against each other before the start and after the
end, and how far they moved in between is told. Stamps are moved by what was read before the start.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from msgspec import structs

from harness.record.nodes import NodeClock


@dataclass(frozen=True, slots=True)
class Ping:
    """Asked at *sent_ns* and answered at *came_ns* on our clock; between the two theirs said *theirs_ns*."""

    sent_ns: int
    theirs_ns: int
    came_ns: int

    @property
    def round_trip_ns(self) -> int:
        """From asking to the answer, in nanoseconds."""
        return self.came_ns - self.sent_ns


@dataclass(frozen=True, slots=True)
class Reading:
    """Ours against their clock, once, at *at_ns* on ours: it is ahead by *ahead_ns*, within *residual_ns*.

    That is a bound and no standard error: nobody sets CLOCK_MONOTONIC, so the truth is within it.
    *round_trips* were tried, the shortest of *shortest_ns*, half of them within *median_ns*.
    """

    at_ns: int
    ahead_ns: int
    residual_ns: int
    round_trips: int
    shortest_ns: int
    median_ns: int


def read_clock(pings: Sequence[Ping]) -> Reading:
    """What *pings* say together: that with the shortest round trip counts. Raises `ValueError` for none."""
    best = min(pings, key=lambda ping: ping.round_trip_ns)
    middle = best.sent_ns + best.round_trip_ns // 2
    return Reading(
        at_ns=middle,
        ahead_ns=middle - best.theirs_ns,
        residual_ns=best.round_trip_ns - best.round_trip_ns // 2,  # the longer half, where it is odd
        round_trips=len(pings),
        shortest_ns=best.round_trip_ns,
        median_ns=round(median(ping.round_trip_ns for ping in pings)),
    )


def compared(node: NodeClock, first: Reading, last: Reading | None) -> NodeClock:
    """What is told of a *node* that was read at the start (*first*) and at the end (*last*) of a run.

    One that was lost has no last reading: how far its clock had moved is not known, and neither is how far
    its stamps are off at the end.
    """
    told = structs.replace(
        node,
        ahead_ns=first.ahead_ns,
        residual_ns=first.residual_ns,
        round_trips=first.round_trips,
        shortest_ns=first.shortest_ns,
        median_ns=first.median_ns,
    )
    if last is None:
        return told
    moved = last.ahead_ns - first.ahead_ns
    return structs.replace(
        told,
        last_residual_ns=last.residual_ns,
        moved_ns=moved,
        drift_ppm=_ppm(moved, first, last),
        within_ns=_within(moved, first, last),
    )


def _ppm(moved_ns: int, first: Reading, last: Reading) -> float | None:
    """How much faster our clock goes than theirs, in parts per million; None where that is not to be seen.

    Between two readings that lie within their residuals, the clocks may as well have gone alike.
    """
    apart = last.at_ns - first.at_ns
    if apart <= 0 or abs(moved_ns) <= first.residual_ns + last.residual_ns:
        return None
    return moved_ns / apart * 1e6


def _within(moved_ns: int, first: Reading, last: Reading) -> int:
    """How far off a stamp may be that was moved by the first reading, wherever in the run it was taken.

    The true difference is within the residual at both ends. In between, a clock whose rate is steady is
    nowhere further off than at one of them.
    """
    return max(first.residual_ns, abs(moved_ns) + last.residual_ns)
