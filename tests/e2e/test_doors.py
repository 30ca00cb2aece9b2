"""Whom each client of ours trusts, what --insecure says of itself, and where each server of ours listens."""

import json
import re
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import httpx
import polars as pl
import pytest

from harness.drive.access import UNVERIFIED, Access, accessed
from harness.drive.ask import openai_ask, openai_embed, openai_http
from harness.drive.preflight import look
from harness.errors import CollectorError, TargetError
from harness.plan.trials import make_plan
from harness.report.otel import export
from harness.report.prometheus import serving as prometheus
from harness.suite.read import parse_suite
from harness.suite.servers import Embeddings, Judge
from tests.conftest import Serving, Standin, stream_source
from tests.drive.streaming import Certificates, listening
from tests.program import harness
from tests.standin.provider import Provider, scripted
from tests.view.test_guard import guarded
from tests.view.viewing import run

pytestmark = pytest.mark.slow

SUITE = """
suite: small
target: {target}
prompts:
  - {{id: hello, message: hello, assert: [stream-complete]}}
"""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@contextmanager
def behind_tls(port: int, certificates: Certificates, *, client_ca: bool = False) -> Iterator[int]:
    """The port of a server with a certificate that only *certificates* vouch for, in front of *port*."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.server)
    if client_ca:
        context.load_verify_locations(certificates.ca)
        context.verify_mode = ssl.CERT_REQUIRED

    def serve(sock: socket.socket) -> None:
        with (
            context.wrap_socket(sock, server_side=True) as near,
            socket.create_connection(("127.0.0.1", port)) as far,
        ):
            while True:
                ready = [near] if near.pending() else select.select([near, far], [], [])[0]
                if near in ready:
                    if not (heard := near.recv(65_536)):
                        return
                    far.sendall(heard)
                if far in ready:
                    if not (said := far.recv(65_536)):
                        return
                    near.sendall(said)

    with listening(serve) as front:
        yield front


class _Collector(BaseHTTPRequestHandler):
    """Takes whatever is posted."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@dataclass(frozen=True)
class Fronts:
    """Servers that speak TLS: a Sigma, an OpenAI-compatible one, and a collector of traces."""

    sigma: str
    models: str
    collector: str
    provider: Provider
    recorded: Path


@pytest.fixture(scope="module")
def fronts(
    sigma: Standin, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fronts]:
    folder = tmp_path_factory.mktemp("recorded")
    with ExitStack() as stack:
        provider = stack.enter_context(scripted(lambda _: '{"pass": true, "score": 1, "reason": "so it is"}'))
        collector = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), _Collector))
        thread = threading.Thread(target=collector.serve_forever, args=(0.02,))
        thread.start()
        stack.callback(thread.join)
        stack.callback(collector.shutdown)
        ports = (int(httpx.URL(sigma.url).port or 0), int(httpx.URL(provider.url).port or 0))
        behind = [
            stack.enter_context(behind_tls(port, certificates)) for port in (*ports, collector.server_port)
        ]
        yield Fronts(
            f"https://127.0.0.1:{behind[0]}",
            f"https://127.0.0.1:{behind[1]}/v1",
            f"https://127.0.0.1:{behind[2]}",
            provider,
            run(SUITE.format(target="standin"), folder, folder / "results"),
        )


# Every client


def target(fronts: Fronts, access: Access | None = None) -> str:
    suite = parse_suite(SUITE.format(target=f"{{base_url: {fronts.sigma}}}"), Path("s.yaml"), {})
    try:
        look(make_plan(accessed(suite, None, access or Access()), seed=0))
    except TargetError as error:
        return str(error)
    return ""


def judge(fronts: Fronts) -> str:
    asked = Judge.model_validate({"base_url": fronts.models, "model": "m", "time_limit": "20s"})

    async def put() -> str:
        async with openai_http() as http:
            return (await openai_ask(http, asked)("Is it so?")).error

    return anyio.run(put)


def embeddings(fronts: Fronts) -> str:
    asked = Embeddings.model_validate({"base_url": fronts.models, "model": "m"})

    async def put() -> str:
        async with openai_http() as http:
            told = await openai_embed(http, asked)(["one text"])
            return told if isinstance(told, str) else ""

    return anyio.run(put)


