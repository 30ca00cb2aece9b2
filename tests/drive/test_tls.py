"""TLS: who is trusted, what a handshake may end in, and records that come in any shape."""

import datetime
import fcntl
import os
import select
import shutil
import socket
import ssl
import struct
import subprocess
import termios
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest
from cryptography.hazmat.primitives import serialization

from harness.drive.clock import KernelClock
from harness.drive.connection import Connection
from harness.drive.tape import Tape
from harness.drive.tls import Cert, Verify
from harness.drive.transport import StampedTransport
from harness.drive.way import Route, reach
from harness.errors import UsageError
from tests.drive.streaming import (
    CHUNKED,
    HELLO,
    LOOPS,
    TO_THE_END,
    Certificates,
    Streamer,
    descriptors,
    listening,
    send,
    streaming,
    until,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Signed by a CA that nobody has heard of."""
    return Certificates(tmp_path_factory.mktemp("strangers"))


@pytest.fixture(scope="module")
def port(certificates: Certificates) -> Iterator[int]:
    with streaming("--tls", certificates.server) as port:
        yield port


@pytest.fixture
def server(port: int, certificates: Certificates, request: pytest.FixtureRequest) -> Streamer:
    return Streamer(f"https://127.0.0.1:{port}", request.node.name, certificates.ca)


@pytest.fixture
async def client(certificates: Certificates) -> AsyncIterator[httpx.AsyncClient]:
    before = descriptors()
    async with trusting(certificates.ca) as client:
        yield client
    assert descriptors() == before


def trusting(verify: Verify = True, cert: Cert | None = None) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=StampedTransport(verify=verify, cert=cert), timeout=10)


Mangle = Callable[[bytes], list[bytes]]


@contextmanager
def relay(port: int, mangle: Mangle, *, pace_s: float = 0) -> Iterator[int]:
    """The port of something on the way that hands on what the server says as *mangle* has it."""
    pace = threading.Event()

    def serve(near: socket.socket) -> None:
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with socket.create_connection(("127.0.0.1", port)) as far:
            while True:
                ready, _, _ = select.select([near, far], [], [])
                if near in ready:
                    heard = near.recv(16_384)
                    if not heard:
                        return
                    far.sendall(heard)
                    pace.wait(pace_s)
                if far in ready:
                    said = far.recv(65_536)
                    if not said:
                        return
                    for piece in mangle(said):
                        near.sendall(piece)

    with listening(serve) as between:
        yield between


# Who is trusted


async def test_a_ca_is_trusted_as_a_file_or_in_a_context(
    server: Streamer, certificates: Certificates
) -> None:
    for verify in (certificates.ca, str(certificates.ca), ssl.create_default_context(cafile=certificates.ca)):
        async with trusting(verify) as client:
            assert (await client.get(server(["send", HELLO]))).text == "hello"


async def test_a_ca_in_the_environment_is_trusted_unless_the_environment_is_not_asked(
    server: Streamer, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    async with trusting() as client:
        assert (await client.get(server(["send", HELLO]))).text == "hello"
    async with httpx.AsyncClient(transport=StampedTransport(trust_env=False)) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(server(["send", HELLO]))


async def test_anybody_is_taken_where_nothing_is_verified(server: Streamer) -> None:
    async with trusting(verify=False) as client:
        assert (await client.get(server(["send", HELLO]))).text == "hello"


async def test_a_server_that_nobody_vouches_for_is_a_connect_error_that_names_the_remedy(
    server: Streamer,
) -> None:
    tape = Tape()
    async with trusting() as client:
        with pytest.raises(
            httpx.ConnectError, match=r"127\.0\.0\.1 port .* target\.ca_file or SSL_CERT_FILE"
        ):
            await send(client, server(["send", HELLO]), tape)
    assert tape.tcp_ns is not None
    assert (tape.connected_ns, tape.sent_ns) == (None, None)
    assert tape.ended_ns is not None
    assert server.requests() == []


YESTERDAY = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)


@pytest.mark.parametrize(
    ("names", "how", "said"),
    [
        pytest.param(["elsewhere.test"], {}, "127.0.0.1.*is the address right", id="another-name"),
        pytest.param(["127.0.0.1"], {"not_after": YESTERDAY}, "expired; it has to be renewed", id="expired"),
    ],
)
async def test_a_certificate_that_is_wrong_is_a_connect_error(
    client: httpx.AsyncClient, certificates: Certificates, names: list[str], how: dict[str, Any], said: str
) -> None:
    bad = certificates.signed(*names, **how)
    with streaming("--tls", bad) as port, pytest.raises(httpx.ConnectError, match=said):
        await client.get(f"https://127.0.0.1:{port}")


async def test_the_name_of_the_server_is_sent_so_that_it_can_choose_its_certificate(
    client: httpx.AsyncClient, certificates: Certificates
) -> None:
    asked: list[str | None] = []
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.server)
    context.sni_callback = lambda _sock, name, _context: asked.append(name)

    def serve(sock: socket.socket) -> None:
        with context.wrap_socket(sock, server_side=True) as secure:
            secure.recv(65_536)
            asked.append(secure.selected_alpn_protocol())
            secure.sendall(HELLO.encode())

    context.set_alpn_protocols(["h2", "http/1.1"])
    with listening(serve) as port:
        assert (await client.get(f"https://localhost:{port}")).text == "hello"
    assert asked == ["localhost", "http/1.1"]


# Who we are


@pytest.fixture(scope="module")
def choosy(certificates: Certificates) -> Iterator[int]:
    """The port of a server that wants a certificate of its clients."""
    with streaming("--tls", certificates.server, "--client-ca", certificates.ca) as port:
        yield port


async def test_a_client_certificate_is_shown_from_one_file_or_two(
    choosy: int, certificates: Certificates, tmp_path: Path
) -> None:
    both = certificates.signed("me@sigma.test")
    issued = certificates.authority.issue_cert("me@sigma.test")
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    for cert in (both, (tmp_path / "cert.pem", tmp_path / "key.pem")):
        async with trusting(certificates.ca, cert) as client:
            url = Streamer(f"https://127.0.0.1:{choosy}", "shown")(["send", HELLO])
            assert (await client.get(url)).text == "hello"


@pytest.mark.parametrize("mine", ["none", "a stranger's"])
async def test_a_server_that_wants_another_certificate_is_an_error_that_says_so(
    choosy: int, certificates: Certificates, strangers: Certificates, mine: str
) -> None:
    cert = None if mine == "none" else strangers.signed("me@sigma.test")
    async with trusting(certificates.ca, cert) as client:
        with anyio.fail_after(5), pytest.raises(httpx.NetworkError, match=r"target\.client_cert"):
            await client.post(f"https://127.0.0.1:{choosy}", content=b"x" * 100)


def test_files_that_are_no_certificates_are_usage_errors(certificates: Certificates, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("no certificate\n")
    mine, other = certificates.signed("me@sigma.test"), certificates.authority.issue_cert("other@sigma.test")
    key, locked = tmp_path / "key.pem", tmp_path / "locked.pem"
    other.private_key_pem.write_to_path(str(key))
    locked.write_bytes(mine.read_bytes().replace(private_key(mine), locked_key(private_key(mine))))
    refused: list[tuple[dict[str, Any], str]] = [
        ({"verify": tmp_path / "missing.pem"}, "missing.pem: no CA certificates .*: No such file"),
        ({"verify": nothing}, "nothing.pem: no CA certificates can be read"),
        ({"cert": tmp_path / "missing.pem"}, "missing.pem: there is no such file"),
        ({"cert": nothing}, "nothing.pem with a key in the same file: no client certificate"),
        ({"cert": (mine, key)}, "the key is not the certificate's"),
        ({"cert": locked}, "locked with a password"),
    ]
    for how, said in refused:
        with pytest.raises(UsageError, match=said):
            StampedTransport(**how).route(httpx.URL("https://sigma.test"))
        StampedTransport(**how).route(httpx.URL("http://sigma.test"))


def locked_key(key: bytes) -> bytes:
    """*key* under a password."""
    cipher = serialization.BestAvailableEncryption(b"secret")
    return serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, cipher
    )


def private_key(file: Path) -> bytes:
    """The key's part of *file*."""
    return file.read_bytes().partition(b"-----BEGIN CERTIFICATE")[0]


# Handshakes


async def test_a_handshake_that_is_not_answered_is_a_connect_timeout(client: httpx.AsyncClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(httpx.ConnectTimeout, match="the TLS handshake went on"):
            await client.get(url, timeout=0.5)


async def test_a_cancelled_handshake_leaves_nothing_open(client: httpx.AsyncClient) -> None:
    tape = Tape()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with anyio.create_task_group() as group:
            group.start_soon(send, client, httpx.URL(f"https://127.0.0.1:{silent.getsockname()[1]}"), tape)
            await until(lambda: tape.tcp_ns)
            group.cancel_scope.cancel()
        accepted, _ = silent.accept()
        with accepted:
            accepted.settimeout(5)
            while accepted.recv(65_536):
                pass  # our hello, and then the end
    assert (tape.connected_ns, tape.sent_ns) == (None, None)
    assert tape.ended_ns is not None


@pytest.mark.parametrize(
    ("greeting", "said"),
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak TLS .*is it http://", id="http"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak TLS", id="ssh"),
        pytest.param(b"", "hung up in the middle of the TLS handshake", id="nothing"),
    ],
)
async def test_a_server_without_tls_is_a_connect_error_that_says_so(
    client: httpx.AsyncClient, greeting: bytes, said: str
) -> None:
    def serve(sock: socket.socket) -> None:
        sock.recv(65_536)
        sock.sendall(greeting)

    with listening(serve) as port, pytest.raises(httpx.ConnectError, match=said):
        await client.get(f"https://127.0.0.1:{port}")


async def test_a_refused_server_is_told_why(certificates: Certificates) -> None:
    told: list[str] = []
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.server)

    def serve(sock: socket.socket) -> None:
        try:
            context.wrap_socket(sock, server_side=True).recv(1)
        except ssl.SSLError as exc:
            told.append(str(exc.reason))

    async with trusting() as client:
        with listening(serve) as port, pytest.raises(httpx.ConnectError):
            await client.get(f"https://127.0.0.1:{port}")
    assert "UNKNOWN_CA" in told[0]


