"""One plan over several processes: the same trials, the same figures, and nothing lost with any of them."""

import json
import os
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from harness import journal
from harness.errors import Exit
from harness.record.store import read_manifest
from tests.conftest import Standin, serving
from tests.e2e.shared import folder_of, recorded, rows
from tests.program import going, harness

pytestmark = pytest.mark.slow

SUITE = """
suite: shared
target: {base_url: URL, dialect: sigma}
defaults: {repeat: 20, llm_override: {model_provider: Simulated, model_version: "MODEL"}}
variants: {plain: {}, warm: {llm_override: {temperature: 0.5}}}
prompts: [{id: hello, message: hello, assert: [{type: stream-complete}]}]
load: LOAD
"""
SHORT = "sim:ttft=20ms,gap=2ms,tokens=10"
LONG = "sim:ttft=20ms,gap=50ms,tokens=60"


@pytest.fixture(scope="module")
def target() -> Iterator[Standin]:
    with serving("--dialect", "sigma") as standin:
        yield standin


def written(
    folder: Path, target: Standin, load: str = "{workers: 4}", *, model: str = SHORT, more: str = ""
) -> Path:
    path = folder / "suite.yaml"
    path.write_text(SUITE.replace("URL", target.url).replace("LOAD", load).replace("MODEL", model) + more)
    return path


def run(folder: Path, *args: str | Path) -> subprocess.CompletedProcess[str]:
    return harness("run", *args, cwd=folder, timeout_s=120)


def with_results(*, each: int) -> Callable[[Path], bool]:
    """Once both processes have journalled so many results."""

    def has(folder: Path) -> bool:
        paths = [folder / journal.of_process(number) for number in (1, 2)]
        return all(path.exists() and path.read_bytes().count(b'{"line":"result"') >= each for path in paths)

    return has


def children(pid: int) -> list[int]:
    """The processes that send the trials of the run that is led by *pid*, in their order."""
    told = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    lines = {int(each): Path(f"/proc/{each}/cmdline").read_bytes() for each in told}
    return sorted(each for each, line in lines.items() if b"harness.crew.child" in line)


def test_two_processes_send_what_one_would_and_each_keeps_its_own_journal(
    tmp_path: Path, target: Standin
) -> None:
    path = written(tmp_path, target)
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert run(tmp_path, path, "--results", alone / "results").returncode == Exit.OK
    done = run(tmp_path, path, "--results", shared / "results", "--processes", "2")

    assert done.returncode == Exit.OK, done.stderr
    one, two = folder_of(alone), folder_of(shared)
    assert set(rows(one)["trial_id"]) == set(rows(two)["trial_id"])
    assert len(rows(two)) == rows(two)["trial_id"].n_unique() == 40
    assert set(rows(two)["state"]) == {"passed"}
    by_journal = recorded(two)
    assert [sum(each.values()) for each in by_journal] == [0, 20, 20]
    assert set(pl.read_parquet(two / "moments.parquet")["process"]) == {1, 2}
    assert read_manifest(two).options["processes"] == 2
    assert {path.name for path in one.iterdir()} | {"journal-1.jsonl", "journal-2.jsonl"} == {
        path.name for path in two.iterdir()
    }


LOADS = {
    "closed, for a time": "{workers: 4, for: 1s, mix: {plain: 3, warm: 1}}",
    "open": "{rate: 30/s, arrivals: poisson, for: 1s}",
    "room for one": "{rate: 40/s, max_in_flight: 1}",
    "two phases": "{first: {workers: 2, for: 500ms}, then: {rate: 30/s, for: 500ms}}",
}


@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS)
def test_every_load_can_be_shared(tmp_path: Path, target: Standin, load: str) -> None:
    done = run(tmp_path, written(tmp_path, target, load), "--processes", "2", "--json")
    trials = rows(folder_of(tmp_path))
    assert done.returncode in {Exit.OK, Exit.INCOMPLETE}, done.stderr
    assert len(trials) == trials["trial_id"].n_unique() > 10
    assert set(trials["state"]) == {"passed"}
    assert len(list(journal.heads(folder_of(tmp_path)))) == len(trials)
    due = trials.drop_nulls("due_ns")
    assert (due["began_ns"] >= due["due_ns"]).all()


def test_the_arrivals_of_all_processes_are_of_one_schedule(tmp_path: Path, target: Standin) -> None:
    run(tmp_path, written(tmp_path, target, "{rate: 40/s, for: 1s}"), "--processes", "2", "-q")
    due = rows(folder_of(tmp_path))["due_ns"].sort().to_list()
    assert {after - before for before, after in pairwise(due)} == {25_000_000}


