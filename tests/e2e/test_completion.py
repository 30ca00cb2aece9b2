"""What the shell offers at a TAB; in real shells, and for most of it by the way in which typer asks."""

import shutil
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli import app
from tests.shells import ran, settle, typed

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


ODD_NAMES = """\
target: {base_url: "${NOT_SET_ANYWHERE}"}
variants: {base: {}, "with space": {}, "it's": {}, "cost$5": {}, "of:b": {}}
prompts: [{id: "faq:leave", message: hi}, {id: "faq/who is it", message: hi}]
"""
TYPED = {
    "harness pl\t": "harness plan ",
    "harness run odd.yaml --proce\t": "harness run odd.yaml --processes ",
    "harness run suites/sm\t": "harness run suites/smoke.yaml ",
    "harness run suites/old\t": "harness run suites/old/",
    "harness run suites/my\t": r"harness run suites/my\ suites/\$\(x\)/it\'s.yaml ",
    'harness run "suites/my \t': """harness run "suites/my suites/\\$(x)/it's.yaml" """,
    "harness run suites/smoke.yaml --variant candidate/parts+d\t": (
        "harness run suites/smoke.yaml --variant candidate/parts+deep "
    ),
    "harness run odd.yaml --variant with\t": r"harness run odd.yaml --variant with\ space ",
    "harness run odd.yaml --variant=it\t": r"harness run odd.yaml --variant=it\'s ",
    "harness run odd.yaml --variant=of:\t": "harness run odd.yaml --variant=of:b ",
    "harness run odd.yaml --prompt faq:l\t": "harness run odd.yaml --prompt faq:leave ",
    "harness run odd.yaml --prompt faq/\t": r"harness run odd.yaml --prompt faq/who\ is\ it ",
    "harness report 20261126\t": "harness report 20261126T010203Z-aaaa ",
    "harness report results/sm\t": "harness report results/smoke/",
    "harness run odd.yaml --results res\t": "harness run odd.yaml --results results/",
}


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_after_install_completion(shell: str, folder: Path) -> None:
    for needed in (shell, "setsid"):  # the latter gives it a terminal
        if shutil.which(needed) is None:
            pytest.skip(f"there is no {needed} here")
    (folder / "suites" / "my suites" / "$(x)").mkdir(parents=True)
    (folder / "suites" / "my suites" / "$(x)" / "it's.yaml").write_text(SUITE)
    (folder / "odd.yaml").write_text(ODD_NAMES)
    home = folder / "home"
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
    }
    settle(shell, home)
    ran(shell, "harness --install-completion", folder=folder, environment=environment)
    lines = typed(shell, list(TYPED), folder=folder, environment=environment)
    assert dict(zip(TYPED, lines, strict=True)) == TYPED
