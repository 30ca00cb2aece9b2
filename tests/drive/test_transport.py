"""The stamped transport against a real server process, plain and over TLS, one requirement a test."""

import socket
import ssl
import struct
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.drive.clock import KernelClock
from harness.drive.connection import Connection
from harness.drive.tape import Tape
from harness.drive.tls import Secure
from harness.drive.transport import StampedTransport, transports
from harness.drive.way import Route, reach
from harness.errors import UsageError
from tests.drive.streaming import (
    CHUNKED,
    HELLO,
    LOOPS,
    OK,
    TO_THE_END,
    WHO,
    Certificates,
    Step,
    Streamer,
    descriptors,
    send,
    streaming,
    until,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def ports(certificates: Certificates) -> Iterator[dict[str, int]]:
    with streaming() as plain, streaming("--tls", certificates.server) as secure:
        yield {"http": plain, "https": secure}


@pytest.fixture(params=["http", "https"])
def server(request: pytest.FixtureRequest, ports: dict[str, int], certificates: Certificates) -> Streamer:
    base = f"{request.param}://127.0.0.1:{ports[request.param]}"
    return Streamer(base, request.node.name, certificates.ca)


@pytest.fixture
async def transport(certificates: Certificates) -> AsyncIterator[StampedTransport]:
    """Ours; when the test is over, all that it opened must be closed."""
    before = descriptors()
    transport = StampedTransport(verify=certificates.ca)
    yield transport
    await transport.aclose()
    assert descriptors() == before


@pytest.fixture
async def client(transport: StampedTransport) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=transport, timeout=10) as client:
        yield client


# Bodies, in every framing


BODIES = [
    pytest.param([["send", HELLO]], id="length"),
    pytest.param([["send", CHUNKED + "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"]], id="chunked"),
    pytest.param(
        [["send", CHUNKED + "5\r\nhello\r\n0\r\nX-Trailer: no header\r\n\r\n"]], id="chunked-with-trailer"
    ),
    pytest.param([["send", TO_THE_END + "hello"], ["close"]], id="until-close"),
    pytest.param([["send", "HTTP/1.0 200 OK\r\n\r\nhello"], ["close"]], id="http-1.0"),
    pytest.param([["send", "HTTP/1.1 100 Continue\r\n\r\n"], ["send", HELLO]], id="after-100"),
    pytest.param(
        [["send", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + HELLO]], id="after-103-in-one-write"
    ),
    pytest.param([["send", byte] for byte in CHUNKED + "5\r\nhello\r\n0\r\n\r\n"], id="byte-by-byte"),
]


@pytest.mark.parametrize("steps", BODIES)
async def test_a_body_is_on_the_tape_whatever_its_framing(
    client: httpx.AsyncClient, server: Streamer, steps: list[Step]
) -> None:
    tape = Tape()
    response = await send(client, server(*steps), tape)
    assert response.status_code == 200
    assert not {"link", "x-trailer"} & set(response.headers)
    assert bytes(tape.body) == b"hello"
    assert tape.ends[-1] == 5


@pytest.mark.parametrize("steps", BODIES)
async def test_without_a_tape_it_is_an_ordinary_transport(
    client: httpx.AsyncClient, server: Streamer, steps: list[Step]
) -> None:
    response = await client.get(server(*steps))
    assert (response.status_code, response.text) == (200, "hello")


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        pytest.param("HEAD", OK + "Content-Length: 5\r\n\r\n", id="HEAD"),
        pytest.param("GET", "HTTP/1.1 204 No Content\r\n\r\n", id="204"),
        pytest.param("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", id="304"),
    ],
)
async def test_a_reply_that_has_no_body_is_not_waited_for(
    client: httpx.AsyncClient, server: Streamer, method: str, answer: str
) -> None:
    response = await client.request(method, server(["send", answer]))
    assert response.content == b""
    assert (await client.get(server(["send", HELLO]))).text == "hello"


PIECES = [b"first ", "zw\u00f6lf Boxk\u00e4mpfer".encode(), b"\n" * 40, b"x" * 300]
REPLY = (
    CHUNKED.encode() + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in PIECES) + b"0\r\n\r\n"
).decode("latin-1")