async def test_tickets_and_a_reset_right_behind_them_are_no_answer_and_no_silence(
    client: httpx.AsyncClient, certificates: Certificates
) -> None:
    """TLS 1.3 sends session tickets after the handshake: bytes on the wire, none of the answer."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.server)

    def serve(sock: socket.socket) -> None:
        secure = context.wrap_socket(sock, server_side=True)  # ends with the tickets
        secure.recv(65_536)
        secure.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        secure.close()

    with listening(serve) as port, pytest.raises(httpx.ReadError, match="before any answer"):
        await client.get(f"https://127.0.0.1:{port}", timeout=5)


async def test_the_steps_of_connecting_have_marks_in_order_and_a_kept_connection_none(
    client: httpx.AsyncClient, server: Streamer
) -> None:
    url = server(["send", HELLO]).copy_with(host="localhost")
    for tape in (first := Tape(), second := Tape()):
        await send(client, url, tape)
    marks = [first.began_ns, first.resolved_ns, first.tcp_ns, first.connected_ns, first.sent_ns]
    assert None not in marks
    assert marks == sorted(marks, key=lambda mark: mark or 0)
    assert (second.resolved_ns, second.tcp_ns, second.connected_ns) == (None, None, None)


# Records


async def test_records_may_come_byte_by_byte(client: httpx.AsyncClient, server: Streamer) -> None:
    def one_by_one(said: bytes) -> list[bytes]:
        return [said[at : at + 1] for at in range(len(said))]

    tape = Tape()
    script = server(["send", CHUNKED], ["send", "2\r\nhe\r\n"], ["send", "3\r\nllo\r\n0\r\n\r\n"])
    with relay(script.port or 0, one_by_one) as between:
        response = await send(client, script.copy_with(port=between), tape)
        assert response.status_code == 200
        assert bytes(tape.body) == b"hello"
        await client.aclose()


async def test_many_records_of_one_read_are_one_entry(client: httpx.AsyncClient, server: Streamer) -> None:
    words = [CHUNKED, *["2\r\nab\r\n"] * 8, "0\r\n\r\n"]
    whole = sum(len(word) + 22 for word in words)  # a record's header, kind and seal
    held: list[bytes] = []
    holding = False

    def hold(said: bytes) -> list[bytes]:
        if not holding:
            return [said]
        held.append(said)
        return [b"".join(held)] if len(b"".join(held)) >= whole else []

    tape = Tape()
    with relay(server().port or 0, hold) as between:
        await client.get(server(["send", HELLO]).copy_with(port=between))  # tickets come with it
        holding = True
        await send(client, server(*(["send", word] for word in words)).copy_with(port=between), tape)
        await client.aclose()
    assert bytes(tape.body) == b"ab" * 8
    assert tape.ends == [16]


async def test_a_record_that_was_tampered_with_is_an_error_and_what_came_before_it_stays(
    client: httpx.AsyncClient, server: Streamer
) -> None:
    tape = Tape()

    def spoil(said: bytes) -> list[bytes]:
        return [said[:-1] + bytes([said[-1] ^ 1])] if tape.body else [said]

    script = server(["send", CHUNKED + "5\r\nhello\r\n"], ["pause", 0.1], ["send", "0\r\n\r\n"])
    broken = pytest.raises(httpx.ReadError, match=r"TLS: .* after 5 bytes of the body")
    with relay(script.port or 0, spoil) as between, broken:
        await send(client, script.copy_with(port=between), tape)
    assert bytes(tape.body) == b"hello"
    assert tape.ended_ns is not None


async def test_a_body_up_to_the_end_of_its_connection_needs_a_good_bye(
    client: httpx.AsyncClient, server: Streamer
) -> None:
    """Without close_notify anybody on the way could have cut it."""
    whole, cut = Tape(), Tape()
    await send(client, server(["send", TO_THE_END + "hello"], ["close"]), whole)
    with pytest.raises(httpx.ReadError, match="cut, without TLS's close_notify, after 5 bytes"):
        await send(client, server(["send", TO_THE_END + "hello"], ["cut"]), cut)
    assert whole.body == cut.body == b"hello"
    assert cut.ended_ns is not None


async def test_a_body_that_is_whole_needs_none(client: httpx.AsyncClient, server: Streamer) -> None:
    tape = Tape()
    await send(client, server(["send", HELLO], ["cut"]), tape)
    assert bytes(tape.body) == b"hello"
    await send(client, server(["send", HELLO]), tape := Tape())
    assert tape.connected_ns is not None


async def test_a_kept_connection_that_is_cut_unanswered_is_tried_once_more(
    client: httpx.AsyncClient, server: Streamer
) -> None:
    await client.get(server(["send", HELLO]))
    tape = Tape()
    await send(client, server(["send", HELLO], drop="cut"), tape)
    assert bytes(tape.body) == b"hello"
    assert tape.resent


async def test_our_own_close_says_good_bye(client: httpx.AsyncClient, certificates: Certificates) -> None:
    heard: list[bytes] = []
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.server)

    def serve(sock: socket.socket) -> None:
        secure = context.wrap_socket(sock, server_side=True, suppress_ragged_eofs=False)
        secure.recv(65_536)
        secure.sendall(HELLO.encode())
        heard.append(secure.recv(65_536))  # raises where the good-bye is missing
        secure.close()

    with listening(serve) as port:
        await client.get(f"https://127.0.0.1:{port}")
        await client.aclose()
    assert heard == [b""]


async def test_a_long_body_goes_out_to_a_server_that_reads_slowly(
    client: httpx.AsyncClient, server: Streamer
) -> None:
    tape = Tape()
    script = server(["send", HELLO])
    with relay(script.port or 0, lambda said: [said], pace_s=0.0005) as between:
        await send(client, script.copy_with(port=between), tape, content=b"x" * 5_000_000)
        await client.aclose()
    assert bytes(tape.body) == b"hello"
    assert [request["body"] for request in server.requests()] == [5_000_000]


async def test_a_cancelled_upload_over_tls_says_nothing_more(
    client: httpx.AsyncClient, server: Streamer
) -> None:
    with anyio.move_on_after(0.1) as scope:
        await client.post(server(["wait"], unread=""), content=b"x" * 30_000_000)
    assert scope.cancelled_caught


# A server that changes its keys: OpenSSL's own, which does so when told


@pytest.fixture
def openssl(certificates: Certificates) -> Iterator[Callable[..., tuple[int, "subprocess.Popen[bytes]"]]]:
    binary = shutil.which("openssl")
    if binary is None:
        pytest.skip("openssl is the server that can change its keys")
    with ExitStack() as stack:

        def start(*options: str) -> tuple[int, "subprocess.Popen[bytes]"]:
            command = [binary, "s_server", "-accept", "127.0.0.1:0", "-cert", str(certificates.server)]
            process = stack.enter_context(
                subprocess.Popen(
                    [*command, "-key", str(certificates.server), "-crlf", *options],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                )
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            line = b""
            while not line.startswith(b"ACCEPT"):
                line = process.stdout.readline()
            return int(line.rpartition(b":")[2]), process

        yield start


async def reply_of(
    client: httpx.AsyncClient, server: tuple[int, "subprocess.Popen[bytes]"], tape: Tape, *rest: bytes
) -> None:
    """Have OpenSSL's server answer by hand, with a command in the middle of the reply."""
    port, process = server
    assert process.stdin is not None
    assert process.stdout is not None
    pipe, heard = process.stdin.fileno(), process.stdout

    async def tell(words: bytes) -> None:
        """It reads one piece at a time, and a command has to be alone in it."""
        os.write(pipe, words)
        await until(lambda: fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4) == b"\0" * 4)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(send, client, httpx.URL(f"https://localhost:{port}"), tape)
            while b"Content-Length: 0" not in await anyio.to_thread.run_sync(heard.readline):
                pass
            await tell(b"HTTP/1.1 200 OK\nContent-Length: 15\n\nhello,\n")
            await until(lambda: len(tape.body) == 8)
            for words in rest:
                await tell(words)


