"""A run while it goes on, for people: a board that is redrawn, or plain lines where nobody watches.

Drawing happens between results, never on the path of a packet. In a terminal the board changes ten times a
second at the most, and takes at most a fiftieth of the time: after a drawing that took long the next one
waits. Elsewhere (a CI log) a line is written every two seconds at first and less often as the run gets long,
also while no result comes in.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.style import Style

from harness.report.board import Line, board
from harness.report.sofar import keep_judging
from harness.report.tally import Snapshot, Tally, snapshot
from harness.report.times import Latency
from harness.report.visible import shortened, visible

SECOND = 1e9
LINE_EVERY_S = 2.0
LINE_SHARE = 0.05
REDRAW_EVERY_S = 0.1
REDRAW_SHARE = 0.02


@asynccontextmanager
async def shown(tally: Tally, console: Console | None, results: Path) -> AsyncIterator[None]:
    """Show *tally* on *console*, if there is one, and work out what the run is worth so far.

    *results* is where a calibration of this machine may be.
    """
    async with anyio.create_task_group() as beside:
        beside.start_soon(keep_judging, tally, results)
        if console is not None:
            beside.start_soon(_show, tally, console)
        yield
        beside.cancel_scope.cancel()


async def _show(tally: Tally, console: Console) -> None:
    if console.is_terminal and not console.is_dumb_terminal:
        await _draw(tally, console)
    else:
        await _write(tally, console)


async def _draw(tally: Tally, console: Console) -> None:
    """The board, until cancelled; then it is gone."""
    picture = Picture()
    with Live(picture, console=console, auto_refresh=False, transient=True, vertical_overflow="crop") as live:
        while True:
            began = time.perf_counter()
            lines = board(snapshot(tally), *console.size)
            if lines != picture.lines:
                picture.lines = lines
                live.refresh()
            took_s = time.perf_counter() - began
            await anyio.sleep(max(REDRAW_EVERY_S, took_s / REDRAW_SHARE))


@dataclass(slots=True)
class Picture:
    """What rich draws of *lines*: pieces of text, none of which it reads as markup."""

    lines: list[Line] = field(default_factory=list)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The lines, one beneath the other."""
        for nth, line in enumerate(self.lines):
            if nth:
                yield Segment.line()
            for text, style in line:
                yield Segment(text, Style.parse(style) if style else None)


async def _write(tally: Tally, console: Console) -> None:
    """Lines, until cancelled; then the last one."""

    def write() -> None:
        shot = snapshot(tally)
        line = f"[{duration(shot.elapsed_s)}] {told(shot)}"
        console.print(line, highlight=False, soft_wrap=True, markup=False, emoji=False)

    wait_s = LINE_EVERY_S
    try:
        while True:
            await anyio.sleep(wait_s)
            elapsed_s = (tally.reins.now() - tally.began_ns) / SECOND
            write()
            wait_s = max(LINE_EVERY_S, LINE_SHARE * elapsed_s)
    finally:
        write()


def told(shot: Snapshot) -> str:
    """The run in one line."""
    parts = [
        f"{shot.done} done" if shot.planned is None else f"{shot.done}/{shot.planned} done",
        f"{shot.in_flight} in flight",
        _rate(shot),
        f"{shot.errors} errors",
        *([f"{shot.not_run} not run"] if shot.not_run else []),
        *([", ".join(f"{fault} {count}" for fault, count in shot.faults)] if shot.faults else []),
        *([f"the last {shot.away[0]:,} exchanges all broke"] if shot.away else []),
        *_latency(shot.ttft),
        *([] if shot.stopping is None else [f"draining ({shot.stopping})"]),
    ]
    if shot.remaining_s is not None and shot.stopping is None:
        several = len({row.phase for row in shot.rows}) > 1
        parts.append(
            f"ETA {duration(shot.remaining_s)}{f' of {shortened(shot.phase, 32)}' if several else ''}"
        )
    if shot.believed is not None and shot.believed.verdict.word is not None:
        parts.append(f"{shot.believed.verdict.word} so far")
    return " · ".join(parts)


def _rate(shot: Snapshot) -> str:
    rate = "–/s" if shot.ended_per_s is None else f"{shot.ended_per_s:.1f}/s"
    return rate if shot.asked_per_s is None else f"{rate} of {shot.asked_per_s:.1f}/s asked"


def _latency(ttft: Latency) -> Iterator[str]:
    known = (("p50", ttft.p50_ms), ("p95", ttft.p95_ms))
    shown = " ".join(f"{name} {value:.0f} ms" for name, value in known if value is not None)
    if shown:
        yield f"TTFT {shown} (n={ttft.n})"


@contextmanager
def counted(console: Console | None, what: str, total: int) -> Iterator[Callable[[], None]]:
    """Show how far *what* is, of *total*; call what is yielded after each. What is quick shows nothing."""
    if console is None:
        yield lambda: None
        return
    done, began = 0, time.perf_counter_ns()
    next_s = LINE_EVERY_S

    def advance() -> None:
        nonlocal done, next_s
        done += 1
        elapsed_s = (time.perf_counter_ns() - began) / SECOND
        if elapsed_s >= next_s:
            next_s = elapsed_s + LINE_EVERY_S
            console.print(f"{what}: {done}/{total}", style="dim", highlight=False)

    yield advance


def say(console: Console | None, words: str, *, style: str = "dim") -> None:
    """Talk to whoever watches, if anybody does."""
    if console is not None:
        console.print(visible(words), style=style, highlight=False, markup=False, emoji=False, soft_wrap=True)


def several(count: int, what: str) -> str:
    """So many of *what*, for people: 1 trial, 2 trials."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def duration(seconds: float) -> str:
    """*seconds* for people: 8 s, 2 min 5 s, 1 h 3 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
