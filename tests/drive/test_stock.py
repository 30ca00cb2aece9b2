"""TLS through stock httpx: the same tape, with stamps of our own."""

import json
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness.drive.stock import StockTransport
from harness.drive.tape import Tape

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate"),
]

CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def anyio_backend() -> Any:
    return ("asyncio", {"use_uvloop": True})


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of a server that goes by 127.0.0.1, signed by itself."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    command = "openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 2 -subj /CN=test"
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path, "-out", f"{path}.crt"],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


@pytest.fixture(scope="module")
def port(certificate: Path) -> Iterator[int]:
    command = [sys.executable, str(Path(__file__).with_name("streamer.py")), "--tls", str(certificate)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.terminate()


@pytest.fixture
async def client(certificate: Path, port: int) -> AsyncIterator[httpx.AsyncClient]:
    transport = StockTransport(ssl.create_default_context(cafile=str(certificate)))
    async with httpx.AsyncClient(transport=transport, base_url=f"https://127.0.0.1:{port}") as client:
        yield client


async def send(client: httpx.AsyncClient, tape: Tape, *steps: list[Any]) -> None:
    request = client.build_request(
        "POST",
        "/",
        params={"script": json.dumps(steps)},
        json={},
        extensions={"tape": tape},
        timeout=httpx.Timeout(5, read=0.3),
    )
    response = await client.send(request, stream=True)
    try:
        async for piece in response.aiter_raw():
            assert piece == b""
    finally:
        assert tape.ended_ns is not None  # the end of the body, not of our closing it
        await response.aclose()


async def test_a_reply_over_tls_fills_the_tape(client: httpx.AsyncClient) -> None:
    tape = Tape()
    await send(
        client, tape, ["send", CHUNKED + "2\r\nhe\r\n"], ["pause", 0.02], ["send", "3\r\nllo\r\n0\r\n\r\n"]
    )
    assert bytes(tape.body) == b"hello"
    assert tape.ends[-1] == 5
    assert tape.arrived == tape.seen
    assert tape.stamps == "user"
    marks = [tape.began_ns, tape.connected_ns, tape.sent_ns, tape.headers_ns, *tape.arrived, tape.ended_ns]
    assert None not in marks
    assert marks == sorted(marks, key=lambda mark: mark or 0)


async def test_a_kept_connection_has_no_mark_of_connecting(client: httpx.AsyncClient) -> None:
    for tape in (first := Tape(), second := Tape()):
        await send(client, tape, ["send", CHUNKED + "5\r\nhello\r\n0\r\n\r\n"])
    assert first.connected_ns is not None
    assert second.connected_ns is None


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        pytest.param([["close"]], httpx.RemoteProtocolError, id="closed"),
        pytest.param([["wait"]], httpx.ReadTimeout, id="silent"),
    ],
)
async def test_what_came_before_a_break_stays_on_the_tape(
    client: httpx.AsyncClient, steps: list[list[Any]], error: type[Exception]
) -> None:
    tape = Tape()
    with pytest.raises(error):
        await send(client, tape, ["send", CHUNKED + "6\r\nhello \r\n"], *steps)
    assert bytes(tape.body) == b"hello "
    assert tape.ended_ns is not None


async def test_a_server_that_nobody_vouches_for_is_a_connect_error(port: int) -> None:
    tape = Tape()
    transport = StockTransport(ssl.create_default_context())
    async with httpx.AsyncClient(transport=transport, base_url=f"https://127.0.0.1:{port}") as client:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await send(client, tape, ["close"])
    assert tape.sent_ns is None
    assert tape.ended_ns is not None


async def test_without_a_tape_it_is_plain_httpx(client: httpx.AsyncClient) -> None:
    response = await client.get(
        "/", params={"script": json.dumps([["send", CHUNKED + "5\r\nhello\r\n0\r\n\r\n"]])}
    )
    assert response.text == "hello"
