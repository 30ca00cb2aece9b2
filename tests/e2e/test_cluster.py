"""One plan over a real Ray cluster of two nodes: the same tables, and nothing lost.

Both are on this machine, but the clock of one is ahead by 5000 s, where the kernel lets us have such a thing.
"""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness import journal
from harness.errors import Exit
from harness.record.store import read_manifest
from tests.bounds import started
from tests.conftest import Standin, serving
from tests.e2e.shared import folder_of, recorded, rows
from tests.program import HARNESS, going

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

KEY = "a-key-that-no-node-writes-down"
SUITE = """
suite: shared
target: {base_url: URL, dialect: sigma, api_key: '${PLANTED_KEY}'}
defaults: {repeat: 20, llm_override: {model_provider: Simulated, model_version: "MODEL"}}
variants: {plain: {}, warm: {llm_override: {temperature: 0.5}}}
prompts: [{id: hello, message: hello, assert: [{type: stream-complete}]}]
load: LOAD
"""
AUTH = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a-token-of-these-tests-" * 3}
GIVEN = AUTH | {"PLANTED_KEY": KEY}
SERVER = AUTH | {
    "RAY_TMPDIR": "/tmp",  # noqa: S108  its sockets want a short path
    "GRPC_ENABLE_FORK_SUPPORT": "0",  # else the door, which forks a process for each client, may hang
}
SHORT = "sim:ttft=20ms,gap=2ms,tokens=10"


