"""A run that is killed with SIGKILL at chosen moments and resumed until it ends: what became of its trials.

The stand-in outlives it all in a process of its own, so that it can be asked afterwards what was sent.
"""

import os
import select
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise, starmap
from pathlib import Path
from random import Random
from time import monotonic

import polars as pl

from harness import journal
from harness.errors import Exit
from harness.record import store
from tests.bounds import started
from tests.conftest import Standin

TRIALS, WORKERS = 60, 4

SUITE = f"""
suite: killed
target: {{base_url: "${{SIGMA_URL}}"}}
defaults: {{repeat: {TRIALS // 3}, retry: {{attempts: 1}}}}
variants:
  plain: {{llm_override: {{model_provider: Simulated, model_version: "sim:ttft=10ms,gap=2ms,tokens=5"}}}}
prompts:
  - {{id: hello, message: hello, assert: [{{type: stream-complete}}]}}
  - {{id: bye, message: bye, assert: [{{type: stream-complete}}]}}
  - {{id: twice, turns: [{{message: one}}], assert: [{{type: stream-complete}}]}}
load: {{workers: {WORKERS}}}
"""

Moment = Callable[[Path, float], bool]
"""Whether it is time to kill, by the folder of results and the seconds since the start of the process."""

_LOOK_S = 0.002
_WITHIN_S = 50.0


def run_in(results: Path) -> Path | None:
    """The folder of the run, once there is one that can be resumed."""
    return next((each.parent for each in results.glob("killed/2*/manifest.json")), None)


def after_results(many: int, *, line: bytes = b'{"line":"result"') -> Moment:
    """Once so *many* lines of a kind are in the journal."""

    def is_time(results: Path, _: float) -> bool:
        return _whole(results).count(line) >= many

    return is_time


def after_sessions(many: int) -> Moment:
    """Once so *many* sessions were looked at: the trials are over, and what the server keeps is fetched."""
    return after_results(many, line=b'{"line":"session"')


def after_tables(many: int) -> Moment:
    """Once so *many* tables are written."""
    return lambda results, _: len(list(results.glob("killed/2*/*.parquet"))) >= many


def once_there(name: str) -> Moment:
    """Once there is a file of this name in the folder of the run."""
    return lambda results, _: any(results.glob(f"killed/2*/{name}"))


def after_s(seconds: float) -> Moment:
    """So long after the process was started."""
    return lambda _, since_s: since_s >= seconds


TAKES_S = 4.0
"""About how long a run of the suite takes, its start and its tables included."""


