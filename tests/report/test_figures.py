"""Figures of a report against tables of which the answer is known, and against the quantiles of `stats`."""

import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from harness.cli import app
from harness.compare.arms import Scan
from harness.record.store import Manifest, read_manifest
from harness.record.tables import SCHEMAS
from harness.record.tables import scan as table_of
from harness.report import figures
from harness.stats.quantiles import least_count, quantile
from harness.stats.repeats import wilson
from tests.arms import table
from tests.conftest import stream_source

Rows = Iterable[Mapping[str, Any]]


def run_of(**rows: Rows) -> Scan:
    """A run with these rows; what a row does not have is null."""
    frames = {name: table(name, rows.get(name, ())) for name in SCHEMAS}
    return lambda name: frames[name].lazy()


def manifest(started_ns: int = 0) -> Manifest:
    return Manifest(
        run_id="r", suite="s", suite_path="s.yaml", suite_text="", target="t", dialect="sigma", seed=0,
        choice={}, planned=0, started_at="2026-11-26T00:00:00+00:00", started_ns=started_ns,
    )  # fmt: skip


def trial(name: str, variant: str = "v", phase: str = "main", **more: Any) -> dict[str, Any]:
    own = {"trial_id": name, "case_id": name, "variant": variant, "phase": phase, "repeat": 1}
    return own | {"state": "passed", "window": "measured"} | more


def sent(name: str, **more: Any) -> dict[str, Any]:
    whole = {"exchange_id": name, "trial_id": name, "turn_id": "1", "attempt": 1, "counted": True}
    return whole | {"sent_ns": 0, "ended_ns": 1} | more


