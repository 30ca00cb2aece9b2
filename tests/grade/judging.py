"""A judge and a model of embeddings behind an OpenAI-compatible server of our own, for tests.

It passes an answer that has the words in quotation marks of its criterion, and keeps what it was asked.
"""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class Judging:
    """Where it is, what it was asked and when, and what it answers in place of a verdict."""

    url: str
    questions: list[tuple[int, str]] = field(default_factory=list)
    instead: list[str] = field(default_factory=list)
    status: int = 200


def _section(question: str, name: str) -> str:
    found = re.search(rf"<<<{name} (\w+)\n(.*?)\n{name} \1>>>", question, re.DOTALL)
    return found[2] if found else ""


def verdict(question: str) -> str:
    wanted = re.search(r'"(.*?)"', _section(question, "CRITERION"))
    words = wanted[1] if wanted else "?"
    answers = [_section(question, f"ANSWER-{place}") for place in (1, 2)]
    if _section(question, "TASK") == "choose":
        best = 1 if words in answers[0] else 2 if words in answers[1] else 0
        return json.dumps({"best": best, "evidence": words})
    has = words in _section(question, "ANSWER")
    return json.dumps({"verdict": "pass" if has else "fail", "evidence": words if has else ""})


def embedding(text: str) -> list[float]:
    """How often each vowel is in it: texts with the same words are alike."""
    return [float(text.count(vowel)) for vowel in "aeiou"]


@contextmanager
def judging() -> Iterator[Judging]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self.path.endswith("/embeddings"):
                rows = [{"index": at, "embedding": embedding(text)} for at, text in enumerate(body["input"])]
                self.answer({"data": rows, "model": body["model"]})
                return
            question = body["messages"][-1]["content"]
            told.questions.append((time.perf_counter_ns(), question))
            says = told.instead.pop(0) if told.instead else verdict(question)
            self.answer({"choices": [{"message": {"role": "assistant", "content": says}}]})

        def answer(self, body: dict[str, Any]) -> None:
            content = json.dumps(body if told.status == 200 else {"error": {"message": "no"}}).encode()
            self.send_response(told.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told = Judging(f"http://127.0.0.1:{server.server_port}/v1")
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
