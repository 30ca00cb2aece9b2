"""The charts of a run, drawn when they are looked at: a page is there before they are."""

from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from harness.view.seen import Seen

if TYPE_CHECKING:
    from harness.report.charts import Chart

_KEPT = 4
"""Runs whose charts are kept."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A chart as SVG, for a desk and for a phone."""

    name: str
    title: str
    says: str
    wide: str
    narrow: str


@dataclass(slots=True)
class _Charts:
    charts: "list[Chart]"
    drawn: dict[str, Drawn] = field(default_factory=dict)


class Drawings:
    """Charts that were drawn before. One is drawn at a time: the renderer is not made for several."""

    def __init__(self) -> None:
        self._runs: OrderedDict[tuple[str, int], _Charts] = OrderedDict()
        self._lock = Lock()

    def names(self, seen: Seen) -> list[str]:
        """The names of the charts that this run has; none before its tables are there."""
        with self._lock:
            return [chart.name for chart in self._of(seen).charts]

    def drawn(self, seen: Seen, name: str = "") -> list[Drawn]:
        """The chart of that name, or all of them."""
        with self._lock:
            known = self._of(seen)
            return [_drawn(known, chart) for chart in known.charts if name in {"", chart.name}]

    def _of(self, seen: Seen) -> _Charts:
        if seen.progress is not None:
            return _Charts([])
        made_ns = (seen.place.folder / "trials.parquet").stat().st_mtime_ns
        key = (str(seen.place.folder), made_ns)  # graded again, a run has other charts
        if key not in self._runs:
            self._runs[key] = _Charts(_charts(seen))
            while len(self._runs) > _KEPT:
                self._runs.popitem(last=False)
        return self._runs[key]


def _charts(seen: Seen) -> "list[Chart]":
    from harness.report.charts import of_run  # noqa: PLC0415  a second, which no other page is to wait

    return of_run(seen.scan, seen.manifest)


def _drawn(known: _Charts, chart: "Chart") -> Drawn:
    from harness.report.charts import svg  # noqa: PLC0415  as above

    if chart.name not in known.drawn:
        wide, narrow = svg(chart, 1100), svg(chart, 360)
        known.drawn[chart.name] = Drawn(chart.name, chart.title, chart.says, wide, narrow)
    return known.drawn[chart.name]
