"""`POST /chat/send-chat-message`: from a request body to a reply on the wire.

What can be an HTTP status is checked first; after the head of a stream nothing is one any more.

The request's own task writes the reply. It goes on when the client hangs up (a write to a closed
connection does nothing), so a reply that nobody reads is still finished and stored, as on a real
server; only the stop endpoint ends it, by cancelling its scope. A client that reads too slowly holds
its own reply back.
"""

import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import anyio
import anyio.lowlevel
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from harness.standin import agent, faults, openai, raw, research, scripted
from harness.standin.files import Files
from harness.standin.judge import judgement
from harness.standin.ledger import Entry, Ledger
from harness.standin.models import (
    PROVIDERS,
    Choice,
    Model,
    Override,
    OverrideError,
    Provider,
    choose_leniently,
    choose_strictly,
)
from harness.standin.opening import Prepared, Stores, Voice, prepare
from harness.standin.request import Ask, Dialect, complaint, read_ask
from harness.standin.search import Library
from harness.standin.sessions import Sessions
from harness.standin.simulate import Fault
from harness.standin.wire import (
    CUTS,
    SPOILS,
    Beat,
    interleave,
    stop,
    with_heartbeats,
)

FRAMES: dict[Dialect, tuple[bytes, bytes]] = {"sigma": (b"data: ", b"\n\n"), "onyx": (b"", b"\n")}
_SLEEP_NS = 300_000
"""Less than this is not worth a sleep: the loop's timer has steps of a millisecond."""

_HEAD = [(b"content-type", b"text/event-stream; charset=utf-8")]


class Run:
    """A reply in flight: cancelling its scope stops it, and what it wrote so far can be written again."""

    def __init__(self) -> None:
        self.id = str(uuid.uuid4())
        self.scope = anyio.CancelScope()
        self._writes: list[bytes] = []
        self._ended = False
        self._news = anyio.Event()

    def add(self, data: bytes) -> None:
        """Note a write, for those who resume the stream."""
        self._writes.append(data)
        self._wake()

    def end(self) -> None:
        """Nothing more will come."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._news.statistics().tasks_waiting:
            self._news.set()
            self._news = anyio.Event()

    async def replay(self, cursor: int) -> AsyncIterator[bytes]:
        """The stream again from write *cursor* on, many lines at once, then live to its end."""
        while True:
            if cursor < len(self._writes):
                yield b"".join(self._writes[cursor:])
                cursor = len(self._writes)
            elif self._ended:
                return
            else:
                await self._news.wait()


@dataclass(slots=True)
class Standin:
    """Everything the server knows; *ignores* are settings that it accepts and does nothing with."""

    dialect: Dialect
    sessions: Sessions
    library: Library
    files: Files = field(default_factory=Files)
    ignores: frozenset[str] = frozenset()
    providers: tuple[Provider, ...] = PROVIDERS
    ledger: Ledger = field(default_factory=Ledger)
    runs: dict[str, list[Run]] = field(default_factory=dict)
    attempts: Counter[str] = field(default_factory=Counter)
    slots: dict[str, anyio.Semaphore] = field(default_factory=dict)

    def slots_of(self, model: Model) -> anyio.Semaphore | None:
        """The slots that replies of *model* wait for in the order they came; None where there is no limit."""
        if model.script is None or not model.script.slots:
            return None
        return self.slots.setdefault(model.name, anyio.Semaphore(model.script.slots))

    @contextmanager
    def in_flight(self, session_id: str | None, run: Run) -> Iterator[None]:
        """Keep a run findable by its session until the block ends. A run without a session is nobody's."""
        runs = self.runs.setdefault(session_id, []) if session_id else []
        runs.append(run)
        try:
            yield
        finally:
            run.end()
            runs.remove(run)
            if session_id and not runs:
                self.runs.pop(session_id, None)

    def stop(self, session_id: str) -> None:
        """Stop every reply of a session that is in flight."""
        for run in self.runs.get(session_id, ()):
            run.scope.cancel()

    def latest_run(self, session_id: str) -> Run | None:
        """The reply of a session that is in flight; the latest of several."""
        runs = self.runs.get(session_id)
        return runs[-1] if runs else None


