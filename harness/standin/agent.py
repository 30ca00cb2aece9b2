"""The agent: from a question to the beats of a reply.

The policy stands in for a model's choice of tools and is simple enough to predict in a test:

* a forced tool is called first, and alone;
* what an attached file answers is answered from it, without a tool;
* a quantity with two units calls `unit_convert`, two dates or "days after" the `Calendar`, a link opens that
  page, "on the web" or "online" searches the web and then opens the best page;
* otherwise internal search runs when at least half of the question's content words occur in the documents;
* calls of one step run side by side; what is not allowed is not called.

The answer is extracted from what was found: the sentences that share most with the question, each with its
citation. Nothing found is said to be nothing found. A follow-up ("Same, but for Entra ID") is searched for
with the words of the questions before it, later words counting more.
"""

import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from harness.standin import knowledge, tools
from harness.standin.catalogue import CALENDAR, CONVERT, OPEN, WEB, Persona, Tool
from harness.standin.draft import Draft, Piece
from harness.standin.search import (
    NO_FILTERS,
    Filters,
    Hit,
    Library,
    attached_document,
    best_sentences,
    stem,
    words,
)
from harness.standin.wire import Beat, interleave

_FOLLOW_UP = re.compile(r"^(same|and\b|now\b|also\b|but\b|what about|how about|only\b|then\b|more\b)", re.I)
_URL = re.compile(r"https?://[^\s)>\"']+")
_ONLINE = re.compile(r"\b(on|search) the (web|internet)\b|\bonline\b|\bweb search\b", re.I)


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and everything that bears on its answer.

    *before* are the earlier questions, oldest first; *attached* are name and text of the files that go along,
    *history* is who said what before.
    """

    message: str
    persona: Persona
    tools: tuple[Tool, ...]
    before: tuple[str, ...] = ()
    forced: Tool | None = None
    filters: Filters = NO_FILTERS
    deep_research: bool = False
    clarified: bool = False
    attached: tuple[tuple[str, str], ...] = ()
    history: tuple[tuple[str, str], ...] = ()
    seed: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call that the model decided on."""

    tool: Tool
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """What a call brought: documents, or a sentence to say."""

    hits: tuple[Hit, ...] = ()
    fact: str = ""
    fruitless: bool = False


def _follows_up(message: str) -> bool:
    return bool(_FOLLOW_UP.match(message)) or len(words(message)) < 3


def _asked(turn: Turn) -> list[str]:
    """The questions that belong together, latest first: back to the first that is no follow-up."""
    together = []
    for message in (turn.message, *reversed(turn.before[-3:])):
        together.append(message)
        if not _follows_up(message):
            break
    return together


def query_words(turn: Turn) -> list[str]:
    """The words to search for; in a follow-up, the later a word was said the more often it is in the list."""
    asked = _asked(turn)
    return [word for age, said in enumerate(asked) for word in words(said) * (len(asked) - age) ** 2]


def call_of(tool: Tool, turn: Turn) -> Call:
    """The call of a given tool, with the arguments that the question has for it."""
    match tool.kind:
        case "search" | "web":
            return Call(tool, tool.name, {"queries": [" ".join(reversed(_asked(turn)))]})
        case "open":
            return Call(tool, tool.name, {"urls": _URL.findall(turn.message)})
    if tool is CALENDAR:
        name, arguments = tools.dates_in(turn.message) or ("days_between", {})
        return Call(tool, name, arguments)
    return Call(tool, tool.name, tools.conversion_in(turn.message) or {})


def _suits(tool: Tool, turn: Turn, library: Library) -> bool:
    """Whether the policy calls this tool for this question."""
    if tool is CONVERT:
        return tools.conversion_in(turn.message) is not None
    if tool is CALENDAR:
        return tools.dates_in(turn.message) is not None
    if tool is OPEN:
        return bool(_URL.search(turn.message))
    online = bool(_ONLINE.search(turn.message))
    if tool is WEB:
        return online
    if online or knowledge.known(turn.message) is not None:
        return False
    custom = any(_suits(other, turn, library) for other in turn.tools if other.kind == "custom")
    wanted = tools.beyond(turn.message) if custom else query_words(turn)
    known = [word for word in wanted if library.knows(word)]
    return len(known) * 2 >= len(wanted) > 0


def decide(turn: Turn, library: Library) -> list[Call]:
    """The calls of the first step, in order of tabs."""
    if turn.forced is not None:
        return [call_of(turn.forced, turn)]
    if in_files(turn) is not None:
        return []
    return [call_of(tool, turn) for tool in turn.tools if _suits(tool, turn, library)]


def _results(hits: Sequence[Hit]) -> dict[str, Any]:
    return {
        "results": [
            {
                "document": number,
                "title": hit.document.title,
                "url": hit.document.link,
                "content": hit.document.text,
            }
            for number, hit in enumerate(hits, 1)
        ]
    }


