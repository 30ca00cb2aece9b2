"""A run as Prometheus text, for as long as it goes on: the figures of the live board, on 127.0.0.1.

They are worked out when they are asked for, in a thread of the server, so that nobody pays who does not ask.
Names and units follow Prometheus' own rules: seconds, and `_total` for what only grows. Labels are phases,
variants and words of ours, never an answer or an error's text: there are as many series as the suite has
variants.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from harness.errors import PortError
from harness.metrics.figures import SECOND
from harness.report.tally import Snapshot, Tally, snapshot
from harness.report.times import Times
from harness.verdict.word import Word

HOST = "127.0.0.1"

BOUNDS_S = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75),
    *(1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 20.0, 30.0, 60.0, 120.0),
)
"""Where the buckets end: near enough to each other for a quantile of a TTFT to be right to a third."""


@dataclass(slots=True, eq=False)  # the registry tells them apart by what they are
class Exposition(Collector):
    """What is told to whoever asks at *url*: nothing before the run has begun."""

    url: str = ""
    tally: Tally | None = None

    def look(self, tally: Tally) -> None:
        """From now on tell of *tally*."""
        self.tally = tally

    def collect(self) -> Iterator[Metric]:
        """Every metric, as it is now."""
        if self.tally is None:
            return
        with self.tally.lock:
            found = list(metrics(self.tally))
        yield from found


@contextmanager
def serving(port: int) -> Iterator[Exposition]:
    """Serve at *port*, 0 for any that is free, until left. Raises `PortError` where it cannot be had."""
    told = Exposition()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(told)
    try:
        server, thread = start_http_server(port, addr=HOST, registry=registry)
    except OSError as error:
        raise PortError(f"--metrics-port {port}: {error.strerror}; 0 takes any that is free") from error
    told.url = f"http://{HOST}:{server.server_port}/metrics"
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def metrics(tally: Tally) -> Iterator[Metric]:
    """The metrics of *tally*; what is not known has no sample."""
    shot = snapshot(tally)
    yield _gauge(
        "harness_run_info",
        "The run: always 1.",
        "run_id suite target",
        [((tally.run_id, shot.suite, _host(tally.target)), 1.0)],
    )
    yield _gauge("harness_elapsed_seconds", "Since the run began to send.", "", [((), shot.elapsed_s)])
    yield from _trials(shot)
    yield from _load(shot)
    rows = tally.rows.items()
    yield _histogram(
        "harness_ttft_seconds",
        "From a turn being sent to the first packet of answer text, of the exchanges that count.",
        [(where, row.ttft) for where, row in rows],
    )
    yield _histogram(
        "harness_reply_gap_seconds",
        "The median gap between the packets of an answer, one value for each reply that counts.",
        [(where, row.gap) for where, row in rows],
    )
    yield from _own(shot)
    yield from _budget(shot)
    yield from _verdict(shot)


Values = Iterable[tuple[Sequence[str], float]]
"""The values of the labels, and that of the sample."""


def _gauge(name: str, says: str, labels: str, values: Values) -> Metric:
    family = GaugeMetricFamily(name, says, labels=labels.split())
    for of, value in values:
        family.add_metric(of, value)
    return family


def _counter(name: str, says: str, labels: str, values: Values) -> Metric:
    family = CounterMetricFamily(name, says, labels=labels.split())
    for of, value in values:
        family.add_metric(of, value)
    return family


def _histogram(name: str, says: str, values: Iterable[tuple[tuple[str, str], Times]]) -> Metric:
    family = HistogramMetricFamily(name, says, labels=["phase", "variant"])
    bounds = [round(bound * SECOND) for bound in BOUNDS_S]
    for where, times in values:
        at_most = zip(map(str, BOUNDS_S), times.whole.at_most(bounds), strict=True)
        family.add_metric(where, [*at_most, ("+Inf", times.whole.count)], times.whole.total / SECOND)
    return family


def _trials(shot: Snapshot) -> Iterator[Metric]:
    planned = [((row.phase, row.variant), float(row.planned)) for row in shot.rows if row.planned is not None]
    yield _gauge(
        "harness_trials_planned",
        "Trials that are to be sent; none for a phase that lasts for a time.",
        "phase variant",
        planned,
    )
    fates = ("answered", "error", "not_run")
    yield _counter(
        "harness_trials",
        "Trials that have come to their end, by how: answered, error (of Sigma or the network), or not_run.",
        "phase variant fate",
        [((row.phase, row.variant, fate), getattr(row, fate)) for row in shot.rows for fate in fates],
    )
    going = [((row.phase, row.variant), float(row.in_flight)) for row in shot.rows]
    yield _gauge("harness_in_flight", "Trials under way.", "phase variant", going)


def _load(shot: Snapshot) -> Iterator[Metric]:
    due, dropped = shot.fell_due, shot.dropped
    says = "Arrivals of open load whose turn has come; what waits behind a full pool is not in it yet."
    yield _counter("harness_arrivals_due", says, "", [((), due)])
    yield _counter(
        "harness_dropped", "Arrivals not sent, since max_in_flight was reached.", "", [((), dropped)]
    )
    if shot.asked_per_s is not None:
        says = "Arrivals a second that the schedule asked for, over the last seconds."
        yield _gauge("harness_asked_per_second", says, "", [((), shot.asked_per_s)])
    yield _counter(
        "harness_exchange_faults",
        "Exchanges that broke, those that were tried again included.",
        "fault",
        [((fault,), count) for fault, count in shot.faults],
    )
    why = [] if shot.stopping is None else [((shot.stopping,), 1.0)]
    yield _gauge("harness_draining", "1 once no further trial is sent, by why.", "why", why)


def _own(shot: Snapshot) -> Iterator[Metric]:
    """How exact the times are."""
    lag = Metric(
        "harness_event_loop_lag_seconds", "How late our event loop came, the most of each second.", "summary"
    )
    if shot.lag_ms is not None:
        _quantiles(lag, {"0.5": shot.lag_ms[0], "1": shot.lag_ms[1]}, shot.lag_n)
    yield lag
    delay = Metric(
        "harness_own_delay_seconds", "How long a read lay in the kernel before we saw it.", "summary"
    )
    if (believed := shot.believed) is not None:
        known = {"0.5": believed.delay_p50_ms, "0.99": believed.delay_p99_ms}
        _quantiles(delay, known)  # no count: of a long run's reads only some are kept
    yield delay


def _quantiles(summary: Metric, known: dict[str, float | None], count: int | None = None) -> None:
    for quantile, milliseconds in known.items():
        if milliseconds is not None:
            summary.add_sample(summary.name, {"quantile": quantile}, milliseconds / 1000)
    if count is not None:
        summary.add_sample(f"{summary.name}_count", {}, count)


def _budget(shot: Snapshot) -> Iterator[Metric]:
    kinds = [((what.replace(" ", "_"),), used, limit) for what, used, limit in shot.budget]
    used = [(kind, value) for kind, value, _ in kinds]
    limits = [(kind, value) for kind, _, value in kinds]
    yield _gauge("harness_budget_used", "What is used of the budget.", "kind", used)
    yield _gauge("harness_budget_limit", "What may be used.", "kind", limits)


def _verdict(shot: Snapshot) -> Iterator[Metric]:
    found = None if shot.believed is None else shot.believed.verdict.word
    words = [] if found is None else [((str(word),), float(word is found)) for word in Word]
    says = "1 for what may be said of the run so far; no sample before a reply was looked at."
    yield _gauge("harness_verdict", says, "word", words)


def _host(target: str) -> str:
    """Where Sigma is, without what else a URL may hold."""
    split = urlsplit(target)
    return f"{split.hostname or ''}{'' if split.port is None else f':{split.port}'}"
