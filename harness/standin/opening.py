"""The opening of a turn: from a request to the ids, or to the refusal that ends it.

The order of checks is that of real servers, since it decides what a failed request leaves behind (wire
reference 1.6): refusals that make no session, then the session line, then refusals that leave an empty
session, then the ids, then what goes wrong in the run itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from harness.standin import agent, research
from harness.standin.catalogue import DEFAULT, DOCUMENT_SETS, OPEN, WEB, Persona, Tool, persona
from harness.standin.draft import Draft
from harness.standin.files import File, Files
from harness.standin.models import Choice, Pace
from harness.standin.request import Ask
from harness.standin.search import NO_FILTERS
from harness.standin.sessions import OffMainlineError, Question, Sessions
from harness.standin.wire import Beat, error_line, ids_line, session_line, side_by_side_line

_TOKENS = 118_156
"""What a message may take of the context of a model, which is 128,000 tokens."""

_BYTES_PER_TOKEN = 4


class RefusedError(Exception):
    """A turn that ends before any model runs; the line or the body that says so."""

    def __init__(self, message: str, code: str | None, *, retryable: bool = True) -> None:
        self.message = message
        self.code = code
        self.retryable = retryable
        super().__init__(message)

    def beat(self) -> Beat:
        """The refusal as the last line of a stream."""
        if self.code is None:
            return Beat(0, "bare", f'{{"error": "{self.message}"}}'.encode("ascii"))
        return error_line(self.message, self.code, retryable=self.retryable)


@dataclass(slots=True)
class Voice:
    """One model's part in a reply: where it is stored, what it answers, and why it cannot, if it cannot."""

    message_id: int
    turn: agent.Turn
    draft: Draft
    obstacle: str | None = None
    settled: bool = False


@dataclass(slots=True)
class Prepared:
    """A turn as far as it got before any model runs."""

    session_id: str | None = None
    opening: list[Beat] = field(default_factory=list)
    voices: list[Voice] = field(default_factory=list)
    refusal: RefusedError | None = None
    project: int | None = None


def _before_session(ask: Ask) -> None:
    """Refusals that leave nothing behind."""
    if ask.mock_llm_response is not None:
        raise RefusedError("mock_llm_response can only be used when INTEGRATION_TESTS_MODE=true", None)
    models = len(ask.overrides())
    if models > 3:
        raise RefusedError(
            f"Multi-model requires 2-3 overrides, got {models}", "VALIDATION_ERROR", retryable=False
        )
    if models > 1 and ask.deep_research:
        raise RefusedError(
            "Multi-model is not supported with deep research", "VALIDATION_ERROR", retryable=False
        )
    unknown = [name for name in ask.filters().sets if name not in DOCUMENT_SETS]
    if unknown:
        message = f"User does not have access to document sets: {unknown}"
        raise RefusedError(message, "INSUFFICIENT_PERMISSIONS", retryable=False)
    info = ask.chat_session_info
    if info is not None and info.incognito:
        message = "Incognito chat is not supported on this deployment."
        raise RefusedError(message, "DEPLOYMENT_UNSUPPORTED", retryable=False)


class Stores(NamedTuple):
    """What a turn is written into."""

    sessions: Sessions
    files: Files


def _session(stores: Stores, ask: Ask, prepared: Prepared, *, ignores: frozenset[str]) -> Persona:
    """The session of the turn, made if need be, and the persona it talks to."""
    sessions, files = stores
    if ask.chat_session_id is not None and "session" not in ignores:
        session = sessions.find(str(ask.chat_session_id))
        if session is None:
            raise RefusedError("Invalid Chat Session ID provided", "VALIDATION_ERROR")
        if session.deleted:
            raise RefusedError("Chat session has been deleted", "VALIDATION_ERROR")
        prepared.session_id, persona_id = session.id, session.persona
        prepared.project = session.project
    else:
        info = ask.chat_session_info
        persona_id = info.persona_id if info else 0
        prepared.project = info.project_id if info else None
        if prepared.project is not None and files.project(prepared.project) is None:
            raise RefusedError("User does not have access to project", "VALIDATION_ERROR")
    known = persona(persona_id)
    if known is None:
        raise RefusedError("User does not have access to persona", "VALIDATION_ERROR")
    if prepared.session_id is None:
        description = ask.chat_session_info.description if ask.chat_session_info else None
        known = DEFAULT if "persona" in ignores else known
        prepared.project = None if "project" in ignores else prepared.project
        prepared.session_id = sessions.create(known.id, description, prepared.project)
        prepared.opening.append(session_line(prepared.session_id))
    return known


def _after_session(ask: Ask, project: int | None) -> None:
    """Refusals that leave an empty session behind."""
    if project is None and any(file.user_file_id is None for file in ask.file_descriptors):
        message = "Project files provided but no project_id specified for verification"
        raise RefusedError(message, "VALIDATION_ERROR")
    if "\x00" in ask.message:
        raise RefusedError("A string literal cannot contain NUL (0x00) characters.", "VALIDATION_ERROR")


