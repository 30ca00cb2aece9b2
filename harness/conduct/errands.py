"""Errands to the server beside the trials: to look at what it keeps, to delete it, to see what changed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from harness import journal
from harness.conduct.going import Conduct
from harness.drive.preflight import looked_up_again
from harness.drive.sessions import Errand, Ids, delete_sessions, look_at
from harness.drive.transport import transport_of
from harness.errors import TargetError
from harness.report.live import counted
from harness.sigma.client import Client
from harness.sigma.fingerprint import changed, fingerprint
from harness.sigma.session import SessionDetail


async def look_at_sessions(run: Conduct, book: journal.Journal) -> None:
    """Journal what the server keeps of the conversations so far: which model answered, and the rest."""
    wanted, run.to_look = list(run.to_look), Ids()

    def keep(detail: SessionDetail) -> None:
        book.append(detail)
        if run.at_round_end is not None:
            run.details[detail.chat_session_id] = detail

    async with _errand(run, "sessions looked at", len(wanted)) as errand:
        await look_at(errand, wanted, keep)
    missing = len(wanted) - errand.done
    if missing:
        run.warn(
            f"{missing} of {len(wanted)} sessions could not be looked at ({errand.why() or 'interrupted'}): "
            "which model answered there is not shown"
        )


async def delete_made(run: Conduct) -> None:
    """Delete the sessions that this run made, where the suite asks for that."""
    if not run.plan.suite.target.cleanup.sessions:
        return
    made = list(run.made)
    async with _errand(run, "sessions deleted", len(made)) as errand:
        await delete_sessions(errand, made)
    run.deleted["sessions"] = errand.done
    if errand.done < len(made):
        run.warn(
            f"{len(made) - errand.done} of {len(made)} sessions could not be deleted: "
            f"{errand.why() or 'interrupted'}"
        )


async def compare_target(run: Conduct) -> None:
    """Flag what changed on the server while the run went on: its first half was asked of something else."""
    if run.reins.abandoned:
        return
    try:
        after = await looked_up_again(run.plan, run.address)
    except TargetError as error:
        run.warn(f"whether the target changed during the run is not known: {error}")
        return
    run.changed = changed(fingerprint(run.catalogue), fingerprint(after))
    if run.changed:
        run.warn(
            f"the target changed during the run: {', '.join(run.changed)}; "
            "what was asked before and after is not the same"
        )


@asynccontextmanager
async def _errand(run: Conduct, what: str, total: int) -> AsyncIterator[Errand]:
    transport = transport_of(run.plan.suite, run.address.base_url)
    async with Client(run.address, transport()) as client:
        with counted(run.options.console, what, total) as advance:
            yield Errand(client, advance, lambda: run.reins.abandoned)
