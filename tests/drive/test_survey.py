"""A look around, and one question: also where it is cut short, nothing is left behind."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import perf_counter_ns

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from harness.drive.preflight import address_of
from harness.drive.survey import TRIPS, Seen, put, survey
from harness.suite.bare import suite_at
from tests.conftest import Standin

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("dialect", ["sigma", "onyx"])
@pytest.mark.parametrize("cut_after_s", [0.001, 0.03])
async def test_a_question_that_is_cut_short_leaves_no_conversation_behind(
    dialect: str, cut_after_s: float, request: pytest.FixtureRequest
) -> None:
    target: Standin = request.getfixturevalue(dialect)
    before = target.get("/chat/get-user-chat-sessions")["sessions"]
    suite = suite_at(target.url)
    async with address_of(suite, None) as given:
        seen = await survey(suite, given)
        with anyio.move_on_after(cut_after_s) as cut:
            await put(seen, "What is the capital of France?", perf_counter_ns)
    assert cut.cancelled_caught
    assert target.get("/chat/get-user-chat-sessions")["sessions"] == before


Answer = Callable[[bytes], tuple[bytes, int]]
"""What is answered on a path, and how many bytes more are promised and never come."""


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[str]:
    """The URL of a server that answers so."""

    async def serve(stream: SocketStream) -> None:
        async with stream:
            body, missing = answer((await stream.receive()).split()[1])
            head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
            await stream.send(f"{head}Content-Length: {len(body) + missing}\r\n\r\n".encode() + body)
            if missing:
                await anyio.sleep_forever()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        yield f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"  # noqa: S610 - no query
        tasks.cancel_scope.cancel()


WELL = {b"/health": b'{"success": true}', b"/me": b'{"email": "a@b.c"}'}


async def looked_at(url: str) -> Seen:
    suite = suite_at(url)
    async with address_of(suite, None) as given:
        return await survey(suite, given)


async def test_a_list_that_is_nested_too_deep_to_be_read_is_one_that_is_not_to_be_had() -> None:
    async with answering(lambda path: (WELL.get(path, b"[" * 100_000), 0)) as url:
        seen = await looked_at(url)
    assert seen.catalogue.tools is None
    assert seen.catalogue.refused["/tool"] == "GET /tool answered with something that is no such list"


@pytest.mark.slow
async def test_a_server_that_comes_to_hang_is_waited_for_once_and_not_once_for_each_round_trip(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("harness.drive.survey._CALL_S", 1.0)
    asked: list[bytes] = []

    def answer(path: bytes) -> tuple[bytes, int]:
        asked.append(path)
        return WELL.get(path, b"{}"), int(asked.count(b"/health") > 3)

    async with answering(answer) as url:
        seen = await looked_at(url)
    assert asked.count(b"/health") <= 4
    assert len(seen.trips_ns) < TRIPS
