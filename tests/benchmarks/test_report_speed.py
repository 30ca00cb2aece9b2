"""How long the figures and charts of a large run take: 20,000 exchanges, a million packets.

Wanted: well under a second for each figure. `pytest tests/benchmarks/test_report_speed.py --benchmark-only`.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from harness.compare.arms import Scan
from harness.record.store import Manifest
from harness.record.tables import SCHEMAS, scan
from harness.report import charts, figures

EXCHANGES, PACKETS, STEPS, PROMPTS = 20_000, 50, 6, 200
VARIANTS = 8

Stamps = NDArray[np.signedinteger[Any]]
Columns = dict[str, pl.Series | pl.Expr]


def table(name: str, columns: Columns, rows: int) -> pl.DataFrame:
    """A table with all its columns; those that are not given are null."""
    whole = pl.DataFrame({"at": range(rows)}).with_columns(**columns)
    return whole.select(
        (pl.col(key) if key in columns else pl.lit(None)).cast(kind).alias(key)
        for key, kind in SCHEMAS[name].items()
    )


def made_up(folder: Path) -> None:
    """An open run of 1,000 s: 20 exchanges a second of 8 variants, 50 packets and 6 steps each."""
    random = np.random.default_rng(1)
    at = np.arange(EXCHANGES)
    ids = pl.Series([f"{each:016x}.1.1" for each in at])
    variant = pl.Series([f"variant {each % VARIANTS}" for each in at])
    due = at * 50_000_000
    sent = due + random.exponential(2e6, EXCHANGES).astype(np.int64)
    ttft = random.lognormal(6, 0.6, EXCHANGES)
    first, last = sent + (ttft * 1e6).astype(np.int64), sent + (ttft * 3e6).astype(np.int64)
    state = pl.Series(np.where(random.random(EXCHANGES) < 0.9, "passed", "failed"))
    frames = {
        "trials": _trials(ids, variant, state, due, last),
        "cases": _cases(),
        "exchanges": table(
            "exchanges",
            {
                "exchange_id": ids, "trial_id": ids, "attempt": pl.lit(1), "counted": pl.lit(value=True),
                "sent_ns": pl.Series(sent), "first_answer_ns": pl.Series(first),
                "last_answer_ns": pl.Series(last), "ended_ns": pl.Series(last), "gaps": pl.lit(PACKETS - 1),
                "ttft_ms": pl.Series(ttft), "total_ms": pl.Series(ttft * 3),
                "response_ttft_ms": pl.Series(ttft + 2), "response_total_ms": pl.Series(ttft * 3 + 2),
            },
            EXCHANGES,
        ),
        "packets": _packets(ids, first, last),
        "steps": _steps(ids, sent, ttft),
        "tool_calls": table(
            "tool_calls",
            {
                "exchange_id": ids, "call_id": pl.lit("t0.0"), "status": pl.lit("ok"),
                "name": pl.Series([f"tool {each % 5}" for each in at]), "duration_ms": pl.Series(ttft / 2),
            },
            EXCHANGES,
        ),
    }  # fmt: skip
    for name in SCHEMAS:
        frames.get(name, table(name, {}, 0)).write_parquet(folder / f"{name}.parquet")


def _trials(
    ids: pl.Series, variant: pl.Series, state: pl.Series, due: Stamps,
    last: Stamps,
) -> pl.DataFrame:  # fmt: skip
    cases = pl.Series([f"case {at % PROMPTS}" for at in range(EXCHANGES)])
    stamps: Columns = {"due_ns": pl.Series(due), "began_ns": pl.Series(due), "ended_ns": pl.Series(last)}
    own: Columns = {"trial_id": ids, "case_id": cases, "variant": variant, "state": state}
    return table(
        "trials", {**own, "phase": pl.lit("main"), "window": pl.lit("measured"), **stamps}, EXCHANGES
    )


def _cases() -> pl.DataFrame:
    rows = PROMPTS * VARIANTS
    own: Columns = {
        "case_id": pl.Series([f"case {at // VARIANTS}" for at in range(rows)]),
        "variant": pl.Series([f"variant {at % VARIANTS}" for at in range(rows)]),
        "tags": pl.Series([[f"tag {at // VARIANTS % 7}"] for at in range(rows)]),
    }
    counts: Columns = dict.fromkeys(("error", "invalid", "not_run"), pl.lit(0))
    passes: Columns = {"passed": pl.lit(22), "failed": pl.lit(3), "phase": pl.lit("main")}
    return table("cases", {**own, **counts, **passes}, rows)


def _packets(ids: pl.Series, first: Stamps, last: Stamps) -> pl.DataFrame:
    of, seq = np.repeat(np.arange(EXCHANGES), PACKETS), np.tile(np.arange(PACKETS), EXCHANGES)
    arrived = first[of] + (last - first)[of] * seq // (PACKETS - 1)
    return table(
        "packets",
        {
            "exchange_id": ids.gather(of), "seq": pl.Series(seq), "kind": pl.lit("message_delta"),
            "arrived_ns": pl.Series(arrived), "text": pl.lit("some words"),
        },
        EXCHANGES * PACKETS,
    )  # fmt: skip


def _steps(ids: pl.Series, sent: Stamps, ttft: NDArray[np.float64]) -> pl.DataFrame:
    names = ("queue", "send", "first_packet", "reasoning", "tool search", "answer")
    of, seq = np.repeat(np.arange(EXCHANGES), STEPS), np.tile(np.arange(STEPS), EXCHANGES)
    took = ttft[of] / 2
    began = sent[of] + (took * seq * 1e6).astype(np.int64)
    return table(
        "steps",
        {
            "exchange_id": ids.gather(of), "seq": pl.Series(seq), "step": pl.Series(np.array(names)[seq]),
            "began_ns": pl.Series(began), "duration_ms": pl.Series(took),
        },
        EXCHANGES * STEPS,
    )  # fmt: skip


MANIFEST = Manifest(
    run_id="big", suite="big", suite_path="big.yaml", suite_text="", target="http://127.0.0.1:1",
    dialect="sigma", seed=0, choice={}, planned=EXCHANGES, started_ns=0,
    started_at="2026-11-26T00:00:00+00:00",
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    folder = tmp_path_factory.mktemp("big")
    made_up(folder)
    return partial(scan, folder=folder)


FIGURES: dict[str, Callable[[Scan], object]] = {
    "quantile_curve ttft": partial(figures.quantile_curve, metric="ttft_ms"),
    "quantile_curve gap": partial(figures.quantile_curve, metric="gap"),
    "ecdf": partial(figures.ecdf, metric="ttft_ms"),
    "by_concurrency": figures.by_concurrency,
    "timeline": partial(figures.timeline, manifest=MANIFEST),
    "waterfall": figures.waterfall,
    "tools": figures.tools,
    "by_prompt": figures.by_prompt,
    "by_tag": figures.by_tag,
    "variants": figures.variants,
    "all charts, not drawn": partial(charts.of_run, manifest=MANIFEST),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_of_a_million_packets(benchmark: BenchmarkFixture, run: Scan, name: str) -> None:
    benchmark.pedantic(FIGURES[name], (run,), rounds=5, warmup_rounds=1)  # type: ignore[no-untyped-call]
    seconds = benchmark.stats.stats.min  # type: ignore[union-attr]
    print(f"\n{name}: {seconds:.3f} s")
    assert seconds < (3 if "charts" in name else 1)


def test_drawing_all_charts_at_both_widths(benchmark: BenchmarkFixture, run: Scan) -> None:
    found = charts.of_run(run, MANIFEST)
    charts.svg(found[0], charts.DESK)  # it starts V8 once, for most of a second

    def drawn() -> int:
        return sum(len(charts.svg(each, width)) for each in found for width in (charts.DESK, charts.PHONE))

    size = benchmark.pedantic(drawn, rounds=2)  # type: ignore[no-untyped-call]
    print(f"\n{len(found)} charts twice: {size:,} characters")
    assert size < 1_000_000
    assert max(len(charts.svg(each, charts.DESK)) for each in found) < 60_000
