"""The documents that tools return, and what a search shows of the filters it applied.

A reading has only their ids. Where a document is from, how old it is and what it is tagged with is kept for
one question: did the filters that were asked take effect? (`harness.audit`)
"""

from typing import Any

from msgspec import Struct

from harness.sigma.tolerant import shallow


class SearchDoc(Struct, frozen=True, gc=False):
    """A document as packets carry it."""

    document_id: str | None = None
    source_type: str | None = None
    updated_at: str | None = None
    metadata: Any = None
    is_internet: bool = False


Documents = list[SearchDoc] | None


class Applied(Struct, frozen=True):
    """The filters that a search says it applied.

    *sources* is empty for everything, None where it does not say. The times are as on the wire, None for no
    bound.
    """

    sources: tuple[str, ...] | None = None
    time_start: str | None = None
    time_end: str | None = None


class FoundDocument(Struct, frozen=True):
    """A document of the server's own knowledge, None in what it does not show."""

    document_id: str | None
    source_type: str | None = None
    updated_at: str | None = None
    metadata: dict[str, Any] | None = None


class Search(Struct, frozen=True):
    """One internal search. *applied* is None where it did not say what filters it applied."""

    applied: Applied | None = None
    documents: tuple[FoundDocument, ...] = ()


def document_ids(documents: Documents) -> list[str]:
    """The ids of *documents*, those without one left out."""
    return [each.document_id for each in documents or () if each.document_id is not None]


def found_documents(documents: Documents) -> tuple[FoundDocument, ...]:
    """*documents* as they go into a transcript, those of the web left out: they know no filter."""
    return tuple(
        FoundDocument(
            each.document_id, each.source_type or None, each.updated_at or None, _metadata(each.metadata)
        )
        for each in documents or ()
        if not each.is_internet
    )


def _metadata(told: Any) -> dict[str, Any] | None:
    return shallow(told) if isinstance(told, dict) else None
