"""What goes wrong on our user's side of the house, and the exit code it ends in.

HarnessError
├── UsageError             2   a flag, a name or a file that does not exist
├── SuiteError             2   the suite cannot be read; nothing was sent
├── TargetError            4   no Sigma answers at the target
├── StandinError           4   our own stand-in did not come up
├── PortError              4   the address or the port that is to be served at cannot be had
├── CollectorError         4   nobody takes the traces of a run
├── MachineError           4   this machine has no files, ports or memory left to connect with
└── RunDirectoryError      4   the results cannot be written or read

Faults of Sigma or of the network are data (`harness.result.Failure`), never one
of these. A bug of ours is never one of these either: it ends the command with a code of its own.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of every command; DESIGN section 4 has the table."""

    OK = 0
    FAILED = 1
    USAGE = 2
    INCOMPLETE = 3
    ENVIRONMENT = 4
    BUG = 70


class HarnessError(Exception):
    """Something the user can mend. The message is shown as it is."""

    exit_code = Exit.USAGE


class UsageError(HarnessError):
    """A flag, a name or a file that does not exist."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in a suite: where, what, what is allowed, the likely fix.

    *line* and *column* count from 1, as editors do; 0 means the file as a whole.
    """

    path: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.message}"


class SuiteError(HarnessError):
    """Everything that is wrong with a suite, at once, in the order of the file."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems)
        super().__init__("\n".join(map(str, self.problems)))


class TargetError(HarnessError):
    """No Sigma answers at the target."""

    exit_code = Exit.ENVIRONMENT


class StandinError(HarnessError):
    """Our own stand-in Sigma did not come up."""

    exit_code = Exit.ENVIRONMENT


class PortError(HarnessError):
    """What is to be served at cannot be had: the port is taken, or no address of this machine."""

    exit_code = Exit.ENVIRONMENT


class CollectorError(HarnessError):
    """Nobody takes the traces of a run; the run itself is whole."""

    exit_code = Exit.ENVIRONMENT


class MachineError(HarnessError):
    """No files, ports or memory are left on this machine to connect with: no fault of who is called."""

    exit_code = Exit.ENVIRONMENT


class RunDirectoryError(HarnessError):
    """The folder of a run cannot be written or read."""

    exit_code = Exit.ENVIRONMENT


def did_you_mean(word: object, words: Iterable[str]) -> str:
    """'; did you mean x?' where one of *words* is close to *word*, else nothing."""
    match get_close_matches(str(word), list(words), n=1):
        case [near]:
            return f"; did you mean {near}?"
        case _:
            return ""
