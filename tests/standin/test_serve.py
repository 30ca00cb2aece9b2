"""`harness serve` as a process: ready line, key, port, file, end."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest

if TYPE_CHECKING:
    from tests.conftest import Serving, Standin

ALL = "0.0.0.0"  # noqa: S104
SERVE = [sys.executable, "-m", "harness", "serve"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.slow
def test_a_signal_ends_it_at_once_with_streams_open(number: signal.Signals) -> None:
    process = subprocess.Popen(SERVE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = process.stdout.readline().split()[1]
    override = {"model_provider": "Simulated", "model_version": "sim:ttft=30s"}
    body = {"message": "go", "llm_override": override}
    with httpx.stream("POST", f"{url}/chat/send-chat-message", json=body) as answer:
        next(answer.iter_raw())
        began = time.monotonic()
        process.send_signal(number)
        rest, errors = process.communicate(timeout=10)
        assert time.monotonic() - began < 3  # under a second on a machine that is not busy
    assert (process.returncode, rest, errors) == (0, "", "")


def test_a_port_that_is_taken_is_one_clear_line(onyx: Standin) -> None:
    port = str(urlsplit(onyx.url).port)
    ended = subprocess.run([*SERVE, "--port", port], check=False, capture_output=True, text=True, timeout=20)
    assert ended.returncode == 4
    assert ended.stdout == ""
    assert ended.stderr.strip() == (
        f"cannot serve on 127.0.0.1:{port}: Address already in use; --port 0 takes a free one"
    )


@pytest.mark.slow
def test_a_key_is_asked_for_and_a_wrong_one_is_403(serving: Serving) -> None:
    with serving(HARNESS_STANDIN_KEY="s3cret") as guarded:
        refused = {"detail": "Access denied. User is not authenticated."}
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic s3cret"}):
            answer = guarded.post({"message": "hello"}, **headers)
            assert (answer.status_code, answer.json()) == (403, refused)
        assert guarded.post({"message": "hello"}, Authorization="Bearer s3cret").status_code == 200
        assert (
            guarded.post({"message": "hello"}, **{"X-Onyx-Authorization": "Bearer s3cret"}).status_code == 200
        )
        assert guarded.http.get("/health").status_code == 200
        assert guarded.http.get("/tool").status_code == 403


@pytest.mark.slow
def test_a_key_comes_from_a_file_and_is_in_no_command_line(serving: Serving, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("of-a-file\n")
    with serving("--api-key-file", str(file), HARNESS_STANDIN_KEY="of-the-environment") as guarded:
        assert guarded.http.get("/me", headers={"authorization": "Bearer of-a-file"}).status_code == 200
        assert (
            guarded.http.get("/me", headers={"authorization": "Bearer of-the-environment"}).status_code == 403
        )
        assert "of-a-file" not in Path(f"/proc/{guarded.pid}/cmdline").read_text()


def refused(*options: str, **environment: str) -> str:
    """What it says when it does not come up."""
    done = subprocess.run(
        [*SERVE, *options],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        env=os.environ | environment,
    )
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


def test_a_key_on_the_command_line_is_refused_with_where_it_goes_and_without_saying_it() -> None:
    said = refused("--api-key", "s3cret-s3cret-s3cret")
    assert "every user of this machine can read a command line" in said
    assert "--api-key-file" in said
    assert "HARNESS_STANDIN_KEY" in said
    assert "s3cret" not in said


@pytest.mark.slow
def test_beyond_this_machine_it_wants_the_flag_and_a_key_that_is_hard_to_guess(tmp_path: Path) -> None:
    key, short = "a-key-that-nobody-guesses", tmp_path / "short"
    short.write_text("s3cret")
    assert "add --allow-remote" in refused("--host", ALL, HARNESS_STANDIN_KEY=key)
    remote = ("--host", ALL, "--allow-remote")
    assert "a key is needed there" in refused(*remote, HARNESS_STANDIN_KEY="")
    assert "at least 16 letters" in refused(*remote, "--api-key-file", str(short))
    assert "a key is needed there" in refused(*remote, "--replay", ".", HARNESS_STANDIN_KEY="")


@pytest.mark.slow
def test_beyond_this_machine_nothing_but_health_and_version_is_open(serving: Serving) -> None:
    key = "a-key-that-nobody-guesses"
    with serving("--host", ALL, "--allow-remote", HARNESS_STANDIN_KEY=key) as remote:
        assert remote.http.get("/health", headers={"host": "standin:8080"}).status_code == 200
        paths = (
            "/_standin/requests",
            "/_standin/stats",
            "/_standin/ledger/1",
            "/me",
            "/settings",
            "/nothing",
        )
        for path in paths:
            assert remote.http.get(path).status_code == 403
        for path in paths[:2]:
            assert remote.http.get(path, headers={"authorization": f"Bearer {key}"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
        {"host": "rebound.example"},
        {"host": ALL},
    ],
    ids=str,
)
def test_a_page_of_somebody_else_can_ask_it_for_nothing(headers: dict[str, str], onyx: Standin) -> None:
    """A body of text/plain is one that a browser sends without asking us first."""
    before = onyx.get("/_standin/stats")
    simple = {"content-type": "text/plain"} | headers
    answer = onyx.http.post("/chat/send-chat-message", content='{"message": "hello"}', headers=simple)
    assert answer.status_code == 403
    for path in ("/chat/get-user-chat-sessions", "/_standin/requests", "/health"):
        assert onyx.http.get(path, headers=headers).status_code == 403
    assert onyx.get("/_standin/stats") == before


def test_a_request_that_says_nothing_of_a_page_is_answered_under_any_name_of_this_machine(
    onyx: Standin,
) -> None:
    for host in ("localhost", "localhost:1", "sigma.localhost", "127.0.0.1", "[::1]:80", "192.0.2.1"):
        assert onyx.http.get("/health", headers={"host": host}).status_code == 200
    own = {"origin": onyx.url, "sec-fetch-site": "same-origin"}
    assert onyx.http.get("/health", headers=own).status_code == 200


@pytest.mark.slow
def test_sessions_in_a_file_outlive_the_process(serving: Serving, tmp_path: Path) -> None:
    file = str(tmp_path / "sessions.db")
    with serving("--db", file) as first:
        session = first.ask("How do I set up SSO with Okta?").session_id
    with serving("--db", file) as second:
        reply = second.ask("Same, but for Entra ID", chat_session_id=session)
        assert reply.found()[0] == "prod-sso-entra"
        assert len(second.get(f"/chat/get-chat-session/{session}")["messages"]) == 5


def test_a_file_of_another_version_is_refused_with_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "sessions.db"
    with sqlite3.connect(file) as old:
        old.execute("CREATE TABLE session (id TEXT)")
    old.close()
    done = subprocess.run(
        [*SERVE, "--db", str(file)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 4
    assert f"cannot keep sessions in {file}: another version of the stand-in made it" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="the parent's death is a signal on Linux only")
@pytest.mark.slow
def test_it_ends_with_its_parent() -> None:
    starter = (
        "import subprocess, sys, time\n"
        f"process = subprocess.Popen({[*SERVE, '--with-parent']!r}, stdout=subprocess.PIPE, text=True)\n"
        "print(process.pid, process.stdout.readline().strip(), flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline().split()[0])
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 10
    while _alive(pid) and time.monotonic() < deadline:
        os.sched_yield()
    assert not _alive(pid)


def _alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