def with_ttft(
    values: Iterable[float], variant: str = "v"
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    timed = list(enumerate(values))
    trials = [trial(f"{variant}{at}", variant) for at, _ in timed]
    return trials, [sent(f"{variant}{at}", ttft_ms=value) for at, value in timed]


def one(frame: pl.DataFrame, **where: Any) -> dict[str, Any]:
    found = frame.filter(*(pl.col(name).eq_missing(pl.lit(value)) for name, value in where.items()))
    assert len(found) == 1, found
    return found.row(0, named=True)


@settings(max_examples=30)
@given(st.lists(st.floats(0.1, 1e6), min_size=1, max_size=250))
def test_a_percentile_curve_has_the_quantiles_of_stats_as_far_as_its_values_are_enough(
    values: list[float],
) -> None:
    trials, exchanges = with_ttft(values)
    curve = figures.quantile_curve(run_of(trials=trials, exchanges=exchanges), "ttft_ms")
    assert curve["n"].unique().to_list() == [len(values)]
    levels = [round(percent * 10) for percent in curve["percent"] if round(percent * 10, 6) % 1 == 0]
    found = {round(row["percent"] * 10, 6): row["value_ms"] for row in curve.iter_rows(named=True)}
    assert found[0] == min(values)
    for level in levels[1:]:
        assert found[level] == quantile(values, level)
    for level in (500, 900, 950, 990, 999):
        assert (level in found) == (len(values) >= least_count(level))


def test_a_curve_is_of_what_counts_and_of_each_series_alone() -> None:
    fast, slow = with_ttft([10.0, 20.0, 30.0], "fast"), with_ttft([100.0], "slow")
    uncounted = [sent("fast0", exchange_id="again", attempt=2, counted=False, ttft_ms=9_999.0)]
    unknown = [sent("slow0", exchange_id="silent", ttft_ms=None)]
    run = run_of(trials=fast[0] + slow[0], exchanges=[*fast[1], *slow[1], *uncounted, *unknown])
    curve = figures.quantile_curve(run, "ttft_ms")
    assert curve.group_by("variant", maintain_order=True).agg(pl.col("n").first()).rows() == [
        ("fast", 3), ("slow", 1)
    ]  # fmt: skip
    assert one(curve, variant="fast", percent=50.0)["value_ms"] == 20.0
    assert curve.filter(pl.col("variant") == "slow").select("percent", "value_ms").rows() == [(0.0, 100.0)]


def test_what_was_never_due_has_no_response_time_and_no_curve_of_it() -> None:
    trials, exchanges = with_ttft([10.0])
    assert figures.quantile_curve(run_of(trials=trials, exchanges=exchanges), "response_ttft_ms").is_empty()


def test_a_distribution_of_five_values_says_of_each_how_many_are_at_most_as_long() -> None:
    trials, exchanges = with_ttft([30.0, 10.0, 20.0, 20.0, 50.0])
    found = figures.ecdf(run_of(trials=trials, exchanges=exchanges), "ttft_ms")
    assert found.select("value_ms", "share", "n").rows() == [
        (10.0, 0.2, 5), (20.0, 0.6, 5), (30.0, 0.8, 5), (50.0, 1.0, 5)
    ]  # fmt: skip


def test_a_distribution_of_many_values_is_bounded_and_exact_at_its_points() -> None:
    random = Random(1)
    values = [round(random.lognormvariate(5, 1), 2) for _ in range(5_001)]
    trials, exchanges = with_ttft(values)
    found = figures.ecdf(run_of(trials=trials, exchanges=exchanges), "ttft_ms")
    assert 150 < len(found) <= 201 + 1
    for value, share in found.select("value_ms", "share").iter_rows():
        assert share == sum(each <= value for each in values) / len(values)
    assert found["value_ms"].min() == min(values)
    assert (found["value_ms"].max(), found["share"].max()) == (max(values), 1.0)


def packet(
    exchange: str, seq: int, at_ms: float, text: str | None, kind: str = "message_delta"
) -> dict[str, Any]:
    place = {"exchange_id": exchange, "seq": seq, "kind": kind}
    return place | {"arrived_ns": int(at_ms * 1e6), "text": text}


def answered(name: str, first_ms: float, last_ms: float, gaps: int) -> dict[str, Any]:
    marks = {"first_answer_ns": int(first_ms * 1e6), "last_answer_ns": int(last_ms * 1e6)}
    return sent(name, gaps=gaps, **marks)


def test_gaps_are_between_packets_of_the_final_answer_and_of_no_other() -> None:
    packets = [
        packet("a", 0, 5, "let me look", "message_start"),  # narration
        packet("a", 1, 10, None, "message_start"),
        packet("a", 2, 20, "The"),
        packet("a", 3, 25, None, "citation_info"),
        packet("a", 4, 32, " answer"),
        packet("a", 5, 33, ""),
        packet("a", 6, 40, "."),
        packet("b", 0, 100, "One"),
        packet("b", 1, 103, " two"),
        packet("c", 0, 200, "side"),
        packet("c", 1, 201, "by"),
        packet("c", 2, 202, "side"),
    ]
    exchanges = [
        answered("a", 20, 40, 2),
        answered("b", 100, 103, 1),
        answered("c", 200, 202, 1),  # two were counted elsewhere: which, nobody can tell here
    ]
    run = run_of(trials=[trial(name) for name in "abc"], exchanges=exchanges, packets=packets)
    curve = figures.ecdf(run, "gap")
    assert curve["value_ms"].to_list() == pytest.approx([3.0, 8.0, 12.0])
    assert curve["n"].unique().to_list() == [3]


def test_how_many_were_in_flight_is_counted_when_each_is_sent_whatever_became_of_them() -> None:
    exchanges = [
        sent("a", sent_ns=0, ended_ns=100, ttft_ms=1.0),
        sent("b", sent_ns=10, ended_ns=30, ttft_ms=2.0),
        sent("c", sent_ns=20, ended_ns=90, ttft_ms=3.0, counted=False, fault="disconnected"),
        sent("d", sent_ns=30, ended_ns=40, ttft_ms=4.0),  # as b ended: a and c are there
        sent("e", sent_ns=200, ended_ns=None, ttft_ms=5.0),
        sent("f", sent_ns=300, ended_ns=310, ttft_ms=6.0),  # e never ended
        sent("g", sent_ns=None, ended_ns=None, counted=False),
    ]
    crowd = figures.by_concurrency(run_of(trials=[trial(name) for name in "abcdefg"], exchanges=exchanges))
    assert crowd.points.select("in_flight", "ttft_ms").rows() == [
        (1, 1.0), (2, 2.0), (3, 4.0), (1, 5.0), (2, 6.0)
    ]  # fmt: skip
    assert crowd.n == 5


def test_bins_of_concurrency_hold_all_that_counts_with_the_quantiles_of_stats() -> None:
    random = Random(3)
    exchanges = [
        sent(f"{at}", sent_ns=at * 10, ended_ns=at * 10 + random.randrange(1, 400), ttft_ms=random.random())
        for at in range(3_000)
    ]
    run = run_of(trials=[trial(f"{at}", "ab"[at % 2]) for at in range(3_000)], exchanges=exchanges)
    crowd = figures.by_concurrency(run)
    assert crowd.bins["n"].sum() == crowd.n == 3_000
    assert len(crowd.points) == 1_000
    assert 400 < len(crowd.points.filter(pl.col("variant") == "a")) < 600
    mean = crowd.points["in_flight"].mean()
    area = sum(each["ended_ns"] - each["sent_ns"] for each in exchanges) / 30_000
    assert mean == pytest.approx(area + 0.5, rel=0.1)  # by Little, and half of itself
    for row in crowd.bins.iter_rows(named=True):
        assert (row["p95_ms"] is None) == (row["n"] < 20)
        assert (row["p50_ms"] is None) == (row["n"] < 2)
    every = figures.by_concurrency(run_of(trials=[trial("a")], exchanges=[sent("a", ttft_ms=1.0)])).bins
    assert every.rows() == [("v", 1, 1, None, None, 1)]


def during(name: str, began_s: float, ended_s: float, **more: Any) -> dict[str, Any]:
    return trial(name, began_ns=int(began_s * 1e9), ended_ns=int(ended_s * 1e9), **more)


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.floats(0, 900), st.floats(0.001, 90)), min_size=1, max_size=40),
    st.integers(0, 10**12),
)
def test_trials_in_flight_add_up_to_what_they_took(spans: list[tuple[float, float]], start: int) -> None:
    trials = [
        trial(f"{at}", began_ns=start + int(began * 1e9), ended_ns=start + int((began + took) * 1e9))
        for at, (began, took) in enumerate(spans)
    ]
    course = figures.timeline(run_of(trials=trials), manifest(start))
    assert len(course.bins) <= 300
    area = course.bins["in_flight"].sum() * course.width_s
    assert area == pytest.approx(sum(took for _, took in spans), rel=1e-6)
    assert course.bins["began"].sum() == course.bins["ended"].sum() == len(spans)


