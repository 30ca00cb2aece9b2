"""Which load to calibrate with: a suite's own shape as far as it is known, and steps up to where it ends."""

from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice, pairwise
from math import sqrt
from pathlib import Path
from statistics import fmean, median

from msgspec.structs import replace

from harness import journal
from harness.calibrate.probe import Measurement, Shape, measure
from harness.journal import JOURNAL
from harness.metrics.figures import service_ns
from harness.plan.schedule import peak, replayed
from harness.result import Exchange
from harness.suite.model import Suite
from harness.suite.phases import Phase
from harness.suite.trace import rows

USUAL = Shape(streams=100)
STEPS = (500, 1000, 2000)
"""Streams that are tried, above those of the suite, for the ceiling."""

_LONGEST_TTFT_MS = 1000.0
_LONGEST_S = 3.4
"""As long as it takes for all streams to be going for a second (`Shape.rounds`)."""

_FEWEST = 10
_CLOSE = 1.5
"""Two loads, the one held and the other not, that are no further apart than this are near enough."""

_LOOKED_AT = 300
_MS = 1e6


def shape_of(suite: Suite, results: Path) -> tuple[Shape, str]:
    """The shape of *suite*'s heaviest phase, and where that was taken from.

    Its replies are as those of the suite's latest run were, if there is one, else of the usual kind; they are
    cut short where they take more than a few seconds, which leaves as many packets a second.
    """
    latest = results / suite.name / "latest"
    replies = _replies(latest) if (latest / JOURNAL).exists() else []
    reply = _mean(replies) if replies else USUAL
    took_s = (reply.ttft_ms / 1000) + reply.packets / reply.packets_per_s
    streams = max(_streams(load, took_s, suite.path.parent) for load in suite.load.values())
    shape = cut_short(replace(reply, streams=streams))
    said = f"{streams} streams as in {suite.name}, "
    if not replies:
        return shape, said + "which has no run yet: usual replies"
    said += f"replies as in its latest run (n = {len(replies)})"
    return shape, said if shape.reply_s == reply.reply_s else f"{said}, cut short to {shape.reply_s:.1f} s"


def cut_short(shape: Shape) -> Shape:
    """*shape* with replies that take a few seconds at most, at the rate that they have."""
    ttft_ms = min(shape.ttft_ms, _LONGEST_TTFT_MS)
    packets = max(1, int((_LONGEST_S - ttft_ms / 1000) * shape.packets_per_s))
    return replace(shape, ttft_ms=ttft_ms, packets=min(shape.packets, packets))


def _streams(load: Phase, took_s: float, folder: Path) -> int:
    """How many are in flight at most: the rate times how long each takes (Little), and room for chance."""
    if not load.is_open:
        return load.slots
    rate = max([load.rate or 0.0, *(stage.rate for stage in load.stages or ())])
    if load.trace is not None:  # which was read with the suite, and found right
        times = (row.at_ns for row in rows(load.trace, folder))
        rate = peak([arrival.due_ns for arrival in replayed(load, times)])
    usual = rate * took_s
    return max(1, min(round(usual + 3 * sqrt(usual)), load.max_in_flight or 1_000_000))


def _replies(folder: Path) -> list[Exchange]:
    exchanges = (exchange for result in journal.read(folder) for exchange in result.exchanges)
    whole = (each for each in exchanges if each.failure is None and len(each.arrived_ns) > 1)
    return list(islice(whole, _LOOKED_AT))


def _mean(replies: Sequence[Exchange]) -> Shape:
    seconds = fmean(map(_streaming_s, replies))
    packets = fmean(max(2, reply.transcript.packets if reply.transcript else 2) for reply in replies)
    ttfts = [ttft for reply in replies if (ttft := service_ns(reply, "ttft")) is not None]
    return Shape(
        streams=1,
        packets_per_s=min(1000.0, max(1.0, packets / seconds if seconds else 1000.0)),
        packets=round(packets),
        bytes=round(fmean(len(reply.body) / packets for reply in replies)),
        ttft_ms=median(ttfts) / _MS if ttfts else USUAL.ttft_ms,
    )


def _streaming_s(reply: Exchange) -> float:
    """How long packets came: without the longest silence, which is the wait for the first, or a tool's."""
    gaps = [after - before for before, after in pairwise(reply.arrived_ns)]
    return (sum(gaps) - max(gaps)) / 1e9


async def search(first: Measurement, source: str) -> AsyncIterator[Measurement]:
    """Measurements of *first*'s shape with other numbers of streams, in search of the most that are held."""
    told = [first]
    while (streams := next_streams(told)) is not None:
        told.append(await measure(replace(first.shape, streams=streams), source))
        yield told[-1]


def next_streams(told: Sequence[Measurement]) -> int | None:
    """How many streams to try next: more while they are held, fewer until they are, then in between.

    None where the ceiling is known well enough, or cannot be: the source gave out, or all steps were taken.
    """
    held = max((each.shape.streams for each in told if holds(each)), default=None)
    failed = min((each.shape.streams for each in told if not holds(each)), default=None)
    if held is None:
        fewer = (failed or 0) // 2
        return fewer if fewer >= _FEWEST else None
    if failed is None:
        more = next((streams for streams in STEPS if streams > held), None)
        return None if gave_out(told[-1]) else more
    return int(float(f"{sqrt(held * failed):.2g}")) if failed / held > _CLOSE else None


def unsearched(told: Sequence[Measurement]) -> str:
    """Why the ceiling is higher than what was held, or nothing where it was found."""
    if not all(holds(each) for each in told):
        return ""
    most = max(each.shape.streams for each in told)
    return "the source gave out first" if gave_out(told[-1]) else f"more than {most:,} streams were not tried"


def holds(told: Measurement) -> bool:
    """Whether the load was read well: streams whole, enough of them to tell, this machine not too slow."""
    return not told.broken and told.arrived_all.p99_ms is not None and not told.client_bound


def gave_out(told: Measurement) -> bool:
    """Whether the source was the one that was too slow: it sent 1 % of its packets 10 ms late, or more."""
    return (told.source_late_ms or 0.0) > 10.0


def remarks(told: Sequence[Measurement], unsearched: str = "") -> Iterator[str]:
    """What is to be said about measurements beside their figures."""
    for point in told:
        if point.client_bound:
            yield f"client-bound at {point.shape.streams:,} streams: this machine is too slow to time them"
        if gave_out(point):
            behind = f"the source was late at {point.shape.streams:,} streams"
            yield f"{behind}: its packets came less evenly than asked for"
    hardest = max(told, key=lambda point: point.achieved_per_s)
    if hardest.source_ceiling_per_s is not None:
        could = max(hardest.achieved_per_s, hardest.source_ceiling_per_s)
        late = (hardest.source_late_p50_ms, hardest.source_late_ms, hardest.source_late_max_ms)
        p50, p99, most = (f"{each or 0.0:,.2f}" for each in late)
        yield (
            f"the source at {hardest.achieved_per_s:,.0f} packets/s: late by {p50} ms (p50), {p99} (p99), "
            f"{most} (max); at that cost a CPU sends {could:,.0f} packets/s"
        )
    if unsearched:
        yield f"the ceiling is at least that: {unsearched}"
