"""Times in ns while they come: their quantiles so far, and the median of each stretch of time."""

from dataclasses import dataclass, field

from harness.metrics.figures import MS, SECOND
from harness.stats.sketch import Sketch

BUCKETS = 24
"""How many stretches of time the history of a latency has at the most."""


@dataclass(frozen=True, slots=True)
class Latency:
    """*n* times so far, two of their quantiles, and the median of each stretch of *bucket_s* since the start.

    None is too few.
    """

    n: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    history: tuple[float | None, ...] = ()
    bucket_s: float = 1.0


@dataclass(slots=True)
class Times:
    """Times in ns, together and by when they came, since *since_ns*: the stretches get longer.

    *told* is the median of each stretch that nothing was added to since it was worked out.
    """

    since_ns: int
    whole: Sketch = field(default_factory=Sketch)
    width_ns: int = int(SECOND)
    buckets: list[Sketch] = field(default_factory=list)
    told: dict[int, float | None] = field(default_factory=dict)

    def add(self, at_ns: int, took_ns: int) -> None:
        """Something took *took_ns*, and ended at *at_ns*."""
        self.whole.add(took_ns)
        self._stretch(at_ns).add(took_ns)

    def merge(self, other: "Times", ahead_ns: int) -> None:
        """Count in what another process has, whose clock ours is ahead of."""
        self.whole.merge(other.whole)
        for nth, bucket in enumerate(other.buckets):
            if bucket.count:
                self._stretch(other.since_ns + nth * other.width_ns + ahead_ns).merge(bucket)

    def _stretch(self, at_ns: int) -> Sketch:
        """The stretch of time that *at_ns* is in, which is about to get more."""
        nth = self._bucket(at_ns)
        while nth >= BUCKETS:
            for first, second in zip(self.buckets[::2], self.buckets[1::2], strict=False):
                first.merge(second)
            self.buckets = self.buckets[::2]
            self.told.clear()
            self.width_ns *= 2
            nth = self._bucket(at_ns)
        self.buckets += [Sketch() for _ in range(nth + 1 - len(self.buckets))]
        self.told.pop(nth, None)
        return self.buckets[nth]

    def _bucket(self, at_ns: int) -> int:
        return max(0, at_ns - self.since_ns) // self.width_ns

    def latency(self) -> Latency:
        """What there is so far."""
        p50, p95 = map(_ms, self.whole.quantiles(500, 950))
        for nth, bucket in enumerate(self.buckets):
            if nth not in self.told:
                self.told[nth] = _ms(bucket.quantiles(500)[0])
        history = tuple(self.told[nth] for nth in range(len(self.buckets)))
        return Latency(self.whole.count, p50, p95, history, self.width_ns / SECOND)


def _ms(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / MS
