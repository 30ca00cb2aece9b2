"""What a `sim:` model does: reasoning, narration, tools and text as its script says, whatever is asked.

Its tools are the real ones. Its words are filler, the same for the same question, or those of a judge.
"""

from collections.abc import Callable, Iterator
from functools import partial
from random import Random

from harness.standin import hostile
from harness.standin.agent import Call, Turn, call_of, execute, misses, run_custom
from harness.standin.catalogue import CALENDAR, CONVERT, SEARCH, WEB
from harness.standin.draft import Draft
from harness.standin.judge import judgement
from harness.standin.search import Library
from harness.standin.simulate import Script, ToolUse, size
from harness.standin.wire import Beat, interleave

_WORDS = """
    amber basin cedar delta ember fjord grove haven islet juniper kelp lagoon meadow north ochre pine
    """.split()  # noqa: SIM905 - read as a text
_BEYOND_ASCII = ("naïve", "smörgås", "東京", "🙂", "façade", "Ærø", "a\u2028b", "žluť")
_TOOLS = {"search": SEARCH, "web": WEB, "convert": CONVERT, "refused": CALENDAR, "broken": CALENDAR}
_REFUSAL = {
    "is_auth_error": True,
    "status_code": 401,
    "message": "days_between action failed because of authentication error",
}


def filler(count: int, seed: str, *, unicode: bool = False) -> str:
    """*count* words with single spaces between them; the same for the same *seed*."""
    draw = Random(seed)  # noqa: S311 - filler
    known = _BEYOND_ASCII if unicode else _WORDS
    return " ".join(draw.choice(known) for _ in range(count))


def _taking(beats: Iterator[Beat], takes_ns: int) -> Iterator[Beat]:
    """A tool's packets with its one wait replaced."""
    return (beat._replace(wait=takes_ns) if beat.wait else beat for beat in beats)


def _use(use: ToolUse, turn: Turn, library: Library, draft: Draft, *, tab: int) -> Iterator[Beat]:
    match use.name:
        case "absent":
            return
        case "fail":
            yield draft.packet({"type": "section_end"}, tab=tab, wait=use.takes_ns)
            return
        case "refused":
            call = Call(CALENDAR, "days_between", {})
            beats = run_custom(draft, call, {"error": "no"}, tab, error=_REFUSAL)
        case "broken":
            beats = run_custom(draft, Call(CALENDAR, "days_between", {}), "upstream exploded", tab)
        case _:
            call = call_of(_TOOLS[use.name], turn)
            if use.name == "convert" and not call.arguments:
                call = Call(CONVERT, CONVERT.name, {"value": 5.0, "from": "km", "to": "mi"})
            _, beats = execute(call, turn, library, draft, tab=tab)
    yield from _taking(beats, use.takes_ns)


def _big(draft: Draft, library: Library, size: int) -> Iterator[Beat]:
    """A search whose only document makes a line of more than *size* bytes."""
    document = library.search(["atlas"])[0].as_json() | {"blurb": "x" * size}
    yield draft.packet({"type": "search_tool_start", "is_internet_search": False})
    yield draft.packet({"type": "search_tool_documents_delta", "documents": [document]})
    yield draft.packet({"type": "section_end"})
    draft.turn += 1


def _tools(script: Script, turn: Turn, library: Library, draft: Draft) -> list[Iterator[Beat]]:
    """The packets of each tool call, less those that are not allowed; a forced tool comes first."""
    tab = 1 if script.narration else 0
    streams = []
    if turn.forced is not None:
        streams.append(execute(call_of(turn.forced, turn), turn, library, draft, tab=tab)[1])
    for use in script.tools:
        if use.name not in _TOOLS or _TOOLS[use.name] in turn.tools:
            streams.append(_use(use, turn, library, draft, tab=tab + len(streams)))
    return streams


def _said(script: Script, turn: Turn, words: Callable[[int], str]) -> str:
    """Filler, of which the first word says whether it is right where the script wants some wrong."""
    if script.right is None:
        return words(script.tokens)
    first = "wrong" if misses(turn.seed, 1 - script.right) else "right"
    return f"{first} {words(script.tokens - 1)}" if script.tokens > 1 else first


def perform(script: Script, turn: Turn, library: Library, draft: Draft) -> Iterator[Beat]:
    """The beats of one scripted reply, up to but without its stop."""
    if attack := script.fault("hostile"):
        return hostile.reply(draft, library, size(attack.argument or "0"))
    return _filled(script, turn, library, draft)


def _filled(script: Script, turn: Turn, library: Library, draft: Draft) -> Iterator[Beat]:
    words = partial(filler, seed=turn.message, unicode=script.fault("utf8") is not None)
    if script.reasoning:
        yield from draft.think(words(script.reasoning))
        draft.turn += script.skip
    if script.narration:
        yield from draft.say([words(script.narration)])
    streams = _tools(script, turn, library, draft)
    if len(streams) > 1:
        yield draft.packet({"type": "top_level_branching", "num_parallel_branches": len(streams)})
    yield from interleave(*streams)
    if streams or script.narration:
        draft.turn += 1 + script.skip
        draft.answer = ""
    if big := script.fault("big"):
        yield from _big(draft, library, size(big.argument))
    if script.judge:
        yield from draft.say([judgement(turn.message, script.judge, flip=script.flip)])
    elif script.tokens:
        yield from draft.say([_said(script, turn, words)])
