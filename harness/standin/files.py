"""Uploaded files and projects, in SQLite.

A file goes through the states of a real server over a short real time, so that a client which does not wait
for it is seen: PROCESSING for 60 ms, INDEXING until 150 ms, then COMPLETED; a message that has it before then
gets its ids that much later. Two beginnings of a name ask for another end: `failing` is FAILED then,
`skipped` is SKIPPED. Text is read from text files and tables; of a PDF or an image nothing is known but its
bytes. The instructions of a project are kept and shown; the agent does not heed them.
"""

import mimetypes
import sqlite3
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

USER_ID = "5a3c1e52-0d4b-4a8e-9f64-2f6d1f1d7c10"
LARGEST_MB = 100

_PROCESSING_NS, _INDEXING_NS = 60_000_000, 150_000_000
_KINDS = {
    "image": (".png", ".jpg", ".jpeg", ".webp", ".gif"),
    "tabular": (".csv", ".tsv", ".xlsx"),
    "plain_text": (".txt", ".md", ".json", ".yaml", ".yml", ".log", ".xml", ".html", ".py"),
    "document": (".pdf", ".docx", ".pptx", ".epub", ".eml"),
}
_LEGIBLE = frozenset({"plain_text", "tabular"})

_SCHEMA = """
CREATE TABLE IF NOT EXISTS file (
    id TEXT PRIMARY KEY, file_id TEXT UNIQUE, name TEXT, mime TEXT, kind TEXT, content BLOB, created TEXT,
    began_ns INTEGER
);
CREATE TABLE IF NOT EXISTS project (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, created TEXT, instructions TEXT
);
CREATE TABLE IF NOT EXISTS project_file (project INTEGER, file TEXT, PRIMARY KEY (project, file));
"""


@dataclass(frozen=True, slots=True)
class File:
    """One upload; *file_id* is of its content, *id* of the upload itself."""

    id: str
    file_id: str
    name: str
    kind: str
    text: str

    def descriptor(self) -> dict[str, Any]:
        """The file as a message in the history has it."""
        return {"id": self.file_id, "type": self.kind, "name": self.name, "user_file_id": self.id}


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def kind_of(name: str) -> str | None:
    """The `chat_file_type` of a file by its name, None for one that is not taken."""
    return next((kind for kind, suffixes in _KINDS.items() if _suffix(name) in suffixes), None)


def rejection(name: str, content: bytes) -> str | None:
    """Why a file is not taken; an empty one is told of its type, as real servers do."""
    if kind_of(name) is None or not content:
        return f"Unsupported file type: {_suffix(name) or 'none'}"
    if len(content) > LARGEST_MB * 2**20:
        return f"File exceeds the maximum size of {LARGEST_MB} MB"
    return None


