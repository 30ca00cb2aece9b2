"""docs/metrics.md: its tables are those of the code, and what it says of the terminal is there."""

import io
import re
from typing import TypeVar

from msgspec import Struct, convert
from rich.console import Console

from harness.report.terminal import summary_table
from harness.summarise.summary import Figure, LoadRow, Row, Summary
from tests.docs.pages import ROOT
from tests.metrics_reference import PAGE, TERMINAL, rendered

Figures = TypeVar("Figures", bound=Struct)
NONE = {"value": None, "n": 0}
LEVELS = dict.fromkeys(("p50", "p95", "p99"), NONE)
VALUES = {
    "variant": "v",
    "phase": "p",
    "service": {"ttft": LEVELS, "total": LEVELS},
    "response": {"ttft": LEVELS, "total": LEVELS},
}
BESIDE = {"a line beneath", "before the variant, where there are several; load"}
"""Where a figure is, if in no column of its own."""


def made(kind: type[Figures]) -> Figures:
    """Figures of which none is known."""
    rest = {name: NONE if name.endswith("_ms") or "p50" in name else 0 for name in kind.__struct_fields__}
    return convert(rest | VALUES, kind)


def headings() -> str:
    """The words above the columns of a run with an open phase."""
    found = Summary((made(Row),), {}, {}, Figure(None, 0), {}, loads=(made(LoadRow),))
    console = Console(file=io.StringIO(), width=400)
    console.print(summary_table(found))
    assert isinstance(console.file, io.StringIO)
    return " ".join(console.file.getvalue().split())


def test_the_tables_are_those_of_the_code() -> None:
    page = PAGE.read_text()
    assert rendered(page) == page, "python -m tests.metrics_reference writes them"


def test_what_is_said_to_be_in_the_terminal_is_a_heading_there() -> None:
    shown = headings().split()
    titles = [told for told in TERMINAL.values() if told not in BESIDE]
    assert len(titles) > 10
    assert {word for told in titles for word in re.split(r"[ ,;]+", told)} <= set(shown)


def test_every_metric_of_prometheus_is_on_the_page_on_seeing_and_no_other() -> None:
    told = (ROOT / "docs" / "seeing.md").read_text().partition("### Prometheus")[2].partition("\n## ")[0]
    code = (ROOT / "harness" / "report" / "prometheus.py").read_text()
    made = re.findall(r"(_counter|_gauge|_histogram|Metric)\(\s*\"(harness_\w+)\"", code)
    names = {name + ("_total" if kind == "_counter" else "") for kind, name in made}
    assert names == set(re.findall(r"`(harness_\w+)`", told))
