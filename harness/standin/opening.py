"""The opening of a turn: from a request to the ids, or to the refusal that ends it.

The order of checks is that of real servers, since it decides what a failed request leaves behind (wire
reference 1.6): refusals that make no session, then the session line, then refusals that leave an empty
session, then the ids, then what goes wrong in the run itself.
"""

from dataclasses import dataclass, field

from harness.standin import agent, research
from harness.standin.catalogue import DOCUMENT_SETS, OPEN, WEB, Persona, Tool, persona
from harness.standin.draft import Draft
from harness.standin.models import Choice, Pace
from harness.standin.request import Ask
from harness.standin.search import NO_FILTERS
from harness.standin.sessions import OffMainlineError, Question, Sessions
from harness.standin.simulate import Script
from harness.standin.wire import Beat, error_line, ids_line, session_line, side_by_side_line


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


def _session(ask: Ask, sessions: Sessions, prepared: Prepared) -> Persona:
    """The session of the turn, made if need be, and the persona it talks to."""
    if ask.chat_session_id is not None:
        session = sessions.find(str(ask.chat_session_id))
        if session is None:
            raise RefusedError("Invalid Chat Session ID provided", "VALIDATION_ERROR")
        if session.deleted:
            raise RefusedError("Chat session has been deleted", "VALIDATION_ERROR")
        prepared.session_id, persona_id = session.id, session.persona
    else:
        info = ask.chat_session_info
        persona_id = info.persona_id if info else 0
        if info and info.project_id is not None:
            raise RefusedError("User does not have access to project", "VALIDATION_ERROR")
    known = persona(persona_id)
    if known is None:
        raise RefusedError("User does not have access to persona", "VALIDATION_ERROR")
    if prepared.session_id is None:
        description = ask.chat_session_info.description if ask.chat_session_info else None
        prepared.session_id = sessions.create(persona_id, description)
        prepared.opening.append(session_line(prepared.session_id))
    return known


def _after_session(ask: Ask) -> None:
    """Refusals that leave an empty session behind."""
    if any(file.user_file_id is None for file in ask.file_descriptors):
        message = "Project files provided but no project_id specified for verification"
        raise RefusedError(message, "VALIDATION_ERROR")
    if "\x00" in ask.message:
        raise RefusedError("A string literal cannot contain NUL (0x00) characters.", "VALIDATION_ERROR")


def _allowed(ask: Ask, known: Persona, script: Script | None) -> tuple[Tool, ...]:
    """The persona's tools, narrowed by the request; opening pages goes with web search."""
    if ask.allowed_tool_ids is None or (script and "allowed" in script.ignores):
        return known.tools
    chosen = tuple(tool for tool in known.tools if tool.id in ask.allowed_tool_ids)
    return chosen if WEB in chosen else tuple(tool for tool in chosen if tool is not OPEN)


def _turn(ask: Ask, known: Persona, question: Question, script: Script | None) -> agent.Turn:
    """The question with all that bears on it; what a script ignores is left out."""
    ignores = script.ignores if script else frozenset()
    tools = _allowed(ask, known, script)
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
        seed=f"{question.id}",
    )


def _voices(
    sessions: Sessions, ask: Ask, known: Persona, prepared: Prepared, *, choices: list[Choice]
) -> None:
    """Hang the question into the tree and reserve an answer for every model."""
    session_id = prepared.session_id or ""
    try:
        question = sessions.ask(session_id, ask.parent_message_id, ask.message)
    except OffMainlineError as error:
        raise RefusedError(str(error), "VALIDATION_ERROR") from error
    for index, choice in enumerate(choices):
        message_id = sessions.reserve(session_id, question.id, choice.label)
        turn = _turn(ask, known, question, choice.model.script)
        pace = Pace(choice.model, f"{choice.model.name} {session_id} {ask.message}")
        draft = Draft(choice, pace, index=index, cite=ask.include_citations)
        absent = ask.forced_tool_id is not None and all(tool.id != ask.forced_tool_id for tool in turn.tools)
        obstacle = f"Forced tool {ask.forced_tool_id} not found in tools" if absent else None
        prepared.voices.append(Voice(message_id, turn, draft, obstacle))
    if len(choices) == 1:
        prepared.opening.append(ids_line(question.id, prepared.voices[0].message_id))
    else:
        labels = [(voice.message_id, voice.draft.choice.label) for voice in prepared.voices]
        prepared.opening.append(side_by_side_line(question.id, labels))


def prepare(sessions: Sessions, ask: Ask, choices: list[Choice]) -> Prepared:
    """Everything up to the ids, or up to the refusal that ends the turn."""
    prepared = Prepared()
    try:
        _before_session(ask)
        known = _session(ask, sessions, prepared)
        _after_session(ask)
        _voices(sessions, ask, known, prepared, choices=choices)
    except RefusedError as refusal:
        prepared.refusal = refusal
    return prepared
