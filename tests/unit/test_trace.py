"""Arrivals of a file: to the nanosecond as they were, or told what is wrong before anything is sent."""

from itertools import pairwise
from math import inf, nan
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.conduct.earlier import digest_of
from harness.errors import SuiteError, UsageError
from harness.plan.schedule import SECOND, peak
from harness.plan.trials import Choice, Plan, make_plan
from harness.suite import trace
from harness.suite.dataset import DatasetError
from harness.suite.phases import Trace
from harness.suite.read import load_suite
from tests import formats
from tests.fuzz.mutated import bytes_of

MS = 1_000_000
FORMATS = ["a.csv", "a.tsv", "a.jsonl", "a.parquet"]


def written(folder: Path, rows: list[dict[str, Any]], name: str = "a.parquet") -> Path:
    return formats.written(pl.DataFrame(rows, infer_schema_length=None, strict=False), folder / name)


def times(folder: Path, name: str = "a.parquet", **keys: Any) -> list[int]:
    return [row.at_ns for row in trace.rows(Trace.model_validate({"path": name, **keys}), folder)]


def refused(folder: Path, name: str = "a.parquet", **keys: Any) -> str:
    with pytest.raises(DatasetError) as caught:
        times(folder, name, **keys)
    return str(caught.value)


def run_of(folder: Path, name: str = "a.parquet") -> Path:
    """The trials of a run as its table has them: in the order in which they ended, of two phases."""
    rows = [
        ("t1", "b", "deep", "peak", 5 * SECOND + 7, 5 * SECOND + 9),
        ("t2", "a", "base", "peak", 5 * SECOND, 5 * SECOND + 3),
        ("t3", "a", "base", "eval", None, 2 * SECOND),
        ("t4", "b", "base", "eval", None, None),
        ("t5", "b", "deep", "peak", 6 * SECOND, None),
    ]
    columns = ("trial_id", "case_id", "variant", "phase", "due_ns", "began_ns")
    return written(folder, [dict(zip(columns, row, strict=True)) for row in rows], name)


# Times


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("due_ns", [1_700_000_000_000_000_001, 1_700_000_000_000_000_002, 1_700_000_001_000_000_000]),
        ("due_s", [0.1, 0.100000001, 1.099999999]),
    ],
)
def test_every_format_gives_the_times_as_they_are_from_the_first_on(
    tmp_path: Path, name: str, column: str, values: list[Any]
) -> None:
    written(tmp_path, [{column: value} for value in values], name)
    assert times(tmp_path, name) == [0, 1, 999_999_999]


@given(st.lists(st.integers(0, 10**15), min_size=1, max_size=60), st.sampled_from(FORMATS))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_trace_says_falls_due_then_to_the_nanosecond(
    tmp_path: Path, stamps: list[int], name: str
) -> None:
    stamps = sorted(stamps)
    written(tmp_path, [{"due_ns": stamp} for stamp in stamps], name)
    trace._rows.cache_clear()  # two files written in one tick of the clock may be of one size
    assert times(tmp_path, name) == [stamp - stamps[0] for stamp in stamps]


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    written(tmp_path, [{"due_ns": 0}, {"due_ns": 5}])
    assert times(tmp_path) == [0, 5]
    written(tmp_path, [{"due_ns": 0}, {"due_ns": 5}, {"due_ns": 70_000}] * 1)
    assert times(tmp_path) == [0, 5, 70_000]


def test_a_trace_may_begin_in_the_middle_of_its_file(tmp_path: Path) -> None:
    written(tmp_path, [{"due_s": at} for at in (10, 12, 13.5, 20)])
    assert times(tmp_path, **{"from": "2s"}) == [0, 1_500 * MS, 8 * SECOND]
    assert times(tmp_path, **{"from": "3s"}) == [500 * MS, 7 * SECOND]
    assert "its last arrival, 10.000 s after its first" in refused(tmp_path, **{"from": "11s"})


def test_the_table_of_a_run_is_a_trace_as_it_is(tmp_path: Path) -> None:
    """Due or, in a closed load, begun; what was never begun there is left out, what was dropped is not."""
    run_of(tmp_path)
    rows = trace.rows(Trace(path="a.parquet"), tmp_path)
    assert [(row.at_ns, row.variant, row.case_id) for row in rows] == [
        (0, "base", "a"), (3 * SECOND, "base", "a"), (3 * SECOND + 7, "deep", "b"), (4 * SECOND, "deep", "b")
    ]  # fmt: skip
    assert times(tmp_path, phase="peak") == [0, 7, SECOND]
    assert "no row of it is of phase pek; did you mean peak? it has peak, eval" in refused(
        tmp_path, phase="pek"
    )