@pytest.mark.parametrize("command", [b"K\n", b"k\n"], ids=["on-both-sides", "of-the-server"])
async def test_new_keys_in_the_middle_of_a_reply_are_no_bytes_of_it(
    client: httpx.AsyncClient, openssl: Callable[..., Any], command: bytes
) -> None:
    tape = Tape()
    await reply_of(client, openssl("-tls1_3"), tape, command, b"hello\n")
    assert bytes(tape.body) == b"hello,\r\nhello\r\n"
    assert len(tape.ends) == 2


async def test_renegotiation_is_refused(client: httpx.AsyncClient, openssl: Callable[..., Any]) -> None:
    tape = Tape()
    with pytest.RaisesGroup(pytest.RaisesExc(httpx.ReadError, match="renegotiation")):
        await reply_of(client, openssl("-tls1_2"), tape, b"r\n")
    assert bytes(tape.body) == b"hello,\r\n"


async def test_a_request_over_a_connection_made_by_hand_counts_no_ticket_as_answer(
    server: Streamer, certificates: Certificates
) -> None:
    clock = KernelClock()
    context = ssl.create_default_context(cafile=certificates.ca)
    with closing(clock):
        url = server(["close"])
        route = Route("127.0.0.1", url.port or 0, context)
        channel = await reach(route, clock=clock, within=5)
        connection = Connection(channel, clock=clock, route=route, forget=lambda _: None)
        connection.expect(None, bodiless=False)
        await connection.send(b"GET %b HTTP/1.1\r\n\r\n" % url.raw_path, timeout=5)
        with pytest.raises(httpx.RemoteProtocolError, match="before any answer"):
            await connection.head(silence=5)
        assert not connection.answered
