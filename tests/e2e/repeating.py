"""A server that repeats every secret it is told, before a Sigma that does not: relay, proxy and judge."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from tests.replies import IDS, SESSION, START, STOP, packet

HEADERS = ("authorization", "proxy-authorization")


@dataclass
class Relay:
    """*told* are the secrets that were sent to it, as they came, *traces* what a run exported."""

    url: str
    told: set[str] = field(default_factory=set)
    traces: list[bytes] = field(default_factory=list)


def pieces(text: str, size: int = 3) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def reply(secret: str) -> bytes:
    """A reply with *secret* in everything that a reply has, whole and in pieces."""
    half = len(secret) // 2
    document = {"document_id": f"doc {secret}", "semantic_identifier": secret, "blurb": f"see {secret}"}
    lines = [
        *(SESSION, IDS),
        packet("reasoning_start"),
        *(packet("reasoning_delta", reasoning=each) for each in pieces(f"I was told {secret}, hm")),
        packet("custom_tool_start", 1, tool_name="t"),
        packet("custom_tool_args", 1, tool_name="t", tool_args={"key": secret, secret: [secret]}),
        packet("custom_tool_delta", 1, tool_name="t", data={"said": secret}, error=secret),
        packet("search_tool_start", 2, is_internet_search=False),
        packet("search_tool_queries_delta", 2, queries=[secret]),
        packet("search_tool_documents_delta", 2, documents=[document]),
        packet("message_start", 3, final_documents=[document]),
        *(packet("message_delta", 3, content=each) for each in pieces(f"You sent {secret}. Again: ")),
        packet("message_delta", 3, content=secret[:half]),
        packet("custom_tool_start", 4, tool_name="t"),
        packet("section_end", 4),
        packet("message_start", 5),
        packet("message_delta", 5, content=secret[half:]),
        packet("sparkle", 5, unknown={"deep": [{secret: secret}]}),
        f": {secret}",
        f"what is this? {secret}",
        STOP,
    ]
    return "".join(f"{line}\n" for line in lines).encode().replace(b"/", rb"\/")


def torn(secret: str) -> bytes:
    """A reply that breaks off within the secret."""
    half = len(secret) // 2
    lines = [SESSION, IDS, START, *(packet("message_delta", content=each) for each in pieces(secret[:half]))]
    last = packet("message_delta", content=secret[half:])
    return "".join(f"{line}\n" for line in (*lines, last)).encode()[:-9]


PERSON = "jane.doe@example.org"


def of_a_person() -> bytes:
    """An answer with somebody's address in it, in pieces, and in what a tool was given and gave."""
    lines = [
        *(SESSION, IDS),
        packet("custom_tool_start", tool_name="crm"),
        packet("custom_tool_args", tool_name="crm", tool_args={"who": [PERSON], PERSON: 1}),
        packet("custom_tool_delta", tool_name="crm", data=f"<{PERSON}> is known"),
        packet("message_start", 1),
        *(packet("message_delta", 1, content=each) for each in pieces(f"Write to {PERSON} or call.", 4)),
        STOP,
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def refused(secret: str) -> tuple[int, str, bytes]:
    told = {"detail": f"401 of upstream: {secret}", "error_code": "X", "more": {"headers": [secret]}}
    return 403, "application/json", json.dumps(told).encode()


def in_a_page(secret: str) -> tuple[int, str, bytes]:
    page = f"<html><title>no {secret}</title><h1>{secret}</h1>\n<pre>GET / {quote(secret)}</pre></html>"
    return 502, "text/html", page.encode()


def in_a_line(secret: str) -> tuple[int, str, bytes]:
    line = {"error": f"no such key: {secret}", "error_code": "AUTH", "details": {"tried": [secret]}}
    stacked = line | {"stack_trace": f"Traceback ...\n  key={secret!r}", "is_retryable": False}
    return 200, "text/event-stream", "\n".join([SESSION, IDS, json.dumps(stacked), ""]).encode()


def judged(path: str, secret: str, asked: dict[str, Any]) -> tuple[int, str, bytes]:
    """What a judge says, or a model of embeddings; one question in two it refuses."""
    if path.endswith("/embeddings"):
        data = [{"index": index, "embedding": [1.0, 0.5]} for index in range(len(asked["input"]))]
        return 200, "application/json", json.dumps({"data": data, "you": secret}).encode()
    if "rubric: refuse" in json.dumps(asked):
        return 401, "application/json", json.dumps({"error": {"message": f"no key {secret}"}}).encode()
    said = f'[[YES]] by the key {secret} {{"verdict": "pass", "reason": "{secret}"}}'
    told = {"choices": [{"message": {"content": said}, "finish_reason": "stop"}]}
    return 200, "application/json", json.dumps(told).encode()


class _Relaying(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    relay: Relay
    sigma: str

    def answer(self) -> None:
        told = [self.headers[name] for name in HEADERS if name in self.headers]
        self.relay.told.update(told)
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.secret = " and ".join(told)
        parts = urlsplit(self.path)
        if parts.path == "/v1/traces":
            self.relay.traces.append(body)
            self.say(200, "application/x-protobuf", b"")
        elif parts.path.startswith("/v1/"):
            self.say(*judged(parts.path, self.secret, json.loads(body)))
        elif parts.path.endswith("/chat/send-chat-message") and self.asked(json.loads(body)):
            return
        else:
            self.forward(f"{parts.path}?{parts.query}", body)

    def asked(self, body: dict[str, Any]) -> bool:
        """Answer what is ours to answer."""
        self.relay.told.update(headers := [*body.get("mcp_headers", {}).values()])
        self.secret = " and ".join([self.secret, *headers])
        match body.get("message"):
            case "refuse":
                self.say(*refused(self.secret))
            case "move":
                self.say(302, "text/plain", b"", Location=f"/login?key={quote(self.secret)}&or={self.secret}")
            case "page":
                self.say(*in_a_page(self.secret))
            case "line":
                self.say(*in_a_line(self.secret))
            case "repeat":
                self.say(200, f"text/event-stream; by={self.secret}", reply(self.secret))
            case "person":
                self.say(200, "text/event-stream", of_a_person())
            case "torn":
                self.say(200, "text/event-stream", torn(self.secret), cut=True)
            case _:
                return False
        return True

    def forward(self, path: str, body: bytes) -> None:
        kept = {name: value for name, value in self.headers.items() if name.lower() == "content-type"}
        got = httpx.request(self.command, self.sigma + path, content=body, headers=kept, timeout=30)
        content = got.content
        if path.startswith("/chat/get-chat-session/") and got.is_success:
            content = json.dumps({**got.json(), "description": self.secret}).encode()
        self.say(got.status_code, got.headers.get("content-type", "text/plain"), content)

    def say(self, status: int, kind: str, body: bytes, *, cut: bool = False, **headers: str) -> None:
        self.send_response(status, f"So {self.secret}")
        length = len(body) + 100 * cut
        for name, value in {"Content-Type": kind, "X-You": self.secret, **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = cut

    def do_CONNECT(self) -> None:
        told = self.headers.get("proxy-authorization", "")
        self.relay.told.add(told)
        self.secret = told
        self.say(407, "text/html", f"<html><body>no {told} is of no use here: {told}</body></html>".encode())

    do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = answer  # noqa: N815  theirs

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  theirs
        pass


@contextmanager
def relaying(sigma: str) -> Iterator[Relay]:
    """A relay before the Sigma at the URL *sigma*, which is a proxy and a judge as well."""
    relay = Relay("")
    handler = type("Handler", (_Relaying,), {"relay": relay, "sigma": sigma})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        relay.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield relay
        finally:
            server.shutdown()
            thread.join()