def test_the_course_of_a_run_is_told_by_the_second_with_its_faults_and_phases() -> None:
    trials = [
        during("a", 0.0, 1.5, phase="eval"),
        during("b", 0.5, 1.0, phase="eval"),
        during("c", 2.0, 3.5, phase="load", due_ns=int(2.0e9)),
        during("d", 3.0, 3.2, phase="load", due_ns=int(2.1e9)),
        trial("e", phase="load", due_ns=int(3.1e9), state="not_run"),
    ]
    exchanges = [
        sent("a", sent_ns=int(0.1e9), ended_ns=int(1.4e9), ttft_ms=10.0),
        sent("b", sent_ns=int(0.6e9), ended_ns=int(0.9e9), ttft_ms=30.0),
        sent("c", sent_ns=int(2.1e9), ended_ns=int(3.4e9), ttft_ms=70.0),
        sent("d", sent_ns=int(3.0e9), ended_ns=int(3.1e9), counted=False, fault="timed_out"),
    ]
    course = figures.timeline(run_of(trials=trials, exchanges=exchanges), manifest())
    assert course.width_s == 1
    assert course.bins.select("at_s", "due", "began", "ended").rows() == [
        (0, None, 2, 0), (1, None, 0, 2), (2, 2, 1, 0), (3, 1, 1, 2)
    ]  # fmt: skip
    assert course.bins["in_flight"].to_list() == pytest.approx([1.5, 0.5, 1.0, 0.7])
    assert course.ttft.select("at_s", "p50_ms", "n").rows() == [(0, 10.0, 2), (2, None, 1)]
    assert course.faults.rows() == [(3, "timed_out", 1)]
    assert course.phases.rows() == [("eval", 0.0, 1.5), ("load", 2.0, 3.5)]


def test_a_long_run_is_told_in_at_most_300_stretches() -> None:
    course = figures.timeline(run_of(trials=[during("a", 0, 86_400 * 3)]), manifest())
    assert 200 < len(course.bins) <= 300
    assert course.bins["in_flight"].sum() * course.width_s == pytest.approx(86_400 * 3)


def stretches(exchange: str, *parts: tuple[str, float]) -> list[dict[str, Any]]:
    rows, at = [], 0
    for seq, (step, took) in enumerate(parts):
        upto = at + int(took * 1e6)
        span = {"began_ns": at, "ended_ns": upto, "duration_ms": took}
        rows.append({"exchange_id": exchange, "seq": seq, "step": step, **span})
        at = upto
    return rows


