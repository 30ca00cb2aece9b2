"""Proxies: who goes through one, how, and what is said when it refuses."""

import base64
import select
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx
import pytest

from harness.drive.proxy import Proxy, from_environment, is_direct, proxy_at
from harness.drive.tape import Tape
from harness.drive.transport import StampedTransport
from harness.errors import UsageError
from tests.drive.streaming import (
    CHUNKED,
    HELLO,
    LOOPS,
    OK,
    WHO,
    Certificates,
    Streamer,
    descriptors,
    listening,
    send,
    streaming,
)

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


# Which requests go through one


@pytest.mark.parametrize(
    ("host", "no_proxy", "direct"),
    [
        pytest.param("sigma.test", "", False, id="nothing-said"),
        pytest.param("sigma.test", "*", True, id="all"),
        pytest.param("sigma.test", "other.test, sigma.test", True, id="in-a-list"),
        pytest.param("sigma.test", "other.test sigma.test", True, id="in-a-list-with-spaces"),
        pytest.param("a.sigma.test", "sigma.test", True, id="below-a-name"),
        pytest.param("a.sigma.test", ".sigma.test", True, id="below-a-name-with-a-dot"),
        pytest.param("sigma.test", "*.sigma.test", True, id="with-a-star"),
        pytest.param("sigma.test", ".SIGMA.test.", True, id="in-another-spelling"),
        pytest.param("mysigma.test", "sigma.test", False, id="another-name-that-ends-alike"),
        pytest.param("sigma.test", "sigma.test:8443", True, id="with-our-port"),
        pytest.param("sigma.test", "sigma.test:443", False, id="with-another-port"),
        pytest.param("10.1.2.3", "10.0.0.0/8", True, id="in-a-network"),
        pytest.param("11.1.2.3", "10.0.0.0/8", False, id="in-another-network"),
        pytest.param("11.1.2.3", "10.0.0.0/99", False, id="no-network"),
        pytest.param("10.1.2.3", "10.1.2.3", True, id="an-address"),
        pytest.param("10.1.2.3", "2.3", False, id="the-end-of-an-address"),
        pytest.param("2001:db8::1", "[2001:db8::1]:8443", True, id="an-ipv6-address-with-a-port"),
        pytest.param("2001:db8::1", "2001:db8::1", True, id="an-ipv6-address"),
        pytest.param("2001:db8::1", "2001:db8::/32", True, id="in-an-ipv6-network"),
        pytest.param("127.0.0.1", "", True, id="this-machine"),
        pytest.param("127.8.0.1", "", True, id="this-machine-too"),
        pytest.param("::1", "", True, id="this-machine-in-ipv6"),
        pytest.param("localhost", "", True, id="this-machine-by-name"),
        pytest.param("x.localhost", "", True, id="below-this-machine"),
    ],
)
def test_no_proxy_covers_what_people_mean_by_it(host: str, no_proxy: str, direct: bool) -> None:
    assert is_direct(host, 8443, no_proxy) is direct


@pytest.mark.parametrize(
    ("url", "proxies", "chosen"),
    [
        ("https://sigma.test", {"https": "http://p:1", "all": "http://a:1"}, "http://p:1"),
        ("https://sigma.test", {"http": "http://p:1"}, None),
        ("http://sigma.test", {"http": "http://p:1"}, "http://p:1"),
        ("http://sigma.test", {"all": "p:1"}, "p:1"),
        ("http://sigma.test", {"all": "http://p:1", "no": "sigma.test"}, None),
        ("http://sigma.test:81", {"all": "http://p:1", "no": "sigma.test:80"}, "http://p:1"),
        ("http://[::1]:81", {"all": "http://p:1"}, None),
    ],
)
def test_the_environment_names_a_proxy_for_each_scheme(
    url: str, proxies: Mapping[str, str], chosen: str | None
) -> None:
    assert from_environment(httpx.URL(url), proxies) == chosen


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_the_environment_is_read_in_both_cases_unless_it_is_not_to_be(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "http://proxy.test:3128")
    url = httpx.URL("https://sigma.test")
    assert StampedTransport().route(url).proxy == Proxy("proxy.test", 3128)
    assert StampedTransport(trust_env=False).route(url).proxy is None
    assert StampedTransport(proxy=False).route(url).proxy is None
    assert StampedTransport(proxy="http://mine.test").route(url).proxy == Proxy("mine.test", 80)
    assert StampedTransport().route(httpx.URL("https://127.0.0.1")).proxy is None


def test_a_proxy_never_shows_its_password() -> None:
    proxy = proxy_at("http://me:s%40cret@proxy.test:3128", ssl.create_default_context)
    assert proxy.authorization == b"Basic " + base64.b64encode(b"me:s@cret")
    assert "cret" not in f"{proxy} {proxy!r}"
    assert "Basic" not in f"{proxy} {proxy!r}"


