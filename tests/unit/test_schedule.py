"""Arrivals: exact where they are even, inside the bands of a true Poisson schedule where they are random."""

from collections import Counter
from itertools import islice, pairwise
from math import sqrt
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.plan.schedule import Arrival, arrivals, ends_ns, stretches
from harness.plan.trials import Choice, make_plan
from harness.suite.phases import Phase
from harness.suite.read import parse_suite

MS = 1_000_000
SECOND = 1_000_000_000
SEEDS = 200

# Central 99 % of 20,000 true Poisson schedules at 20/s for 60 s (oracle `arrival_conformance`).
GAP_CV, DISPERSION, LAG_1, COUNT = (0.929, 1.081), (0.594, 1.563), (-0.072, 0.078), (1110, 1290)


def load(**keys: Any) -> Phase:
    return Phase.model_validate(keys)


def seconds(phase: Phase, seed: int = 0) -> list[float]:
    return [arrival.due_ns / SECOND for arrival in arrivals(phase, seed)]


def gap_cv(times: list[float]) -> float:
    gaps = [later - earlier for earlier, later in pairwise(times)]
    return pstdev(gaps) / fmean(gaps)


def dispersion(times: list[float], length: int) -> float:
    counts = Counter(int(time) for time in times)
    each = [counts[second] for second in range(length)]
    return pstdev(each) ** 2 * length / (length - 1) / fmean(each)


def lag_1(times: list[float]) -> float:
    gaps = [later - earlier for earlier, later in pairwise(times)]
    mean = fmean(gaps)
    return sum((a - mean) * (b - mean) for a, b in pairwise(gaps)) / sum((gap - mean) ** 2 for gap in gaps)


def test_constant_arrivals_are_even_to_the_nanosecond() -> None:
    phase = load(**{"rate": "8/s", "for": "2s"})
    assert [arrival.due_ns for arrival in arrivals(phase, 0)] == [n * 125 * MS for n in range(16)]


def test_a_rate_alone_has_no_end() -> None:
    phase = load(rate="4/s")
    assert [arrival.due_ns for arrival in islice(arrivals(phase, 0), 5)] == [n * 250 * MS for n in range(5)]
    assert ends_ns(phase) is None


def test_a_ramp_builds_up_evenly_and_is_not_measured() -> None:
    """Up to t of a ramp of 10 s to 20/s, t² arrivals fall due: the n-th at √n."""
    phase = load(**{"rate": "20/s", "ramp": "10s", "for": "1s"})
    times = seconds(phase)
    assert times[:100] == pytest.approx([sqrt(n) for n in range(100)], abs=1e-9)
    assert times[100:] == pytest.approx([10 + n / 20 for n in range(20)], abs=1e-9)
    windows = [arrival.window for arrival in arrivals(phase, 0)]
    assert windows == ["warm_up"] * 100 + ["measured"] * 20


def test_a_load_goes_on_after_it_was_measured_for_those_still_under_way() -> None:
    phase = load(**{"rate": "2/s", "warm_up": "1s", "for": "2s", "cool_down": "1s"})
    told = list(arrivals(phase, 0))
    assert [arrival.window for arrival in told] == ["warm_up"] * 2 + ["measured"] * 4 + ["cool_down"] * 2
    assert told[-1] == Arrival(3500 * MS, "cool_down")
    assert ends_ns(phase) == 4 * SECOND


def test_stages_follow_each_other_each_at_its_rate() -> None:
    phase = load(stages=[{"rate": "2/s", "for": "2s"}, {"rate": "10/s", "for": "1s"}], cool_down="1s")
    assert Counter(int(time) for time in seconds(phase)) == {0: 2, 1: 2, 2: 10, 3: 10}
    assert [stretch.begins for stretch in stretches(phase)] == [2, 10, 10]


