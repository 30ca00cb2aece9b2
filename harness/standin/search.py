"""The documents and the search over them: SQLite FTS5 with bm25, every filter applied in SQL.

The search is real so that a filter that is asked for and honoured gives other documents than one that is
not, and the harness can see the difference. Ranking is bm25 over title (weight 2) and text, with porter
stemming; words that the question's latest message adds count double.
"""

import json
import re
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, NamedTuple

KEPT = 4
"""Documents of one search that go into the context."""

_STOP = frozenset(
    """
    a an and are as at be but by can could did do does for from had has have how i if in is it its me my
    now of on only or our same should so than that the their them then there these they this to us was
    we were what when where which who why will with would you your about tell please give show list much
    many long often any all also
    """.split()  # noqa: SIM905 - read as a text
)
_WORD = re.compile(r"[^\W_]+(?:[-.'][^\W_]+)*")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9])")


class Span(NamedTuple):
    """A stretch of time, open where an end is None."""

    start: datetime | None = None
    end: datetime | None = None


_ALWAYS = Span()


@dataclass(frozen=True, slots=True)
class Filters:
    """What may be searched.

    Kinds of filter are combined with and; within a kind, or between values of one tag key, with or.
    """

    sources: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    created: Span = _ALWAYS
    updated: Span = _ALWAYS
    touched_since: datetime | None = None

    def times(self) -> Span:
        """The time filter as `search_tool_filter_delta` shows it."""
        return Span(
            self.touched_since or self.updated.start or self.created.start,
            self.updated.end or self.created.end,
        )

    def any(self) -> bool:
        """Whether something is filtered at all."""
        return self != NO_FILTERS


NO_FILTERS = Filters()


@dataclass(frozen=True, slots=True)
class Document:
    """One document of the corpus. *internet* pages are found by web search only."""

    id: str
    title: str
    link: str
    source: str
    set: str
    created: datetime
    updated: datetime
    tags: dict[str, str]
    text: str
    internet: bool

    def sentences(self) -> list[str]:
        """The text, cut into sentences."""
        return [sentence for line in self.text.split("\n") for sentence in _SENTENCE.split(line)]


def attached_document(name: str, text: str) -> Document:
    """A file that goes along with a question, as something to read sentences from; a line may be one too."""
    never = datetime.min.replace(tzinfo=UTC)
    lines = "\n".join(line.strip() for line in text.splitlines() if line.strip())
    return Document(name, name, "", "user_file", "", never, never, {}, lines, internet=False)


class Hit(NamedTuple):
    """A document that was found, and how well it fits (higher is better)."""

    document: Document
    score: float

    def as_json(self) -> dict[str, Any]:
        """The hit as a SearchDoc of the wire."""
        document = self.document
        return {
            "document_id": document.id,
            "chunk_ind": 0,
            "semantic_identifier": document.title,
            "link": document.link,
            "blurb": document.text[:200],
            "source_type": document.source,
            "boost": 1 if document.internet else 0,
            "hidden": False,
            "metadata": document.tags,
            "score": round(self.score, 4),
            "is_relevant": None,
            "relevance_explanation": None,
            "match_highlights": [document.text[:200]],
            "updated_at": None if document.internet else document.updated.isoformat(),
            "primary_owners": None,
            "secondary_owners": None,
            "is_internet": document.internet,
            "file_id": None,
        }


def words(text: str) -> list[str]:
    """The words of *text* that carry meaning, lower case, in order, each once. "US" does, "us" does not."""
    found = _WORD.findall(text)
    meaning = (word for word in found if word.lower() not in _STOP or (word.isupper() and len(word) > 1))
    return list(dict.fromkeys(word.lower() for word in meaning))


