"""A run that was killed or stopped goes on: what is missing is sent once, and no figure spans the gap."""

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from harness import journal
from harness.errors import Exit
from harness.record.store import Manifest, read_manifest
from harness.report.spans import traces
from tests.conftest import Standin, serving
from tests.program import going, harness

pytestmark = pytest.mark.slow

SUITE = """
suite: long
target: {base_url: URL, dialect: sigma}
defaults: {repeat: 30}
variants:
  plain: {llm_override: {model_provider: Simulated, model_version: "sim:ttft=20ms,gap=2ms,tokens=10"}}
prompts: [{id: hello, message: hello, assert: [{type: stream-complete}]}]
load: {workers: 2}
"""


@pytest.fixture
def target() -> Iterator[Standin]:
    """A stand-in of this test's own, so that it can count what was sent."""
    with serving("--dialect", "sigma") as standin:
        yield standin


def suite(folder: Path, target: Standin, text: str = SUITE) -> Path:
    path = folder / "suite.yaml"
    path.write_text(text.replace("URL", target.url))
    return path


def has(results: int) -> Callable[[Path], bool]:
    """Once so many are in the journal."""

    def so_many(run: Path) -> bool:
        path = run / journal.JOURNAL
        return path.exists() and path.read_bytes().count(b'{"line":"result"') >= results

    return so_many


def killed(folder: Path, *args: str | Path, results: int) -> Path:
    """The folder of a run that was killed when it had so many results."""
    with going(folder, *args, until=has(results)) as process:
        process.kill()
    (run,) = folder.glob("results/*/2*")
    return run


def sent(target: Standin) -> int:
    return int(target.get("/_standin/stats")["requests"])


def manifest_of(run: Path) -> Manifest:
    return read_manifest(run)


def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_happened(tmp_path: Path, target: Standin) -> None:
    run = killed(tmp_path, suite(tmp_path, target), results=8)
    before = (run / journal.JOURNAL).read_bytes()
    kept = before[: before.rfind(b"\n") + 1]
    recorded = [one.trial_id for one in journal.read(run / journal.JOURNAL)]

    done = harness("run", "--resume", "latest", "--html", "page.html", cwd=tmp_path)

    assert done.returncode == Exit.OK, done.stderr
    assert re.search(r"the run broke off after \d+\.\d s with \d+ of 30 trials done", done.stderr)
    assert (run / journal.JOURNAL).read_bytes().startswith(kept)
    trials = pl.read_parquet(run / "trials.parquet")
    assert trials["trial_id"].n_unique() == len(trials) == 30
    assert set(trials["state"]) == {"passed"}
    assert set(recorded) <= set(trials["trial_id"])
    assert 30 <= sent(target) <= 30 + 2, "at most the two that were under way are sent twice"
    told = manifest_of(run)
    assert told.exit_code == 0
    assert [leg.number for leg in told.resumed] == [1]
    assert "resumed once; the" in (tmp_path / "page.html").read_text()


def test_no_stamp_of_a_run_that_went_on_lies_beyond_the_gap(tmp_path: Path, target: Standin) -> None:
    run = killed(tmp_path, suite(tmp_path, target), results=8)
    while (time.time_ns() - (run / journal.JOURNAL).stat().st_mtime_ns) / 1e9 < 2.5:  # the gap
        os.sched_yield()
    assert harness("run", "--resume", "long", cwd=tmp_path).returncode == Exit.OK

    (leg,) = manifest_of(run).resumed
    assert leg.left_out_ns > 1_000_000_000
    begins = leg.began_ns + leg.shift_ns
    trials = pl.read_parquet(run / "trials.parquet")
    first = trials.filter(pl.col("began_ns") < begins)
    assert len(first) == leg.done
    assert 0 < begins - int(first["ended_ns"].max()) <= 1_500_000_000  # type: ignore[arg-type]
    spans = [spans[0] for spans in traces(run)]
    on_the_wall = sorted(span.began_ns for span in spans)
    assert max(after - before for before, after in pairwise(on_the_wall)) >= leg.left_out_ns
    last = datetime.fromisoformat(leg.at).timestamp() * 1e9
    assert sum(span.began_ns >= last for span in spans) == 30 - leg.done


def test_what_ctrl_c_left_out_is_done_when_the_run_goes_on(tmp_path: Path, target: Standin) -> None:
    with going(tmp_path, suite(tmp_path, target), until=has(5)) as process:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == Exit.INCOMPLETE
    (run,) = tmp_path.glob("results/*/2*")
    assert f"to go on with it: harness run --resume {run.name}" in said
    trials = pl.read_parquet(run / "trials.parquet")
    left = trials.filter(pl.col("skip") == "interrupted")["trial_id"].to_list()
    assert left
    before = sent(target)

    done = harness("run", "--resume", run, cwd=tmp_path)

    assert done.returncode == Exit.OK, done.stderr
    assert sent(target) - before == len(left)
    again = pl.read_parquet(run / "trials.parquet")
    assert len(again) == 30
    assert set(again["state"]) == {"passed"}


