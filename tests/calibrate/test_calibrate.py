"""What a calibration measures, keeps, and says of a run."""

import json
from itertools import pairwise
from pathlib import Path
from statistics import median
from threading import get_native_id

import anyio
import msgspec
import pytest
from typer.testing import CliRunner

from harness.calibrate.kept import (
    FILE,
    Calibration,
    Machine,
    calibration,
    exactness,
    keep,
    this_machine,
)
from harness.calibrate.probe import Error, Measurement, Shape, achieved_per_s, measure, stamped, stream_source
from harness.calibrate.shapes import (
    cut_short,
    gave_out,
    holds,
    next_streams,
    remarks,
    search,
    shape_of,
    unsearched,
)
from harness.cli import app
from harness.drive.pool import drive
from harness.drive.reins import Reins
from harness.drive.transport import transports
from harness.errors import StandinError
from harness.metrics.figures import gaps_ns, longest_gap_ns
from harness.plan.trials import make_plan
from harness.result import Exchange, Result
from harness.sigma.client import Address, Client
from harness.suite.model import Suite
from harness.suite.read import parse_suite

MS = 1_000_000
RIGHT = Error(1000, 0.005, 0.02, 0.05, 0.2)


def measured(streams: int, **changed: object) -> Measurement:
    told = Measurement(
        shape=Shape(streams),
        packets=streams * 100,
        replies=streams,
        broken=0,
        stamps="kernel",
        arrived=RIGHT,
        arrived_all=RIGHT,
        seen=RIGHT,
        first=RIGHT,
        merged=0.0,
        cpu_us_per_packet=30.0,
        cpu_us_per_reply=3000.0,
        cpu=0.2,
        achieved_per_s=streams * 50.0,
        longest_collection_ms=1.0,
        source_late_ms=0.5,
    )
    return msgspec.structs.replace(told, **changed)


@pytest.mark.slow
@pytest.mark.anyio
async def test_a_small_load_is_read_whole_and_its_stamps_are_held_against_the_true_ones() -> None:
    async with stream_source() as source:
        told = await measure(Shape(8, packets_per_s=100, packets=30, ttft_ms=20), source, rounds=2)
    assert (told.replies, told.broken, told.packets) == (16, 0, 16 * 31)
    assert told.arrived_all.n == told.seen.n == told.packets
    assert told.first.n == 16
    error, seen = told.arrived_all, told.seen
    assert error.p50_ms is not None
    assert seen.p50_ms is not None
    assert 0 < error.p50_ms <= seen.p50_ms
    assert told.cpu_us_per_packet > 0
    assert told.source_late_ms is not None
    assert told.source_late_p50_ms is not None
    assert told.source_late_p50_ms <= told.source_late_ms
    assert (told.source_ceiling_per_s or 0) > told.achieved_per_s > 0
    assert 100 <= told.bytes_achieved <= 200


@pytest.mark.slow
@pytest.mark.anyio
async def test_a_load_that_is_not_held_is_searched_below() -> None:
    first = measured(40, shape=Shape(40, packets_per_s=100, packets=100, ttft_ms=20), broken=1)
    async with stream_source() as source:
        points = [point async for point in search(first, source)]
    assert points[0].shape == Shape(20, packets_per_s=100, packets=100, ttft_ms=20)
    assert points[0].replies + points[0].broken == 20 * points[0].shape.rounds


@pytest.mark.slow
@pytest.mark.anyio
async def test_a_stall_of_a_second_is_a_longest_gap_of_a_second_and_leaves_the_median_alone() -> None:
    """By our own stamps, as a run takes them; the true ones tell what each of them should have been."""
    async with stream_source() as source:
        exchanges = await read(source, "/m/ttft=20,gap=10,n=60,stall=30:1000")
    for exchange in exchanges:
        sent = [packet.sent_ns for packet in stamped(exchange)[2:-1]]
        longest = max(after - before for before, after in pairwise(sent))
        assert longest >= 1000 * MS
        assert abs((longest_gap_ns(exchange) or 0) - longest) < 500 * MS
    assert median(gap for exchange in exchanges for gap in gaps_ns(exchange)) < 100 * MS


