"""What an audit says, and what it says it by."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from msgspec import Struct

from harness.sigma.catalogue import Provider
from harness.sigma.session import SessionDetail
from harness.sigma.transcript import ModelReading, Outcome, Transcript


class Word(StrEnum):
    """What an audit says of one setting, worst last."""

    TOOK_EFFECT = "took effect"
    NOT_EXERCISED = "not exercised"
    NOT_SHOWN = "not shown"
    IGNORED = "ignored"


class Finding(Struct, frozen=True):
    """One thing that was asked, and what became of it.

    *asked* and *seen* are for people to read; *seen* is empty where nothing was.
    """

    setting: str
    asked: str
    seen: str
    word: Word


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known beside the reply.

    *called* are, for each tool id, the names by which the model calls it: one row of `GET /tool` may have
    several. *providers* are those of the catalogue, empty where it could not be had. *session* is the
    conversation as the server has it afterwards. *session_info* is what a session that was made ahead of the
    request was made with.
    """

    called: Mapping[int, Sequence[str]] = field(default_factory=dict)
    providers: Sequence[Provider] = ()
    session: SessionDetail | None = None
    session_info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Told:
    """One exchange under audit: what was asked, what came back, what else is known."""

    request: Mapping[str, Any]
    transcript: Transcript
    evidence: Evidence

    @property
    def shares(self) -> Sequence[Transcript | ModelReading]:
        """What each model said; one in an ordinary reply."""
        return self.transcript.models or (self.transcript,)

    @property
    def shows_calls(self) -> bool:
        """Whether there is a place in the reply for calls: an answer that is a bare string has none."""
        return self.transcript.packets > 0 or bool(self.transcript.assistant_message_ids)

    @property
    def finished(self) -> bool:
        """Whether every model came to an end: one that broke may have had a tool, say, on its way."""
        return self.shows_calls and all(ended(share) for share in self.shares)

    @property
    def session(self) -> SessionDetail | None:
        """The detail of the conversation that the reply belongs to, never that of another."""
        detail, own = self.evidence.session, self.transcript.chat_session_id
        return detail if detail is not None and own in {None, detail.chat_session_id} else None


def ended(share: Transcript | ModelReading) -> bool:
    """Whether this model's run came to its end, with or without words."""
    return share.outcome in {Outcome.SUCCESS, Outcome.EMPTY}


def few(texts: Iterable[str], most: int = 3) -> str:
    """The first of *texts*, each once, and how many more there are."""
    each = list(dict.fromkeys(texts))
    more = f" and {len(each) - most} more" if len(each) > most else ""
    return ", ".join(each[:most]) + more
