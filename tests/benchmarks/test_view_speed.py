"""How long a run of a million packets takes to open: its page, a trial, a filter, two variants side by side.

Wanted: under a second each, by the first request to a fresh process (issue 7).
`pytest tests/benchmarks/test_view_speed.py --benchmark-only -s`.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec
import numpy as np
import polars as pl
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from harness.summarise.summary import summarise
from tests.benchmarks.test_comparing_speed import table

TRIALS, PACKETS = 20_000, 1_000_000
EACH = PACKETS // TRIALS
VARIANTS = ("steady", "thinker")
WORDS = "the refund window for customers in the EU is thirty days from the invoice date says the policy"
MANIFEST = (
    b'{"run_id":"%s","suite":"big","suite_path":"big.yaml","suite_text":"","target":"http://127.0.0.1:1",'
    b'"dialect":"sigma","seed":0,"choice":{},"planned":20000,"started_at":"2026-11-23T00:00:00+00:00",'
    b'"started_ns":0,"ended_ns":20000000000000,"exit_code":1}'
)


def tables() -> dict[str, pl.DataFrame]:
    """Trials of one turn and one tool call each, under two variants."""
    random = np.random.default_rng(7)
    at = np.arange(TRIALS)
    ids = pl.Series([f"{each * 2654435761 % 2**64:016x}" for each in at.tolist()])
    exchange = ids + ".1.1"
    cases = pl.Series([f"case-{each // 2 % 2_000}" for each in at.tolist()])
    variants = pl.Series([VARIANTS[each % 2] for each in at.tolist()])
    sent = (at * 1_000_000_000).astype(np.int64)
    ttft = random.lognormal(6, 0.6, TRIALS)
    failed = random.random(TRIALS) < 0.1
    answers = pl.Series([f"{WORDS} {each} " * 5 for each in at.tolist()])
    packet_at = np.repeat(sent, EACH) + np.tile(np.arange(EACH) * 20_000_000, TRIALS)
    own: dict[str, pl.Series | pl.Expr] = {"variant": variants, "phase": pl.lit("main"), "case_id": cases}
    return {
        "trials": table(
            "trials",
            {
                **own,
                "trial_id": ids,
                "repeat": pl.Series(at // 4_000 + 1),
                "window": pl.lit("measured"),
                "state": pl.Series(np.where(failed, "failed", "passed")),
                "reason": pl.Series(["the answer does not say so" if bad else None for bad in failed]),
                "score": pl.Series(1.0 - failed),
                "began_ns": pl.Series(sent),
                "ended_ns": pl.Series(sent + 10**9),
            },
            TRIALS,
        ),
        "cases": table(
            "cases",
            {
                "case_id": pl.Series([f"case-{each // 2}" for each in range(4_000)]),
                "variant": pl.Series([VARIANTS[each % 2] for each in range(4_000)]),
                "phase": pl.lit("main"),
                "tags": pl.Series([["even" if each % 4 < 2 else "odd"] for each in range(4_000)]),
                "repeats": pl.lit(5),
                **{name: pl.lit(1) for name in ("passed", "failed", "error", "invalid", "not_run")},
            },
            4_000,
        ),
        "exchanges": table(
            "exchanges",
            {
                "exchange_id": exchange,
                "trial_id": ids,
                "turn_id": pl.lit("1"),
                "attempt": pl.lit(1),
                "outcome": pl.lit("success"),
                "counted": pl.lit(value=True),
                "began_ns": pl.Series(sent),
                "sent_ns": pl.Series(sent),
                "ended_ns": pl.Series(sent + 10**9),
                "ttft_ms": pl.Series(ttft),
                "total_ms": pl.Series(ttft * 3),
                "packets": pl.lit(EACH),
                "reads": pl.lit(EACH),
                "merged_reads": pl.lit(0),
                "stamps": pl.lit("kernel"),
                "answer": answers,
            },
            TRIALS,
        ),
        "packets": table(
            "packets",
            {
                "exchange_id": pl.Series(np.repeat(exchange.to_numpy(), EACH)),
                "seq": pl.Series(np.tile(np.arange(EACH), TRIALS)),
                "kind": pl.lit("message_delta"),
                "turn_index": pl.lit(0),
                "arrived_ns": pl.Series(packet_at),
                "seen_ns": pl.Series(packet_at + 50_000),
                "merged": pl.lit(value=False),
                "bytes": pl.lit(180),
                "text": pl.Series(np.tile(np.array([f"word-{each} " for each in range(EACH)]), TRIALS)),
            },
            PACKETS,
        ),
        "steps": table(
            "steps",
            {
                "exchange_id": exchange,
                "seq": pl.lit(0),
                "step": pl.lit("answer"),
                "began_ns": pl.Series(sent),
                "ended_ns": pl.Series(sent + 10**9),
                "duration_ms": pl.lit(1000.0),
            },
            TRIALS,
        ),
        "tool_calls": table(
            "tool_calls",
            {
                "exchange_id": exchange,
                "call_id": pl.lit("t0.0"),
                "name": pl.lit("internal_search"),
                "arguments": '{"queries":["' + cases + '"]}',
                "status": pl.lit("ok"),
                "duration_ms": pl.Series(random.lognormal(5, 0.4, TRIALS)),
                "result": pl.lit('["doc-1","doc-2"]'),
            },
            TRIALS,
        ),
        "grades": table(
            "grades",
            {
                "trial_id": ids,
                "turn_id": pl.lit("1"),
                "type": pl.lit("icontains"),
                "passed": pl.Series(~failed),
                "score": pl.Series(1.0 - failed),
                "weight": pl.lit(1.0),
                "reason": pl.lit("the answer says so"),
            },
            TRIALS,
        ),
        "audits": table("audits", {}, 0),
        "models": table("models", {}, 0),
        "moments": table("moments", {}, 0),
    }


def journal(frames: dict[str, pl.DataFrame], path: Path) -> None:
    """A journal with a body of a line a packet for every exchange, some 200 MB."""
    line = (
        'data: {"placement": {"turn_index": 0, "tab_index": 0}, "obj": {"type": "%s", "content": "w%d "}}\n\n'
    )
    body = "".join(line % ("message_start" if at == 0 else "message_delta", at) for at in range(EACH))
    body += 'data: {"placement": {"turn_index": 0, "tab_index": 0}, "obj": {"type": "stop"}}\n\n'
    rows = (
        frames["trials"].select("trial_id", "case_id", "variant", "repeat", "phase", "began_ns").iter_rows()
    )
    with path.open("wb") as file:
        for trial_id, case_id, variant, repeat, phase, began in rows:
            exchange = {
                "exchange_id": f"{trial_id}.1.1",
                "turn_id": "1",
                "attempt": 1,
                "request": {"message": f"What is {case_id}?", "stream": True},
                "began_ns": began,
                "sent_ns": began,
                "http_status": 200,
                "content_type": "text/event-stream",
                "text": body,
            }
            result = {"line": "result", "trial_id": trial_id, "case_id": case_id, "variant": variant}
            result |= {"repeat": repeat, "phase": phase, "exchanges": [exchange]}
            file.write(msgspec.json.encode(result) + b"\n")


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with one run of a million packets."""
    folder = tmp_path_factory.mktemp("results") / "big" / "20260101T000000Z-aaaa"
    folder.mkdir(parents=True)
    frames = tables()
    for name, frame in frames.items():
        frame.write_parquet(folder / f"{name}.parquet")
    journal(frames, folder / "journal-0.jsonl")
    (folder / "summary.json").write_bytes(msgspec.json.encode(summarise(frames, VARIANTS)))
    (folder / "manifest.json").write_bytes(MANIFEST % folder.name.encode())
    return folder