async def read(source: str, path: str) -> list[Exchange]:
    plan = make_plan(
        parse_suite(
            f'suite: s\ntarget: {{base_url: "{source}{path}"}}\ndefaults: {{repeat: 5}}\n'
            "load: {workers: 5}\nprompts: [{message: go}]",
            Path("s.yaml"),
            {},
        )
    )
    transport, results = transports(source), list[Result]()
    address = Address(f"{source}{path}")
    await drive(
        plan.phase("main"),
        plan.suite.load["main"],
        lambda: Client(address, transport()),
        results.append,
        reins=Reins(),
    )
    exchanges = [exchange for result in results for exchange in result.exchanges]
    assert [exchange.failure for exchange in exchanges] == [None] * 5
    return exchanges


def test_replies_are_repeated_until_all_streams_have_gone_together_for_a_while() -> None:
    assert Shape(100).rounds == 1
    assert Shape(100, packets=40).rounds == 4
    assert Shape(2, packets=40).rounds == 2  # two streams begin within a moment
    assert Shape(2000, packets=1, ttft_ms=0.1).rounds == 5  # and no more replies than are soon read
    assert Shape(50_000, packets=1, ttft_ms=0.1).rounds == 1


def test_packets_a_second_are_counted_while_all_streams_are_going() -> None:
    beat = 20 * MS
    one = [n * beat for n in range(100)]
    two = [50 * beat + n * beat for n in range(100)]
    assert achieved_per_s([one, two], 2) == pytest.approx(100, rel=0.02)
    assert achieved_per_s([one], 1) == pytest.approx(50)
    assert achieved_per_s([one[:10], two], 2) == pytest.approx(110 / 2.98, rel=0.02)  # never together
    assert achieved_per_s([], 1) == achieved_per_s([[5]], 1) == 0.0


def test_a_machine_too_slow_for_the_load_is_client_bound() -> None:
    assert not measured(100).client_bound
    assert measured(100, arrived_all=Error(1000, 0.1, 1.1, 2, 3)).client_bound  # 5 % of a gap of 20 ms
    slow = Shape(100, packets_per_s=5)
    assert not measured(100, shape=slow, arrived_all=Error(1000, 0.1, 9.0, 9, 9)).client_bound
    assert measured(100, first=Error(1000, 0.1, 11.0, 12, 13)).client_bound  # 5 % of a TTFT of 200 ms
    assert measured(100, cpu=0.95).client_bound
    assert not measured(100, arrived_all=Error(9, 0.1, None, None, 5)).client_bound


def test_the_ceiling_is_searched_upwards_downwards_and_in_between() -> None:
    def lost(streams: int) -> Measurement:
        return measured(streams, broken=1)

    assert next_streams([measured(100)]) == 500
    assert next_streams([measured(100), measured(500), measured(1000)]) == 2000
    assert next_streams([measured(1000), lost(2000)]) == 1400
    assert next_streams([measured(1000), lost(2000), measured(1400)]) is None
    assert next_streams([measured(2000)]) is None
    assert next_streams([lost(3000)]) == 1500
    assert next_streams([lost(3000), measured(1500)]) == 2100
    assert next_streams([lost(15)]) is None
    assert next_streams([measured(500, source_late_ms=20.0)]) is None


def test_an_end_of_the_search_that_was_not_the_ceiling_is_said() -> None:
    assert unsearched([measured(2000)]) == "more than 2,000 streams were not tried"
    assert unsearched([measured(500, source_late_ms=20.0)]) == "the source gave out first"
    assert unsearched([measured(500), measured(1000, broken=1)]) == ""


