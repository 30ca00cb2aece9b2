"""The tables of docs/scale.md: ``python -m tests.scale_tables NAME...`` measures, and writes them.

What was measured last stands in tests/scaling/figures.json, with the day and the machine. Everything else on
the page is computed from that (tests/scaling/arithmetic.py) or simulated (tests/scaling/simulating.py), and
tests hold the page to it. Names: points, memory; without one the page is written anew of what is there.
HARNESS_STREAMSERVER=FILE is a source for the points in place of our own, as for the benchmarks.
"""

import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep

from tests.benchmarks.sources import our_source, serving_streams
from tests.scaling.measuring import Figures, Offered, busy, graded, measured, short_replies
from tests.scaling.pages import rendered

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "scale.md"
FIGURES = ROOT / "tests" / "scaling" / "figures.json"

REPEATS = 3
QUIET = 0.1
"""CPUs that other processes of the machine may use for a repeat to count: who waits for a core is measured
for waiting. Noisier ones are taken again, up to `TRIES` times in all; the quietest are kept."""

TRIES = 3
PATIENCE_S = 5

POINTS = (
    *(Offered(streams, packets=400) for streams in (100, 250, 500, 850, 1100, 1400, 1600)),
    short_replies(1),
    Offered(300, packets=10, rounds=30),
    Offered(300, packets=50, rounds=8),
    *(Offered(streams, packets=400, processes=2) for streams in (500, 1000, 1600)),
    short_replies(2),
    Offered(600, packets=10, rounds=30, processes=2),
)


LIKE_SIGMA = 190
"""Bytes of a line: those of the packets of answer text in tests/wire/recordings have 192 on average."""

SIZES = (
    *(Offered(streams, packets_per_s=2, packets=20, bytes=LIKE_SIGMA) for streams in (200, 500, 1000)),
    Offered(200, packets=400, bytes=LIKE_SIGMA),
    Offered(400, packets=400, bytes=LIKE_SIGMA),
)


def points() -> Figures:
    """Every point, several times over."""
    with serving_streams() as (url, pid):
        rows = [repeats(offered, url, pid) for offered in POINTS]
    return {"quiet": QUIET, "repeats": REPEATS, "rows": rows}


def memory() -> Figures:
    """What streams and packets take: memory, open files, bytes on the wire and in the journal, tables."""
    with our_source() as (url, pid):
        rows = [{"runs": [measured(each, url, pid, graded) for _ in range(REPEATS)]} for each in SIZES]
    return {"rows": rows}


def repeats(offered: Offered, url: str, pid: int) -> Figures:
    """The quietest repeats of one point."""
    found: list[Figures] = []
    for _ in range(TRIES):
        wait_for_quiet()
        found.append(measured(offered, url, pid))
        print(json.dumps(found[-1]), flush=True)
        if sum(each["others_cpu"] <= QUIET for each in found) >= REPEATS:
            break
    kept = sorted(found, key=lambda each: float(each["others_cpu"]))[:REPEATS]
    return {"tried": len(found), "runs": kept}


def wait_for_quiet() -> None:
    """Wait until the others leave the machine alone for a second, but not for ever."""
    for _ in range(PATIENCE_S):
        before = busy([])
        sleep(1)
        if sum(used - before.get(pid, 0.0) for pid, used in busy([]).items()) <= QUIET:
            return


MEASURE: dict[str, Callable[[], Figures]] = {"points": points, "memory": memory}


def main(names: Sequence[str]) -> None:
    """Measure what is named, keep it, and write the page."""
    for name in names:
        began = monotonic()
        keep(name, MEASURE[name](), took_s=monotonic() - began)
    PAGE.write_text(rendered(PAGE.read_text(), kept()))


def kept() -> Figures:
    """What was measured last."""
    told: Figures = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    return told


def keep(name: str, told: Figures, *, took_s: float) -> None:
    """Keep what was measured, with the day and the machine."""
    where = {
        "on": f"{datetime.now(UTC):%Y-%m-%d}",
        "took_s": round(took_s),
        "cores": os.cpu_count(),
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
        "source": "native" if os.environ.get("HARNESS_STREAMSERVER") else "our own",
    }
    FIGURES.write_text(json.dumps(kept() | {name: told | where}, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