@given(cuts=st.sets(st.integers(1, len(REPLY) - 1), max_size=8))
@settings(max_examples=25)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_any_split_of_a_reply_into_writes_gives_the_same_body(
    ports: dict[str, int], certificates: Certificates, scheme: str, cuts: set[int]
) -> None:
    context = ssl.create_default_context(cafile=certificates.ca)
    places = [0, *sorted(cuts), len(REPLY)]
    steps = [step for a, b in pairwise(places) for step in (["send", REPLY[a:b]], ["pause", 0.0005])]

    async def bodies() -> tuple[bytes, bytes]:
        async with httpx.AsyncClient(transport=StampedTransport(verify=context)) as client:
            url = Streamer(f"{scheme}://127.0.0.1:{ports[scheme]}", "split")(*steps)
            tape = Tape()
            await send(client, url, tape)
            return bytes(tape.body), (await client.get(url)).content

    assert anyio.run(bodies, backend_options={"use_uvloop": True}) == (b"".join(PIECES),) * 2


# Times


async def test_the_marks_of_an_exchange_are_in_order(client: httpx.AsyncClient, server: Streamer) -> None:
    steps: list[Step] = [
        ["pause", 0.002],
        ["send", CHUNKED],
        ["pause", 0.002],
        ["send", "2\r\nhe\r\n"],
        ["pause", 0.002],
    ]
    tape = Tape()
    await send(client, server(*steps, ["send", "3\r\nllo\r\n0\r\n\r\n"]), tape)
    marks = [tape.began_ns, tape.connected_ns, tape.sent_ns, tape.headers_ns, *tape.arrived]
    assert None not in marks
    assert marks == sorted(marks, key=lambda mark: mark or 0)
    assert tape.ended_ns == tape.arrived[-1]
    assert all(arrived <= seen for arrived, seen in zip(tape.arrived, tape.seen, strict=True))


@pytest.mark.skipif(sys.platform != "linux", reason="kernel stamps are Linux's")
async def test_what_came_while_our_loop_was_blocked_is_stamped_by_the_kernel(
    client: httpx.AsyncClient, server: Streamer
) -> None:
    tape = Tape()
    request = client.build_request(
        "POST", server(["send", TO_THE_END], ["send", "late"], ["close"]), extensions={"tape": tape}
    )
    response = await client.send(request, stream=True)
    server.settled()  # blocks the loop until the server has sent everything and closed
    unblocked = time.perf_counter_ns()
    async for _ in response.aiter_raw():
        pass
    assert tape.stamps == "kernel"
    assert bytes(tape.body) == b"late"
    assert tape.arrived[-1] < unblocked


async def test_pieces_of_one_read_are_one_entry(client: httpx.AsyncClient, server: Streamer) -> None:
    tape = Tape()
    await send(client, server(["send", CHUNKED + "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"]), tape)
    assert (tape.ends, len(tape.arrived), len(tape.seen)) == ([5], 1, 1)


async def test_without_kernel_stamps_the_tape_says_user(
    client: httpx.AsyncClient, transport: StampedTransport, server: Streamer
) -> None:
    assert transport.clock is not None
    transport.clock.close()
    tape = Tape()
    await send(client, server(["send", HELLO]), tape)
    assert tape.stamps == "user"
    assert tape.arrived == tape.seen


@pytest.mark.skipif(sys.platform != "linux", reason="kernel stamps are Linux's")
async def test_a_single_piece_without_a_stamp_makes_the_tape_say_user(
    client: httpx.AsyncClient, transport: StampedTransport, server: Streamer
) -> None:
    await client.get(server(["send", HELLO]))
    (connection,) = transport._connections
    sock = connection._sock.beneath if isinstance(connection._sock, Secure) else connection._sock
    assert isinstance(sock, socket.socket)
    sock.setsockopt(socket.SOL_SOCKET, 35, 0)  # SO_TIMESTAMPNS, which works when it likes to
    tape = Tape()
    await send(client, server(["send", HELLO]), tape)
    assert tape.stamps == "user"
    assert tape.arrived == tape.seen