def test_steps_add_up_to_the_mean_total_and_those_before_the_sending_to_no_part_of_it() -> None:
    steps = [
        *stretches(
            "a", ("queue", 50), ("send", 1), ("first_packet", 10), ("tool search", 20), ("answer", 70)
        ),
        *stretches(
            "b", ("send", 1), ("first_packet", 30), ("answer", 20), ("tool search", 5), ("answer", 15)
        ),
        *stretches("broke", ("send", 1), ("broken", 9_999)),
    ]
    exchanges = [
        sent("a", total_ms=100.0), sent("b", total_ms=70.0), sent("broke", counted=False, fault="timed_out")
    ]  # fmt: skip
    run = run_of(trials=[trial(name) for name in ("a", "b", "broke")], exchanges=exchanges, steps=steps)
    spent = figures.waterfall(run)
    assert spent.select("step", "mean_ms", "with_it", "n").rows() == [
        ("queue", 25.0, 1, 2),
        ("send", 1.0, 2, 2),
        ("first_packet", 20.0, 2, 2),
        ("tool search", 12.5, 2, 2),
        ("answer", 52.5, 2, 2),
    ]
    after = spent.filter(~pl.col("step").is_in(["queue", "send"]))
    assert after["mean_ms"].sum() == pytest.approx((100.0 + 70.0) / 2)


def called(
    exchange: str, at: int, name: str | None, took: float | None, status: str = "ok"
) -> dict[str, Any]:
    call = {"exchange_id": exchange, "call_id": f"t0.{at}", "name": name, "status": status}
    return call | {"duration_ms": took}


def test_tools_are_counted_by_how_they_ended_and_timed_where_they_did() -> None:
    calls = [called("a", at, "search", float(at)) for at in range(20)]
    calls += [called("b", 0, "search", None, "unknown"), called("b", 1, None, 0.0, "error")]
    trials = [trial(name) for name in "abc"]
    found = figures.tools(run_of(trials=trials, exchanges=[sent(name) for name in "abc"], tool_calls=calls))
    search, nameless = one(found, tool="search"), one(found, tool=None)
    assert [search[name] for name in ("calls", "ok", "error", "unknown", "timed")] == [21, 20, 0, 1, 20]
    times = [float(at) for at in range(20)]
    assert [search["p50_ms"], search["p95_ms"]] == [quantile(times, 500), quantile(times, 950)]
    assert (search["share"], search["n"]) == (pytest.approx(2 / 3), 3)
    assert (nameless["error"], nameless["p50_ms"], nameless["p95_ms"]) == (1, None, None)


def case(name: str, tags: list[str], passed: int, failed: int, **more: Any) -> dict[str, Any]:
    own = {"case_id": name, "variant": "v", "phase": "main", "tags": tags}
    none = dict.fromkeys(("error", "invalid", "not_run"), 0)
    return own | none | {"passed": passed, "failed": failed} | more


def test_a_prompt_has_its_rate_with_an_interval_and_none_where_nothing_passed_or_failed() -> None:
    found = figures.by_prompt(run_of(cases=[case("a", ["x"], 3, 1), case("b", [], 0, 0, error=4)]))
    good, broke = one(found, case_id="a"), one(found, case_id="b")
    assert (good["pass_rate"], good["low"], good["high"]) == (0.75, *wilson(0.75, 4))
    assert (broke["pass_rate"], broke["low"], broke["high"], broke["error"]) == (None, None, None, 4)


def test_a_tag_is_as_sure_as_its_prompts_and_not_as_their_repeats() -> None:
    alike = [case("a", ["x", "y"], 10, 0), case("b", ["x"], 0, 10), case("c", ["x"], 10, 0)]
    mixed = [case(f"m{at}", ["z"], 5 + at % 2, 5 - at % 2) for at in range(6)]
    found = figures.by_tag(run_of(cases=[*alike, *mixed, case("none", [], 1, 0)]))
    assert found["tag"].to_list() == ["x", "y", "z"]
    x, y, z = (one(found, tag=tag) for tag in "xyz")
    assert (x["prompts"], x["passed"], x["failed"], x["pass_rate"]) == (3, 20, 10, pytest.approx(2 / 3))
    assert x["high"] - x["low"] > 0.6  # three prompts that say one thing each, not thirty trials
    assert (y["low"], y["high"]) == wilson(1.0, 10)
    assert z["high"] - z["low"] == pytest.approx(
        wilson(z["pass_rate"], 60)[1] - wilson(z["pass_rate"], 60)[0]
    )


