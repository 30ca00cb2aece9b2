"""What a stream may look like: the grammar of wire 2.10, and of JSON documents beside a sample of theirs.

Both say what is wrong in sentences, an empty list where nothing is. They are written from the reference and
use no code of the product, so that they can judge recordings and the stand-in alike.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

BLOCKS = {
    "reasoning_start": {"reasoning_delta"},
    "deep_research_plan_start": {"deep_research_plan_delta"},
    "search_tool_start": {
        "search_tool_filter_delta",
        "search_tool_queries_delta",
        "search_tool_documents_delta",
    },
    "open_url_start": {"open_url_urls", "open_url_documents"},
    "image_generation_start": {"image_generation_heartbeat", "image_generation_final"},
    "python_tool_start": {"python_tool_delta"},
    "custom_tool_start": {"custom_tool_args", "custom_tool_delta"},
    "file_reader_start": {"file_reader_result"},
    "memory_tool_start": {"memory_tool_delta", "memory_tool_no_access"},
    "coding_agent_start": {"coding_agent_thinking_delta", "coding_agent_final"},
    "bash_tool_start": {"bash_tool_delta"},
    "research_agent_start": {
        "intermediate_report_start",
        "intermediate_report_delta",
        "intermediate_report_cited_docs",
    },
}
"""The packets that may stand between the start of a block and its end."""

TEXT = {"message_start", "message_delta", "citation_info"}
ENDS = {"reasoning_done", "section_end"}
LOOSE = {"tool_call_argument_delta", "top_level_branching", "tool_call_debug"}
"""Packets that belong to a step and to no block; their place is not that of the call (wire 2.4)."""


def documents(body: bytes) -> list[Any]:
    """The JSON documents of a stream in either framing; what is none is left out."""
    read = []
    for line in body.decode("utf-8", "replace").split("\n"):
        try:
            read.append(json.loads(line.removeprefix("data: ").strip()))
        except ValueError:
            continue
    return read


@dataclass(slots=True)
class Run:
    """One model's part of a stream so far. *open* has the block that is open at each placement."""

    turn: int = -1
    ended: str | None = None
    open: dict[tuple[int, int, int | None], str] = field(default_factory=dict)
    last: str = ""

    def take(self, kind: str, at: tuple[int, int, int | None]) -> Iterator[str]:
        """One packet of the model."""
        if self.ended is not None:
            yield f"{kind} after the {self.ended} of its model"
        if at[0] < self.turn:
            yield f"{kind}: turn {at[0]} after turn {self.turn}"
        self.turn = max(self.turn, at[0])
        if kind not in LOOSE:
            yield from self._place(kind, at, self.open.get(at))
            self.last = kind

    def _place(self, kind: str, at: tuple[int, int, int | None], block: str | None) -> Iterator[str]:
        where = f"{kind} at {at}"
        if kind == "stop":
            yield from self._stop(where)
        elif kind in BLOCKS or kind == "message_start":
            if block not in {None, "message_start"}:
                yield f"{where}: {block} is still open"
            self.open[at] = kind
        elif kind in TEXT:
            yield from self._text(where, kind, block)
        elif kind in ENDS:
            if (block == "reasoning_start") != (kind == "reasoning_done"):
                yield f"{where}: no end of {block}"
            self.open.pop(at, None)  # a section_end alone is a call that failed before it started
        elif kind != "error" and kind not in BLOCKS.get(block or "", set()):
            yield f"{where}: not inside {block}"

    def _text(self, where: str, kind: str, block: str | None) -> Iterator[str]:
        if block != "message_start":
            yield f"{where}: not inside a text"
        if self.last == "citation_info" and kind != "message_delta":
            yield f"{where}: a citation is not followed by its text"

    def _stop(self, where: str) -> Iterator[str]:
        left = [block for block in self.open.values() if block != "message_start"]
        if left:
            yield f"{where}: {left[0]} is still open"
        if self.last not in TEXT:
            yield f"{where}: the last packet before it is {self.last or 'none'}, no text"
        self.ended = "stop"