@pytest.mark.parametrize(
    "url", ["socks5://me:secret@p:1", "ftp://me:secret@p:1", "http://me:secret@p:no", ""]
)
def test_a_proxy_that_cannot_be_used_is_a_usage_error_without_its_password(url: str) -> None:
    with pytest.raises(UsageError, match="http://") as caught:
        proxy_at(url, ssl.create_default_context)
    assert "secret" not in str(caught.value)


def test_socks_in_the_environment_stands_in_the_way_of_nobody_who_goes_directly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy.test")
    transport = StampedTransport()
    assert transport.route(httpx.URL("http://127.0.0.1:8080")).proxy is None
    with pytest.raises(UsageError, match="socks5 proxies are not supported"):
        transport.route(httpx.URL("http://sigma.test"))


# Through one


@dataclass
class Seen:
    """A proxy that runs, and the heads of the requests it got."""

    port: int
    heads: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def first_lines(self) -> list[str]:
        return [head.split("\r\n")[0] for head in self.heads]


@contextmanager
def proxying(
    answer: bytes = ESTABLISHED, *, tls: ssl.SSLContext | None = None, in_parts: bool = False
) -> Iterator[Seen]:
    """A proxy in threads of its own: CONNECT gets *answer*. Every name is this machine."""

    def serve(sock: socket.socket) -> None:
        with sock if tls is None else tls.wrap_socket(sock, server_side=True) as near:
            head, body = read_head(near)
            seen.heads.append(head)
            method, target, _ = head.split(" ", 2)
            if method == "CONNECT":
                for part in [answer[at : at + 1] for at in range(len(answer))] if in_parts else [answer]:
                    near.sendall(part)
                if answer.startswith((b"HTTP/1.1 2", b"HTTP/1.1 1")):
                    both_ways(near, int(target.rpartition(":")[2]), b"")
            else:
                parts = urlsplit(target)
                first = f"{head}\r\n\r\n".replace(target, f"{parts.path}?{parts.query}").encode("latin-1")
                both_ways(near, parts.port or 80, first + body)

    with listening(serve) as port:
        seen = Seen(port)
        yield seen


def read_head(near: socket.socket) -> tuple[str, bytes]:
    heard = b""
    while b"\r\n\r\n" not in heard:
        more = near.recv(65_536)
        if not more:
            raise OSError
        heard += more
    head, _, body = heard.partition(b"\r\n\r\n")
    return head.decode("latin-1"), body


def both_ways(near: socket.socket, port: int, first: bytes) -> None:
    """Hand on what either side says, until one has had enough."""
    with socket.create_connection(("127.0.0.1", port)) as far:
        far.sendall(first)
        while True:
            ready, _, _ = select.select([near, far], [], [])
            for source in ready:
                said = source.recv(65_536)
                if not said:
                    if isinstance(near, ssl.SSLSocket):
                        near.unwrap()
                    return
                (far if source is near else near).sendall(said)


@pytest.fixture(scope="module")
def ports(certificates: Certificates) -> Iterator[dict[str, int]]:
    with streaming() as plain, streaming("--tls", certificates.server) as secure:
        yield {"http": plain, "https": secure}


@pytest.fixture(params=["http", "https"])
def server(request: pytest.FixtureRequest, ports: dict[str, int], certificates: Certificates) -> Streamer:
    """By a name that only the proxy knows."""
    return Streamer(
        f"{request.param}://sigma.test:{ports[request.param]}", request.node.name, certificates.ca
    )


@pytest.fixture
async def sockets() -> AsyncIterator[None]:
    """What a test opens, it closes."""
    before = descriptors()
    yield
    assert descriptors() == before


def through(proxy: str | None, certificates: Certificates) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=StampedTransport(verify=certificates.ca, proxy=proxy), timeout=10)


@pytest.mark.anyio
@pytest.mark.usefixtures("sockets")
async def test_a_reply_comes_through_a_proxy_with_its_stamps(
    server: Streamer, certificates: Certificates
) -> None:
    tapes = [Tape(), Tape()]
    with proxying() as proxy:
        async with through(proxy.url, certificates) as client:
            for tape in tapes:
                script = server(["send", CHUNKED], ["send", "8\r\n@CONNECTION@\r\n"], ["send", "0\r\n\r\n"])
                await send(client, script, tape, content=b"x" * 100_000)
    assert tapes[0].body == tapes[1].body
    marks = [tapes[0].resolved_ns, tapes[0].tcp_ns, tapes[0].connected_ns, tapes[0].sent_ns]
    assert marks == sorted(marks, key=lambda mark: mark or 0)
    assert tapes[1].tcp_ns is None
    assert tapes[0].stamps == "kernel"
    (line,) = proxy.first_lines  # kept: the second request went by the same way
    wanted = f"CONNECT sigma.test:{httpx.URL(server.base).port} HTTP/1.1" if server.secure else "POST http://"
    assert line.startswith(wanted)


