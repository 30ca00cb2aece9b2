"""Models that are real: any OpenAI-compatible endpoint, streamed through as it speaks.

What the model says becomes packets word by word; what it calls is really run, by the tools of the stand-in,
and given back to it, six times at most and the last time without tools (wire reference 1.3). Reasoning comes
as `reasoning_content` or `reasoning`, as servers have it. Nothing is retried here: a test wants to see what
went wrong.
"""

import json
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx

from harness.standin.agent import Call, Turn, run_call
from harness.standin.catalogue import Tool
from harness.standin.draft import Draft
from harness.standin.search import Library
from harness.standin.wire import Beat

CYCLES = 6
SILENCE_S = 60.0

_CODES = {
    400: ("BAD_REQUEST", True),
    401: ("AUTH_ERROR", False),
    403: ("PERMISSION_DENIED", False),
    404: ("NOT_FOUND", False),
    422: ("UNPROCESSABLE_ENTITY", True),
    429: ("RATE_LIMIT", True),
    503: ("SERVICE_UNAVAILABLE", True),
}
"""Error code and hint by the status of the provider; any other is UNKNOWN_ERROR (wire reference 4.2)."""


@dataclass(slots=True)
class _Asked:
    """A tool call as its fragments come in."""

    id: str = ""
    name: str = ""
    arguments: str = ""

    def parsed(self) -> dict[str, Any] | None:
        """The arguments; None where they are no JSON object."""
        with suppress(ValueError):
            found = json.loads(self.arguments or "{}")
            if isinstance(found, dict):
                return found
        return None


@dataclass(slots=True)
class _Said:
    """What one call of the model said so far."""

    text: str = ""
    reasoning: bool = False
    calls: dict[int, _Asked] = field(default_factory=dict)


class ProviderError(Exception):
    """The provider refused, or broke off."""

    def __init__(self, message: str, code: str, *, retryable: bool) -> None:
        self.code, self.retryable = code, retryable
        super().__init__(message)


async def speak(turn: Turn, library: Library, draft: Draft) -> AsyncIterator[Beat]:
    """The beats of one reply as they come, up to but without its stop."""
    endpoint = draft.choice.provider.endpoint
    assert endpoint is not None  # noqa: S101 - only real models are called here
    headers = {"authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}
    async with httpx.AsyncClient(
        base_url=endpoint.base_url.rstrip("/"),
        headers=headers,
        timeout=SILENCE_S,
        verify=_trusted(),
        trust_env=False,  # no proxies
    ) as http:
        try:
            async for beat in _converse(http, turn, library, draft):
                yield beat
        except ProviderError as error:
            said = f"{draft.choice.provider.vendor} error: {error}"
            yield draft.fail(said, error.code, retryable=error.retryable)


@cache
def _trusted() -> ssl.SSLContext:
    """The usual CAs, or those of SSL_CERT_FILE or SSL_CERT_DIR; takes some 20 ms, once."""
    return httpx.create_ssl_context()


async def _converse(
    http: httpx.AsyncClient, turn: Turn, library: Library, draft: Draft
) -> AsyncIterator[Beat]:
    """Model and tools in turn, until the model has said its last."""
    messages = _history(turn)
    for cycle in range(CYCLES):
        tools = turn.tools if cycle < CYCLES - 1 else ()
        forced = turn.forced if cycle == 0 else None
        said = _Said()
        async for beat in _listen(http, _body(messages, tools, forced, draft), said, draft):
            yield beat
        if not said.calls:
            if not said.text:
                raise ProviderError("LLM returned an empty response", "EMPTY_LLM_RESPONSE", retryable=True)
            return
        if not tools:
            break
        messages.append(_as_message(said))
        first_tab = 1 if said.text else 0
        for tab, asked in enumerate(said.calls.values(), first_tab):
            for beat in _run(asked, turn, library, draft, tab=tab):
                yield beat
            result = draft.calls[-1]["tool_result"] if draft.calls else "{}"
            messages.append({"role": "tool", "tool_call_id": asked.id, "content": result})
        draft.turn += 1
        draft.answer = ""
    raise ProviderError(
        "the model did not return a final answer after tool execution", "UNKNOWN_ERROR", retryable=True
    )


def _history(turn: Turn) -> list[dict[str, Any]]:
    system = [turn.persona.system_prompt] if turn.persona.system_prompt else []
    system += [f"The file {name} says:\n{text}" for name, text in turn.attached if text]
    messages: list[dict[str, Any]] = [{"role": "system", "content": "\n\n".join(system)}] if system else []
    messages += [{"role": role, "content": text} for role, text in turn.history]
    return [*messages, {"role": "user", "content": turn.message}]


def _body(
    messages: list[dict[str, Any]], tools: tuple[Tool, ...], forced: Tool | None, draft: Draft
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": draft.choice.model.name,
        "messages": messages,
        "stream": True,
        "temperature": draft.choice.temperature,
    }
    offered = [forced] if forced is not None else list(tools)
    functions = [function for tool in offered for function in _functions(tool)]
    if functions:
        body |= {"tools": functions, "tool_choice": "required" if forced is not None else "auto"}
    return body


def _functions(tool: Tool) -> Iterator[dict[str, Any]]:
    """The functions that a tool is to a model: its operations."""
    lists = {"search": "queries", "web": "queries", "open": "urls"}
    if (name := lists.get(tool.kind)) is not None:
        properties: dict[str, Any] = {name: {"type": "array", "items": {"type": "string"}}}
    else:
        properties = {parameter: {"type": kind} for parameter, kind in tool.parameters}
    schema = {"type": "object", "properties": properties}
    for operation in tool.operations:
        function = {"name": operation, "description": tool.description, "parameters": schema}
        yield {"type": "function", "function": function}


def _as_message(said: _Said) -> dict[str, Any]:
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments or "{}"},
        }
        for call in said.calls.values()
    ]
    return {"role": "assistant", "content": said.text or None, "tool_calls": calls}