def wrongs_of_stream(lines: list[Any], *, whole: bool = True) -> list[str]:
    """What in the lines of a stream is against wire 2.10; not *whole*: it may break off anywhere."""
    return list(_stream(lines, whole=whole))


def _stream(lines: list[Any], *, whole: bool) -> Iterator[str]:
    rest = list(lines)
    if rest and "chat_session_id" in rest[0]:
        rest.pop(0)
    runs: dict[int, Run] = {}
    if rest and ("reserved_assistant_message_id" in rest[0] or "responses" in rest[0]):
        runs = {model: Run() for model, _ in enumerate(rest.pop(0).get("responses", [None]))}
    for number, line in enumerate(rest, 1):
        yield from _line(line, runs, last=number == len(rest))
    if whole and any(run.ended is None for run in runs.values()):
        yield "a model has neither stop nor error"
    if not runs and not any("error" in line for line in rest):
        yield "neither ids nor an error"


def _line(line: dict[str, Any], runs: dict[int, Run], *, last: bool) -> Iterator[str]:
    if "obj" not in line:
        if "error" in line:
            yield from _failed(line, runs)
        else:
            yield f"a line of ids, of a session or of no known kind in mid-stream: {sorted(line)}"
    elif line["obj"]["type"] == "stop" and line["placement"]["model_index"] is None:
        if line["obj"]["stop_reason"] != "user_cancelled" or line["placement"]["turn_index"] != 0 or not last:
            yield "a stop without a model that is no user_cancelled at turn 0 in the last line"
        for run in runs.values():
            run.ended = run.ended or "cancel"
    else:
        yield from _packet(line, runs)


def _failed(line: dict[str, Any], runs: dict[int, Run]) -> Iterator[str]:
    model = (line.get("details") or {}).get("model_index")
    if len(runs) > 1 and model is None:
        yield "an error among several models says not whose"
    for number, run in runs.items():
        if model in {None, number}:
            if run.ended is not None:
                yield f"an error after the {run.ended} of its model"
            run.ended = "error"


def _packet(line: dict[str, Any], runs: dict[int, Run]) -> Iterator[str]:
    kind, placed = line["obj"]["type"], line["placement"]
    model = placed["model_index"]
    if kind == "chat_heartbeat":
        if model is not None:
            yield "a heartbeat of a model"
    elif model not in runs:
        yield f"{kind} of model {model}, which no ids line names"
    else:
        at = (placed["turn_index"], placed.get("tab_index", 0), placed.get("sub_turn_index"))
        yield from runs[model].take(kind, at)


FREE = frozenset(
    """
    definition metadata permissions tool_arguments tool_args data citations sent_kwargs
    """.split()  # noqa: SIM905 - read as a text
)
"""Objects whose keys are data: nothing in them is compared."""


def unlike(sample: Any, ours: Any, where: str = "$") -> list[str]:
    """Where *ours* has not the keys and JSON types of *sample*.

    A list is judged by its first element, if both have one, but that of messages by each: they begin with the
    root. Null goes with anything.
    """
    if sample is None or ours is None:
        return []
    if _type(sample) != _type(ours):
        return [f"{where}: {_type(ours)}, recorded as {_type(sample)}"]
    if isinstance(sample, list):
        pairs = list(zip(sample, ours, strict=False))[: None if where.endswith(".messages") else 1]
        return [wrong for at, pair in enumerate(pairs) for wrong in unlike(*pair, where=f"{where}[{at}]")]
    if not isinstance(sample, dict):
        return []
    missing = [f"{where}.{key}: missing" for key in sample.keys() - ours.keys()]
    extra = [f"{where}.{key}: not recorded" for key in ours.keys() - sample.keys()]
    inner = [
        wrong
        for key in sample.keys() & ours.keys() - FREE
        for wrong in unlike(sample[key], ours[key], f"{where}.{key}")
    ]
    return sorted(missing + extra + inner)


def _type(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"
