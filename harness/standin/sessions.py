"""Sessions and their trees of messages, in SQLite.

A session holds a hidden root message; a question hangs below an answer (or the root), an answer below a
question. Every message points to its latest child, and following those pointers from the root gives the
mainline, which is the conversation as the model sees it (wire reference 1.6). Message ids are global
integers.

One connection, used from the event loop: a turn costs a handful of statements of some ten microseconds
each, far less than handing them to a thread. A file gets a write-ahead log and no fsync per turn.
"""

import json
import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from harness.standin.catalogue import persona
from harness.standin.draft import Draft
from harness.standin.files import File

UNFINISHED = "Response was terminated prior to completion, try regenerating."
STOPPED = "Generation was stopped by the user."

_VERSION = 2
"""Of the tables of sessions; it rises when they change."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS session (
    id TEXT PRIMARY KEY, persona INTEGER, description TEXT, created TEXT, updated TEXT,
    deleted INTEGER DEFAULT 0, project INTEGER
);
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY AUTOINCREMENT, session TEXT, parent INTEGER, latest INTEGER, type TEXT, sent TEXT,
    message TEXT, error TEXT, seconds REAL, label TEXT, params TEXT,
    documents TEXT DEFAULT '[]', citations TEXT, files TEXT DEFAULT '[]', hides TEXT DEFAULT '',
    preferred INTEGER
);
CREATE INDEX IF NOT EXISTS message_session ON message (session);
"""


class OffMainlineError(ValueError):
    """A parent that is not on the latest mainline."""


@dataclass(frozen=True, slots=True)
class Message:
    """One node of the tree; *type* is `system` (the root), `user` or `assistant`."""

    id: int
    parent: int | None
    latest: int | None
    type: str
    message: str


@dataclass(frozen=True, slots=True)
class Session:
    """A conversation, deleted or not."""

    id: str
    persona: int
    deleted: bool
    project: int | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """Where a new answer will hang: the question's id and text, and the messages before it, oldest first."""

    id: int
    text: str
    before: tuple[Message, ...]


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _check_version(sql: sqlite3.Connection) -> None:
    """Mark a new database with the form of its tables. Raises `sqlite3.Error` for one of another form."""
    (version,) = sql.execute("PRAGMA user_version").fetchone()
    (tables,) = sql.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and version != _VERSION:
        raise sqlite3.DatabaseError(
            "another version of the stand-in made it; take another file, or delete it"
        )
    sql.execute(f"PRAGMA user_version = {_VERSION}")


