"""A stand-in in a process of its own, one for each dialect, and a small client to talk to it.

The client uses no code of the product, so that the stand-in is judged from outside.
"""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, settings

from tests import bounds

# The machine is shared: how long an example took says nothing.
settings.register_profile(
    "shared", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("shared")


@pytest.hookimpl(trylast=True)  # once there is what writes to the terminal
def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(bounds)
    # A shell has what it puts into the background ignore Ctrl-C, and that is inherited by what tests start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files with the most slow tests come first, so that no process is left with one at the end."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@dataclass(slots=True)
class Reply:
    """A streamed reply, line by line."""

    status: int
    content_type: str
    text: str
    lines: list[dict[str, Any]] = field(default_factory=list)

    @property
    def packets(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if "obj" in line]

    @property
    def kinds(self) -> list[str]:
        return [packet["obj"]["type"] for packet in self.packets]

    @property
    def session_id(self) -> str:
        return str(self.lines[0]["chat_session_id"])

    @property
    def user_id(self) -> int:
        return int(self._ids()["user_message_id"])

    @property
    def assistant_id(self) -> int:
        return int(self._ids()["reserved_assistant_message_id"])

    @property
    def error(self) -> dict[str, Any]:
        return next(line for line in self.lines if "error" in line)

    def _ids(self) -> dict[str, Any]:
        return next(line for line in self.lines if "reserved_assistant_message_id" in line)

    def objects(self, kind: str) -> list[dict[str, Any]]:
        return [packet["obj"] for packet in self.packets if packet["obj"]["type"] == kind]

    def answer(self) -> str:
        """The text of the last block."""
        last = max(at for at, kind in enumerate(self.kinds) if kind == "message_start")
        return "".join(packet["obj"].get("content", "") for packet in self.packets[last:])

    def found(self) -> list[str]:
        """The ids of all documents that searches gave."""
        return [
            doc["document_id"]
            for obj in self.objects("search_tool_documents_delta")
            for doc in obj["documents"]
        ]


@dataclass(frozen=True, slots=True)
class Standin:
    """A running stand-in."""

    url: str
    pid: int
    http: httpx.Client

    def ask(self, message: str, model: str | None = None, **fields: Any) -> Reply:
        """Send a message and read the whole stream."""
        answer = self.post(request(message, model, **fields))
        reply = Reply(answer.status_code, answer.headers["content-type"], answer.text)
        if "event-stream" in reply.content_type:
            texts = (line.removeprefix("data: ") for line in answer.text.split("\n") if line.strip())
            reply.lines = [json.loads(text) for text in texts]
        return reply

    def whole(self, message: str, model: str | None = None, **fields: Any) -> dict[str, Any]:
        """Send a message with `stream: false`; the answer must be a 200."""
        answer = self.post(request(message, model, stream=False, **fields))
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def post(
        self, body: dict[str, Any], path: str = "/chat/send-chat-message", **headers: str
    ) -> httpx.Response:
        return self.http.post(path, json=body, headers=headers)

    def get(self, path: str) -> Any:
        answer = self.http.get(path)
        answer.raise_for_status()
        return answer.json()

    def session(self, reply: Reply) -> dict[str, Any]:
        """The detail of the session that a reply opened."""
        detail: dict[str, Any] = self.get(f"/chat/get-chat-session/{reply.session_id}")
        return detail


def request(message: str, model: str | None = None, **fields: Any) -> dict[str, Any]:
    """The body of a message, to a model of provider Simulated if one is named."""
    chosen = {"llm_override": {"model_provider": "Simulated", "model_version": model}} if model else {}
    return {"message": message, **chosen, **fields}


@contextmanager
def serving(*options: str, **environment: str) -> Iterator[Standin]:
    """A stand-in started with these options of `harness serve`; ended by its process id."""
    command = [sys.executable, "-m", "harness", "serve", "--port", "0", "--with-parent", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | environment)
    assert process.stdout is not None
    try:
        ready = process.stdout.readline().split()
        assert ready[:1] == ["ready"], f"no ready line but {ready}"
        with httpx.Client(base_url=ready[1], timeout=20) as http:
            yield Standin(ready[1], process.pid, http)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(10)
        process.stdout.close()


Serving = Callable[..., AbstractContextManager[Standin]]


@pytest.fixture(name="serving", scope="session")
def _serving() -> Serving:
    """Starts further stand-ins, for tests that need one of their own."""
    return serving


@pytest.fixture(scope="session")
def sigma() -> Iterator[Standin]:
    """A stand-in that speaks as the guide says."""
    with serving("--dialect", "sigma") as standin:
        yield standin


@pytest.fixture(scope="session")
def onyx() -> Iterator[Standin]:
    """A stand-in that speaks as real servers do."""
    with serving("--dialect", "onyx") as standin:
        yield standin


@contextmanager
def stream_source() -> Iterator[str]:
    """A source of known times (`harness.calibrate.source`); its URL."""
    command = [sys.executable, "-m", "harness.calibrate.source"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[1]
        finally:
            process.kill()


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The event loop of the product."""
    return "asyncio", {"use_uvloop": True}
