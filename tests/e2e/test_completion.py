"""What the shell offers at a TAB; in a real bash, and for most of it by the way in which typer asks."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli import app

ROOT = Path(__file__).parents[2]
SUITE = """\
target: {base_url: "${NOT_SET_ANYWHERE}"}
variants:
  base: {}
  candidate:
    extends: base
    matrix: {stream: {whole: false, parts: true}, deep_research: {deep: true, quick: false}}
    exclude: [whole+deep]
prompts:
  - {id: refund-window, message: hi, tags: [policies, critical]}
  - {id: "faq/{{ topic }}", each: faq.csv, message: "{{ topic }}", tags: faq}
  - {message: without an id}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a suite, another that is broken, and results."""
    (tmp_path / "suites" / "old").mkdir(parents=True)
    (tmp_path / "suites" / "smoke.yaml").write_text(SUITE)
    (tmp_path / "suites" / "broken.yaml").write_text("target: {standin\nprompts: [")
    (tmp_path / "suites" / "odd.yaml").write_text("variants: [a]\nprompts: {id: x}\ndefaults: 3\n")
    (tmp_path / "suites" / "faq.csv").write_text("topic\nrefunds\nleave\n")
    (tmp_path / "suites" / "notes.txt").write_text("")
    for run in ("20261126T010203Z-aaaa", "20261127T010203Z-bbbb"):
        (tmp_path / "results" / "smoke" / run).mkdir(parents=True)
        (tmp_path / "results" / "smoke" / run / "manifest.json").write_text("{}")
    (tmp_path / "results" / "smoke" / "baselines.json").write_text('{"main": {}}')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def offered(line: str) -> list[str]:
    """What is offered at the end of *line*."""
    environment = {
        "HARNESS_DEBUG": "1",  # else what breaks in ours would look like nothing to offer
        "_HARNESS_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split()) - (not line.endswith(" "))),
    }
    done = CliRunner().invoke(app, [], prog_name="harness", env=environment)
    assert done.exit_code == 0
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("harness pl", ["plan"]),
        ("harness baseline se", ["set"]),
        ("harness run --processes a", ["auto"]),
        ("harness run --cluster ", ["local", "auto", "ray://"]),
        ("harness run --target s", ["standin"]),
        ("harness run s", ["suites/broken.yaml", "suites/odd.yaml", "suites/smoke.yaml", "suites/old/"]),
        ("harness plan suites/s", ["suites/smoke.yaml"]),
        ("harness run nothing/s", []),
        (
            "harness run suites/smoke.yaml --variant ",
            ["base", "candidate/whole+quick", "candidate/parts+deep", "candidate/parts+quick"],
        ),
        ("harness run suites/smoke.yaml --variant base --variant b", ["base"]),
        ("harness limit suites/smoke.yaml --prompt ", ["refund-window", "faq/refunds", "faq/leave"]),
        ("harness plan --seed 3 suites/smoke.yaml --only ", ["policies", "critical", "faq"]),
        ("harness run suites/smoke.yaml --baseline m", ["main"]),
        ("harness run --variant ", []),
        (
            "harness report ",
            ["latest", "smoke", "main", "20261127T010203Z-bbbb", "20261126T010203Z-aaaa"],
        ),
        ("harness report results/smoke/20261126", ["results/smoke/20261126T010203Z-aaaa"]),
        ("harness report ./results/s", ["./results/smoke/"]),
        ("harness report --results elsewhere ", []),
        ("harness runs sm", ["smoke"]),
        ("harness check st", ["standin"]),
        ("harness compare latest 20261126", ["20261126T010203Z-aaaa"]),
        ("harness gate smoke --suite suites/s", ["suites/smoke.yaml"]),
        ("harness run suites/broken.yaml --variant ", []),
        ("harness run suites/broken.yaml --prompt ", []),
        ("harness run suites/odd.yaml --only ", []),
        ("harness run suites/odd.yaml --variant ", ["default"]),
        ("harness run suites/missing.yaml --prompt ", []),
    ],
)
def test_a_tab_offers_what_would_fit(line: str, names: list[str]) -> None:
    assert offered(line) == names


@pytest.mark.usefixtures("folder")
def test_every_option_of_run_is_offered() -> None:
    assert {"--gate", "--resume", "--html", "--variant"} <= set(offered("harness run suites/smoke.yaml --"))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_bash_completes_after_install_completion(folder: Path) -> None:
    script = f"""
set -e
{shutil.which("harness", path=str(Path(sys.executable).parent))} --install-completion >/dev/null
source "$HOME/.bashrc"
tab() {{
  COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
  "$(complete -p harness | sed -E 's/.*-F ([^ ]+).*/\\1/')" harness
  echo "${{COMPREPLY[*]}}"
}}
tab harness run suites/sm
tab harness run suites/smoke.yaml --variant b
tab harness run suites/broken.yaml --prompt ''
"""
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stderr, done.stdout.splitlines()) == ("", ["suites/smoke.yaml", "base", ""])
