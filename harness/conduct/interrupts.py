"""Ctrl-C: a run ends in order, more of it at once each time that it is pressed."""

import signal

import anyio
from rich.console import Console

from harness.drive.reins import Reins
from harness.report.live import say, several
from harness.result import Skip

GRACE_S = 30.0
"""How long trials under way may go on after the first Ctrl-C."""


async def rein_in(reins: Reins, console: Console | None) -> None:
    """First Ctrl-C: no new trials, those under way may finish. Second: cut them off. Third: that is all."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with anyio.create_task_group() as grace:
            asked = 0
            async for _ in signals:
                asked += 1
                match asked:
                    case 1:
                        may = f"{several(reins.in_flight, 'trial')} may finish, for {GRACE_S:g} s"
                        say(console, f"stopping: {may}; Ctrl-C cuts off what is under way")
                        reins.stop(Skip.INTERRUPTED)
                        grace.start_soon(_cut_after_grace, reins)
                    case 2:
                        say(
                            console,
                            "cut off; what the run made is looked at and cleaned up; Ctrl-C skips that",
                        )
                        reins.cut(Skip.INTERRUPTED)
                    case _:
                        reins.abandoned = True


async def _cut_after_grace(reins: Reins) -> None:
    await anyio.sleep(GRACE_S)
    reins.cut(Skip.INTERRUPTED)
