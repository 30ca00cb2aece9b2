"""Every fault of the network that there is, as data: how it is produced, and what must come of it.

A real server process produces each byte by byte: a stand-in (`harness.standin.raw` and its neighbours), or,
before there is a connection at all, a port where nobody listens, a name that nobody has, a certificate that
nobody vouches for. `places` starts what is needed, `met` lets one trial meet one fault, and `lost` says what
of it did not come as it must.
"""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from time import perf_counter_ns

import trustme

from harness.drive.attempt import Running, attempt
from harness.drive.exchange import STOP_WAIT_S
from harness.drive.transport import StampedTransport
from harness.plan.trials import Trial
from harness.result import Exchange, Fault, Result, Step
from harness.sigma.client import Address, Client
from tests.drive.test_attempt import trial

SHORT_S, LONG_S = 0.4, 20.0
SLACK_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A fault. *script* is what a `sim:` model does, *place* is where to go instead.

    *fault* is None for what a reply survives. *words* of the answer have come before it, None where there is
    no reply that could be read. Only the time limit, *limit_s*, ends what goes on for ever.
    """

    name: str
    script: str = ""
    place: str = "standin"
    fault: Fault | None
    step: Step | None = None
    words: int | None = None
    status: int | None = 200
    resent: bool = False
    limit_s: float = LONG_S

    @property
    def model(self) -> str:
        """The model to ask."""
        return f"sim:ttft=0,gap=1ms,tokens=8{',' if self.script else ''}{self.script}"

    @property
    def is_large(self) -> bool:
        """Whether it brings as much as a reply may have."""
        return "flood" in self.script or "bomb" in self.script

    @property
    def takes_long(self) -> bool:
        """Whether it takes more than a second to end."""
        return self.limit_s == SHORT_S or self.is_large

    @property
    def within_s(self) -> float:
        """When it must be over, whatever the server does: the limit, and the stop of what may go on."""
        return self.limit_s + 2 * STOP_WAIT_S + SLACK_S

    def trial(self) -> Trial:
        """A trial that meets it, once."""
        return trial(self.model, f"  time_limit: {self.limit_s * 1000:g}ms\n  retry: {{attempts: 1}}")


def _connect(name: str, place: str) -> Broken:
    return Broken(name=name, place=place, fault=Fault.CONNECT, step=Step.CONNECT, status=None)


def _headless(
    name: str, script: str, fault: Fault, *, resent: bool = False, limit_s: float = LONG_S
) -> Broken:
    return Broken(
        name=name, script=script, fault=fault, step=Step.HEADERS, status=None, resent=resent, limit_s=limit_s
    )


def _midway(name: str, script: str, fault: Fault, words: int, *, limit_s: float = LONG_S) -> Broken:
    return Broken(name=name, script=script, fault=fault, step=Step.BODY, words=words, limit_s=limit_s)


def _refused(status: int) -> Broken:
    return Broken(
        name=f"{status} with a web page",
        script=f"fault=http:{status}-html",
        fault=Fault.HTTP,
        step=Step.HEADERS,
        words=0,
        status=status,
    )


BROKEN: tuple[Broken, ...] = (
    _connect("refused", "closed"),
    _connect("a name that does not exist", "nowhere"),
    _connect("no TLS where TLS is expected", "plain"),
    _connect("a certificate that nobody vouches for", "untrusted"),
    _headless("a stall before the head", "pre=30s", Fault.TIMED_OUT, limit_s=SHORT_S),
    _midway("a stall after the first word", "fault=stall@1:30s", Fault.TIMED_OUT, 1, limit_s=SHORT_S),
    _midway("a stall in the middle of a packet", "fault=torn@3", Fault.TIMED_OUT, 3, limit_s=SHORT_S),
    _midway("a reset", "fault=reset@5", Fault.DISCONNECTED, 5),
    _midway("a close between two chunks", "fault=drop@5", Fault.DISCONNECTED, 5),
    _midway("a truncated chunk", "fault=halfchunk@5", Fault.DISCONNECTED, 5),
    _midway("a chunk whose size is no number", "fault=badchunk@5", Fault.PROTOCOL, 5),
    _midway("an end in form without a stop", "fault=cut@5", Fault.TRUNCATED, 5),
    _midway("more announced than comes", "fault=longer:9", Fault.DISCONNECTED, 8),
    _midway("less announced than comes", "fault=shorter:9", Fault.TRUNCATED, 8),
    Broken(name="a split inside a character", script="fault=utf8", fault=None, words=8),
    _midway("a line that is no JSON", "fault=badline@3", Fault.PROTOCOL, 8),
    _midway("a line without an end", "fault=flood@2", Fault.PROTOCOL, 2),
    _headless("a header of ten megabytes", "fault=head:10M", Fault.PROTOCOL),
    _headless("1xx responses without an end", "fault=informing:0", Fault.PROTOCOL),
    _headless("1xx responses now and then", "fault=informing:20ms", Fault.TIMED_OUT, limit_s=SHORT_S),
    _midway("trailers without an end", "fault=trailers@3", Fault.PROTOCOL, 3),
    _midway("a line that drips byte by byte", "fault=drip@3:20ms", Fault.TIMED_OUT, 3, limit_s=SHORT_S),
    _midway("heartbeats without an end", "fault=hearts@3:20ms", Fault.TIMED_OUT, 3, limit_s=SHORT_S),
    Broken(name="gzip that was not asked for", script="fault=gzip", fault=None, words=8),
    _midway("gzip that breaks off", "fault=gzip,fault=drop@5", Fault.DISCONNECTED, 5),
    _midway("gzip that unpacks to 60 MB", "fault=gzip,fault=bomb:60M", Fault.PROTOCOL, 8),
    Broken(
        name="a redirect",
        script="fault=redirect:http://127.0.0.1:9/elsewhere",
        fault=Fault.HTTP,
        step=Step.HEADERS,
        words=0,
        status=307,
    ),
    Broken(name="a kept connection that was closed", script="fault=stale", fault=None, words=8, resent=True),
    _headless("a close without a word", "fault=hangup", Fault.DISCONNECTED, resent=True),
    _headless("something else than HTTP", "fault=garble", Fault.PROTOCOL),
    *map(_refused, (429, 502, 503, 504)),
)


@dataclass(frozen=True, slots=True)
class Places:
    """Where to go, by the name that a fault has for it."""

    standin: str
    closed: str
    plain: str
    untrusted: str
    nowhere: str = "http://no-such-host.invalid"

    def of(self, broken: Broken) -> str:
        """The address at which *broken* happens."""
        url: str = getattr(self, broken.place)
        return url


@contextmanager
def places(standin: str) -> Iterator[Places]:
    """All places, around a stand-in that runs."""
    with socket.socket() as unheard, _untrusted() as untrusted:
        unheard.bind(("127.0.0.1", 0))  # and does not listen
        closed = f"http://127.0.0.1:{unheard.getsockname()[1]}"
        yield Places(standin, closed, standin.replace("http:", "https:"), untrusted)


@contextmanager
def _untrusted() -> Iterator[str]:
    """The address of a server whose certificate is signed by a CA that nobody knows."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)

    def serve() -> None:
        with suppress(OSError):
            while True:
                sock, _ = listener.accept()
                with sock, suppress(OSError):
                    context.wrap_socket(sock, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


async def met(broken: Broken, where: Places, transport: StampedTransport) -> Result:
    """What came of a trial that met *broken*; a healthy one goes before it, so that a connection is kept."""
    async with Client(Address(where.standin), transport) as client:
        if broken.resent:
            await attempt(Running(trial("sim:ttft=0,tokens=1")), client, perf_counter_ns)
        async with Client(Address(where.of(broken)), transport) as to_it:
            return await attempt(Running(broken.trial()), to_it, perf_counter_ns)


def lost(broken: Broken, result: Result) -> list[str]:
    """What of *broken* is not on record as it must be: nothing, if all is well."""
    exchange, failure = result.exchanges[-1], result.failure
    took_s = ((result.ended_ns or 0) - (result.began_ns or 0)) / 1e9
    said = exchange.transcript.answer if exchange.transcript else None
    expected = {
        "fault": (broken.fault, failure and failure.fault),
        "step": (broken.step, failure and failure.step),
        "status": (broken.status, exchange.http_status),
        "resent": (broken.resent, exchange.resent),
        "words": (broken.words, None if said is None else len(said.split())),
        "exchanges": (1, len(result.exchanges)),
    }
    wrong = [f"{name}: {got} and not {wanted}" for name, (wanted, got) in expected.items() if wanted != got]
    if took_s > broken.within_s:
        wrong.append(f"it took {took_s:.1f} s, and {broken.within_s:g} s are allowed")
    return [*wrong, *_stamps(exchange)]


def _stamps(exchange: Exchange) -> Iterator[str]:
    """What is wrong with the stamps of the reads: of every byte that is kept it is known when it came."""
    ends = exchange.read_ends
    if exchange.body and (not ends or ends[-1] != len(exchange.body)):
        yield f"{len(exchange.body)} bytes are kept, and stamped are {ends[-1] if ends else 0}"
    if not len(ends) == len(exchange.arrived_ns) == len(exchange.seen_ns):
        yield "a read lacks its stamp"
    if any(late < early for early, late in pairwise(exchange.arrived_ns)):
        yield "the stamps are not in order"
    if exchange.ended_ns is None:
        yield "it has no end"