def test_workers_are_shared_out_and_never_more_than_asked(tmp_path: Path, target: Standin) -> None:
    run(tmp_path, written(tmp_path, target, "{workers: 3}"), "--processes", "2", "-q")
    trials = rows(folder_of(tmp_path))
    began, ended = trials["began_ns"].sort().to_list(), trials["ended_ns"].sort().to_list()
    under_way = [sum(at >= start for start in began) - sum(at > end for end in ended) for at in began]
    assert max(under_way) == 3


def test_a_process_that_is_killed_is_told_of_and_another_sends_what_it_had_not_finished(
    tmp_path: Path, target: Standin
) -> None:
    path = written(tmp_path, target, "{rate: 20/s, for: 4s}", model="sim:ttft=20ms,gap=20ms,tokens=10")
    with going(tmp_path, path, "--processes", "2", until=with_results(each=3)) as leading:
        first, second = children(leading.pid)
        os.kill(first, signal.SIGKILL)
        _, said = leading.communicate(timeout=60)

    assert leading.returncode in {Exit.OK, Exit.INCOMPLETE}, said
    lost = rf"process 1 \(pid {first}\) was killed by SIGKILL; (\d+) of its trials without a result were "
    told = re.search(lost + rf"handed to process 2 \(pid {second}\)", said)
    assert told is not None, said
    trials = rows(folder_of(tmp_path))
    assert len(trials) == trials["trial_id"].n_unique() == 80
    assert set(trials["state"]) == {"passed"}
    by_journal = recorded(folder_of(tmp_path))
    assert set(sum(by_journal, Counter()).values()) == {1}
    assert sum(by_journal[1].values()) + int(told[1]) == 40
    assert any("was killed" in warning for warning in read_manifest(folder_of(tmp_path)).warnings)
    assert "books do not balance" not in said


def test_a_phase_that_lasts_for_a_time_keeps_its_workers_when_one_process_is_lost(
    tmp_path: Path, target: Standin
) -> None:
    load = "{workers: 4, for: 6s}"
    path = written(tmp_path, target, load, model="sim:ttft=20ms,gap=10ms,tokens=20")
    with going(tmp_path, path, "--processes", "2", until=with_results(each=1)) as leading:
        os.kill(children(leading.pid)[1], signal.SIGKILL)
        _, said = leading.communicate(timeout=60)
    assert leading.returncode in {Exit.OK, Exit.INCOMPLETE}, said
    trials = rows(folder_of(tmp_path))
    assert set(trials["state"]) == {"passed"}
    assert trials["trial_id"].n_unique() == len(trials)
    heirs = trials.filter(pl.col("trial_id").is_in(list(recorded(folder_of(tmp_path))[1])))
    began, ended = heirs["began_ns"].to_list(), heirs["ended_ns"].to_list()
    under_way = [sum(one <= at < other for one, other in zip(began, ended, strict=True)) for at in began]
    assert max(under_way) == 4, "two of its own, and two that it took over"


def test_when_the_last_process_is_lost_the_run_ends_and_can_go_on(tmp_path: Path, target: Standin) -> None:
    path = written(tmp_path, target, model="sim:ttft=20ms,gap=20ms,tokens=10")
    with going(tmp_path, path, "--processes", "2", until=with_results(each=2)) as leading:
        for child in children(leading.pid):
            os.kill(child, signal.SIGKILL)
        _, said = leading.communicate(timeout=60)
    assert leading.returncode == Exit.ENVIRONMENT, said
    assert re.search(r"trials have no result; `harness run --resume \S+` goes on with them", said)

    went_on = run(
        tmp_path, "--resume", "latest" if (tmp_path / "results/shared/latest").exists() else "shared"
    )
    assert went_on.returncode == Exit.OK, went_on.stderr
    assert "starting 2 processes" in went_on.stderr
    trials = rows(folder_of(tmp_path))
    assert len(trials) == trials["trial_id"].n_unique() == 40
    assert set(trials["state"]) == {"passed"}


def test_where_the_process_that_leads_is_killed_the_others_end_too_and_the_run_can_go_on(
    tmp_path: Path, target: Standin
) -> None:
    path = written(tmp_path, target, model="sim:ttft=20ms,gap=50ms,tokens=20", load="{workers: 4}")
    with going(tmp_path, path, "--processes", "2", "--repeat", "6", until=with_results(each=1)) as leading:
        led = children(leading.pid)
        leading.kill()
        leading.wait()
    while any(Path(f"/proc/{each}").exists() for each in led):
        os.sched_yield()

    went_on = run(tmp_path, "--resume", "shared", "--processes", "3")
    assert went_on.returncode == Exit.OK, went_on.stderr
    trials = rows(folder_of(tmp_path))
    assert len(trials) == trials["trial_id"].n_unique() == 12
    assert set(trials["leg"]) == {0, 1}