# What is wrong


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("rows", "says"),
    [
        pytest.param([{"due_s": 1}, {"due_s": 3}, {"due_s": 2}], "row 3 was due before row 2", id="unsorted"),
        pytest.param(
            [{"due_s": -1.5}, {"due_s": 3}], "row 1: due_s is -1.5: a time is 0 or more", id="negative"
        ),
        pytest.param(
            [{"due_s": 1.0, "prompt": "a"}, {"due_s": None, "prompt": "a"}],
            "row 2: due_s is missing: a number of",
            id="null",
        ),
        pytest.param(
            [{"due_ns": 1, "prompt": "a"}, {"due_ns": None, "prompt": "a"}],
            "row 2: due_ns is missing: a whole",
            id="no ns",
        ),
        pytest.param(
            [{"due_ns": 1.5}], "row 1: due_ns is 1.5: a whole number of nanoseconds", id="half a ns"
        ),
        pytest.param([{"due_s": "soon"}], "row 1: due_s is soon: a number of seconds is wanted", id="words"),
        pytest.param([{"due": 1}], "its columns are due", id="no unit"),
        pytest.param(
            [{"due_s": 1, "due_ns": 1}], "it has due_ns and due_s: leave one of them out", id="both"
        ),
        pytest.param(
            [{"due_s": 0}, {"due_s": 3_600_000}], "is 42 days after the first, and 31", id="ms as s"
        ),
        pytest.param([{"due_s": 0, "exchange_id": "x"}], "say trials.parquet, beside it", id="exchanges"),
    ],
)
def test_what_is_wrong_with_a_trace_is_told_with_its_row(
    tmp_path: Path, rows: list[dict[str, Any]], says: str, name: str
) -> None:
    written(tmp_path, rows, name)
    assert says in refused(tmp_path, name)


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_what_is_no_number_is_no_time(tmp_path: Path, value: float) -> None:
    written(tmp_path, [{"due_s": 0.5}, {"due_s": value}])
    assert f"row 2: due_s is {value}: a number of seconds is wanted" in refused(tmp_path)
    assert "is wanted" in refused(written(tmp_path, [{"due_ns": value}], "b.parquet").parent, "b.parquet")


def test_a_name_of_another_kind_is_told(tmp_path: Path) -> None:
    written(tmp_path, [{"due_s": 0, "variant": [1, 2]}])
    assert "row 1: variant is [1, 2]: a name is wanted" in refused(tmp_path)
    written(tmp_path, [{"due_s": 0, "variant": 7}], "b.parquet")
    assert trace.rows(Trace(path="b.parquet"), tmp_path)[0].variant == "7"


def test_no_file_no_row_and_too_many_rows_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "there is no such file beside the suite" in refused(tmp_path)
    written(tmp_path, [{"due_s": at} for at in range(4)])
    assert "did you mean a.parquet?" in refused(tmp_path, "b.parquet")
    pl.DataFrame({"due_s": []}, schema={"due_s": pl.Float64}).write_parquet(tmp_path / "none.parquet")
    (tmp_path / "none.csv").write_text("due_s\n")
    for name in ("none.parquet", "none.csv"):
        assert f"{name}: there is no row in it" in refused(tmp_path, name)
    monkeypatch.setattr(trace, "MOST", 3)
    for name in ("more.parquet", "more.csv"):
        written(tmp_path, [{"due_s": at} for at in range(4)], name)
        assert f"{name}: it has more than 3 rows, which are the most" in refused(tmp_path, name)


