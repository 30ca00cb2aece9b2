"""`harness run` for long enough that a leak shows, watched from outside: its memory and files as it goes on.

The run reports how far it is every 2 s, and each of its lines is a moment to look at it: nothing here sleeps.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import numpy as np

from tests.bounds import started

SUITE = """
suite: soak
target: {{standin: {{}}, audit: 10%}}
defaults: {{repeat: {trials}}}
variants:
  plain: {{llm_override: {{model_provider: Simulated, model_version: "sim:ttft=5ms,gap=1ms,tokens=4"}}}}
prompts:
  - {{id: hello, message: hello, assert: [{{type: stream-complete}}]}}
load: {{workers: {in_flight}}}
"""

WARM = 0.25
"""The share of the run that is not looked at: pools and the trials that the verdict so far keeps fill up."""

MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Look:
    """The run at one moment: trials *done* and *in_flight*, its *memory* (RSS), the *peak*, its open files.

    *says* is the line that it had just written; *done* is None where that is none of its progress.
    """

    done: int | None
    in_flight: int
    memory: int
    peak: int
    files: int
    says: str


@dataclass(frozen=True, slots=True)
class Soak:
    """What a run of *trials* exchanges, *in_flight* at once, came to, and how it was meanwhile."""

    trials: int
    in_flight: int
    code: int
    looks: tuple[Look, ...]
    took_s: float

    @property
    def driven(self) -> list[tuple[int, Look]]:
        """The looks at it between its warm-up and the last trial, with all workers busy, by trials done."""
        known = [(look.done, look) for look in self.looks if look.done is not None]
        return [
            (done, look)
            for done, look in known
            if done > WARM * self.trials and look.in_flight == self.in_flight
        ]

    @property
    def slope(self) -> float:
        """MB that 10,000 exchanges leave behind in memory: least squares of memory on exchanges done."""
        done, memory = zip(*((done, look.memory) for done, look in self.driven), strict=True)
        return float(np.polyfit(done, memory, 1)[0]) * 10_000 / MB

    @property
    def files(self) -> tuple[int, int]:
        """The fewest and the most files that were open meanwhile."""
        files = [look.files for _, look in self.driven]
        return min(files), max(files)

    @property
    def peak_driven(self) -> float:
        """The most memory of the run up to its last trial, in MB."""
        return max(look.memory for look in self.looks if look.in_flight) / MB

    @property
    def peak(self) -> float:
        """The most memory of the whole run, its tables included, in MB."""
        return self.looks[-1].peak / MB

    @property
    def warnings(self) -> list[str]:
        """What it warned of, or what Python did."""
        return [look.says for look in self.looks if re.search(r"warning|traceback|error:", look.says, re.I)]


def soak(folder: Path, *, trials: int, in_flight: int, tell: Callable[[Look], None] = lambda _: None) -> Soak:
    """Run so many short exchanges as a user would; look at it after each line that it writes, and *tell*."""
    suite = folder / "soak.yaml"
    suite.write_text(SUITE.format(trials=trials, in_flight=in_flight))
    command = [sys.executable, "-m", "harness", "run", str(suite), "--results", str(folder / "results")]
    began, looks = monotonic(), list[Look]()
    with started(command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as run:
        assert run.stderr is not None
        for line in run.stderr:
            for look in _looks(line.strip(), run.pid):
                looks.append(look)
                tell(look)
        code = run.wait()
    return Soak(trials, in_flight, code, tuple(looks), monotonic() - began)


_PROGRESS = re.compile(r"\] (\d+)/\d+ done · (\d+) in flight")


def _looks(line: str, pid: int) -> Iterator[Look]:
    """One, where the run still goes on."""
    found = _PROGRESS.search(line)
    done, in_flight = map(int, found.groups()) if found else (None, 0)
    try:
        status = dict(each.split(":", 1) for each in Path(f"/proc/{pid}/status").read_text().splitlines())
        memory, peak = (int(status[key].split()[0]) * 1024 for key in ("VmRSS", "VmHWM"))
        files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except (OSError, KeyError):  # it has ended
        return
    yield Look(done, in_flight, memory, peak, files, line)
