"""The calls of a client: none is redirected, and beside its turns none is endless or fills the memory."""

import gzip
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import repeat
from pathlib import Path
from time import perf_counter

import httpx
import pytest

from harness.drive.attempt import Running, attempt
from harness.drive.preflight import resolved
from harness.drive.tape import Tape
from harness.drive.transport import StampedTransport
from harness.errors import TargetError
from harness.plan.trials import make_plan
from harness.result import Fault
from harness.sigma.client import LONGEST_ANSWER, Address, Client
from harness.sigma.deprecated import PATHS
from harness.suite.read import parse_suite
from tests.drive.streamer import GoneError, read_body, read_head
from tests.drive.streaming import listening
from tests.drive.test_attempt import trial

pytestmark = pytest.mark.anyio

KEY = "sk-planted-5f0c1d9e"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
Call = Callable[[Client], Awaitable[httpx.Response]]

CALLS: dict[str, Call] = {
    "send": lambda client: client.send({"message": "hi"}, extensions={"tape": Tape()}),
    "send of old": lambda client: client.send(
        {"message": "hi"}, path=PATHS["send-message"], extensions={"tape": Tape()}
    ),
    "create_session": lambda client: client.create_session({}),
    "stop": lambda client: client.stop("s"),
    "session_detail": lambda client: client.session_detail("s"),
    "delete_session": lambda client: client.delete_session("s"),
    "post": lambda client: client.post("/chat/send-chat-message", {}),
    "upload": lambda client: client.upload("notes.md", b"notes"),
    "delete_file": lambda client: client.delete_file("f"),
    "get": lambda client: client.get("/persona"),
}


def test_every_call_of_a_client_is_in_the_list() -> None:
    public = {name for name, member in vars(Client).items() if callable(member) and not name.startswith("_")}
    assert public == {name for name in CALLS if " " not in name}


@contextmanager
def heard(answer: bytes) -> Iterator[tuple[int, bytearray]]:
    """A server that gives every request the same answer, and what it was told."""
    told = bytearray()
    lock = threading.Lock()

    def serve(sock: socket.socket) -> None:
        with suppress(GoneError):
            while True:
                head, begun = read_head(sock)
                body = read_body(sock, head, begun)
                with lock:
                    told.extend(head + b"\r\n\r\n" + body)
                sock.sendall(answer)

    with listening(serve) as port:
        yield port, told


@contextmanager
def redirecting(status: int) -> Iterator[tuple[str, bytearray, bytearray]]:
    """A server that sends everybody elsewhere: its address, what it was told, and what was told there."""
    with heard(OK + b"Content-Length: 2\r\n\r\n{}") as (elsewhere, there):
        moved = (
            f"HTTP/1.1 {status} X\r\nLocation: http://127.0.0.1:{elsewhere}/x\r\nContent-Length: 0\r\n\r\n"
        )
        with heard(moved.encode()) as (port, here):
            yield f"http://127.0.0.1:{port}", here, there


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("call", CALLS)
async def test_no_call_follows_a_redirect_and_the_key_goes_nowhere_else(call: str, status: int) -> None:
    with redirecting(status) as (url, here, there):
        async with Client(Address(url, api_key=KEY), StampedTransport()) as client:
            response = await CALLS[call](client)
            assert response.status_code == status
            await response.aclose()
    assert KEY.encode() in here
    assert there == b""


@pytest.mark.parametrize("dialect", ["sigma", "onyx"])
async def test_a_trial_that_is_redirected_is_a_fault_of_http_and_the_key_goes_nowhere_else(
    dialect: str,
) -> None:
    with redirecting(307) as (url, here, there):
        async with Client(Address(url, dialect, KEY), StampedTransport()) as client:
            result = await attempt(Running(trial()), client, lambda: 0)
    assert result.failure is not None
    assert (result.failure.fault, result.failure.http_status) == (Fault.HTTP, 307)
    assert KEY.encode() in here
    assert there == b""


async def test_a_target_that_redirects_is_said_before_anything_is_sent() -> None:
    plan = make_plan(parse_suite("suite: s\ntarget: standin\nprompts: [{message: hi}]\n", Path("s.yaml"), {}))
    with redirecting(302) as (url, here, there), pytest.raises(TargetError, match="302"):
        await resolved(plan, Address(url, api_key=KEY))
    assert KEY.encode() in here
    assert there == b""


def endless(head: bytes, pieces: Iterator[bytes], every_s: float = 0) -> Callable[[socket.socket], None]:
    """Serve a head and then *pieces*, until the client has left."""

    def serve(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(head)
        for piece in pieces:
            sock.sendall(piece)
            left.wait(every_s)

    left = threading.Event()  # is never set: a pause
    return serve


@pytest.mark.parametrize(
    "head",
    [OK + b"Content-Length: 99999\r\n\r\n", OK + b"X-Slow: ", b"HTTP/1.1 200 "],
    ids=["body", "header", "status"],
)
async def test_an_answer_that_drips_ends_when_its_time_is_up(head: bytes) -> None:
    with listening(endless(head, repeat(b"0"), every_s=0.02)) as port:
        transport = StampedTransport()
        async with Client(Address(f"http://127.0.0.1:{port}"), transport, call_s=0.3) as client:
            began = perf_counter()
            with pytest.raises(httpx.ReadTimeout, match=r"no end of the answer after 0\.3 s"):
                await client.get("/persona")
            assert perf_counter() - began < 2
            assert transport._connections == set()


async def test_an_answer_without_an_end_is_not_taken_into_memory() -> None:
    with listening(endless(OK + b"\r\n", repeat(b"[" * 1_000_000))) as port:
        transport = StampedTransport()
        async with Client(Address(f"http://127.0.0.1:{port}"), transport) as client:
            with pytest.raises(httpx.RemoteProtocolError, match=f"limit of {LONGEST_ANSWER:,} bytes"):
                await client.get("/persona")
            assert transport._connections == set()


def _packed(data: bytes) -> bytes:
    return OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(data), data)


@pytest.mark.slow
async def test_an_answer_that_unpacks_without_end_is_not_taken_into_memory() -> None:
    bomb = gzip.compress(bytes(70_000_000))
    assert len(bomb) < 100_000
    with listening(endless(_packed(bomb), iter(()))) as port:
        async with Client(Address(f"http://127.0.0.1:{port}"), StampedTransport()) as client:
            with pytest.raises(httpx.RemoteProtocolError, match=f"limit of {LONGEST_ANSWER:,} bytes"):
                await client.get("/persona")


async def test_an_answer_that_was_packed_unasked_is_read_and_one_that_was_not_is_a_breach() -> None:
    async def asked(data: bytes) -> str:
        with listening(endless(_packed(data), iter(()))) as port:
            async with Client(Address(f"http://127.0.0.1:{port}"), StampedTransport()) as client:
                return (await client.get("/persona")).text

    assert await asked(gzip.compress(b"[]")) == "[]"
    with pytest.raises(httpx.RemoteProtocolError, match="not what it says"):
        await asked(b"this is no gzip")


@pytest.mark.parametrize("charset", ["zlib", "base64", "rot13", "undefined", "utf-16", "no-such"])
async def test_an_encoding_that_is_none_of_text_does_not_make_an_answer_unreadable(charset: str) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=%b\r\nContent-Length: 6\r\n\r\n"
    answer = head + b'["\xc3\xa9"]'
    with heard(answer % charset.encode()) as (port, _):
        async with Client(Address(f"http://127.0.0.1:{port}"), StampedTransport()) as client:
            response = await client.get("/persona")
    assert response.text == '["é"]'
    assert response.json() == ["é"]
