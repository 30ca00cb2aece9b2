"""What is known of a run while it goes on: results and moments in, a frozen `Snapshot` out.

Whether a trial passes is found by grading, after the run, so nothing here claims it. A trial was *answered*,
ended in an *error* of Sigma or the network, or was *not run* by us. Latencies are of the exchanges that count
(`harness.metrics.figures.counts`), like those of the tables; only the audit may take some of them out again.

Whoever looks (the terminal ten times a second, Prometheus from a thread of its own) takes a snapshot: counts
are kept as results come in, and what is worked out is worked out then.
"""

import threading
from bisect import bisect_right, insort
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from harness.calibrate.kept import Exactness
from harness.drive.reins import Reins
from harness.metrics.figures import MS, SECOND, counts, gap_p50_ns, ttft_ns
from harness.metrics.outages import LEAST, broke
from harness.plan.schedule import ends_ns
from harness.plan.trials import Plan
from harness.report.times import Latency, Times
from harness.result import Exchange, Moment, Result
from harness.stats.quantiles import rank
from harness.suite.phases import Phase
from harness.verdict.word import Verdict

_LOOKED_BACK = 10
"""Rates are over so many of the last moments, a second each."""

_LEAST_S = 0.9


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one variant is in one phase. *planned* is None where the phase lasts for a time."""

    phase: str
    variant: str
    planned: int | None
    in_flight: int
    answered: int
    error: int
    not_run: int
    ttft: Latency

    @property
    def done(self) -> int:
        """Trials that were sent, and have come to their end."""
        return self.answered + self.error

    @property
    def is_over(self) -> bool:
        """Whether nothing more of it is to come."""
        return self.planned is not None and self.done + self.not_run >= self.planned


@dataclass(frozen=True, slots=True)
class Believed:
    """What the run is worth so far: the *verdict* on the *replies* that it has, and how exact its times are.

    *delay_p50_ms* and *delay_p99_ms*: how long *delay_n* reads lay in the kernel before we saw them. *exact*
    is what the calibration of this machine says of a load like this.
    """

    verdict: Verdict
    replies: int
    delay_n: int = 0
    delay_p50_ms: float | None = None
    delay_p99_ms: float | None = None
    exact: Exactness = field(default_factory=Exactness)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at one moment.

    *load* is the load of *phase* in words; *asked_per_s* is what its schedule asked over the last *looked_s*
    seconds (None in a closed load, which has none), *began_per_s* and *ended_per_s* what came of it.
    *remaining_s* is how long the phase will go on: by its load where that *is_timed*, else by its rate.
    *latencies* are of the phase: TTFT, and the median gap of each reply. *budget* has (what, used, limit).
    *lag_ms* are the median and the highest of how late our event loop came, of *lag_n* seconds the longest of
    each. *stopping* says why no further trial is sent.
    """

    suite: str
    elapsed_s: float
    phase: str = ""
    load: str = ""
    remaining_s: float | None = None
    is_timed: bool = False
    planned: int | None = None
    in_flight: int = 0
    rows: tuple[Progress, ...] = ()
    looked_s: float = 0.0
    asked_per_s: float | None = None
    began_per_s: float | None = None
    ended_per_s: float | None = None
    fell_due: int = 0
    dropped: int = 0
    ttft: Latency = field(default_factory=Latency)
    gap: Latency = field(default_factory=Latency)
    faults: tuple[tuple[str, int], ...] = ()
    budget: tuple[tuple[str, float, float], ...] = ()
    lag_n: int = 0
    lag_ms: tuple[float, float] | None = None
    believed: Believed | None = None
    stopping: str | None = None
    away: tuple[int, float] | None = None

    @property
    def done(self) -> int:
        """Trials that were sent, and have come to their end."""
        return sum(row.done for row in self.rows)

    @property
    def not_run(self) -> int:
        """Trials that we did not send or finish."""
        return sum(row.not_run for row in self.rows)

    @property
    def errors(self) -> int:
        """Trials that ended in an error."""
        return sum(row.error for row in self.rows)


