"""An OpenAI-compatible server, scripted: the last user message is a JSON list with one entry for each call.

    {"say": ["Hel", "lo"]}                     text in these pieces
    {"think": ["Hm"], "say": [...]}            reasoning before it
    {"call": [["internal_search", "{...}"]]}   tool calls, their arguments in two fragments each
    {"status": 429}                            a refusal
    {"say": ["Hel"], "reset": true}            text, then the connection is reset

A message that is no such list is answered by *says*, if there is one: whoever is asked by the tool, rather
than by the stand-in, is asked in plain words. Whatever is not to be streamed comes as one completion. It has
embeddings too, of whatever it is sent, which count words: alike is what has the same ones.

Requests are kept and can be read back from `bodies`.
"""

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Provider:
    url: str
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)


def deltas(step: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    for thought in step.get("think", ()):
        yield {"reasoning_content": thought}
    for piece in step.get("say", ()):
        yield {"content": piece}
    for index, (name, arguments) in enumerate(step.get("call", ())):
        half = len(arguments) // 2
        first = {
            "index": index,
            "id": f"call_{index}",
            "function": {"name": name, "arguments": arguments[:half]},
        }
        yield {"tool_calls": [first]}
        yield {"tool_calls": [{"index": index, "function": {"arguments": arguments[half:]}}]}


def embedding(text: str) -> list[float]:
    """How often each word comes, at the place of its digest: the same for the same words in any order."""
    vector = [0.0] * 64
    for word in text.casefold().split():
        vector[blake2b(word.encode(), digest_size=1).digest()[0] % 64] += 1.0
    return vector


def embedded(body: dict[str, Any]) -> dict[str, Any]:
    """The answer to `POST /embeddings`; the last text comes first, as a server may have it."""
    texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
    data = [
        {"object": "embedding", "index": index, "embedding": embedding(text)}
        for index, text in enumerate(texts)
    ]
    return {"object": "list", "model": body["model"], "data": data[::-1]}


def completed(step: dict[str, Any]) -> dict[str, Any]:
    """The answer where nothing is to be streamed."""
    message = {"role": "assistant", "content": "".join(step.get("say", ()))}
    return {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }


def step_of(body: dict[str, Any], says: Callable[[str], str] | None) -> dict[str, Any]:
    """What comes next in the script that the last message of the user is."""
    asked = [message["content"] for message in body["messages"] if message["role"] == "user"][-1]
    done = [
        message
        for message in body["messages"]
        if message["role"] == "assistant" and message.get("tool_calls")
    ]
    if says is not None and not asked.startswith("["):
        return {"say": [says(asked)]}
    step: dict[str, Any] = json.loads(asked)[len(done)]
    return step


def send_whole(handler: BaseHTTPRequestHandler, document: dict[str, Any]) -> None:
    content = json.dumps(document).encode()
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def send_streamed(handler: BaseHTTPRequestHandler, step: dict[str, Any]) -> None:
    handler.send_response(200)
    handler.send_header("content-type", "text/event-stream")
    handler.end_headers()
    for delta in deltas(step):
        handler.wfile.write(b"data: " + json.dumps({"choices": [{"delta": delta}]}).encode() + b"\n\n")
        handler.wfile.flush()
    if step.get("reset"):
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
        return
    handler.wfile.write(b"data: [DONE]\n\n")


@contextmanager
def scripted(says: Callable[[str], str] | None = None) -> Iterator[Provider]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            told.bodies.append(body)
            told.keys.append(self.headers["authorization"])
            if self.path.endswith("/embeddings"):
                send_whole(self, embedded(body))
                return
            step = step_of(body, says)
            if "status" in step:
                self.send_error(step["status"], "scripted")
            elif body.get("stream"):
                send_streamed(self, step)
            else:
                send_whole(self, completed(step))

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
            """Nothing: a test's output is its own."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # a reset is asked for
    told = Provider(f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()
