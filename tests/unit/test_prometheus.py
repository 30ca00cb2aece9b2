"""A run as Prometheus text: what a scraper reads, and where it may."""

import socket
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from harness.errors import PortError
from harness.plan.trials import Plan
from harness.report.prometheus import Exposition, serving
from harness.report.tally import Believed, Tally
from harness.result import Skip
from harness.verdict.word import Verdict, Word
from tests.going import SECOND, answered, broken, moment, plan, skipped, tally

HOSTILE = 'a"} 1\nharness_evil{x="\\'
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scraped(told: Tally) -> Samples:
    registry, exposition = CollectorRegistry(auto_describe=False), Exposition()
    registry.register(exposition)
    exposition.look(told)
    return samples(generate_latest(registry).decode())


def value(of: Samples, name: str, **labels: str) -> float | None:
    return of.get((name, frozenset(labels.items())))


@pytest.fixture
def planned(tmp_path: Path) -> Plan:
    return plan(tmp_path, "base", "other", load="{main: {rate: 10/s, for: 2s}}")


def test_every_count_of_the_run_is_a_sample(planned: Plan) -> None:
    told, now = tally(planned)
    told.run_id, told.target = "20261126T1", "https://me:secret@sigma.example:8443/api"
    for result in (
        answered("base", ttft_ms=40),
        answered("base", ttft_ms=400),
        broken("base"),
        skipped("other"),
    ):
        told.add(result)
    told.note(moment(1, began=3, lag_ms=5))
    told.note(moment(2, began=3, lag_ms=40))
    told.reins.fell_due, told.reins.dropped = 4, 1
    now[0] = 2 * SECOND + 1
    found = scraped(told)
    base, other = {"phase": "main", "variant": "base"}, {"phase": "main", "variant": "other"}
    assert (
        value(found, "harness_run_info", run_id="20261126T1", suite="small", target="sigma.example:8443") == 1
    )
    assert value(found, "harness_elapsed_seconds") == 2
    assert value(found, "harness_trials_planned", **base) == 10
    assert value(found, "harness_trials_total", **base, fate="answered") == 2
    assert value(found, "harness_trials_total", **base, fate="error") == 1
    assert value(found, "harness_trials_total", **other, fate="not_run") == 1
    assert value(found, "harness_in_flight", **base) == 0
    assert value(found, "harness_arrivals_due_total") == 4
    assert value(found, "harness_dropped_total") == 1
    assert value(found, "harness_asked_per_second") == pytest.approx(10, abs=0.6)
    assert value(found, "harness_exchange_faults_total", fault="disconnected") == 1
    assert value(found, "harness_ttft_seconds_count", **base) == 2
    assert value(found, "harness_ttft_seconds_sum", **base) == pytest.approx(0.44)
    assert value(found, "harness_ttft_seconds_bucket", **base, le="0.05") == 1
    assert value(found, "harness_ttft_seconds_bucket", **base, le="0.5") == 2
    assert value(found, "harness_ttft_seconds_bucket", **base, le="+Inf") == 2
    assert value(found, "harness_event_loop_lag_seconds", quantile="0.5") == 0.005
    assert value(found, "harness_event_loop_lag_seconds", quantile="1") == 0.04
    assert value(found, "harness_event_loop_lag_seconds_count") == 2


def test_what_is_not_known_or_not_limited_has_no_sample(tmp_path: Path) -> None:
    found = scraped(tally(plan(tmp_path, "base"))[0])
    names = {name for name, _ in found}
    for name in (
        "harness_verdict",
        "harness_own_delay_seconds",
        "harness_event_loop_lag_seconds",
        "harness_budget_used",
        "harness_asked_per_second",
        "harness_draining",
    ):
        assert not any(each.startswith(name) for each in names), name


def test_a_phase_without_end_plans_no_number(tmp_path: Path) -> None:
    found = scraped(tally(plan(tmp_path, "base", load="{main: {workers: 1, for: 5s}}"))[0])
    assert value(found, "harness_trials_planned", phase="main", variant="base") is None
    assert value(found, "harness_trials_total", phase="main", variant="base", fate="answered") == 0


def test_the_verdict_so_far_is_one_of_its_words(planned: Plan) -> None:
    told, _ = tally(planned)
    told.believed = Believed(Verdict(Word.DEGRADED), 7, 500, 0.06, 1.5)
    found = scraped(told)
    words = {str(word): value(found, "harness_verdict", word=str(word)) for word in Word}
    assert words == {"client-bound": 0, "server-saturated": 0, "degraded": 1, "valid": 0}
    assert value(found, "harness_own_delay_seconds", quantile="0.99") == 0.0015
    assert value(found, "harness_own_delay_seconds_count") is None


def test_a_run_that_stops_and_its_budget_are_told(planned: Plan) -> None:
    told, _ = tally(planned)
    told.reins.purse.tokens = 100
    told.reins.purse.book(30, 0.0)
    told.reins.stop(Skip.BUDGET)
    found = scraped(told)
    assert value(found, "harness_draining", why="budget") == 1
    assert value(found, "harness_budget_used", kind="tokens") == 30
    assert value(found, "harness_budget_limit", kind="tokens") == 100


def test_a_hostile_name_stays_the_value_of_a_label(planned: Plan) -> None:
    told, _ = tally(planned)
    told.add(answered(HOSTILE))
    found = scraped(told)
    assert value(found, "harness_trials_total", phase="main", variant=HOSTILE, fate="answered") == 1
    assert not any(name == "harness_evil" for name, _ in found)


def test_it_is_served_on_this_machine_only_for_as_long_as_it_is_wanted(planned: Plan) -> None:
    with serving(0) as told:
        assert told.url.startswith("http://127.0.0.1:")
        assert httpx.get(told.url).text == ""
        told.look(tally(planned)[0])
        answer = httpx.get(told.url)
        assert "text/plain" in answer.headers["content-type"]
        labels = {"phase": "main", "variant": "base", "fate": "error"}
        assert value(samples(answer.text), "harness_trials_total", **labels) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(told.url)


def test_a_port_that_is_taken_is_a_message() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortError, match=rf"--metrics-port {port}: .*in use"), serving(port):
            pass
