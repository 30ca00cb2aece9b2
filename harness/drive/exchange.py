"""One turn sent and what came back: an `Exchange`, however it ends.

What arrived is kept however reading ended: a stream that breaks after 900 tokens is an exchange of 900 tokens
with a failure. And a run that we stop listening to is ended on the server too: closing a connection leaves
Sigma working, and spending (wire 4.4). To do that one needs the id of its session, which may still be on its
way when the time is up; then we listen a little longer.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import msgspec
from msgspec import structs

from harness.drive import faults
from harness.drive.encoding import decode
from harness.drive.tape import Tape
from harness.plan.trials import Trial
from harness.result import Exchange, Failure, Fault, Step, kept, with_transcript
from harness.sigma.client import Client
from harness.sigma.deprecated import PATHS, deprecated_body
from harness.sigma.request import SEND, masked, request_body, session_info
from harness.sigma.transcript import Outcome, read_body
from harness.suite.prompts import Turn
from harness.suite.settings import Settings

Clock = Callable[[], int]
Keep = Callable[[Exchange], None]

SECOND = 1_000_000_000
TIME_LIMIT_NS = 5 * 60 * SECOND
RESEARCH_LIMIT_NS = 65 * 60 * SECOND
"""Servers force the final report of a deep research after 30 minutes, and may work as long before."""

STOP_WAIT_S = 3.0
_LOOK_S = 0.01
_LONG = 16_384
"""Bytes: in more than that, to look for patterns takes more than the millisecond that other streams bear."""
_OPENING = 65_536  # a reply names its session in its first line; the rest may be a line without an end


@dataclass(slots=True)
class Draft:
    """An exchange under way: what is sent, and what is known so far of what came back.

    *parent_message_id* is None where the turn simply follows the last message; then the key stays out of the
    request. *listened* is False once we have given up. *opening*: its session is being made ahead.
    """

    trial: Trial
    turn: Turn
    settings: Settings
    number: int
    due_ns: int | None = None
    session_id: str | None = None
    parent_message_id: int | None = None
    tape: Tape = field(default_factory=Tape)
    request: dict[str, Any] = field(default_factory=dict)
    session_info: dict[str, Any] | None = None
    began_ns: int = 0
    session_ns: int | None = None
    status: int | None = None
    content_type: str = ""
    retry_after_s: float | None = None
    failure: Failure | None = None
    masked: int = 0
    listened: bool = True
    opening: bool = False
    over: anyio.Event = field(default_factory=anyio.Event)

    @property
    def endpoint(self) -> str:
        """What the turn is sent through."""
        return self.settings.endpoint or "send-chat-message"

    @property
    def limit_s(self) -> float:
        """How long the turn may take."""
        default = RESEARCH_LIMIT_NS if self.settings.deep_research else TIME_LIMIT_NS
        return (self.settings.time_limit or default) / SECOND

    @property
    def is_sent(self) -> bool:
        """Whether the whole request has gone out, so that a server may be at work."""
        return self.tape.sent_ns is not None

    @property
    def step(self) -> Step:
        """How far the exchange had come."""
        if self.status is not None:
            return Step.BODY
        if self.is_sent:
            return Step.HEADERS
        return Step.CONNECT if self.request else Step.SESSION

    def close(self, ended_ns: int) -> Exchange:
        """The exchange as it stands, read and judged."""
        text, b64 = kept(self.tape.body)
        exchange = with_transcript(
            Exchange(
                exchange_id=f"{self.trial.trial_id}.{self.turn.id}.{self.number}",
                turn_id=str(self.turn.id),
                attempt=self.number,
                request=self.request,
                began_ns=self.began_ns,
                due_ns=self.due_ns,
                session_ns=self.session_ns,
                resolved_ns=self.tape.resolved_ns,
                tcp_ns=self.tape.tcp_ns,
                connected_ns=self.tape.connected_ns,
                sent_ns=self.tape.sent_ns,
                headers_ns=self.tape.headers_ns,
                ended_ns=self.tape.ended_ns or ended_ns,
                http_status=self.status,
                content_type=self.content_type,
                stamps=self.tape.stamps,
                resent=self.tape.resent,
                text=text,
                b64=b64,
                read_ends=tuple(self.tape.ends),
                arrived_ns=tuple(self.tape.arrived),
                seen_ns=tuple(self.tape.seen),
                failure=self.failure,
                session_id=self.session_id,
                session_info=self.session_info,
                endpoint=self.endpoint,
                masked=self.masked,
            )
        )
        seen = exchange.transcript
        found = faults.in_reply(exchange, self.retry_after_s) if self.listened else None
        return structs.replace(
            exchange,
            failure=exchange.failure or found,
            session_id=exchange.session_id or (seen and seen.chat_session_id),
        )


async def send_turn(draft: Draft, client: Client, now: Clock, keep: Keep) -> Exchange:
    """Send one turn, hand what came of it to *keep*, also when the trial is cut midway, and return it.

    A cancellation that came meanwhile is raised once all that is done.
    """
    draft.began_ns = now()
    try:
        async with anyio.create_task_group() as around:
            with anyio.CancelScope(shield=True) as listening:
                around.start_soon(_give_up, draft, listening)
                try:
                    await _send(draft, client, now)
                except httpx.RequestError as error:
                    draft.failure = faults.of_transport(error, draft.step)
            # Told to end rather than cancelled: a cancelled task is in a cycle with its traceback, and would
            # keep the tape until the collector comes round.
            draft.over.set()
        # `_give_up` has taken the cancellation in our place, in order to end the listening: it is still ours.
        await anyio.lowlevel.checkpoint_if_cancelled()
    finally:
        ended_ns = now()
        await _mask(draft, client)
        exchange = draft.close(ended_ns)
        if _may_go_on(exchange):
            with anyio.CancelScope(shield=True):
                exchange = structs.replace(exchange, stopped=await _stop(client, exchange))
        keep(exchange)
    return exchange


async def _mask(draft: Draft, client: Client) -> None:
    """Mask what must not be kept of what came, before anybody reads it; what is long, off the loop."""
    veil, body = client.veil, draft.tape.body
    draft.content_type = veil.text(draft.content_type)
    if draft.session_id is not None:
        draft.session_id = veil.alone.text(draft.session_id)
    if draft.failure is not None:
        draft.failure = structs.replace(draft.failure, detail=veil.text(draft.failure.detail))
    if veil.finders and len(body) > _LONG:
        with anyio.CancelScope(shield=True):
            draft.masked = await anyio.to_thread.run_sync(veil.over, body)
    else:
        draft.masked = veil.over(body)


async def _give_up(draft: Draft, listening: anyio.CancelScope) -> None:
    """End the listening when the time is up, or when the trial is cut: once the session's id is known.

    A reply names its session in its first line. Until that line is there the server cannot be told to stop,
    so it is waited for, for a moment.
    """
    try:
        with anyio.move_on_after(draft.limit_s):
            await draft.over.wait()
            return
        said = f"no end after {draft.limit_s:g} s (time_limit)"
        draft.failure = Failure(Fault.TIMED_OUT, draft.step, said)
    finally:
        if not draft.over.is_set():
            draft.listened = draft.failure is not None
            # Until it is cancelled, at its next wait, the task might send what nobody could stop any more.
            draft.tape.refused = not draft.is_sent
            with anyio.move_on_after(STOP_WAIT_S, shield=True):
                # Looked at now and then, since a tape wakes nobody: the measured path does nothing but keep.
                while _may_name_session(draft) and not draft.over.is_set():  # noqa: ASYNC110  see above
                    await anyio.sleep(_LOOK_S)
            listening.cancel()


def _may_name_session(draft: Draft) -> bool:
    """Whether the server may be about to say which session it made, and has not done so."""
    return (draft.is_sent or draft.opening) and not _names_session(draft)


def _names_session(draft: Draft) -> bool:
    begun = draft.tape.body[:_OPENING]
    if draft.session_id is None and b'"chat_session_id"' in begun:
        draft.session_id = read_body(begun, endpoint=draft.endpoint).chat_session_id
    return draft.session_id is not None


async def _send(draft: Draft, client: Client, now: Clock) -> None:
    dialect = client.address.dialect
    if draft.session_id is None and _wants_session(draft, dialect):
        await _open_session(draft, client, now)
        if draft.failure is not None:
            return
    body = _body(draft, dialect)
    draft.request = masked(body)
    path = PATHS.get(draft.endpoint, SEND)
    response = await client.send(body, path=path, extensions={"tape": draft.tape})
    try:
        draft.status = response.status_code
        draft.content_type = response.headers.get("content-type", "")
        draft.retry_after_s = faults.seconds(response.headers.get("retry-after"))
        if response.has_redirect_location:
            said = f"redirected to {response.headers['location']}; is target.base_url right?"
            draft.failure = Failure(Fault.HTTP, Step.HEADERS, said, http_status=draft.status)
        async for _ in response.aiter_raw():
            pass  # the tape has it
    finally:
        await response.aclose()
        wrong = decode(draft.tape, response.headers.get("content-encoding", ""))
        if wrong is not None and draft.failure is None:
            draft.failure = faults.of_transport(wrong, Step.BODY)


def _wants_session(draft: Draft, dialect: str) -> bool:
    """Whether a session is made ahead: to stop a run one needs its id (wire 3, hazard d).

    The guide lets the send make it. The endpoints of old never say which session they made.
    """
    return dialect == "onyx" or draft.endpoint in PATHS


def _body(draft: Draft, dialect: str) -> dict[str, Any]:
    message, place = draft.turn.message or "", draft.parent_message_id
    if draft.endpoint != "send-chat-message":
        return deprecated_body(message, draft.settings, session_id=draft.session_id, parent_message_id=place)
    return request_body(
        message, draft.settings, dialect=dialect, session_id=draft.session_id, parent_message_id=place
    )


async def _open_session(draft: Draft, client: Client, now: Clock) -> None:
    trial = draft.trial
    title = f"{trial.case.case_id} / {trial.variant} / {trial.repeat}"
    info = session_info(draft.settings, description=title)
    draft.opening = True
    response = await client.create_session(info)
    draft.opening = False
    draft.session_ns, draft.session_info = now(), info
    status = response.status_code
    if not response.is_success:
        wait_s = faults.seconds(response.headers.get("retry-after"))
        said = read_body(response.content, status=max(400, status))
        draft.failure = faults.of_status(
            response.content, said, status=status, retry_after_s=wait_s, step=Step.SESSION
        )
        return
    try:
        draft.session_id = msgspec.json.decode(response.content, type=_Session).chat_session_id
    except msgspec.DecodeError:  # a proxy's page, say
        said_instead = f"create-chat-session: {response.text[:300]}"
        draft.failure = Failure(Fault.PROTOCOL, Step.SESSION, said_instead, http_status=status)


class _Session(msgspec.Struct):
    chat_session_id: str


def _may_go_on(exchange: Exchange) -> bool:
    """Whether the server may be at work on a reply that we no longer listen to."""
    unheard = exchange.transcript is None or exchange.transcript.outcome is Outcome.TRUNCATED
    return exchange.sent_ns is not None and unheard


async def _stop(client: Client, exchange: Exchange) -> bool:
    """Have the server end a run; whether it did."""
    if exchange.session_id is None:
        return False
    with anyio.move_on_after(STOP_WAIT_S):
        try:
            return (await client.stop(exchange.session_id)).is_success
        except httpx.RequestError:
            return False  # the failure that counts is on record already
    return False
