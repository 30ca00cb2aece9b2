"""What a suite says of the way to its server: certificates and a proxy, for that server alone."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from harness.drive.transport import StampedTransport, doubts, transport_of
from harness.errors import SuiteError
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
    assert doubts(suite, url) == (["verify_tls is false: " + DOUBT] if own else [])


DOUBT = "whoever answers is taken for the server, and gets the API key"


def test_false_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    asked: list[Any] = [
        transport(read(keys)).route(httpx.URL(BASE)).proxy for keys in ("proxy: false", "audit: 100%")
    ]
    assert asked[0] is None
    assert str(asked[1]) == "the proxy proxy.test port 3128"


def test_a_suite_without_any_of_this_has_no_doubts_and_the_usual_trust() -> None:
    suite = read("audit: 100%")
    assert doubts(suite, BASE) == []
    assert suite.target.verify_tls
    context = transport(suite).route(httpx.URL(BASE)).context
    assert context is not None
    assert context.check_hostname
