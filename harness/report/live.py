"""Progress while a run goes on: a few lines that are redrawn, or plain lines where nobody watches.

Drawing happens between results, never on the path of a packet. In a terminal
the display is redrawn ten times a second at the most; elsewhere (a CI log) a
line is written when a twentieth of the trials is done, or every ten seconds.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from harness.drive.attempt import Clock
from harness.record.histograms import Histograms
from harness.result import Result

SECOND = 1e9
LINE_EVERY_S = 10.0
LINES = 20


@dataclass(slots=True)
class Tally:
    """What the display shows, as results come in.

    *in_flight* asks how many trials are under way. Rate and ETA are over trials
    that were really sent.
    """

    total: int
    histograms: Histograms
    in_flight: Callable[[], int]
    now: Clock
    began_ns: int = 0
    done: int = 0
    sent: int = 0
    errors: int = 0

    def add(self, result: Result) -> None:
        """Count *result*."""
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
        """Seconds to the end at this rate, None before the first result."""
        return (self.total - self.done) / self.rate if self.rate else None

    def line(self) -> str:
        """Everything in one line."""
        parts = [
            f"{self.done}/{self.total} done",
            f"{self.in_flight()} in flight",
            f"{self.rate:.1f}/s" if self.rate else "–/s",
            f"{self.errors} errors",
        ]
        ttft = [self.histograms.percentile_ms("ttft", percentile) for percentile in (50, 95)]
        if ttft[0] is not None:
            parts.append(f"TTFT p50 {ttft[0]:.0f} p95 {ttft[1]:.0f} ms (n={self.histograms.count('ttft')})")
        if self.eta_s is not None:
            parts.append(f"ETA {duration(self.eta_s)}")
        return " · ".join(parts)


@dataclass(slots=True)
class _Lines:
    """Plain lines, not too many of them."""

    tally: Tally
    say: Callable[[str], None]
    _next_done: int = 0
    _next_s: float = field(default=LINE_EVERY_S)

    def show(self) -> None:
        tally = self.tally
        due = tally.done >= self._next_done or tally.elapsed_s >= self._next_s or tally.done == tally.total
        if due:
            self.say(f"[{duration(tally.elapsed_s)}] {tally.line()}")
            self._next_done = tally.done + max(1, tally.total // LINES)
            self._next_s = tally.elapsed_s + LINE_EVERY_S


@contextmanager
def live(tally: Tally, console: Console) -> Iterator[Callable[[], None]]:
    """Show *tally* on *console*; call what is yielded after each result."""
    if not console.is_terminal:
        yield _Lines(tally, lambda line: console.print(line, highlight=False, soft_wrap=True)).show
        return
    progress = Progress(
        BarColumn(bar_width=24),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console,
        refresh_per_second=10,
        transient=True,
    )
    with progress:
        task = progress.add_task(tally.line(), total=tally.total)
        yield lambda: progress.update(task, completed=tally.done, description=tally.line())


def duration(seconds: float) -> str:
    """*seconds* for people: 8 s, 2 min 5 s, 1 h 3 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