def test_a_run_of_which_nothing_is_missing_is_not_run_again(tmp_path: Path, target: Standin) -> None:
    path = suite(tmp_path, target, SUITE.replace("repeat: 30", "repeat: 2"))
    assert harness("run", path, cwd=tmp_path).returncode == Exit.OK
    done = harness("run", "--resume", "latest", cwd=tmp_path)
    assert done.returncode == Exit.USAGE
    assert "nothing is missing, all 2 trials have a result" in done.stderr
    assert sent(target) == 2


def test_a_run_that_was_killed_after_its_last_trial_gets_its_tables_and_asks_nothing(
    tmp_path: Path, target: Standin
) -> None:
    path = suite(tmp_path, target, SUITE.replace("repeat: 30", "repeat: 3"))
    assert harness("run", path, cwd=tmp_path).returncode == Exit.OK
    (run,) = tmp_path.glob("results/*/2*")
    told = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(told | {"exit_code": None, "ended_ns": None}))
    for table in run.glob("*.parquet"):
        table.unlink()
    assert harness("run", "--resume", "latest", cwd=tmp_path).returncode == Exit.OK
    assert len(pl.read_parquet(run / "trials.parquet")) == 3
    assert sent(target) == 3


def test_a_changed_suite_is_refused_with_the_difference(tmp_path: Path, target: Standin) -> None:
    path = suite(tmp_path, target)
    run = killed(tmp_path, path, results=3)
    before, text = sent(target), path.read_text()
    path.write_text(text.replace("message: hello", "message: good-bye"))
    done = harness("run", "--resume", run, cwd=tmp_path)
    assert done.returncode == Exit.USAGE
    assert "has changed since run" in done.stderr
    assert "-prompts: [{id: hello, message: hello" in done.stderr
    assert "+prompts: [{id: hello, message: good-bye" in done.stderr
    assert "undo that" in done.stderr
    path.unlink()
    done = harness("run", "--resume", run, cwd=tmp_path)
    assert done.returncode == Exit.USAGE
    assert "is not there, as seen from this folder" in done.stderr
    elsewhere = tmp_path / "moved.yaml"
    elsewhere.write_text(text)
    assert sent(target) == before
    other = tmp_path / "other.yaml"
    other.write_text(text.replace("suite: long", "suite: other"))
    done = harness("run", other, "--resume", run, cwd=tmp_path)
    assert done.returncode == Exit.USAGE
    assert f"other.yaml: is the suite other, and run {run.name} is one of" in done.stderr
    assert harness("run", elsewhere, "--resume", run, cwd=tmp_path).returncode == Exit.OK


def test_a_changed_data_set_is_refused(tmp_path: Path, target: Standin) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("city\nParis\nRome\nOslo\n")
    prompts = "prompts: [{each: rows.csv, message: 'Where is {{ city }}?'}]\nload:"
    text = re.sub(r"prompts: .*\nload:", prompts, SUITE).replace("repeat: 30", "repeat: 10")
    run = killed(tmp_path, suite(tmp_path, target, text), results=3)
    before = sent(target)
    rows.write_text("city\nParis\nRome\nBergen\n")
    done = harness("run", "--resume", run, cwd=tmp_path)
    assert done.returncode == Exit.USAGE, done.stderr
    assert "what it is made with has changed" in done.stderr
    assert sent(target) == before


def test_a_changed_trace_is_refused_though_its_trials_are_the_same(tmp_path: Path, target: Standin) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("due_s\n" + "".join(f"{number / 10}\n" for number in range(30)))
    text = SUITE.replace("load: {workers: 2}", "load: {trace: rows.csv}").replace(
        "defaults: {repeat: 30}\n", ""
    )
    run = killed(tmp_path, suite(tmp_path, target, text), results=3)
    before, was = sent(target), rows.read_text()
    rows.write_text(was.replace("\n2.9\n", "\n2.95\n"))
    done = harness("run", "--resume", run, cwd=tmp_path)
    assert done.returncode == Exit.USAGE, done.stderr
    assert "what it is made with has changed: a data set, a trace" in done.stderr
    assert sent(target) == before
    rows.write_text(was)
    assert harness("run", "--resume", run, cwd=tmp_path).returncode in {Exit.OK, Exit.INCOMPLETE}
    trials = pl.read_parquet(run / "trials.parquet")
    assert (len(trials), trials["trial_id"].n_unique()) == (30, 30)


def test_a_run_that_goes_on_is_neither_resumed_nor_graded_by_another_process(
    tmp_path: Path, target: Standin
) -> None:
    with going(tmp_path, suite(tmp_path, target, SUITE.replace("repeat: 30", "repeat: 2000")), until=has(2)):
        for command in (("run", "--resume", "latest"), ("grade", "long")):
            done = harness(*command, cwd=tmp_path)
            assert done.returncode == Exit.ENVIRONMENT, done.stderr
            assert "another harness process writes into this run" in done.stderr


