"""Exchange -> where its time went: stretches that follow each other without a hole.

They begin when the exchange was due (else when we took it up), end where its
total ends (else where it broke), and add up to what lies between, to the
nanosecond. One always begins where the request was written, so the ones from
there on add up to the total, and all of them to the response time.

Once packets come, the time up to a packet belongs to the step of that packet:
of what came out of a step we know when, of what went on before it nothing. So
of tools that run in parallel each gets the time that its own packets ended, and
a heartbeat ends nothing. Of models side by side the stream is one.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple, TypeAlias

from harness.result import Exchange
from harness.sigma.chat_packets import (
    ArgumentDelta,
    CallDebug,
    CitationDelta,
    CitationEnd,
    CitationInfo,
    CitationStart,
    MessageDelta,
    MessageStart,
    PlanDelta,
    PlanStart,
    ReasoningDelta,
    ReasoningDone,
    ReasoningStart,
    Stop,
)
from harness.sigma.packets import At, Packet, lines
from harness.sigma.tool_packets import Part, Tool, ToolPacket
from harness.sigma.transcript import ModelReading, Outcome, Transcript, frames_of

Place: TypeAlias = tuple[int, At]
"""A model and where in its share of the reply."""

_Label: TypeAlias = str | int
"""A step, or the number of a block of text: whether that is the answer, only the end tells."""

_STEPS: dict[type, str] = {
    ReasoningStart: "reasoning",
    ReasoningDelta: "reasoning",
    ReasoningDone: "reasoning",
    PlanStart: "plan",
    PlanDelta: "plan",
    Stop: "end",
}
_RENAMED = {"python": Tool.PYTHON.value}
"""Tools under the name that servers of old give them in fragments of arguments."""


class Stretch(NamedTuple):
    """From one stamp to another, and the step that the time between them went to.

    Before the reply `queue` (`retry` where earlier attempts lie in it), `session`, `dns`, `tcp`, `tls` (or
    `connect` where these are not known), `send`; then `first_packet`, and by packets `reasoning`, `plan`,
    `tool <name>`, `narration` (text that is not of the final block), `answer` (that is), `other`, and `end`,
    up to the stop. A reply that was not streamed has `reply`; one that broke ends with `broken`.
    """

    step: str
    began_ns: int
    ended_ns: int


def steps(exchange: Exchange) -> list[Stretch]:
    """The stretches of *exchange* in order; successive ones of a step are one. None of one that never ended.

    No stretch is negative: a stamp before the one that it should follow counts as that one, one after the
    end as the end.
    """
    last, ended_ns = _ending(exchange)
    if ended_ns is None:
        return []
    at = exchange.began_ns if exchange.due_ns is None else exchange.due_ns
    ended_ns = max(at, ended_ns)
    stretches: list[Stretch] = []
    for step, stamp in (*_before_reply(exchange), *_in_reply(exchange), (last, ended_ns)):
        if stamp is not None:
            upto = min(max(at, stamp), ended_ns)
            same = stretches and stretches[-1].step == step
            began_ns = stretches.pop().began_ns if same else at
            stretches.append(Stretch(step, began_ns, upto))
            at = upto
    return stretches


def _ending(exchange: Exchange) -> tuple[str, int | None]:
    """The last step, and when it was over."""
    transcript = exchange.transcript
    if transcript is None:
        return "broken", exchange.ended_ns
    if transcript.packets == 0:
        whole = transcript.outcome in {Outcome.SUCCESS, Outcome.EMPTY}
        return "reply" if whole else "broken", exchange.ended_ns
    stop = _last_stop(transcript)
    if stop is None:
        return "broken", exchange.ended_ns
    stopped_ns = exchange.arrived_at(stop)
    return "end", exchange.ended_ns if stopped_ns is None else stopped_ns


def _last_stop(transcript: Transcript) -> int | None:
    """The offset at which the last model stopped, None where one never did."""
    stops = [share.marks.stop for share in _shares(transcript)]
    known = [stop for stop in stops if stop is not None]
    return max(known) if len(known) == len(stops) else None


def _shares(transcript: Transcript) -> tuple[Transcript | ModelReading, ...]:
    return transcript.models or (transcript,)


def _before_reply(exchange: Exchange) -> Iterator[tuple[str, int | None]]:
    if exchange.due_ns is not None:
        yield "queue" if exchange.attempt == 1 else "retry", exchange.began_ns
    yield "session", exchange.session_ns
    yield "dns", exchange.resolved_ns
    yield "tcp", exchange.tcp_ns
    yield "connect" if exchange.tcp_ns is None else "tls", exchange.connected_ns
    yield "send", exchange.sent_ns


def _in_reply(exchange: Exchange) -> Iterator[tuple[str, int | None]]:
    """The step of each run of packets up to the last stop, and when the last of the run came."""
    transcript = exchange.transcript
    if transcript is None or transcript.packets == 0:
        return
    namer, labels = _Namer.of(transcript), list[tuple[_Label, int]]()
    last = _last_stop(transcript)
    frames = frames_of(exchange.body, exchange.endpoint)
    for line, part in (pair for frame in frames for pair in lines(frame)):
        if isinstance(line, Packet) and line.at is not None and (last is None or part.end <= last):
            labels.append((namer.label(line, line.at, part.end), part.end))
    for _, end in labels[:1]:
        yield "first_packet", exchange.arrived_at(end)
    for label, run in groupby(labels[1:], key=itemgetter(0)):
        *_, (_, end) = run
        yield namer.step(label), exchange.arrived_at(end)


@dataclass(slots=True)
class _Namer:
    """Names the step of one packet after the other, by what came before it at its place.

    *calls* are the tool calls of the transcript by place and offset, of their first packet and of their end;
    *ends* is where pieces of a final answer ended, by model. *here* is the label of the latest step at each
    place, *texts* the latest block of text there, *tools* the name of the latest call of each tool.
    """

    calls: dict[tuple[Place, int], str]
    ends: set[tuple[int, int]]
    here: dict[Place, _Label] = field(default_factory=dict)
    texts: dict[Place, int] = field(default_factory=dict)
    tools: dict[tuple[Place, Tool], str] = field(default_factory=dict)
    blocks: int = 0
    answers: set[_Label] = field(default_factory=set)

    @classmethod
    def of(cls, transcript: Transcript) -> "_Namer":
        """The namer of a reply that came to *transcript*."""
        calls, ends = {}, set()
        for model, share in enumerate(_shares(transcript)):
            ends |= {(model, end) for end in share.marks.answer_ends}
            for call in share.tool_calls:
                for end in (call.ended, call.began):
                    if call.placement is not None and end is not None:
                        calls[(model, call.placement), end] = _tool(call.name)
        return cls(calls, ends)

    def label(self, packet: Packet, at: At, end: int) -> _Label:
        """The label of the packet *at* its place that ended at *end*."""
        place, obj = (packet.model or 0, at), packet.obj
        match obj:
            case ToolPacket():
                label: _Label = self._of_tool(place, obj.part(), end)
            case MessageStart() | MessageDelta():
                label = self._of_text(place, end, opens=isinstance(obj, MessageStart))
            case _ if type(obj) in _STEPS:
                label = _STEPS[type(obj)]
            case CitationInfo() | CitationDelta() | CitationStart() | CitationEnd():
                label = self.here.get(place, "answer")
            case _:
                return self._loose(place, packet, end)
        self.here[place] = label
        return label

    def step(self, label: _Label) -> str:
        """The step that *label* is, now that all packets have been seen."""
        if isinstance(label, str):
            return label
        return "answer" if label in self.answers else "narration"

    def _of_tool(self, place: Place, part: Part, end: int) -> str:
        known = self.calls.get((place, end)) or self.tools.get((place, part.tool))
        name = self.tools[place, part.tool] = known or _tool(part.call_name)
        return name

    def _of_text(self, place: Place, end: int, *, opens: bool) -> int:
        if opens or place not in self.texts:
            self.blocks += 1
            self.texts[place] = self.blocks
        block = self.texts[place]
        if (place[0], end) in self.ends:
            self.answers.add(block)
        return block

    def _loose(self, place: Place, packet: Packet, end: int) -> _Label:
        """A packet that is no step of its own: it belongs to the call it speaks of, or to what is here."""
        match packet.obj:
            case ArgumentDelta(tool_type=tool):
                return self.calls.get((place, end)) or _tool(_RENAMED.get(tool, tool))
            case CallDebug(tool_name=str(name)):
                return _tool(name)
        return self.calls.get((place, end)) or self.here.get(place, "other")


def _tool(name: str | None) -> str:
    return f"tool {name or '?'}"
