"""HdrHistograms: one per phase, variant and metric.

Filled from the journal, with what its audit found, they are written as ``.hgrm``
beside the tables, in the text form that HdrHistogram's own plotters read. Three
significant digits: a value is right to 0.1 %. The percentiles of a report come
from the raw values (`harness.stats.quantiles`); a test holds the two together.
"""

from collections.abc import Iterator
from math import sqrt
from pathlib import Path
from re import sub

from hdrh.histogram import HdrHistogram

from harness.errors import RunDirectoryError
from harness.metrics.figures import counts, gaps_ns, latencies
from harness.result import Result

LONGEST_US = 2 * 3600 * 1_000_000
DIGITS = 3
LEVELS = 10
US_PER_MS = 1000.0


class Histograms:
    """The histograms of a run, by phase, variant and metric, in microseconds."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, str, str], HdrHistogram] = {}

    def add(self, result: Result) -> None:
        """Count the latencies of *result* in."""
        for metric, nanoseconds in latencies(result):
            self._record((result.phase, result.variant, metric), nanoseconds)

    def add_gaps(self, result: Result) -> None:
        """Count in every gap between answer packets. For after the run: there are as many as packets."""
        for exchange in filter(counts, result.exchanges):
            for nanoseconds in gaps_ns(exchange):
                self._record((result.phase, result.variant, "gap"), nanoseconds)

    def merge(self, other: "Histograms") -> None:
        """Add the counts of *other*, of another process say. Percentiles are never averaged."""
        for key, histogram in other._of.items():  # noqa: SLF001  of this very class
            self._at(key).add(histogram)

    def write(self, folder: Path) -> list[Path]:
        """Write ``latency-<variant>-<metric>.hgrm`` for each, in ms; the paths written.

        The phase comes before the variant where there are several. What a file's name cannot
        hold is replaced, and where that makes two names one, the later has a ~ at its end.
        """
        phases = {phase for phase, _, _ in self._of}
        paths: list[Path] = []
        for (phase, variant, metric), histogram in sorted(self._of.items()):
            of = f"{phase}-{variant}" if len(phases) > 1 else variant
            name = f"latency-{filename(of)}-{metric}"
            while (path := folder / f"{name}.hgrm") in paths:
                name += "~"
            try:
                path.write_text("\n".join(distribution(histogram)) + "\n", encoding="ascii")
            except OSError as error:
                raise RunDirectoryError(f"{path}: cannot be written: {error.strerror}") from error
            paths.append(path)
        return paths

    def _record(self, key: tuple[str, str, str], nanoseconds: int) -> None:
        self._at(key).record_value(min(max(1, round(nanoseconds / 1000)), LONGEST_US))

    def _at(self, key: tuple[str, str, str]) -> HdrHistogram:
        histogram = self._of.get(key)
        if histogram is None:
            histogram = self._of[key] = HdrHistogram(1, LONGEST_US, DIGITS)
        return histogram


def distribution(histogram: HdrHistogram) -> Iterator[str]:
    """The lines of a ``.hgrm`` file of *histogram*, its microseconds as milliseconds.

    The levels are those of `HdrHistogram.output_percentile_distribution`: each goes
    a tenth of what is left to 100 %. That function walks every bucket four times,
    filled or not (0.2 s a histogram, 25 s for a run of 30 variants), and does not
    scale the standard deviation.
    """
    yield f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}"
    yield ""
    filled = [(histogram.get_value_from_index(n), count) for n, count in enumerate(histogram.counts) if count]
    total, so_far, level, highest = histogram.get_total_count(), 0, 0.0, 0.0
    for lowest, count in filled:
        highest = histogram.get_highest_equivalent_value(lowest) / US_PER_MS
        so_far += count
        while so_far / total >= level:
            yield f"{highest:12.3f} {level:14.12f} {so_far:10d} {1 / (1 - level):14.2f}"
            level += (1 - level) / LEVELS
            if so_far == total:
                break
    yield f"{highest:12.3f} {1:14.12f} {total:10d}"
    middles = [(value + histogram.get_highest_equivalent_value(value)) / 2 / US_PER_MS for value, _ in filled]
    mean = sum(middle * count for middle, (_, count) in zip(middles, filled, strict=True)) / total
    spread = sum((middle - mean) ** 2 * count for middle, (_, count) in zip(middles, filled, strict=True))
    yield f"#[Mean    = {mean:12.3f}, StdDeviation   = {sqrt(spread / total):12.3f}]"
    yield f"#[Max     = {highest:12.3f}, TotalCount     = {total:12.3f}]"
    yield f"#[Buckets = {histogram.bucket_count:12d}, SubBuckets     = {histogram.sub_bucket_count:12d}]"


def filename(name: str) -> str:
    """*name* with what a file's name cannot hold everywhere replaced by ``_``; no way to another folder."""
    return sub(r"[^\w.+-]|^\.+$", "_", name)
