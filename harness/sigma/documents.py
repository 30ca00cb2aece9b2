"""The documents that tools return, and what a search shows of the filters it applied.

A reading has only their ids. Where a document is from, how old it is and what it is tagged with is kept for
one question: did the filters that were asked take effect? (`harness.audit`)
"""

from collections.abc import Iterable
from typing import Any

from msgspec import Struct, structs

from harness.sigma.tolerant import shallow


class SearchDoc(Struct, frozen=True, gc=False):
    """A document as packets carry it."""

    document_id: str | None = None
    source_type: str | None = None
    updated_at: str | None = None
    metadata: Any = None
    is_internet: bool = False
    semantic_identifier: str | None = None
    link: str | None = None
    blurb: str | None = None


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
    """A document that a tool returned, None in what it does not show.

    *name* is its title, *blurb* the part of its text that was shown. One of the web knows no filter.
    """

    document_id: str | None
    source_type: str | None = None
    updated_at: str | None = None
    metadata: dict[str, Any] | None = None
    name: str | None = None
    link: str | None = None
    blurb: str | None = None
    is_internet: bool = False


class Search(Struct, frozen=True):
    """One internal search. *applied* is None where it did not say what filters it applied."""

    applied: Applied | None = None
    documents: tuple[FoundDocument, ...] = ()


def document_ids(documents: Documents) -> list[str]:
    """The ids of *documents*, those without one left out."""
    return [each.document_id for each in documents or () if each.document_id is not None]


def found_documents(documents: Documents) -> tuple[FoundDocument, ...]:
    """*documents* as they go into a search, those of the web left out: they know no filter."""
    return tuple(map(found_document, (each for each in documents or () if not each.is_internet)))


def found_document(one: SearchDoc) -> FoundDocument:
    """*one* as it goes into a transcript."""
    return FoundDocument(
        one.document_id,
        one.source_type or None,
        one.updated_at or None,
        _metadata(one.metadata),
        name=one.semantic_identifier or None,
        link=one.link or None,
        blurb=one.blurb or None,
        is_internet=one.is_internet,
    )


def distinct(documents: Iterable[SearchDoc]) -> tuple[FoundDocument, ...]:
    """*documents* by their first appearance; what that did not show is from a later one."""
    first: dict[str, SearchDoc] = {}
    for one in documents:
        if one.document_id is None:
            continue
        known = first.get(one.document_id)
        if known is None:
            first[one.document_id] = one
        elif not (known.semantic_identifier and known.blurb):
            shows = {name: value for name, value in structs.asdict(known).items() if value}
            first[one.document_id] = SearchDoc(**(structs.asdict(one) | shows))
    return tuple(map(found_document, first.values()))


def _metadata(told: Any) -> dict[str, Any] | None:
    return shallow(told) if isinstance(told, dict) else None
