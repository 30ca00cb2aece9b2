"""Every recorded reply of a chat endpoint, as it comes to the product: over a socket, in an exchange.

A server of this test answers a turn with the recording, in the chunks in which it was recorded. What is read
of it is what `readings.json` says; what went wrong is a fault of a closed set.
"""

from pathlib import Path
from time import perf_counter_ns
from typing import Any

import pytest

from harness.drive.attempt import Running, attempt
from harness.drive.transport import transports
from harness.plan.trials import make_plan
from harness.result import Exchange, Fault, Step
from harness.sigma.client import Address, Client
from harness.sigma.transcript import reading
from harness.suite.read import parse_suite
from tests.wire.recorded import READINGS
from tests.wire.replay import replaying

pytestmark = pytest.mark.anyio

SESSION = "cj-create-chat-session"
MADE = "15799f74-ee1d-4c7f-9180-61e3023f7daa"
SUITE = """
suite: s
target: standin
prompts: [{message: hi, retry: {attempts: 1}}]
"""


async def exchanged(name: str) -> Exchange:
    """The exchange in which a turn was answered with that recording."""
    (trial,) = make_plan(parse_suite(SUITE, Path("s.yaml"), {})).trials
    with replaying(SESSION, instead={"POST /chat/send-chat-message": name}) as url:
        async with Client(Address(url, "onyx"), transports(url)()) as client:
            (exchange,) = (await attempt(Running(trial), client, perf_counter_ns)).exchanges
    return exchange


def fault_of(wanted: dict[str, Any]) -> Fault | None:
    """The fault of a reading, by the table of states in the design: a reply that is empty is none."""
    outcomes = {wanted["outcome"], *(model["outcome"] for model in wanted.get("models", ()))}
    if wanted["http_status"] >= 400:
        return Fault.HTTP
    if "error" in outcomes:
        return Fault.ERROR_LINE
    if "truncated" in outcomes:
        return Fault.TRUNCATED
    return Fault.PROTOCOL if wanted["bad_lines"] else None  # what stood there may have been the answer


@pytest.mark.parametrize("name", READINGS)
async def test_an_exchange_brings_what_was_recorded(name: str) -> None:
    wanted = READINGS[name]
    exchange = await exchanged(name)
    assert exchange.http_status == wanted["http_status"]
    assert exchange.transcript is not None
    read = reading(exchange.transcript)
    assert read == {key: wanted[key] for key in wanted.keys() - {"http_status", "content_type"}}
    assert (exchange.failure and exchange.failure.fault) == fault_of(wanted)
    if exchange.failure is not None and wanted["outcome"] == "error":
        assert exchange.failure.code == wanted["error"]["code"]
    assert exchange.request["chat_session_id"] == MADE
    # A session that the reply names is the one that was answered in, whatever was made before.
    assert exchange.session_id in {MADE, wanted["chat_session_id"]}


async def test_a_session_that_the_recorded_server_refuses_is_a_fault_before_anything_was_sent() -> None:
    (trial,) = make_plan(parse_suite(SUITE, Path("s.yaml"), {})).trials
    with replaying("ck-create-chat-session-unknown-persona") as url:
        async with Client(Address(url, "onyx"), transports(url)()) as client:
            (exchange,) = (await attempt(Running(trial), client, perf_counter_ns)).exchanges
    assert exchange.failure is not None
    assert (exchange.failure.fault, exchange.failure.step) == (Fault.HTTP, Step.SESSION)
    assert exchange.failure.detail == "User does not have access to persona"
    assert exchange.sent_ns is None


async def test_a_recorded_budget_that_is_used_up_says_until_when() -> None:
    exchange = await exchanged("f0-token-rate-limited")
    assert exchange.failure is not None
    assert exchange.failure.retry_after_s == 85786
    assert exchange.failure.reset_at == "2026-11-24T00:00:00+00:00"