@pytest.mark.parametrize("option", [("--seed", "3"), ("--variant", "plain"), ("--repeat", "2"), ("--gate",)])
def test_options_that_would_make_it_another_run_are_refused(tmp_path: Path, option: tuple[str, ...]) -> None:
    done = harness("run", "--resume", "latest", *option, cwd=tmp_path)
    assert done.returncode == Exit.USAGE
    assert f"{option[0]}: not with --resume" in done.stderr


def test_an_open_load_goes_on_with_the_arrivals_that_are_missing_as_far_apart_as_they_were(
    tmp_path: Path, target: Standin
) -> None:
    load = "load: {main: {rate: 20/s, for: 2s, arrivals: poisson}}"
    text = SUITE.replace("load: {workers: 2}", load).replace("defaults: {repeat: 30}\n", "")
    path = suite(tmp_path, target, text)
    planned = [json.loads(line) for line in harness("plan", path, "--json", cwd=tmp_path).stdout.splitlines()]
    run = killed(tmp_path, path, results=8)
    assert harness("run", "--resume", run, cwd=tmp_path).returncode in {Exit.OK, Exit.INCOMPLETE}
    trials = pl.read_parquet(run / "trials.parquet").sort("due_ns")
    (leg,) = manifest_of(run).resumed
    assert len(trials) == len(trials["trial_id"].unique())
    went_on = trials.filter(pl.col("due_ns") >= leg.began_ns + leg.shift_ns)
    assert 0 < len(went_on) == len(trials) - leg.done
    due = {each["trial_id"]: each["due_ns"] for each in planned if "due_ns" in each}
    if due:
        offsets = {now - due[trial] for trial, now in went_on.select("trial_id", "due_ns").rows()}
        assert len(offsets) == 1, "they are all as much later as the first"


def test_a_phase_that_lasts_for_a_time_lasts_no_longer_for_having_been_killed(
    tmp_path: Path, target: Standin
) -> None:
    text = SUITE.replace("load: {workers: 2}", "load: {main: {workers: 2, for: 3s}}")
    path = suite(tmp_path, target, text.replace("defaults: {repeat: 30}\n", ""))
    run = killed(tmp_path, path, results=20)
    assert harness("run", "--resume", run, cwd=tmp_path).returncode in {Exit.OK, Exit.INCOMPLETE}
    trials = pl.read_parquet(run / "trials.parquet")
    (leg,) = manifest_of(run).resumed
    ran_ns = int(trials["ended_ns"].max()) - int(trials["began_ns"].min())  # type: ignore[arg-type]
    assert 2.5e9 < ran_ns - 1e9 < 4e9, "but for the second that marks the gap"
    assert trials["trial_id"].n_unique() == len(trials) > leg.done


GATED = """
suite: gated
target: {base_url: URL, dialect: sigma}
defaults: {repeat: 12, assert: [{type: starts-with, value: right}]}
variants:
  base: {llm_override: {model_provider: Simulated, model_version: "sim:ttft=5ms,gap=1ms,tokens=3,right=100%"}}
  new: {llm_override: {model_provider: Simulated, model_version: "sim:ttft=5ms,gap=2ms,tokens=3,right=30%"}}
prompts:
  - {id: "q{{ n }}", message: "Question {{ n }}?", each: rows.csv}
load: {workers: 4}
gates: {baseline: base, plan: sequential, rules: [{metric: pass_rate, max_drop: 5pp}]}
"""


def test_a_gate_goes_on_with_all_that_had_come_and_stops_as_early(tmp_path: Path, target: Standin) -> None:
    (tmp_path / "rows.csv").write_text("n\n" + "\n".join(map(str, range(25))) + "\n")
    path = suite(tmp_path, target, GATED)
    run = killed(tmp_path, path, "--gate", results=30)
    done = harness("run", "--resume", run, cwd=tmp_path)
    assert done.returncode == Exit.FAILED, done.stderr
    assert "gate: fail" in done.stdout
    trials = pl.read_parquet(run / "trials.parquet")
    assert len(trials) == trials["trial_id"].n_unique() == 600
    decided = trials.filter(pl.col("skip") == "decided")
    assert len(decided) > 200
    assert sum((manifest_of(run).decided or {}).values()) == len(decided)
    assert sent(target) <= 600 - len(decided) + 4


def test_what_was_spent_stays_spent(tmp_path: Path, target: Standin) -> None:
    text = SUITE.replace("load:", "budget: {tokens: 1200}\nload:")
    run = killed(tmp_path, suite(tmp_path, target, text), results=5)
    assert harness("run", "--resume", run, cwd=tmp_path).returncode == Exit.INCOMPLETE
    trials = pl.read_parquet(run / "trials.parquet")
    assert set(trials["skip"].drop_nulls()) == {"budget"}
    answers = pl.read_parquet(run / "exchanges.parquet")["answer_tokens"].sum()
    (leg,) = manifest_of(run).resumed
    assert trials.filter(pl.col("leg") == 0).height == leg.done > 0
    assert answers < manifest_of(run).spent["estimated_tokens"] <= 1_200, "of both legs together"
