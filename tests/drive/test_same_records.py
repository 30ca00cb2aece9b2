"""One reply read in every way there is: the same records, and only the source of their stamps differs."""

import json
import sys
from collections.abc import Iterator
from functools import partial

import anyio
import httpx
import pytest

from harness.drive.tape import Tape
from harness.drive.transport import STAMPS_VARIABLE, StampedTransport, transport_of, transports
from harness.errors import UsageError
from harness.sigma.transcript import Outcome, read_body
from harness.suite.model import Suite
from harness.suite.read import parse_suite
from tests.drive.streaming import CHUNKED, Certificates, Step, Streamer, send, streaming

LINES = [
    {"user_message_id": 1, "reserved_assistant_message_id": 2},
    {"placement": {"turn_index": 0}, "obj": {"type": "message_start", "final_documents": []}},
    *(
        {"placement": {"turn_index": 0}, "obj": {"type": "message_delta", "content": f"w\u00f6rd {number} "}}
        for number in range(20)
    ),
    {"placement": {"turn_index": 0}, "obj": {"type": "section_end"}},
    {"placement": {"turn_index": 1}, "obj": {"type": "stop", "stop_reason": "finished"}},
]
PACKETS = [json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in LINES]
BODY = b"".join(PACKETS)
BOUNDARIES = {len(b"".join(PACKETS[:number])) for number in range(1, len(PACKETS) + 1)}


def script() -> list[Step]:
    """One write for each packet, with a moment between them."""
    writes = [(b"%x\r\n%b\r\n" % (len(packet), packet)).decode("latin-1") for packet in PACKETS]
    steps: list[Step] = [["pause", 0.003], ["send", CHUNKED]]
    for write in writes:
        steps += [["pause", 0.003], ["send", write]]
    return [*steps, ["send", "0\r\n\r\n"]]


@pytest.fixture(scope="module")
def ports(certificates: Certificates) -> Iterator[dict[str, int]]:
    with streaming() as plain, streaming("--tls", certificates.server) as secure:
        yield {"http": plain, "https": secure}


async def read(suite: Suite, url: httpx.URL) -> Tape:
    tape = Tape()
    base = url.copy_with(query=None)
    async with httpx.AsyncClient(transport=transport_of(suite, base)()) as client:
        await send(client, url, tape, json={"message": "hi"})
    return tape


@pytest.mark.skipif(sys.platform != "linux", reason="kernel stamps are Linux's")
@pytest.mark.parametrize("stamps", ["kernel", "user"])
@pytest.mark.parametrize("uvloop", [True, False], ids=["uvloop", "asyncio"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_only_the_source_of_the_stamps_differs(
    ports: dict[str, int],
    certificates: Certificates,
    scheme: str,
    uvloop: bool,
    stamps: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(STAMPS_VARIABLE, stamps)
    base = f"{scheme}://127.0.0.1:{ports[scheme]}"
    suite = suite_at(base, certificates)
    url = Streamer(base, f"{scheme} {uvloop} {stamps}")(*script())
    tape = anyio.run(partial(read, suite, url), backend_options={"use_uvloop": uvloop})
    assert bytes(tape.body) == BODY
    assert tape.stamps == stamps
    # One read brings whole packets here, mostly one: that is what the stamps are of.
    assert set(tape.ends) <= BOUNDARIES
    assert tape.ends == sorted(set(tape.ends))
    assert tape.ends[-1] == len(BODY)
    assert len(tape.ends) == len(tape.arrived) == len(tape.seen)
    assert tape.arrived == sorted(tape.arrived)
    assert all(arrived <= seen for arrived, seen in zip(tape.arrived, tape.seen, strict=True))
    assert (tape.arrived == tape.seen) == (stamps == "user")
    marks = [
        tape.began_ns, tape.resolved_ns, tape.tcp_ns, tape.connected_ns, tape.sent_ns, tape.headers_ns,
        *tape.arrived, tape.ended_ns,
    ]  # fmt: skip
    assert None not in marks
    assert marks == sorted(marks, key=lambda mark: mark or 0)
    transcript = read_body(tape.body)
    assert transcript.answer == "".join(f"w\u00f6rd {number} " for number in range(20))
    assert transcript.outcome is Outcome.SUCCESS
    assert transcript.assistant_message_ids == (2,)


def suite_at(base: str, certificates: Certificates) -> Suite:
    text = f"target: {{base_url: '{base}', ca_file: ca.pem}}\nprompts: [{{message: hi}}]\n"
    return parse_suite(text, certificates.ca.parent / "suite.yaml", {})


def test_stamps_of_another_kind_are_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STAMPS_VARIABLE, "hardware")
    with pytest.raises(UsageError, match="HARNESS_STAMPS=hardware: kernel or user"):
        transports("http://127.0.0.1")


def test_a_transport_can_be_made_without_kernel_stamps(ports: dict[str, int]) -> None:
    tape = Tape()
    url = Streamer(f"http://127.0.0.1:{ports['http']}", "without")(*script())

    async def read_without() -> None:
        async with httpx.AsyncClient(transport=StampedTransport(kernel_stamps=False)) as client:
            await send(client, url, tape)

    anyio.run(read_without)
    assert tape.stamps == "user"
    assert tape.arrived == tape.seen