@dataclass(frozen=True, slots=True)
class Nodes:
    """A running cluster, and whoever started it (`tests.e2e.ray_nodes`)."""

    process: "subprocess.Popen[str]"
    address: str
    door: str
    folder: Path
    temporary: Path
    nodes: list[str]
    ahead_ns: list[int]

    def truth(self) -> list[int]:
        """By how much our clock is ahead of each node's, in the order in which they are told of."""
        return [-ahead for _, ahead in sorted(zip(self.nodes, self.ahead_ns, strict=True))]

    def told(self, word: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        return answer(self.process)


def answer(process: "subprocess.Popen[str]") -> dict[str, Any]:
    assert process.stdout is not None
    facts: dict[str, Any] = json.loads(process.stdout.readline())
    return facts


@pytest.fixture(scope="module")
def target() -> Iterator[Standin]:
    with serving("--dialect", "sigma", HARNESS_STANDIN_KEY=KEY) as standin:
        yield standin


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """A head and another node, of one CPU each, and a door for clients from outside."""
    temporary = tmp_path_factory.mktemp("nodes")
    with started(
        [sys.executable, "-m", "tests.e2e.ray_nodes"],
        env=os.environ | SERVER | {"TMPDIR": str(temporary)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        facts = answer(process)
        folder = Path(facts["folder"])
        yield Nodes(
            process,
            facts["address"],
            facts["door"],
            folder,
            temporary,
            facts["nodes"],
            facts["ahead_ns"],
        )


def written(folder: Path, target: Standin, load: str = "{workers: 4}", *, model: str = SHORT) -> Path:
    path = folder / "suite.yaml"
    path.write_text(SUITE.replace("URL", target.url).replace("LOAD", load).replace("MODEL", model))
    return path


def run(folder: Path, *args: str | Path, program: list[str] = HARNESS) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*program, "run", *map(str, args)],
        cwd=folder,
        env=os.environ | GIVEN,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_two_nodes_send_what_one_machine_would_quietly_and_their_clocks_are_on_record(
    tmp_path: Path, target: Standin, cluster: Nodes
) -> None:
    path = written(tmp_path, target)
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert run(tmp_path, path, "--results", alone / "results").returncode == Exit.OK
    done = run(tmp_path, path, "--results", shared / "results", "--cluster", cluster.address, "--json", "-q")

    assert done.returncode == Exit.OK, done.stderr
    one, two = folder_of(alone), folder_of(shared)
    assert done.stderr.splitlines() == [f"results: {two}"]
    assert set(rows(one)["trial_id"]) == set(rows(two)["trial_id"])
    assert len(rows(two)) == rows(two)["trial_id"].n_unique() == 40
    assert set(rows(two)["state"]) == {"passed"}
    assert [sum(each.values()) for each in recorded(two)] == [0, 20, 20]
    assert {path.name for path in one.iterdir()} | {"journal-1.jsonl", "journal-2.jsonl"} == {
        path.name for path in two.iterdir()
    }
    manifest = read_manifest(two)
    assert manifest.options["cluster"] == cluster.address
    assert [node["within_ns"] for node in json.loads(done.stdout)["nodes"]] == [
        node.within_ns for node in manifest.nodes
    ]
    for node, truth in zip(manifest.nodes, cluster.truth(), strict=True):
        assert node.processes == 1
        assert abs(node.ahead_ns - truth) <= node.residual_ns
        assert node.moved_ns is not None
        assert node.last_residual_ns is not None
        assert abs(node.ahead_ns + node.moved_ns - truth) <= node.last_residual_ns
        assert node.within_ns is not None
        assert node.within_ns >= abs(node.ahead_ns - truth)
    assert manifest.ended_ns is not None
    for column in ("began_ns", "ended_ns"):  # by the clock of the run, whichever node sent it
        assert rows(two)[column].is_between(manifest.started_ns, manifest.ended_ns).all()
    assert left_on_nodes(cluster) == []


def left_on_nodes(cluster: Nodes) -> list[Path]:
    """What the key stands in, and what our processes left behind."""
    logs = [path for path in cluster.folder.rglob("*") if path.is_file()]
    assert logs
    return [*(path for path in logs if KEY.encode() in path.read_bytes()), *cluster.temporary.iterdir()]


def test_processes_are_placed_on_nodes_by_their_cpus_and_more_are_refused_before_anything_is_sent(
    tmp_path: Path, target: Standin, cluster: Nodes
) -> None:
    done = run(tmp_path, written(tmp_path, target), "--cluster", cluster.address, "--processes", "3")
    assert done.returncode == Exit.USAGE
    assert "3 processes need as many CPUs, as Ray counts them, and there are 2" in " ".join(
        done.stderr.split()
    )
    assert not (tmp_path / "results").exists()


def test_a_cluster_is_joined_from_outside_by_the_door_for_clients(
    tmp_path: Path, target: Standin, cluster: Nodes
) -> None:
    done = run(tmp_path, written(tmp_path, target), "--cluster", cluster.door)
    assert done.returncode == Exit.OK, done.stderr
    trials = rows(folder_of(tmp_path))
    assert len(trials) == trials["trial_id"].n_unique() == 40
    assert [sum(each.values()) for each in recorded(folder_of(tmp_path))] == [0, 20, 20]
    assert all(node.within_ns is not None for node in read_manifest(folder_of(tmp_path)).nodes)


def test_a_ray_is_started_on_this_machine_for_one_run(tmp_path: Path, target: Standin) -> None:
    done = run(tmp_path, written(tmp_path, target), "--cluster", "local", "--processes", "2")
    assert done.returncode == Exit.OK, done.stderr
    assert [sum(each.values()) for each in recorded(folder_of(tmp_path))] == [0, 20, 20]
    (node,) = read_manifest(folder_of(tmp_path)).nodes
    assert (node.processes, node.is_here) == (2, True)


def test_without_ray_one_is_told_what_to_install(tmp_path: Path, target: Standin) -> None:
    missing = "import sys; sys.modules['ray'] = None; from harness.cli import main; main()"
    done = run(
        tmp_path, written(tmp_path, target), "--cluster", "local", program=[sys.executable, "-c", missing]
    )
    assert done.returncode == Exit.USAGE
    assert "pip install 'sigma-harness[ray]'" in " ".join(done.stderr.split())


def test_a_node_that_is_lost_is_told_of_and_others_send_what_it_had_not_finished(
    tmp_path: Path, target: Standin, cluster: Nodes
) -> None:
    extra = cluster.told("add")["node"]
    number = 1 + sorted([*cluster.nodes, extra]).index(extra)

    def has_begun(folder: Path) -> bool:
        path = folder / journal.of_process(number)
        return path.exists() and path.read_bytes().count(b'{"line":"result"') >= 3

    path = written(tmp_path, target, "{rate: 20/s, for: 6s}", model="sim:ttft=20ms,gap=20ms,tokens=10")
    with going(tmp_path, path, "--cluster", cluster.address, until=has_begun, **GIVEN) as leading:
        cluster.told("kill")
        figures, said = leading.communicate(timeout=200)

    assert leading.returncode in {Exit.OK, Exit.INCOMPLETE}, said
    told = re.search(
        rf"process {number} on node \S+ \(pid \d+\) is lost: [^;]+; (\d+) of its trials without a result "
        r"were handed to process \d on node",
        said,
    )
    assert told is not None, said
    folder = folder_of(tmp_path)
    trials = rows(folder)
    assert len(trials) == trials["trial_id"].n_unique() == 120
    assert set(trials["state"]) == {"passed"}
    assert (trials["began_ns"] >= trials["due_ns"]).all()
    by_journal = recorded(folder)
    assert set(sum(by_journal, Counter()).values()) == {1}
    assert sum(by_journal[number].values()) + int(told[1]) == 40
    assert any("is lost" in warning for warning in read_manifest(folder).warnings)
    bounds = [node.within_ns for node in read_manifest(folder).nodes]
    assert [bound is None for bound in bounds] == [nth == number for nth in (1, 2, 3)]
    assert "at the start, not known after that" in " ".join(figures.split())
    assert "raylet" not in figures + said