def test_what_is_wrong_with_a_measurement_is_said_beside_it() -> None:
    late = measured(
        500, cpu=0.95, source_late_p50_ms=0.1, source_late_ms=20.0, source_late_max_ms=30.0,
        source_ceiling_per_s=70_000.0,
    )  # fmt: skip
    source = (
        "the source at 25,000 packets/s: late by 0.10 ms (p50), 20.00 (p99), 30.00 (max); "
        "at that cost a CPU sends 70,000 packets/s"
    )
    said = list(remarks([measured(100), late], "for a reason"))
    assert said == [
        "client-bound at 500 streams: this machine is too slow to time them",
        "the source was late at 500 streams: its packets came less evenly than asked for",
        source,
        "the ceiling is at least that: for a reason",
    ]
    assert list(remarks([measured(100)])) == []


def test_long_replies_are_cut_short_at_the_rate_that_they_have() -> None:
    cut = cut_short(Shape(10, packets_per_s=20, packets=2000, ttft_ms=8000))
    assert (cut.packets_per_s, cut.packets, cut.ttft_ms) == (20, 48, 1000)
    assert cut_short(Shape(10)) == Shape(10)
    assert cut_short(Shape(10, packets_per_s=0.1)).packets == 1


def test_a_load_is_held_while_nothing_breaks_and_the_stamps_are_right() -> None:
    assert holds(measured(100))
    assert not holds(measured(100, broken=1))
    assert not holds(measured(100, cpu=0.95))
    assert not holds(measured(100, arrived_all=Error(1000, 0.005, 2.0, 3.0, 9.0)))
    assert not holds(measured(100, arrived_all=Error(10, 0.005, None, None, 0.2)))
    assert gave_out(measured(100, source_late_ms=20.0))
    assert not gave_out(measured(100, source_late_ms=None))


def test_a_run_is_as_exact_as_what_was_measured_at_a_load_no_lower(tmp_path: Path) -> None:
    points = (measured(100), measured(500, arrived_all=Error(9, 0.006, 0.9, None, 2.0)))
    keep(calibration(points, ceiling=points[1], gave_out=False), tmp_path)
    near = exactness(tmp_path, 100, 5400.0)  # the same load: neither comes out the same twice
    assert (near.streams, near.p99_ms) == (100, 0.02)
    small = exactness(tmp_path, 50, 2000.0)
    assert (small.streams, small.p99_ms, small.n) == (100, 0.02, 1000)
    more = exactness(tmp_path, 200, 2000.0)
    assert (more.streams, more.p99_ms, more.why_not) == (500, 0.9, "")
    beyond = exactness(tmp_path, 50, 30_000.0)
    assert beyond.p99_ms is None
    assert beyond.why_not.startswith("calibrated up to 25,000 packets/s only, and the run had 30,000 in 50")


def test_without_a_calibration_of_this_machine_exactness_is_not_known_and_why(tmp_path: Path) -> None:
    assert exactness(tmp_path, 1, 1.0).why_not.startswith("not calibrated: harness calibrate")
    told = calibration((measured(100),), ceiling=None, gave_out=False)
    other = msgspec.structs.replace(told, machine=Machine("elsewhere", 64, "3.11", "0"))
    keep(other, tmp_path)
    assert "another machine" in exactness(tmp_path, 1, 1.0).why_not
    (tmp_path / FILE).write_text("{}")
    assert "none of this version" in exactness(tmp_path, 1, 1.0).why_not


def test_the_recommended_number_in_flight_leaves_room_below_the_ceiling() -> None:
    told = Calibration(at="", machine=this_machine(), points=(), ceiling_per_s=20_000.0)
    assert told.in_flight(50.0) == 280
    assert Calibration(at="", machine=this_machine(), points=()).in_flight(50.0) is None


def suite(load: str) -> Suite:
    return parse_suite(
        f"suite: s\ntarget: standin\nload: {load}\nprompts: [{{message: hello}}]", Path("s.yaml"), {}
    )


