"""Progress while a run goes on: a few lines that are redrawn, or plain lines where nobody watches.

Drawing happens between results, never on the path of a packet. In a terminal
the display changes four times a second at the most; elsewhere (a CI log) a
line is written every two seconds at first and less often as the run gets long,
also while no result comes in.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import anyio
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from harness.drive.attempt import Clock
from harness.record.histograms import Histograms
from harness.result import Result
from harness.stats.quantiles import least_count

SECOND = 1e9
LINE_EVERY_S = 2.0
REDRAW_EVERY_S = 0.25


@dataclass(slots=True)
class Tally:
    """What the display shows, as results come in.

    *total* is None where a phase lasts for a time rather than for a number of trials; *ends_ns* then says
    when nothing more begins. *in_flight* asks how many are under way. Rate and ETA are over trials that were
    really sent.
    """

    total: int | None
    histograms: Histograms
    in_flight: Callable[[], int]
    now: Clock
    began_ns: int = 0
    ends_ns: int | None = None
    done: int = 0
    sent: int = 0
    errors: int = 0

    def __post_init__(self) -> None:
        self.began_ns = self.began_ns or self.now()

    def add(self, result: Result) -> None:
        """Count *result*, and its latencies."""
        self.histograms.add(result)
        self.done += 1
        self.sent += result.skip is None
        self.errors += result.skip is None and result.failure is not None

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return (self.now() - self.began_ns) / SECOND

    @property
    def rate(self) -> float | None:
        """Trials finished per second, None before the first."""
        return self.sent / self.elapsed_s if self.sent and self.elapsed_s > 0 else None

    @property
    def eta_s(self) -> float | None:
        """Seconds to the end of the load, or else at this rate; None where neither is known."""
        if self.ends_ns is not None:
            return max(0.0, (self.ends_ns - self.now()) / SECOND)
        return (self.total - self.done) / self.rate if self.rate and self.total is not None else None

    def line(self) -> str:
        """Everything in one line."""
        parts = [
            f"{self.done} done" if self.total is None else f"{self.done}/{self.total} done",
            f"{self.in_flight()} in flight",
            f"{self.rate:.1f}/s" if self.rate else "–/s",
            f"{self.errors} errors",
        ]
        shown = [f"p{per_mille // 10} {value:.0f} ms" for per_mille, value in self._ttft()]
        if shown:
            parts.append(f"TTFT {' '.join(shown)} (n={self.histograms.count('ttft')})")
        if self.eta_s is not None:
            parts.append(f"ETA {duration(self.eta_s)}")
        return " · ".join(parts)

    def _ttft(self) -> Iterator[tuple[int, float]]:
        for per_mille in (500, 950):
            value = self.histograms.percentile_ms("ttft", per_mille / 10)
            if value is not None and self.histograms.count("ttft") >= least_count(per_mille):
                yield per_mille, value


@dataclass(slots=True)
class _Throttled:
    """Calls *show* every so many seconds at the most, or every *share* of the time so far, and at the end."""

    tally: Tally
    show: Callable[[], None]
    every_s: float
    share: float = 0.0
    _next_s: float = 0.0
    _over: bool = False

    def __call__(self) -> None:
        elapsed_s = self.tally.elapsed_s
        last = self.tally.done == self.tally.total
        if not self._over and (last or elapsed_s >= self._next_s):
            self._over = last
            self._next_s = elapsed_s + max(self.every_s, self.share * elapsed_s)
            self.show()


@contextmanager
def live(tally: Tally, console: Console) -> Iterator[Callable[[], None]]:
    """Show *tally* on *console*; call what is yielded after each result."""
    if not console.is_terminal:
        say = partial(console.print, highlight=False, soft_wrap=True, markup=False)
        yield _Throttled(
            tally, lambda: say(f"[{duration(tally.elapsed_s)}] {tally.line()}"), LINE_EVERY_S, share=0.05
        )
        return
    columns = (BarColumn(bar_width=24), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, refresh_per_second=10, transient=True) as progress:
        task = progress.add_task(tally.line(), total=tally.total)

        def redraw() -> None:
            progress.update(task, completed=tally.done, description=tally.line())

        yield _Throttled(tally, redraw, REDRAW_EVERY_S)


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


async def keep_showing(show: Callable[[], None]) -> None:
    """Call *show* now and then for as long as it is left running: a long turn is no silence of ours."""
    while True:
        await anyio.sleep(REDRAW_EVERY_S)
        show()


def duration(seconds: float) -> str:
    """*seconds* for people: 8 s, 2 min 5 s, 1 h 3 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
