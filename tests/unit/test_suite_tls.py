"""What a suite says of the way to its server: certificates and a proxy, for that server alone."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from harness.drive.access import UNVERIFIED, Access, accessed, doubts
from harness.drive.transport import StampedTransport, transport_of
from harness.errors import SuiteError, UsageError
from harness.suite.model import Suite
from harness.suite.read import parse_suite
from tests.drive.streaming import Certificates

BASE = "https://sigma.test/api"
ENVIRON = {
    "PROXY": "http://me:hunter2@proxy.test:3128",
    "DIRECT": "false",
    "SOCKS": "socks5://me:hunter2@proxy.test",
    "PASSWORD": "hunter2",
}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def read(keys: str, folder: Path = Path()) -> Suite:
    text = f"target:\n  base_url: {BASE}\n  {keys}\nprompts: [{{message: hi}}]\n"
    return parse_suite(text, folder / "s.yaml", ENVIRON)


def transport(suite: Suite, url: str = BASE) -> StampedTransport:
    made = transport_of(suite, url)()
    assert isinstance(made, StampedTransport)
    return made


@pytest.mark.parametrize(
    ("keys", "proxy"),
    [
        pytest.param("proxy: http://proxy.test:3128", SecretStr("http://proxy.test:3128"), id="an-address"),
        pytest.param("proxy: ${PROXY}", SecretStr(ENVIRON["PROXY"]), id="with-a-password"),
        pytest.param(
            "proxy: http://me:${PASSWORD}@proxy.test:3128", SecretStr(ENVIRON["PROXY"]), id="password-alone"
        ),
        pytest.param("proxy: false", False, id="none"),
        pytest.param("proxy: ${DIRECT}", False, id="none-by-the-environment"),
        pytest.param("proxy: null", None, id="as-the-environment-says"),
    ],
)
def test_a_proxy_is_an_address_or_false(keys: str, proxy: object) -> None:
    assert read(keys).target.proxy == proxy


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("proxy: http://me:hunter2@proxy.test", r"target\.proxy: .* only from the environment"),
        ("proxy: http://me:${NONE:-hunter2}@proxy.test", "only from the environment"),
        ("proxy: socks5://proxy.test", "SOCKS is not supported"),
        ("proxy: ${SOCKS}", "SOCKS is not supported"),
        ("proxy: proxy.test:3128", "the address of a proxy is wanted"),
        ("proxy: http://proxy.test:x", "the address of a proxy is wanted"),
        ("proxy: true", "or false for none"),
        ("proxy: 3128", "or false for none"),
        ("verify_tls: maybe", "verify_tls"),
        ("ca_file: ''", "ca_file"),
    ],
)
def test_what_is_no_proxy_is_told_without_its_password(keys: str, said: str) -> None:
    with pytest.raises(SuiteError, match=said) as caught:
        read(keys)
    assert "hunter2" not in str(caught.value)
    assert len(caught.value.problems) == 1


def test_the_password_of_a_proxy_is_in_no_dump() -> None:
    target = read("proxy: ${PROXY}").target
    assert "hunter2" not in f"{target!r} {target.model_dump()} {target.model_dump_json()}"


def test_paths_are_relative_to_the_suite(certificates: Certificates, tmp_path: Path) -> None:
    (tmp_path / "own").symlink_to(certificates.ca.parent)
    mine = certificates.signed("me@sigma.test")
    keys = f"ca_file: own/{certificates.ca.name}\n  client_cert: own/{mine.name}"
    context = transport(read(keys, tmp_path)).route(httpx.URL(BASE)).context
    assert context is not None
    (trusted,) = context.get_ca_certs()
    assert "trustme" in str(trusted["subject"])


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("ca_file: nowhere.pem", r"target\.ca_file: .*nowhere\.pem: there is no such file"),
        ("client_cert: nowhere.pem", r"target\.client_cert: .*nowhere\.pem"),
        ("client_key: key.pem", r"target\.client_key: this is the key of a certificate: say client_cert"),
    ],
)
def test_files_that_are_missing_are_named(tmp_path: Path, keys: str, said: str) -> None:
    (tmp_path / "key.pem").touch()
    with pytest.raises(SuiteError, match=said):
        read(keys, tmp_path)


@pytest.mark.parametrize(
    ("url", "own"),
    [
        pytest.param(BASE, True, id="as-written"),
        pytest.param("https://sigma.test:443", True, id="where-the-api-was-found"),
        pytest.param("https://other.test/api", False, id="another-name"),
        pytest.param("https://sigma.test:8443/api", False, id="another-port"),
        pytest.param("http://sigma.test/api", False, id="another-scheme"),
    ],
)
def test_what_a_suite_says_is_for_its_own_server_alone(url: str, own: bool) -> None:
    suite = read("proxy: http://proxy.test:3128\n  verify_tls: false")
    route = transport(suite, url).route(httpx.URL(url))
    assert (route.proxy is not None) is own
    said = doubts(suite, url)
    assert len(said) == own
    assert all(each.startswith(UNVERIFIED) and f"whoever answers at {url} is" in each for each in said)


def test_false_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    asked: list[Any] = [
        transport(read(keys)).route(httpx.URL(BASE)).proxy for keys in ("proxy: false", "audit: 100%")
    ]
    assert asked[0] is None
    assert str(asked[1]) == "the proxy proxy.test port 3128"


def test_a_suite_without_any_of_this_has_no_doubts_and_the_usual_trust() -> None:
    suite = read("audit: 100%")
    assert doubts(suite) == doubts(suite, BASE) == []
    assert suite.target.verify_tls
    context = transport(suite).route(httpx.URL(BASE)).context
    assert context is not None
    assert context.check_hostname


# What the command line says


@pytest.fixture
def files(tmp_path: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a CA, our certificate and its key; the suite is in another one."""
    (tmp_path / "ca.pem").write_bytes(certificates.ca.read_bytes())
    (tmp_path / "me.pem").write_bytes(certificates.signed("me@sigma.test").read_bytes())
    (tmp_path / "suites").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "suites"