@contextmanager
def viewing(results: Path) -> Iterator[str]:
    """A fresh `harness view`; its URL."""
    command = [sys.executable, "-m", "harness", "view", str(results), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip().rstrip("/")
        finally:
            process.terminate()


PAGES = {
    "the list of runs": "/",
    "the run": "/run/big/{run}",
    "failed trials, slowest first": "/run/big/{run}?state=failed&sort=ttft",
    "a text in 20,000 answers": "/run/big/{run}?text=date+says+the+policy+19999",
    "a tag and a tool": "/run/big/{run}?tag=odd&tool=internal_search",
    "the last trial": "/run/big/{run}/trial/{trial}",
    "two variants": "/run/big/{run}/compare?a=steady&b=thinker&case=case-1999&repeat=5",
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", PAGES)
def test_opening_a_run_of_a_million_packets(name: str, big: Path, benchmark: BenchmarkFixture) -> None:
    last = pl.scan_parquet(big / "trials.parquet").select("trial_id").tail(1).collect().item()
    path = PAGES[name].format(run=big.name, trial=last)
    took: list[float] = []

    def opened() -> str:
        with viewing(big.parent.parent) as url, httpx.Client(base_url=url, timeout=60) as http:
            began = time.perf_counter()
            answer = http.get(path)
            took.append(time.perf_counter() - began)
            again = time.perf_counter()
            http.get(path)
            took.append(time.perf_counter() - again)
        assert answer.status_code == 200
        return answer.text

    page = benchmark.pedantic(opened, rounds=1)  # type: ignore[no-untyped-call]
    journal_mb = (big / "journal-0.jsonl").stat().st_size / 1e6
    first, second = took
    print(
        f"\n{name}: first {first * 1e3:.0f} ms, again {second * 1e3:.0f} ms, {len(page) / 1e3:.0f} kB", end=""
    )
    print(f" (journal {journal_mb:.0f} MB)")
    assert first < 1.0
