"""What a run recorded, as answers: which of them a request is to be given, and when its pieces are due.

A request is known again by all that it asks for, less what differs from run to run: the ids of its
conversation and of its uploads, and secrets, which are not kept. Where several recordings answer to the same
request (repeats), they take turns in the order in which they were asked for.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from harness import journal
from harness.errors import UsageError, did_you_mean
from harness.record.store import Manifest, read_manifest
from harness.result import Exchange, Fault, Result, Step
from harness.sigma.session import SessionDetail
from harness.sigma.transcript import Outcome

_PLACE = frozenset({"chat_session_id", "chat_session_info", "parent_message_id"})
_OF_SESSION = ("persona_id", "project_id")
_OF_FILE = ("id", "user_file_id")
_QUOTED = 80
_COMPARED = 200


class End(StrEnum):
    """How a recorded reply ended; `silent`: it had not when its time was up; `never`: none came at all."""

    WHOLE = "whole"
    DROPPED = "dropped"
    SILENT = "silent"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, comparable: *key* is what it asks for, by name in *settings*; the rest is where it goes.

    *parent* is the message that it names to be put below, *files* are its uploads with their ids.
    """

    key: bytes
    settings: Mapping[str, Any]
    message: str
    session_id: str | None
    parent: int | None
    files: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Recording:
    """One exchange as it can be played: piece *i* of *body* ends at ``ends[i]`` and is due at ``due_ns[i]``.

    All times are nanoseconds since the request had gone out; what has no time is due at once. *of* are its
    case, variant and turn. *opens*: it is the first turn of a conversation, and *title* what that was called,
    where the session was made ahead. *why* is how it broke, in the words of the journal.
    """

    exchange_id: str
    began_ns: int
    of: tuple[str, str, str]
    asked: Asked
    opens: bool
    title: str | None
    session_id: str | None
    status: int | None
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    ends: "array[int]"
    due_ns: "array[int]"
    head_ns: int
    ended_ns: int
    end: End
    why: str


@dataclass(slots=True)
class Conversation:
    """A conversation with whoever asks now; *recorded* are the sessions whose replies it was given.

    *info* and *title* are what it was made with, *played* how often it was given which recording.
    """

    session_id: str
    info: Mapping[str, Any] = field(default_factory=dict)
    title: str | None = None
    recorded: list[str] = field(default_factory=list)
    played: "Counter[Recording]" = field(default_factory=Counter)


@dataclass(slots=True)
class Recordings:
    """All that a run recorded, in the order in which it was asked for.

    *details* are what the server kept of the *sessions*. *unsent* counts exchanges that broke before there
    was a request: nothing can ask for them. *played* is how often each recording was given to somebody.
    """

    manifest: Manifest
    every: list[Recording] = field(default_factory=list)
    sessions: set[str] = field(default_factory=set)
    details: dict[str, SessionDetail] = field(default_factory=dict)
    unsent: int = 0
    openings: dict[bytes, list[Recording]] = field(default_factory=lambda: defaultdict(list))
    later: dict[bytes, list[Recording]] = field(default_factory=lambda: defaultdict(list))
    played: "Counter[Recording]" = field(default_factory=Counter)

    def add(self, recording: Recording) -> None:
        """One more."""
        self.every.append(recording)
        (self.openings if recording.opens else self.later)[recording.asked.key].append(recording)
        if recording.session_id is not None:
            self.sessions.add(recording.session_id)


def load(folder: Path) -> Recordings:
    """What the run in *folder* recorded, all of it in memory: no reply is to wait for a disk.

    Raises `RunDirectoryError` where its manifest or a journal cannot be read, `UsageError` where it holds no
    request. A journal's torn last line is passed over.
    """
    recordings = Recordings(read_manifest(folder))
    found: list[Recording] = []
    recordings.details |= journal.sessions(folder)
    for result in journal.read(folder):
        sent = [one for one in result.exchanges if isinstance(one.request.get("message"), str)]
        found += [_recording(result, one) for one in sent]
        recordings.unsent += len(result.exchanges) - len(sent)
    if not found:
        raise UsageError(f"{folder}: nothing was asked in this run, so there is nothing to replay")
    for recording in sorted(found, key=lambda one: one.began_ns):
        recordings.add(recording)
    return recordings


def overview(recordings: Recordings) -> Iterator[str]:
    """What there is, for people."""
    every, manifest = recordings.every, recordings.manifest
    kinds = Counter(one.end for one in every)
    yield (
        f"replaying {manifest.suite} {manifest.run_id}: {len(every)} recordings of "
        f"{len({one.asked.key for one in every})} requests in {len(recordings.sessions)} conversations"
    )
    if broken := kinds[End.DROPPED] + kinds[End.SILENT]:
        yield f"{broken} of them broke, and break again"
    if kinds[End.NEVER]:
        yield f"{kinds[End.NEVER]} had no answer, and are answered with a 503 that says so"
    if recordings.unsent:
        yield f"{recordings.unsent} more broke before there was a request: nothing can ask for them"


