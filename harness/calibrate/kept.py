"""Calibrations that are kept beside the results, and what one of them says of a run."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from harness import __version__
from harness.calibrate.probe import Measurement
from harness.errors import RunDirectoryError

FILE = "calibration.json"
NEAR_ENOUGH = 0.9
"""A load that came out this much lower than a run's is the same: neither is the same twice."""


class Machine(Struct, frozen=True):
    """What a calibration holds for: on another machine, or another interpreter, it says nothing."""

    host: str
    cpus: int
    python: str
    harness: str


class Calibration(Struct, frozen=True, kw_only=True):
    """Measurements of one machine, at different loads, and the most packets a second that it read well.

    *ceiling_per_s* is None where it was not looked for; *source_gave_out* says that the source ended the
    search, so that the ceiling is at least that.
    """

    at: str
    machine: Machine
    points: tuple[Measurement, ...]
    ceiling_per_s: float | None = None
    source_gave_out: bool = False

    def in_flight(self, packets_per_s: float) -> int | None:
        """How many streams of that many packets a second to have in flight at most: 70 % of the ceiling."""
        return None if self.ceiling_per_s is None else int(0.7 * self.ceiling_per_s / packets_per_s)


class Exactness(Struct, frozen=True):
    """What a calibration says of a run's times: the error at a load that is as high or higher, in ms.

    *n* packets of *streams* streams at *packets_per_s* in all were behind it. *why_not* is said where none
    fits.
    """

    p50_ms: float | None = None
    p99_ms: float | None = None
    n: int = 0
    streams: int = 0
    packets_per_s: float = 0.0
    at: str = ""
    why_not: str = ""


def this_machine() -> Machine:
    """The machine that this runs on."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(platform.node(), cpus, platform.python_version(), __version__)


def calibration(
    points: tuple[Measurement, ...], *, ceiling: Measurement | None, gave_out: bool
) -> Calibration:
    """A calibration of this machine, as of now."""
    return Calibration(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=this_machine(),
        points=points,
        ceiling_per_s=ceiling.achieved_per_s if ceiling else None,
        source_gave_out=gave_out,
    )


def keep(told: Calibration, results: Path) -> Path:
    """Write *told* beside the results; the path. Raises `RunDirectoryError`."""
    path = results / FILE
    try:
        results.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n")
    except OSError as error:
        raise RunDirectoryError(f"{path}: cannot be written: {error.strerror}") from error
    return path


def exactness(results: Path, streams: int, packets_per_s: float) -> Exactness:
    """What the calibration beside the results says of a run with so many streams and packets a second."""
    try:
        known = msgspec.json.decode((results / FILE).read_bytes(), type=Calibration)
    except OSError:
        return Exactness(why_not="not calibrated: harness calibrate measures how far off the times are")
    except msgspec.DecodeError:
        return Exactness(why_not=f"{results / FILE} is none of this version: run harness calibrate again")
    if known.machine != this_machine():
        return Exactness(
            why_not="the calibration is of another machine or version: run harness calibrate again"
        )
    fitting = [
        point
        for point in known.points
        if point.shape.streams >= streams and point.achieved_per_s >= NEAR_ENOUGH * packets_per_s
    ]
    if not fitting:
        most = max((point.achieved_per_s for point in known.points), default=0.0)
        said = f"calibrated up to {most:,.0f} packets/s only, and the run had {packets_per_s:,.0f}"
        return Exactness(why_not=f"{said} in {streams} streams: run harness calibrate SUITE")
    point = min(fitting, key=lambda each: each.achieved_per_s)
    error = point.arrived_all
    return Exactness(
        error.p50_ms, error.p99_ms, error.n, point.shape.streams, round(point.achieved_per_s, 1), known.at
    )
