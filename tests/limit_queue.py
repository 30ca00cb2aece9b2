"""A server in virtual time: so many slots, first come first served, and every look of a probe of it.

What a probe would see of it each second is worked out from the schedule alone, so that a search of a minute's
probes takes a moment, and a hundred of them have a figure without the noise of a machine.
"""

import heapq
from collections.abc import Callable
from itertools import accumulate
from typing import NamedTuple

from harness.limit.deciding import Observed, Seen, ended, looked
from harness.limit.probing import WARM_UP, seed_of
from harness.limit.search import Ask, Word
from harness.limit.slo import Term
from harness.metrics.figures import SECOND
from harness.plan.schedule import arrivals
from harness.suite.phases import Phase


class Queue(NamedTuple):
    """*slots* replies at a time, each of which takes *service_s*, and says its first word after *ttft_s*."""

    slots: int = 8
    service_s: float = 0.2
    ttft_s: float = 0.1

    @property
    def capacity(self) -> float:
        """How many replies a second it can give."""
        return self.slots / self.service_s


class Reply(NamedTuple):
    """When a reply was due, when it said its first word, and when it ended, in s."""

    due_s: float
    first_s: float
    measured: bool


def replies(queue: Queue, load: Phase, seed: int) -> list[Reply]:
    """What comes of a load, if nobody stops it."""
    free = [0.0] * queue.slots
    found = []
    for arrival in arrivals(load, f"{seed}/limit/arrivals"):
        due_s = arrival.due_ns / SECOND
        begins_s = max(due_s, heapq.heappop(free))
        heapq.heappush(free, begins_s + queue.service_s)
        found.append(Reply(due_s, begins_s + queue.ttft_s, arrival.window == "measured"))
    return found


def seen_by(all_of_them: list[Reply], now_s: float, term: Term, load: Phase) -> Seen:
    """What a probe has seen by *now_s*."""
    bound_s = (term.bound or 0.0) / 1000
    begun = [each for each in all_of_them if each.measured and each.due_s <= now_s]
    observed, waiting = [], 0
    for each in begun:
        if each.first_s <= now_s:
            observed.append(Observed(each.due_s, (each.first_s - each.due_s) * 1000))
        elif now_s - each.due_s > bound_s:
            observed.append(Observed(each.due_s, (now_s - each.due_s) * 1000, more=True))
        else:
            waiting += 1
    settled_s, longest_s = load.settled_ns / SECOND, (load.for_ or 0) / SECOND
    planned = sum(each.measured for each in all_of_them)
    return Seen(observed, waiting, planned, max(0.0, now_s - settled_s), longest_s)


def probed(queue: Queue, load: Phase, seed: int, term: Term) -> tuple[str, float]:
    """What a probe says, and after how many seconds."""
    all_of_them = replies(queue, load, seed)
    longest_s = (load.settled_ns + (load.for_ or 0)) / SECOND
    for now_s in accumulate([1.0] * int(longest_s)):
        finding = looked(term, seen_by(all_of_them, now_s, term, load))
        if finding.word != "open":
            return finding.word, now_s
    over_s = max(each.first_s for each in all_of_them)
    return ended(term, seen_by(all_of_them, over_s, term, load)).word, over_s


def asking(
    queue: Queue, term: Term, *, longest_s: float, seed: int, spent: Callable[[float], None], arrive: str
) -> Ask:
    """Probes of *queue* for a search; *spent* is told how long each takes."""
    number = 0

    def ask(rate: float, longer: bool, why: str) -> Word:
        nonlocal number
        del why
        number += 1
        lasts = round(longest_s * SECOND) * (2 if longer else 1)
        written = {"rate": f"{rate:f}/s", "arrivals": arrive, "for": f"{lasts}ns"}
        load = Phase.model_validate({**written, "warm_up": f"{round(lasts * WARM_UP)}ns"})
        word, took_s = probed(queue, load, seed_of(seed, number), term)
        spent(took_s)
        assert word in {"holds", "past"}
        return "holds" if word == "holds" else "past"

    return ask
