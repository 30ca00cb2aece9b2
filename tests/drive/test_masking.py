"""Replies and sessions of a real stand-in, masked on their way to whoever keeps them."""

import time
from pathlib import Path

import pytest

from harness.drive.attempt import Running, attempt
from harness.drive.sessions import Errand, look_at
from harness.drive.transport import transports
from harness.redact.veil import Veil, veil_of
from harness.result import Fault, Result
from harness.sigma.client import Address, Client
from harness.sigma.session import SessionDetail
from harness.suite.read import parse_suite
from tests.conftest import Standin
from tests.drive.test_attempt import trial

pytestmark = pytest.mark.anyio
VOWEL = "[aeiou]"
LONG = "sim:ttft=1ms,gap=0,tokens=300"


def veil(*patterns: str) -> Veil:
    told = "".join(f"\n  - '{pattern}'" for pattern in patterns)
    suite = f"target: standin\nprompts: [{{message: hi}}]\nredact:{told}\n"
    return veil_of(parse_suite(suite, Path("s.yaml"), {}))


async def tried(target: Standin, model: str, hide: Veil) -> Result:
    async with Client(Address(target.url, veil=hide), transports(target.url)()) as client:
        return await attempt(Running(trial(model)), client, time.perf_counter_ns)


@pytest.mark.parametrize("model", [LONG, "sim:ttft=1ms,gap=0,tokens=3"], ids=["long", "short"])
async def test_a_reply_is_masked_and_its_packets_and_stamps_are_those_that_came(
    sigma: Standin, model: str
) -> None:
    (bare,) = (await tried(sigma, model, Veil())).exchanges
    (exchange,) = (await tried(sigma, model, veil(VOWEL))).exchanges
    assert bare.transcript is not None
    assert exchange.transcript is not None
    assert (len(exchange.body) > 16_384) == (model == LONG)
    assert set("aeiou") & set(bare.transcript.answer)
    assert not set("aeiou") & set(exchange.transcript.answer)
    assert exchange.masked == exchange.transcript.answer.count("*")
    assert exchange.failure is None
    assert exchange.transcript.packets == bare.transcript.packets
    assert exchange.read_ends[-1] == len(exchange.body)
    assert len(exchange.transcript.answer.split()) == len(bare.transcript.answer.split())


async def test_what_had_come_when_the_time_was_up_is_kept_masked(sigma: Standin) -> None:
    cut = trial("sim:ttft=1ms,gap=2ms,tokens=3000", "  time_limit: 900ms")
    async with Client(Address(sigma.url, veil=veil(VOWEL)), transports(sigma.url)()) as client:
        (exchange,) = (await attempt(Running(cut), client, time.perf_counter_ns)).exchanges
    assert exchange.failure is not None
    assert exchange.failure.fault is Fault.TIMED_OUT
    assert exchange.transcript is not None
    assert exchange.masked > 0
    said = "".join([exchange.transcript.answer, *exchange.transcript.narration])
    assert "*" in said
    assert not set("aeiou") & set(said)


async def test_what_a_server_keeps_of_a_session_is_masked_and_its_names_are_not(sigma: Standin) -> None:
    reply = sigma.ask("hello", "steady")
    told: list[SessionDetail] = []
    async with Client(Address(sigma.url, veil=veil("st[e]a")), transports(sigma.url)()) as client:
        await look_at(Errand(client), [reply.session_id], told.append)
        providers = await client.get("/llm/provider")
    (detail,) = told
    message = detail.message(reply.assistant_id)
    assert message is not None
    assert message.request_params is not None
    assert message.request_params.model_name == "****dy"
    assert "steady" in providers.text
