"""One trial against one Sigma, turn by turn -> one Result, whatever happens.

The turns of a conversation go strictly one after the other: the server has no lock, and two sends in one
session both "succeed" (wire 1.6). They come in the order in which the tree of the conversation can be walked:
only its mainline can be continued. A broken turn ends its branch, since its error text would enter the
history of the next; other branches go on.
"""

from dataclasses import dataclass, field

import anyio

from harness.drive.exchange import SECOND, Clock, Draft, send_turn
from harness.drive.faults import retry_wait_s
from harness.plan.trials import Trial
from harness.result import Exchange, Failure, Fault, Result, Skip, Step
from harness.sigma.client import Client

__all__ = ["Clock", "Running", "attempt"]

_TICK_NS = 1_000_000


@dataclass(slots=True)
class Running:
    """A trial on its way: filled here, and held by the pool so that it can be cut.

    *draft* is the exchange that was begun last, for those who look on.
    """

    trial: Trial
    due_ns: int | None = None
    free_ns: int | None = None
    window: str = "measured"
    began_ns: int | None = None
    exchanges: list[Exchange] = field(default_factory=list)
    draft: Draft | None = None
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    skip: Skip | None = None

    def cut(self, why: Skip) -> None:
        """End the trial where it stands; what has arrived is kept."""
        if self.skip is None:
            self.skip = why
            self.scope.cancel()

    def result(self, ended_ns: int | None) -> Result:
        """What is known of the trial; one that was never begun has only its skip."""
        return Result(
            trial_id=self.trial.trial_id,
            case_id=self.trial.case.case_id,
            variant=self.trial.variant,
            repeat=self.trial.repeat,
            phase=self.trial.phase,
            window=self.window,
            due_ns=self.due_ns,
            free_ns=self.free_ns,
            began_ns=self.began_ns,
            ended_ns=ended_ns,
            exchanges=tuple(self.exchanges),
            skip=self.skip,
        )


async def attempt(running: Running, client: Client, now: Clock) -> Result:
    """The result of one trial. Raises `MachineError`, cancellation from outside and bugs of ours; no more."""
    running.began_ns = now()
    with running.scope:
        await _converse(running, client, now)
    return running.result(ended_ns=now())


async def _converse(running: Running, client: Client, now: Clock) -> None:
    answered: dict[str | None, Exchange] = {}
    before: str | None = None
    ended_ns: int | None = None
    for turn, settings in zip(running.trial.case.turns, running.trial.settings, strict=True):
        parent = turn.after or turn.regenerate or before
        before = turn.id
        if parent is not None and parent not in answered:
            continue  # its branch is broken
        due_ns, think_ns = running.due_ns, settings.think_time or 0
        if ended_ns is not None and due_ns is not None:  # open outside, closed inside
            due_ns = ended_ns + think_ns
        if ended_ns is not None and think_ns:
            await _until(ended_ns + think_ns, now)
        draft = Draft(running.trial, turn, settings, 1, due_ns=due_ns)
        failure = _place(draft, answered.get(parent))
        if failure is None:
            exchange = await _tried(running, draft, client, now)
        else:
            draft.failure, draft.began_ns = failure, now()
            exchange = draft.close(now())
            running.exchanges.append(exchange)
        ended_ns = now()
        if exchange.failure is None:
            answered[turn.id] = exchange


async def _until(at_ns: int, now: Clock) -> None:
    """Return at *at_ns* or later, never before: uvloop's timers, of 1 ms, may come half of one too early."""
    while (left_ns := at_ns - now()) > 0:  # noqa: ASYNC110  a clock, which sets no event
        await anyio.sleep(max(left_ns, _TICK_NS) / SECOND)


def _place(draft: Draft, parent: Exchange | None) -> Failure | None:
    """Put the turn where it belongs in the conversation, below *parent*; what keeps it from there.

    Where a turn simply goes on, its parent is left out: the server appends to the last message.
    """
    if parent is None:
        draft.session_id = draft.settings.chat_session_id
        draft.parent_message_id = draft.settings.parent_message_id
        return None
    draft.session_id = parent.session_id
    if draft.session_id is None:
        # Sent without one, the turn would be answered in a conversation of its own, and nobody would notice.
        said = "the turn before was answered without a chat_session_id: its conversation cannot go on"
        return Failure(Fault.PROTOCOL, Step.SESSION, said)
    ids = parent.transcript
    answer = next(iter(ids.assistant_message_ids), None) if ids else None
    if draft.turn.regenerate is not None:
        draft.parent_message_id = ids.user_message_id if ids else None
    elif draft.turn.after is not None or draft.endpoint == "send-message":
        draft.parent_message_id = answer
    else:
        return None
    if draft.parent_message_id is None:
        what = "question" if draft.turn.regenerate is not None else "answer"
        said = f"the reply to turn {parent.turn_id} names no id of its {what}: nothing can be put below it"
        return Failure(Fault.PROTOCOL, Step.SESSION, said)
    return None


async def _tried(running: Running, draft: Draft, client: Client, now: Clock) -> Exchange:
    """The last of as many attempts as the trial may make; all of them are kept."""
    retry = running.trial.retry
    # What a server may have taken is asked again only where nothing would be asked twice: neither in a
    # conversation that goes on, nor of a deep research, which the budget has counted once.
    anew = draft.session_id is None and not draft.settings.deep_research
    while True:
        running.draft = draft
        exchange = await send_turn(draft, client, now, running.exchanges.append)
        wait_s = retry_wait_s(exchange, retry.for_, anew=anew)
        if wait_s is None or draft.number == retry.attempts:
            return exchange
        await anyio.sleep(wait_s)
        draft = _again(draft, anew=anew)


def _again(draft: Draft, *, anew: bool) -> Draft:
    return Draft(
        draft.trial,
        draft.turn,
        draft.settings,
        draft.number + 1,
        due_ns=draft.due_ns,
        session_id=None if anew else draft.session_id,
        parent_message_id=draft.parent_message_id,
    )
