"""Tables and moments -> `Signs`: what each phase of a run shows about its own measuring.

Only what was measured counts: trials of a warm-up or cool-down are in none of it, nor are the seconds before
the first and after the last of those that are.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean, median
from typing import Any

import polars as pl
from msgspec import Struct

from harness.metrics.outages import COLUMNS, outages, sent_of
from harness.result import Moment
from harness.stats.arrivals import Conformance, conformance
from harness.stats.quantiles import quantile
from harness.stats.steady import Trend, mser5, trend
from harness.suite.phases import Phase


class Signs(Struct, frozen=True, kw_only=True):
    """What one phase shows about its own measuring; None is not known. Times in ms, shares of 1.

    *n* exchanges are in its latency figures, and *ttft_p50_ms* is their median. *late_p99_ms*: how long after
    they could begin requests were written, of *late_n*: after they were due or had room (open), or a worker
    was free (closed), less the time it took to connect. *delay_p99_ms*: how long packets lay in the kernel
    before we read them. *lag_p50_ms*: of the longest time that the event loop came late in each second, the
    median. *pressure*: the share of the time in which some task of this machine waited for a CPU. *cpu*: how
    much of one CPU this process used. Of several processes *lag_p50_ms* and *cpu* are those of the one that
    is worst off. *unserved*: the share of arrivals that found `max_in_flight` reached.
    *refused*: the share of exchanges answered 429 or 503. *asked* is what the schedule was like, *began* what
    came of it. *warm_n* is how many of the first replies are a warm-up by MSER-5 (all of the first half where
    they never settle), and *warm_excess* how much higher their TTFT was than that of the others. *in_flight*
    and *ttft*: how both went over time, of an open load. *away_s*: how long the target was away, while which
    *away_n* exchanges broke (`harness.metrics.outages`). *broken* are laws of conservation that the books of
    the run do not keep.
    """

    phase: str
    is_open: bool
    n: int
    seconds: float
    ttft_p50_ms: float | None = None
    late_n: int = 0
    late_p99_ms: float | None = None
    delay_n: int = 0
    delay_p99_ms: float | None = None
    merged: float | None = None
    user_stamped: int = 0
    lag_p50_ms: float | None = None
    pressure: float | None = None
    cpu: float | None = None
    collection_ms: float | None = None
    target_p50_ms: float | None = None
    own_p50_ms: float | None = None
    arrivals: int = 0
    unserved: float | None = None
    refused: float | None = None
    asked: Conformance | None = None
    began: Conformance | None = None
    warm_n: int | None = None
    warm_excess: float | None = None
    in_flight: Trend | None = None
    ttft: Trend | None = None
    clock_steps: int = 0
    away_s: float | None = None
    away_n: int = 0
    broken: tuple[str, ...] = ()


_REFUSALS = (429, 503)
_SECOND = 1e9
_LEAST_SETTLED = 200
"""Of fewer replies MSER-5 takes noise for a warm-up too often: 15 % of the time of 120, 7 % of 300."""
_MS = 1e6


def signs_of(
    frames: Mapping[str, pl.DataFrame],
    moments: Iterable[Moment],
    loads: Mapping[str, Phase],
    *,
    clock_steps: int = 0,
    broken: Sequence[str] = (),
) -> Iterator[Signs]:
    """The signs of each phase that sent anything, in the order of *loads*."""
    every = list(moments)
    # What was decided without it was never to begin: it is neither an arrival nor asked of the schedule.
    moot = (pl.col("skip").fill_null("") == "decided") & pl.col("began_ns").is_null()
    exchanges = frames["exchanges"].join(
        frames["trials"].select("trial_id", "phase", "window", "free_ns"), on="trial_id", how="left"
    )
    for name, load in loads.items():
        trials = frames["trials"].filter(pl.col("phase") == name, pl.col("window") == "measured", ~moot)
        begun = exchanges.filter(pl.col("phase") == name, pl.col("window") == "measured")
        sent = begun.filter(pl.col("sent_ns").is_not_null())
        if sent.is_empty():
            continue
        within = _within(sent, [moment for moment in every if moment.phase == name])
        leg = _longest_leg(trials, sent)
        steady = sent.join(leg, on="trial_id", how="semi")
        yield Signs(
            phase=name,
            is_open=load.is_open,
            seconds=_seconds(steady),
            clock_steps=clock_steps,
            broken=tuple(broken),
            **_away(trials, begun),
            **_latencies(sent),
            **_delays(frames["packets"], sent),
            **_of_seconds(within),
            **(_arrivals(trials, leg, steady) if load.is_open else {}),
        )


def _longest_leg(trials: pl.DataFrame, sent: pl.DataFrame) -> pl.DataFrame:
    """Of a phase that was resumed, the leg in which most of it was sent: no figure over time spans a gap."""
    if "leg" not in trials.columns:  # of a run that goes on there is one
        return trials
    counted = trials.join(sent, on="trial_id", how="semi").group_by("leg").len()
    longest = counted.sort("len", "leg", descending=[True, False])["leg"].first()
    return trials.filter(pl.col("leg") == longest)


def _seconds(sent: pl.DataFrame) -> float:
    ends = (sent["sent_ns"].max(), sent["sent_ns"].min())
    return (int(ends[0]) - int(ends[1])) / _SECOND  # type: ignore[arg-type]  # a number, as the column is


def _within(sent: pl.DataFrame, moments: Sequence[Moment]) -> list[Moment]:
    """The seconds in which measured requests were under way, but for the odd one at the end."""
    first, last = int(sent["sent_ns"].min()), int(sent["ended_ns"].max())  # type: ignore[arg-type]  # a number, as the column is
    return [moment for moment in moments if first < moment.at_ns and moment.at_ns - last < _SECOND]


def _away(trials: pl.DataFrame, begun: pl.DataFrame) -> dict[str, Any]:
    if not set(COLUMNS) <= set(begun.columns):  # of a run that goes on they are not all known
        return {}
    lost = set(trials.filter(pl.col("state") == "error")["trial_id"])
    found = outages(sent_of(begun.select(COLUMNS).iter_rows(), lost))
    return {
        "away_s": sum((one.to_s - one.from_s for one in found), start=0.0),
        "away_n": sum(one.exchanges for one in found),
    }


def _latencies(sent: pl.DataFrame) -> dict[str, Any]:
    counted = sent.filter("counted")
    ttft = counted["ttft_ms"].drop_nulls().to_list()
    first = sent.filter(pl.col("attempt") == 1)
    # Sigma's part is left out: the time in which it made the session, and took up the connection. A later
    # turn was due after its trial had found room.
    could = pl.coalesce(pl.max_horizontal("free_ns", "due_ns"), "began_ns")
    ready = pl.max_horizontal("began_ns", "session_ns", "connected_ns")
    late = first.select(((pl.col("began_ns") - could) + (pl.col("sent_ns") - ready)) / _MS).to_series()
    known = late.drop_nulls().to_list()
    refused = sent["http_status"].is_in(_REFUSALS).sum()
    return {
        "n": len(counted),
        "ttft_p50_ms": quantile(ttft, 500),
        "late_n": len(known),
        "late_p99_ms": _p99(known),
        "user_stamped": int((sent["stamps"] == "user").sum()),
        "refused": refused / len(sent),
    }


def _delays(packets: pl.DataFrame, sent: pl.DataFrame) -> dict[str, Any]:
    reads = packets.join(sent.select("exchange_id"), on="exchange_id", how="semi")
    delays = (reads["seen_ns"] - reads["arrived_ns"]).drop_nulls() / _MS
    merged, all_reads = int(sent["merged_reads"].sum()), int(sent["reads"].sum())
    return {
        "delay_n": len(delays),
        "delay_p99_ms": delays.quantile(0.99, interpolation="higher"),
        "merged": merged / all_reads if all_reads else None,
    }


def _of_seconds(moments: Sequence[Moment]) -> dict[str, Any]:
    if not moments:
        return {}
    spanned = sum(moment.span_ns for moment in moments)
    waited = [moment.waited_ns for moment in moments if moment.waited_ns is not None]
    of_each = _by_process(moments)
    return {
        "lag_p50_ms": max(median(moment.lag_ns for moment in each) for each in of_each) / _MS,
        "pressure": sum(waited) / spanned if len(waited) == len(moments) else None,
        "cpu": max(_total(each, "cpu_ns") / _total(each, "span_ns") for each in of_each),
        "collection_ms": max(moment.longest_collection_ns for moment in moments) / _MS,
        "target_p50_ms": _median_ms(moment.target_ns for moment in moments),
        "own_p50_ms": _median_ms(moment.own_ns for moment in moments),
    }


def _by_process(moments: Sequence[Moment]) -> list[list[Moment]]:
    """Those of each process: the one that is worst off is not hidden by the others."""
    found: dict[int, list[Moment]] = {}
    for moment in moments:
        found.setdefault(moment.process, []).append(moment)
    return list(found.values())


def _total(moments: Sequence[Moment], name: str) -> int:
    return sum(getattr(moment, name) for moment in moments)


def _arrivals(trials: pl.DataFrame, leg: pl.DataFrame, sent: pl.DataFrame) -> dict[str, Any]:
    """What only an open load shows: who found no room, and, over the time of one *leg*, whether it grew."""
    ordered = sent.filter("counted").sort("due_ns")
    unserved = len(trials.filter(pl.col("free_ns").is_not_null() | (pl.col("skip") == "dropped")))
    fell_due = trials.filter(pl.col("due_ns").is_not_null() & (pl.col("skip").fill_null("") != "interrupted"))
    return {
        "arrivals": len(fell_due),
        "unserved": unserved / len(fell_due) if len(fell_due) else None,
        "asked": conformance(leg["due_ns"].drop_nulls().to_list()),
        "began": conformance(leg["began_ns"].drop_nulls().to_list()),
        "in_flight": _in_flight(leg),
        "ttft": _trend(ordered, "due_ns", "ttft_ms"),
        **_warming(ordered["ttft_ms"].drop_nulls().to_list()),
    }


def _warming(ttft_ms: Sequence[float]) -> dict[str, Any]:
    """How many of the first replies are a warm-up still, and by how much."""
    if len(ttft_ms) < _LEAST_SETTLED:
        return {}
    cut = mser5(ttft_ms)
    warm_n = len(ttft_ms) // 2 if cut is None else cut
    if not warm_n:
        return {"warm_n": 0}
    return {"warm_n": warm_n, "warm_excess": fmean(ttft_ms[:warm_n]) / fmean(ttft_ms[warm_n:]) - 1}


def _in_flight(trials: pl.DataFrame) -> Trend | None:
    """How what was under way went over time, looked at whenever a trial began."""
    began = sorted(trials["began_ns"].drop_nulls().to_list())
    ended = sorted(trials["ended_ns"].drop_nulls().to_list())
    under_way = [bisect_right(began, at) - bisect_left(ended, at) for at in began]
    return trend([at / _SECOND for at in began], under_way)


def _trend(frame: pl.DataFrame, at: str, column: str) -> Trend | None:
    known = frame.select(at, column).drop_nulls()
    return trend((known[at] / _SECOND).to_list(), known[column].to_list())


def _median_ms(nanoseconds: Iterable[int | None]) -> float | None:
    known = [each for each in nanoseconds if each is not None]
    return median(known) / _MS if known else None


def _p99(values: Sequence[float]) -> float | None:
    """The 99th percentile, of few values the highest: what is judged here is a bound, not a claim."""
    return sorted(values)[-(-len(values) * 99 // 100) - 1] if values else None
