"""docs/scale.md: what was measured, what follows from it, and what a simulation makes of the same load."""

import json
from dataclasses import replace

import pytest

from tests.scale_tables import FIGURES, MEASURE, PAGE, POINTS
from tests.scaling.arithmetic import (
    PORTS,
    RATES,
    Constants,
    Machine,
    constants,
    costs,
    fitted,
    limits,
    middle,
    need,
    processes_a_machine,
    streams_a_process,
)
from tests.scaling.pages import SIMULATED, rendered, simulated
from tests.scaling.simulating import Costs, Load, simulate

AGAIN = "python -m tests.scale_tables"
MEASURED = json.loads(FIGURES.read_text())
ROWS = MEASURED["points"]["rows"]

ROUND = Constants(
    packet_us=6.0,
    keep_us=4.0,
    request_us=300.0,
    network_us=10.0,
    process_bytes=100e6,
    stream_bytes=30e3,
    packet_bytes=200.0,
    socket_bytes=10e3,
    wire_bytes=250.0,
    journal_bytes=250.0,
    table_us=20.0,
    table_bytes=1000.0,
)
CHEAP = Costs(
    read=10.0,
    packet=5.0,
    wake=15.0,
    request=300.0,
    keep=0.0,
    send=0.5,
    source_wake=1.0,
    answer=10.0,
    latency=10.0,
)


def test_the_tables_are_those_of_the_figures() -> None:
    page = PAGE.read_text()
    assert rendered(page, MEASURED, without=SIMULATED) == page, f"{AGAIN} writes the page"


@pytest.mark.endurance
@pytest.mark.timeout(300)
def test_the_tables_of_the_simulation_are_those_of_the_figures() -> None:
    page = PAGE.read_text()
    assert rendered(page, MEASURED) == page, f"{AGAIN} writes the page"


def test_every_point_was_measured_as_often_as_it_says() -> None:
    keys = ("streams", "processes", "packets", "rounds")
    asked = [tuple(getattr(each, key) for key in keys) for each in POINTS]
    runs = [row["runs"] for row in ROWS]
    assert [tuple(each[0][key] for key in keys) for each in runs] == asked
    assert {len(each) for each in runs} == {MEASURED["points"]["repeats"]}


def test_the_page_names_what_is_measured() -> None:
    assert f"{AGAIN} {' '.join(MEASURE)}" in PAGE.read_text()
    assert set(MEASURED) == set(MEASURE)


def test_costs_are_found_again_in_what_they_add_up_to() -> None:
    counts = [[1000, 10, 500], [20_000, 3000, 7000], [60_000, 20_000, 100], [5000, 0, 4000]]
    cpus = [sum(count * us for count, us in zip(row, (10, 5, 18), strict=True)) / 1e6 for row in counts]
    assert fitted(counts, cpus) == pytest.approx([10, 5, 18])


def test_what_would_cost_less_than_nothing_costs_nothing() -> None:
    counts = [[1000, 10], [2000, 1000], [3000, 10]]
    cpus = [1000 * 10e-6, 2000 * 10e-6 - 1000 * 2e-6, 3000 * 10e-6]
    assert fitted(counts, cpus)[1] == 0.0


def test_needs_follow_from_the_costs_as_by_hand() -> None:
    # A stream of 20 packets/s takes 20 × (6 + 4) + 300 / 30 = 210 µs a second, so 0.7 of a core has 3,333.
    # Those are 66,660 packets/s, for which the kernel takes 0.67 of a core: 15 cores hold 9 such processes.
    machine = Machine(cores=16)
    assert streams_a_process(ROUND, 20) == 3333
    assert processes_a_machine(ROUND, 20, machine) == 9
    it = need(ROUND, 100_000, 20, machine)
    assert (it.packets_s, round(it.requests_s)) == (2_000_000, 3333)
    assert it.processes == 31
    assert it.machines == 4  # of 9 × 3,333 streams
    assert it.cores == pytest.approx(21 + 20)
    assert it.gigabits == pytest.approx(4.0)
    assert it.addresses == 4  # of 28,232 ports
    assert it.table_gb == pytest.approx(60)


