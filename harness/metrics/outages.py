"""When the target was away: exchanges in succession that all broke, with nothing answered in between.

A sign of life is any stretch in which a reply came: from its head to its end, or to the last that is known of
one that broke; a head of 5xx is none, since a gateway gives that for a server that is gone. An exchange
*broke* for that where it could not connect, was cut off, timed out or got a 5xx. What was never sent says
nothing.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from msgspec import Struct

from harness.result import Fault

LEAST = 5
"""Of fewer exchanges in succession nothing is said."""

_CHANCE = 0.01
"""Nor of so many as chance brings where exchanges break all the time: they have to be rarer than this."""

_GONE = frozenset({Fault.CONNECT, Fault.DISCONNECTED, Fault.TIMED_OUT, Fault.TRUNCATED})
_SERVER_ERROR = 500


class Sent(NamedTuple):
    """What one exchange shows: when the target *answered* it, from when to when, and when and how it *broke*.

    *is_lost*: its trial ended in an error.
    """

    trial_id: str
    began_ns: int
    ended_ns: int
    answered: tuple[int, int] | None
    fault: str | None
    is_lost: bool


class Outage(Struct, frozen=True, kw_only=True):
    """A stretch in which nothing was answered, and *exchanges* of its exchanges broke, by *faults*.

    From the last sign of life before (or, where nothing of it was asked by then, from the first that was
    sent) to the last that broke; *from_s* and *to_s* count from when the first trial began. *trials* of them
    ended in an error; the others were sent again. *is_over*: something was answered after it.
    """

    began_ns: int
    ended_ns: int
    from_s: float
    to_s: float
    exchanges: int
    trials: int
    faults: dict[str, int]
    is_over: bool

    @property
    def says(self) -> str:
        """The outage in a sentence."""
        faults = ", ".join(f"{fault} {count}" for fault, count in self.faults.items())
        lost = f"{self.trials} trials ended in an error" if self.trials else "all were sent again"
        after = "" if self.is_over else "; nothing was answered after it"
        return (
            f"outage: the target was away for {self.to_s - self.from_s:.1f} s, from {self.from_s:.1f} s to "
            f"{self.to_s:.1f} s after the first trial began: {self.exchanges} exchanges in succession broke "
            f"({faults}), {lost}{after}"
        )


def broke(fault: str | None, http_status: int | None) -> bool:
    """Whether an exchange with this fault may have met a target that was away."""
    return fault in _GONE or (fault == Fault.HTTP and (http_status or 0) >= _SERVER_ERROR)


COLUMNS = (
    *("trial_id", "fault", "http_status"),
    *("began_ns", "headers_ns", "first_packet_ns", "last_answer_ns", "ended_ns"),
)
"""What of an exchange tells whether the target was there."""


def sent_of(rows: Iterable[tuple[Any, ...]], lost: Container[str]) -> Iterator[Sent]:
    """What exchanges show, of which *rows* have these columns; trials that are *lost* ended in an error."""
    for trial, fault, status, began, headers, *of_body, ended in rows:
        if ended is None:
            continue
        answered = None
        if headers is not None and (status or 0) < _SERVER_ERROR:
            answered = (headers, ended if fault is None else max(filter(None, (headers, *of_body))))
        yield Sent(trial, began, ended, answered, fault if broke(fault, status) else None, trial in lost)


def outages(sent: Iterable[Sent]) -> list[Outage]:
    """The outages that the exchanges of a run show, in the order of time."""
    every = list(sent)
    broken = sorted((one for one in every if one.fault is not None), key=attrgetter("ended_ns"))
    alive = _alive(every)
    found = []
    for before, group in _in_succession(broken, alive):
        others = len(every) - len(group)
        share = (len(broken) - len(group)) / others if others else 0.0
        if len(group) >= LEAST and len(every) * share ** len(group) < _CHANCE:
            zero = min(one.began_ns for one in every)
            found.append(_outage(group, alive, before, zero=zero))
    return found


def _alive(sent: Iterable[Sent]) -> list[tuple[int, int]]:
    """The stretches in which something was answered, apart from each other."""
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(one.answered for one in sent if one.answered is not None):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def _in_succession(
    broken: Iterable[Sent], alive: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, list[Sent]]]:
    """What broke between two signs of life, with how many stretches of life came before it."""
    starts = [begin for begin, _ in alive]
    groups: dict[int, list[Sent]] = {}
    for one in broken:
        before = bisect_right(starts, one.ended_ns)
        if not before or alive[before - 1][1] < one.ended_ns:
            groups.setdefault(before, []).append(one)
    yield from groups.items()


def _outage(group: Sequence[Sent], alive: Sequence[tuple[int, int]], before: int, *, zero: int) -> Outage:
    first = min(one.began_ns for one in group)
    began = max(first, alive[before - 1][1]) if before else first
    ended = group[-1].ended_ns
    return Outage(
        began_ns=began,
        ended_ns=ended,
        from_s=(began - zero) / 1e9,
        to_s=(ended - zero) / 1e9,
        exchanges=len(group),
        trials=len({one.trial_id for one in group if one.is_lost}),
        faults=dict(Counter(str(one.fault) for one in group).most_common()),
        is_over=before < len(alive),
    )
