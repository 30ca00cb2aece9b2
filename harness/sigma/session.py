"""What a server keeps of a conversation: the answer of `GET /chat/get-chat-session/{id}`, cut to what proves.

A reply says what was answered; only the session detail says by which model, below which message and with
which files (wire 1.2, 5.3). It is journalled beside the results, so an audit can be made again. Texts are
left out: they are in the exchanges.
"""

from typing import Any

from msgspec import Struct

from harness.sigma.tolerant import fitting


class ModelParams(Struct, frozen=True):
    """`request_params`: what was really sent to the model. *model_provider* is the vendor, no display name.

    *sent_kwargs* are the arguments that went along; None where the server does not say.
    """

    model_name: str | None = None
    model_provider: str | None = None
    sent_kwargs: dict[str, Any] | None = None


class FileSeen(Struct, frozen=True):
    """A file that hangs on a message."""

    id: str | None = None
    name: str | None = None
    user_file_id: str | None = None


class MessageSeen(Struct, frozen=True):
    """One message of the tree; *message_type* is `system` (the hidden root), `user` or `assistant`."""

    message_id: int | None = None
    parent_message: int | None = None
    message_type: str | None = None
    files: list[FileSeen] | None = None
    request_params: ModelParams | None = None


class SessionDetail(Struct, frozen=True, tag="session", tag_field="line"):
    """One conversation as the server has it.

    *projects* are the ids of the projects that list it, None where that could not be seen.
    """

    chat_session_id: str
    persona_id: int | None = None
    messages: tuple[MessageSeen, ...] = ()
    projects: tuple[int, ...] | None = None

    def message(self, message_id: int | None) -> MessageSeen | None:
        """The message of that id."""
        return next(
            (each for each in self.messages if message_id is not None and each.message_id == message_id), None
        )


class _Detail(Struct):
    chat_session_id: str | None = None
    persona_id: int | None = None
    messages: list[MessageSeen] | None = None


def read_session(document: Any, projects: tuple[int, ...] | None = None) -> SessionDetail | None:
    """The detail in a decoded answer; None where it is no session. A field that does not fit is left out."""
    if not isinstance(document, dict):
        return None
    told = fitting(_Detail, document)
    if told.chat_session_id is None:
        return None
    return SessionDetail(told.chat_session_id, told.persona_id, tuple(told.messages or ()), projects)