async def test_the_head_of_a_1xx_is_not_the_first_byte(client: httpx.AsyncClient, server: Streamer) -> None:
    tape = Tape()
    steps: list[Step] = [["send", "HTTP/1.1 100 Continue\r\n\r\n"], ["pause", 0.02], ["send", HELLO]]
    await send(client, server(*steps), tape)
    assert tape.headers_ns is not None
    assert tape.sent_ns is not None
    assert tape.headers_ns - tape.sent_ns >= 20_000_000


# Connections, kept and lost


async def test_a_connection_is_used_again(client: httpx.AsyncClient, server: Streamer) -> None:
    tapes = [Tape(), Tape()]
    for tape in tapes:
        await send(client, server(["send", WHO]), tape)
    assert tapes[0].body == tapes[1].body
    assert tapes[0].connected_ns is not None
    assert tapes[1].connected_ns is None


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(OK + "Connection: close\r\nContent-Length: 8\r\n\r\n@CONNECTION@", id="asked-to-close"),
        pytest.param("HTTP/1.0 200 OK\r\nContent-Length: 8\r\n\r\n@CONNECTION@", id="http-1.0"),
        pytest.param(WHO + HELLO, id="more-than-was-asked"),
    ],
)
async def test_a_connection_is_not_used_again_when_it_must_not_be(
    client: httpx.AsyncClient, server: Streamer, answer: str
) -> None:
    first, second = [(await client.get(server(["send", answer]))).text for _ in range(2)]
    assert first != second


async def test_as_many_connections_as_there_are_requests_and_the_last_one_first(
    client: httpx.AsyncClient, transport: StampedTransport, server: Streamer
) -> None:
    answers: list[str] = []

    async def ask() -> None:
        answers.append((await client.get(server(["pause", 0.05], ["send", WHO]))).text)

    async with anyio.create_task_group() as group:
        for _ in range(120):  # stock httpx stops at 100
            group.start_soon(ask)
    assert len(set(answers)) == len(transport._connections) == 120
    assert (await client.get(server(["send", WHO]))).text == answers[-1]


async def test_a_close_of_an_idle_connection_is_noticed_at_once(
    client: httpx.AsyncClient, transport: StampedTransport, server: Streamer
) -> None:
    await client.get(server(["send", HELLO], ["close"]))
    await until(lambda: not transport._connections)
    tape = Tape()
    await send(client, server(["send", HELLO]), tape)
    assert not tape.resent


async def test_a_connection_on_which_something_comes_unasked_is_closed(
    client: httpx.AsyncClient, transport: StampedTransport, server: Streamer
) -> None:
    late = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"
    assert (await client.get(server(["send", HELLO], ["pause", 0.02], ["send", late]))).status_code == 200
    await until(lambda: not transport._connections)


async def test_a_close_that_our_loop_has_not_seen_yet_is_noticed_before_sending(
    client: httpx.AsyncClient, server: Streamer
) -> None:
    await client.get(server(["send", HELLO], ["close"]))
    server.settled()  # blocks the loop until the server has closed
    tape = Tape()
    await send(client, server(["send", HELLO]), tape)
    assert tape.connected_ns is not None
    assert not tape.resent
    assert len(server.requests()) == 2


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_kept_connection_that_breaks_unanswered_is_tried_once_more_on_a_new_one(
    client: httpx.AsyncClient, server: Streamer, how: str
) -> None:
    await client.get(server(["send", HELLO]))
    tape = Tape()
    await send(client, server(["send", HELLO], drop=how), tape, json={"message": "again"})
    assert bytes(tape.body) == b"hello"
    assert tape.resent
    assert tape.connected_ns is not None
    assert [request["method"] for request in server.requests()] == ["GET", "POST", "POST"]


async def test_a_new_connection_that_breaks_unanswered_is_an_error(
    client: httpx.AsyncClient, server: Streamer
) -> None:
    with pytest.raises(httpx.RemoteProtocolError, match="before any answer"):
        await client.post(server(["close"]))
    assert len(server.requests()) == 1


async def test_a_request_that_was_answered_by_a_single_byte_is_not_sent_again(
    client: httpx.AsyncClient, server: Streamer
) -> None:
    await client.get(server(["send", HELLO]))
    with pytest.raises(httpx.RemoteProtocolError, match="within the response head"):
        await client.post(server(["send", "H"], ["close"]))
    assert len(server.requests()) == 2