def test_the_first_ctrl_c_lets_trials_of_all_processes_finish_and_the_second_cuts_them(
    tmp_path: Path, target: Standin
) -> None:
    path = written(tmp_path, target, model=LONG, load="{workers: 6}")
    with going(tmp_path, path, "--processes", "2", until=with_results(each=1)) as leading:
        leading.send_signal(signal.SIGINT)
        assert leading.stderr is not None
        until_said(leading, "may finish")
        leading.send_signal(signal.SIGINT)
        said = leading.communicate(timeout=60)[1]
    assert leading.returncode == Exit.INCOMPLETE, said
    trials = rows(folder_of(tmp_path))
    assert len(trials) == 40
    assert set(trials["reason"].drop_nulls()) == {"interrupted"}
    cut = trials.filter(pl.col("state") == "not_run", pl.col("began_ns").is_not_null())
    assert 1 <= len(cut) <= 6


def until_said(process: "subprocess.Popen[str]", words: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    raise AssertionError(f"never said: {words}")


def test_a_gate_that_looks_after_each_round_sees_what_all_processes_found(
    tmp_path: Path, target: Standin
) -> None:
    gates = """gates:
  plan: sequential
  baseline: plain
  rules: [{metric: pass_rate, max_drop: 30pp}]
"""
    path = written(tmp_path, target, more=gates)
    done = run(tmp_path, path, "--processes", "2", "--gate", "--json")
    assert done.returncode in {Exit.OK, Exit.INCOMPLETE}, done.stderr
    assert json.loads(done.stdout)["gate"] is not None
    trials = rows(folder_of(tmp_path))
    assert len(trials) == 40
    assert set(trials["reason"].drop_nulls()) <= {"decided"}


def test_what_is_masked_is_masked_by_every_process(tmp_path: Path, target: Standin) -> None:
    """Before it is kept, so no journal has it: patterns and what is known by a name go to the others, too."""
    path = written(tmp_path, target, model="sim:tokens=30", more="redact: [email, ' [a-z]{3,}']\n")
    done = run(tmp_path, path, "--processes", "2", "-q")
    assert done.returncode == Exit.OK, done.stderr
    answers = pl.read_parquet(folder_of(tmp_path) / "exchanges.parquet")["answer"].to_list()
    assert len(answers) == 40
    assert all("***" in each and re.search(" [a-z]{3,}", each) is None for each in answers)


def test_deep_research_that_is_limited_is_shared_out_as_one_process_would_spend_it(
    tmp_path: Path, target: Standin
) -> None:
    budget = "budget: {deep_research: 3}\n"
    path = written(tmp_path, target, more=budget, load="{workers: 2}")
    path.write_text(path.read_text().replace("message: hello,", "message: hello, deep_research: true,"))
    done = run(tmp_path, path, "--processes", "2", "--repeat", "4", "-q", "--yes")
    trials = rows(folder_of(tmp_path))
    assert len(trials) == 8
    assert len(trials.filter(pl.col("began_ns").is_not_null())) == 3, done.stderr
    assert set(trials.filter(pl.col("began_ns").is_null())["reason"]) == {"budget"}


def test_a_disk_that_is_full_ends_all_of_them_with_a_message(tmp_path: Path, target: Standin) -> None:
    path = written(tmp_path, target, model=LONG)
    with going(tmp_path, path, "--processes", "2", until=with_results(each=1)) as leading:
        for found in folder_of(tmp_path).glob("journal-1.jsonl"):
            found.unlink()
        said = leading.communicate(timeout=60)[1]
    assert leading.returncode == Exit.ENVIRONMENT, said
    assert "journal-1.jsonl: was deleted or replaced while the run went on" in said


REFUSED: dict[str, tuple[str, str, str]] = {
    "no number": ("", "many", "--processes many: a number from 1 on, or auto"),
    "none": ("", "0", "--processes 0: a number from 1 on, or auto"),
    "a budget of tokens": (
        "budget: {tokens: 1000}\n",
        "2",
        "budget.tokens is kept by one process, which knows what every trial has cost",
    ),
}


@pytest.mark.parametrize(("more", "processes", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_shared_is_refused_before_anything_is_sent(
    tmp_path: Path, target: Standin, more: str, processes: str, said: str
) -> None:
    done = run(tmp_path, written(tmp_path, target, more=more), "--processes", processes)
    assert done.returncode == Exit.USAGE
    assert said in " ".join(done.stderr.split())
    assert not (tmp_path / "results").exists()