def test_poisson_arrivals_keep_within_the_bands_of_true_ones() -> None:
    """Of four figures with 99 % bands each, 99 % of 200 schedules are inside, give or take three errors."""
    phase = load(**{"rate": "20/s", "arrivals": "poisson", "for": "60s"})
    inside: Counter[str] = Counter()
    for seed in range(SEEDS):
        times = seconds(phase, seed)
        inside["cv"] += GAP_CV[0] <= gap_cv(times) <= GAP_CV[1]
        inside["dispersion"] += DISPERSION[0] <= dispersion(times, 60) <= DISPERSION[1]
        inside["lag 1"] += LAG_1[0] <= lag_1(times) <= LAG_1[1]
        inside["count"] += COUNT[0] <= len(times) <= COUNT[1]
    assert {figure: n for figure, n in inside.items() if n < 0.97 * SEEDS} == {}


@pytest.mark.parametrize("cv", [0.5, 2.0])
def test_gamma_arrivals_are_as_uneven_as_they_are_asked_to_be(cv: float) -> None:
    phase = load(**{"rate": "50/s", "arrivals": "gamma", "cv": cv, "for": "200s"})
    times = seconds(phase)
    assert gap_cv(times) == pytest.approx(cv, rel=0.1)
    assert len(times) / 200 == pytest.approx(50, rel=0.1)
    assert abs(lag_1(times)) < 0.05


def test_a_ramp_of_random_arrivals_has_the_rate_it_is_to_have_at_each_moment() -> None:
    phase = load(**{"rate": "100/s", "arrivals": "poisson", "ramp": "10s", "for": "10s"})
    per_second = [Counter(int(time) for time in seconds(phase, seed)) for seed in range(50)]
    for second in (2, 5, 9, 15):
        expected = min(100.0, 10 * (second + 0.5))
        assert fmean(counts[second] for counts in per_second) == pytest.approx(
            expected, abs=4 * sqrt(expected / 50)
        )


@pytest.mark.parametrize("arrivals_", ["constant", "poisson", "gamma"])
@pytest.mark.parametrize("processes", [1, 2, 10])
def test_one_two_and_ten_processes_send_one_and_the_same_schedule(arrivals_: str, processes: int) -> None:
    cv = {"cv": 2.0} if arrivals_ == "gamma" else {}
    phase = load(**{"rate": "20/s", "arrivals": arrivals_, "for": "20s"}, **cv)
    slices = [list(islice(arrivals(phase, 3), process, None, processes)) for process in range(processes)]
    assert sorted(arrival for own in slices for arrival in own) == list(arrivals(phase, 3))


def test_a_seed_makes_the_schedule_and_another_one_another() -> None:
    phase = load(**{"rate": "20/s", "arrivals": "poisson", "for": "5s"})
    assert seconds(phase, 0) == seconds(phase, 0) != seconds(phase, 1)


@given(
    st.sampled_from(["constant", "poisson"]),
    st.integers(0, 5),
    st.integers(0, 5),
    st.integers(1, 5),
    st.integers(1, 400),
)
def test_arrivals_come_in_order_and_within_their_phase(
    arrivals_: str, ramp: int, warm_up: int, lasts: int, rate: int
) -> None:
    keys = {"rate": f"{rate}/s", "ramp": f"{ramp}s", "warm_up": f"{warm_up}s", "for": f"{lasts}s"}
    phase = load(**keys, arrivals=arrivals_)
    told = list(arrivals(phase, 1))
    assert told == sorted(told)
    end = (ramp + warm_up + lasts) * SECOND
    assert all(0 <= arrival.due_ns <= end for arrival in told)
    if arrivals_ == "constant":
        expected = rate * ramp / 2 + rate * (warm_up + lasts)
        assert abs(len(told) - expected) <= 1


STAGE = st.tuples(st.integers(1, 200), st.integers(1, 8))


