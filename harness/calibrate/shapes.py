"""Which load to calibrate with: a suite's own shape as far as it is known, and steps up to where it ends."""

from collections.abc import AsyncIterator, Sequence
from itertools import islice
from math import sqrt
from pathlib import Path
from statistics import fmean, median

from harness import journal
from harness.calibrate.probe import Measurement, Shape, measure
from harness.metrics import service_ns
from harness.record.store import JOURNAL
from harness.result import Exchange
from harness.suite.model import Phase, Suite

USUAL = Shape(streams=100)
STEPS = (250, 500, 1000, 2000)
_LOOKED_AT = 300
_MS = 1e6


def shape_of(suite: Suite, results: Path) -> tuple[Shape, str]:
    """The shape of *suite*'s heaviest phase, and where that was taken from.

    Its replies are as those of the suite's latest run were, if there is one, else of the usual kind.
    """
    latest = results / suite.name / "latest" / JOURNAL
    replies = _replies(latest) if latest.exists() else []
    reply = _mean(replies) if replies else USUAL
    took_s = (reply.ttft_ms / 1000) + reply.packets / reply.packets_per_s
    streams = max(_streams(load, took_s) for load in suite.load.values())
    shape = Shape(streams, reply.packets_per_s, reply.packets, reply.bytes, reply.ttft_ms)
    if replies:
        return (
            shape,
            f"{streams} streams as in {suite.name}, replies as in its latest run (n = {len(replies)})",
        )
    return shape, f"{streams} streams as in {suite.name}, which has no run yet: usual replies"


def _streams(load: Phase, took_s: float) -> int:
    """How many are in flight at most: the rate times how long each takes (Little), and room for chance."""
    if not load.is_open:
        return load.slots
    rate = max([load.rate or 0.0, *(stage.rate for stage in load.stages or ())])
    usual = rate * took_s
    return max(1, min(round(usual + 3 * sqrt(usual)), load.max_in_flight or 1_000_000))


def _replies(path: Path) -> list[Exchange]:
    exchanges = (exchange for result in journal.read(path) for exchange in result.exchanges)
    whole = (each for each in exchanges if each.failure is None and len(each.arrived_ns) > 1)
    return list(islice(whole, _LOOKED_AT))


def _mean(replies: Sequence[Exchange]) -> Shape:
    seconds = fmean((reply.arrived_ns[-1] - reply.arrived_ns[0]) / 1e9 for reply in replies)
    packets = fmean(max(2, reply.transcript.packets if reply.transcript else 2) for reply in replies)
    ttfts = [ttft for reply in replies if (ttft := service_ns(reply, "ttft")) is not None]
    return Shape(
        streams=1,
        packets_per_s=min(1000.0, max(1.0, packets / seconds if seconds else 1000.0)),
        packets=round(packets),
        bytes=round(fmean(len(reply.body) / packets for reply in replies)),
        ttft_ms=median(ttfts) / _MS if ttfts else USUAL.ttft_ms,
    )


async def steps_up(shape: Shape, source: str) -> AsyncIterator[Measurement]:
    """Measurements of more and more streams, up to what is not held, or not sent in time."""
    for streams in STEPS:
        if streams <= shape.streams:
            continue
        packets = max(
            shape.packets, round(3 * shape.packets_per_s)
        )  # long enough for all of them to be there
        more = Shape(streams, shape.packets_per_s, packets, shape.bytes, shape.ttft_ms)
        told = await measure(more, source, rounds=1)
        yield told
        if not holds(told) or gave_out(told):
            return


def holds(told: Measurement) -> bool:
    """Whether the load was read well: streams whole, no CPU used up, 99 % of the stamps right to 1 ms."""
    error = told.arrived_all.p99_ms
    return not told.broken and told.cpu < 0.9 and error is not None and error <= 1.0


def gave_out(told: Measurement) -> bool:
    """Whether the source was the one that was too slow: it sent 1 % of its packets 10 ms late, or more."""
    return (told.source_late_ms or 0.0) > 10.0