def at_random(seed: int) -> tuple[Moment, ...]:
    """One to three moments, the first anywhere in a run: half of them by time, half by what is journalled."""
    random = Random(seed)

    def moment() -> Moment:
        match random.randrange(4):
            case 0:
                return after_results(random.randint(1, TRIALS))
            case 1:
                return after_sessions(random.randint(1, TRIALS))
            case _:
                return after_s(random.uniform(0, TAKES_S))

    return tuple(moment() for _ in range(random.choice((1, 1, 2, 3))))


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a run that was killed so many times (*kills*) and went on.

    *had* is how many results its journal held at the first kill, *acknowledged* at the end. *lost* of its
    lines were there at a kill and are not any more as they stood; *missing* of the planned trials have no
    result at the end, *twice* have more than one. *sent* requests reached the server, *again* of them for a
    trial that was sent before; *in_flight* were under way at the kills at most. *left* are processes of it
    that outlived it, *codes* all exit codes.
    """

    kills: int
    had: int
    acknowledged: int
    lost: int
    missing: int
    twice: int
    sent: int
    again: int
    in_flight: int
    left: tuple[int, ...]
    codes: tuple[int, ...]

    @property
    def is_whole(self) -> bool:
        """Whether nothing was lost, nothing counts twice, and no more was sent again than was under way."""
        nothing = not (self.lost or self.missing or self.twice or self.left)
        return nothing and 0 <= self.again <= self.in_flight and self.codes[-1] in {0, -9}


@dataclass(slots=True)
class Kills:
    """The *moments* of the kills that are left, how many there were, and the processes that were there then.

    With *senders*, every other kill is that of one of the processes that send the trials, if there are any.
    """

    moments: list[Moment]
    senders: bool = False
    number: int = 0
    processes: set[int] = field(default_factory=set)

    def kill(self, leading: "subprocess.Popen[bytes]") -> None:
        """Kill the process that leads the run, or one that it leads."""
        self.moments.pop(0)
        self.number += 1
        children = children_of(leading.pid)
        sending = sorted(filter(_sends_trials, children))
        if self.senders and self.number % 2 and sending:
            os.kill(sending[0], signal.SIGKILL)
        else:
            self.processes |= children
            leading.kill()


def _sends_trials(pid: int) -> bool:
    try:
        return b"harness.crew.child" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def fate(folder: Path, sigma: Standin, *moments: Moment, processes: int = 1) -> Fate:
    """Kill a run at the first of *moments*, what goes on with it at the next; what is there at the end?"""
    suite, results = folder / "suite.yaml", folder / "results"
    suite.write_text(SUITE)
    before = sigma.get("/_standin/stats")["requests"]
    codes, left = list[int](), set[int]()
    journals = [b""]
    todo = Kills(list(moments), senders=processes > 1)
    while True:
        todo.processes.clear()
        code = _killed([*_command(suite, results), "--processes", str(processes)], folder, sigma.url, todo)
        codes.append(code)
        left |= {pid for pid in todo.processes if not _is_gone(pid)}
        journals.append(_whole(results))
        if code not in {-9, Exit.ENVIRONMENT} or _is_complete(results):
            break
    kills = todo.number
    return Fate(
        kills,
        _results(journals[1]),
        _results(journals[-1]),
        sum(starmap(_lost, pairwise(journals))),
        *_counted(results),
        *_sends(sigma, before, kills),
        tuple(left),
        tuple(codes),
    )


def _results(lines: bytes) -> int:
    return lines.count(b'{"line":"result"')


def _command(suite: Path, results: Path) -> list[str]:
    """The run where there is none yet, else what goes on with it."""
    folder = run_in(results)
    what = [str(suite)] if folder is None else ["--resume", str(folder)]
    return [sys.executable, "-m", "harness", "run", *what, "--results", str(results)]


def _killed(command: list[str], cwd: Path, url: str, todo: Kills) -> int:
    """The exit code of *command*, in which there are kills at the moments that are left."""
    began = monotonic()
    with started(
        command,
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"SIGMA_URL": url},
    ) as process:
        while process.poll() is None:
            since_s = monotonic() - began
            assert since_s < _WITHIN_S, "it does not end"
            if todo.moments and todo.moments[0](cwd / "results", since_s):
                todo.kill(process)
            _wait(process)
        return process.returncode


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_LOOK_S)
    except subprocess.TimeoutExpired:
        return


def _whole(results: Path) -> bytes:
    """The whole lines of the journals, one after the other."""
    folder = run_in(results)
    found = [] if folder is None else journal.journals(folder)
    lines = (path.read_bytes().rpartition(b"\n") for path in found if path.is_file())
    return b"".join(before + newline for before, newline, _ in lines)


def _is_complete(results: Path) -> bool:
    """Whether it had come to its end before the kill: its exit code is the last that it writes down."""
    folder = run_in(results)
    return folder is not None and store.read_manifest(folder).exit_code == 0


def _lost(before: bytes, after: bytes) -> int:
    """Lines that were there before the kill, and are not any more as they were."""
    return sum((Counter(before.splitlines()) - Counter(after.splitlines())).values())


def _counted(results: Path) -> tuple[int, int]:
    """How many of the planned trials have no result that counts, and how many have several."""
    folder = run_in(results)
    assert folder is not None
    read = Counter(result.trial_id for result in journal.read(folder))
    tabled = Counter(pl.read_parquet(folder / "trials.parquet")["trial_id"].to_list())
    missing = TRIALS - min(len(read), len(tabled))
    return missing, sum(times > 1 for times in read.values()) + sum(times > 1 for times in tabled.values())


def _sends(sigma: Standin, before: int, kills: int) -> tuple[int, int, int]:
    sent = sigma.get("/_standin/stats")["requests"] - before
    return sent, sent - TRIALS, kills * WORKERS


def children_of(pid: int) -> set[int]:
    """The processes that *pid* has started, and that they have."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            child = int(stat.parent.name)
            found |= {child, *children_of(child)}
    return found


def _is_gone(pid: int, within_ms: int = 10_000) -> bool:
    """Whether the process has ended, or does within that time."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        ended = select.poll()
        ended.register(watched, select.POLLIN)
        return bool(ended.poll(within_ms))
    finally:
        os.close(watched)