def _speech(standin: Standin, voice: Voice) -> Iterator[Beat]:
    draft, turn, choice = voice.draft, voice.turn, voice.draft.choice
    if voice.obstacle is not None:
        yield draft.fail(voice.obstacle, "UNKNOWN_ERROR", retryable=True)
    elif choice.missing:
        absent = f"Resource not found: The model `{choice.model.name}` does not exist or you have no access."
        yield draft.fail(absent, "NOT_FOUND", retryable=False, wait=draft.pace.first())
    elif turn.deep_research:
        yield from research.research(turn, standin.library, draft)
    elif choice.model.script is not None:
        yield from scripted.perform(choice.model.script, turn, standin.library, draft)
    elif choice.model.judges:
        yield from draft.say([judgement(turn.message)])
    else:
        yield from agent.answer(turn, standin.library, draft)


def _settling(standin: Standin, voice: Voice) -> Iterator[Beat]:
    """One model's beats to its end.

    The answer is stored before its stop goes out: who sees the stop may read it.
    """
    yield from _speech(standin, voice)
    settle(standin, voice)
    if voice.draft.error is None:
        yield voice.draft.stop()


def settle(standin: Standin, voice: Voice, *, stopped: bool = False) -> None:
    """Store an answer, once."""
    if not voice.settled:
        voice.settled = True
        standin.sessions.finish(voice.message_id, voice.draft, stopped=stopped)


def _beats(standin: Standin, prepared: Prepared) -> Iterator[Beat]:
    """The whole reply."""
    yield from prepared.opening
    if prepared.refusal is not None:
        yield prepared.refusal.beat()
        return
    streams = []
    for voice in prepared.voices:
        beats = _settling(standin, voice)
        if (script := voice.draft.choice.model.script) is not None:
            script = faults.struck(script, str(voice.message_id))
            beats = faults.afflicted(beats, script, voice.draft)
        streams.append(beats)
    yield from with_heartbeats(streams[0] if len(streams) == 1 else interleave(*streams))


Write = Callable[[Beat], Awaitable[None]]


async def play(beats: Iterator[Beat], write: Write, entry: Entry, began_ns: int) -> str | None:
    """Write each beat when it is due, counted from *began_ns*; returns the cut that ended it, or None.

    The schedule is absolute: what is late does not push back what follows. Stamps are taken before the write.
    """
    due = began_ns
    unbroken = 0
    for beat in beats:
        if beat.kind in CUTS:
            return beat.kind
        due += beat.wait
        unbroken += 1
        while (early := due - time.perf_counter_ns()) > _SLEEP_NS:  # the loop's timer may ring early
            await anyio.sleep(early / 1e9)
            unbroken = 0
        if unbroken >= 16:  # a burst must not keep the others waiting
            await anyio.lowlevel.checkpoint()
            unbroken = 0
        entry.note(beat.kind, time.perf_counter_ns())
        await write(beat)
    return None


async def sever(scope: Scope, how: str) -> None:
    """Close the connection in mid-body: `drop` in order, `reset` with a TCP reset."""
    await anyio.sleep(0.002)  # what was written goes out first
    connection = raw.bare(scope)
    (connection.reset if how == "reset" else connection.drop)()


