"""A look around, and one question: also where it is cut short, nothing is left behind."""

from time import perf_counter_ns

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from harness.drive.preflight import address_of
from harness.drive.survey import put, survey
from harness.suite.target import suite_at
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


async def test_a_list_that_is_nested_too_deep_to_be_read_is_one_that_is_not_to_be_had() -> None:
    async def answer(stream: SocketStream) -> None:
        async with stream:
            path = (await stream.receive()).split()[1]
            body = {b"/health": b'{"success": true}', b"/me": b'{"email": "a@b.c"}'}.get(path, b"[" * 100_000)
            head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
            await stream.send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    suite = suite_at(f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}")  # noqa: S610 - anyio's, no query
    async with listener, anyio.create_task_group() as tasks, address_of(suite, None) as given:
        tasks.start_soon(listener.serve, answer)
        seen = await survey(suite, given)
        tasks.cancel_scope.cancel()
    assert seen.catalogue.tools is None
    assert seen.catalogue.refused["/tool"] == "GET /tool answered with something that is no such list"
