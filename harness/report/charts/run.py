"""The charts of one run: each is there where the run has something for it."""

from harness.compare.arms import Scan
from harness.record.store import Manifest
from harness.report import figures
from harness.report.charts.course import course
from harness.report.charts.drawing import Chart
from harness.report.charts.rates import of_prompts, of_tags, results
from harness.report.charts.series import series_of
from harness.report.charts.steps import where_time_went
from harness.report.charts.times import crowd, distribution, percentiles, waiting
from harness.report.charts.tools import tools


def of_run(scan: Scan, manifest: Manifest) -> list[Chart]:
    """The charts of the run of *manifest*, in the order in which they are read."""
    series = series_of(scan)
    made = (
        *results(scan, series),
        *of_prompts(scan, series),
        *of_tags(scan, series),
        *percentiles(scan, series, "ttft_ms"),
        *distribution(scan, series),
        *percentiles(scan, series, "total_ms"),
        *waiting(scan, series),
        *percentiles(scan, series, "gap"),
        *crowd(scan, series),
        *course(figures.timeline(scan, manifest), series),
        *where_time_went(scan, series),
        *tools(scan, series),
    )
    return list(made)
