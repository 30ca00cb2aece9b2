"""Deep research: a plan, two agents side by side, a report; or a question back, if there is little to go on.

The packets follow wire reference 2.7: the plan is a section of its own, the agents are tabs of one turn,
their searches are nested in them by `sub_turn_index`, their reports keep plain `[n]` markers, the final
report cites.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from harness.standin.agent import Call, Turn, query_words, run_search
from harness.standin.catalogue import SEARCH, WEB
from harness.standin.draft import Draft, Piece
from harness.standin.search import NO_FILTERS, Hit, Library, best_sentences, words
from harness.standin.wire import Beat, interleave

ENOUGH_WORDS = 4
"""A question with fewer content words is asked back about."""

CLARIFY = "Which aspects matter to you, and over which period should I look?"
_SPLIT = re.compile(r"\s+(?:and|versus|vs\.?|with|against|or)\s+", re.I)
_OF = re.compile(r"\s+(?:in|of|for|on|at)\s+")
_THAT = re.compile(r"^(?:that|those)\b")  # "X in the EU with that in the US": that is X
_VERB = re.compile(
    r"^(please\s+)?(compare|research|investigate|summari[sz]e|analy[sz]e|describe|explain)\s+", re.I
)


def too_vague(turn: Turn) -> bool:
    """Whether research begins with a question back; not twice in a row."""
    return not turn.clarified and len(words(" ".join((*turn.before, turn.message)))) < ENOUGH_WORDS


def tasks(question: str) -> tuple[str, str]:
    """The two tasks that a question is divided into."""
    bare = _VERB.sub("", question.strip().rstrip(".?!"))
    left, *right = _SPLIT.split(bare, maxsplit=1)
    if right:
        topic = _THAT.sub(_OF.split(left, maxsplit=1)[0], right[0])
        return f"Find out about {left}.", f"Find out about {topic}."
    return f"Find the facts about {bare}.", f"Find exceptions and changes about {bare}."


def _plan(draft: Draft, steps: Sequence[str]) -> Iterator[Beat]:
    yield draft.packet({"type": "deep_research_plan_start"}, wait=draft.pace.first())
    for number, step in enumerate(steps, 1):
        end = "\n" if number < len(steps) else ""
        for word in re.findall(r"\S+\s*", f"{number}. {step}{end}"):
            yield draft.packet({"type": "deep_research_plan_delta", "content": word}, wait=draft.pace.gap())
    yield draft.packet({"type": "section_end"})


def _agent(draft: Draft, turn: Turn, hits: Sequence[Hit], tab: int) -> Iterator[Beat]:
    """One agent: a nested search (if it has a tool for it) and a report."""
    yield draft.packet(
        {"type": "research_agent_start", "research_task": turn.message}, tab=tab, wait=draft.pace.first()
    )
    sub = 0
    if draft.choice.model.reasons:
        yield from draft.think(f"My task: {turn.message} I search first.", tab=tab, sub=sub)
        sub += 1
    if turn.tools:
        call = Call(turn.tools[0], turn.tools[0].name, {"queries": [turn.message]})
        yield from run_search(draft, call, turn.filters, hits, tab=tab, sub=sub)
    yield draft.packet({"type": "intermediate_report_start"}, tab=tab, wait=draft.pace.first())
    lines = [
        f"{' '.join(best_sentences(hit.document, query_words(turn), 2))} [{number}]"
        for number, hit in enumerate(hits, 1)
    ]
    report = " ".join(lines) or "Nothing was found about this."
    for word in re.findall(r"\S+\s*", report):
        yield draft.packet(
            {"type": "intermediate_report_delta", "content": word}, tab=tab, wait=draft.pace.gap()
        )
    cited = [hit.as_json() for hit in hits]
    yield draft.packet({"type": "intermediate_report_cited_docs", "cited_docs": cited}, tab=tab)
    yield draft.packet({"type": "section_end"}, tab=tab)
    draft.calls.append(
        {
            "tool_name": "research_agent",
            "tool_arguments": {"research_task": turn.message},
            "tool_result": report,
            "search_docs": None,
            "generated_images": None,
            "pre_reasoning": None,
        }
    )


def _report(question: str, found: Sequence[tuple[Turn, Sequence[Hit]]]) -> list[Piece]:
    pieces: list[Piece] = [f"Report on: {question.strip().rstrip('.?!')}.\n\n"]
    for turn, hits in found:
        topic = turn.message.removeprefix("Find out about ").removeprefix("Find the ").rstrip(".")
        pieces.append(f"{topic[:1].upper()}{topic[1:]}: ")
        if not hits:
            pieces.append("nothing was found. ")
        for hit in hits:
            sentences = " ".join(best_sentences(hit.document, query_words(turn), 2))
            pieces += [sentences.rstrip("."), hit, ". "]
    return pieces


def research(turn: Turn, library: Library, draft: Draft) -> Iterator[Beat]:
    """The beats of a deep-research reply, up to but without its stop."""
    script = draft.choice.model.script
    if too_vague(turn) or (script is not None and script.research == "clarify"):
        yield from draft.say([CLARIFY])
        return
    if draft.choice.model.reasons:
        yield from draft.think("I should split the question into two tasks and run them side by side.")
    question = " ".join((turn.before[-1], turn.message)) if turn.clarified and turn.before else turn.message
    searches = tuple(tool for tool in turn.tools if tool in (SEARCH, WEB))
    both = [
        replace(turn, message=task, before=(), tools=tuple(sorted(searches, key=lambda tool: tool is WEB)))
        for task in tasks(question)
    ]
    yield from _plan(draft, [task.message for task in both] + ["Write a report of both."])
    draft.turn += 1
    draft.searched = True
    found = [(task, _look_up(task, library)) for task in both]
    yield draft.packet({"type": "top_level_branching", "num_parallel_branches": len(both)})
    yield from interleave(*(_agent(draft, task, hits, tab) for tab, (task, hits) in enumerate(found)))
    draft.turn += 1
    yield from draft.say(_report(question, found))


def _look_up(task: Turn, library: Library) -> list[Hit]:
    if not task.tools:
        return []
    web = task.tools[0] is WEB
    hits = library.search(query_words(task), NO_FILTERS if web else task.filters, internet=web)
    return [hit for hit in hits[:2] if hit.score > 0.7 * hits[0].score]
