"""How long it takes to compare two runs of a million exchanges each, and what memory.

Wanted: under 15 s and 4 GiB (issue 6). `pytest tests/benchmarks/test_comparing_speed.py --benchmark-only -s`.
"""

import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from harness.record.tables import SCHEMAS

TRIALS = 1_000_000
REPEATS = 5


def table(name: str, columns: dict[str, pl.Series | pl.Expr], rows: int) -> pl.DataFrame:
    """A table with all its columns; those that are not given are null."""
    schema = SCHEMAS[name]
    whole = pl.DataFrame({"at": range(rows)}).with_columns(**columns)
    return whole.select(
        (pl.col(key) if key in columns else pl.lit(None)).cast(kind).alias(key)
        for key, kind in schema.items()
    )


def made_up(folder: Path, seed: int, slower: float) -> None:
    """A run of a million trials with one exchange and one tool call each, under ``results/big``."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    prompts = TRIALS // REPEATS
    ids = pl.Series([f"{at:016x}" for at in range(TRIALS)])
    cases = pl.Series([f"case-{at % prompts}" for at in range(TRIALS)])
    passed = random.random(TRIALS) < 0.9
    at_ns = (np.arange(TRIALS) * 1_000_000).astype(np.int64)
    ttft = slower * random.lognormal(6, 0.6, TRIALS)
    frames = {
        "trials": table(
            "trials",
            {
                "trial_id": ids,
                "case_id": cases,
                "variant": pl.lit("default"),
                "repeat": pl.Series(np.arange(TRIALS) // prompts + 1),
                "phase": pl.lit("main"),
                "window": pl.lit("measured"),
                "state": pl.Series(np.where(passed, "passed", "failed")),
                "score": pl.Series(passed.astype(float)),
                "began_ns": pl.Series(at_ns),
                "ended_ns": pl.Series(at_ns + 10**9),
            },
            TRIALS,
        ),
        "cases": table(
            "cases",
            {
                "case_id": pl.Series([f"case-{at}" for at in range(prompts)]),
                "variant": pl.lit("default"),
                "phase": pl.lit("main"),
                "tags": pl.Series([["a"] if at % 2 else ["b"] for at in range(prompts)]),
                "repeats": pl.lit(REPEATS),
                "asked": pl.lit("words"),
                "checks": pl.lit("checks"),
            },
            prompts,
        ),
        "exchanges": table(
            "exchanges",
            {
                "exchange_id": ids + ".1",
                "trial_id": ids,
                "turn_id": pl.lit("1"),
                "attempt": pl.lit(1),
                "counted": pl.lit(value=True),
                "sent_ns": pl.Series(at_ns),
                "ended_ns": pl.Series(at_ns + 10**9),
                "ttft_ms": pl.Series(ttft),
                "total_ms": pl.Series(ttft * 3),
                "gap_p50_ms": pl.Series(random.lognormal(2, 0.3, TRIALS)),
                "longest_gap_ms": pl.Series(random.lognormal(4, 0.6, TRIALS)),
                "tokens_per_s": pl.Series(random.lognormal(4, 0.3, TRIALS)),
                "answer_tokens": pl.Series(random.poisson(200, TRIALS)),
                "asked_tokens": pl.Series(random.poisson(30, TRIALS)),
                "said_tokens": pl.Series(random.poisson(220, TRIALS)),
                "cost_usd": pl.Series(random.lognormal(-6, 0.3, TRIALS)),
                "answer": pl.Series(
                    [f"The answer to {at % 7} is such and such, says the policy." for at in range(TRIALS)]
                ),
            },
            TRIALS,
        ),
        "tool_calls": table(
            "tool_calls",
            {
                "exchange_id": ids + ".1",
                "call_id": pl.lit("t0.0"),
                "name": pl.lit("internal_search"),
                "arguments": pl.Series([f'{{"queries":["q{at % prompts}"]}}' for at in range(TRIALS)]),
                "status": pl.lit("ok"),
                "duration_ms": pl.Series(random.lognormal(5, 0.4, TRIALS)),
                "result": pl.lit('["doc-1","doc-2"]'),
            },
            TRIALS,
        ),
        "audits": table("audits", {}, 0),
        "grades": table("grades", {}, 0),
    }
    for name, frame in frames.items():
        frame.write_parquet(folder / f"{name}.parquet")
    (folder / "manifest.json").write_bytes(MANIFEST % folder.name.encode())


MANIFEST = (
    b'{"run_id":"%s","suite":"big","suite_path":"big.yaml","suite_text":"","target":"http://127.0.0.1:1",'
    b'"dialect":"sigma","seed":0,"choice":{},"planned":1000000,"started_at":"2026-11-23T00:00:00+00:00",'
    b'"started_ns":0,"exit_code":0}'
)


@pytest.mark.timeout(600)
def test_comparing_two_runs_of_a_million_exchanges(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    results = tmp_path / "results"
    made_up(results / "big" / "20260101T000000Z-aaaa", 1, 1.0)
    made_up(results / "big" / "20260102T000000Z-bbbb", 2, 1.1)
    command = [sys.executable, "-m", "harness", "compare", "20260101T000000Z-aaaa", "20260102T000000Z-bbbb"]

    def compared() -> str:
        done = subprocess.run(
            [*command, "--results", str(results)], capture_output=True, text=True, check=True
        )
        return done.stdout

    began = time.perf_counter()
    told = benchmark.pedantic(compared, rounds=1)  # type: ignore[no-untyped-call]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024**2
    print(f"\n{told}\n{time.perf_counter() - began:.1f} s, {peak:.2f} GiB")
    assert "ttft.p95" in told
