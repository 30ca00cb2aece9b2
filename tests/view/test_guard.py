"""Who is let into a view, by real requests to one in a process of its own; that looking changes nothing."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import polars as pl
import pytest

from harness.doors import SHORTEST, is_loopback, is_ours, is_strange
from harness.view.guard import LONGEST_HEAD
from harness.view.server import MOST_CONNECTIONS
from tests.program import HARNESS

TOKEN = "a-token-that-was-given"  # noqa: S105
ALL = "0.0.0.0"  # noqa: S104
SELF = {"host": "127.0.0.1:8321"}


# Rules, without a server


@pytest.mark.parametrize(
    ("headers", "strange", "visited"),
    [
        pytest.param({}, False, False, id="no-browser"),
        pytest.param({"sec-fetch-site": "none"}, False, False, id="address-bar"),
        pytest.param({"sec-fetch-site": "same-origin"}, False, False, id="our-own-page"),
        pytest.param({"origin": "http://127.0.0.1:8321"}, False, False, id="our-own-origin"),
        pytest.param({"origin": "http://127.0.0.1:8322"}, True, True, id="another-port"),
        pytest.param({"origin": "https://evil.example"}, True, True, id="another-server"),
        pytest.param({"origin": "null"}, True, True, id="a-sandbox"),
        pytest.param({"origin": ""}, True, True, id="an-empty-origin"),
        pytest.param({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, True, True, id="img"),
        pytest.param({"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"}, True, True, id="fetch"),
        pytest.param(
            {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
            True,
            True,
            id="iframe",
        ),
        pytest.param(
            {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
            True,
            False,
            id="link",
        ),
    ],
)
def test_what_a_page_of_another_origin_asks_for_is_told_apart(
    headers: dict[str, str], strange: bool, visited: bool
) -> None:
    assert is_strange(SELF | headers) is strange
    assert is_strange(SELF | headers, visits=True) is visited


def test_a_request_without_an_origin_of_its_own_is_nobodys_even_without_a_host() -> None:
    assert is_strange({"origin": "null"})


@pytest.mark.parametrize("host", [ALL, f"{ALL}:8321", "[::]:8321", "rebound.example", ""])
def test_a_name_that_leads_a_browser_here_is_not_ours(host: str) -> None:
    assert not is_ours(host, {"localhost"})


def test_every_address_is_not_this_machine() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost")] == [True] * 3
    assert not any(map(is_loopback, (ALL, "::", "192.0.2.1", "localhost.example")))


# A view that wants a token


@dataclass(frozen=True)
class Guarded:
    """A view as it was printed, and the process that serves it."""

    address: str
    pid: int
    http: httpx.Client

    @property
    def token(self) -> str:
        return str(httpx.URL(self.address).params.get("token", ""))


@contextmanager
def guarded(results: Path, *options: str, said: list[str] | None = None, **env: str) -> Iterator[Guarded]:
    """A view that was started with *options*; what it said on standard error is put into *said*."""
    command = [*HARNESS, "view", str(results), "--port", "0", *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | env
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("http://"), process.stderr.read()
        base = f"http://127.0.0.1:{httpx.URL(address).port}"
        with httpx.Client(base_url=base, timeout=30) as http:
            yield Guarded(address, process.pid, http)
    finally:
        process.terminate()
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out) == (0, "")
    if said is not None:
        said.append(err)


@pytest.fixture(scope="module")
def private(results: Path) -> Iterator[Guarded]:
    """A view on loopback with a token that was made for it."""
    with guarded(results, "--with-token") as view:
        yield view


def visit(view: Guarded) -> httpx.Response:
    """What who opens the printed address is answered."""
    with httpx.Client(timeout=30) as fresh:
        return fresh.get(view.address)


def cookie(view: Guarded) -> dict[str, str]:
    name, _, rest = visit(view).headers["set-cookie"].partition("=")
    return {"cookie": f"{name}={rest.partition(';')[0]}"}


PATHS = ["/", "/run/shown/latest", "/static/view.css", "/static/nothing", "/nothing", "/run/no/run"]


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
def test_without_the_token_there_is_a_sentence_and_no_page(path: str, private: Guarded) -> None:
    for given in (
        {},
        {"authorization": f"Bearer {private.token[:-1]}"},
        {"authorization": f"Basic {private.token}"},
        {"authorization": "Bearer"},
        {"cookie": f"harness_view={private.token}"},
        {"cookie": cookie(private)["cookie"][:-1]},
        {"cookie": cookie(private)["cookie"].replace("_view_", "_view_1")},
    ):
        for query in ({}, {"token": ""}, {"token": "x" * 43}):
            answer = private.http.get(path, headers=given, params=query)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert answer.text.startswith("This view wants its token")
            assert not re.search(f"shown|hostile|{re.escape(private.token)}", answer.text)


@pytest.mark.slow
def test_a_program_bears_the_token_and_gets_no_cookie(private: Guarded) -> None:
    for path, status in zip(PATHS, (200, 302, 200, 404, 404, 404), strict=True):
        answer = private.http.get(path, headers={"authorization": f"Bearer {private.token}"})
        assert answer.status_code in {status, 307 if status == 302 else status}
        assert "set-cookie" not in answer.headers


@pytest.mark.slow
def test_the_first_visit_gets_a_cookie_and_is_led_to_the_address_without_the_token(private: Guarded) -> None:
    answer = private.http.get(f"/run/shown/latest?q=a%26b&token={private.token}&q=c")
    assert answer.headers["refresh"] == "0; url=/run/shown/latest?q=a%26b&q=c"
    held = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(held.split("; "))
    assert private.token not in f"{answer.headers} {answer.text}"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "shown</" not in answer.text
    private.http.cookies.clear()
    assert private.http.get("/", headers=cookie(private)).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example/", "///evil.example"])
def test_nobody_is_led_to_another_server(path: str, private: Guarded) -> None:
    with socket.create_connection((private.http.base_url.host, private.http.base_url.port or 0)) as sock:
        sock.sendall(
            f"GET {path}?token={private.token} HTTP/1.1\r\n"
            "Host: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        said = b"".join(iter(lambda: sock.recv(65_536), b"")).decode()
    led = re.findall(r"refresh: 0; url=(\S+)", said)
    assert [urlsplit(urljoin("http://localhost/", to)).netloc for to in led] == ["localhost"]
    assert 'href="//' not in said


@pytest.mark.slow
def test_a_token_comes_from_a_file_or_the_environment_and_is_in_no_command_line(
    results: Path, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}-of-a-file\n")
    said: list[str] = []
    with guarded(results, HARNESS_VIEW_TOKEN=TOKEN, said=said) as view:
        assert view.token == TOKEN
        assert view.http.get("/").status_code == 401
        assert TOKEN not in Path(f"/proc/{view.pid}/cmdline").read_text()
        assert view.http.get("/", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert TOKEN not in visit(view).headers["set-cookie"]
    with guarded(results, "--token-file", str(file), HARNESS_VIEW_TOKEN=TOKEN, said=said) as view:
        assert view.token == f"{TOKEN}-of-a-file"
    assert said == ["", ""]


@pytest.mark.slow
def test_tokens_are_made_anew_each_time(private: Guarded, results: Path) -> None:
    assert len(private.token) == 43  # of 32 bytes
    with guarded(results, "--with-token") as view:
        assert view.token != private.token


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        pytest.param("x" * (SHORTEST - 1), (), f"at least {SHORTEST} letters", id="short"),
        pytest.param("two words of some length", (), "one word of letters", id="words"),
        pytest.param("", (), "one word of letters", id="empty"),
        pytest.param("ünïcödé-ünïcödé-ünïcödé", (), "one word of letters", id="accents"),
        pytest.param(None, (), "cannot be read: No such file", id="missing"),
        pytest.param(TOKEN, ("--open",), "--open would put the token on a command line", id="open"),
    ],
)
def test_a_token_that_guards_nothing_is_refused_without_saying_it(
    text: str | None, options: tuple[str, ...], says: str, results: Path, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    if text is not None:
        file.write_text(text)
    command = [*HARNESS, "view", str(results), "--port", "0", "--token-file", str(file), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert not text or text not in done.stderr


@pytest.mark.slow
def test_beyond_this_machine_it_wants_the_flag_and_a_token_and_warns(results: Path) -> None:
    done = subprocess.run(
        [*HARNESS, "view", str(results), "--host", ALL],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, "add --allow-remote" in done.stderr) == (2, True)
    said: list[str] = []
    with guarded(results, "--host", ALL, "--allow-remote", said=said) as view:
        assert view.http.get("/").status_code == 401
        assert view.http.get("/", headers={"authorization": f"Bearer {view.token}"}).status_code == 200
        token = view.token
    assert said[0].startswith("! Whoever has the address below reads every prompt")
    assert "plain http" in said[0]
    assert said[0].count("\n") == 1
    assert token not in said[0]


# Pages of others


@pytest.mark.slow
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}, 403),
        ({"sec-fetch-site": "same-site", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}, 200),
        ({"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}, 200),
        ({"host": ALL}, 421),
        ({"host": "rebound.example"}, 421),
    ],
)
def test_a_page_of_another_origin_gets_nothing(
    headers: dict[str, str], status: int, view: httpx.Client
) -> None:
    answer = view.get("/", headers=headers)
    assert answer.status_code == status
    assert ("shown" in answer.text) is (status == 200)


# Looking changes nothing


def tree(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """All of *folder*: when each file and folder was last written, and what is in it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        told = path.lstat()
        held = path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(folder))] = (told.st_mtime_ns, told.st_mode, held)
    return found