def stem(word: str) -> str:
    """A word without its commonest English endings, for comparing sentences with questions."""
    for ending in ("ing", "ies", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def _among(wanted: str, known: set[str]) -> bool:
    """Whether a word is among the known ones; a long one also as their beginning (admin, administrator)."""
    return wanted in known or (len(wanted) >= 5 and any(word.startswith(wanted) for word in known))


def _phrase(word: str) -> str:
    """A word as an FTS5 query; a long one also finds what begins with it."""
    return '"' + word.replace('"', "") + '"' + ("*" if len(word) >= 5 else "")


def best_sentences(document: Document, wanted: Sequence[str], count: int) -> list[str]:
    """The *count* sentences of *document* that share most with the *wanted* words, in the order of the text.

    Every sentence is worth the number of wanted words in it; a repeated word in *wanted* counts again.
    """
    stems = [stem(word) for word in wanted]
    scored = []
    for position, sentence in enumerate(document.sentences()):
        inside = {stem(word) for word in words(sentence)}
        scored.append((-sum(_among(one, inside) for one in stems), position, sentence))
    chosen = [item for item in sorted(scored)[:count] if item[0] < 0] or sorted(scored)[:1]
    return [sentence for _, _, sentence in sorted(chosen, key=lambda item: item[1])]


def _read(line: str) -> Document:
    row = json.loads(line)
    internet = row.get("internet", False)
    return Document(
        id=f"WEB_SEARCH_DOC_{row['link']}" if internet else row["id"],
        title=row["title"],
        link=row["link"],
        source=row["source_type"],
        set=row.get("document_set", ""),
        created=datetime.fromisoformat(row["created_at"]).replace(tzinfo=UTC),
        updated=datetime.fromisoformat(row["updated_at"]).replace(tzinfo=UTC),
        tags=row.get("tags", {}),
        text=row["text"],
        internet=internet,
    )


def shipped_corpus() -> list[Document]:
    """The documents that come with the package: the knowledge of Atlas, a company that does not exist."""
    text = files("harness.standin").joinpath("corpus.jsonl").read_text(encoding="utf-8")
    return [_read(line) for line in text.split("\n") if line.strip()]


def _in(column: str, values: Iterable[str]) -> tuple[str, list[str]]:
    held = list(values)
    return f"{column} IN ({', '.join('?' * len(held))})", held


def _conditions(filters: Filters) -> list[tuple[str, list[str]]]:
    """SQL conditions and their parameters, to be joined with AND."""
    conditions = []
    if filters.sources:
        conditions.append(_in("document.source", filters.sources))
    if filters.sets:
        conditions.append(_in("document.document_set", filters.sets))
    for key in dict.fromkeys(key for key, _ in filters.tags):
        inside, values = _in("value", (value for known, value in filters.tags if known == key))
        tagged = f"document.rowid IN (SELECT document FROM tag WHERE key = ? AND {inside})"  # noqa: S608  marks for values alone
        conditions.append((tagged, [key, *values]))
    for column, span in (("created", filters.created), ("updated", filters.updated)):
        if span.start:
            conditions.append((f"document.{column} >= ?", [span.start.isoformat()]))
        if span.end:
            conditions.append((f"document.{column} <= ?", [span.end.isoformat()]))
    if filters.touched_since:
        conditions.append(
            ("max(document.created, document.updated) >= ?", [filters.touched_since.isoformat()])
        )
    return conditions


# Only conditions of our own are put in; what comes from a request is bound.
_SEARCH = """
    SELECT words.rowid, -bm25(words, 2.0, 1.0) AS score
    FROM words JOIN document ON document.rowid = words.rowid
    WHERE words MATCH ? AND {where} ORDER BY score DESC, words.rowid LIMIT 12
"""


class Library:
    """The documents in an FTS5 index, in memory. Searches take well under a millisecond."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self._documents = list(documents)
        self._newest = max(document.updated for document in documents)
        self._by_link = {document.link: document for document in documents}
        self._sql = sqlite3.connect(":memory:")
        self._sql.executescript(
            """
            CREATE TABLE document (
                source TEXT, document_set TEXT, created TEXT, updated TEXT, internet INTEGER
            );
            CREATE TABLE tag (document INTEGER, key TEXT, value TEXT);
            CREATE VIRTUAL TABLE words USING fts5(title, body, tokenize = 'porter unicode61');
            """
        )
        for row, one in enumerate(documents, start=1):
            times = (one.created.isoformat(), one.updated.isoformat())
            self._sql.execute(
                "INSERT INTO document VALUES (?, ?, ?, ?, ?)", (one.source, one.set, *times, one.internet)
            )
            self._sql.executemany(
                "INSERT INTO tag VALUES (?, ?, ?)", [(row, *pair) for pair in one.tags.items()]
            )
            self._sql.execute("INSERT INTO words (title, body) VALUES (?, ?)", (one.title, one.text))

    def tags(self) -> list[dict[str, str]]:
        """The answer of `GET /query/valid-tags`, less its wrapping."""
        rows = self._sql.execute(
            "SELECT DISTINCT key, value, source FROM tag JOIN document ON tag.document = document.rowid"
            " ORDER BY key, value, source"
        )
        return [{"tag_key": key, "tag_value": value, "source": source} for key, value, source in rows]

    def page(self, link: str) -> Document | None:
        """The document behind a link, as opening the URL would give it."""
        return self._by_link.get(link.rstrip("/")) or self._by_link.get(link)

    def knows(self, word: str) -> bool:
        """Whether any document contains the word (or one with the same stem)."""
        return (
            self._sql.execute("SELECT 1 FROM words WHERE words MATCH ? LIMIT 1", (_phrase(word),)).fetchone()
            is not None
        )

    def search(
        self, wanted: Sequence[str], filters: Filters = NO_FILTERS, *, internet: bool = False
    ) -> list[Hit]:
        """The best documents for the *wanted* words, best first, `KEPT` at most.

        A repeated word counts again. A year of age costs a twentieth of the score, so that of two documents
        that say the same thing the newer one wins.
        """
        if not wanted:
            return []
        matched = " OR ".join(map(_phrase, wanted))
        conditions = [("document.internet = ?", [str(int(internet))]), *_conditions(filters)]
        where = " AND ".join(condition for condition, _ in conditions)
        values = [value for _, held in conditions for value in held]
        rows = self._sql.execute(_SEARCH.format(where=where), [matched, *values])
        hits = sorted((self._aged(row, score) for row, score in rows), key=lambda hit: -hit.score)
        return [hit for hit in hits[:KEPT] if hit.score >= 0.35 * hits[0].score]

    def _aged(self, row: int, score: float) -> Hit:
        document = self._documents[row - 1]
        years = (self._newest - document.updated).days / 365
        return Hit(document, score * max(0.5, 1 - 0.05 * years))