async def test_a_kept_connection_that_times_out_is_not_tried_again(
    client: httpx.AsyncClient, server: Streamer
) -> None:
    await client.get(server(["send", HELLO]))
    with pytest.raises(httpx.ReadTimeout):
        await client.post(server(["wait"]), timeout=httpx.Timeout(5, read=0.05))
    assert len(server.settled()) == 2


# Breaks


@pytest.mark.parametrize(
    ("steps", "error", "said"),
    [
        pytest.param(
            [["send", CHUNKED + "6\r\nhello \r\n"], ["close"]],
            httpx.RemoteProtocolError,
            "closed the connection after 6 bytes of the body",
            id="chunked-cut-short",
        ),
        pytest.param(
            [["send", OK + "Content-Length: 900\r\n\r\nhello "], ["close"]],
            httpx.RemoteProtocolError,
            "after 6 bytes of the body of 900",
            id="length-cut-short",
        ),
        pytest.param(
            [["send", CHUNKED + "6\r\nhello \r\n"], ["pause", 0.02], ["reset"]],
            httpx.ReadError,
            "reset by peer after 6 bytes of the body",
            id="reset",
        ),
        pytest.param(
            [["send", CHUNKED + "6\r\nhello \r\n"], ["send", "nonsense\r\n"], ["wait"]],
            httpx.RemoteProtocolError,
            "not HTTP",
            id="not-a-chunk",
        ),
        pytest.param(
            [["send", CHUNKED + "6\r\nhello \r\n"], ["wait"]],
            httpx.ReadTimeout,
            "nothing came for 0.25 s, after 6 bytes of the body",
            id="silence",
        ),
    ],
)
async def test_what_came_before_a_break_stays_on_the_tape(
    client: httpx.AsyncClient, server: Streamer, steps: list[Step], error: type[Exception], said: str
) -> None:
    tape = Tape()
    with pytest.raises(error, match=said):
        await send(client, server(*steps), tape, timeout=httpx.Timeout(5, read=0.25))
    assert bytes(tape.body) == b"hello "
    assert tape.ended_ns is not None
    assert tape.ended_ns >= tape.arrived[-1]
    server.settled()


async def test_pieces_before_a_break_come_first_without_a_tape_too(
    client: httpx.AsyncClient, server: Streamer
) -> None:
    came: list[bytes] = []

    async def read() -> None:
        async with client.stream("GET", server(["send", CHUNKED + "6\r\nhello \r\n"], ["close"])) as response:
            async for piece in response.aiter_raw():
                came.append(piece)  # noqa: PERF401 - it raises half-way

    with pytest.raises(httpx.RemoteProtocolError, match="after 6 bytes"):
        await read()
    assert came == [b"hello "]


@pytest.mark.parametrize(
    "greeting", ["SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"]
)
async def test_a_server_that_speaks_something_else_is_a_protocol_error(
    client: httpx.AsyncClient, server: Streamer, greeting: str
) -> None:
    with pytest.raises(httpx.RemoteProtocolError, match="not HTTP"):
        await client.get(server(["send", greeting], ["wait"]))
    server.settled()


# Time-outs


async def test_silence_before_the_head_times_out(client: httpx.AsyncClient, server: Streamer) -> None:
    with pytest.raises(httpx.ReadTimeout, match="before any answer"):
        await client.get(server(["wait"]), timeout=httpx.Timeout(5, read=0.05))
    server.settled()


async def test_the_read_timeout_counts_silence_and_not_the_whole_reply(
    client: httpx.AsyncClient, server: Streamer
) -> None:
    ticks: list[Step] = [["pause", 0.06], ["send", "x"]] * 6
    tape = Tape()
    await send(client, server(["send", TO_THE_END], *ticks, ["close"]), tape, timeout=0.3)
    assert bytes(tape.body) == b"xxxxxx"


async def test_bytes_that_wait_in_a_blocked_client_are_no_silence(
    client: httpx.AsyncClient, server: Streamer
) -> None:
    tape = Tape()
    request = client.build_request(
        "POST",
        server(["send", TO_THE_END], ["pause", 0.15], ["send", "here"], ["close"]),
        extensions={"tape": tape},
        timeout=httpx.Timeout(5, read=0.1),
    )
    response = await client.send(request, stream=True)
    server.settled()  # blocks the loop beyond the time-out, while the bytes come
    async for _ in response.aiter_raw():
        pass
    assert bytes(tape.body) == b"here"