LINKED = re.compile(r'(?:href|src|action|data-load)="(/[^"#]*)')
ROUTES = {
    "list": r"/",
    "static": r"/static/\w+\.(css|js)",
    "run": r"/run/\w+/[\w-]+",
    "trial": r"/run/\w+/[\w-]+/trial/[0-9a-f]+",
    "packets": r"/run/\w+/[\w-]+/trial/[0-9a-f]+/packets",
    "raw": r"/run/\w+/[\w-]+/trial/[0-9a-f]+/raw",
    "compare": r"/run/\w+/[\w-]+/compare",
    "charts": r"/run/\w+/[\w-]+/charts",
    "report": r"/run/\w+/[\w-]+/report\.html",
}
PER_PATH = 4
"""So many addresses that differ in their query alone: there are filters without number."""


def crawled(view: httpx.Client) -> dict[str, httpx.Response]:
    """Every page that links lead to."""
    found: dict[str, httpx.Response] = {}
    visits: dict[str, int] = {}
    waiting = ["/"]
    while waiting:
        address = waiting.pop()
        path = address.partition("?")[0]
        if address in found or visits.get(path, 0) >= PER_PATH:
            continue
        visits[path] = visits.get(path, 0) + 1
        answer = found[address] = view.get(address, follow_redirects=True)
        assert answer.status_code == 200, address
        if "html" in answer.headers["content-type"] and not path.endswith("report.html"):
            waiting += map(unescape, LINKED.findall(answer.text))
    return found


