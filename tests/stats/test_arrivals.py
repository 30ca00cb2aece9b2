"""What arrivals are like, held against what is known of even, Poisson and gamma ones."""

import json
from itertools import accumulate
from math import exp, sqrt
from pathlib import Path
from random import Random
from statistics import NormalDist
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.stats.arrivals import (
    Band,
    Bands,
    Conformance,
    Lateness,
    achieved,
    chi_square,
    conformance,
    expected,
)

SECOND = 1_000_000_000
ORACLE: dict[str, Any] = json.loads(Path(__file__).with_name("oracles.json").read_text())[
    "arrival_conformance"
]
POISSON = ORACLE["poisson_20rps_60s_99pct"]
FIGURES = ("rate_per_s", "gap_cv", "dispersion", "lag_1", "ks")


def gamma(seed: int, *, shape: float = 1.0, rate: float = 20.0, seconds: float = 60.0) -> list[int]:
    random = Random(seed)  # noqa: S311  a load, no secret
    at, stamps = 0.0, []
    while (at := at + random.gammavariate(shape, 1 / (shape * rate))) < seconds:
        stamps.append(round(at * SECOND))
    return stamps


def even(rate: float, n: int) -> list[int]:
    return [round(nth / rate * SECOND) for nth in range(n)]


def inside(bands: Bands, told: Conformance) -> dict[str, bool]:
    """Whether each figure that has a band is in it."""
    known = {name: getattr(bands, name) for name in FIGURES if getattr(bands, name) is not None}
    return {name: getattr(told, name) in band for name, band in known.items()}


def test_even_arrivals_have_no_variation_and_no_dispersion() -> None:
    told = conformance(even(20, 1200))
    assert (told.n, told.rate_per_s, told.gap_cv, told.dispersion, told.lag_1) == (1200, 20.0, 0.0, 0.0, None)


@pytest.mark.parametrize(("figure", "known"), [("gap_cv", "gap_cv"), ("lag_1", "lag1")])
def test_the_bands_of_poisson_arrivals_are_those_of_simulated_ones(figure: str, known: str) -> None:
    """To the last digit of the oracle and two more of it, as it says of itself."""
    band = getattr(expected("poisson", 1200, 60), figure)
    assert [round(end, 3) for end in band] == pytest.approx(POISSON[known], abs=0.002 + 1e-9)


def test_the_count_of_poisson_arrivals_has_the_band_of_simulated_ones() -> None:
    rate = expected("poisson", 1200, 60).rate_per_s
    assert rate is not None
    assert [end * 60 for end in rate] == pytest.approx(POISSON["count"], abs=2)


def test_the_band_of_the_dispersion_is_that_of_chi_square() -> None:
    """The simulated band of the oracle is wider at its upper end, by three standard errors of its own.

    150,000 repetitions gave (0.591, 1.540 ± 0.003) where its 20,000 gave (0.594, 1.563).
    """
    band = expected("poisson", 1200, 60).dispersion
    assert band == pytest.approx(ORACLE["dispersion_chi2_band_99pct_60_windows"], abs=0.0006)
    assert band == pytest.approx(POISSON["dispersion_1s"], abs=0.03)


@pytest.mark.parametrize(
    ("probability", "degrees", "quantile"),
    [
        (0.95, 1, 3.841458821),
        (0.995, 1, 7.879438577),
        (0.005, 2, 0.010025083647),  # -2 ln(0.995)
        (0.5, 10, 9.341817766),
        (0.99, 30, 50.892181312),
        (0.005, 100, 67.327563306),
    ],
)
def test_chi_square_has_the_quantiles_of_the_tables(
    probability: float, degrees: int, quantile: float
) -> None:
    assert chi_square(probability, degrees) == pytest.approx(quantile, rel=1e-8)


@given(st.floats(0.001, 0.999), st.integers(1, 500))
def test_chi_square_with_even_degrees_is_a_sum_over_a_poisson_distribution(share: float, half: int) -> None:
    """The probability of more than x is that of fewer than `half` Poisson events of mean x/2."""
    mean = chi_square(share, 2 * half) / 2
    term, above = exp(-mean / 2), 0.0
    for nth in range(half):
        above += term * exp(-mean / 2)
        term *= mean / (nth + 1)
    assert above == pytest.approx(1 - share, abs=1e-7)