def provider(fronts: Fronts, serving: Serving, folder: Path) -> str:
    """Of the stand-in, which is a process of its own and takes the environment with it."""
    (folder / "lab.yaml").write_text(
        SUITE.format(
            target=f'{{standin: {{providers: {{Lab: {{base_url: "{fronts.models}", models: [m]}}}}}}}}'
        )
    )
    with serving("--dialect", "onyx", "--suite", str(folder / "lab.yaml")) as standin:
        lab: dict[str, Any] = {"llm_override": {"model_provider": "Lab", "model_version": "m"}}
        reply = standin.ask(json.dumps([{"say": ["yes"]}]), None, **lab)
        return "" if reply.kinds and reply.kinds[-1] == "stop" and reply.answer() == "yes" else reply.text


def collector(fronts: Fronts) -> str:
    try:
        assert export(fronts.recorded, fronts.collector) == 1
    except CollectorError as error:
        return str(error)
    return ""


Client = Callable[[Fronts], str]


@pytest.fixture
def clients(serving: Serving, tmp_path: Path) -> dict[str, Client]:
    return {
        "target": target,
        "judge": judge,
        "embeddings": embeddings,
        "provider": partial(provider, serving=serving, folder=tmp_path),
        "collector": collector,
    }


NAMES = ["target", "judge", "embeddings", "provider", "collector"]