def errors(view: httpx.Client) -> list[httpx.Response]:
    """Answers of each other kind."""
    return [
        *(view.get(path) for path in ("/nothing", "/static/nothing", "/run/no/run", "/run/shown/latest")),
        view.get("/run/shown/latest/trial/none", follow_redirects=True),
        *(view.request(method, "/") for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")),
        view.get("/", headers={"host": "rebound.example"}),
        view.get("/", headers={"origin": "null"}),
        view.get("/", headers={"x-long": "x" * LONGEST_HEAD}),
        view.get("/?" + "x" * LONGEST_HEAD),
    ]


@pytest.mark.slow
def test_every_page_is_read_only_and_says_what_it_may_do(view: httpx.Client, results: Path) -> None:
    subprocess.run(
        [*HARNESS, "report", "shown", "--results", str(results), "--html"],
        check=True,
        capture_output=True,
        timeout=60,
    )
    before = tree(results)
    pages = crawled(view)
    paths = {address.partition("?")[0] for address in pages}
    missed = {name for name, route in ROUTES.items() if not any(re.fullmatch(route, each) for each in paths)}
    assert missed == set()
    others = errors(view)
    assert {answer.status_code for answer in others} == {307, 403, 404, 405, 421, 431}
    for answer in (*pages.values(), *others):
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; "), answer.url
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in answer.headers
    assert tree(results) == before
    assert pl.read_parquet(results / "shown" / "latest" / "trials.parquet").height


@pytest.mark.slow
def test_a_report_runs_the_script_of_our_reports_and_no_other(view: httpx.Client, shown: Path) -> None:
    report = shown / "report.html"
    kept = report.read_bytes() if report.exists() else None
    try:
        report.write_text("<style>p{color:red}</style><style></style><script>alert(1)</script><p>mine")
        path = f"/run/shown/{shown.name}/report.html"
        policy = view.get(path).headers["content-security-policy"]
    finally:
        report.unlink() if kept is None else report.write_bytes(kept)
    scripts = re.findall(r"script-src ([^;]*);", policy)
    assert re.fullmatch(r"'sha256-[^' ]+'", scripts[0])
    assert "bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI=" not in policy  # of alert(1)
    assert len(re.findall("sha256", policy)) == 3
    assert "sandbox allow-scripts;" in f"{policy};"


@pytest.mark.slow
def test_a_report_that_is_a_link_or_larger_than_any_of_ours_is_not_shown(shown: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    copy = results / "shown" / shown.name
    shutil.copytree(shown, copy)
    (copy / "report.html").unlink(missing_ok=True)
    (copy / "report.html").symlink_to("/etc/passwd")
    with guarded(results) as view:
        linked = view.http.get(f"/run/shown/{shown.name}/report.html")
        (copy / "report.html").unlink()
        with (copy / "report.html").open("wb") as sparse:
            sparse.truncate(1 << 40)
        large = view.http.get(f"/run/shown/{shown.name}/report.html")
    assert (linked.status_code, "root:" in linked.text) == (500, False)
    assert "link" in linked.text
    assert (large.status_code, "larger than any report" in large.text) == (404, True)


# Requests that never end, and too many of them


@pytest.mark.slow
@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: loc"], ids=["nothing", "half-a-head"])
def test_a_request_that_does_not_come_to_an_end_is_hung_up_on(begun: bytes, view: httpx.Client) -> None:
    with socket.create_connection((view.base_url.host, view.base_url.port or 0), timeout=20) as sock:
        sock.sendall(begun)
        assert sock.recv(1) == b""


@pytest.mark.slow
def test_a_request_after_another_is_given_as_long_and_no_longer(view: httpx.Client) -> None:
    whole = b"GET /static/view.css HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection((view.base_url.host, view.base_url.port or 0), timeout=20) as sock:
        for _ in range(2):
            sock.sendall(whole)
            head = sock.recv(65_536).partition(b"\r\n\r\n")
            length = int(re.findall(rb"content-length: (\d+)", head[0])[0])
            body = head[2]
            while len(body) < length:
                body += sock.recv(65_536)
        sock.sendall(whole[:20])
        assert sock.recv(1) == b""


@pytest.mark.slow
def test_a_head_without_an_end_is_cut_off(view: httpx.Client) -> None:
    with socket.create_connection((view.base_url.host, view.base_url.port or 0), timeout=20) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        with pytest.raises(OSError, match=r"reset|[Bb]roken"):  # noqa: PT012  one of them is the first to notice
            while True:
                sock.sendall(b"x-more: " + b"x" * 1000 + b"\r\n")


@pytest.mark.slow
def test_more_connections_than_there_may_be_are_told_so_and_it_goes_on_afterwards(results: Path) -> None:
    with guarded(results) as view:
        place = (view.http.base_url.host, view.http.base_url.port or 0)
        with ExitStack() as stack:
            for _ in range(MOST_CONNECTIONS):
                stack.enter_context(socket.create_connection(place, timeout=20))
            assert view.http.get("/").status_code == 503
        assert view.http.get("/").status_code == 200
