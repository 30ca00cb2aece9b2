"""What looking at a run costs: a redraw of the board, a result counted, a look at the verdict so far.

The board may take a fiftieth of the time, so a redraw of 2 ms leaves it at ten a second. Nothing is asserted
about time: the machine is shared.
"""

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.live import Live

from harness.report.board import board
from harness.report.live import Picture
from harness.report.prometheus import metrics
from harness.report.sofar import SoFar, Tables
from harness.report.tally import Tally, snapshot
from tests.going import SECOND, answered, moment, plan, tally

Benchmark = Callable[..., Any]
REPLIES = 5_000


@pytest.fixture(scope="module")
def under_way(tmp_path_factory: pytest.TempPathFactory) -> Tally:
    """A run of ten variants with 5,000 replies."""
    names = [f"variant-{n}" for n in range(10)]
    told, now = tally(plan(tmp_path_factory.mktemp("board"), *names, repeat=REPLIES // 5))
    for n in range(REPLIES):
        now[0] = SECOND + n * SECOND // 100
        told.add(answered(names[n % 10], ttft_ms=100 + n % 97, at_ns=now[0]))
    for second in range(1, 11):
        told.note(moment(second, began=100 * second))
    return told


def test_a_redraw_of_ten_variants(benchmark: Benchmark, under_way: Tally) -> None:
    console = Console(file=StringIO(), force_terminal=True, width=140, height=40)
    picture = Picture()

    def redraw() -> None:
        picture.lines = board(snapshot(under_way), *console.size)
        live.refresh()

    with Live(picture, console=console, auto_refresh=False, transient=True) as live:
        benchmark(redraw)


def test_a_snapshot(benchmark: Benchmark, under_way: Tally) -> None:
    assert benchmark(snapshot, under_way).done == REPLIES


def test_a_scrape_of_ten_variants(benchmark: Benchmark, under_way: Tally) -> None:
    assert benchmark(lambda: list(metrics(under_way)))


def test_a_result_is_counted(benchmark: Benchmark, under_way: Tally, tmp_path: Path) -> None:
    told, _ = tally(under_way.plan)
    for n in range(REPLIES):
        told.add(answered("variant-1", ttft_ms=100 + n % 97, at_ns=n))
    reply = answered("variant-1", pieces=100)
    benchmark(told.add, reply)


def test_a_look_at_the_verdict_so_far(benchmark: Benchmark, under_way: Tally, tmp_path: Path) -> None:
    tables, heard = Tables(under_way.plan.loads, tmp_path), SoFar()
    for n in range(REPLIES):
        heard.hear(answered("variant-1", at_ns=n * SECOND // 100))
    tables.look(heard.taken())
    assert benchmark(lambda: tables.look(heard.taken())).replies == REPLIES
