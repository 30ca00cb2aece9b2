"""What a run came to does not depend on how its records lie: in one journal, or dealt out over several."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import polars as pl
import pytest

from harness import journal
from tests.conftest import serving
from tests.program import harness

pytestmark = pytest.mark.slow

SUITE = """
suite: split
target: {base_url: URL, dialect: sigma}
defaults:
  repeat: 4
  retry: {attempts: 2}
  llm_override:
    model_provider: Simulated
    model_version: "sim:ttft=5ms,gap=2ms,jitter=50%,tokens=12,right=60%"
variants:
  plain: {}
  faulty: {llm_override: {model_version: "sim:ttft=5ms,gap=1ms,tokens=12,fault=reset@5,share=40%"}}
  flaky: {llm_override: {model_version: "sim:ttft=5ms,tokens=4,fault=flaky:2"}}
  searching: {llm_override: {model_version: "sim:reasoning=4,tool=search:10ms,tool=web:5ms,tokens=8"}}
load:
  closed: {workers: 4}
  open: {rate: 60/s, for: 1s, max_in_flight: 3, when_full: drop, mix: {plain: 2, searching: 1}}
prompts:
  - {id: one, message: hello, assert: [{type: icontains, value: right}, {type: ttft, threshold: 5s}]}
  - {id: two, turns: [{id: first, message: hello}, {id: second, message: and then}]}
  - {id: three, message: what is it, assert: [{type: stream-complete}]}
"""


@pytest.fixture(scope="module")
def unsplit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run in one journal: variants, tools, retries, errors, dropped arrivals."""
    place = tmp_path_factory.mktemp("unsplit")
    with serving("--dialect", "sigma") as standin:
        (place / "suite.yaml").write_text(SUITE.replace("URL", standin.url))
        done = harness("run", "suite.yaml", "--quiet", cwd=place)
    (found,) = place.glob("results/split/2*")
    assert [path.name for path in journal.journals(found)] == ["journal-0.jsonl"], done.stderr
    graded(found)
    return found


def graded(run: Path) -> None:
    """Have every table and figure made anew from the journals."""
    done = harness("grade", run, "--retime", cwd=run)
    assert done.returncode in {0, 1, 3}, done.stderr


def dealt(lines: Sequence[bytes], many: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """*lines*, dealt out at random over *many* journals; each keeps the order that they had."""
    random = Random(seed)
    hands: list[list[bytes]] = [[] for _ in range(many)]
    for line in lines:
        random.choice(hands).append(line)
    for number, hand in enumerate(hands):
        yield journal.of_process(number), b"".join(hand)


def table(path: Path) -> pl.DataFrame:
    """A table, its rows in an order of their own."""
    frame = pl.read_parquet(path)
    keys = [name for name, kind in frame.schema.items() if not kind.is_nested()]
    return frame.sort(keys)


@pytest.mark.parametrize(("many", "seed"), [(2, 0), (3, 1), (8, 2)])
def test_merged_figures_of_a_split_run_equal_those_of_the_same_records_unsplit(
    unsplit: Path, tmp_path: Path, many: int, seed: int
) -> None:
    run = tmp_path / "results" / "split" / unsplit.name
    shutil.copytree(unsplit, run)
    lines = (run / "journal-0.jsonl").read_bytes().splitlines(keepends=True)
    for name, hand in dealt(lines, many, seed):
        (run / name).write_bytes(hand)
    for made in (*run.glob("*.parquet"), *run.glob("*.hgrm"), run / "summary.json"):
        made.unlink()
    graded(run)
    tables = sorted(path.name for path in unsplit.glob("*.parquet"))
    histograms = sorted(path.name for path in unsplit.glob("*.hgrm"))
    assert sorted(path.name for path in run.glob("*.parquet")) == tables
    assert sorted(path.name for path in run.glob("*.hgrm")) == histograms
    assert len(journal.journals(run)) == many
    for name in tables:
        assert table(run / name).equals(table(unsplit / name), null_equal=True), name
    for name in histograms:
        assert (run / name).read_bytes() == (unsplit / name).read_bytes(), name
    assert (run / "summary.json").read_bytes() == (unsplit / "summary.json").read_bytes()


def test_the_run_that_is_split_has_something_of_everything(unsplit: Path) -> None:
    trials = pl.read_parquet(unsplit / "trials.parquet")
    assert {"passed", "failed", "error", "not_run"} <= set(trials["state"])
    assert pl.read_parquet(unsplit / "exchanges.parquet")["attempt"].max() == 2
    assert pl.read_parquet(unsplit / "tool_calls.parquet").height > 0
    assert len(list(unsplit.glob("*.hgrm"))) > 0