def test_ports_are_those_that_linux_gives() -> None:
    assert PORTS == 28_232


def test_more_streams_never_need_less() -> None:
    needs = [need(ROUND, streams, 50, Machine()) for streams in (1, 999, 10_000, 123_456, 1_000_000)]
    for name in ("cores", "processes", "machines", "memory_gb", "addresses", "gigabits"):
        values = [getattr(each, name) for each in needs]
        assert values == sorted(values), name


def test_a_machine_with_more_of_something_holds_no_fewer_streams() -> None:
    least = {each.what: each.streams for each in limits(ROUND, 50, Machine())}
    more = {each.what: each.streams for each in limits(ROUND, 50, Machine(32, 128, 100))}
    assert all(more[what] >= least[what] for what in least)


def test_cores_run_out_first_and_then_ports_as_the_page_says() -> None:
    assert "cores run out first, then the ports" in PAGE.read_text()
    for rate in RATES:
        found = sorted(limits(constants(MEASURED), rate, Machine()), key=lambda each: each.streams)
        assert [each.what for each in found[:2]] == ["cores", "ports"]


def test_the_same_seed_gives_the_same_simulation() -> None:
    load = Load(50, 2, 2, 20, 20_000)
    assert simulate(load, CHEAP, seconds=0.5, seed=3) == simulate(load, CHEAP, seconds=0.5, seed=3)


def test_what_is_offered_below_the_limit_is_read() -> None:
    told = simulate(Load(200, 1, 2, 20, 20_000, endless=True), CHEAP, seconds=1)
    assert told.packets_s == pytest.approx(200 * 50, rel=0.01)
    assert told.merged == 0
    # A read and, at most, a wake for each.
    assert 200 * 50 * 10e-6 < told.cpu < 200 * 50 * 25e-6


def test_a_process_beyond_its_limit_merges_reads_and_a_second_one_takes_half_of_them() -> None:
    load = Load(3000, 1, 4, 20, 20_000, endless=True)
    one = simulate(load, CHEAP, seconds=1)
    two = simulate(replace(load, processes=2), CHEAP, seconds=1)
    assert one.cpu == pytest.approx(1, abs=0.01)
    assert one.merged > 0.3
    assert two.merged < 0.05
    assert two.delay_p99_ms < one.delay_p99_ms / 3


def test_what_is_limited_by_requests_doubles_with_a_second_process() -> None:
    short = Load(20, 1, 4, 2, 1000, ttft=1000)
    one = simulate(short, CHEAP, seconds=1)
    two = simulate(replace(short, streams=40, processes=2), CHEAP, seconds=1)
    assert one.cpu == pytest.approx(1, abs=0.01)
    assert two.replies_s / one.replies_s == pytest.approx(2, rel=0.05)


def test_nothing_uses_more_cores_than_there_are() -> None:
    told = simulate(Load(6000, 3, 2, 20, 20_000), CHEAP, seconds=1)
    assert told.cpu + told.source_cpu <= 2.001


def named(row: dict[str, list[dict[str, int]]]) -> str:
    run = row["runs"][0]
    return f"{run['processes']} x {run['streams']} x {run['packets']}"


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=named)
def test_the_simulation_comes_to_what_was_measured(row: dict[str, list[dict[str, int]]]) -> None:
    """As far as docs/scale.md says it does."""
    at = middle(row)
    band = simulated(at, MEASURED["points"]["cores"], costs(MEASURED["points"]))
    low, high = band.of("packets_s")
    off = 0.1 if at["rounds"] == 1 else 0.25
    assert (1 - off) * low <= at["packets_s"] <= (1 + off) * high
    assert band.middle.cpu == pytest.approx(at["cpu"], rel=0.25)
    assert band.middle.source_cpu == pytest.approx(at["source_cpu"], rel=0.5)
    low, high = band.of("delay_p50_ms")
    assert low / 4 <= at["delay_ms"]["p50"] <= high * 4
    low, high = band.of("delay_p99_ms")
    assert low / 4 <= at["delay_ms"]["p99"]
