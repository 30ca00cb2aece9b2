"""What a calibration measures, keeps, and says of a run."""

import json
from pathlib import Path

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
from harness.calibrate.probe import Error, Measurement, Shape, measure, stream_source
from harness.calibrate.shapes import gave_out, holds, shape_of
from harness.cli import app
from harness.errors import StandinError
from harness.suite.model import Suite
from harness.suite.read import parse_suite

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
        ("{rate: 10/s, for: 5s}", 36),
        ("{rate: 10/s, for: 5s, max_in_flight: 5}", 5),
    ],
)
def test_a_suite_without_a_run_has_the_streams_of_its_heaviest_phase_and_usual_replies(
    load: str, streams: int, tmp_path: Path
) -> None:
    shape, said = shape_of(suite(load), tmp_path)
    assert shape == Shape(streams)
    assert said == f"{streams} streams as in s, which has no run yet: usual replies"


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
    assert (point["shape"]["streams"], point["replies"]) == (6, 12)
    assert 9 <= point["shape"]["packets"] <= 13
    again = runner.invoke(app, ["grade", "s", "--retime", *results])
    assert "exactness: not known; not calibrated" in again.output  # a run is judged by what was known then
    table = runner.invoke(app, ["calibrate", "--streams", "4", "--quick", *results])
    assert "4 streams, error from 1 µs to 1 s" in table.output
    assert "ceiling" not in table.output


def test_a_source_that_does_not_come_up_is_told_at_once() -> None:
    async def main() -> None:
        async with stream_source("harness.nowhere"):
            raise AssertionError("there is no such program")

    with pytest.raises(StandinError, match="did not come up"):
        anyio.run(main)


def test_the_source_ends_with_the_block() -> None:
    async def main() -> None:
        async with stream_source() as source:
            assert source.startswith("http://127.0.0.1:")

    anyio.run(main)
