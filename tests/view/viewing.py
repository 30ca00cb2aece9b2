"""A view in a process of its own, and runs for it to show, made by real runs against the stand-in."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.once import once
from tests.program import HARNESS

SHOWN = """
suite: shown
target: {standin: {ignore: [filters]}}
defaults: {repeat: 2, retry: {attempts: 2, for: [503]}}
variants:
  steady: {llm_override: {model_provider: Simulated, model_version: steady}, only: ["tag:policy", talk]}
  thinker: {llm_override: {model_provider: Simulated, model_version: thinker}, only: ["tag:policy", talk]}
  filtered: {search_filters: {source_type: [slack]}, only: [refund]}
  broken: {only: [cut, again]}
prompts:
  - id: refund
    tags: [policy]
    message: How long is the refund window for customers in the EU?
    assert: [{type: icontains, value: 30 days}, {type: citations, min: 1}]
  - id: price
    tags: [policy, money]
    message: What does the Team plan cost?
    assert: [{type: icontains, value: 99 bananas, metric: bananas}]
  - id: talk
    turns:
      - {id: first, message: hello}
      - {id: more, message: How long is the refund window for Atlas?}
      - {id: other, after: first, message: What does the Team plan cost?}
      - {id: again, regenerate: more}
  - id: cut
    message: a reply that is cut off
    llm_override: {model_provider: Simulated, model_version: "sim:ttft=20ms,gap=2ms,tokens=60,fault=reset@20"}
  - id: again
    message: a server that is busy at first
    llm_override: {model_provider: Simulated, model_version: "sim:ttft=20ms,gap=2ms,tokens=60,fault=flaky:2"}
load: {main: {workers: 4}}
"""
"""Passes, failures, errors that were tried again, ignored settings, and a conversation with branches."""

HOSTILE = """
suite: hostile
target: standin
variants:
  "<script>alert(1)</script>": {}
prompts:
  - id: "<img src=x onerror=alert(1)>"
    tags: ["<b>tag</b>"]
    message: "<script>document.title='taken'</script> \\x1b[31m \\u202Eturned"
    llm_override: {model_provider: Simulated, model_version: "sim:ttft=5ms,gap=1ms,fault=hostile:5M"}
    assert: [{type: contains, value: "<style>*{display:none}</style> not there"}]
"""
"""What has done harm somewhere, in every name and text, and an answer of five million letters."""

SLOW = """
suite: slow
target: standin
prompts:
  - id: hello
    message: hello
    llm_override: {model_provider: Simulated, model_version: "sim:ttft=200ms,gap=2ms,tokens=20"}
    assert: [{type: icontains, value: e}]
  - id: own
    message: hello again
    llm_override: {model_provider: Simulated, model_version: "sim:ttft=200ms,gap=2ms,tokens=20"}
    assert: [{type: python, value: "file://checks.py:fine"}]
defaults: {repeat: 60}
load: {main: {workers: 1}}
"""
"""A run of some twenty seconds; half of it waits for the suite's own Python."""

CHECKS = """
from pathlib import Path

def fine(answer):
    (Path(__file__).parent / "ran").touch()
    return True
"""


def begun(text: str, folder: Path, results: Path) -> "subprocess.Popen[str]":
    """A `harness run` that was just started on the suite *text*, in *folder*."""
    (folder / "suite.yaml").write_text(text)
    (folder / "checks.py").write_text(CHECKS)
    command = [*HARNESS, "run", "suite.yaml", "--results", str(results), "--quiet"]
    env = {key: value for key, value in os.environ.items() if not key.startswith("SIGMA_")}
    return subprocess.Popen(
        command, cwd=folder, env=env, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def run(text: str, folder: Path, results: Path) -> Path:
    """The folder of a run on the suite *text* that is over."""
    process = begun(text, folder, results)
    _, said = process.communicate(timeout=60)
    assert process.returncode in {0, 1, 3}, said
    ran = {path.parent.resolve() for path in results.glob("*/*/manifest.json")}
    return max(ran, key=lambda path: path.name)


def results_to_show(factory: pytest.TempPathFactory) -> Path:
    """A folder of results, one's own, with a run of `SHOWN` and one of `HOSTILE`."""

    def make(folder: Path) -> None:
        run(SHOWN, folder, folder / "results")
        run(HOSTILE, folder, folder / "results")

    return once(factory, "shown", make) / "results"


@contextmanager
def viewing(results: Path, *options: str, cwd: Path | None = None) -> Iterator[httpx.Client]:
    """A view of *results*, to be asked by HTTP; ended by its process id, and quietly."""
    command = [*HARNESS, "view", str(results), "--port", "0", *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd or results.parent
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        url = process.stdout.readline().strip()
        assert url.startswith("http://"), process.stderr.read()
        at = httpx.URL(url)
        with httpx.Client(base_url=at.copy_with(path="/"), timeout=30) as http:
            yield http
    finally:
        process.terminate()
        said = process.communicate(timeout=10)[1]
    assert process.returncode == 0, said
    assert "Traceback" not in said


def until(true: Callable[[], bool], seconds: float = 30) -> None:
    """Return once it is *true*, asked again and again; fail if it never is."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.05)
