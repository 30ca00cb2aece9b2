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