@pytest.mark.parametrize(
    ("load", "streams"),
    [
        ("{workers: 40}", 40),
        ("{a: {workers: 3}, b: {workers: 70, for: 5s}}", 70),
        ("{rate: 10/s, for: 5s}", 51),
        ("{rate: 10/s, for: 5s, max_in_flight: 5}", 5),
    ],
)
def test_a_suite_without_a_run_has_the_streams_of_its_heaviest_phase_and_usual_replies(
    load: str, streams: int, tmp_path: Path
) -> None:
    shape, said = shape_of(suite(load), tmp_path)
    assert shape == Shape(streams)
    assert said == f"{streams} streams as in s, which has no run yet: usual replies"


def test_a_trace_has_the_streams_of_its_busiest_second(tmp_path: Path) -> None:
    """Ten in a second here, as of the even load above; at half the pace five."""
    rows = [0.0, *(5 + number / 10 for number in range(10)), 30.0]
    (tmp_path / "t.csv").write_text("due_s\n" + "".join(f"{at}\n" for at in rows))
    text = "suite: s\ntarget: standin\nprompts: [{message: hello}]\nload: "
    for load, streams in (("{trace: t.csv}", 51), ("{trace: t.csv, speed: 0.5x}", 29)):
        told = parse_suite(text + load, tmp_path / "s.yaml", {})
        assert shape_of(told, tmp_path)[0] == Shape(streams)


@pytest.mark.slow
def test_the_command_measures_prints_and_keeps(tmp_path: Path) -> None:
    written = tmp_path / "s.yaml"
    written.write_text(
        "suite: s\ntarget: standin\nload: {workers: 6}\nprompts: [{message: hello, repeat: 12}]\n"
        'defaults: {llm_override: {model_provider: Simulated, model_version: "sim:gap=2ms,tokens=9"}}'
    )
    results = ["--results", str(tmp_path / "results")]
    runner = CliRunner()
    ran = runner.invoke(app, ["run", str(written), *results])
    assert ran.exit_code == 0, ran.output
    assert "exactness: not known; not calibrated" in ran.output
    told = runner.invoke(app, ["calibrate", str(written), "--quick", "--json", *results])
    assert told.exit_code == 0, told.output
    assert "6 streams as in s, replies as in its latest run (n = 1" in told.stderr  # 12, as a rule
    (point,) = json.loads(told.stdout)["points"]
    shape = Shape(**point["shape"])
    assert (shape.streams, point["replies"]) == (6, 6 * shape.rounds)
    assert 9 <= point["shape"]["packets"] <= 13
    again = runner.invoke(app, ["grade", "s", "--retime", *results])
    assert "exactness: not known; not calibrated" in again.output  # a run is judged by what was known then
    table = runner.invoke(app, ["calibrate", "--streams", "4", "--quick", *results])
    assert "4 streams, error from 1 µs to 1 s" in table.output
    assert "at that cost a CPU sends" in table.output
    assert "ceiling" not in table.output


def test_a_source_that_does_not_come_up_is_told_at_once() -> None:
    async def main() -> None:
        async with stream_source("harness.nowhere"):
            raise AssertionError("there is no such program")

    with pytest.raises(StandinError, match="did not come up"):
        anyio.run(main)


def test_a_source_that_ended_by_itself_is_no_error_of_the_block() -> None:
    def children() -> set[str]:
        return set(Path(f"/proc/self/task/{get_native_id()}/children").read_text().split())

    async def main() -> None:
        before = children()  # a stand-in of other tests, say
        async with stream_source("tests.calibrate.ended") as source:
            assert source == "http://127.0.0.1:1"
            while children() - before:  # noqa: ASYNC110  a process that ends sets no event
                await anyio.sleep(0.001)
            await anyio.sleep(0.01)  # the loop has heard of it, or the test shows nothing

    anyio.run(main)


def test_the_source_ends_with_the_block() -> None:
    async def main() -> None:
        async with stream_source() as source:
            assert source.startswith("http://127.0.0.1:")

    anyio.run(main)
