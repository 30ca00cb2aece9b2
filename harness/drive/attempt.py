"""One trial against one Sigma, turn by turn -> one Result, whatever happens.

The turns of a conversation go strictly one after the other: the server has no
lock, and two sends in one session both "succeed" (wire 1.6). A broken turn ends
the conversation, since its error text would enter the history of the next.

What arrived is kept however reading ended. A stream that breaks after 900
tokens is an exchange of 900 tokens with a failure.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx
import msgspec
from msgspec import structs

from harness.drive.connection import NotHttpError
from harness.drive.tape import Tape
from harness.plan import Trial
from harness.result import Exchange, Failure, Fault, Result, Skip, Step, kept, with_transcript
from harness.sigma.client import Client
from harness.sigma.request import request_body, session_info
from harness.sigma.transcript import Outcome, Transcript
from harness.suite.model import Settings, Turn

Clock = Callable[[], int]

SECOND = 1_000_000_000
TIME_LIMIT_NS = 5 * 60 * SECOND
RESEARCH_LIMIT_NS = 65 * 60 * SECOND
"""Servers force the final report of a deep research after 30 minutes, and may work as long before."""

STOP_WAIT_S = 3.0
RETRY_WAIT_S = 0.5
LONGEST_RETRY_WAIT_S = 10.0
"""A `Retry-After` may be a day (token budgets, wire 4.1); retries are for outages."""


@dataclass(slots=True)
class Running:
    """A trial on its way: filled here, and held by the pool so that it can be cut."""

    trial: Trial
    due_ns: int | None = None
    began_ns: int | None = None
    exchanges: list[Exchange] = field(default_factory=list)
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
            due_ns=self.due_ns,
            began_ns=self.began_ns,
            ended_ns=ended_ns,
            exchanges=tuple(self.exchanges),
            skip=self.skip,
        )


async def attempt(running: Running, client: Client, now: Clock) -> Result:
    """The result of one trial. Raises nothing but cancellation from outside and bugs of ours."""
    running.began_ns = now()
    with running.scope:
        await _converse(running, client, now)
    return running.result(ended_ns=now())


async def _converse(running: Running, client: Client, now: Clock) -> None:
    case, retry = running.trial.case, running.trial.retry
    session_id: str | None = None
    for turn, settings in zip(case.turns, running.trial.settings, strict=True):
        for number in range(1, 1 + retry.attempts):
            draft = _Draft(running, turn, settings, number, session_id=session_id)
            exchange = await _exchange(draft, client, now)
            # What a server may have taken is asked again only where nothing would be asked twice: neither in
            # a conversation that goes on, nor of a deep research, which the budget has counted once.
            anew = session_id is None and not settings.deep_research
            wait_s = _retry_wait_s(exchange, retry.for_, anew=anew)
            if wait_s is None or number == retry.attempts:
                break
            await anyio.sleep(wait_s)
        if exchange.failure is not None:
            return
        session_id = exchange.session_id


@dataclass(slots=True)
class _Draft:
    """An exchange under way: what is sent, and what is known so far of what came back."""

    running: Running
    turn: Turn
    settings: Settings
    number: int
    session_id: str | None
    tape: Tape = field(default_factory=Tape)
    request: dict[str, Any] = field(default_factory=dict)
    began_ns: int = 0
    session_ns: int | None = None
    status: int | None = None
    content_type: str = ""
    retry_after_s: float | None = None
    failure: Failure | None = None

    @property
    def title(self) -> str:
        trial = self.running.trial
        return f"{trial.case.case_id} / {trial.variant} / {trial.repeat}"

    @property
    def is_first(self) -> bool:
        return self.turn is self.running.trial.case.turns[0]

    @property
    def limit_s(self) -> float:
        default = RESEARCH_LIMIT_NS if self.settings.deep_research else TIME_LIMIT_NS
        return (self.settings.time_limit or default) / SECOND

    def close(self, ended_ns: int) -> Exchange:
        text, b64 = kept(self.tape.body)
        exchange = Exchange(
            exchange_id=f"{self.running.trial.trial_id}.{self.turn.id}.{self.number}",
            turn_id=str(self.turn.id),
            attempt=self.number,
            request=self.request,
            began_ns=self.began_ns,
            due_ns=self.running.due_ns,
            session_ns=self.session_ns,
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
        )
        exchange = with_transcript(exchange)
        seen = exchange.transcript
        return structs.replace(
            exchange,
            failure=exchange.failure or (seen and _failure_in(seen, self)),
            session_id=exchange.session_id or (seen and seen.chat_session_id),
        )


async def _exchange(draft: _Draft, client: Client, now: Clock) -> Exchange:
    """Send one turn and keep what comes, also when the trial is cut midway."""
    draft.began_ns = now()
    try:
        with anyio.move_on_after(draft.limit_s) as limit:
            try:
                await _send(draft, client, now)
            except httpx.RequestError as error:
                draft.failure = _failure_of(error, draft)
        if limit.cancelled_caught:
            draft.failure = Failure(
                Fault.TIMED_OUT, _step(draft), f"no end after {draft.limit_s:g} s (time_limit)"
            )
    finally:
        exchange = draft.close(now())
        draft.running.exchanges.append(exchange)
        await _free(client, exchange)
    return exchange


async def _send(draft: _Draft, client: Client, now: Clock) -> None:
    dialect = client.address.dialect
    if draft.session_id is None and not draft.is_first:
        # Sent without one, the turn would be answered in a conversation of its own, and nobody would notice.
        said = "the turn before was answered without a chat_session_id: its conversation cannot go on"
        draft.failure = Failure(Fault.PROTOCOL, Step.SESSION, said)
        return
    if dialect == "onyx" and draft.session_id is None:
        await _open_session(draft, client, now)
        if draft.failure is not None:
            return
    draft.request = request_body(
        draft.turn.message or "", draft.settings, dialect=dialect, session_id=draft.session_id
    )
    response = await client.send(draft.request, extensions={"tape": draft.tape})
    try:
        draft.status = response.status_code
        draft.content_type = response.headers.get("content-type", "")
        draft.retry_after_s = _seconds(response.headers.get("retry-after"))
        if response.has_redirect_location:
            said = f"redirected to {response.headers['location']}; is target.base_url right?"
            draft.failure = Failure(Fault.HTTP, Step.HEADERS, said, http_status=draft.status)
        async for _ in response.aiter_raw():
            pass  # the tape has it
    finally:
        await response.aclose()


async def _open_session(draft: _Draft, client: Client, now: Clock) -> None:
    """Make the session ahead of its first turn: to stop a run one needs its id (wire 3, hazard d)."""
    response = await client.create_session(session_info(draft.settings, description=draft.title))
    draft.session_ns = now()
    said, status = f"create-chat-session: {response.text[:300]}", response.status_code
    if not response.is_success:
        wait_s = _seconds(response.headers.get("retry-after"))
        draft.failure = Failure(Fault.HTTP, Step.SESSION, said, http_status=status, retry_after_s=wait_s)
        return
    try:
        draft.session_id = msgspec.json.decode(response.content, type=_Session).chat_session_id
    except msgspec.DecodeError:  # a proxy's page, say
        draft.failure = Failure(Fault.PROTOCOL, Step.SESSION, said, http_status=status)


class _Session(msgspec.Struct):
    chat_session_id: str


async def _free(client: Client, exchange: Exchange) -> None:
    """Have the server end a run that we no longer listen to; closing the connection does not (wire 4.4)."""
    unheard = exchange.transcript is None or exchange.transcript.outcome is Outcome.TRUNCATED
    if exchange.session_id is None or exchange.sent_ns is None or not unheard:
        return
    with anyio.move_on_after(STOP_WAIT_S, shield=True):
        try:
            await client.stop(exchange.session_id)
        except httpx.RequestError:
            return  # the failure that counts is on record already


def _failure_of(error: httpx.RequestError, draft: _Draft) -> Failure:
    """The one place where httpx's exceptions become faults, most specific first."""
    step, detail = _step(draft), str(error) or type(error).__name__
    match error:
        case httpx.ConnectTimeout():
            return Failure(Fault.TIMED_OUT, Step.CONNECT, detail)
        case httpx.TimeoutException():
            return Failure(Fault.TIMED_OUT, step, detail)
        case httpx.ConnectError() | httpx.ProxyError() | httpx.UnsupportedProtocol():
            return Failure(Fault.CONNECT, Step.CONNECT, detail)
        case NotHttpError() | httpx.LocalProtocolError() | httpx.DecodingError():
            return Failure(Fault.PROTOCOL, step, detail)
        case _:  # the bare RemoteProtocolError too: the server closed before its answer was whole
            return Failure(Fault.DISCONNECTED, step, detail)