def asked(endpoint: str, request: Mapping[str, Any], info: Mapping[str, Any] | None = None) -> Asked:
    """*request* to *endpoint*, comparable; *info* is what its session was made with, where it is the first.

    What does not fit is kept as it is: it is compared, not judged.
    """
    info = request.get("chat_session_info") or info
    info = info if isinstance(info, Mapping) else {}
    settings = {name: value for name, value in request.items() if name not in _PLACE and value is not None}
    settings |= {name: info[name] for name in _OF_SESSION if info.get(name) is not None}
    if isinstance(headers := settings.get("mcp_headers"), dict):
        settings["mcp_headers"] = sorted(headers)
    files = [one for one in settings.get("file_descriptors") or () if isinstance(one, dict)]
    if files:
        settings["file_descriptors"] = [{k: v for k, v in one.items() if k not in _OF_FILE} for one in files]
    session_id, parent = request.get("chat_session_id"), request.get("parent_message_id")
    return Asked(
        msgspec.json.encode([endpoint, settings], order="deterministic"),
        settings,
        str(request["message"]),
        session_id if isinstance(session_id, str) else None,
        parent if isinstance(parent, int) else None,
        tuple(files),
    )


def choose(recordings: Recordings, wanted: Asked, conversation: Conversation | None) -> Recording | None:
    """The recording that *wanted* is to be given now, None where nothing of the kind was recorded.

    The first turn of a conversation gets the reply to a first turn, if it can be of one that had the same
    title. A later one gets what was recorded further on in the same conversation, if it can be, below the
    same message. Of several the one that was given the fewest times.
    """
    if conversation is None or not conversation.recorded:
        title = conversation.title if conversation else None
        found = recordings.openings.get(wanted.key, [])
        found = _closest(found, lambda one: title is not None and one.title == title)
        played = recordings.played
    else:
        there = conversation.recorded
        found = recordings.later.get(wanted.key, [])
        found = _closest(
            found, lambda one: one.session_id in there, lambda one: one.asked.parent == wanted.parent
        )
        played = conversation.played
    found = _closest(found, lambda one: one.asked.files == wanted.files)
    return min(found, key=lambda one: played[one], default=None)


def note(recordings: Recordings, conversation: Conversation, recording: Recording) -> None:
    """*recording* is given to *conversation*."""
    recordings.played[recording] += 1
    conversation.played[recording] += 1
    if recording.session_id is not None and recording.session_id not in conversation.recorded:
        conversation.recorded.append(recording.session_id)


def unknown(recordings: Recordings, wanted: Asked) -> str:
    """Why there is nothing to answer *wanted* with, and what comes nearest."""
    said = f"the message {_quoted(wanted.message)} is not in this recording"
    same = [one for one in recordings.every if one.asked.message == wanted.message]
    if not same:
        messages = {one.asked.message[:_COMPARED]: None for one in recordings.every}
        return said + did_you_mean(wanted.message[:_COMPARED], messages)
    if any(one.asked.key == wanted.key for one in same):
        where = "a first turn" if same[0].opens else "a later turn of a conversation"
        return f"{said} at this place: it was recorded as {where}"
    other = min((_differing(wanted.settings, one.asked.settings) for one in same), key=len)
    return f"{said} with these settings: it was recorded with another {', '.join(other) or 'endpoint'}"


def _closest(found: list[Recording], *wishes: Callable[[Recording], bool]) -> list[Recording]:
    """Those of *found* that fulfil the wishes, each of them as long as anything is left."""
    for wish in wishes:
        found = [one for one in found if wish(one)] or found
    return found


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def _quoted(message: str) -> str:
    return repr(message if len(message) <= _QUOTED else f"{message[: _QUOTED - 1]}…")


def _recording(result: Result, exchange: Exchange) -> Recording:
    sent_ns, info = exchange.sent_ns, exchange.session_info
    wanted = asked(exchange.endpoint, exchange.request, info)
    since = exchange.began_ns if sent_ns is None else sent_ns
    timed = sent_ns is not None and len(exchange.arrived_ns) == len(exchange.read_ends)
    return Recording(
        exchange_id=exchange.exchange_id,
        began_ns=exchange.began_ns,
        of=(result.case_id, result.variant, exchange.turn_id),
        asked=wanted,
        opens=info is not None or wanted.session_id is None,
        title=info.get("description") if info else None,
        session_id=exchange.session_id or wanted.session_id,
        status=exchange.http_status,
        headers=tuple(_headers(exchange)),
        body=exchange.body,
        ends=array("q", exchange.read_ends if timed else ()),
        due_ns=array("q", (max(0, at - since) for at in exchange.arrived_ns) if timed else ()),
        head_ns=_after(since, exchange.headers_ns),
        ended_ns=_after(since, exchange.ended_ns),
        end=_end(exchange),
        why=str(exchange.failure or "the run was cut off before an answer came"),
    )


def _after(since_ns: int, at_ns: int | None) -> int:
    return 0 if at_ns is None else max(0, at_ns - since_ns)


def _headers(exchange: Exchange) -> Iterable[tuple[bytes, bytes]]:
    """The headers of the reply, as far as they are on record."""
    if exchange.content_type:
        yield b"content-type", exchange.content_type.encode("latin-1", "replace")
    if exchange.failure is not None and exchange.failure.retry_after_s is not None:
        yield b"retry-after", b"%d" % exchange.failure.retry_after_s


def _end(exchange: Exchange) -> End:
    """How the connection fared: a reply may be broken and yet have come in form."""
    fault = exchange.failure.fault if exchange.failure else None
    match fault:
        case Fault.DISCONNECTED:
            return End.DROPPED
        case Fault.TIMED_OUT if exchange.failure and exchange.failure.step is not Step.CONNECT:
            return End.SILENT
    if exchange.http_status is None:
        return End.NEVER
    unheard = exchange.transcript is not None and exchange.transcript.outcome is Outcome.TRUNCATED
    return End.DROPPED if fault is None and unheard else End.WHOLE
