"""`search_filters`: what internal searches said they applied, and what they returned.

A search may say which sources and times it applied (`search_tool_filter_delta`, wire 2.5), and every document
that it returns says where it is from, how old it is and how it is tagged. One document outside the filter
proves that it was ignored. That it took effect takes more: every search must show it, by its filter or by
each of its documents. A narrower filter than asked is within it: servers may narrow by themselves.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from harness.audit.finding import Finding, Told, Word, few
from harness.sigma.documents import Applied, FoundDocument, Search

Within = bool | None
"""Whether something is within what was asked; None where it does not show it."""


class _Rule(NamedTuple):
    """One filter: what it asks, whether an applied filter and a document are within, and how to call each."""

    asked: str
    applied: Callable[[Applied], Within]
    document: Callable[[FoundDocument], Within]
    call_applied: Callable[[Applied], str]
    call_document: Callable[[FoundDocument], str]


def filters(asked: Mapping[str, Any], told: Told) -> Iterator[Finding]:
    """A finding for each filter that asks for something."""
    searched = [search for share in told.shares for search in share.searched]
    for name, value in asked.items():
        rule = _rule(name, value) if value else None
        if rule is None:
            continue
        setting = f"search_filters.{name}"
        if searched:
            yield _judged(setting, rule, searched)
        else:
            word = Word.NOT_EXERCISED if told.shows_calls else Word.NOT_SHOWN
            yield Finding(setting, rule.asked, "no internal search", word)


def _judged(setting: str, rule: _Rule, searched: Sequence[Search]) -> Finding:
    outside = [
        rule.call_applied(search.applied)
        for search in searched
        if search.applied is not None and rule.applied(search.applied) is False
    ]
    documents = [document for search in searched for document in search.documents]
    outside += [rule.call_document(each) for each in documents if rule.document(each) is False]
    if outside:
        return Finding(setting, rule.asked, few(outside), Word.IGNORED)
    shown = [_shows(rule, search) for search in searched if search.applied or search.documents]
    if shown and all(shown):
        return Finding(setting, rule.asked, "nothing outside it", Word.TOOK_EFFECT)
    return Finding(setting, rule.asked, "searches that do not show it", Word.NOT_SHOWN)


def _shows(rule: _Rule, search: Search) -> bool:
    if search.applied is not None and rule.applied(search.applied):
        return True
    return bool(search.documents) and all(rule.document(each) for each in search.documents)


def _rule(name: str, value: Any) -> _Rule | None:
    match name:
        case "source_type":
            return _sources([value] if isinstance(value, str) else value)
        case "time_cutoff" if start := _moment(value):
            return _times(start, None)
        case "updated_at_range" if any(bounds := [_moment(value.get(name)) for name in ("start", "end")]):
            return _times(*bounds)
        case "created_at_range":
            return _created(_moment(value.get("start")))
        case "tags":
            return _tags(_pairs(value))
        case _:  # document_set among them: it is nowhere on the wire
            return _Rule(_text(value), _unknown, _unknown, str, str)


def _unknown(_: Applied | FoundDocument) -> None:
    return None


def _sources(asked: Sequence[str]) -> _Rule:
    wanted = {source.casefold() for source in asked}

    def applied(one: Applied) -> Within:
        if one.sources is None:
            return None
        return bool(one.sources) and {source.casefold() for source in one.sources} <= wanted

    def document(one: FoundDocument) -> Within:
        return None if one.source_type is None else one.source_type.casefold() in wanted

    return _Rule(
        _text(asked),
        applied,
        document,
        lambda one: f"a search of {few(one.sources or ()) or 'every source'}",
        lambda one: f"{_called(one)} of {one.source_type}",
    )


def _times(start: datetime | None, end: datetime | None) -> _Rule:
    """A cutoff: *start* alone. A document that was made later was touched later, too."""

    def applied(one: Applied) -> Within:
        bounds: list[Within] = []
        if start is not None:
            bounds.append(_not_before(_moment(one.time_start), start) if one.time_start else False)
        if end is not None:
            bounds.append(_not_before(end, _moment(one.time_end)) if one.time_end else False)
        return False if False in bounds else None if None in bounds else True

    def document(one: FoundDocument) -> Within:
        at = _moment(one.updated_at)
        return None if at is None else (start is None or start <= at) and (end is None or at <= end)

    asked = [f"from {start.isoformat()}" if start else "", f"until {end.isoformat()}" if end else ""]
    return _Rule(
        " ".join(filter(None, asked)),
        applied,
        document,
        lambda one: f"a search from {one.time_start or 'any time'} until {one.time_end or 'now'}",
        lambda one: f"{_called(one)} of {one.updated_at}",
    )


def _not_before(later: datetime | None, earlier: datetime | None) -> Within:
    """Whether *later* is no earlier than *earlier*; None where either is unknown."""
    return None if later is None or earlier is None else later >= earlier


def _created(start: datetime | None) -> _Rule:
    """Documents show when they were last touched: what was touched before *start* was made before it."""

    def document(one: FoundDocument) -> Within:
        at = _moment(one.updated_at)
        return False if at is not None and start is not None and at < start else None

    asked = f"made from {start.isoformat()}" if start else "made at any time"
    return _Rule(asked, _unknown, document, str, lambda one: f"{_called(one)} of {one.updated_at}")


def _tags(asked: Sequence[tuple[str, str]]) -> _Rule:
    """Servers may take tags as alternatives, so one that fits is enough, and outside is what fits none."""

    def document(one: FoundDocument) -> Within:
        held = one.metadata or {}
        if any(key in held and value in _values(held[key]) for key, value in asked):
            return True
        return False if all(key in held for key, _ in asked) else None

    def call(one: FoundDocument) -> str:
        held = one.metadata or {}
        return f"{_called(one)} with " + ", ".join(f"{key}={_text(held[key])}" for key, _ in asked)

    return _Rule(", ".join(f"{key}={value}" for key, value in asked), _unknown, document, str, call)


def _pairs(value: Any) -> list[tuple[str, str]]:
    """The guide has tags as a mapping, onyx as a list of pairs."""
    if isinstance(value, Mapping):
        return [(str(key), str(each)) for key, each in value.items()]
    return [(str(each["tag_key"]), str(each["tag_value"])) for each in value]


def _values(held: Any) -> list[str]:
    return [str(each) for each in (held if isinstance(held, list) else [held])]


def _moment(text: str | None) -> datetime | None:
    """A time as on the wire, UTC where it names no zone; None for none and for what is no time."""
    try:
        at = None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at


def _called(document: FoundDocument) -> str:
    return document.document_id or "a document"


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