@pytest.mark.parametrize("name", NAMES)
def test_every_client_refuses_a_server_that_nobody_vouches_for(
    name: str, clients: dict[str, Client], fronts: Fronts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3")
    heard = len(fronts.provider.bodies)
    said = clients[name](fronts)
    assert re.search("certificate", said, re.IGNORECASE), said
    assert len(fronts.provider.bodies) == heard, "it asked all the same"


@pytest.mark.parametrize("name", NAMES)
def test_every_client_trusts_a_ca_that_the_environment_names(
    name: str,
    clients: dict[str, Client],
    fronts: Fronts,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The collector is spoken to by requests, for which its own variable goes before that of OpenTelemetry.
    for variable in ("SSL_CERT_FILE", "OTEL_EXPORTER_OTLP_CERTIFICATE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(variable, str(certificates.ca))
    assert clients[name](fronts) == ""


@pytest.mark.parametrize("flag", ["--ca-file", "--insecure"])
def test_the_way_to_the_target_is_for_the_target_alone(
    flag: str, fronts: Fronts, certificates: Certificates, tmp_path: Path
) -> None:
    """A judge is still held to the usual trust."""
    asked = SUITE.format(target=f"{{base_url: {fronts.sigma}}}")
    asked = asked.replace("[stream-complete]", "[{type: llm-rubric, value: greets}]")
    asked += f"judge: {{base_url: '{fronts.models}', model: m, time_limit: 5s}}\n"
    heard = len(fronts.provider.bodies)
    trust = (flag, str(certificates.ca)) if flag == "--ca-file" else (flag,)
    done = harness("run", *flags_of(asked, tmp_path), *trust, cwd=tmp_path)
    assert "certificate" in done.stderr.casefold()
    assert done.returncode != 0
    assert len(fronts.provider.bodies) == heard
    (tables,) = tmp_path.glob("results/small/2*/exchanges.parquet")
    assert pl.read_parquet(tables)["fault"].to_list() == [None], "the target itself was reached"


# On the command line


def flags_of(text: str, folder: Path) -> tuple[str, ...]:
    (folder / "s.yaml").write_text(text)
    return "s.yaml", "--results", "results"


def manifest(folder: Path) -> dict[str, Any]:
    path = max(folder.glob("results/small/*/manifest.json"), key=lambda each: each.stat().st_mtime_ns)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_a_ca_makes_a_whole_run_go_and_curls_name_for_it_does_too(
    fronts: Fronts, certificates: Certificates, tmp_path: Path
) -> None:
    written, target = flags_of(SUITE.format(target="standin"), tmp_path), ("--target", fronts.sigma)
    refused = harness("plan", "s.yaml", *target, cwd=tmp_path)
    assert refused.returncode == 4
    assert "name the CA that signed it: --ca-file, target.ca_file or SSL_CERT_FILE" in refused.stderr
    assert harness("plan", "s.yaml", *target, "--cacert", str(certificates.ca), cwd=tmp_path).returncode == 0
    done = harness("run", *written, *target, "--ca-file", str(certificates.ca), "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert UNVERIFIED not in done.stderr
    assert manifest(tmp_path)["warnings"] == []


@pytest.fixture(scope="module", params=["--insecure", "verify_tls: false"])
def unverified(
    request: pytest.FixtureRequest, fronts: Fronts, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """What a quiet run said that takes anybody for its target, by a flag or by its suite; and its folder."""
    folder = tmp_path_factory.mktemp("unverified")
    flag, key = (("-k",), "") if request.param == "--insecure" else ((), f", {request.param}")
    written = flags_of(SUITE.format(target=f"{{base_url: {fronts.sigma}{key}}}"), folder)
    done = harness("run", *written, *flag, "--quiet", cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stderr, folder


def test_insecure_is_loud_before_and_after_and_in_the_record(unverified: tuple[str, Path]) -> None:
    said, folder = unverified
    assert said.startswith(f"warning: {UNVERIFIED}")
    assert said.count(UNVERIFIED) == 2, "once before anything is sent, and once beside the figures"
    (warning,) = manifest(folder)["warnings"]
    assert warning.startswith(UNVERIFIED)


def test_insecure_is_loud_in_the_report_and_the_view(unverified: tuple[str, Path]) -> None:
    _, folder = unverified
    harness("report", "small", "--results", "results", "--html", cwd=folder)
    (report,) = folder.glob("results/small/2*/report.html")
    assert UNVERIFIED in report.read_text()
    with guarded(folder / "results") as view:
        assert UNVERIFIED in view.http.get("/run/small/latest", follow_redirects=True).text


def test_a_plan_that_is_looked_up_insecurely_says_so_first(fronts: Fronts, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SUITE.format(target=f"{{base_url: {fronts.sigma}}}"))
    planned = harness("plan", "s.yaml", "--insecure", cwd=tmp_path)
    assert planned.returncode == 0
    assert planned.stderr.startswith(f"warning: {UNVERIFIED}")


def test_a_client_certificate_is_shown_to_who_wants_one(
    sigma: Standin, certificates: Certificates, tmp_path: Path
) -> None:
    issued = certificates.authority.issue_cert("me@sigma.test")
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    (tmp_path / "s.yaml").write_text(SUITE.format(target="standin"))
    with behind_tls(int(httpx.URL(sigma.url).port or 0), certificates, client_ca=True) as port:
        plan = ("plan", "s.yaml", "--target", f"https://127.0.0.1:{port}", "--cacert", str(certificates.ca))
        refused = harness(*plan, cwd=tmp_path)
        assert refused.returncode == 4
        assert "--client-cert" in refused.stderr
        shown = harness(*plan, "--cert", "cert.pem", "--key", "key.pem", cwd=tmp_path)
        assert shown.returncode == 0, shown.stderr


def test_a_proxy_on_the_command_line_is_gone_through(fronts: Fronts, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SUITE.format(target="standin"))
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(30)
        port = proxy.getsockname()[1]
        asked: list[bytes] = []

        def refuse() -> None:
            sock, _ = proxy.accept()
            with sock:
                asked.append(sock.recv(65_536))
                sock.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        done = harness(
            "plan", "s.yaml", "--target", fronts.sigma, "--proxy", f"http://127.0.0.1:{port}", cwd=tmp_path
        )
        thread.join()
    assert asked[0].startswith(b"CONNECT 127.0.0.1:")
    assert (done.returncode, f"the proxy 127.0.0.1 port {port} refuses" in done.stderr) == (4, True)


# Servers


@contextmanager
def serving_metrics() -> Iterator[str]:
    with prometheus(0) as told:
        yield told.url


def test_each_server_of_ours_listens_on_loopback_alone(sigma: Standin, tmp_path: Path) -> None:
    """127.0.0.2 is this machine, too: who listens on all of its addresses answers there."""
    (tmp_path / "results").mkdir()
    with stream_source() as source, serving_metrics() as metrics, guarded(tmp_path / "results") as view:
        for url in (sigma.url, source, metrics, view.address):
            port = int(httpx.URL(url).port or 0)
            socket.create_connection(("127.0.0.1", port)).close()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.2", port))
