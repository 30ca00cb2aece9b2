"""How long it takes to grade 100,000 recorded results: from the journal to the tables, and the checks alone.

``pytest tests/benchmarks/test_grading_speed.py --benchmark-only -s``. Five text checks and two of the
trajectory, replies of 15 packets. Times are CPU seconds of one process.
"""

import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec import structs
from pytest_benchmark.fixture import BenchmarkFixture

from harness import journal
from harness.grade.checks import grade
from harness.plan.trials import Plan, make_plan
from harness.record import store
from harness.suite.read import parse_suite
from tests.replies import IDS, SESSION, STOP, delta, exchange, packet, result, searched

COUNT = 100_000
CHECKS = """
      - {type: icontains, value: word}
      - {type: contains-all, value: [word, words]}
      - {type: not-contains, value: absent}
      - {type: regex, value: 'w\\w+d'}
      - {type: not-is-refusal}
      - {type: "trajectory:tool-sequence", value: [internal_search]}
      - {type: "trajectory:tool-used", value: {pattern: search, max: 3}}
"""
LINES = [SESSION, IDS, *searched(), packet("message_start", 1), *[delta("words of it ", 1)] * 8, STOP]
ONE = exchange(LINES)


def planned(count: int, path: Path = Path("s.yaml")) -> Plan:
    prompt = f"  - id: p\n    message: hi\n    repeat: {count}\n    assert:{CHECKS}"
    text = f"suite: s\ntarget: standin\nprompts:\n{prompt}"
    return make_plan(parse_suite(text, path, {}))


def test_the_checks_alone(benchmark: BenchmarkFixture) -> None:
    trial, one = planned(1).trials[0], result(ONE)

    def all_of_them() -> None:
        for _ in range(COUNT):
            grade(one, trial)

    began = time.process_time()
    benchmark.pedantic(all_of_them, rounds=1)  # type: ignore[no-untyped-call]
    print(f"\n{COUNT:,} results, 7 checks: {time.process_time() - began:.1f} s of CPU")


@pytest.mark.timeout(600)
def test_a_recorded_run_is_graded_again(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    def again() -> None:
        for count in (COUNT // 10, COUNT):
            folder = recorded(tmp_path / str(count), count)
            subprocess.run([*HARNESS, folder, "--retime"], check=True, capture_output=True)
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            told = subprocess.run([*TIMED, *HARNESS, folder], check=True, capture_output=True, text=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(
                f"\n{count:,} recorded results: {spent:.1f} s of CPU, {told.stderr.strip().splitlines()[-1]}"
            )

    benchmark.pedantic(again, rounds=1)  # type: ignore[no-untyped-call]


HARNESS = (sys.executable, "-m", "harness", "grade", "--quiet", "--json")
MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024, "MB at most", file=sys.stderr)
"""
TIMED = (sys.executable, "-c", MEASURE)


def recorded(root: Path, count: int) -> Path:
    """The folder of a run with so many results."""
    folder = root / "results" / "s" / "20260101T000000Z-0000"
    folder.mkdir(parents=True)
    plan = planned(count, root / "s.yaml")
    with journal.Journal(folder / journal.JOURNAL) as book:
        for trial in plan.trials:
            one = structs.replace(ONE, exchange_id=f"{trial.trial_id}.1.1")
            told = structs.replace(
                result(one, trial_id=trial.trial_id, variant=trial.variant),
                case_id="p",
                repeat=trial.repeat,
                began_ns=ONE.began_ns,
                ended_ns=ONE.ended_ns,
            )
            book.append(told)
    manifest = store.Manifest(
        run_id=folder.name,
        suite="s",
        suite_path=str(plan.suite.path),
        suite_text=plan.suite.text,
        target="http://127.0.0.1:1",
        dialect="sigma",
        seed=0,
        choice={},
        planned=count,
        started_at="2026-01-01T00:00:00+00:00",
        started_ns=0,
        ended_ns=1,
        exit_code=0,
    )
    store.write_manifest(manifest, folder)
    return folder