def _failure_in(transcript: Transcript, draft: _Draft) -> Failure | None:
    """What the reply itself says went wrong."""
    if draft.running.skip is not None:
        return None  # we hung up
    code, said = (transcript.error.code, transcript.error.message) if transcript.error else (None, "")
    match transcript.outcome:
        case Outcome.ERROR if draft.status is not None and draft.status >= 400:
            return Failure(
                Fault.HTTP,
                Step.HEADERS,
                said,
                code=code,
                http_status=draft.status,
                retry_after_s=draft.retry_after_s,
            )
        case Outcome.ERROR:
            return Failure(Fault.ERROR_LINE, Step.BODY, said, code=code, http_status=draft.status)
        case Outcome.TRUNCATED:
            return Failure(Fault.TRUNCATED, Step.BODY, "the body ended without a stop packet")
        case _:
            return None


def _step(draft: _Draft) -> Step:
    """How far the exchange had come."""
    if draft.tape.headers_ns is not None:
        return Step.BODY
    if draft.tape.sent_ns is not None:
        return Step.HEADERS
    if draft.request:
        return Step.CONNECT
    return Step.SESSION


def _retry_wait_s(exchange: Exchange, wanted: tuple[str, ...], *, anew: bool) -> float | None:
    """Seconds until the turn may be sent again, None for never.

    Only after what `retry.for` names, and only where the server cannot have
    taken the turn, or where asking *anew* does no harm: a second send in a session
    that goes on would add a second user message.
    """
    failure = exchange.failure
    match failure:
        case Failure(fault=Fault.CONNECT) | Failure(fault=Fault.TIMED_OUT, step=Step.CONNECT):
            name = "connect"
        case Failure(fault=Fault.HTTP, http_status=status):
            name = str(status)
        case Failure(fault=Fault.TIMED_OUT) if anew:
            name = "timeout"
        case Failure(fault=Fault.DISCONNECTED) if anew:
            name = "reset"
        case _:
            return None
    wait_s = failure.retry_after_s or RETRY_WAIT_S
    return wait_s if name in wanted and wait_s <= LONGEST_RETRY_WAIT_S else None


def _seconds(header: str | None) -> float | None:
    """`Retry-After` in seconds; its date form is not used by this API."""
    return float(header) if header is not None and header.isdecimal() else None
