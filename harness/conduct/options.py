"""How a run is to be made and shown: what the command line adds to its suite."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from harness.drive.access import Access
from harness.plan.trials import Choice, Plan
from harness.record.store import Rerun
from harness.report.tally import Tally


@dataclass(frozen=True, slots=True)
class Options:
    """How a suite is run, beside what it says itself.

    *target* is a URL or ``standin``, *access* the way there. *workers* takes the place of the `workers`
    of every phase. Several *processes* share the load between them, on this machine or on the nodes of a
    *cluster* (``local``, ``auto``, HOST:PORT, ray://HOST:PORT), where 1 means one on each node. *console*
    shows the progress; None shows nothing. *onlooker* gets what is known of the run while it goes on, before
    anything is sent.
    *agree* is handed what is to be sent, and the target, before anything is; it raises to stop it.
    *rerun*: the trials of *choice* are a selection of another run's, and the run says so.
    *gate*: the rules of the suite decide how much of it is asked, and the exit code, held against *baseline*
    (what the suite names, if None). *confirm*: the pairs of *choice* are asked until each is decided.
    *interruptible*: the first Ctrl-C lets trials under way finish (for at most
    30 s), the second cuts them off, the third skips looking at sessions and
    cleaning up; all leave a whole record.
    """

    choice: Choice = field(default_factory=Choice)
    seed: int = 0
    target: str | None = None
    access: Access = field(default_factory=Access)
    workers: int | None = None
    processes: int = 1
    cluster: str | None = None
    fail_fast: bool = False
    gate: bool = False
    baseline: str | None = None
    confirm: bool = False
    agree: Callable[[Plan, str | None], None] | None = None
    rerun: Rerun | None = None
    results: Path = Path("results")
    console: Console | None = None
    onlooker: Callable[[Tally], None] | None = None
    interruptible: bool = False