def test_the_command_line_goes_before_the_suite_and_leaves_what_it_does_not_name(files: Path) -> None:
    (files / "own.pem").touch()
    suite = read("ca_file: own.pem\n  proxy: http://proxy.test:3128\n  persona_id: 3", files)
    found = accessed(suite, None, Access(ca_file=Path("ca.pem"), client_cert=Path("me.pem")))
    route = transport(found).route(httpx.URL(BASE))
    assert route.context is not None
    assert len(route.context.get_ca_certs()) == 1
    assert str(route.proxy) == "the proxy proxy.test port 3128"
    assert (found.target.persona_id, found.target.base_url) == (3, BASE)
    assert suite.target.ca_file == "own.pem", "the suite itself was changed"


def test_what_it_says_goes_to_another_target_and_nothing_that_the_suite_says_does(files: Path) -> None:
    other = "https://other.test/api"
    suite = read("verify_tls: false\n  proxy: http://proxy.test:3128", files)
    found = accessed(suite, other, Access(ca_file=Path("ca.pem")))
    route = transport(found, other).route(httpx.URL(other))
    assert route.proxy is None
    assert route.context is not None
    assert route.context.check_hostname
    assert doubts(found, other) == []
    assert transport(found).route(httpx.URL(BASE)).context is not None


@pytest.mark.parametrize("target", [None, BASE, "https://other.test"])
def test_insecure_is_for_the_target_that_is_asked_and_is_doubted(target: str | None, files: Path) -> None:
    (files / "own.pem").touch()
    found = accessed(read("ca_file: own.pem", files), target, Access(insecure=True))
    (said,) = doubts(found, target)
    assert said.startswith(UNVERIFIED)
    context = transport(found, target or BASE).route(httpx.URL(target or BASE)).context
    assert context is not None
    assert not context.check_hostname


def test_a_suite_that_trusts_a_ca_is_not_doubted_for_verify_tls() -> None:
    target = read("verify_tls: false").target.model_copy(update={"ca_file": "ca.pem"})
    assert doubts(read("audit: 100%").model_copy(update={"target": target})) == []


def test_plain_http_has_nothing_to_doubt() -> None:
    suite = parse_suite(
        "target: {base_url: http://sigma.test}\nprompts: [{message: hi}]\n", Path("s.yaml"), {}
    )
    assert doubts(accessed(suite, None, Access(insecure=True))) == []


@pytest.mark.parametrize("written", ["none", "http://other.test:3128"])
def test_a_proxy_is_an_address_or_none(written: str) -> None:
    found = accessed(read("proxy: http://proxy.test:3128"), None, Access(proxy=written))
    assert found.target.proxy == (False if written == "none" else written)


@pytest.mark.parametrize(
    ("access", "said"),
    [
        (Access(ca_file=Path("nowhere.pem")), "--ca-file nowhere.pem: there is no such file"),
        (Access(client_cert=Path("nowhere.pem")), "--client-cert nowhere.pem"),
        (Access(client_key=Path("me.pem")), "name that in --client-cert"),
        (Access(insecure=True, ca_file=Path("ca.pem")), "one of them"),
        (Access(proxy="http://me:hunter2@proxy.test"), "a password goes into HTTPS_PROXY"),
        (Access(proxy="socks5://proxy.test"), "http://host:port is wanted, or none"),
        (Access(proxy="proxy.test:3128"), "http://host:port is wanted, or none"),
        (Access(proxy="http://proxy.test:x"), "http://host:port is wanted, or none"),
    ],
)
def test_what_cannot_be_done_is_told_with_the_flag(access: Access, said: str, files: Path) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        accessed(read("audit: 100%", files), None, access)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("target", [None, "standin"])
def test_the_stand_in_has_no_tls_to_speak_of(target: str | None) -> None:
    suite = parse_suite("target: standin\nprompts: [{message: hi}]\n", Path("s.yaml"), {})
    with pytest.raises(UsageError, match="--insecure, --proxy: for a server; the stand-in is plain http"):
        accessed(suite, target, Access(insecure=True, proxy="none"))
    assert accessed(suite, target, Access()) is suite
