"""The tables of docs/scale.md: ``python -m tests.scale_tables NAME...`` measures, and writes them.

What was measured last stands in tests/scaling/figures.json, with the day and the machine. Everything else on the
page is computed from that (tests/scaling/arithmetic.py) or simulated (tests/scaling/simulating.py), and tests
hold the page to it. Names: points, memory, wire; without one the page is written anew of what is there.
HARNESS_STREAMSERVER=FILE is a source to measure against in place of our own, as for the benchmarks: started as
`FILE PORT`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.benchmarks.sources import serving_streams
from tests.scaling.measuring import Figures, Offered, measured

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "scale.md"
FIGURES = ROOT / "tests" / "scaling" / "figures.json"

REPEATS = 3
QUIET = 0.1
"""CPUs that other processes of the machine may use for a repeat to count: who waits for a core is measured for
waiting. Noisier ones are taken again, up to `TRIES` times in all, and then the quietest that there were."""

TRIES = 8

SHORT = {"packets": 2, "packets_per_s": 1000.0, "ttft_ms": 1.0, "rounds": 400}
POINTS = (
    *(Offered(streams) for streams in (100, 250, 500, 850, 1100, 1400, 1600)),
    Offered(20, **SHORT),
    Offered(300, packets=10, rounds=30),
    Offered(300, packets=50, rounds=8),
    *(Offered(streams, processes=2) for streams in (500, 1000, 1600)),
    Offered(40, **SHORT, processes=2),
    Offered(600, packets=10, rounds=30, processes=2),
)


def points() -> Figures:
    """Every point, several times over; those of one load are next to each other in time."""
    with serving_streams() as (url, pid):
        rows = [repeats(offered, url, pid) for offered in POINTS]
    return {"quiet": QUIET, "repeats": REPEATS, "rows": rows}


def repeats(offered: Offered, url: str, pid: int) -> Figures:
    """The quietest repeats of one point."""
    found: list[Figures] = []
    for _ in range(TRIES):
        found.append(measured(offered, url, pid))
        print(json.dumps(found[-1]), flush=True)
        if sum(each["others_cpu"] <= QUIET for each in found) >= REPEATS:
            break
    kept = sorted(found, key=lambda each: each["others_cpu"])[:REPEATS]
    return {"tried": len(found), "runs": kept}
