"""One assistant message as it is written: what has been said so far, and the packets that say it.

A draft is filled as its beats are taken, each when the next one is asked for: whoever stops taking them
finds in the draft exactly what went out, which is what a stopped reply leaves in the history.
"""

import json
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

from harness.standin.models import Choice, Pace
from harness.standin.search import Hit
from harness.standin.wire import Beat, Place, error_line, packet

Piece = str | Hit
"""A stretch of text, or a citation of the document that the text before it came from."""

# Spaces and newlines only: a line separator inside a word is part of it.
_TOKEN = re.compile(r"[ \n]*[^ \n]+[ \n]*")
_MARKER = re.compile(r" ?\[\[\d+\]\]\([^)]*\)")


def _grouped(text: str, count: int) -> list[str]:
    tokens = _TOKEN.findall(text)
    return ["".join(tokens[start : start + count]) for start in range(0, len(tokens), count)]


def _trimmed(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces without space before the first and after the last; a piece of nothing but space goes."""
    kept = [piece for piece in pieces if not isinstance(piece, str) or piece.strip()]
    if kept and isinstance(kept[0], str):
        kept[0] = kept[0].lstrip()
    if kept and isinstance(kept[-1], str):
        kept[-1] = kept[-1].rstrip()
    return kept


class Draft:
    """A reply in the making. *index* is the model's place among several that answer side by side."""

    def __init__(self, choice: Choice, pace: Pace, *, index: int = 0, cite: bool = True) -> None:
        self.choice = choice
        self.pace = pace
        self.index = index
        self.turn = 0
        self.answer = ""
        self.reasoning: list[str] = []
        self.documents: list[Hit] = []
        self.citations: dict[str, int] = {}
        self.calls: list[dict[str, Any]] = []
        self.pre_answer_seconds: float | None = None
        self.error: str | None = None
        self.searched = False
        self._cite = cite
        self._began_ns = time.perf_counter_ns()

    @property
    def hides(self) -> frozenset[str]:
        """What this model's script keeps out of sight."""
        script = self.choice.model.script
        return script.hides if script else frozenset()

    def shown(self, hit: Hit) -> dict[str, Any]:
        """A document as the wire shows it, or without what would prove a filter."""
        document = hit.as_json()
        hidden: dict[str, Any] = {"source_type": "", "metadata": {}, "updated_at": None}
        return document | hidden if "filters" in self.hides else document

    def packet(self, obj: dict[str, Any], *, tab: int = 0, sub: int | None = None, wait: int = 0) -> Beat:
        """A packet of this model in the present turn."""
        return packet(Place(self.turn, tab, sub, self.index), obj, wait=wait)

    def details(self) -> dict[str, Any]:
        """The `details` of an error inside this model's run: the vendor, not the provider's display name."""
        choice = self.choice
        return {"model": choice.model.name, "provider": choice.provider.vendor, "model_index": self.index}

    def fail(self, message: str, code: str, *, retryable: bool, wait: int = 0) -> Beat:
        """The error line that ends this model's run."""
        self.error = message
        details = self.details()
        if code == "EMPTY_LLM_RESPONSE":
            details |= {"tool_choice": "auto", "finish_reason": "stop"}
        return error_line(message, code, retryable=retryable, details=details, wait=wait)

    def keep(self, hits: Sequence[Hit]) -> None:
        """Add documents to those that can be cited, each once."""
        known = {hit.document.id for hit in self.documents}
        self.documents += [hit for hit in hits if hit.document.id not in known]

    def think(self, text: str, *, tab: int = 0, sub: int | None = None) -> Iterator[Beat]:
        """A reasoning block. At the top level it takes a turn of its own."""
        self.reasoning.append("")
        yield self.packet({"type": "reasoning_start"}, tab=tab, sub=sub, wait=self.pace.first())
        for count, token in enumerate(_TOKEN.findall(text)):
            wait = self.pace.gap() if count else 0
            yield self.packet({"type": "reasoning_delta", "reasoning": token}, tab=tab, sub=sub, wait=wait)
            self.reasoning[-1] += token
        yield self.packet({"type": "reasoning_done"}, tab=tab, sub=sub)
        if sub is None:
            self.turn += 1

    def begin_text(self) -> Beat:
        """The start of a text block on tab 0 of the present turn; `answer` begins anew with it."""
        self.answer = ""
        self.pre_answer_seconds = (time.perf_counter_ns() - self._began_ns) / 1e9
        documents = [self.shown(hit) for hit in self.documents] if self.searched else None
        start = {
            "type": "message_start",
            "final_documents": documents,
            "pre_answer_processing_seconds": self.pre_answer_seconds,
        }
        return self.packet(start, wait=self.pace.first())

    def note(
        self, name: str, arguments: dict[str, Any], result: Any, hits: Sequence[Hit] | None = None
    ) -> None:
        """Note a call for the non-streamed reply; its `tool_result` is the text that the model was given."""
        self.calls.append(
            {
                "tool_name": name,
                "tool_arguments": arguments,
                "tool_result": json.dumps(result),
                "search_docs": None if hits is None else [self.shown(hit) for hit in hits],
                "generated_images": None,
                "pre_reasoning": self.reasoning[-1] if self.reasoning else None,
            }
        )

    def say(self, pieces: Sequence[Piece]) -> Iterator[Beat]:
        """A text block, whole."""
        yield self.begin_text()
        first = True
        for piece in _trimmed(pieces):
            for beat in self._cited(piece) if isinstance(piece, Hit) else self._text(piece):
                yield beat._replace(wait=0) if first else beat
                first = False

    def _text(self, text: str) -> Iterator[Beat]:
        for group in _grouped(text, self.choice.model.words):
            yield self.packet({"type": "message_delta", "content": group}, wait=self.pace.gap())
            self.answer += group

    def _cited(self, hit: Hit) -> Iterator[Beat]:
        if not self._cite:
            return
        number = next(
            at for at, known in enumerate(self.documents, 1) if known.document.id == hit.document.id
        )
        wait = self.pace.gap()
        if hit.document.id not in self.citations:
            info = {"type": "citation_info", "citation_number": number, "document_id": hit.document.id}
            yield self.packet(info, wait=wait)
            self.citations[hit.document.id] = number
            wait = 0
        marker = f" [[{number}]]({hit.document.link})"
        yield self.packet({"type": "message_delta", "content": marker}, wait=wait)
        self.answer += marker

    def stop(self) -> Beat:
        """The end of this model's run."""
        return self.packet({"type": "stop", "stop_reason": None})

    def as_json(self) -> dict[str, Any]:
        """The reply as `ChatFullResponse` holds it, less the ids."""
        return {
            "answer": self.answer,
            "answer_citationless": _MARKER.sub("", self.answer),
            "pre_answer_reasoning": self.reasoning[-1] if self.reasoning else None,
            "tool_calls": self.calls,
            "top_documents": [self.shown(hit) for hit in self.documents],
            "citation_info": [
                {"type": "citation_info", "citation_number": number, "document_id": document_id}
                for document_id, number in self.citations.items()
            ],
        }