def run_search(
    draft: Draft, call: Call, filters: Filters, hits: Sequence[Hit], *, tab: int = 0, sub: int | None = None
) -> Iterator[Beat]:
    """The packets of one search, internal or on the web, that found *hits*."""
    web = call.tool is WEB
    yield draft.packet({"type": "search_tool_start", "is_internet_search": web}, tab=tab, sub=sub)
    if not web and filters.any() and "filters" not in draft.hides:
        start, end = filters.times()
        shown = {
            "type": "search_tool_filter_delta",
            "sources": list(filters.sources),
            "time_filter_start": start.isoformat() if start else None,
            "time_filter_end": end.isoformat() if end else None,
        }
        yield draft.packet(shown, tab=tab, sub=sub)
    yield draft.packet(
        {"type": "search_tool_queries_delta", "queries": call.arguments["queries"]}, tab=tab, sub=sub
    )
    wait = draft.pace.tool()
    if hits:
        documents = [draft.shown(hit) for hit in hits]
        yield draft.packet(
            {"type": "search_tool_documents_delta", "documents": documents}, tab=tab, sub=sub, wait=wait
        )
        wait = 0
    yield draft.packet({"type": "section_end"}, tab=tab, sub=sub, wait=wait)
    draft.searched = True
    draft.keep(hits)
    draft.note(call.name, call.arguments, _results(hits), hits)


def _run_open(draft: Draft, call: Call, hits: Sequence[Hit], tab: int) -> Iterator[Beat]:
    yield draft.packet({"type": "open_url_start"}, tab=tab)
    yield draft.packet({"type": "open_url_urls", "urls": call.arguments["urls"]}, tab=tab)
    wait = draft.pace.tool()
    if hits:
        documents = [draft.shown(hit) for hit in hits]
        yield draft.packet({"type": "open_url_documents", "documents": documents}, tab=tab, wait=wait)
        wait = 0
    yield draft.packet({"type": "section_end"}, tab=tab, wait=wait)
    draft.searched = True
    draft.keep(hits)
    draft.note(call.name, call.arguments, _results(hits) if hits else {"error": "no such page"}, hits)


def run_custom(
    draft: Draft, call: Call, result: dict[str, Any] | str, tab: int, *, error: dict[str, Any] | None = None
) -> Iterator[Beat]:
    """The packets of one custom call, whose service answered with a JSON object or with a text.

    *error* is for a refusal of its service (401, 403), the only failure that a reply shows (wire 2.5).
    """
    named = {"tool_name": call.name, "tool_id": call.tool.id}
    yield draft.packet({"type": "custom_tool_start", **named}, tab=tab)
    if call.arguments:
        arguments = {"type": "custom_tool_args", "tool_name": call.name, "tool_args": call.arguments}
        yield draft.packet(arguments, tab=tab)
    kind = "text" if isinstance(result, str) else "json"
    answer = {"response_type": kind, "data": result, "file_ids": None, "error": error}
    yield draft.packet({"type": "custom_tool_delta", **named, **answer}, tab=tab, wait=draft.pace.tool())
    yield draft.packet({"type": "section_end"}, tab=tab)
    shown = {"tool_name": call.name, "response_type": kind, "tool_result": result, "error": error}
    draft.note(call.name, call.arguments, shown)


def execute(
    call: Call, turn: Turn, library: Library, draft: Draft, *, tab: int
) -> tuple[Found, Iterator[Beat]]:
    """Run a call: what it found, and the packets that show it."""
    match call.tool.kind:
        case "search" | "web":
            web = call.tool is WEB
            hits = library.search(query_words(turn), NO_FILTERS if web else turn.filters, internet=web)
            return Found(tuple(hits), fruitless=not hits), run_search(
                draft, call, turn.filters, hits, tab=tab
            )
        case "open":
            pages = [page for url in call.arguments["urls"] if (page := library.page(url)) is not None]
            opened = [Hit(page, 1.0) for page in pages]
            return Found(tuple(opened), fruitless=not opened), _run_open(draft, call, opened, tab)
    result = tools.call(call.name, call.arguments)
    fact = tools.sentence(call.name, call.arguments, result)
    return Found(fact=fact), run_custom(draft, call, result, tab)


def run_call(call: Call, turn: Turn, library: Library, draft: Draft, *, tab: int) -> Iterator[Beat]:
    """The packets of a call with the arguments that a real model gave it."""
    arguments = call.arguments
    match call.tool.kind:
        case "search" | "web":
            web = call.tool is WEB
            queries = [str(each) for each in arguments.get("queries") or ()]
            wanted = words(" ".join(queries))
            hits = library.search(wanted, NO_FILTERS if web else turn.filters, internet=web)
            asked = Call(call.tool, call.name, {"queries": queries})
            yield from run_search(draft, asked, turn.filters, hits, tab=tab)
        case "open":
            urls = [str(each) for each in arguments.get("urls") or ()]
            pages = [page for url in urls if (page := library.page(url)) is not None]
            yield from _run_open(
                draft, Call(call.tool, call.name, {"urls": urls}), [Hit(page, 1.0) for page in pages], tab
            )
        case _:
            yield from run_custom(draft, call, tools.call(call.name, arguments), tab)


