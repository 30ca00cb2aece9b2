"""An OpenAI-compatible server, scripted: the last user message is a JSON list with one entry for each call.

    {"say": ["Hel", "lo"]}                     text in these pieces
    {"think": ["Hm"], "say": [...]}            reasoning before it
    {"call": [["internal_search", "{...}"]]}   tool calls, their arguments in two fragments each
    {"status": 429}                            a refusal
    {"say": ["Hel"], "reset": true}            text, then the connection is reset

Requests are kept and can be read back from `bodies`.
"""

import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
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


@contextmanager
def scripted() -> Iterator[Provider]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            told.bodies.append(body)
            told.keys.append(self.headers["authorization"])
            asked = [message["content"] for message in body["messages"] if message["role"] == "user"][-1]
            done = [
                message
                for message in body["messages"]
                if message["role"] == "assistant" and message.get("tool_calls")
            ]
            step = json.loads(asked)[len(done)]
            if "status" in step:
                self.send_error(step["status"], "scripted")
                return
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            for delta in deltas(step):
                self.wfile.write(b"data: " + json.dumps({"choices": [{"delta": delta}]}).encode() + b"\n\n")
                self.wfile.flush()
            if step.get("reset"):
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                return
            self.wfile.write(b"data: [DONE]\n\n")

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