async def _listen(
    http: httpx.AsyncClient, body: dict[str, Any], said: _Said, draft: Draft
) -> AsyncIterator[Beat]:
    """One call of the model: its deltas as packets, and in *said*."""
    try:
        async with http.stream("POST", "/chat/completions", json=body) as response:
            if not response.is_success:
                raise _refusal(response.status_code, (await response.aread()).decode(errors="replace"))
            async for delta in _deltas(response):
                for beat in _told(delta, said, draft):
                    yield beat
    except httpx.HTTPError as error:
        said_so = str(error) or type(error).__name__
        raise ProviderError(said_so, "CONNECTION_ERROR", retryable=True) from error
    if said.reasoning and not said.text:
        for beat in _end_reasoning(said, draft):
            yield beat


async def _deltas(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in response.aiter_lines():
        data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
        if not data or data == "[DONE]":
            continue
        try:
            event = json.loads(data)
        except ValueError as error:
            raise ProviderError(f"no JSON in the stream: {data[:80]}", "API_ERROR", retryable=True) from error
        if "error" in event:
            raise ProviderError(str(event["error"])[:300], "API_ERROR", retryable=True)
        for choice in event.get("choices") or ():
            yield choice.get("delta") or {}


def _refusal(status: int, text: str) -> ProviderError:
    code, retryable = _CODES.get(status, ("UNKNOWN_ERROR", True))
    if status == 400 and "context_length" in text:
        code, retryable = "CONTEXT_TOO_LONG", False
    return ProviderError(f"{status}: {text[:300]}", code, retryable=retryable)


def _told(delta: dict[str, Any], said: _Said, draft: Draft) -> Iterator[Beat]:
    thought = delta.get("reasoning_content") or delta.get("reasoning")
    if isinstance(thought, str) and thought and not said.text:
        if not said.reasoning:
            said.reasoning = True
            draft.reasoning.append("")
            yield draft.packet({"type": "reasoning_start"})
        draft.reasoning[-1] += thought
        yield draft.packet({"type": "reasoning_delta", "reasoning": thought})
    piece = delta.get("content")
    if isinstance(piece, str) and piece:
        if not said.text:
            yield from _end_reasoning(said, draft)
            yield draft.begin_text()
        said.text += piece
        draft.answer += piece
        yield draft.packet({"type": "message_delta", "content": piece})
    for fragment in delta.get("tool_calls") or ():
        call = said.calls.setdefault(fragment.get("index", len(said.calls)), _Asked())
        function = fragment.get("function") or {}
        call.id = fragment.get("id") or call.id
        call.name += function.get("name") or ""
        call.arguments += function.get("arguments") or ""


def _end_reasoning(said: _Said, draft: Draft) -> Iterator[Beat]:
    """Reasoning takes a turn of its own."""
    if said.reasoning:
        said.reasoning = False
        yield draft.packet({"type": "reasoning_done"})
        draft.turn += 1


def _run(asked: _Asked, turn: Turn, library: Library, draft: Draft, *, tab: int) -> Iterator[Beat]:
    """A call of the model, run; one of a tool that is not offered is dropped without a packet."""
    tool = next((tool for tool in turn.tools if asked.name in tool.operations), None)
    arguments = asked.parsed()
    if tool is None:
        draft.note(asked.name, arguments or {}, {"error": f"no tool {asked.name!r}"})
    elif arguments is None:
        draft.note(asked.name, {}, {"error": "the arguments are no JSON object"})
        yield draft.packet({"type": "section_end"}, tab=tab)
    else:
        yield from run_call(Call(tool, asked.name, arguments), turn, library, draft, tab=tab)