def test_variants_have_their_counts_and_null_where_there_is_no_value() -> None:
    random = Random(2)
    values = [random.lognormvariate(5, 1) for _ in range(120)]
    trials, exchanges = with_ttft(values)
    trials += [trial("lost", "w", state="not_run"), trial("bad", "w", state="failed")]
    exchanges += [sent("bad", counted=False, fault="http")]
    found = figures.variants(run_of(trials=trials, exchanges=exchanges))
    v, w = one(found, variant="v"), one(found, variant="w")
    assert (v["trials"], v["passed"], v["pass_rate"], v["ttft_n"]) == (120, 120, 1.0, 120)
    for level in (500, 950, 990):
        assert v[f"ttft_p{level // 10}_ms"] == quantile(values, level)
    assert (w["trials"], w["not_run"], w["failed"], w["pass_rate"], w["faults"]) == (2, 1, 1, 0.0, 1)
    assert (w["ttft_n"], w["ttft_p50_ms"], w["cost_usd"], w["said_tokens"]) == (0, None, None, None)


def test_a_run_of_nothing_has_figures_of_nothing() -> None:
    run = run_of()
    made = [
        *(figures.quantile_curve(run, metric) for metric in figures.LATENCIES),
        *(figures.ecdf(run, metric) for metric in figures.LATENCIES),
        *(figure(run) for figure in (figures.waterfall, figures.tools, figures.by_prompt, figures.by_tag)),
        *figures.by_concurrency(run)[:2],
        *figures.timeline(run, manifest())[1:],
        figures.variants(run),
    ]
    assert [frame.height for frame in made] == [0] * len(made)


def around(path: Path, percent: float) -> tuple[float, float]:
    """The values of an HdrHistogram's text form at the levels next to a percentile, below and above."""
    lines = [line.split() for line in path.read_text().splitlines()[2:] if not line.startswith("#")]
    levels = [(float(level) * 100, float(value)) for value, level, *_ in lines]
    below = max(value for level, value in levels if level <= percent)
    return below, min(value for level, value in levels if level >= percent)


@pytest.mark.slow
def test_the_figures_of_a_real_run_agree_with_its_histograms_and_its_steps_with_its_totals(
    tmp_path: Path,
) -> None:
    written = tmp_path / "s.yaml"
    with stream_source() as url:
        target = f'{{base_url: "{url}/m/ttft=20,gap=2,n=40", allow_anonymous: true, audit: 0%}}'
        written.write_text(
            f"suite: s\ntarget: {target}\nload: {{rate: 60/s, for: 1s}}\nprompts: [{{id: p, message: go}}]\n"
        )
        ran = CliRunner().invoke(app, ["run", str(written), "--results", str(tmp_path / "results"), "--json"])
    folder = tmp_path / "results" / "s" / "latest"
    run = partial(table_of, folder=folder)
    (row,) = json.loads(ran.stdout)["rows"]
    metrics: tuple[figures.Latency, ...] = ("ttft_ms", "total_ms", "gap")
    for metric in metrics:
        curve = figures.quantile_curve(run, metric)
        histogram = folder / f"latency-default-{metric.removesuffix('_ms')}.hgrm"
        for percent, value in curve.select("percent", "value_ms").iter_rows():
            below, above = around(histogram, percent)
            assert below * 0.998 <= max(value, 0.001) <= above * 1.002 or percent == 0  # 1 µs is its least
    assert (
        one(figures.quantile_curve(run, "ttft_ms"), percent=50.0)["value_ms"] == row["ttft_p50_ms"]["value"]
    )
    assert figures.quantile_curve(run, "gap")["n"][0] == run("exchanges").collect()["gaps"].sum()
    spent = figures.waterfall(run).filter(
        ~pl.col("step").is_in(["queue", "session", "dns", "tcp", "tls", "send"])
    )
    mean = run("exchanges").filter("counted").collect()["total_ms"].mean()
    assert spent["mean_ms"].sum() == pytest.approx(mean, rel=1e-6)
    course = figures.timeline(run, read_manifest(folder))
    in_flight_s = (read_manifest(folder).in_flight_ns or 0) / 1e9
    assert course.bins["in_flight"].sum() * course.width_s == pytest.approx(in_flight_s, rel=0.01)
    assert course.bins["due"].sum() == 60
