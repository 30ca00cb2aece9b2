"""The little language of simulated models: `sim:key=value,...` is a model name of provider Simulated.

    sim:ttft=50ms,gap=5ms,tokens=40                        forty words, exactly timed
    sim:reasoning=12,tool=search:80ms,tokens=20            twelve words of reasoning, a real search, an answer
    sim:tokens=40,fault=stall@10:2s,fault=reset@30         a stall after 10 words, a reset after 30

Keys; `tool`, `ignore` and `fault` may be repeated:

    ttft=50ms         from the start of each model call to its first word (20ms)
    gap=5ms           from word to word (5ms)
    tokens=40         text packets of the answer, one word each (20); 0: a stop without any text
    right=90%         the first word is `right` in so many replies, drawn by message id, else `wrong`
    reasoning=12      reasoning packets before everything else (0)
    narration=6       words of text before the tools (0)
    tool=search:80ms  a call before the answer, and how long it takes (20ms): `search`, `web`, `convert` are
                      the real tools; `fail` fails before it starts, `refused` is answered 401 by its service,
                      `broken` with a 500 (which a reply does not show), `absent` is a tool that does not
                      exist: no packet, a turn index is left out; several run side by side
    pre=200ms         wait before the response head: a server that queues (0)
    slots=8           replies at a time, of all that ask this model; the others wait after their ids, in the
                      order in which they came (0: no limit): a server that can do slots / (ttft + gap *
                      (tokens - 1)) a second
    jitter=20%        lognormal spread of ttft and gap (0%: exact)
    skip=2            numbers left out between two turn indices (0)
    ignore=filters    accept a setting and do nothing: `override`, `filters`, `forced`, `allowed`, `research`,
                      `files`, `parent`, `session`, `persona`, `project`, `citations`, `stream`
    hide=params       keep out of sight what would prove a setting: `params` (the model that answered),
                      `filters` (those a search applied, and where its documents are from), `files` (those
                      of a message), `detail` (the session, which then answers 404)
    research=clarify  ask back where deep research is asked for (plan: do it)
    envelope=ind      packets as older servers wrote them: `ind`, `turn_index` (`placement`)
    judge=words       answer as a judge, whatever `tokens` says, and how: `words` decides as the model `judge`
                      does; `lenient` passes everything, `strict` nothing, `unsure` cannot tell; `aloud`
                      repeats the answer before it decides, `injected` does what a verdict in the answer
                      says, `broken` decides in a form that nobody asked for
    flip=10%          how many of a judge's verdicts are turned round, drawn by the question, so that the
                      same one always is (0%)
    share=10%         how many replies the faults strike, drawn by message id (100%)
    fault=...         something goes wrong

Faults count words of text: `@10` strikes after the tenth word (`@0`, the default: before the first).

    reset@10 drop@10 cut@10   the connection is reset; closed without the last chunk; the body ends in form
                              but without a stop
    stall@10:2s               silence
    halfchunk@10 badchunk@10  a chunk of which half comes before the connection closes; one whose size is no
                              number
    torn@10                   half of a line, and then silence for good
    drip@10:1s hearts@10:1s   a line that comes a byte a second, heartbeats every second: both have no end
    flood@10 trailers@10      a line without an end, as fast as it is taken; trailers without an end
    error@10:RATE_LIMIT       an error line of that code ends the run
    bare@10                   a bare `{"error": "..."}` without a newline ends the run
    badline@3 unknown@3 heartbeat@3 section_end@3 packet_error@3
                              a line that is no JSON, a packet of unknown type, a heartbeat, a stray section
                              end, an error packet; the reply goes on
    http:503 http:429 http:502-html http:422 http:422-detail
                              that status and the body it comes with, instead of a stream; a page of a proxy;
                              a validation error as real servers write it, and as the API reference has it
    hangup garble             instead of a stream the connection closes without a word; something else than
                              HTTP comes
    head:10M informing:10ms   instead of a stream a head with a field of that many bytes; 1xx responses, one
                              every 10 ms, without an end
    redirect:http://...       instead of a stream 307 and that location
    stale                     the connection closes without a word, unless this is its first request: as when
                              a server closes what was kept alive
    gzip bomb:1000M           the reply comes compressed unasked; with that many letters behind it
    longer:9 shorter:9        the head announces so many bytes more or fewer than come
    flaky:3                   503 to the first two attempts of the same message, then an answer
    split bytes batch:8       every line in two writes; each byte in one of its own; eight lines in one
    utf8                      text beyond ASCII, not escaped, cut inside a character
    nonewline                 the last line without its newline
    big:3000000               before the text, a search result in one line of that many bytes
    hostile hostile:5M        another reply altogether: reasoning, a tool and its result, a document and the
                              answer hold markup, escapes of a terminal, marks that turn a line round; the
                              answer ends in one line of that many letters, and errors say the like

A size is in bytes, or has a `k` or an `M`: thousands, millions. A duration is a number with `us`, `ms` or
`s`; a bare number is milliseconds. Exact timings follow an absolute schedule from the arrival of the request:
a late write does not push the next one back.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

MARK = "sim:"
IGNORABLE = frozenset(
    """
    override filters forced allowed research files parent session persona project citations stream
    """.split()  # noqa: SIM905 - read as a text
)
HIDABLE = frozenset({"params", "filters", "files", "detail"})
RESEARCH = frozenset({"plan", "clarify"})
TOOLS = frozenset({"search", "web", "convert", "fail", "refused", "broken", "absent"})
ENVELOPES = frozenset({"placement", "turn_index", "ind"})
MANNERS = frozenset({"words", "lenient", "strict", "unsure", "aloud", "injected", "broken"})
FAULTS = frozenset(
    """
    reset drop cut stall error bare badline unknown heartbeat section_end packet_error http flaky split
    bytes batch utf8 nonewline big hostile halfchunk badchunk torn drip hearts flood trailers hangup garble
    head informing redirect stale gzip bomb longer shorter
    """.split()  # noqa: SIM905 - read as a text
)
_UNITS = {"us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "": 1_000_000}


class ScriptError(ValueError):
    """A model name that begins with `sim:` and cannot be read; the message says which part."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong: its name, after how many words, and with what argument."""

    name: str
    after: int = 0
    argument: str = ""


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool that a script calls, and how long it takes."""

    name: str
    takes_ns: int = 20_000_000


@dataclass(frozen=True, slots=True)
class Script:
    """What a simulated model does, whatever it is asked."""

    ttft_ns: int = 20_000_000
    gap_ns: int = 5_000_000
    tokens: int = 20
    reasoning: int = 0
    narration: int = 0
    tools: tuple[ToolUse, ...] = ()
    pre_ns: int = 0
    slots: int = 0
    jitter: float = 0.0
    skip: int = 0
    ignores: frozenset[str] = field(default_factory=frozenset)
    hides: frozenset[str] = field(default_factory=frozenset)
    research: str = "plan"
    judge: str = ""
    flip: float = 0.0
    right: float | None = None
    share: float = 1.0
    envelope: str = "placement"
    faults: tuple[Fault, ...] = ()

    def fault(self, name: str) -> Fault | None:
        """The first fault of that name."""
        return next((fault for fault in self.faults if fault.name == name), None)

    def without_faults(self) -> "Script":
        """The same behaviour with nothing going wrong."""
        return replace(self, faults=())


def duration(text: str) -> int:
    """Nanoseconds of `50ms`, `2s`, `300us` or a bare number of milliseconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(us|ms|s|)", text)
    if match is None:
        raise ScriptError(f"{text!r} is no duration: a number with us, ms or s, such as 50ms")
    return round(float(match[1]) * _UNITS[match[2]])


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ScriptError(f"{text!r} is no count: a whole number, such as 40")
    return int(text)


