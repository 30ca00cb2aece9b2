"""Tables of a run -> small frames that a report is made of: nothing is drawn here.

A figure has its count beside it, and is null where there are too few values for it, never 0. Latencies are of
the exchanges that count (`counted`: whole, first attempt, not failed, of a measured trial that is not
invalid).
"""

from harness.report.figures.course import Course, timeline
from harness.report.figures.crowd import Crowd, by_concurrency
from harness.report.figures.rates import by_prompt, by_tag, variants
from harness.report.figures.times import LATENCIES, Latency, ecdf, quantile_curve
from harness.report.figures.work import tools, waterfall

__all__ = [
    "LATENCIES",
    "Course",
    "Crowd",
    "Latency",
    "by_concurrency",
    "by_prompt",
    "by_tag",
    "ecdf",
    "quantile_curve",
    "timeline",
    "tools",
    "variants",
    "waterfall",
]