def _run_step(
    calls: Sequence[Call], turn: Turn, library: Library, draft: Draft
) -> Generator[Beat, None, list[Found]]:
    """The calls of one step side by side; what each found is returned at the end."""
    first_tab = 1 if draft.choice.model.narrates and draft.answer else 0
    if len(calls) > 1:
        yield draft.packet({"type": "top_level_branching", "num_parallel_branches": len(calls)})
    ran = [execute(call, turn, library, draft, tab=first_tab + at) for at, call in enumerate(calls)]
    yield from interleave(*(beats for _, beats in ran))
    draft.turn += 1
    return [found for found, _ in ran]


def _following(calls: Sequence[Call], found: Sequence[Found], turn: Turn) -> list[Call]:
    """The calls of the second step: the best page of a web search is opened."""
    if turn.forced is not None or OPEN not in turn.tools:
        return []
    for call, got in zip(calls, found, strict=True):
        if call.tool is WEB and got.hits:
            return [Call(OPEN, OPEN.name, {"urls": [got.hits[0].document.link]})]
    return []


def _reasons_for(calls: Sequence[Call], turn: Turn) -> str:
    asked = f"The question is: {turn.message.strip()[:80]}"
    if not calls:
        return f"{asked} I need no tool for it and can answer at once."
    names = " and ".join(call.name for call in calls)
    return f"{asked} I should use {names} and then answer from what it gives."


def _narration(calls: Sequence[Call]) -> str:
    if any(call.tool.kind in {"search", "web"} for call in calls):
        return "Let me look that up. "
    return "Let me work that out. "


_LEADS = ("According to {title}: ", "{title} says: ", "As {title} has it: ")


def _quoted(hit: Hit, wanted: Sequence[str], count: int) -> list[Piece]:
    """The best sentences of a document, cited at the end."""
    text = " ".join(best_sentences(hit.document, wanted, count))
    return [text.rstrip("."), hit, ". "]


def compose(found: Sequence[Found], turn: Turn, draft: Draft, temperature: float) -> list[Piece]:
    """The words of the answer, in the manner of the model."""
    facts: list[Piece] = [f"{got.fact} " for got in found if got.fact]
    hits = list({hit.document.id: hit for got in found for hit in got.hits}.values())
    wanted = query_words(turn)
    greeting: list[Piece] = [turn.persona.greeting] if turn.persona.greeting else []
    if not hits:
        if any(got.fruitless for got in found):
            facts.append("I found nothing about that in the documents I was allowed to search. ")
        return greeting + facts or [_unaided(turn)]
    pieces = greeting + facts
    match draft.choice.model.style:
        case "terse":
            pieces += _quoted(hits[0], wanted, 1)
        case "full":
            lead = Random(turn.seed).choice(_LEADS) if temperature > 0 else _LEADS[0]  # noqa: S311  an answer, no secret
            pieces += [lead.format(title=hits[0].document.title), *_quoted(hits[0], wanted, 2)]
            if len(hits) > 1 and hits[1].score > 0.7 * hits[0].score:
                pieces += [f"See also {hits[1].document.title}: ", *_quoted(hits[1], wanted, 1)]
        case "list":
            for hit in hits[:3]:
                pieces += ["\n- ", *_quoted(hit, wanted, 1)]
    return pieces


def misses(seed: str, share: float) -> bool:
    """Whether this reply is one of the *share* that miss the question."""
    return share > 0 and Random(f"{seed}/misses").random() < share  # noqa: S311  an answer, no secret


def in_files(turn: Turn) -> str | None:
    """What an attached file says about the question: its best sentence, if it has half of the words asked."""
    wanted = query_words(turn)
    for name, text in turn.attached:
        document = attached_document(name, text)
        (best,) = best_sentences(document, wanted, 1) if text.strip() else ("",)
        inside = {stem(word) for word in words(best)}
        if wanted and sum(stem(word) in inside for word in wanted) * 2 >= len(wanted):
            return f"{name} says: {best.strip()}"
    return None


def _unaided(turn: Turn) -> str:
    if (read := in_files(turn)) is not None:
        return read
    answer = knowledge.known(turn.message)
    if answer is not None:
        return answer
    if turn.tools:
        return "I do not know that, and none of my tools would help."
    return "I do not know that, and I have no tools to look it up."


def answer(turn: Turn, library: Library, draft: Draft) -> Iterator[Beat]:
    """The beats of one reply, up to but without its stop."""
    model = draft.choice.model
    calls = decide(turn, library)
    found: list[Found] = []
    if model.reasons:
        yield from draft.think(_reasons_for(calls, turn))
    if calls and model.narrates:
        yield from draft.say([_narration(calls)])
    while calls:
        step = yield from _run_step(calls, turn, library, draft)
        calls = _following(calls, step, turn)
        found += step
        draft.answer = ""
        if model.reasons and not calls:
            yield from draft.think("I have what I need. Now I write the answer.")
    if misses(turn.seed, model.wrong):
        yield from draft.say(["I looked into it, and I cannot say for certain. "])
    else:
        yield from draft.say(compose(found, turn, draft, draft.choice.temperature))
