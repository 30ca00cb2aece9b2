"""Figures -> charts: inline SVG in the colours of its page, and PNG that needs nothing around it."""

from harness.report.charts.comparison import of_comparison
from harness.report.charts.drawing import DESK, PHONE, Chart, png, svg
from harness.report.charts.run import of_run

__all__ = ["DESK", "PHONE", "Chart", "of_comparison", "of_run", "png", "svg"]
