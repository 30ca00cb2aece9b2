"""The verdict on live runs: left alone, held up, beside busy neighbours, and past a server's capacity.

Twenty runs; prints the confusion table of `docs/`. Each is an open load of 20/s over 6 s against the stream
source.
"""

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.pipeline import Options, Run, run
from harness.suite.read import parse_suite
from harness.verdict.word import Word
from tests.conftest import stream_source

pytestmark = [pytest.mark.endurance, pytest.mark.timeout(900)]

ROUNDS = 5
EXPECTED = {
    "alone": {Word.VALID, Word.DEGRADED},
    "held up": {Word.CLIENT_BOUND},
    "neighbours": {Word.CLIENT_BOUND},
    "past capacity": {Word.SERVER_SATURATED},
}


@contextmanager
def disturbed(kind: str) -> Iterator[None]:
    over, busy = threading.Event(), []
    if kind == "held up":
        threading.Thread(target=_hold_up, args=(over,), daemon=True).start()
    if kind == "neighbours":
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(12)]
    try:
        yield
    finally:
        over.set()
        for process in busy:
            process.kill()
            process.wait()


def _hold_up(over: threading.Event) -> None:
    """Keep every other thread of this process from running for some 200 ms of each second."""
    while not over.wait(0.8):
        sum(range(9_000_000))  # one call into C, which lets go of no lock


def judged(kind: str, results: Path) -> Run:
    slots = ",slots=6" if kind == "past capacity" else ""
    with stream_source() as url, disturbed(kind):
        text = f"""
suite: live
target: {{base_url: "{url}/m/ttft=200,gap=20,n=25{slots}", allow_anonymous: true, audit: 0%}}
load: {{rate: 20/s, arrivals: poisson, for: 6s}}
prompts: [{{message: go}}]
"""
        return run(parse_suite(text, Path("live.yaml"), {}), Options(results=results))


def test_twenty_live_runs_are_told_apart(tmp_path: Path) -> None:
    table: Counter[tuple[str, str | None]] = Counter()
    wrong = []
    for kind in list(EXPECTED) * ROUNDS:
        done = judged(kind, tmp_path)
        table[kind, done.verdict.word] += 1
        if done.verdict.word not in EXPECTED[kind]:
            wrong.append((kind, done.verdict.word, [reason.says for reason in done.verdict.reasons]))
    print("\n" + "\n".join(f"{kind:14} {word}: {n}" for (kind, word), n in sorted(table.items(), key=str)))
    assert len(wrong) <= 1, wrong