def _allowed(ask: Ask, known: Persona, ignores: frozenset[str]) -> tuple[Tool, ...]:
    """The persona's tools, narrowed by the request; opening pages goes with web search."""
    if ask.allowed_tool_ids is None or "allowed" in ignores:
        return known.tools
    chosen = tuple(tool for tool in known.tools if tool.id in ask.allowed_tool_ids)
    return chosen if WEB in chosen else tuple(tool for tool in chosen if tool is not OPEN)


def _turn(
    ask: Ask, known: Persona, question: Question, *, attached: Sequence[File], ignores: frozenset[str]
) -> agent.Turn:
    """The question with all that bears on it; what is ignored is left out."""
    tools = _allowed(ask, known, ignores)
    forced = next((tool for tool in tools if tool.id == ask.forced_tool_id), None)
    before = question.before
    return agent.Turn(
        message=question.text,
        persona=known,
        tools=tools,
        before=tuple(message.message for message in before if message.type == "user"),
        forced=None if "forced" in ignores or ask.deep_research else forced,
        filters=NO_FILTERS if "filters" in ignores else ask.filters(),
        deep_research=ask.deep_research and "research" not in ignores,
        clarified=bool(before) and before[-1].message == research.CLARIFY,
        attached=tuple((file.name, file.text) for file in attached),
        history=tuple((message.type, message.message) for message in before),
        seed=f"{question.id}",
    )


def _ask(sessions: Sessions, ask: Ask, session_id: str, ignores: frozenset[str]) -> Question:
    """The question in the tree of its session; where the parent is ignored, behind the last message."""
    try:
        parent = -1 if "parent" in ignores else ask.parent_message_id
        return sessions.ask(session_id, parent, ask.message)
    except OffMainlineError as error:
        raise RefusedError(str(error), "VALIDATION_ERROR") from error


def _attach(stores: Stores, ask: Ask, question: Question, *, project: int | None) -> list[File]:
    """The files that the model sees: those of this message, of earlier ones and of the project.

    A question that is answered again keeps its files.

    One that the server does not have is passed over without a word (wire reference 1.4).
    """
    sessions, files = stores
    own = files.known(each.user_file_id for each in ask.file_descriptors if each.user_file_id)
    if own:
        sessions.attach(question.id, own)
    earlier = sessions.attached([*(message.id for message in question.before), question.id])
    inherited = files.known([*earlier, *files.of_project(project)])
    return list({file.id: file for file in (*own, *inherited)}.values())


def _obstacle(ask: Ask, turn: agent.Turn, project: int | None) -> str | None:
    """What goes wrong in the run itself, after the ids."""
    if turn.deep_research and project is not None:
        return "Deep research is not supported for projects"
    if ask.forced_tool_id is not None and all(tool.id != ask.forced_tool_id for tool in turn.tools):
        return f"Forced tool {ask.forced_tool_id} not found in tools"
    needed = len(ask.message.encode()) // _BYTES_PER_TOKEN
    if needed > _TOKENS:
        return (
            "Not enough tokens to include the last user message and subsequent messages. "
            f"Required: {needed}, Available: {_TOKENS}"
        )
    return None


def _voices(
    stores: Stores,
    ask: Ask,
    known: Persona,
    prepared: Prepared,
    *,
    choices: list[Choice],
    ignores: frozenset[str],
) -> None:
    """Hang the question into the tree and reserve an answer for every model."""
    sessions, session_id = stores.sessions, prepared.session_id or ""
    question = _ask(sessions, ask, session_id, ignores)
    attached = [] if "files" in ignores else _attach(stores, ask, question, project=prepared.project)
    for index, choice in enumerate(choices):
        message_id = sessions.reserve(session_id, question.id, choice.label)
        if (script := choice.model.script) is not None and script.hides:
            sessions.hide(message_id, script.hides)
            sessions.hide(question.id, script.hides)
        turn = _turn(ask, known, question, attached=attached, ignores=ignores)
        pace = Pace(choice.model, f"{choice.model.name} {session_id} {ask.message}")
        draft = Draft(choice, pace, index=index, cite=ask.include_citations or "citations" in ignores)
        prepared.voices.append(Voice(message_id, turn, draft, _obstacle(ask, turn, prepared.project)))
    if len(choices) == 1:
        ids = ids_line(question.id, prepared.voices[0].message_id)
    else:
        labels = [(voice.message_id, voice.draft.choice.label) for voice in prepared.voices]
        ids = side_by_side_line(question.id, labels)
    # a file in processing is read on the spot, which costs time
    prepared.opening.append(ids._replace(wait=stores.files.pending_ns(attached)))


def prepare(
    stores: Stores, ask: Ask, choices: list[Choice], *, ignores: frozenset[str] = frozenset()
) -> Prepared:
    """Everything up to the ids, or up to the refusal that ends the turn.

    *ignores* is what the server does nothing with; the script of the first model may add to it.
    """
    prepared = Prepared()
    script = choices[0].model.script
    ignores |= script.ignores if script else frozenset()
    try:
        _before_session(ask)
        known = _session(stores, ask, prepared, ignores=ignores)
        _after_session(ask, prepared.project)
        _voices(stores, ask, known, prepared, choices=choices, ignores=ignores)
    except RefusedError as refusal:
        prepared.refusal = refusal
    return prepared
