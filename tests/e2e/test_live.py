"""What a run shows while it goes on: in a terminal, where nobody watches, and to Prometheus."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import polars as pl
import pyte
import pytest
from msgspec import to_builtins
from prometheus_client.parser import text_string_to_metric_families

import harness
from harness import journal
from harness.errors import Exit
from harness.report.prometheus import serving
from harness.report.sofar import SoFar, Tables
from tests.bounds import started
from tests.program import HARNESS

pytestmark = pytest.mark.slow


SUITE = """
suite: live
target: standin
budget: {tokens: 1000000}
variants:
  steady: {llm_override: {model_provider: Simulated, model_version: "sim:ttft=20ms,gap=10ms,tokens=40"}}
  breaks: {llm_override: {model_provider: Simulated, model_version: "sim:gap=5ms,tokens=30,fault=reset@5"}}
defaults: {repeat: 8, retry: {attempts: 1}}
prompts:
  - {id: hello, message: hello}
load:
  eval: {workers: 2}
  steps: {rate: 20/s, for: 3s, mix: {steady: 100}}
"""

LONG = SUITE.replace("repeat: 8", "repeat: 60")


def suite(folder: Path, text: str = SUITE) -> Path:
    path = folder / "suite.yaml"
    path.write_text(text)
    return path


def environment(**given: str) -> dict[str, str]:
    """That of a plain terminal, whatever the one is that the tests run in."""
    plain = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "LC_ALL") if key in os.environ}
    return plain | {"TERM": "xterm-256color", "PYTHONUTF8": "1"} | given


def in_a_terminal(
    command: list[str], folder: Path, look: Callable[[list[str], subprocess.Popen[bytes]], None], **given: str
) -> tuple[int, list[str], bytes]:
    """Run *command* in a terminal of 110 by 40; *look* sees its lines after each change.

    The exit code, the lines that are left at the end, and all bytes that were written.
    """
    screen = pyte.Screen(110, 40)
    stream = pyte.ByteStream(screen)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 110, 0, 0))
    written = b""
    with started(
        command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(**given)
    ) as process:
        os.close(theirs)
        for data in iter(lambda: _read(ours), b""):
            written += data
            stream.feed(data)
            look([line.rstrip() for line in screen.display], process)
        code = process.wait(30)
    os.close(ours)
    return code, [line.rstrip() for line in screen.display], written


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # nobody holds the other end any more
        return b""


def test_in_a_terminal_a_board_shows_the_run_and_is_gone_after_it(tmp_path: Path) -> None:
    awaited = {
        "variants and phases": r"^eval steady .*[1-9]\d*/8 ",
        "the phase": r"^live  \d:\d\d  eval: 2 workers",
        "the next phase": r"^live  \d:\d\d  steps: open load, 0:0\d to go",
        "what is under way": r"^load     in flight +[1-9]",
        "what was asked": r"asked +(19|20|21)\.\d/s  began +\d+\.\d/s  ended +\d+\.\d/s, last \d s",
        "TTFT and its history": r"^TTFT     p50 +\d+ ms .* n +\d+  [▁▂▃▄▅▆▇█ ]+  \d+ ms to",
        "gaps": r"^gap      p50 +[\d.]+ ms",
        "faults": r"^faults   disconnected [1-8]$",
        "the budget": r"^budget   [\d,]+ of 1,000,000 tokens",
        "our own delay": r"^exact    not calibrated · read late by p50 [\d.]+ ms, p99 [\d.]+ ms, n = [\d,]+",
        "how late the loop is": r"^         loop late by p50 [\d.]+ ms, most [\d.]+ ms, the worst of each",
        "the verdict": r"^verdict  [a-z-]+ so far, n = \d+ replies",
    }
    tallest = 0

    def look(lines: list[str], _: subprocess.Popen[bytes]) -> None:
        nonlocal tallest
        found = [what for what, pattern in awaited.items() if any(re.search(pattern, line) for line in lines)]
        for what in found:
            del awaited[what]
        tallest = max(tallest, sum(line.startswith(("eval ", "steps ")) for line in lines))

    code, left, written = in_a_terminal([*HARNESS, "run", str(suite(tmp_path))], tmp_path, look)
    assert awaited == {}
    assert tallest == 3  # each variant of a phase has a row, and only one
    assert code == Exit.INCOMPLETE
    assert not any(" in flight " in line or line.startswith("exact ") for line in left)
    assert any(line.startswith("results: ") for line in left)
    assert written.count(b"\x1b[?25l") == written.count(b"\x1b[?25h") > 0  # the cursor is back


@pytest.mark.parametrize(("signals", "finished"), [(1, True), (2, False)], ids=["once", "twice"])
def test_ctrl_c_in_a_terminal_is_talked_about_above_the_board_and_leaves_a_whole_record(
    tmp_path: Path, signals: int, finished: bool
) -> None:
    slow = LONG.replace("gap=10ms,tokens=40", "gap=20ms,tokens=300")
    awaited = [
        r"^eval steady .* [1-9]\d*/60 +[12] ",
        *([r"^stopping: \d trials? may finish"] * (signals - 1)),
    ]
    seen: list[list[str]] = []

    def look(lines: list[str], process: subprocess.Popen[bytes]) -> None:
        seen.append(lines)
        if awaited and any(re.search(awaited[0], line) for line in lines):
            awaited.pop(0)
            process.send_signal(signal.SIGINT)

    code, _, _ = in_a_terminal([*HARNESS, "run", str(suite(tmp_path, slow))], tmp_path, look)
    assert awaited == []
    assert code == Exit.INCOMPLETE
    screens = ["\n".join(lines) for lines in seen]  # of one that is half drawn a line may be missing
    drained = [screen for screen in screens if "stopping:" in screen and "draining (interrupted)" in screen]
    assert drained or not finished, "what is cut off at once may be gone before the board is drawn again"
    assert all(screen.index("stopping:") < screen.index("draining (interrupted)") for screen in drained)
    (run,) = (tmp_path / "results" / "live").glob("2*/manifest.json")
    results = list(journal.read(run.parent / journal.JOURNAL))
    assert len(results) == len(pl.read_parquet(run.parent / "trials.parquet")) == 2 * 60 + 3 * 20
    assert {str(one.skip) for one in results if not one.exchanges} == {"interrupted"}
    assert bool([one for one in results if one.exchanges and one.skip]) is not finished
    assert json.loads(run.read_text())["interrupted"] is True


@pytest.mark.parametrize("term", ["dumb", None], ids=["a dumb terminal", "no terminal"])
def test_where_nothing_can_be_redrawn_there_are_plain_lines(tmp_path: Path, term: str | None) -> None:
    command = [*HARNESS, "run", str(suite(tmp_path))]
    if term is None:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment(), capture_output=True, timeout=60, check=False
        )
        code, written = done.returncode, done.stdout + done.stderr
    else:
        code, _, written = in_a_terminal(command, tmp_path, lambda *_: None, TERM=term)
    assert code == Exit.INCOMPLETE
    assert b"\x1b[" not in written if term is None else b"\x1b[?25l" not in written
    lines = [line for line in written.decode().splitlines() if " in flight · " in line]
    assert len(lines) >= 2
    assert re.match(r"\[\d s\] \d+/76 done · \d+ in flight · ", lines[0])
    assert re.match(
        r"\[\d+ s\] 76/76 done · 0 in flight · .* 8 errors · disconnected 8 · TTFT p50 ", lines[-1]
    )


def scraped(url: str) -> dict[str, float]:
    """The sum of each sample over its labels, less buckets and quantiles."""
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(httpx.get(url).text):
        for sample in family.samples:
            if not {"le", "quantile"} & set(sample.labels):
                sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


def test_prometheus_reads_a_run_while_it_goes_on(tmp_path: Path) -> None:
    command = [*HARNESS, "run", str(suite(tmp_path)), "--quiet", "--metrics-port", "0"]
    with started(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = re.fullmatch(r"metrics: (http://127\.0\.0\.1:\d+/metrics)\n", process.stderr.readline())
        assert said is not None
        found: dict[str, float] = {}
        while not found.get("harness_in_flight") or not found.get("harness_ttft_seconds_count"):
            assert process.poll() is None
            found = scraped(said[1])
        assert found["harness_trials_planned"] == 76
        assert 0 < found["harness_trials_total"] < 76
        assert process.wait(30) == Exit.INCOMPLETE
    with pytest.raises(httpx.ConnectError):
        httpx.get(said[1])


def test_what_prometheus_read_last_is_what_stands_in_the_tables(tmp_path: Path) -> None:
    with serving(0) as told:
        options = harness.Options(results=tmp_path / "results", onlooker=told.look)
        done = harness.run(suite(tmp_path), options)
        found = scraped(told.url)
    trials, exchanges = done.tables["trials"], done.tables["exchanges"]
    counted = exchanges.filter("counted")
    assert found["harness_trials_total"] == found["harness_trials_planned"] == len(trials) == 76
    assert found["harness_in_flight"] == 0
    assert found["harness_exchange_faults_total"] == exchanges["fault"].count() == 8
    assert found["harness_arrivals_due_total"] == trials["due_ns"].count() == 60
    assert found["harness_ttft_seconds_count"] == counted["ttft_ms"].count() == 68
    assert found["harness_ttft_seconds_sum"] == pytest.approx(counted["ttft_ms"].sum() / 1000)
    assert found["harness_reply_gap_seconds_count"] == counted["gap_p50_ms"].count()
    assert found["harness_reply_gap_seconds_sum"] == pytest.approx(counted["gap_p50_ms"].sum() / 1000)
    assert found["harness_event_loop_lag_seconds_count"] == len(done.tables["moments"])
    assert found["harness_verdict"] == 1


def test_the_verdict_so_far_on_a_whole_run_has_the_signs_of_the_final_one(tmp_path: Path) -> None:
    """But for what is said to be missing: who merged, who was away, and whether the books balance."""
    done = harness.run(suite(tmp_path), harness.Options(results=tmp_path / "results"))
    heard = SoFar()
    for result in journal.read(done.folder / journal.JOURNAL):
        heard.hear(result)
    for moment in journal.moments(done.folder / journal.JOURNAL):
        heard.hear(moment)
    loads = harness.load_suite(tmp_path / "suite.yaml").load
    found = Tables(loads, tmp_path / "results").look(heard.taken())
    apart = {"merged", "delay_n", "delay_p99_ms", "broken", "clock_steps", "away_s"}
    ours, final = (
        [
            {name: value for name, value in to_builtins(signs).items() if name not in apart}
            for signs in of.signs
        ]
        for of in (found.verdict, done.verdict)
    )
    assert ours == final
    packets = done.tables["packets"]
    assert found.delay_n <= len(packets) + len(done.tables["exchanges"]) * 3  # lines that are no packets
    assert found.delay_n >= packets.select("exchange_id", "seen_ns").n_unique()


def test_a_port_that_is_taken_ends_the_run_before_anything_is_sent(tmp_path: Path) -> None:
    with serving(0) as told:
        port = str(httpx.URL(told.url).port)
        done = subprocess.run(
            [*HARNESS, "run", str(suite(tmp_path)), "--metrics-port", port],
            cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == Exit.ENVIRONMENT
    assert f"--metrics-port {port}: Address already in use" in done.stderr
    assert not (tmp_path / "results").exists()


@contextmanager
def a_collector() -> Iterator[tuple[str, list[str]]]:
    """A server that takes whatever is posted; its URL, and the paths."""
    paths: list[str] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            paths.append(self.path)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", paths
        server.shutdown()
        thread.join()


def test_otel_sends_the_traces_of_the_run_after_it(tmp_path: Path) -> None:
    with a_collector() as (url, paths):
        done = subprocess.run(
            [*HARNESS, "run", str(suite(tmp_path)), "--otel", "--limit", "3", "--quiet"],
            cwd=tmp_path, env=environment(OTEL_EXPORTER_OTLP_ENDPOINT=url), capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
    assert "traces sent: 3" in done.stderr
    assert set(paths) == {"/v1/traces"}