@pytest.mark.anyio
@pytest.mark.usefixtures("sockets")
async def test_the_password_goes_to_the_proxy_and_not_to_the_server(
    server: Streamer, certificates: Certificates
) -> None:
    with proxying() as proxy:
        async with through(f"http://me:secret@127.0.0.1:{proxy.port}", certificates) as client:
            assert (await client.get(server(["send", HELLO]))).text == "hello"
            told = (await client.get(server.base + "/ledger", params={"label": server.label})).json()
    basic = base64.b64encode(b"me:secret").decode()
    assert f"\r\nProxy-Authorization: Basic {basic}" in proxy.heads[0]
    if server.secure:  # over http the head is the server's too: it is the proxy that takes its own lines out
        assert "Authorization" not in told["requests"][0]["head"]


@pytest.mark.anyio
@pytest.mark.usefixtures("sockets")
async def test_the_environment_is_followed(
    server: Streamer, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxying() as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        async with through(None, certificates) as client:
            assert (await client.get(server(["send", HELLO]))).text == "hello"
            here = server(["send", HELLO]).copy_with(host="127.0.0.1")
            assert (await client.get(here)).text == "hello"
    assert len(proxy.heads) == 1


@pytest.mark.anyio
@pytest.mark.usefixtures("sockets")
async def test_a_proxy_may_itself_want_tls(
    server: Streamer, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.server)
    tape = Tape()
    with proxying(tls=context) as proxy:
        async with through(f"https://localhost:{proxy.port}", certificates) as client:
            await send(client, server(["send", OK + "\r\nhello"], ["close"]), tape, content=b"x" * 300_000)
    assert bytes(tape.body) == b"hello"
    assert tape.stamps == "kernel"


@pytest.mark.anyio
@pytest.mark.usefixtures("sockets")
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(
            b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
            r"refuses to connect us to sigma\.test:\d+: 407 Proxy Authentication Required; it wants a user",
            id="407",
        ),
        pytest.param(
            b"HTTP/1.1 403 Forbidden\r\nContent-Length: 53\r\n\r\n"
            b"<title>No</title><h1>Blocked</h1> by\n<b>policy</b>.\n",
            r"403 Forbidden \(Blocked by policy \.\)",
            id="403-with-a-page",
        ),
        pytest.param(b"HTTP/1.0 502\r\n\r\n", "to sigma.*: 502", id="502-without-a-word"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not HTTP/1.1", id="no-proxy-at-all"),
        pytest.param(b"HTTP/1.1 5", "hung up", id="cut-short"),
    ],
)
async def test_a_proxy_that_refuses_is_a_proxy_error_with_its_words(
    ports: dict[str, int], certificates: Certificates, answer: bytes, said: str
) -> None:
    tape = Tape()
    with proxying(answer) as proxy:
        async with through(f"http://me:secret@127.0.0.1:{proxy.port}", certificates) as client:
            with pytest.raises(httpx.ProxyError, match=said) as caught:
                await send(client, httpx.URL(f"https://sigma.test:{ports['https']}"), tape)
    assert "secret" not in str(caught.value)
    assert tape.resolved_ns is not None
    assert (tape.tcp_ns, tape.connected_ns, tape.sent_ns) == (None, None, None)
    assert tape.ended_ns is not None


@pytest.mark.anyio
@pytest.mark.usefixtures("sockets")
async def test_a_consent_may_come_in_pieces_and_behind_a_1xx(
    ports: dict[str, int], certificates: Certificates
) -> None:
    answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
    server = Streamer(f"https://sigma.test:{ports['https']}", "in pieces")
    with proxying(answer, in_parts=True) as proxy:
        async with through(proxy.url, certificates) as client:
            assert (await client.get(server(["send", WHO]))).is_success


@pytest.mark.anyio
@pytest.mark.usefixtures("sockets")
async def test_bytes_behind_a_consent_belong_to_the_server(
    ports: dict[str, int], certificates: Certificates
) -> None:
    """No TLS server speaks first; were they dropped, the handshake would go well."""
    with proxying(ESTABLISHED + b"HTTP/1.1 500 glued\r\n\r\n") as proxy:
        async with through(proxy.url, certificates) as client:
            with pytest.raises(httpx.ConnectError, match="does not speak TLS"):
                await client.get(f"https://sigma.test:{ports['https']}")


@pytest.mark.anyio
@pytest.mark.usefixtures("sockets")
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_is_not_there_is_named(certificates: Certificates, scheme: str) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        async with through(f"http://me:secret@127.0.0.1:{port}", certificates) as client:
            with pytest.raises(
                httpx.ConnectError, match=f"the proxy 127.0.0.1 port {port}, on the way to sigma"
            ):
                await client.get(f"{scheme}://sigma.test")


@pytest.mark.anyio
@pytest.mark.usefixtures("sockets")
async def test_a_proxy_that_does_not_answer_is_a_connect_timeout(certificates: Certificates) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with through(f"http://127.0.0.1:{silent.getsockname()[1]}", certificates) as client:
            with (
                anyio.fail_after(5),
                pytest.raises(httpx.ConnectTimeout, match=r"the proxy .* did not answer"),
            ):
                await client.get("https://sigma.test", timeout=0.1)
