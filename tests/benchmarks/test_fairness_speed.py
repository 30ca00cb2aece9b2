"""How long it takes to say what variants did to each other: a million exchanges of two, 200,000 of eight.

Wanted: seconds. `pytest tests/benchmarks/test_fairness_speed.py --benchmark-only`.
"""

import numpy as np
import polars as pl
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from harness.summarise.fairness import fairness

SECOND = 1_000_000_000


def frames(exchanges: int, variants: int) -> dict[str, pl.DataFrame]:
    """An open load of 250 exchanges a second, each of half a second, with times that nothing moves."""
    random = np.random.default_rng(1)
    sent = np.sort(random.integers(0, exchanges * SECOND // 250, exchanges))
    frame = pl.DataFrame({"sent_ns": sent}).with_columns(
        trial_id=pl.int_range(pl.len()).cast(pl.String),
        case_id=pl.lit("p"),
        phase=pl.lit("peak"),
        variant=pl.Series([f"v{number % variants}" for number in range(exchanges)]),
        ended_ns=pl.Series(sent + random.integers(1, SECOND, exchanges)),
        counted=pl.lit(value=True),
        ttft_ms=pl.Series(random.lognormal(5, 0.3, exchanges)),
        gap_p50_ms=pl.Series(random.lognormal(2, 0.3, exchanges)),
        total_ms=pl.Series(random.lognormal(6, 0.3, exchanges)),
    )
    trials = frame.select("trial_id", "case_id", "variant", "phase", began_ns="sent_ns")
    return {"trials": trials, "exchanges": frame.drop("case_id", "variant", "phase")}


@pytest.mark.slow
@pytest.mark.parametrize(("exchanges", "variants"), [(1_000_000, 2), (200_000, 8)])
def test_what_variants_did_to_each_other(benchmark: BenchmarkFixture, exchanges: int, variants: int) -> None:
    made, names = frames(exchanges, variants), [f"v{number}" for number in range(variants)]
    (told,) = benchmark(lambda: tuple(fairness(made, names)))
    assert len(told.variants) == variants
