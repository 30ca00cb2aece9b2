"""A server that dies in the middle of a run and comes back: the run goes on, and says when it was away."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import polars as pl
import pytest

from harness.record import store
from tests.bounds import started
from tests.conftest import serving
from tests.program import HARNESS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

SECOND = 1_000_000_000

OPEN = """
suite: away
target: {base_url: "${SIGMA_URL}"}
defaults: {retry: {attempts: 1}}
variants:
  plain: {llm_override: {model_provider: Simulated, model_version: "sim:ttft=5ms,gap=1ms,tokens=5"}}
prompts: [{id: hello, message: hello, assert: [{type: stream-complete}]}]
load: {rate: 40/s, for: 12s}
"""

CLOSED = OPEN.replace("attempts: 1", "attempts: 3").replace("{rate: 40/s, for: 12s}", "{workers: 4}")
CLOSED = CLOSED.replace("defaults: {", "defaults: {repeat: 400, ")


@dataclass(frozen=True, slots=True)
class Told:
    """A run in which the server was away from *gone_ns* to *back_ns*, on the clock of its stamps."""

    folder: Path
    code: int
    out: str
    err: str
    gone_ns: int
    back_ns: int

    def table(self, name: str) -> pl.DataFrame:
        return pl.read_parquet(self.folder / f"{name}.parquet")

    @property
    def summary(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads((self.folder / store.SUMMARY).read_text())
        return told


def told_of(text: str, folder: Path) -> Told:
    """Run *text*; kill its server after 60 results, and start it again after 40 that broke."""
    suite, db = folder / "suite.yaml", ("--db", str(folder / "sessions.db"))
    suite.write_text(text)
    with ExitStack() as servers:
        sigma = servers.enter_context(serving(*db))
        port = sigma.url.rpartition(":")[2]
        with started(
            [*HARNESS, "run", str(suite)],
            cwd=folder,
            env=os.environ | {"SIGMA_URL": sigma.url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as run:
            lines = journalled(folder, run)
            wait_for(lines, 60)
            os.kill(sigma.pid, signal.SIGKILL)
            gone_ns = perf_counter_ns()
            wait_for((line for line in lines if '"failure"' in line), 40)
            servers.enter_context(serving(*db, "--port", port))
            back_ns = perf_counter_ns()
            out, err = run.communicate(timeout=120)
    (manifest,) = folder.glob("results/away/2*/manifest.json")
    return Told(manifest.parent, run.returncode, out, err, gone_ns, back_ns)


def wait_for(lines: Iterator[str], many: int) -> None:
    """Return once so many of *lines* have come."""
    assert len(list(islice(lines, many))) == many


def journalled(folder: Path, run: subprocess.Popen[str]) -> Iterator[str]:
    """Each line of its journal that is a result, as it comes."""
    at, left = 0, b""
    while run.poll() is None:
        for journal in folder.glob("results/away/2*/journal-0.jsonl"):
            with journal.open("rb") as file:
                file.seek(at)
                *whole, left = (left + file.read()).split(b"\n")
                at = file.tell()
            yield from (line.decode() for line in whole if line.startswith(b'{"line":"result"'))
        try:
            run.wait(0.02)
        except subprocess.TimeoutExpired:
            continue


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Under an open load, where every arrival has its time."""
    return told_of(OPEN, tmp_path_factory.mktemp("open"))


def test_the_run_goes_on_and_exactly_the_trials_of_the_outage_are_errors(away: Told) -> None:
    trials, exchanges = away.table("trials"), away.table("exchanges")
    assert away.code == 3
    assert len(trials) == 480
    assert set(trials["state"]) == {"passed", "error"}
    broken = exchanges.filter(pl.col("fault").is_not_null())
    assert set(broken["fault"]) <= {"connect", "disconnected"}
    assert len(broken) == (trials["state"] == "error").sum() >= 40
    assert broken["ended_ns"].min() > away.gone_ns - SECOND // 10  # type: ignore[operator]
    assert broken["began_ns"].max() < away.back_ns  # type: ignore[operator]
    whole = exchanges.filter(pl.col("fault").is_null())
    assert whole["sent_ns"].min() < away.gone_ns  # type: ignore[operator]
    assert whole["sent_ns"].max() > away.back_ns  # type: ignore[operator]


def test_the_outage_stands_in_the_summary_with_its_time_and_what_broke(away: Told) -> None:
    (outage,) = away.summary["outages"]
    errors = (away.table("trials")["state"] == "error").sum()
    assert outage["exchanges"] == outage["trials"] == errors
    assert outage["is_over"]
    assert away.gone_ns - SECOND < outage["began_ns"] < away.gone_ns + SECOND // 10
    assert outage["began_ns"] < outage["ended_ns"] < away.back_ns + SECOND // 10
    took_s = (outage["ended_ns"] - outage["began_ns"]) / SECOND
    assert took_s == pytest.approx(outage["to_s"] - outage["from_s"])
    assert took_s > 0.8  # 40 arrivals at 40 a second
    (reason,) = (one for one in away.summary["verdict"]["reasons"] if one["sign"] == "away_s")
    assert reason["value"] == pytest.approx(took_s)


def test_who_watches_sees_it_and_who_reads_the_report_is_told(away: Told) -> None:
    progress = [line for line in away.err.splitlines() if " in flight · " in line]
    assert any("exchanges all broke" in line for line in progress)
    assert "exchanges all broke" not in progress[-1]
    says = "outage: the target was away for "
    assert says in away.out
    report = subprocess.run(
        [*HARNESS, "report", str(away.folder), "--html"],
        cwd=away.folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert report.returncode == 0, report.stderr
    assert says in (away.folder / "report.html").read_text()


def test_with_retries_what_broke_is_sent_again_and_no_trial_that_missed_the_outage_is(tmp_path: Path) -> None:
    told = told_of(CLOSED, tmp_path)
    trials, exchanges = told.table("trials"), told.table("exchanges")
    assert len(trials) == 400
    assert set(trials["state"]) <= {"passed", "error"}
    broken = exchanges.filter(pl.col("fault").is_not_null())
    again = exchanges.filter(pl.col("attempt") > 1)["trial_id"].unique().to_list()
    assert again
    assert set(again) <= set(broken["trial_id"])
    untouched = trials.filter(~pl.col("trial_id").is_in(broken["trial_id"].to_list()))
    assert set(untouched["state"]) == {"passed"}
    (outage,) = told.summary["outages"]
    assert outage["exchanges"] == len(broken)
    assert outage["trials"] == (trials["state"] == "error").sum() < len(broken)
