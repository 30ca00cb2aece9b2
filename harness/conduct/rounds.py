"""A phase sent in rounds, where somebody looks after each at what is still worth asking."""

from collections.abc import Awaitable, Callable, Iterable
from itertools import groupby

from harness import journal
from harness.conduct.errands import look_at_sessions
from harness.conduct.going import Conduct, Round, Wanted
from harness.drive.pool import Sink
from harness.plan.trials import Trial
from harness.result import Result, Skip

Send = Callable[[str, Iterable[Trial]], Awaitable[None]]
"""Sends trials of a phase, until each has a result."""


async def in_rounds(run: Conduct, phase: str, book: journal.Journal, send: Send, *, sink: Sink) -> None:
    """The rounds of one phase, each sent as a whole by *send*, and what is still wanted asked after each.

    What is no longer wanted goes into *sink* as decided; of the rounds by which a phase may be extended
    nothing does.
    """
    assert run.at_round_end is not None  # noqa: S101  else there would be no rounds
    left = run.left
    planned = _rounds(left.phase(phase))
    more = _rounds(each for each in left.more if each.phase == phase)
    wanted = await _wanted_so_far(run, phase, book, [*planned, *more])
    for number, trials in enumerate([*planned, *more], 1):
        sent = [trial for trial in trials if wanted(trial)]
        for trial in (each for each in trials if not wanted(each)) if number <= len(planned) else ():
            run.decided[trial.variant] += 1
            sink(_not_sent(trial))
        if not sent or (number > len(planned) and run.reins.stopped is not None):
            continue
        await send(phase, sent)
        if run.crew is not None:
            run.fresh += journal.read_on(run.folder, run.read)
        if run.reins.stopped is not None:
            continue  # what is left is booked for that; there is nothing to decide
        await look_at_sessions(run, book)
        fresh, run.fresh = tuple(run.fresh), []
        details, run.details = run.details, {}
        wanted = await run.at_round_end(Round(phase, fresh, details, left=number < len(planned)))


async def _wanted_so_far(
    run: Conduct, phase: str, book: journal.Journal, rounds: list[list[Trial]]
) -> Wanted:
    """What is wanted before the first of the *rounds* that are left: all, unless others were sent before."""
    if run.before is None or run.at_round_end is None or not rounds:
        return lambda _: True
    await look_at_sessions(run, book)
    done = [
        each for each in journal.read(run.folder) if each.phase == phase and each.trial_id in run.before.done
    ]
    over = tuple(each for each in done if each.repeat < rounds[0][0].repeat)
    run.fresh, run.details = [each for each in done if each not in over], {}
    if not over:
        return lambda _: True
    return await run.at_round_end(Round(phase, over, journal.sessions(run.folder), left=True))


def _rounds(trials: Iterable[Trial]) -> list[list[Trial]]:
    """*trials*, which are in the order of their rounds, a list for each."""
    return [list(each) for _, each in groupby(trials, key=lambda trial: trial.repeat)]


def _not_sent(trial: Trial) -> Result:
    case_id = trial.case.case_id
    skip = Skip.DECIDED
    return Result(trial.trial_id, case_id, trial.variant, trial.repeat, trial.phase, skip=skip)
