"""Which trial is whose: by its index, so that every process has each stretch of the schedule in its share."""

from collections.abc import Iterable, Iterator, Sequence
from zlib import crc32

from harness.drive.pool import Part
from harness.plan.trials import Trial


def mine(trials: Iterable[Trial], part: Part) -> Iterator[Trial]:
    """Those of *trials* that are of this *part*, in their order.

    Trials that go on with one conversation are of one part: two sends in one session, from two processes,
    would both "succeed", each without seeing the other (wire 1.6).
    """
    for nth, trial in enumerate(trials):
        going_on = trial.settings[0].chat_session_id
        if (nth if going_on is None else crc32(going_on.encode())) % part.of == part.index:
            yield trial


def shares(trials: Iterable[Trial], of: int) -> list[tuple[Trial, ...]]:
    """*trials* as so many parts."""
    every = list(trials)
    return [tuple(mine(every, Part(index, of))) for index in range(of)]


def allowed(parts: Sequence[Sequence[Trial]], order: Iterable[Trial], left: int) -> list[int]:
    """How many of the deep-research runs that are *left* each of *parts* may send, as they come in *order*.

    All together send what one process would have sent.
    """
    of_part = {trial.trial_id: nth for nth, part in enumerate(parts) for trial in part}
    given = [0] * len(parts)
    for trial in order:
        if trial.deep_research and trial.deep_research <= left:
            left -= trial.deep_research
            given[of_part[trial.trial_id]] += trial.deep_research
    return given
