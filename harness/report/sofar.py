"""May the run be believed so far? What gives the verdict of a finished run, on what there is by now.

The loop hands over a few numbers of each result; tables are made of them, and looked at, in a thread, most of
it outside of Python's lock. A look that took long is not soon followed by the next.

Some things only the end shows: what the audit takes out, whether the books balance, how often the wall clock
was set. And to read the bodies again would cost too much while others are measured: reads stand for their
packets, and which of them brought several is not known.
"""

import time
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any, NoReturn

import anyio
import polars as pl

from harness.calibrate.kept import exactness
from harness.drive.attempt import Running
from harness.metrics.figures import counts, milliseconds, ttft_ns
from harness.report.tally import Believed, Tally
from harness.result import Exchange, Moment, Result
from harness.stats.quantiles import rank
from harness.suite.phases import Phase
from harness.verdict.signs import signs_of
from harness.verdict.word import verdict

EVERY_S = 3.0
SHARE = 0.02
"""So much of the time may be spent on looking."""

MOST_READS = 100_000
"""Of more reads only every second is kept, then every fourth: a quantile does not need them all."""

MOST_REPLIES = 20_000
"""Of a longer run the verdict so far is that of its last so many trials, and of their replies."""

_TRIALS = {
    "trial_id": pl.Int64,
    "phase": pl.String,
    "window": pl.String,
    "skip": pl.String,
    **dict.fromkeys(("due_ns", "free_ns", "began_ns", "ended_ns"), pl.Int64),
}
_EXCHANGES = {
    **dict.fromkeys(("exchange_id", "trial_id", "attempt", "due_ns", "began_ns", "session_ns"), pl.Int64),
    **dict.fromkeys(("connected_ns", "sent_ns", "ended_ns", "http_status", "reads"), pl.Int64),
    "merged_reads": pl.Int64,
    "stamps": pl.String,
    "counted": pl.Boolean,
    "ttft_ms": pl.Float64,
}
_READS = dict.fromkeys(("exchange_id", "arrived_ns", "seen_ns"), pl.Int64)


def _packed() -> tuple["array[int]", ...]:
    return tuple(array("q") for _ in _READS)


@dataclass(slots=True)
class SoFar:
    """Rows of what was heard, until they are looked at. Trials and exchanges have numbers for names here.

    *reads* has three columns, packed: the exchange, and when the kernel and we saw each of its reads.
    """

    trials: list[tuple[Any, ...]] = field(default_factory=list)
    exchanges: list[tuple[Any, ...]] = field(default_factory=list)
    reads: tuple["array[int]", ...] = field(default_factory=_packed)
    moments: list[Moment] = field(default_factory=list)
    _trial: int = 0
    _exchange: int = 0

    def hear(self, what: Result | Moment) -> None:
        """Keep what the verdict needs of *what*."""
        if isinstance(what, Moment):
            self.moments.append(what)
            return
        self._trial += 1
        self.trials.append(_trial_row(self._trial, what, what.phase))
        for exchange in what.exchanges:
            self._exchange += 1
            self.exchanges.append(_exchange_row(self._exchange, self._trial, exchange))
            stamps = (repeat(self._exchange, len(exchange.arrived_ns)), exchange.arrived_ns, exchange.seen_ns)
            for column, values in zip(self.reads, stamps, strict=True):
                column.extend(values)

    def taken(self) -> "SoFar":
        """What was heard since it was last taken, and all moments."""
        fresh = SoFar(self.trials, self.exchanges, self.reads, list(self.moments))
        self.trials, self.exchanges, self.reads = [], [], _packed()
        return fresh


def _trial_row(number: int, trial: Result | Running, phase: str) -> tuple[Any, ...]:
    skip = None if trial.skip is None else str(trial.skip)
    ended_ns = trial.ended_ns if isinstance(trial, Result) else None
    times = (trial.due_ns, trial.free_ns, trial.began_ns, ended_ns)
    return (number, phase, trial.window, skip, *times)


def _exchange_row(number: int, trial: int, exchange: Exchange) -> tuple[Any, ...]:
    way = (exchange.due_ns, exchange.began_ns, exchange.session_ns, exchange.connected_ns, exchange.sent_ns)
    of_reply = (exchange.ended_ns, exchange.http_status, None, None, exchange.stamps)  # merged: not known
    figures = (counts(exchange), milliseconds(ttft_ns(exchange)))
    return (number, trial, exchange.attempt, *way, *of_reply, *figures)