class Files:
    """All uploads and projects of this server. *path* is a file, or `:memory:`."""

    def __init__(self, path: str = ":memory:") -> None:
        self._sql = sqlite3.connect(path, isolation_level=None)
        self._sql.row_factory = sqlite3.Row
        self._sql.executescript(_SCHEMA)
        if self.project(7) is None:
            self._sql.execute(
                "INSERT INTO project (id, name, created, instructions) VALUES (7, 'Atlas launch', ?, ?)",
                (_now(), "Be brief."),
            )

    def close(self) -> None:
        """Close the database."""
        self._sql.close()

    # Files

    def add(self, name: str, content: bytes) -> dict[str, Any]:
        """Keep an upload; its snapshot as the upload answers it."""
        file_id, content_id = str(uuid.uuid4()), str(uuid.uuid4())
        mime = mimetypes.guess_type(name)[0] or "application/octet-stream"
        self._sql.execute(
            "INSERT INTO file VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (file_id, content_id, name, mime, kind_of(name), content, _now(), time.perf_counter_ns()),
        )
        snapshot = self.snapshot(file_id)
        assert snapshot is not None  # noqa: S101 - it was put there just now
        return snapshot | {"created_at": snapshot["created_at"] + "Z", "status": "PROCESSING"}

    def snapshot(self, file_id: str) -> dict[str, Any] | None:
        """One upload as it is now, None where there is none of that id."""
        row = self._sql.execute("SELECT * FROM file WHERE id = ?", (file_id,)).fetchone()
        return None if row is None else _snapshot(row)

    def snapshots(self) -> list[dict[str, Any]]:
        """All uploads, the latest first."""
        rows = self._sql.execute("SELECT * FROM file ORDER BY began_ns DESC").fetchall()
        return [_snapshot(row) for row in rows]

    def delete(self, file_id: str) -> dict[str, Any] | None:
        """Delete an upload unless a project has it; None where there is none of that id."""
        if self.snapshot(file_id) is None:
            return None
        rows = self._sql.execute(
            "SELECT name FROM project JOIN project_file ON project = project.id WHERE file = ?", (file_id,)
        ).fetchall()
        if not rows:
            self._sql.execute("DELETE FROM file WHERE id = ?", (file_id,))
        names = [row["name"] for row in rows]
        return {"has_associations": bool(names), "project_names": names, "assistant_names": []}

    def content(self, content_id: str) -> tuple[bytes, str] | None:
        """The bytes behind a `file_id`, and their type."""
        row = self._sql.execute("SELECT content, mime FROM file WHERE file_id = ?", (content_id,)).fetchone()
        return None if row is None else (row["content"], row["mime"])

    def known(self, ids: Iterable[str]) -> list[File]:
        """Those of the uploads that there are, in the order of *ids*."""
        rows = (self._sql.execute("SELECT * FROM file WHERE id = ?", (each,)).fetchone() for each in ids)
        return [_file(row) for row in rows if row is not None]

    def pending_ns(self, files: Iterable[File]) -> int:
        """How long until the last of these is processed, 0 if all are."""
        ids = [file.id for file in files]
        rows = (
            self._sql.execute("SELECT began_ns FROM file WHERE id = ?", (each,)).fetchone() for each in ids
        )
        ages = (time.perf_counter_ns() - row["began_ns"] for row in rows)
        return max((_INDEXING_NS - age for age in ages if 0 <= age < _INDEXING_NS), default=0)

    # Projects

    def project(self, project_id: int) -> sqlite3.Row | None:
        """The row of a project."""
        row: sqlite3.Row | None = self._sql.execute(
            "SELECT * FROM project WHERE id = ?", (project_id,)
        ).fetchone()
        return row

    def projects(self) -> Sequence[sqlite3.Row]:
        """The rows of all projects."""
        return self._sql.execute("SELECT * FROM project ORDER BY id").fetchall()

    def create_project(self, name: str) -> int:
        """A new project."""
        cursor = self._sql.execute("INSERT INTO project (name, created) VALUES (?, ?)", (name, _now()))
        return int(cursor.lastrowid or 0)

    def instruct(self, project_id: int, instructions: str) -> None:
        """Set what a project's conversations are told."""
        self._sql.execute("UPDATE project SET instructions = ? WHERE id = ?", (instructions, project_id))

    def link(self, project_id: int, file_id: str) -> None:
        """Put an upload into a project."""
        self._sql.execute("INSERT OR IGNORE INTO project_file VALUES (?, ?)", (project_id, file_id))

    def of_project(self, project_id: int | None) -> list[str]:
        """The ids of a project's uploads; none of no project."""
        rows = self._sql.execute("SELECT file FROM project_file WHERE project = ?", (project_id,))
        return [row["file"] for row in rows]


def _file(row: sqlite3.Row) -> File:
    text = row["content"].decode("utf-8", "replace") if row["kind"] in _LEGIBLE else ""
    return File(row["id"], row["file_id"], row["name"], row["kind"], text)


def state_of(name: str, age_ns: int) -> str:
    """The processing state of a file of that name so long after its upload."""
    if 0 <= age_ns < _PROCESSING_NS:
        return "PROCESSING"
    if 0 <= age_ns < _INDEXING_NS:
        return "INDEXING"
    ends = {"failing": "FAILED", "skipped": "SKIPPED"}
    return next((end for start, end in ends.items() if name.lower().startswith(start)), "COMPLETED")


def _snapshot(row: sqlite3.Row) -> dict[str, Any]:
    """A UserFileSnapshot; its creation has no zone when it is read later (wire reference 5.2)."""
    status = state_of(row["name"], time.perf_counter_ns() - row["began_ns"])
    return {
        "id": row["id"],
        "temp_id": None,
        "name": row["name"],
        "project_id": None,
        "user_id": USER_ID,
        "file_id": row["file_id"],
        "created_at": row["created"].removesuffix("+00:00"),
        "status": status,
        "last_accessed_at": row["created"].replace("+00:00", "Z"),
        "file_type": row["mime"],
        "chat_file_type": row["kind"],
        "token_count": len(row["content"]) // 4 + 1,
        "chunk_count": 0 if status == "COMPLETED" else None,
    }