@given(st.lists(STAGE, min_size=1, max_size=5), st.sampled_from([None, 0.0, 0.5, 2.0]), st.integers(0, 2**32))
@settings(max_examples=60)
def test_of_any_stages_as_many_fall_due_as_their_rates_say_in_order_and_the_same_again(
    stages: list[tuple[int, int]], cv: float | None, seed: int
) -> None:
    """Of gaps that vary by cv, n expected arrivals are n ± cv·√n; there is room for six of these."""
    kinds: dict[float | None, dict[str, Any]] = {None: {"arrivals": "poisson"}, 0.0: {}}
    keys = kinds.get(cv, {"arrivals": "gamma", "cv": cv})
    phase = load(stages=[{"rate": f"{rate}/s", "for": f"{lasts}s"} for rate, lasts in stages], **keys)
    told = list(arrivals(phase, seed))
    assert told == sorted(told) == list(arrivals(phase, seed))
    assert all(0 <= arrival.due_ns <= (ends_ns(phase) or 0) for arrival in told)
    expected = sum(rate * lasts for rate, lasts in stages)
    spread = 1.0 if cv is None else cv
    assert abs(len(told) - expected) <= 1 + 6 * spread * (sqrt(expected) + spread)


# What a plan makes of it

TEXT = """
suite: s
target: standin
variants: {usual: {}, rare: {deep_research: true, only: [a]}}
budget: {deep_research: 100}
prompts: [{id: a, message: hello}, {id: b, message: hi}]
load:
"""


def planned(phases: str, **choice: Any) -> Any:
    return make_plan(parse_suite(TEXT + phases, Path("s.yaml"), {}), Choice(**choice))


def test_an_open_phase_sends_its_trials_when_they_are_due() -> None:
    plan = planned("  peak: {rate: 10/s, for: 1s, ramp: 1s}")
    assert len(plan.trials) == 15
    assert [trial.due_ns for trial in plan.trials] == [
        arrival.due_ns for arrival in arrivals(plan.suite.load["peak"], "0/peak/arrivals")
    ]
    assert len({trial.trial_id for trial in plan.trials}) == 15
    assert plan.trials[0].describe()["window"] == "warm_up"


def test_a_rate_without_an_end_sends_every_trial_once() -> None:
    plan = planned("  peak: {rate: 10/s}")
    assert [trial.due_ns for trial in plan.trials] == [0, 100 * MS, 200 * MS]


def test_the_shares_of_variants_are_kept_to_within_one() -> None:
    plan = planned("  peak: {rate: 100/s, for: 6s, mix: {usual: 98, rare: 2}}")
    for upto in (50, 300, 600):
        rare = sum(trial.variant == "rare" for trial in plan.trials[:upto])
        assert abs(rare - 0.02 * upto) <= 1
    usual = [trial.case.case_id for trial in plan.trials if trial.variant == "usual"]
    assert all(set(usual[i : i + 2]) == {"a", "b"} for i in range(0, len(usual) - 1, 2))


def test_a_closed_phase_for_a_time_goes_on_without_end_and_each_time_the_same() -> None:
    plan = planned("  soak: {workers: 4, for: 1m}")
    assert plan.trials == ()
    first, second = (list(islice(plan.phase("soak"), 50)) for _ in range(2))
    assert first == second
    assert len({trial.trial_id for trial in first}) == 50
    assert {trial.case.case_id for trial in first[:3]} == {"a", "b"}
    assert len(list(islice(planned("  soak: {for: 1m}", limit=7).phase("soak"), 50))) == 7


def test_a_load_tries_each_trial_once_unless_the_suite_says_how_often() -> None:
    assert {trial.retry.attempts for trial in planned("  peak: {rate: 10/s, for: 1s}").trials} == {1}
    assert {trial.retry.attempts for trial in planned("  peak: {rate: 10/s}").trials} == {1}
    assert {trial.retry.attempts for trial in planned("  eval: {workers: 2}").trials} == {2}
    said = TEXT.replace("variants:", "defaults: {retry: {attempts: 3}}\nvariants:") + "  p: {rate: 10/s}"
    assert {trial.retry.attempts for trial in make_plan(parse_suite(said, Path("s.yaml"), {})).trials} == {3}
