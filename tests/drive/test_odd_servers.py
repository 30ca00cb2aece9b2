"""One trial against servers that answer as no Sigma should; a function answers in place of a network."""

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from harness.drive.attempt import Running, attempt
from harness.drive.connection import NotHttpError
from harness.result import Fault, Result, Step
from harness.sigma.client import Address, Client
from tests.drive.test_attempt import trial

pytestmark = pytest.mark.anyio

Answer = Callable[[httpx.Request], httpx.Response]


class Told(httpx.AsyncBaseTransport):
    """A transport that has *answer* answer, and notes the reply on the tape at once."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = self._answer(request)
        if (tape := request.extensions.get("tape")) is not None:
            now = time.perf_counter_ns()
            tape.sent_ns = tape.headers_ns = now
            tape.keep(response.content, now, now)
        # Made anew, since one whose content is known counts as read.
        stream = httpx.ByteStream(response.content)
        return httpx.Response(response.status_code, headers=response.headers, stream=stream)


async def tried(answer: Answer, dialect: str = "sigma", **of_trial: Any) -> Result:
    async with Client(Address("http://sigma", dialect), Told(answer)) as client:
        return await attempt(Running(trial(**of_trial)), client, time.perf_counter_ns)


def asked(request: httpx.Request) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(request.content)
    return body


async def test_a_conversation_whose_session_is_not_named_breaks_instead_of_starting_over() -> None:
    sent: list[str] = []

    def bare(request: httpx.Request) -> httpx.Response:
        sent.append(asked(request)["message"])
        return httpx.Response(200, json="the complete response as a string")

    one = await tried(bare, turns=("first", "second", "third"), extra="  stream: false")
    assert sent == ["first"]
    assert [exchange.turn_id for exchange in one.exchanges] == ["1", "2"]
    assert one.exchanges[0].failure is None
    assert one.failure is not None
    assert (one.failure.fault, one.failure.step) == (Fault.PROTOCOL, Step.SESSION)
    assert "chat_session_id" in one.failure.detail


async def test_an_answer_that_is_not_streamed_may_be_silent_for_longer_than_a_stream() -> None:
    silences: dict[bool, float | None] = {}

    def note(request: httpx.Request) -> httpx.Response:
        silences[asked(request)["stream"]] = request.extensions["timeout"]["read"]
        return httpx.Response(200, json={"answer": "yes", "message_id": 1})

    await tried(note, extra="  stream: false")
    await tried(note)
    assert silences == {False: None, True: 60.0}


@pytest.mark.parametrize(
    "page", [b"<html>welcome</html>", b"[]", b"{}", b'{"chat_session_id": 7}', b"\xff"], ids=repr
)
async def test_a_session_that_is_answered_with_something_else_is_a_fault_of_the_server(page: bytes) -> None:
    one = await tried(lambda _: httpx.Response(200, content=page), "onyx")
    assert one.failure is not None
    assert (one.failure.fault, one.failure.step) == (Fault.PROTOCOL, Step.SESSION)
    assert one.exchanges[0].sent_ns is None


async def test_a_session_refused_for_a_day_is_not_asked_for_again() -> None:
    full = httpx.Response(429, headers={"retry-after": "86400"}, json={"detail": "no tokens left"})
    one = await tried(lambda _: full, "onyx")
    assert [exchange.failure and exchange.failure.retry_after_s for exchange in one.exchanges] == [86400]


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (httpx.RemoteProtocolError("the server closed the connection before any answer"), Fault.DISCONNECTED),
        (httpx.ReadError("reset"), Fault.DISCONNECTED),
        (NotHttpError("this is not HTTP/1.1"), Fault.PROTOCOL),
        (httpx.DecodingError("not gzip"), Fault.PROTOCOL),
    ],
)
async def test_a_close_is_a_disconnect_and_what_cannot_be_read_a_breach_of_protocol(
    error: httpx.RequestError, fault: Fault
) -> None:
    def broken(_: httpx.Request) -> httpx.Response:
        raise error

    one = await tried(broken)
    assert [exchange.failure and exchange.failure.fault for exchange in one.exchanges] == [fault]


@pytest.mark.parametrize(("research", "times"), [(False, 2), (True, 1)])
async def test_a_deep_research_that_may_be_under_way_is_not_asked_for_twice(
    research: bool, times: int
) -> None:
    def broken(_: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("reset")

    again = f"  retry: {{attempts: 2, for: [reset]}}\n  deep_research: {json.dumps(research)}"
    one = await tried(broken, extra=again + "\nbudget: {deep_research: 1}")
    assert len(one.exchanges) == times


async def test_a_request_that_the_transport_sent_twice_is_on_record() -> None:
    def second(request: httpx.Request) -> httpx.Response:
        request.extensions["tape"].resent = True
        return httpx.Response(200, json={"answer": "yes", "message_id": 1})

    one = await tried(second)
    assert [exchange.resent for exchange in one.exchanges] == [True]


async def test_a_redirect_is_no_cut_off_stream_but_says_where_it_points() -> None:
    def moved(_: httpx.Request) -> httpx.Response:
        return httpx.Response(308, headers={"location": "https://sigma.example.com/"})

    one = await tried(moved)
    assert one.failure is not None
    assert (one.failure.fault, one.failure.step, one.failure.http_status) == (Fault.HTTP, Step.HEADERS, 308)
    assert "https://sigma.example.com/" in one.failure.detail
