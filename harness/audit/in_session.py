"""Settings that place a message: files, parent, conversation, persona, project.

The ids line and the session line say some of it; the rest only the session detail shows (wire 1.4, 1.6, 5.3).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.audit.finding import Finding, Told, Word, few
from harness.sigma.session import FileSeen, MessageSeen


def files(asked: Sequence[Mapping[str, Any]], told: Told) -> Iterator[Finding]:
    """`file_descriptors`: each hangs on the user's message."""
    if not asked:
        return
    question = _question(told)
    wanted = few(_file_name(each) for each in asked)
    if question is None or question.files is None:
        yield Finding("file_descriptors", wanted, "", Word.NOT_SHOWN)
        return
    there = {number for file in question.files for number in _ids_of(file)}
    missing = [each for each in asked if there.isdisjoint({each.get("id"), each.get("user_file_id")})]
    if missing:
        seen = f"a message without {few(_file_name(each) for each in missing)}"
        yield Finding("file_descriptors", wanted, seen, Word.IGNORED)
    else:
        yield Finding("file_descriptors", wanted, "all of them on the message", Word.TOOK_EFFECT)


def parent(asked: int, told: Told) -> Iterator[Finding]:
    """`parent_message_id`: below an answer, or, for a question, answered again. -1 asks for nothing."""
    if asked == APPEND:
        return
    own = told.transcript.user_message_id
    question = _question(told)
    if asked in {own, question.message_id if question else None}:
        word, seen = Word.TOOK_EFFECT, "that question, answered again"
    elif question is None or question.parent_message is None:
        word, seen = _not_again(asked, told)
    elif question.parent_message == asked:
        word, seen = Word.TOOK_EFFECT, f"message {question.message_id} below it"
    else:
        word = Word.IGNORED
        seen = f"message {question.message_id} below {question.parent_message}"
    yield Finding("parent_message_id", str(asked), seen, word)


APPEND = -1
"""The parent that a server takes for the last message."""


def conversation(asked: str, told: Told) -> Iterator[Finding]:
    """`chat_session_id`: the server names a session only where it made one, or answers in one document."""
    transcript, wanted = told.transcript, asked.lower()
    told_of = (transcript.chat_session_id or "").lower()
    if told_of:
        word = Word.TOOK_EFFECT if told_of == wanted else Word.IGNORED
        yield Finding("chat_session_id", asked, told_of, word)
    elif transcript.assistant_message_ids:
        yield Finding("chat_session_id", asked, "no other session", Word.TOOK_EFFECT)
    else:
        yield Finding("chat_session_id", asked, "", Word.NOT_SHOWN)


def persona(asked: int, told: Told) -> Iterator[Finding]:
    """`persona_id`: that of the session."""
    seen = told.session.persona_id if told.session else None
    word = Word.NOT_SHOWN if seen is None else Word.TOOK_EFFECT if seen == asked else Word.IGNORED
    yield Finding("persona_id", str(asked), "" if seen is None else str(seen), word)


def project(asked: int, told: Told) -> Iterator[Finding]:
    """`project_id`: the project lists the session."""
    projects = told.session.projects if told.session else None
    if projects is None:
        yield Finding("project_id", str(asked), "", Word.NOT_SHOWN)
    else:
        word = Word.TOOK_EFFECT if asked in projects else Word.IGNORED
        yield Finding("project_id", str(asked), ", ".join(map(str, projects)) or "no project", word)


def _question(told: Told) -> MessageSeen | None:
    """The user's message in the session detail: by its own id, else as what the answer is below."""
    if told.session is None:
        return None
    number = told.transcript.user_message_id
    if number is None:
        answer = told.session.message(next(iter(told.transcript.assistant_message_ids), None))
        number = answer.parent_message if answer else None
    return told.session.message(number)


def _not_again(asked: int, told: Told) -> tuple[Word, str]:
    """*asked* is not what was answered again: that is proof only where it is known to be a question."""
    above = told.session.message(asked) if told.session else None
    own = told.transcript.user_message_id
    if own is not None and above is not None and above.message_type == "user":
        return Word.IGNORED, f"another question, message {own}"
    return Word.NOT_SHOWN, ""


def _ids_of(file: FileSeen) -> set[str]:
    return {number for number in (file.id, file.user_file_id) if number is not None}


def _file_name(descriptor: Mapping[str, Any]) -> str:
    return str(descriptor.get("name") or descriptor.get("id"))