@dataclass(slots=True)
class Tables:
    """The tables so far, as far as the verdict needs them: of at most so *many* reads, one of *every* few."""

    loads: Mapping[str, Phase]
    results: Path
    many: int = MOST_READS
    trials: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_TRIALS))
    exchanges: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_EXCHANGES))
    reads: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_READS))
    every: int = 1
    per_second: dict[int, int] = field(default_factory=dict)

    def look(self, fresh: SoFar, under_way: Iterable[Running] = ()) -> Believed:
        """What is to be thought of the run with *fresh* in it; trials *under_way* are known to have begun."""
        self.add(fresh)
        going = [_trial_row(0, each, each.trial.phase) for each in under_way]
        frames = {
            "trials": self.trials.vstack(pl.DataFrame(going, schema=_TRIALS, orient="row")),
            "exchanges": self.exchanges,
            "packets": self.reads,
        }
        found = verdict(signs_of(frames, fresh.moments, self.loads))
        delays, streams = self._delays(), max((moment.in_flight for moment in fresh.moments), default=1)
        p50_ms, p99_ms = _quantiles(delays, 500, 990)
        return Believed(
            found,
            int(self.exchanges["counted"].sum()),
            len(delays),
            p50_ms,
            p99_ms,
            exactness(self.results, streams, self._rate()),
        )

    def add(self, fresh: SoFar) -> None:
        """Take in what is *fresh*, without a look at it."""
        columns = zip(_READS, fresh.reads, strict=True)
        reads = pl.DataFrame([pl.Series(name, packed, pl.Int64) for name, packed in columns])
        for second, count in (reads["arrived_ns"] // 1_000_000_000).value_counts().iter_rows():
            self.per_second[second] = self.per_second.get(second, 0) + count
        self.reads = _longer(self.reads, reads.gather_every(self.every), 2 * MOST_READS)
        if len(self.reads) > self.many:
            self.reads, self.every = self.reads.gather_every(2), self.every * 2
        self.trials = _longer(self.trials, pl.DataFrame(fresh.trials, schema=_TRIALS, orient="row"))
        self.exchanges = _longer(
            self.exchanges, pl.DataFrame(fresh.exchanges, schema=_EXCHANGES, orient="row")
        )

    def _delays(self) -> pl.Series:
        """How long reads lay unread, in ms, of those that the kernel stamped."""
        stamped = self.exchanges.filter(pl.col("stamps") == "kernel").select("exchange_id")
        reads = self.reads.join(stamped, on="exchange_id", how="semi")
        return (reads["seen_ns"] - reads["arrived_ns"]) / 1e6

    def _rate(self) -> float:
        """Reads a second, in a busy second: what nine of ten seconds did not exceed."""
        busy = pl.Series(list(self.per_second.values()), dtype=pl.Int64)
        return float(busy.quantile(0.9) or 0.0)


def _longer(frame: pl.DataFrame, more: pl.DataFrame, most: int = MOST_REPLIES) -> pl.DataFrame:
    grown = frame.vstack(more).tail(most)
    return grown.rechunk() if grown.n_chunks() > 32 else grown


def _quantiles(values: pl.Series, *per_milles: int) -> list[float | None]:
    """Quantiles by nearest rank, None of too few (`harness.stats.quantiles`)."""
    ordered = values.sort()
    ranks = (rank(len(ordered), each) for each in per_milles)
    return [None if nth is None else float(ordered[nth]) for nth in ranks]


async def keep_judging(tally: Tally, results: Path, now: Callable[[], float] = time.perf_counter) -> None:
    """Work out every few seconds what *tally* is worth, until cancelled; *results* has the calibration.

    Where polars gives up (no file or memory is left to it) nothing is told any more, and the run goes on:
    what it is worth is worked out once more at its end.
    """
    heard = SoFar()
    tally.heard.append(heard.hear)
    try:
        await _judge(tally, heard, Tables(tally.plan.loads, results), now)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        tally.believed = None
        tally.heard.remove(heard.hear)


async def _judge(tally: Tally, heard: SoFar, tables: Tables, now: Callable[[], float]) -> NoReturn:
    next_s = 0.0
    while True:
        await anyio.sleep(EVERY_S / 3 if tally.believed is None else EVERY_S)
        began, fresh, under_way = now(), heard.taken(), tally.reins.under_way()
        if began < next_s:  # rows are kept as a table, or those of a minute would fill the memory
            await anyio.to_thread.run_sync(tables.add, fresh, abandon_on_cancel=True)
            continue
        tally.believed = await anyio.to_thread.run_sync(tables.look, fresh, under_way, abandon_on_cancel=True)
        next_s = began + (now() - began) / SHARE