async def test_the_timeout_of_an_exchange_ends_with_it(client: httpx.AsyncClient, server: Streamer) -> None:
    await client.get(server(["send", HELLO]), timeout=httpx.Timeout(5, read=0.1))
    async with httpx.AsyncClient(transport=StampedTransport(verify=server.ca or True)) as other:
        await other.get(server(["pause", 0.15], ["send", HELLO]))  # meanwhile
    tape = Tape()
    await send(client, server(["send", HELLO]), tape)
    assert tape.connected_ns is None


async def test_a_server_that_does_not_take_the_request_is_a_write_timeout(
    client: httpx.AsyncClient, server: Streamer
) -> None:
    with pytest.raises(httpx.WriteTimeout):
        await client.post(
            server(["pause", 1], ["close"], unread=""),
            content=b"x" * 16_000_000,
            timeout=httpx.Timeout(5, write=0.05),
        )


async def test_a_host_that_does_not_answer_is_a_connect_timeout(client: httpx.AsyncClient) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as queue:
        where = full.getsockname()
        for _ in range(3):  # a listener's queue is a little longer than it says
            waiting = queue.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(where)
        with pytest.raises(httpx.ConnectTimeout, match=str(where[1])):
            await client.get(f"http://127.0.0.1:{where[1]}", timeout=0.05)


# Connecting and sending


async def test_a_port_where_nobody_listens_is_a_connect_error(client: httpx.AsyncClient) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(httpx.ConnectError, match=str(bound.getsockname()[1])):
            await client.get(f"http://127.0.0.1:{bound.getsockname()[1]}")


async def test_a_name_that_does_not_exist_is_a_connect_error(client: httpx.AsyncClient) -> None:
    tape = Tape()
    with pytest.raises(httpx.ConnectError, match=r"no\.such\.host\.invalid"):
        await send(client, httpx.URL("http://no.such.host.invalid"), tape)
    assert (tape.connected_ns, tape.sent_ns) == (None, None)
    assert tape.ended_ns is not None


async def test_every_address_of_a_name_is_tried(client: httpx.AsyncClient, server: Streamer) -> None:
    url = server(["send", HELLO]).copy_with(host="localhost")  # ::1 comes first where there is IPv6
    assert (await client.get(url)).text == "hello"


async def test_a_long_body_goes_out_in_parts(client: httpx.AsyncClient, server: Streamer) -> None:
    tape = Tape()
    await send(client, server(["send", HELLO]), tape, content=b"x" * 30_000_000)
    assert bytes(tape.body) == b"hello"
    assert [request["body"] for request in server.requests()] == [30_000_000]


async def test_an_answer_that_comes_before_the_whole_body_is_taken(
    client: httpx.AsyncClient, transport: StampedTransport, server: Streamer
) -> None:
    refusal = "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!"
    response = await client.post(server(["send", refusal], ["wait"], unread=""), content=b"x" * 30_000_000)
    assert (response.status_code, response.text) == (413, "no!")
    assert not transport._connections  # the rest of the body was never sent


async def test_a_server_that_hangs_up_while_we_send_is_an_error(
    client: httpx.AsyncClient, server: Streamer
) -> None:
    with pytest.raises(httpx.WriteError, match="could not be sent"):  # whether a read or the send notices
        await client.post(server(["pause", 0.02], ["reset"], unread=""), content=b"x" * 30_000_000)


async def test_a_request_that_cannot_be_sent_is_a_write_error() -> None:
    clock = KernelClock()
    with closing(clock), socket.create_server(("127.0.0.1", 0)) as listener:
        route = Route(*listener.getsockname())
        channel = await reach(route, clock=clock, within=1)
        connection = Connection(channel, clock=clock, route=route, forget=lambda _: None)
        accepted, _ = listener.accept()
        with accepted:
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.expect(None, bodiless=False)
        await connection.send(b"GET / HTTP/1.1\r\n\r\n", timeout=None)
        with pytest.raises(httpx.WriteError, match="could not be sent"):
            await connection.head(silence=None)
        assert connection.closed


