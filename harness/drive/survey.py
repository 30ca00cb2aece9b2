"""A look around at one Sigma: everything that can be found out without a model and without leaving a trace.

Lists are read, and some endpoints are sent what they must refuse: how they do says whether they are there and
whether this key may use them. Where a server does not tell, that is what is told.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import anyio
import httpx

from harness.audit import model_params
from harness.drive.access import Access, accessed, doubts
from harness.drive.attempt import Running, attempt
from harness.drive.loop import in_a_loop
from harness.drive.monitor import control_ns
from harness.drive.pool import plain_errors
from harness.drive.preflight import address_of
from harness.drive.transport import transport_of
from harness.errors import UsageError
from harness.plan.trials import Trial
from harness.result import Exchange
from harness.sigma.catalogue import Catalogue, look_up
from harness.sigma.client import Address, Client
from harness.sigma.deprecated import PATHS
from harness.sigma.names import resolve
from harness.sigma.probe import dialect_in, document, identified, located, reason, sources_in, without_message
from harness.sigma.request import SEND
from harness.sigma.session import ModelParams, SessionDetail, read_session
from harness.suite.bare import suite_at
from harness.suite.model import Suite
from harness.suite.prompts import Retry, Turn
from harness.suite.resolve import Case
from harness.suite.settings import Settings

UPLOAD, USAGE, READY, SESSIONS = (
    *("/user/projects/file/upload", "/user/usage?days=1"),
    *("/health/ready", "/chat/get-user-chat-sessions?page_size=5"),
)
TRIPS = 10
_CALL_S = 15.0
_TELL_S = 2.0
_CLEANUP_S = 5.0


@dataclass(frozen=True, slots=True)
class Heard:
    """How an endpoint answered: its *status*, None where it did not, and then *why*; and the object in it."""

    status: int | None
    why: str = ""
    told: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.why or f"answered {self.status}{self._said()}"

    def _said(self) -> str:
        said = self.told.get("detail") or self.told.get("message")
        return f" ({said})" if isinstance(said, str) and said and len(said) < 200 else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a look around found.

    *address* is where it answers, with the dialect to speak; *dialect* is what the server was seen to speak,
    None where it does not show. *trips_ns* are round trips of `GET /health`. *heard* has how each endpoint
    that was tried answered, by path. *sessions* counts the answers in conversations of before that were
    looked at, and *models* has what they say of the models that gave them.
    """

    suite: Suite
    address: Address
    dialect: str | None
    catalogue: Catalogue
    trips_ns: tuple[int, ...]
    heard: Mapping[str, Heard]
    sources: tuple[str, ...] | None
    answers: int
    models: tuple[ModelParams, ...]
    unverified: bool

    @property
    def account(self) -> Mapping[str, Any]:
        """What `GET /me` says; empty where it may not be asked."""
        return self.catalogue.account

    @property
    def is_nobodys(self) -> bool:
        """Whether the server takes us for nobody."""
        return self.account.get("is_anonymous_user") is True


@dataclass(frozen=True, slots=True)
class Asked:
    """One message that was put, and what came of it.

    *model* is what the session says of who answered, *unseen* why it says nothing; *left* why the
    conversation could not be deleted again, empty where it was, or where there is none.
    """

    message: str
    exchange: Exchange
    model: ModelParams | None
    unseen: str
    left: str


def look_around(
    target: str,
    access: Access,
    key_file: Path | None,
    *,
    message: str | None = None,
    say: Callable[[str], None],
    warn: Callable[[str], None],
) -> tuple[Seen, Asked | None]:
    """What there is at *target* (a URL, `standin`, the file of a suite), and what came of *message*, if any.

    What takes long is told to *say*, and what is dangerous to *warn*. Raises `UsageError`, `SuiteError`,
    `TargetError` and `StandinError`.
    """
    suite = accessed(suite_at(target, key_file), None, access)
    for words in doubts(suite):
        warn(words)
    return in_a_loop(partial(_look_around, suite, message, say))


async def _look_around(
    suite: Suite, message: str | None, say: Callable[[str], None]
) -> tuple[Seen, Asked | None]:
    async with address_of(suite, None) as given:
        async with _telling(say, f"looking around at {given.base_url}"):
            seen = await survey(suite, given)
        if message is None:
            return seen, None
        async with _telling(say, "waiting for the answer"):
            return seen, await put(seen, message, perf_counter_ns)


@asynccontextmanager
async def _telling(say: Callable[[str], None], words: str) -> AsyncIterator[None]:
    """Tell *say* every now and then what goes on, as long as the block lasts; what is quick is not told."""

    async def tell() -> None:
        began_ns, wait_s = perf_counter_ns(), _TELL_S
        while True:
            await anyio.sleep(wait_s)
            say(f"{words}, for {(perf_counter_ns() - began_ns) / 1e9:.0f} s now")
            wait_s *= 2

    with plain_errors():
        async with anyio.create_task_group() as beside:
            beside.start_soon(tell)
            yield
            beside.cancel_scope.cancel()