@dataclass(slots=True)
class _Counted:
    """One variant in one phase."""

    planned: int | None
    ttft: Times
    gap: Times
    answered: int = 0
    error: int = 0
    not_run: int = 0

    def merge(self, other: "_Counted", ahead_ns: int) -> None:
        """Count in what another process has, whose clock ours is ahead of."""
        self.answered += other.answered
        self.error += other.error
        self.not_run += other.not_run
        self.ttft.merge(other.ttft, ahead_ns)
        self.gap.merge(other.gap, ahead_ns)


@dataclass(frozen=True, slots=True)
class Came:
    """What came in one process since it was last taken, at *rows*, *of_phase* and *faults* of its `Tally`.

    *sent* trials ended, and *broken* exchanges broke in succession until now, the first at *broken_ns*.
    """

    rows: Mapping[tuple[str, str], "_Counted"]
    of_phase: Mapping[str, tuple[Times, Times]]
    faults: Mapping[str, int]
    lags: Sequence[int]
    sent: int
    broken: int
    broken_ns: int


@dataclass(frozen=True, slots=True)
class _Sample:
    at_ns: int
    began: int
    ended: int


@dataclass(slots=True)
class Tally:
    """A run while it goes on, as results and moments come in.

    *run_id* and *target* are what it is called, and where Sigma is; so many *processes* share the load. *due*
    are the arrivals of the phase after *phase_ns*, its start; times are gathered *since_ns*. *broken* is how
    many exchanges broke in succession, the first at *broken_ns*; *elsewhere* has the same of other processes.
    *believed* is filled in by whoever works it out, and *heard* gets all that comes in. *lock* is held while
    something changes: who takes a snapshot in another thread holds it, too.
    """

    plan: Plan
    reins: Reins
    run_id: str = ""
    target: str = ""
    processes: int = 1
    began_ns: int = 0
    since_ns: int = 0
    rows: dict[tuple[str, str], _Counted] = field(default_factory=dict)
    of_phase: dict[str, tuple[Times, Times]] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    broken: int = 0
    broken_ns: int = 0
    elsewhere: dict[str, tuple[int, int]] = field(default_factory=dict)
    sent: int = 0
    phase: str = ""
    load: Phase | None = None
    phase_ns: int = 0
    due: list[int] = field(default_factory=list)
    samples: deque[_Sample] = field(default_factory=lambda: deque(maxlen=_LOOKED_BACK + 1))
    lags: list[int] = field(default_factory=list)
    believed: Believed | None = None
    heard: list[Callable[[Result | Moment], None]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.began_ns = self.since_ns = self.began_ns or self.reins.now()
        planned = Counter((trial.phase, trial.variant) for trial in self.plan.trials)
        endless = {(arm.phase, each.variant) for arm in self.plan.cycles.values() for each in arm.arms}
        for key in product(self.plan.loads, self.plan.variants):
            if key in planned or key in endless:
                self._row(*key).planned = None if key in endless else planned[key]

    def enter(self, phase: str, load: Phase, *, elapsed_ns: int = 0) -> None:
        """*phase* begins, with this *load*, or goes on where *elapsed_ns* of it are over."""
        now = self.reins.now()
        due = sorted(trial.due_ns or 0 for trial in self.plan.phase(phase)) if load.is_open else []
        with self.lock:
            self.phase, self.load, self.phase_ns, self.due = phase, load, now - elapsed_ns, due
            self.since_ns = now
            self.of_phase[phase] = Times(now), Times(now)
            for (name, _), row in self.rows.items():
                if name == phase:
                    row.ttft.since_ns = row.gap.since_ns = now
            self.samples.clear()
            self.samples.append(_Sample(now, self.reins.began, self.sent))

    def add(self, result: Result) -> None:
        """Count *result*, its latencies, and how its exchanges broke."""
        with self.lock:
            row = self._row(result.phase, result.variant)
            if result.skip is not None:
                row.not_run += 1
            else:
                self.sent += 1
                row.error += result.failure is not None
                row.answered += result.failure is None
            self.faults.update(str(each.failure.fault) for each in result.exchanges if each.failure)
            for exchange in result.exchanges:
                self._break(exchange)
            self._time(result, row)
        for hear in self.heard:
            hear(result)

    def note(self, moment: Moment) -> None:
        """A second has passed."""
        with self.lock:
            insort(self.lags, moment.lag_ns)
            self.samples.append(_Sample(moment.at_ns, moment.began, self.sent))
        for hear in self.heard:
            hear(moment)

    def taken(self) -> Came:
        """What came since this was last called; it is counted no more."""
        with self.lock:
            came = Came(
                self.rows, self.of_phase, self.faults, self.lags, self.sent, self.broken, self.broken_ns
            )
            self.rows, self.of_phase, self.faults, self.lags, self.sent = {}, {}, Counter(), [], 0
            self.since_ns = self.reins.now()
        return came

    def merge(self, came: Came, *, by: str, ahead_ns: int = 0) -> None:
        """Count in what came in the process called *by*, whose clock ours is *ahead_ns* ahead of."""
        with self.lock:
            for (phase, variant), row in came.rows.items():
                self._row(phase, variant).merge(row, ahead_ns)
            for phase, times in came.of_phase.items():
                for mine, other in zip(self._of_phase(phase), times, strict=True):
                    mine.merge(other, ahead_ns)
            self.faults.update(came.faults)
            self.sent += came.sent
            for lag in came.lags:
                insort(self.lags, lag)
            self.elsewhere[by] = came.broken, came.broken_ns + ahead_ns
            counts = [broken for broken, _ in self.elsewhere.values()]
            self.broken = sum(counts) if all(counts) else 0
            self.broken_ns = min(since for _, since in self.elsewhere.values())

    def look(self) -> None:
        """A second has passed, in which other processes sent."""
        with self.lock:
            self.samples.append(_Sample(self.reins.now(), self.reins.began, self.sent))

    def _break(self, exchange: Exchange) -> None:
        """Count how many exchanges in succession broke as they do where the target is away."""
        failure = exchange.failure
        if failure is None or not broke(failure.fault, failure.http_status):
            self.broken = 0
            return
        if not self.broken:
            self.broken_ns = exchange.ended_ns or self.reins.now()
        self.broken += 1

    def _time(self, result: Result, row: _Counted) -> None:
        phase = self._of_phase(result.phase)
        for exchange in filter(counts, result.exchanges):
            ended_ns = exchange.ended_ns or exchange.began_ns
            took = ttft_ns(exchange), gap_p50_ns(exchange)
            for nanoseconds, times in zip(took, ((row.ttft, phase[0]), (row.gap, phase[1])), strict=True):
                if nanoseconds is not None:
                    for each in times:
                        each.add(ended_ns, round(nanoseconds))

    def _row(self, phase: str, variant: str) -> _Counted:
        """The row of a variant in a phase: one that is not planned is in a phase that lasts for a time."""
        row = self.rows.get((phase, variant))
        if row is None:
            since = self.since_ns
            row = self.rows[phase, variant] = _Counted(None, Times(since), Times(since))
        return row

    def _of_phase(self, phase: str) -> tuple[Times, Times]:
        return self.of_phase.setdefault(phase, (Times(self.since_ns), Times(self.since_ns)))


def snapshot(tally: Tally) -> Snapshot:
    """What *tally* has come to by now."""
    reins, now = tally.reins, tally.reins.now()
    rows = tuple(_progress(tally))
    planned = None if any(row.planned is None for row in rows) else sum(row.planned or 0 for row in rows)
    ttft, gap = tally.of_phase.get(tally.phase, (Times(now), Times(now)))
    elapsed_s = (now - tally.began_ns) / SECOND
    looked_s, asked, began, ended = _rates(tally)
    return Snapshot(
        suite=tally.plan.suite.name,
        elapsed_s=elapsed_s,
        phase=tally.phase,
        load=_load(tally),
        remaining_s=_remaining_s(tally, rows, now),
        is_timed=tally.load is not None and ends_ns(tally.load) is not None,
        planned=planned,
        in_flight=reins.in_flight,
        rows=rows,
        looked_s=looked_s,
        asked_per_s=asked,
        began_per_s=began,
        ended_per_s=ended,
        fell_due=reins.fell_due,
        dropped=reins.dropped,
        ttft=ttft.latency(),
        gap=gap.latency(),
        faults=tuple(tally.faults.most_common()),
        budget=tuple(_budget(tally, elapsed_s)),
        lag_n=len(tally.lags),
        lag_ms=_lag_ms(tally.lags),
        believed=tally.believed,
        stopping=None if reins.stopped is None else str(reins.stopped),
        away=(tally.broken, (now - tally.broken_ns) / SECOND) if tally.broken >= LEAST else None,
    )


def _progress(tally: Tally) -> Iterator[Progress]:
    going = tally.reins.going()
    for (phase, variant), row in tally.rows.items():
        in_flight = going[phase, variant]
        so_far = row.answered + row.error + row.not_run + in_flight
        yield Progress(
            phase,
            variant,
            # A gate that is not decided yet may have asked for more than was planned.
            planned=None if row.planned is None else max(row.planned, so_far),
            in_flight=in_flight,
            answered=row.answered,
            error=row.error,
            not_run=row.not_run,
            ttft=row.ttft.latency(),
        )


def _load(tally: Tally) -> str:
    match tally.load:
        case None:
            return ""
        case load if load.is_open:
            limit = f", {load.max_in_flight} in flight at most" if load.max_in_flight else ""
            said = f"open load{limit}"
        case load:
            said = f"{load.slots} worker{'s' if load.slots > 1 else ''}"
    return said if tally.processes == 1 else f"{said}, {tally.processes} processes"


def _remaining_s(tally: Tally, rows: Sequence[Progress], now: int) -> float | None:
    lasts_ns = None if tally.load is None else ends_ns(tally.load)
    since = tally.phase_ns
    if lasts_ns is not None:
        return max(0.0, (since + lasts_ns - now) / SECOND)
    here = [row for row in rows if row.phase == tally.phase]
    sent = sum(row.done for row in here)
    if not sent or any(row.planned is None for row in here):
        return None
    left = sum((row.planned or 0) - row.done - row.not_run for row in here)
    return left * (now - since) / SECOND / sent


def _rates(tally: Tally) -> tuple[float, float | None, float | None, float | None]:
    """Over how many seconds, and how many trials fell due, began and ended a second in them."""
    samples = list(tally.samples)
    if len(samples) < 2:
        return 0.0, None, None, None
    first, last = samples[0], samples[-1]
    looked_s = (last.at_ns - first.at_ns) / SECOND
    if looked_s < _LEAST_S:
        return 0.0, None, None, None
    asked = None
    if tally.load is not None and tally.load.is_open:
        until, since = (bisect_right(tally.due, each.at_ns - tally.phase_ns) for each in (last, first))
        asked = (until - since) / looked_s
    return looked_s, asked, (last.began - first.began) / looked_s, (last.ended - first.ended) / looked_s


def _budget(tally: Tally, elapsed_s: float) -> Iterator[tuple[str, float, float]]:
    limits = tally.plan.suite.budget
    yield from tally.reins.purse.sides()
    if limits.deep_research is not None and tally.reins.deep_research is not None:
        yield "deep research", limits.deep_research - tally.reins.deep_research, limits.deep_research
    if limits.minutes is not None:
        yield "minutes", elapsed_s / 60, limits.minutes


def _lag_ms(lags: list[int]) -> tuple[float, float] | None:
    median = _median_ms(lags)
    return None if median is None else (median, lags[-1] / MS)


def _median_ms(ordered: list[int]) -> float | None:
    nth = rank(len(ordered), 500)
    return None if nth is None else ordered[nth] / MS