@dataclass(frozen=True, slots=True)
class Form:
    """How a reply is written in another form than the dialect's: each beat as so many, and the whole one.

    *frame* is what stands before and after a line. *headers* go with either.
    """

    beats: Callable[[Prepared], Callable[[Beat], Iterator[Beat]]]
    whole: Callable[[dict[str, Any]], dict[str, Any]]
    frame: tuple[bytes, bytes]
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Reply:
    """The ASGI side of one turn: its beats as a stream, or one document when they are over."""

    def __init__(
        self, standin: Standin, ask: Ask, prepared: Prepared, began_ns: int, *, form: Form | None = None
    ) -> None:
        self._form = form
        self.status_code = 200
        self._standin = standin
        self._ask = ask
        self._prepared = prepared
        self._began_ns = began_ns
        self._entry = Entry(began_ns)
        self._run = Run()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Play the reply. It never reads: a client that hangs up ends a fault without an end, and no more."""
        message_ids = [voice.message_id for voice in self._prepared.voices]
        self._standin.ledger.keep(message_ids, self._entry)
        script = self._prepared.voices[0].draft.choice.model.script if self._prepared.voices else None
        ignores = self._standin.ignores | (script.ignores if script else frozenset())
        struck = faults.struck(script, str(message_ids[0])) if script else None
        if struck and struck.fault("stale") and raw.bare(scope).nth:
            raw.bare(scope).drop()
            return
        send = raw.dressed(struck, scope, send)
        if self._ask.stream or "stream" in ignores:
            await self._stream(scope, receive, send)
        else:
            await self._document(scope, receive, send)

    async def _play(self, write: Write) -> str | None:
        """Play all beats in a scope that the stop endpoint can cancel, and store what came of them."""
        standin, prepared, run = self._standin, self._prepared, self._run
        real = any(voice.draft.choice.provider.endpoint for voice in prepared.voices)
        with standin.in_flight(prepared.session_id, run):
            with run.scope:
                try:
                    if real and prepared.refusal is None:
                        return await self._play_live(write)
                    return await self._play_simulated(write)
                finally:
                    for voice in prepared.voices:
                        settle(standin, voice, stopped=run.scope.cancel_called)
            self._entry.note("stop", time.perf_counter_ns())
            await write(stop(None, "user_cancelled"))
        return None

    async def _play_simulated(self, write: Write) -> str | None:
        """Play all beats; of a model with slots those after the ids once it has one, counted from then."""
        prepared, entry = self._prepared, self._entry
        beats = _beats(self._standin, prepared)
        model = prepared.voices[0].draft.choice.model if prepared.voices else None
        slots = None if model is None else self._standin.slots_of(model)
        if slots is None or prepared.refusal is not None:
            return await play(beats, write, entry, self._began_ns)
        await play(islice(beats, len(prepared.opening)), write, entry, self._began_ns)
        async with slots:
            return await play(beats, write, entry, time.perf_counter_ns())

    async def _play_live(self, write: Write) -> str | None:
        """Play all voices side by side, those of real models as their words come."""
        standin, cuts = self._standin, []

        async def note(beat: Beat) -> None:
            self._entry.note(beat.kind, time.perf_counter_ns())
            await write(beat)

        async def simulated(voice: Voice) -> None:
            cuts.append(await play(_settling(standin, voice), write, self._entry, time.perf_counter_ns()))

        async def live(voice: Voice) -> None:
            async for beat in openai.speak(voice.turn, standin.library, voice.draft):
                await note(beat)
            settle(standin, voice)
            if voice.draft.error is None:
                await note(voice.draft.stop())

        for beat in self._prepared.opening:
            await note(beat)
        async with anyio.create_task_group() as tasks:
            for voice in self._prepared.voices:
                is_real = voice.draft.choice.provider.endpoint is not None and voice.obstacle is None
                tasks.start_soon(live if is_real else simulated, voice)
        return next((cut for cut in cuts if cut is not None), None)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        form, voices = self._form, self._prepared.voices
        headers = [*_HEAD, *(form.headers if form else ())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        script = voices[0].draft.choice.model.script if voices else None
        frame = form.frame if form else FRAMES[self._standin.dialect]
        shape = faults.Shape(script, frame)
        said = form.beats(self._prepared) if form else None

        async def write(beat: Beat) -> None:
            for told in said(beat) if said else (beat,):
                for number, piece in enumerate(shape.writes(told)):
                    if number:
                        await anyio.lowlevel.checkpoint()
                    self._run.add(piece)
                    await send({"type": "http.response.body", "body": piece, "more_body": True})

        cut = await self._play(write)
        for piece in shape.rest():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        spoilt = script.fault(cut) if script and cut in SPOILS else None
        if spoilt is not None:
            await raw.spoil(spoilt, scope, receive, frame)
        elif cut in {"drop", "reset"}:
            await sever(scope, cut)
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _document(self, scope: Scope, receive: Receive, send: Send) -> None:
        before, after = FRAMES[self._standin.dialect]

        async def write(beat: Beat) -> None:
            self._run.add(before + beat.line + after)

        cut = await self._play(write)
        if cut is not None:
            await sever(scope, cut)
            return
        prepared = self._prepared
        if prepared.refusal is not None:
            message = prepared.refusal.message if prepared.refusal.code is None else "Message ID is required"
            self.status_code = 400
            await JSONResponse({"message": message}, 400)(scope, receive, send)
            return
        (voice,) = prepared.voices
        body = voice.draft.as_json() | {
            "message_id": voice.message_id,
            "chat_session_id": prepared.session_id,
            "incognito": False,
            "error_msg": voice.draft.error,
        }
        form = self._form
        response = JSONResponse(form.whole(body) if form else body)
        response.raw_headers += form.headers if form else ()
        await response(scope, receive, send)


def _invalid(error: ValidationError) -> JSONResponse:
    return JSONResponse(complaint(error, "POST /chat/send-chat-message"), 422)


def _refusal_of(standin: Standin, choice: Choice, ask: Ask, number: int) -> Fault | None:
    """The HTTP error that a script answers with instead of a reply, if any."""
    if choice.model.script is None:
        return None
    script = faults.struck(choice.model.script, f"request {number}")
    if flaky := script.fault("flaky"):
        key = f"{choice.model.name} {ask.message}"
        standin.attempts[key] += 1
        if standin.attempts[key] < int(flaky.argument):
            return replace(flaky, name="http", argument="503")
    return script.fault("http") or next(filter(None, map(script.fault, raw.INSTEAD)), None)


async def answered(
    standin: Standin, ask: Ask, began_ns: int, number: int, *, form: Form | None = None
) -> Response | Reply | raw.Broken:
    """The response to one request; *form* is how it is written, where that is not how the dialect has it."""
    choose = choose_strictly if standin.dialect == "sigma" else choose_leniently
    try:
        ignored = "override" in standin.ignores
        chosen = [Override() if ignored else override for override in ask.overrides()]
        choices = [choose(override, standin.providers) for override in chosen]
    except OverrideError as error:
        return JSONResponse({"error_code": "INVALID_INPUT", "detail": str(error)}, 400)
    if len(choices) > 1 and not ask.stream:
        detail = "Multi-model mode (llm_overrides with >1 entry) requires stream=True."
        return JSONResponse({"error_code": "INVALID_INPUT", "detail": detail}, 400)
    if (fault := _refusal_of(standin, choices[0], ask, number)) is not None:
        if fault.name in raw.INSTEAD:
            return raw.Broken(fault)
        status, headers, text = faults.http_reply(fault)
        return Response(text, status, headers)
    pre_ns = choices[0].model.script.pre_ns if choices[0].model.script else 0
    if pre_ns:
        await anyio.sleep((began_ns + pre_ns - time.perf_counter_ns()) / 1e9)
    return Reply(standin, ask, _prepared(standin, ask, choices), began_ns + pre_ns, form=form)


def _prepared(standin: Standin, ask: Ask, choices: list[Choice]) -> Prepared:
    return prepare(Stores(standin.sessions, standin.files), ask, choices, ignores=standin.ignores)


class Counted:
    """A response whose status is booked in the ledger once it is over, however it ends."""

    def __init__(self, response: Response | Reply | raw.Broken, ledger: Ledger) -> None:
        self._response = response
        self._ledger = ledger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on the response, then book it."""
        try:
            await self._response(scope, receive, send)
        finally:
            self._ledger.ended(self._response.status_code)


async def send_chat_message(request: Request) -> Counted:
    """The endpoint."""
    began_ns = time.perf_counter_ns()
    standin: Standin = request.app.state.standin
    body = await request.body()
    number = standin.ledger.received(began_ns, request.url.path, body)
    standin.ledger.began()
    try:
        ask = read_ask(body, standin.dialect)
    except ValidationError as error:
        return Counted(_invalid(error), standin.ledger)
    return Counted(await answered(standin, ask, began_ns, number), standin.ledger)


def snapshot(standin: Standin, session_id: str) -> dict[str, Any] | None:
    """Session detail, with the reply that is in flight; less what the session's models hide."""
    run = standin.latest_run(session_id)
    return standin.sessions.detail(session_id, run.id if run else None)