class Sessions:
    """All sessions of this server. *path* is a file, or `:memory:`."""

    def __init__(self, path: str = ":memory:") -> None:
        self._sql = sqlite3.connect(path, isolation_level=None)
        self._sql.row_factory = sqlite3.Row
        _check_version(self._sql)
        self._sql.execute("PRAGMA journal_mode = WAL")
        self._sql.execute("PRAGMA synchronous = NORMAL")
        self._sql.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the database; the write-ahead log is folded in."""
        self._sql.close()

    def create(self, persona_id: int, description: str | None, project: int | None = None) -> str:
        """A new session with its root; returns its id."""
        session_id, now = str(uuid.uuid4()), _now()
        self._sql.execute(
            "INSERT INTO session (id, persona, description, created, updated, project)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (session_id, persona_id, description or "", now, now, project),
        )
        self._add(session_id, None, "system", "")
        return session_id

    def find(self, session_id: str) -> Session | None:
        """The session of that id, if there ever was one."""
        row = self._sql.execute(
            "SELECT id, persona, deleted, project FROM session WHERE id = ?", (session_id,)
        ).fetchone()
        return Session(row["id"], row["persona"], bool(row["deleted"]), row["project"]) if row else None

    def delete(self, session_id: str, *, hard: bool = False) -> bool:
        """Mark a session as deleted, or take it away; False where there is none."""
        if hard and self.find(session_id) is not None:
            self._sql.execute("DELETE FROM message WHERE session = ?", (session_id,))
            self._sql.execute("DELETE FROM session WHERE id = ?", (session_id,))
            return True
        changed = self._sql.execute(
            "UPDATE session SET deleted = 1 WHERE id = ? AND deleted = 0", (session_id,)
        )
        return changed.rowcount > 0

    def said(self) -> list[tuple[str, int, int, int]]:
        """For each model its answers: how many, and the characters of their questions and of themselves."""
        rows = self._sql.execute(
            "SELECT coalesce(answer.label, ''), count(*), sum(length(question.message)),"
            " sum(length(answer.message)) FROM message AS answer JOIN message AS question"
            " ON question.id = answer.parent WHERE answer.type = 'assistant' GROUP BY answer.label"
        )
        return [tuple(row) for row in rows]

    def rename(self, session_id: str, name: str) -> bool:
        """Give a session a name; False where there is none."""
        changed = self._sql.execute("UPDATE session SET description = ? WHERE id = ?", (name, session_id))
        return changed.rowcount > 0

    def make_latest(self, message_id: int) -> bool:
        """Turn the mainline to a message, at its parent; False where there is none, or it is a root."""
        row = self._sql.execute("SELECT parent FROM message WHERE id = ?", (message_id,)).fetchone()
        if row is None or row["parent"] is None:
            return False
        self._sql.execute("UPDATE message SET latest = ? WHERE id = ?", (message_id, row["parent"]))
        return True

    def prefer(self, question: int, answer: int) -> bool:
        """Go on from one of the answers to a question; False where it is none of them."""
        row = self._sql.execute(
            "SELECT 1 FROM message WHERE id = ? AND parent = ? AND type = 'assistant'", (answer, question)
        ).fetchone()
        if row is None:
            return False
        self._sql.execute(
            "UPDATE message SET latest = ?, preferred = ? WHERE id = ?", (answer, answer, question)
        )
        return True

    def attach(self, message_id: int, files: Sequence[File]) -> None:
        """Hang files on a question."""
        descriptors = json.dumps([file.descriptor() for file in files])
        self._sql.execute("UPDATE message SET files = ? WHERE id = ?", (descriptors, message_id))

    def attached(self, message_ids: Sequence[int]) -> list[str]:
        """The ids of the uploads that hang on these messages, each once."""
        found: dict[str, None] = {}
        for message_id in message_ids:
            row = self._sql.execute("SELECT files FROM message WHERE id = ?", (message_id,)).fetchone()
            found.update({each["user_file_id"]: None for each in json.loads(row["files"] if row else "[]")})
        return list(found)

    def hide(self, message_id: int, hidden: Iterable[str]) -> None:
        """Keep some of what a message proves out of every session detail, beside what is hidden already."""
        text = " ".join(sorted(hidden))
        self._sql.execute("UPDATE message SET hides = hides || ' ' || ? WHERE id = ?", (text, message_id))

    def _add(self, session_id: str, parent: int | None, kind: str, text: str) -> int:
        cursor = self._sql.execute(
            "INSERT INTO message (session, parent, type, message, sent) VALUES (?, ?, ?, ?, ?)",
            (session_id, parent, kind, text, _now()),
        )
        new = int(cursor.lastrowid or 0)
        if parent is not None:
            self._sql.execute("UPDATE message SET latest = ? WHERE id = ?", (new, parent))
        return new

    def mainline(self, session_id: str) -> list[Message]:
        """The messages from the root along the latest children."""
        rows = self._sql.execute(
            "SELECT id, parent, latest, type, message FROM message WHERE session = ? ORDER BY id",
            (session_id,),
        )
        nodes = {row["id"]: Message(**row) for row in rows}
        at = next((node for node in nodes.values() if node.parent is None), None)
        line = []
        while at is not None:
            line.append(at)
            at = nodes.get(at.latest) if at.latest is not None else None
        return line

    def ask(self, session_id: str, parent: int | None, text: str) -> Question:
        """Hang a question into the tree, by the rules of *parent*.

        -1: after the last message. None or the root: start over. An answer on the mainline: continue there.
        A question on the mainline: answer it again, *text* is not used. Anything else raises
        `OffMainlineError`.
        """
        line = self.mainline(session_id)
        if parent == -1:
            at = len(line) - 1
        elif parent is None:
            at = 0
        else:
            at = next((place for place, node in enumerate(line) if node.id == parent), -1)
        if at < 0:
            raise OffMainlineError("The new message sent is not on the latest mainline of messages")
        node = line[at]
        if node.type == "user" and parent != -1:
            return Question(node.id, node.message, tuple(line[1:at]))
        return Question(self._add(session_id, node.id, "user", text), text, tuple(line[1 : at + 1]))

    def reserve(self, session_id: str, question: int, label: str) -> int:
        """The id of an answer to come, which reads as unfinished until then."""
        new = self._add(session_id, question, "assistant", UNFINISHED)
        self._sql.execute("UPDATE message SET label = ? WHERE id = ?", (label, new))
        self._sql.execute("UPDATE session SET updated = ? WHERE id = ?", (_now(), session_id))
        return new

    def finish(self, message_id: int, draft: Draft, *, stopped: bool = False) -> None:
        """Store what an answer became: its text, or the error, or the part before a stop."""
        text = draft.answer
        if draft.error is not None:
            text = f"Error from {draft.choice.model.name}: {draft.error}"
        elif stopped:
            text = (
                f"{text} ... \n\n{STOPPED}"
                if text
                else f"The generation {STOPPED.removeprefix('Generation ')}"
            )
        params = None if stopped and not draft.answer else json.dumps(draft.choice.request_params())
        citations = {str(number): document for document, number in draft.citations.items()} or None
        documents = [hit.as_json() | {"db_doc_id": at} for at, hit in enumerate(draft.documents, 1)]
        self._sql.execute(
            "UPDATE message SET message = ?, error = ?, seconds = ?, params = ?, documents = ?, citations = ?"
            " WHERE id = ?",
            (
                text,
                draft.error and text,
                draft.pre_answer_seconds,
                params,
                json.dumps(documents),
                json.dumps(citations),
                message_id,
            ),
        )

    def detail(self, session_id: str, run_id: str | None) -> dict[str, Any] | None:
        """The answer of `GET /chat/get-chat-session/{id}`; None where there is no such session."""
        row = self._sql.execute("SELECT * FROM session WHERE id = ?", (session_id,)).fetchone()
        if row is None:
            return None
        rows = self._sql.execute(
            "SELECT * FROM message WHERE session = ? ORDER BY id", (session_id,)
        ).fetchall()
        if any("detail" in message["hides"] for message in rows):
            return None
        known = persona(row["persona"])
        return {
            "chat_session_id": session_id,
            "description": row["description"],
            "persona_id": row["persona"],
            "persona_name": known.name if known else "",
            "personal_icon_name": None,
            "messages": [_as_json(message) for message in rows],
            "time_created": row["created"],
            "shared_status": "private",
            "current_alternate_model": None,
            "current_temperature_override": None,
            "current_reasoning_effort_override": None,
            "deleted": bool(row["deleted"]),
            "owner_name": None,
            "packets": [_replay(message) for message in rows if message["type"] == "assistant"],
            "current_run": None if run_id is None else {"run_id": run_id},
            "incognito": False,
        }

    def listing(self, limit: int, *, project: int | None = None, outside: bool = False) -> dict[str, Any]:
        """The answer of `GET /chat/get-user-chat-sessions`, the latest first; of one project, or of none."""
        which = "project = ?" if project is not None else "project IS NULL" if outside else "1"
        values = (*((project,) if project is not None else ()), limit + 1)
        rows: Sequence[sqlite3.Row] = self._sql.execute(
            f"SELECT * FROM session WHERE deleted = 0 AND {which} ORDER BY updated DESC LIMIT ?",  # noqa: S608  of ours alone
            values,
        ).fetchall()
        sessions = [
            {
                "id": row["id"],
                "name": row["description"],
                "persona_id": row["persona"],
                "time_created": row["created"].replace("Z", "+00:00"),
                "time_updated": row["updated"].replace("Z", "+00:00"),
                "shared_status": "private",
                "current_alternate_model": None,
                "current_temperature_override": None,
                "current_reasoning_effort_override": None,
            }
            for row in rows[:limit]
        ]
        return {"sessions": sessions, "has_more": len(rows) > limit}


def _as_json(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "chat_session_id": row["session"],
        "message_id": row["id"],
        "parent_message": row["parent"],
        "latest_child_message": row["latest"],
        "message": row["message"],
        "reasoning_tokens": None,
        "message_type": row["type"],
        "context_docs": json.loads(row["documents"]),
        "citations": json.loads(row["citations"] or "null"),
        "time_sent": row["sent"],
        "files": None if "files" in row["hides"] else json.loads(row["files"]),
        "error": row["error"],
        "current_feedback": None,
        "processing_duration_seconds": row["seconds"],
        "preferred_response_id": row["preferred"],
        "model_display_name": row["label"],
        "request_params": None if "params" in row["hides"] else json.loads(row["params"] or "null"),
    }


def _replay(row: sqlite3.Row) -> list[dict[str, Any]]:
    """An answer's packets as history re-creates them.

    Its text in one piece, no model, a section end after it.
    """
    placement = {"turn_index": 1, "tab_index": 0, "sub_turn_index": None, "model_index": None}
    documents = json.loads(row["documents"]) or None
    objects = [
        {"type": "message_start", "final_documents": documents, "pre_answer_processing_seconds": None},
        {"type": "message_delta", "content": row["message"]},
        {"type": "section_end"},
        {"type": "stop", "stop_reason": None},
    ]
    return [{"placement": placement, "obj": obj} for obj in objects]
