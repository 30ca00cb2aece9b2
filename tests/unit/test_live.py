"""A run in one line, for where nobody watches."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from harness.report.live import Picture, duration, told
from harness.report.tally import Believed, snapshot
from harness.result import Skip
from harness.verdict.word import Verdict, Word
from tests.going import SECOND, answered, broken, moment, plan, skipped, tally


def test_a_line_counts_what_was_sent_and_guesses_the_rest_from_it(tmp_path: Path) -> None:
    going, now = tally(plan(tmp_path, "base"))
    assert told(snapshot(going)) == "0/10 done · 0 in flight · –/s · 0 errors"
    for result in (answered(), broken(), skipped()):
        going.add(result)
    going.note(moment(4, began=2))
    now[0] = 4 * SECOND + 1
    assert told(snapshot(going)) == (
        "2/10 done · 0 in flight · 0.5/s · 1 errors · 1 not run · disconnected 1 · ETA 14 s"
    )


def test_a_line_of_an_open_load_says_what_was_asked_and_what_the_run_is_worth(tmp_path: Path) -> None:
    load = "{main: {rate: 10/s, for: 20s}, more: {workers: 1}}"
    going, now = tally(plan(tmp_path, "base", load=load))
    for _ in range(20):
        going.add(answered())
    for second in range(1, 5):
        going.note(moment(second, began=9 * second))
    now[0] = 4 * SECOND + 1
    shot = replace(snapshot(going), believed=Believed(Verdict(Word.DEGRADED), 20))
    assert told(shot) == (
        "20/210 done · 0 in flight · 5.0/s of 10.0/s asked · 0 errors · TTFT p50 30 ms p95 30 ms (n=20)"
        " · ETA 16 s of main · degraded so far"
    )


def test_a_line_of_a_run_that_stops_says_why_and_guesses_nothing(tmp_path: Path) -> None:
    going, now = tally(plan(tmp_path, "base", load="{main: {workers: 1, for: 9s}}"))
    going.reins.stop(Skip.INTERRUPTED)
    now[0] = 2 * SECOND
    assert told(snapshot(going)) == "0 done · 0 in flight · –/s · 0 errors · draining (interrupted)"


HOSTILE = "[bold]:smile: \x1b[2J\u202e"


def test_a_phase_is_named_as_text(tmp_path: Path) -> None:
    going, now = tally(plan(tmp_path, "base", load="{main: {rate: 10/s, for: 20s}, more: {workers: 1}}"))
    now[0] = 4 * SECOND + 1
    line = told(replace(snapshot(going), phase=HOSTILE))
    assert line.endswith("ETA 16 s of [bold]:smile: \\x1b[2J\\u202e")


def drawn(*, no_color: bool) -> str:
    console = Console(file=StringIO(), force_terminal=True, color_system="standard", no_color=no_color)
    console.print(Picture([[("a", "red"), (" [bold]:smile:[/bold]", "")], [("b", "")]]))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_picture_is_drawn_as_it_is_written() -> None:
    assert drawn(no_color=False) == "\x1b[31ma\x1b[0m [bold]:smile:[/bold]\nb"


def test_where_no_colour_is_wanted_there_is_none() -> None:
    assert "\x1b[3" not in drawn(no_color=True)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(8.4, "8 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s"), (3780, "1 h 3 min")],
)
def test_a_duration_is_written_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
