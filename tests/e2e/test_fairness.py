"""Variants that share a server, through the command line: who slowed whom, and where it is told."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.program import harness_here

pytestmark = pytest.mark.slow

SUITE = """
suite: shared
target: {base_url: "URL", allow_anonymous: true, audit: 0%}
variants: {light: {llm_override: {temperature: 0}}, heavy: {llm_override: {temperature: 1}}}
prompts: [{id: p, message: go}]
load: {peak: {rate: 24/s, arrivals: poisson, for: 16s, mix: {light: 12, heavy: 1}}}
"""


@contextmanager
def sharing() -> Iterator[str]:
    command = [sys.executable, str(Path(__file__).parent / "sharing.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def test_a_heavy_variant_that_holds_up_another_is_told_everywhere(tmp_path: Path) -> None:
    results = tmp_path / "results"
    with sharing() as url:
        suite = tmp_path / "s.yaml"
        suite.write_text(SUITE.replace("URL", url))
        ran = harness_here("run", suite, "--results", results)
    run = next((results / "shared").glob("2*"))
    summary = json.loads((run / "summary.json").read_text())
    (shared,) = summary["fairness"]
    (one,) = (
        each
        for each in shared["interference"]
        if (each["variant"], each["figure"], each["by"]) == ("light", "ttft", "heavy")
    )
    assert shared["variants"] == ["light", "heavy"]
    assert one["low"] > 1.5, "one heavy reply makes five times as much of it"
    assert one["p"] < 0.05
    assert one["few"] < 0.5 <= one["many"]
    assert {(each["variant"], each["figure"]) for each in shared["worst"]} >= {
        ("light", "total"),
        ("light", "ttft"),
        ("heavy", "total"),
    }
    says = "light was slower (peak) while more replies of heavy were under way: TTFT p50 "
    assert says in " ".join(ran.stdout.split())
    out_of_line = [each for each in shared["worst"] if each["times"] >= 2 and each["among"] == "prompt"]
    assert ("worst conversation of" in ran.stdout) == bool(out_of_line)
    told = harness_here("report", run, "--markdown", tmp_path / "told.md", "--html", tmp_path / "told.html")
    assert told.exit_code in {0, 3}, told.output
    assert says in (tmp_path / "told.md").read_text()
    page = (tmp_path / "told.html").read_text()
    assert says in page
    assert "Variants that shared the server" in page
    assert "worst conversation of" in page
    harness_here("grade", run)
    assert json.loads((run / "summary.json").read_text())["fairness"] == summary["fairness"]
