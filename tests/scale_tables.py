"""The tables of docs/scale.md: ``python -m tests.scale_tables NAME...`` measures, and writes them.

What was measured last stands in tests/scaling/figures.json, with the day and the machine. Everything else on
the page is computed from that (tests/scaling/arithmetic.py) or simulated (tests/scaling/simulating.py), and
tests hold the page to it. Names: points, memory, tables; without one the page is written anew of what is
there. HARNESS_STREAMSERVER=FILE is a source for the points in place of our own, as for the benchmarks.
"""

import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from tests.benchmarks.sources import our_source, serving_streams
from tests.scaling.measuring import Figures, Offered, graded, measured, short_replies
from tests.scaling.pages import rendered

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "scale.md"
FIGURES = ROOT / "tests" / "scaling" / "figures.json"

REPEATS = 3
POINTS = (
    *(Offered(streams, packets=400) for streams in (100, 250, 500, 850, 1100, 1400, 1600, 2000)),
    short_replies(1),
    Offered(300, packets=10, rounds=30),
    Offered(300, packets=50, rounds=8),
    Offered(300, packets=200, rounds=4),
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

LONG = (
    Offered(10, packets_per_s=1000, packets=20_000, bytes=LIKE_SIGMA),
    Offered(30, packets_per_s=1000, packets=20_000, rounds=2, bytes=LIKE_SIGMA),
)


def points() -> Figures:
    """Every point in turn, several times over. Client and source go before all else that the machine does.

    Who waits for a core that others have is measured for waiting, and this machine is shared. Only root may
    do that.
    """
    if os.geteuid():
        sys.exit("points: only root may have its processes go before all others")
    found: list[list[Figures]] = [[] for _ in POINTS]
    with serving_streams() as (url, pid):
        for _ in range(REPEATS):
            for runs, offered in zip(found, POINTS, strict=True):
                runs.append(measured(offered, url, pid, first=True))
                print(json.dumps(runs[-1]), flush=True)
    return {"repeats": REPEATS, "rows": [{"runs": runs} for runs in found]}


def memory() -> Figures:
    """What streams and packets take: memory, open files, bytes on the wire and in the journal."""
    return _graded(SIZES)


def tables() -> Figures:
    """What many packets take when their tables are made."""
    return _graded(LONG)


def _graded(loads: Sequence[Offered]) -> Figures:
    with our_source() as (url, pid):
        rows = [{"runs": [measured(each, url, pid, after=graded) for _ in range(REPEATS)]} for each in loads]
    return {"rows": rows}


MEASURE: dict[str, Callable[[], Figures]] = {"points": points, "memory": memory, "tables": tables}


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
