"""The board as text: what stands in it, in what width, and what is left out."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from harness.calibrate.kept import Exactness
from harness.report.board import SPARKS, TALLEST, board, plain, sparks, spent
from harness.report.tally import Believed, Progress, Snapshot
from harness.report.times import Latency
from harness.verdict.word import Reason, Verdict, Word

HOSTILE = "\x1b[2J[red]x[/red]\u202e\r\n\t日本語の名前" + "y" * 300


def progress(variant: str = "base", phase: str = "main", **fields: object) -> Progress:
    given = {"planned": 50, "in_flight": 1, "answered": 20, "error": 0, "not_run": 0, "ttft": Latency()}
    return Progress(phase, variant, **(given | fields))  # type: ignore[arg-type]


def shown(shot: Snapshot, width: int = 120, height: int = 40) -> str:
    return "\n".join(map(plain, board(shot, width, height)))


def lines_of(shot: Snapshot, title: str, width: int = 140) -> str:
    return next(line for line in shown(shot, width).splitlines() if line.startswith(title))


FULL = Snapshot(
    suite="nightly",
    elapsed_s=67.4,
    phase="steps",
    load="open load",
    remaining_s=12.2,
    is_timed=True,
    planned=100,
    in_flight=3,
    rows=(
        progress(
            answered=40,
            error=2,
            not_run=1,
            ttft=Latency(40, 120.4, 3456.0, (100.0, None, 200.0, 400.0)),
        ),
        progress("other", answered=50, in_flight=0),
    ),
    looked_s=10.0,
    asked_per_s=12.0,
    began_per_s=11.5,
    ended_per_s=9.04,
    ttft=Latency(41, 119.0, 3456.0, (100.0, None, 200.0, 400.0), 2.0),
    gap=Latency(41, 8.123, None, (8.0, 9.0), 2.0),
    faults=(("disconnected", 3), ("http", 1)),
    budget=(("tokens", 1200.0, 10_000.0), ("usd", 0.5, 2.0), ("minutes", 1.1, 5.0)),
    lag_n=60,
    lag_ms=(0.4, 12.0),
    believed=Believed(
        Verdict(Word.VALID), 41, 17_484, 0.06, 0.9, Exactness(p50_ms=0.05, p99_ms=0.21, n=1000)
    ),
)


def test_everything_that_is_known_stands_in_the_board() -> None:
    said = shown(FULL, 140)
    for words in (
        "nightly  1:07  steps: open load, 0:13 to go",
        "in flight    3  asked   12.0/s  began   11.5/s  ended    9.0/s, last 10 s",
        f"p50    119 ms  p95  3,456 ms  n     41  {'▂ ▄█':<24}  100 ms to 400 ms, p50 of each 2 s",
        f"p50   8.12 ms  p95         –  n     41  {'██':<24}  8.00 ms to 9.00 ms, p50 of each 2 s",
        "p50 of each 2 s, of this phase",
        "p50 of each 2 s, of each reply its median",
        "disconnected 3, http 1",
        "1,200 of 10,000 tokens · 0.5000 of 2 USD · 1.1 of 5 min",
        "±0.21 ms (p99) by calibration · read late by p50 0.06 ms, p99 0.90 ms, n = 17,484",
        "loop late by p50 0.40 ms, most 12 ms, the worst of each of 60 s",
        "valid so far, n = 41 replies",
    ):
        assert words in said
    assert re.search(r"base +━+╌+ +42/50 +1 +2 +1 +120 ms +3,456 ms +40  ▂ ▄█", said)


def test_what_is_not_known_is_a_dash_and_never_0() -> None:
    said = shown(Snapshot("nightly", 0.0, rows=(progress(in_flight=0, answered=0),)), 140)
    assert re.search(r"base +╌+ +0/50 +0 +0 +0 +– +– +0", said)
    for words in (
        "began      –/s  ended      –/s",
        "TTFT     p50         –  p95         –  n      0",
        "gap      p50         –  p95         –  n      0",
        "exact    – no reply has been looked at",
        "– no measured reply has been looked at",
    ):
        assert words in said
    for never in ("asked", "loop late", "calibrat", "budget", "to go"):
        assert never not in said


def test_a_verdict_comes_with_its_reasons_and_too_many_are_counted() -> None:
    reasons = tuple(
        Reason(Word.CLIENT_BOUND, "main", f"sign {n}", 1.0, 0.5, f"held up {n}") for n in range(4)
    )
    found = Believed(Verdict(Word.CLIENT_BOUND, reasons), 7)
    said = shown(replace(FULL, believed=found), 140)
    assert "client-bound so far, n = 7 replies" in said
    assert "client-bound (main): held up 0" in said
    assert "and 2 more reasons" in said
    assert "held up 2" not in said


def test_without_stamps_of_the_kernel_it_is_not_known_how_late_we_read() -> None:
    found = Believed(Verdict(Word.DEGRADED), 41, exact=Exactness(why_not="none fits"))
    assert "not calibrated · read late by –, n = 0" in lines_of(replace(FULL, believed=found), "exact")


def test_nothing_measured_is_no_verdict() -> None:
    assert "– no measured reply" in lines_of(replace(FULL, believed=Believed(Verdict(None), 0)), "verdict")


def test_an_estimate_of_what_is_left_is_called_one() -> None:
    assert "about 0:13 to go" in shown(replace(FULL, is_timed=False))


@pytest.mark.parametrize(
    ("in_flight", "words"), [(3, "3 under way may finish"), (0, "nothing is under way")], ids=["3", "none"]
)
def test_a_run_that_stops_says_what_it_waits_for(in_flight: int, words: str) -> None:
    said = shown(replace(FULL, stopping="interrupted", in_flight=in_flight))
    assert f"draining (interrupted): {words}" in said
    assert "to go" not in said


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 120, 200])
@pytest.mark.parametrize(
    "shot", [FULL, replace(FULL, suite=HOSTILE, phase=HOSTILE)], ids=["plain", "hostile"]
)
def test_no_line_is_wider_than_the_terminal(shot: Snapshot, width: int) -> None:
    rows = (*shot.rows, progress(HOSTILE, HOSTILE), progress("日本語" * 20))
    for line in board(replace(shot, rows=rows), width, 30):
        assert cell_len(plain(line)) <= width


def test_a_narrow_terminal_shows_how_far_it_is_before_how_fast() -> None:
    said = shown(FULL, 52)
    assert re.search(r"^variant +done +in flight +errors +TTFT p50$", said, re.MULTILINE)
    assert re.search(r"^base +42/50 +1 +2 +120 ms$", said, re.MULTILINE)
    assert re.search(r"n +41, of this phase$", lines_of(FULL, "TTFT", 80))


@pytest.mark.parametrize("height", [1, 2, 5, 12, 24, 60])
def test_a_board_leaves_a_line_of_the_terminal_free_and_is_never_too_tall(
    height: int,
) -> None:
    shot = replace(FULL, rows=tuple(progress(f"variant {n}") for n in range(40)))
    assert len(board(shot, 100, height)) <= max(1, min(height - 1, TALLEST))


def test_of_many_variants_those_that_go_on_come_first_and_the_rest_is_counted() -> None:
    over = [progress(f"over {n}", answered=50, in_flight=0) for n in range(20)]
    going = [progress(f"going {n}") for n in range(3)]
    said = shown(replace(FULL, rows=(*over, *going)), 100, 24)
    assert [word in said for word in ("going 0", "going 1", "going 2", "over 0")] == [True] * 4
    left = re.search(r"and (\d+) more, (\d+) of them done", said)
    assert left is not None
    rows = len(re.findall(r"^(?:over|going) \d", said, re.MULTILINE))
    assert int(left[1]) == int(left[2]) == 23 - rows


def test_rows_that_fit_stay_where_they_are() -> None:
    rows = (progress("first", answered=50, in_flight=0), progress("second"), progress("third", in_flight=0))
    said = shown(replace(FULL, rows=rows))
    assert said.index("first") < said.index("second") < said.index("third")


def test_columns_do_not_move_while_numbers_grow() -> None:
    def ends(answered: int, ttft_ms: float) -> list[int]:
        row = progress(answered=answered, ttft=Latency(answered, ttft_ms, ttft_ms))
        line = lines_of(replace(FULL, rows=(row,)), "base")
        return [each.end() for each in re.finditer(r"\S+(?: ms)?", line)]

    assert ends(1, 8.12) == ends(49, 99_999)


def test_hostile_names_are_shown_as_text_and_cut() -> None:
    said = shown(replace(FULL, suite=HOSTILE, rows=(progress(HOSTILE), progress("b", HOSTILE))))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", said)
    assert "\\x1b[2J[red]x[/red]\\u202e" in said
    assert "…" in said
    assert "y" * 40 not in said


def test_a_phase_without_end_has_no_bar_and_no_total() -> None:
    said = lines_of(replace(FULL, rows=(progress(planned=None),)), "base")
    assert "━" not in said
    assert "╌" not in said
    assert "/" not in said


@given(st.lists(st.none() | st.floats(0.001, 1e6), max_size=30))
def test_a_spark_is_as_high_as_its_value_against_the_highest(values: list[float | None]) -> None:
    bars = sparks(values)
    assert len(bars) == len(values)
    known = [value for value in values if value is not None]
    for value, bar in zip(values, bars, strict=True):
        assert (bar == " ") == (value is None)
        if value is not None:
            height = (SPARKS.index(bar) + 1) / len(SPARKS)
            assert 0 <= height - value / max(known) < 1 / len(SPARKS) + 1e-9


def test_sparks_of_zeros_are_low_and_of_nothing_are_none() -> None:
    assert sparks([0.0, 0.0]) == "▁▁"
    assert sparks([]) == ""


@pytest.mark.parametrize(
    ("seconds", "clock"), [(0, "0:00"), (7.9, "0:07"), (760, "12:40"), (3723, "1:02:03")]
)
def test_time_is_shown_as_clocks_show_it(seconds: float, clock: str) -> None:
    assert spent(seconds) == clock