@pytest.mark.parametrize(
    ("shape", "n", "seconds"), [(1.0, 1200, 60), (1.0, 100, 20), (4.0, 1200, 60), (0.25, 1200, 60)]
)
def test_true_arrivals_lie_in_their_bands_99_times_of_100(shape: float, n: int, seconds: int) -> None:
    """In 97 to 100 % of 300 schedules."""
    bands = expected("poisson" if shape == 1 else "gamma", n, seconds, shape=shape)
    hits: dict[str, int] = dict.fromkeys(FIGURES, 0)
    for seed in range(300):
        told = conformance(gamma(seed, shape=shape, rate=n / seconds, seconds=seconds))
        for name, is_in in inside(bands, told).items():
            hits[name] += is_in
    assert hits["ks"] >= 291 or bands.ks is None
    assert min(hits[name] for name in FIGURES[:-1]) >= 291, hits


@pytest.mark.parametrize("rate", [0.3, 1.0, 7.0, 20.0, 333.3, 12_345.6])
def test_even_arrivals_lie_in_their_bands_and_hardly_anything_else_does(rate: float) -> None:
    n = max(100, round(rate * 5))
    bands = expected("constant", n, n / rate)
    assert all(inside(bands, conformance(even(rate, n))).values())
    late = [at + (SECOND // 100 if nth == n // 2 else 0) for nth, at in enumerate(even(rate, n))]
    assert not inside(bands, conformance(late))["gap_cv"]


def test_ten_workers_with_the_same_poisson_gaps_are_told_from_one_poisson_load() -> None:
    """The defect of a peer: the dispersion is that of ten arrivals at once."""
    replayed = [at for at in gamma(3, rate=2) for _ in range(10)]
    told = conformance(replayed)
    assert told.dispersion is not None
    assert told.dispersion > 5
    assert not any(
        inside(expected("poisson", 1200, 60), told)[name] for name in ("gap_cv", "dispersion", "ks")
    )


def test_exponential_gaps_are_told_from_even_ones_and_even_ones_from_exponential_ones() -> None:
    assert not any(inside(expected("constant", 1200, 60), conformance(gamma(3))).values())
    wrong = inside(expected("poisson", 1200, 60), conformance(even(20, 1200)))
    assert not any(wrong[name] for name in ("gap_cv", "dispersion", "ks", "lag_1"))


def test_gaps_that_are_only_shaped_wrong_are_told_by_their_distance_from_an_exponential() -> None:
    """Two kinds of gap with a variation of 1 and no memory: nothing but their distribution is wrong."""
    random = Random(5)  # noqa: S311  a load, no secret
    gaps = [random.choice((0.0, 0.1)) for _ in range(1200)]
    told = conformance([round(at * SECOND) for at in accumulate(gaps)])
    was_in = inside(expected("poisson", 1200, 60), told)
    assert was_in == {"rate_per_s": True, "gap_cv": True, "dispersion": True, "lag_1": True, "ks": False}


def test_the_distance_is_from_an_exponential_of_the_rate_that_is_told() -> None:
    stamps = gamma(1)
    estimated, same, other = (conformance(stamps, rate_per_s=rate).ks for rate in (None, 20, 30))
    assert estimated is not None
    assert same is not None
    assert other is not None
    assert estimated < 0.04
    assert same < 0.06
    assert other > 0.1


def test_the_distance_of_two_gaps_is_what_a_pencil_finds() -> None:
    """Gaps of 1 and 3 s about a mean of 2: the exponential says 0.393 and 0.777 where they say 0 and 0.5."""
    ks = conformance([0, SECOND, 4 * SECOND]).ks
    assert ks == pytest.approx(1 - exp(-0.5), abs=1e-12)


def test_few_random_arrivals_have_no_bands_and_few_bunches_neither() -> None:
    assert expected("poisson", 99, 5) == Bands()
    assert expected("gamma", 399, 20, shape=0.25) == Bands()
    assert expected("gamma", 400, 20, shape=0.25) != Bands()
    assert expected("poisson", 200, 1.9).dispersion is None
    assert expected("constant", 20, 1.0).dispersion is None


def test_long_loads_have_the_bands_of_the_normal_distribution() -> None:
    n, z = 1_000_000, NormalDist().inv_cdf(0.995)
    bands = expected("gamma", n, 50_000, shape=4)
    assert bands.lag_1 == pytest.approx((-z / sqrt(n), z / sqrt(n)), abs=1e-5)
    assert bands.gap_cv is not None
    assert bands.gap_cv.high - bands.gap_cv.low == pytest.approx(
        2 * z * sqrt((1 + 1 / 4) / (2 * 4 * n)), rel=1e-3
    )


def test_nearly_even_gaps_have_the_bands_of_normal_ones() -> None:
    """Of those the deviation is exactly chi with n - 1 degrees, and neighbours correlate by -1/n."""
    gaps, shape = 400, 1e6
    bands = expected("gamma", gaps + 1, 20, shape=shape)
    exact = [sqrt(chi_square(tail, gaps - 1) / gaps / shape) for tail in (0.005, 0.995)]
    assert bands.gap_cv == pytest.approx(exact, rel=4e-4)
    assert bands.lag_1 is not None
    assert sum(bands.lag_1) / 2 == pytest.approx(-1 / gaps, rel=1e-4)


@pytest.mark.endurance
def test_each_end_of_a_band_leaves_out_one_schedule_of_two_hundred() -> None:
    """Of 8,000 Poisson schedules of 400, 40 at each end: give or take three standard errors of 6.3."""
    bands = expected("poisson", 400, 20)
    out = dict.fromkeys([(name, end) for name in FIGURES for end in ("low", "high")], 0)
    for seed in range(8000):
        told = conformance(gamma(seed, seconds=20))
        for name in FIGURES:
            band, figure = getattr(bands, name), getattr(told, name)
            out[name, "low"] += figure < band.low
            out[name, "high"] += figure > band.high
    assert out.pop(("ks", "low")) == 0
    assert 80 - 27 <= out.pop(("ks", "high")) <= 80 + 27
    assert all(40 - 19 <= count <= 40 + 19 for count in out.values()), out


def test_the_ends_of_a_band_are_in_it_and_no_figure_is_not() -> None:
    assert 1.0 in Band(1.0, 2.0)
    assert 2.0 in Band(1.0, 2.0)
    assert 2.1 not in Band(1.0, 2.0)
    assert None not in Band(1.0, 2.0)


def test_the_order_in_which_stamps_are_told_makes_no_difference() -> None:
    stamps = gamma(1)
    assert conformance(stamps[::-1]) == conformance(stamps)


@given(st.lists(st.integers(0, 10**12), max_size=50), st.integers(0, 10**15))
def test_when_arrivals_begin_makes_no_difference(stamps: list[int], later: int) -> None:
    assert conformance([at + later for at in stamps]) == conformance(stamps)


def test_bunches_are_more_uneven_than_poisson_and_neighbouring_gaps_tell_of_each_other() -> None:
    bunches = [n * SECOND + k * SECOND // 100 for n in range(60) for k in range(20)]
    told = conformance(bunches)
    assert told.gap_cv is not None
    assert told.gap_cv > 2
    trend = conformance([SECOND * n * n // 1000 for n in range(200)])
    assert trend.lag_1 is not None
    assert trend.lag_1 > 0.9


def test_windows_as_long_as_the_pattern_hide_it_and_shorter_ones_show_it() -> None:
    bunches = [n * SECOND + k * SECOND // 100 for n in range(60) for k in range(20)]
    assert conformance(bunches).dispersion == 0
    shorter = conformance(bunches, window_ns=SECOND // 4).dispersion
    assert shorter is not None
    assert shorter > 10


@pytest.mark.parametrize("stamps", [[], [5], [5, 9], [5, 5, 5, 5]])
def test_too_few_arrivals_have_no_figures(stamps: list[int]) -> None:
    assert conformance(stamps) == Conformance(len(stamps))


def test_less_than_two_whole_seconds_have_no_dispersion() -> None:
    told = conformance([n * SECOND // 100 for n in range(150)])
    assert told.dispersion is None
    assert told.gap_cv == pytest.approx(0)


def test_how_late_requests_went_out_counts_those_that_went_out() -> None:
    due = [nth * SECOND for nth in range(102)]
    sent: list[int | None] = [at + nth * 1_000_000 for nth, at in enumerate(due[:100])]
    told = achieved(due, [*sent, None, None], limit_ms=89.0)
    assert told == Lateness(100, 2, p50_ms=49.0, p99_ms=98.0, max_ms=99.0, share_later=0.1)


def test_requests_of_which_none_went_out_have_no_lateness_and_few_no_quantile_of_it() -> None:
    assert achieved([1, 2], [None, None], limit_ms=1) == Lateness(0, 2)
    assert achieved([], [], limit_ms=1) == Lateness(0, 0)
    assert achieved([10_000_000], [9_000_000], limit_ms=1) == Lateness(1, 0, None, None, -1.0, 0.0)