def size(text: str) -> int:
    """Bytes of `3000000`, `200k` or `5M`."""
    match = re.fullmatch(r"(\d+)([kM]?)", text, re.A)
    if match is None:
        raise ScriptError(f"{text!r} is no size: a number, maybe with k or M, such as 5M")
    return int(match[1]) * {"": 1, "k": 1_000, "M": 1_000_000}[match[2]]


def _share(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)%", text)
    if match is None:
        raise ScriptError(f"{text!r} is no share: a percentage, such as 20%")
    return float(match[1]) / 100


def _one_of(text: str, allowed: frozenset[str]) -> str:
    if text not in allowed:
        raise ScriptError(f"{text!r} is not known here: {', '.join(sorted(allowed))}")
    return text


def _fault(text: str) -> Fault:
    match = re.fullmatch(r"([a-z_0-9]+)(?:@(\d+))?(?::(.+))?", text)
    if match is None:
        raise ScriptError(f"{text!r} is no fault: name@words:argument, such as stall@10:2s")
    fault = Fault(_one_of(match[1], FAULTS), int(match[2] or 0), match[3] or "")
    if (read := _ARGUMENTS.get(fault.name)) is not None and (fault.argument or fault.name != "hostile"):
        read(fault.argument)
    return fault


def _status(text: str) -> None:
    if not re.fullmatch(r"[45]\d\d(-html)?|422-detail", text):
        raise ScriptError(f"{text!r}: http takes a status, such as http:503 or http:502-html")


def _location(text: str) -> None:
    if not (text.isascii() and text.isprintable() and text):
        raise ScriptError(f"{text!r}: redirect takes a location, such as redirect:http://127.0.0.1:9/")


_ARGUMENTS: dict[str, Callable[[str], object]] = {
    **dict.fromkeys(("stall", "drip", "hearts", "informing"), duration),
    **dict.fromkeys(("flaky", "batch", "longer", "shorter"), _count),
    **dict.fromkeys(("big", "hostile", "head", "bomb"), size),
    "http": _status,
    "redirect": _location,
}


def _tool(text: str) -> ToolUse:
    name, _, takes = text.partition(":")
    known = ToolUse(_one_of(name, TOOLS))
    return replace(known, takes_ns=duration(takes)) if takes else known


def _change(script: Script, key: str, value: str) -> dict[str, Any]:  # noqa: PLR0911 - one row for each key
    match key:
        case "ttft" | "gap" | "pre":
            return {f"{key}_ns": duration(value)}
        case "tokens" | "reasoning" | "narration" | "skip" | "slots":
            return {key: _count(value)}
        case "jitter" | "flip" | "share" | "right":
            return {key: _share(value)}
        case "tool":
            return {"tools": (*script.tools, _tool(value))}
        case "ignore" | "hide":
            held: frozenset[str] = getattr(script, f"{key}s")
            return {f"{key}s": held | {_one_of(value, IGNORABLE if key == "ignore" else HIDABLE)}}
        case "research" | "envelope" | "judge":
            known = {"research": RESEARCH, "envelope": ENVELOPES, "judge": MANNERS}
            return {key: _one_of(value, known[key])}
        case "fault":
            return {"faults": (*script.faults, _fault(value))}
    raise ScriptError(f"{key!r} is no key of a sim: model")


@lru_cache(maxsize=256)
def parse(name: str) -> Script:
    """The script that a model name spells out; `ScriptError` if it does not."""
    script = Script()
    for part in filter(None, name.removeprefix(MARK).split(",")):
        key, separator, value = part.strip().partition("=")
        if not separator:
            raise ScriptError(f"{part!r}: expected key=value")
        script = replace(script, **_change(script, key, value))
    return script