async def test_a_body_of_unknown_length_is_chunked(client: httpx.AsyncClient, server: Streamer) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"some "
        yield b"words"

    assert (await client.post(server(["send", HELLO]), content=parts())).text == "hello"
    (request,) = server.requests()
    assert "transfer-encoding: chunked" in request["head"].lower()
    assert request["body"] == len(b"a\r\nsome words\r\n0\r\n\r\n")


async def test_headers_go_out_as_httpx_has_them(client: httpx.AsyncClient, server: Streamer) -> None:
    await client.post(server(["send", HELLO]), headers={"Authorization": "Bearer on_123"}, json={})
    (request,) = server.requests()
    assert f"\r\nHost: {httpx.URL(server.base).netloc.decode()}\r\n" in request["head"]
    assert "\r\nAuthorization: Bearer on_123\r\n" in request["head"]


async def test_a_line_break_in_a_header_is_not_sent(client: httpx.AsyncClient, server: Streamer) -> None:
    with pytest.raises(httpx.LocalProtocolError, match="line break"):
        await client.get(server(["send", HELLO]), headers={"Authorization": "Bearer key\n"})
    assert server.requests() == []


# Giving up


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([["wait"]], id="waiting-for-the-head"),
        pytest.param([["send", CHUNKED + "5\r\nhello\r\n"], ["wait"]], id="in-the-body"),
    ],
)
async def test_a_cancelled_request_closes_its_connection(
    client: httpx.AsyncClient, transport: StampedTransport, server: Streamer, steps: list[Step]
) -> None:
    tape = Tape()
    async with anyio.create_task_group() as group:
        group.start_soon(send, client, server(*steps), tape)
        await until(lambda: tape.sent_ns and (len(steps) == 1 or tape.body))
        group.cancel_scope.cancel()
    assert not transport._connections
    assert tape.ended_ns is not None
    server.settled()


async def test_a_cancelled_upload_closes_its_connection(
    client: httpx.AsyncClient, transport: StampedTransport, server: Streamer
) -> None:
    with anyio.move_on_after(0.05) as scope:
        await client.post(server(["wait"], unread=""), content=b"x" * 30_000_000)
    assert scope.cancelled_caught
    assert not transport._connections