async def survey(suite: Suite, given: Address) -> Seen:
    """What the Sigma of *suite*, at the address as it was *given*, has and lets this key do.

    Raises `TargetError` where none answers, and where it refuses the key.
    """
    transport = transport_of(suite, given.base_url)
    async with Client(given, transport()) as client:
        found = await located(client)
    async with Client(found, transport_of(suite, found.base_url)(), call_s=_CALL_S) as client:
        account = await identified(client, allow_anonymous=True)
        trips = await _trips(client)
        with plain_errors():
            catalogue = await look_up(client, (), account, everything=True)
            heard, refusal = await _tried(client)
        answers, models = await _earlier(client, heard[SESSIONS])
    dialect = None if refusal is None else dialect_in(refusal)
    if found.dialect == "auto" or dialect is not None:
        found = replace(found, dialect=dialect or "sigma")
    return Seen(
        suite=suite,
        address=found,
        dialect=dialect,
        catalogue=replace(catalogue, dialect=found.dialect),
        trips_ns=tuple(trips),
        heard=heard,
        sources=None if refusal is None else sources_in(refusal),
        answers=answers,
        models=models,
        unverified=bool(doubts(suite)),
    )


async def _trips(client: Client) -> list[int]:
    """How long each of a few control requests takes; of a server that hangs, those up to then."""
    took: list[int] = []
    with anyio.move_on_after(_CALL_S):
        for _ in range(TRIPS):
            if (trip := await control_ns(client)) is None:
                break
            took.append(trip)
    return took


async def _tried(client: Client) -> tuple[dict[str, Heard], httpx.Response | None]:
    """How endpoints answer that keep nothing of what they are sent, and the refusal of an empty message."""
    heard: dict[str, Heard] = {}
    refusals: list[httpx.Response] = []

    async def hear(path: str, ask: Callable[[], Any]) -> None:
        try:
            response = await ask()
        except httpx.TransportError as error:
            heard[path] = Heard(None, f"did not answer ({reason(error)})")
            return
        heard[path] = Heard(response.status_code, told=_object(response))
        if path == SEND:
            refusals.append(response)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hear, SEND, lambda: without_message(client))
        for path in (UPLOAD, *PATHS.values()):
            tasks.start_soon(hear, path, lambda path=path: client.post(path, {}))
        for path in (USAGE, READY, SESSIONS):
            tasks.start_soon(hear, path, lambda path=path: client.get(path))
    return heard, next(iter(refusals), None)


def _object(response: httpx.Response) -> Mapping[str, Any]:
    """The JSON object of an answer, an error's too; empty where it is none."""
    try:
        told = response.json()
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


async def _earlier(client: Client, listed: Heard) -> tuple[int, tuple[ModelParams, ...]]:
    """Of the latest conversations, how many answers they have, and what they say of who gave them."""
    rows = listed.told.get("sessions")
    ids = [row.get("id") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    answers, models = 0, []
    for session_id in [each for each in ids if isinstance(each, str)][:5]:
        detail, _ = await _detail(client, session_id)
        said = [each for each in detail.messages if each.message_type == "assistant"] if detail else []
        answers += len(said)
        models += [
            each.request_params for each in said if each.request_params and each.request_params.model_name
        ]
        if models:
            break
    return answers, tuple(models)


async def _detail(client: Client, session_id: str) -> tuple[SessionDetail | None, str]:
    """What the server keeps of a conversation, or why that cannot be seen."""
    try:
        response = await client.session_detail(session_id)
    except httpx.TransportError as error:
        return None, reason(error)
    if not response.is_success:
        return None, f"GET /chat/get-chat-session answered {response.status_code}"
    detail = read_session(document(response))
    return detail, "" if detail else "GET /chat/get-chat-session answered with something that is no session"


async def put(seen: Seen, message: str, now: Callable[[], int]) -> Asked:
    """What comes of *message*, which is sent once, in a conversation that is deleted again.

    It goes to the persona and project of the suite's target, if that names one. Raises `UsageError` where
    there is none of that name.
    """
    trial = _trial(seen, message)
    running = Running(trial)
    left = ""
    async with Client(seen.address, transport_of(seen.suite, seen.address.base_url)()) as client:
        try:
            await attempt(running, client, now)
            exchange = running.exchanges[-1]
            model, unseen = await _answered_by(client, exchange)
        finally:
            with anyio.move_on_after(_CLEANUP_S, shield=True):
                left = await _deleted(client, running)
    return Asked(message, exchange, model, unseen, left)


def _trial(seen: Seen, message: str) -> Trial:
    target = seen.suite.target
    named = {"persona_id": target.persona_id, "project_id": target.project_id}
    settings = Settings.model_validate({key: value for key, value in named.items() if value is not None})
    settings, problems = resolve(settings, seen.catalogue, seen.suite.path)
    if problems:
        raise UsageError("\n".join(problems))
    once = Retry(attempts=1)
    case = Case(
        "harness check", (), (Turn(id="1", message=message),), (), repeat=None, retry=once, cluster=None
    )
    return Trial("check", case, "check", (settings,), retry=once, repeat=1, phase="check")


async def _answered_by(client: Client, exchange: Exchange) -> tuple[ModelParams | None, str]:
    """What the session of *exchange* says of the model that answered, or why it says nothing."""
    if exchange.session_id is None or exchange.transcript is None:
        return None, "there is no conversation to look at"
    detail, why = await _detail(client, exchange.session_id)
    if detail is None:
        return None, why
    params = model_params(exchange.transcript, detail)
    if params is None or params.model_name is None:
        return None, "the server keeps no name of a model with the answer"
    return params, ""


async def _deleted(client: Client, running: Running) -> str:
    """Why the conversation of *running* is still there; empty where it is not."""
    left = ""
    for session_id in dict.fromkeys(exchange.session_id for exchange in running.exchanges):
        if session_id is None:
            continue
        try:
            response = await client.delete_session(session_id)
        except httpx.TransportError as error:
            left = f"conversation {session_id}: {reason(error)}"
            continue
        if not response.is_success:
            left = f"conversation {session_id}: DELETE answered {response.status_code}"
    return left
