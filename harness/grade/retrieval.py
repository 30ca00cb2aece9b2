"""What was found, and what the answer cites of it (`harness.suite.asserts.retrieval`)."""

import re
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import unquote, urlsplit

from harness.grade.agent import obeyed
from harness.grade.opinion import Opinion, failed, passed, ungraded
from harness.grade.subject import Subject
from harness.sigma.documents import FoundDocument
from harness.suite.asserts.retrieval import Citations, Documents, FiltersObeyed, RetrievalCheck

_NUMBER = re.compile(r"\[\[?(\d{1,4})\]\]?")
_CODE = re.compile(r"```.*?(?:```|$)|`[^`\n]*`", re.DOTALL)


def check(args: RetrievalCheck, subject: Subject) -> Opinion:
    """What a check of documents and citations finds; nothing, where a reply is no whole one."""
    return subject.broken() or _found(args, subject)


def _found(args: RetrievalCheck, subject: Subject) -> Opinion:
    match args:
        case Citations():
            return _first_against(_citations(args, subject), "citations")
        case Documents():
            return _documents(args, documents_of(subject))
        case FiltersObeyed():
            return obeyed(subject, ("search_filters",), "filters")
        case _:
            raise AssertionError(f"unreachable: {type(args).__name__} has no grade")


def documents_of(subject: Subject) -> list[FoundDocument]:
    """The documents that tools returned, each once, in the order of their first appearance."""
    found: dict[str | None, FoundDocument] = {}
    for exchange in subject.exchanges:
        for document in exchange.transcript.found if exchange.transcript is not None else ():
            found.setdefault(document.document_id, document)
    return list(found.values())


def _first_against(opinions: Iterable[Opinion], what: str) -> Opinion:
    """The first that failed, else the first that could not be graded, else all of them."""
    told = list(opinions)
    if len(told) == 1:
        return told[0]
    for worse in (False, None):
        for opinion in told:
            if opinion.passed is worse:
                return opinion
    return passed("; ".join(opinion.reason for opinion in told) or f"nothing was asked of the {what}")


# Citations


def _citations(args: Citations, subject: Subject) -> Iterator[Opinion]:
    cited = _cited(subject)
    bounded = args.min is not None or args.max is not None
    least = args.min if args.min is not None else 0 if args.max is not None else 1
    asked = f"at least {least}" if args.max is None else f"{least} to {args.max}"
    within = least <= len(cited) and (args.max is None or len(cited) <= args.max)
    if bounded or not cited:
        yield Opinion(within, f"{len(cited)} documents are cited; asked for {asked}")
    else:
        yield passed(f"{len(cited)} documents are cited")
    if args.resolves:
        yield _resolved(subject, cited)
    if args.source_type is not None:
        yield _from_sources(subject, cited, args.source_type)
    if args.document_set is not None:
        yield _from_sets(subject, args.document_set)


def _cited(subject: Subject) -> list[str]:
    transcripts = (exchange.transcript for exchange in subject.exchanges)
    cited = (each.document_id for told in transcripts if told is not None for each in told.citations)
    return list(dict.fromkeys(cited))


def _resolved(subject: Subject, cited: Sequence[str]) -> Opinion:
    """Numbers in code are no citations; a number that the reply itself left as text has none."""
    known = {document.document_id for document in documents_of(subject)}
    lost = [document for document in cited if document not in known]
    if lost:
        return failed(f"cited, and returned by no tool: {', '.join(lost)}")
    told = subject.last.transcript
    numbers = {each.number for each in told.citations} if told is not None else set()
    written = {int(number) for number in _NUMBER.findall(_CODE.sub("", subject.answer))}
    without = sorted(written - numbers)
    if without and None not in numbers:
        return failed(f"in the text, and of no document: {', '.join(f'[{number}]' for number in without)}")
    return passed("every citation is of a document that a tool returned")


def _from_sources(subject: Subject, cited: Sequence[str], sources: Sequence[str]) -> Opinion:
    wanted = {source.casefold() for source in sources}
    by_id = {document.document_id: document.source_type for document in documents_of(subject)}
    unknown = [document for document in cited if by_id.get(document) is None]
    other = [
        each for each in cited if (source := by_id.get(each)) is not None and source.casefold() not in wanted
    ]
    if other:
        return failed(f"{other[0]} is from {by_id[other[0]]}; wanted: {', '.join(sources)}")
    if unknown:
        return ungraded(f"where {unknown[0]} is from is not on the wire")
    return passed(f"all from {', '.join(sources)}")


def _from_sets(subject: Subject, sets: Sequence[str]) -> Opinion:
    wanted = set(sets)
    for exchange in subject.exchanges:
        asked = (
            exchange.request.get("internal_search_filters") or exchange.request.get("search_filters") or {}
        )
        named = asked.get("document_set") or []
        if not named or not set(named) <= wanted:
            return ungraded(
                "a reply does not show the set of a document: ask with search_filters.document_set of "
                f"{', '.join(sets)}, and it can be no other"
            )
    return passed(f"searched in {', '.join(sets)} only, as asked")


# Documents


def _documents(args: Documents, found: Sequence[FoundDocument]) -> Opinion:
    return _first_against(_parts(args, found), "documents")


def _parts(args: Documents, found: Sequence[FoundDocument]) -> Iterator[Opinion]:
    if args.min is not None or args.max is not None:
        asked = f"at least {args.min}" if args.max is None else f"{args.min or 0} to {args.max}"
        within = (args.min or 0) <= len(found) and (args.max is None or len(found) <= args.max)
        yield Opinion(within, f"{len(found)} documents; asked for {asked}")
    for name in args.contains:
        yield _contains(name, found, args.within)
    for k, least in args.recall.items():
        here = [name for name in args.relevant if _place(name, found[:k]) is not None]
        score = len(here) / len(args.relevant)
        told = f"recall@{k} {score:.3f}, {least:g} is wanted: {len(here)} of {len(args.relevant)}"
        yield Opinion(score >= least, f"{told}; {_list(found)}", score)
    if args.mrr is not None:
        places = [place for name in args.relevant if (place := _place(name, found)) is not None]
        score = 1 / min(places) if places else 0.0
        yield Opinion(score >= args.mrr, f"MRR {score:.3f}, {args.mrr:g} is wanted; {_list(found)}", score)


def _contains(name: str, found: Sequence[FoundDocument], within: int | None) -> Opinion:
    place = _place(name, found)
    asked = f"; wanted among the first {within}" if within else ""
    if place is None:
        return failed(f"{name} was not returned; {_list(found)}")
    told = f"{name} is number {place} of {len(found)}{asked}"
    return Opinion(within is None or place <= within, told)


def _place(name: str, found: Sequence[FoundDocument]) -> int | None:
    """The place of the first document called *name*, from 1 on."""
    return next((at for at, document in enumerate(found, 1) if _is_called(document, name)), None)


def _is_called(document: FoundDocument, name: str) -> bool:
    wanted = name.casefold()
    link = document.link or ""
    last = unquote(urlsplit(link).path.rstrip("/").rpartition("/")[2]) if link else ""
    names = (document.document_id, document.name, link, last)
    return any(each is not None and each.casefold() == wanted for each in names)


def _list(found: Sequence[FoundDocument]) -> str:
    names = [str(document.name or document.document_id) for document in found[:5]]
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    return f"returned: {', '.join(names) or 'nothing'}{more}"