async def test_a_cancelled_connect_leaves_nothing_open(
    client: httpx.AsyncClient, transport: StampedTransport
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as queue:
        for _ in range(3):
            waiting = queue.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        before = descriptors()
        with anyio.move_on_after(0.05) as scope:
            await client.get(f"http://127.0.0.1:{full.getsockname()[1]}")
        assert scope.cancelled_caught
        assert descriptors() <= before + 1  # the witness of the clock
        assert not transport._connections


async def test_a_reply_that_is_left_half_read_closes_its_connection(
    client: httpx.AsyncClient, transport: StampedTransport, server: Streamer
) -> None:
    async with client.stream("GET", server(["send", TO_THE_END + "hello"], ["wait"])) as response:
        async for piece in response.aiter_raw():
            assert piece == b"hello"
            break
    assert not transport._connections
    server.settled()


async def test_a_reader_that_is_slower_than_the_server_holds_it_back(
    client: httpx.AsyncClient, transport: StampedTransport, server: Streamer
) -> None:
    size = 24_000_000
    async with client.stream(
        "GET", server(["send", OK + f"Content-Length: {size}\r\n\r\n"], ["fill", size])
    ) as response:
        (connection,) = transport._connections
        await until(lambda: connection._paused)
        assert connection._held < 1_200_000
        assert sum([len(piece) async for piece in response.aiter_raw()]) == size
    assert (await client.get(server(["send", HELLO]))).text == "hello"
    assert len(transport._connections) == 1


async def test_a_reply_that_nobody_reads_does_not_keep_its_connection(
    client: httpx.AsyncClient, transport: StampedTransport, server: Streamer
) -> None:
    size = 1_048_600  # more than may wait: we have stopped listening by the time it is all here
    url = server(["send", OK + f"Content-Length: {size}\r\n\r\n"], ["fill", size])
    async with client.stream("GET", url):
        (connection,) = transport._connections
        await until(lambda: connection.done)
    assert not transport._connections


async def test_a_reader_that_is_slow_is_no_silence_of_the_server(
    client: httpx.AsyncClient, transport: StampedTransport, server: Streamer
) -> None:
    size = 24_000_000
    url = server(["send", OK + f"Content-Length: {size}\r\n\r\n"], ["fill", size])
    async with client.stream("GET", url, timeout=httpx.Timeout(5, read=0.1)) as response:
        (connection,) = transport._connections
        await until(lambda: connection._paused)
        await client.get(server(["pause", 0.25], ["send", HELLO]))  # meanwhile
        pieces = response.aiter_raw()
        came = 0
        while connection._paused:
            came += len(await anext(pieces))
        assert connection._timer is not None
        connection._timer.cancel()
        connection._watch()  # as the timer might, before anything else has been read
        assert came + sum([len(piece) async for piece in pieces]) == size


async def test_a_closed_transport_tells_whoever_still_waits(
    transport: StampedTransport, server: Streamer
) -> None:
    tape = Tape()

    async def wait() -> None:
        with pytest.raises(RuntimeError, match="closed before the reply had ended"):
            await send(httpx.AsyncClient(transport=transport), server(["wait"]), tape)

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await until(lambda: tape.sent_ns)
        await until(server.requests)  # or it would learn of the request after it was asked what it has
        await transport.aclose()
    assert len(server.settled()) == 1


async def test_what_was_held_for_a_slow_reader_survives_the_transport(
    client: httpx.AsyncClient, transport: StampedTransport, server: Streamer
) -> None:
    came = 0

    async def read(response: httpx.Response) -> None:
        nonlocal came
        async for piece in response.aiter_raw():
            came += len(piece)

    async with client.stream("GET", server(["send", TO_THE_END], ["fill", 24_000_000])) as response:
        (connection,) = transport._connections
        await until(lambda: connection._paused)
        await transport.aclose()
        with pytest.raises(RuntimeError, match="closed before the reply had ended"):
            await read(response)
    assert 1_000_000 < came < 1_200_000


async def test_a_shared_transport_closes_when_its_last_client_does(
    transport: StampedTransport, server: Streamer
) -> None:
    async with httpx.AsyncClient(transport=transport) as one:
        async with httpx.AsyncClient(transport=transport) as other:
            await other.get(server(["send", HELLO]))
        assert len(transport._connections) == 1
        await one.get(server(["send", HELLO]))
        assert len(transport._connections) == 1
    assert not transport._connections


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_under_trio_it_says_what_it_needs(anyio_backend: str) -> None:
    async with httpx.AsyncClient(transport=StampedTransport()) as client:
        with pytest.raises(RuntimeError, match="needs anyio's asyncio backend"):
            await client.get("http://127.0.0.1:9")


# Which transport for which target


@pytest.mark.parametrize("base", ["http://sigma:8080", "https://sigma"])
def test_all_workers_share_one_transport(base: str) -> None:
    made = transports(base)
    assert made() is made()
    assert isinstance(made(), StampedTransport)


def test_for_http_no_certificates_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    transports("http://sigma")
    with pytest.raises(UsageError, match="SSL_CERT_FILE"):
        transports("https://sigma")


async def test_another_scheme_is_no_request_of_ours(client: httpx.AsyncClient) -> None:
    with pytest.raises(httpx.UnsupportedProtocol, match="http and https"):
        await client.get("ws://127.0.0.1:9")


def test_another_scheme_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="use http:// or https://"):
        transports("ftp://sigma")


async def test_a_reset_that_came_together_with_the_last_bytes_is_no_silence(
    client: httpx.AsyncClient, server: Streamer
) -> None:
    tape = Tape()
    script = server(["send", CHUNKED], ["pause", 0.05], ["send", "6\r\nhello \r\n"], ["reset"])
    async with client.stream("POST", script, extensions={"tape": tape}) as response:
        server.settled()  # blocks our loop until bytes and reset are both here: one event for the two
        with (
            anyio.fail_after(5),
            pytest.raises(httpx.ReadError, match="reset by peer after 6 bytes of the body"),
        ):
            async for _ in response.aiter_raw():
                pass
    assert bytes(tape.body) == b"hello "
    assert tape.ended_ns is not None
