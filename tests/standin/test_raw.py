"""What the stand-in puts on the wire past its framing, byte by byte; and it stops when its client leaves."""

import json
import re
import socket
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

import pytest

from harness.cli.serve import serve
from harness.standin import simulate
from harness.standin.simulate import FAULTS, ScriptError, parse
from tests.conftest import Standin

WORDS = "sim:ttft=0,gap=0,tokens=6"
FAULTS_MD = Path(__file__).parents[2] / "docs" / "faults.md"
ENOUGH = 300_000


@contextmanager
def asking(standin: Standin, fault: str, times: int = 1) -> Iterator[socket.socket]:
    """A connection by which a model with that fault was asked, so many times."""
    place = urlsplit(standin.url)
    with closing(socket.create_connection((place.hostname or "", place.port or 0), timeout=10)) as sock:
        for number in range(times):
            if number:
                ended(sock)
            override = {"model_provider": "Simulated", "model_version": f"{WORDS},fault={fault}"}
            body = json.dumps({"message": "go", "llm_override": override}).encode()
            lines = (
                "POST /chat/send-chat-message HTTP/1.1",
                "Host: localhost",
                f"Content-Length: {len(body)}",
            )
            sock.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        yield sock


def ended(sock: socket.socket) -> bytes:
    """The bytes of a response that ends in form."""
    heard = b""
    while not heard.endswith(b"0\r\n\r\n"):
        heard += sock.recv(65_536)
    return heard


def heard(standin: Standin, fault: str, times: int = 1) -> bytes:
    """Everything that comes until the server closes, or until it is enough."""
    told = b""
    with asking(standin, fault, times) as sock:
        while len(told) < ENOUGH and (more := sock.recv(65_536)):
            told += more
    return told


def head_of(told: bytes) -> tuple[bytes, bytes]:
    head, _, body = told.partition(b"\r\n\r\n")
    return head, body


def test_half_a_chunk_is_announced_whole(sigma: Standin) -> None:
    told = heard(sigma, "halfchunk@3")
    size, _, rest = told[told.rindex(b"\r\n", 0, told.rindex(b"\r\n")) + 2 :].partition(b"\r\n")
    assert int(size, 16) == 2 * len(rest)
    assert rest.startswith(b'data: {"placement"')
    assert told.count(b"message_delta") == 3


def test_a_size_that_is_no_number_comes_after_whole_chunks(sigma: Standin) -> None:
    with asking(sigma, "badchunk@3") as sock:
        told = b""
        while b"\r\nmany\r\n" not in told:
            told += sock.recv(65_536)
    assert told.count(b"message_delta") == 3


def test_a_torn_line_is_followed_by_nothing(sigma: Standin) -> None:
    with asking(sigma, "torn@2") as sock:
        told = b""
        while not told.endswith(b"sub_turn_ind\r\n"):
            told += sock.recv(65_536)
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(1)


@pytest.mark.parametrize(
    ("fault", "again"),
    [
        ("flood@1", b"x" * 65_536),
        ("trailers@1", b"X-Trailer: and so on\r\n" * 9),
        ("hearts@1:0", b"chat_heartbeat"),
        ("drip@1:1ms", b"1\r\nx\r\n" * 9),
        ("informing:0", b"HTTP/1.1 103 Early Hints\r\nLink: </and-so-on>\r\n\r\n" * 9),
    ],
)
def test_what_has_no_end_goes_on_until_its_client_has_left(sigma: Standin, fault: str, again: bytes) -> None:
    with asking(sigma, fault) as sock:
        told = b""
        while again not in told:
            told += sock.recv(65_536)
        assert sigma.get("/_standin/stats")["in_flight"] == 1
    began = perf_counter()
    while sigma.get("/_standin/stats")["in_flight"]:
        assert perf_counter() - began < 5


def test_a_close_comes_without_a_word_and_garbage_without_a_head(sigma: Standin) -> None:
    assert heard(sigma, "hangup") == b""
    assert heard(sigma, "garble").startswith(b"SSH-2.0-")


def test_a_head_is_as_long_as_it_is_told(sigma: Standin) -> None:
    with asking(sigma, "head:200k") as sock:
        told = b"".join(iter(lambda: sock.recv(65_536), b""))
    head, body = head_of(told)
    assert 200_000 <= len(head) < 300_000
    assert body == b"{}"


def test_a_redirect_names_its_location(sigma: Standin) -> None:
    answer = sigma.post(
        {
            "message": "go",
            "llm_override": {
                "model_provider": "Simulated",
                "model_version": "sim:fault=redirect:http://127.0.0.1:9/there",
            },
        }
    )
    assert (answer.status_code, answer.headers["location"]) == (307, "http://127.0.0.1:9/there")


def test_a_stale_connection_answers_its_first_request_and_closes_at_the_second(sigma: Standin) -> None:
    with asking(sigma, "stale") as sock:
        assert ended(sock).startswith(b"HTTP/1.1 200 ")
    assert heard(sigma, "stale", times=2) == b""


@pytest.mark.parametrize(("fault", "off"), [("longer:9", 9), ("shorter:9", -9)])
def test_a_length_is_off_by_what_it_is_told(sigma: Standin, fault: str, off: int) -> None:
    head, body = head_of(heard(sigma, fault))
    announced = re.search(rb"content-length: (\d+)", head)
    assert announced is not None
    assert int(announced[1]) == len(body) + off
    assert body.count(b"message_delta") == 6


def test_a_reply_may_come_compressed_and_swell(sigma: Standin) -> None:
    for fault, letters in (("gzip", 0), ("bomb:2M", 2_000_000)):
        with asking(sigma, fault) as sock:
            head, chunked = head_of(ended(sock))
        assert b"content-encoding: gzip" in head
        said = zlib.decompress(_unchunked(chunked), wbits=zlib.MAX_WBITS | 16)
        assert said.count(b"message_delta") == 6
        assert said.count(b"x" * 1000) == letters // 1000


def _unchunked(rest: bytes) -> bytes:
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        body += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    return body


@pytest.mark.parametrize(
    "fault", ["drip@1", "hearts", "informing:often", "head", "bomb:much", "longer", "shorter:-1", "redirect"]
)
def test_a_fault_that_lacks_what_it_takes_is_refused(fault: str) -> None:
    with pytest.raises(ScriptError, match=r"is no|takes"):
        parse(f"sim:fault={fault}")


def test_every_fault_is_named_where_people_look_for_it() -> None:
    for text in (serve.__doc__, simulate.__doc__, FAULTS_MD.read_text()):
        assert FAULTS - set(re.findall(r"[a-z_0-9]+", text or "")) == set()
