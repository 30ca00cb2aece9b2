"""Replies that were mangled on the way: each of hundreds ends as something that there is a word for."""

import gzip
import socket
from collections import Counter
from contextlib import suppress
from functools import partial
from random import Random
from time import perf_counter_ns

import anyio
import httpx
import pytest

from harness.drive.attempt import Running, attempt
from harness.drive.faults import refused_until, refuses_the_key
from harness.drive.transport import StampedTransport
from harness.result import Fault
from harness.sigma.client import Address, Client
from tests.drive.streamer import GoneError, read_body, read_head
from tests.drive.streaming import listening
from tests.drive.test_attempt import trial
from tests.replies import answer

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

MANY = 100
BODY = ("\n".join(answer("Paris", "is é \u2028 it")) + "\n").encode()
CHUNKS = b"".join(
    b"%x\r\n%b\r\n" % (len(BODY[at : at + 50]), BODY[at : at + 50]) for at in range(0, len(BODY), 50)
)
WHOLE = [
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n%b0\r\n\r\n"
    % CHUNKS,
    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY),
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(BODY),
    b"HTTP/1.1 429 X\r\nRetry-After: 7\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<title>x</title>",
    b'HTTP/1.1 429 X\r\nContent-Length: 50\r\n\r\n{"detail":"x","retry_after_seconds":86400,"a":null}',
    b"HTTP/1.1 103 E\r\n\r\nHTTP/1.1 307 M\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"answer":"x","message_id":3,"error_msg":""}',
]
SCRAPS = [
    *(b"\r\n", b"0\r\n\r\n", b"\0", b"\xff\xfe", b"\xf0\x9f", b"\\ud800", b"\n", b"data: ", b"{}", b"null"),
    *(
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"Upgrade: h2c\r\n",
    ),
    *(b"HTTP/1.1 100 C\r\n\r\n", b"Content-Encoding: gzip, deflate\r\n", b"1e999", b"-1", b"9" * 30),
]


def mangled(random: Random) -> bytes:
    """A reply in which a few places were cut out, written over or added to."""
    reply = bytearray(random.choice(WHOLE))
    for _ in range(random.randint(0, 5)):
        at = random.randrange(len(reply) + 1)
        length = random.choice((0, 0, 1, 12, 30))
        reply[at : at + length] = random.choice((b"", random.randbytes(1), *random.sample(SCRAPS, 3)))
    return bytes(reply)


def serve(random: Random, sock: socket.socket) -> None:
    with suppress(GoneError):
        while random.random() > 0.3:
            head, begun = read_head(sock)
            read_body(sock, head, begun)
            reply, length = mangled(random), random.choice((7, 100, 1_000_000))
            for at in range(0, len(reply), length):
                sock.sendall(reply[at : at + length])


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_mangled_reply_is_read_or_is_a_fault_and_never_a_bug(seed: int) -> None:
    ends: Counter[str] = Counter()
    answered: list[str] = []

    async def trials(client: Client) -> None:
        while ends.total() < MANY:
            one = trial("x", "  time_limit: 300ms\n  retry: {attempts: 1}")
            result = await attempt(Running(one), client, perf_counter_ns)
            (exchange,) = result.exchanges
            assert not exchange.body or exchange.read_ends[-1] == len(exchange.body)
            assert exchange.ended_ns is not None
            ends[str(exchange.failure.fault) if exchange.failure else "whole"] += 1
            if exchange.failure is not None:
                assert not (refuses_the_key(exchange.failure) and refused_until(exchange.failure))

    async def others(client: Client) -> None:
        while ends.total() < MANY or not answered:  # by chance none of the first may be; the test has an end
            with suppress(httpx.TransportError):
                assert isinstance((await client.get("/me")).text, str)
                answered.append("/me")

    with listening(partial(serve, Random(seed))) as port:
        transport = StampedTransport()
        async with Client(Address(f"http://127.0.0.1:{port}"), transport, call_s=0.3) as client:
            async with anyio.create_task_group() as tasks:
                for _ in range(12):
                    tasks.start_soon(trials, client)
                tasks.start_soon(others, client)
            assert [one for one in transport._connections if not one.reusable] == []
    assert {"whole", str(Fault.PROTOCOL), str(Fault.HTTP), str(Fault.DISCONNECTED)} <= set(ends)
