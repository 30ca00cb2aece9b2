"""HdrHistograms: one per variant and metric, filled as results happen.

They are the source of the live percentiles and are written as ``.hgrm`` beside
the tables, in the text form that HdrHistogram's own plotters read. Three
significant digits: a value is right to 0.1 %. The percentiles of a report come
from the raw values (`harness.stats.quantiles`); a test holds the two together.

Values are recorded after a stream has ended, never per packet while it is read:
one costs as much as four decoded packets (perf.md 0.6).
"""

from collections.abc import Iterator
from pathlib import Path
from re import sub

from hdrh.histogram import HdrHistogram

from harness.errors import RunDirectoryError
from harness.metrics import latencies
from harness.result import Result

LONGEST_US = 2 * 3600 * 1_000_000
DIGITS = 3
US_PER_MS = 1000.0


class Histograms:
    """The histograms of a run, by variant and metric, in microseconds."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, str], HdrHistogram] = {}

    def add(self, result: Result) -> None:
        """Count the latencies of *result* in."""
        for variant, metric, nanoseconds in latencies([result]):
            histogram = self._of.get((variant, metric))
            if histogram is None:
                histogram = self._of[variant, metric] = HdrHistogram(1, LONGEST_US, DIGITS)
            histogram.record_value(min(max(1, round(nanoseconds / 1000)), LONGEST_US))

    def count(self, metric: str) -> int:
        """How many values of *metric* there are, over all variants."""
        return sum(histogram.get_total_count() for histogram in self._all(metric))

    def percentile_ms(self, metric: str, percentile: float) -> float | None:
        """A percentile of *metric* over all variants so far, in ms; None without values."""
        whole = HdrHistogram(1, LONGEST_US, DIGITS)
        for histogram in self._all(metric):
            whole.add(histogram)
        if whole.get_total_count() == 0:
            return None
        return float(whole.get_value_at_percentile(percentile)) / US_PER_MS

    def write(self, folder: Path) -> list[Path]:
        """Write ``latency-<variant>-<metric>.hgrm`` for each, in ms; the paths written."""
        paths = []
        for (variant, metric), histogram in sorted(self._of.items()):
            path = folder / f"latency-{filename(variant)}-{metric}.hgrm"
            try:
                with path.open("wb") as file:
                    histogram.output_percentile_distribution(file, 1.0)
            except OSError as error:
                raise RunDirectoryError(f"{path}: cannot be written: {error.strerror}") from error
            paths.append(path)
        return paths

    def _all(self, metric: str) -> Iterator[HdrHistogram]:
        return (histogram for (_, name), histogram in self._of.items() if name == metric)


def filename(name: str) -> str:
    """*name* with what a file's name cannot hold everywhere replaced by ``_``."""
    return sub(r"[^\w.+-]", "_", name)