def test_the_folder_of_a_run_is_told_what_is_meant(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    run_of(tmp_path, "run/trials.parquet")
    assert "of a run say run/trials.parquet" in refused(tmp_path, "run/")


HONEST = [b"due_s,variant\n1,a\n2.5,\n", b'{"due_ns": 1, "prompt": "p"}\n{"due_ns": 2}\n']


@given(bytes_of(HONEST), st.sampled_from(["a.csv", "a.tsv", "a.jsonl"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_is_a_trace_in_order_or_is_refused_in_one_line(
    tmp_path: Path, data: bytes, name: str
) -> None:
    (tmp_path / name).write_bytes(data)
    trace._rows.cache_clear()
    told, refusal = [0], ""
    try:
        told = times(tmp_path, name)
    except DatasetError as error:
        refusal = str(error)
    assert "\n" not in refusal
    assert told == sorted(told)
    assert told[0] == 0


# In a suite

SUITE = """
suite: s
target: standin
variants: {base: {}, deep: {deep_research: true, only: [b]}}
budget: {deep_research: 100}
prompts: [{id: a, message: hello}, {id: b, message: hi}]
load:
"""


def planned(folder: Path, phase: str, **choice: Any) -> Plan:
    path = folder / "s.yaml"
    path.write_text(SUITE + f"  again: {phase}\n")
    return make_plan(load_suite(path), Choice(**choice))


def asked(plan: Plan) -> list[tuple[int, str, str]]:
    return [(trial.due_ns or 0, trial.variant, trial.case.case_id) for trial in plan.trials]


def problem(folder: Path, phase: str) -> str:
    with pytest.raises(SuiteError) as caught:
        planned(folder, phase)
    (told,) = caught.value.problems
    assert told.line == 8
    return told.message


def test_a_run_is_replayed_by_variant_and_prompt(tmp_path: Path) -> None:
    run_of(tmp_path)
    plan = planned(tmp_path, "{trace: a.parquet}")
    assert asked(plan) == [
        (0, "base", "a"), (3 * SECOND, "base", "a"), (3 * SECOND + 7, "deep", "b"), (4 * SECOND, "deep", "b")
    ]  # fmt: skip
    assert {trial.window for trial in plan.trials} == {"measured"}
    assert [trial.repeat for trial in plan.trials] == [1, 2, 1, 2]
    assert len({trial.trial_id for trial in plan.trials}) == 4
    assert {trial.retry.attempts for trial in plan.trials} == {1}


def test_speed_presses_the_times_together_and_for_cuts_them(tmp_path: Path) -> None:
    written(tmp_path, [{"due_ns": at * SECOND + 1} for at in range(10)])
    assert [due for due, _, _ in asked(planned(tmp_path, "{trace: a.parquet, speed: 2x, for: 3s}"))] == [
        number * SECOND // 2 for number in range(6)
    ]
    slow = planned(tmp_path, "{trace: a.parquet, speed: 0.5x, warm_up: 3s, for: 4s, cool_down: 2s}")
    assert [(trial.due_ns or 0) // SECOND for trial in slow.trials] == [0, 2, 4, 6, 8]
    windows = [trial.window for trial in slow.trials]
    assert windows == ["warm_up", "warm_up", "measured", "measured", "cool_down"]


@given(st.integers(1, 997), st.lists(st.integers(0, 10**12), min_size=1, max_size=50))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_error_of_a_speed_adds_up(tmp_path: Path, speed: int, stamps: list[int]) -> None:
    stamps = sorted(stamps)
    written(tmp_path, [{"due_ns": stamp} for stamp in stamps])
    trace._rows.cache_clear()
    due = [each for each, _, _ in asked(planned(tmp_path, f"{{trace: a.parquet, speed: {speed / 100}x}}"))]
    assert due == sorted(due)
    assert len(due) == len(stamps)
    assert all(
        abs(got * speed - (at - stamps[0]) * 100) <= speed for got, at in zip(due, stamps, strict=True)
    )


def test_what_a_row_does_not_name_is_dealt_as_in_any_load(tmp_path: Path) -> None:
    """Without names the variants get their shares, and each goes over all its prompts before any again."""
    written(tmp_path, [{"due_ns": at} for at in range(300)])
    plan = planned(tmp_path, "{trace: a.parquet, mix: {base: 98, deep: 2}}")
    assert plan.trials == planned(tmp_path, "{trace: a.parquet, mix: {base: 98, deep: 2}}").trials
    assert abs(sum(trial.variant == "deep" for trial in plan.trials) - 6) <= 1
    base = [trial.case.case_id for trial in plan.trials if trial.variant == "base"]
    assert all(set(base[at : at + 2]) == {"a", "b"} for at in range(0, len(base) - 1, 2))
    assert len({trial.trial_id for trial in plan.trials}) == 300


def test_a_row_may_name_one_of_the_two(tmp_path: Path) -> None:
    rows = [
        {"due_ns": at, "variant": "base" if at % 2 else None, "prompt": None if at % 2 else "b"}
        for at in range(8)
    ]
    written(tmp_path, rows)
    got = asked(planned(tmp_path, "{trace: a.parquet, mix: {base: 1, deep: 1}}"))
    assert all(variant == "base" for due, variant, _ in got if due % 2)
    assert all(case_id == "b" for due, _, case_id in got if not due % 2)
    assert sorted(variant for due, variant, _ in got if not due % 2) == ["base"] * 2 + ["deep"] * 2


def test_a_choice_leaves_the_times_of_the_rest_where_they_were(tmp_path: Path) -> None:
    run_of(tmp_path)
    assert asked(planned(tmp_path, "{trace: a.parquet}", variants=("deep",))) == [
        (3 * SECOND + 7, "deep", "b"), (4 * SECOND, "deep", "b")
    ]  # fmt: skip
    assert [due for due, _, _ in asked(planned(tmp_path, "{trace: a.parquet}", prompts=("a",)))] == [
        0,
        3 * SECOND,
    ]


def test_a_choice_that_leaves_nobody_a_share_is_told(tmp_path: Path) -> None:
    written(tmp_path, [{"due_ns": 1}])
    with pytest.raises(UsageError, match="none of the variants with a share in mix asks any of the chosen"):
        planned(tmp_path, "{trace: a.parquet, mix: {base: 1}}", variants=("deep",))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (
            {"variant": "bose"},
            'row 2: "bose" is no variant of this suite; did you mean base? it has base, deep',
        ),
        (
            {"prompt": "c"},
            'row 2: "c" is no prompt of this suite; it has a, b; with {path: ..., ignore: prompt}',
        ),
        (
            {"variant": "deep", "prompt": "a"},
            "row 2 asks prompt a, and variant deep does not run on it (only:)",
        ),
    ],
)
def test_what_the_suite_does_not_have_is_told_before_anything_is_sent(
    tmp_path: Path, row: dict[str, Any], says: str
) -> None:
    written(tmp_path, [{"due_ns": 1, "variant": "base", "prompt": "a"}, {"due_ns": 2, **row}])
    assert says in problem(tmp_path, "{trace: a.parquet}")


def test_names_of_another_suite_may_be_left_aside(tmp_path: Path) -> None:
    written(tmp_path, [{"due_ns": at, "variant": "old", "prompt": "b"} for at in range(4)])
    got = asked(planned(tmp_path, "{trace: {path: a.parquet, ignore: variant}, mix: {deep: 1}}"))
    assert got == [(at, "deep", "b") for at in range(4)]


def test_a_trace_of_which_nothing_is_measured_is_told(tmp_path: Path) -> None:
    written(tmp_path, [{"due_s": 0}, {"due_s": 4}])
    assert "nothing of it is due while the phase is measured" in problem(
        tmp_path, "{trace: a.parquet, warm_up: 5s}"
    )
    assert "its last arrival is after 2.000 s" in problem(
        tmp_path, "{trace: a.parquet, speed: 2x, warm_up: 3s}"
    )


def test_keys_of_other_loads_are_told(tmp_path: Path) -> None:
    written(tmp_path, [{"due_s": 0}])
    with pytest.raises(SuiteError) as caught:
        planned(
            tmp_path, "{trace: a.parquet, rate: 2/s, arrivals: poisson, ramp: 1s, workers: 3, cool_down: 1s}"
        )
    told = [each.message.partition(":")[0] for each in caught.value.problems]
    assert told == [f"load.again.{key}" for key in ("rate", "arrivals", "ramp", "workers", "cool_down")]
    assert "this is for a trace: say trace: FILE" in problem(tmp_path, "{rate: 2/s, speed: 2x}")
    assert "a speed is so many times as fast: write 2x" in problem(tmp_path, "{trace: a.parquet, speed: 2}")


def test_a_trace_that_is_the_latest_run_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()
    run_of(tmp_path, "latest/trials.parquet")
    warnings = planned(tmp_path, "{trace: latest/trials.parquet}").suite.warnings
    assert any(each.startswith("load.again.trace: the latest run is another one soon") for each in warnings)


def test_a_trace_with_other_times_makes_another_plan_though_the_trials_are_the_same(tmp_path: Path) -> None:
    phase = "{trace: a.parquet}"
    written(tmp_path, [{"due_s": 0}, {"due_s": 4.0}])
    before = planned(tmp_path, phase)
    written(tmp_path, [{"due_s": 0}, {"due_s": 4.000000001}])
    trace._rows.cache_clear()
    after = planned(tmp_path, phase)
    assert [each.trial_id for each in after.trials] == [each.trial_id for each in before.trials]
    assert digest_of(after) != digest_of(before)
    written(tmp_path, [{"due_s": 0}, {"due_s": 4.0}])
    trace._rows.cache_clear()
    assert digest_of(planned(tmp_path, phase)) == digest_of(before)


def test_a_trace_whose_file_is_gone_since_the_suite_was_read_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, [{"due_s": 0}])
    suite = planned(tmp_path, "{trace: a.parquet}").suite
    path.unlink()
    with pytest.raises(UsageError, match=r"load\.again\.trace: a\.parquet: there is no such file"):
        make_plan(suite)


@given(st.lists(st.integers(0, 5 * SECOND), max_size=40))
def test_the_busiest_second_is_the_one_in_which_most_falls_due(stamps: list[int]) -> None:
    due = sorted(stamps)
    assert peak(due) == max((sum(at <= other < at + SECOND for other in due) for at in due), default=0)


def test_a_trace_is_in_order_whatever_the_run_was(tmp_path: Path) -> None:
    run_of(tmp_path)
    assert all(a <= b for a, b in pairwise(times(tmp_path)))
