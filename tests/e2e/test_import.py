"""`harness import promptfoo` as a user runs it: the suite, the list, the counts, the exit code."""

import re
import subprocess
from pathlib import Path

import pytest

from harness.errors import Exit, SuiteError
from harness.suite.document import parse_foreign
from harness.suite.read import parse_suite
from tests.program import harness

CONFIGS = Path(__file__).parents[1] / "promptfoo"
NAMES = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
ENVIRONMENT = {"SIGMA_URL": "https://sigma.example.com", "SIGMA_API_KEY": "k", "RESET_URL": "https://r"}

pytestmark = pytest.mark.slow


def import_(*args: str | Path, cwd: Path = CONFIGS) -> subprocess.CompletedProcess[str]:
    return harness("import", "promptfoo", *args, cwd=cwd)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_yaml_and_every_note_names_a_line_that_is_there(name: str) -> None:
    done = import_(f"{name}.yaml")
    assert done.returncode == Exit.OK, done.stderr
    data, _, problems = parse_foreign(done.stdout, "suite.yaml")
    assert not problems
    assert data["prompts"]
    *lines, counts = done.stderr.splitlines()
    assert re.fullmatch(
        r"\d+ prompts?, \d+ variants?, \d+ checks?; \d+ things? ha(s|ve) no equivalent.*", counts
    )
    notes = [
        line for line in lines if re.match(r"[\w/.-]+:\d+: ", line) and not line.startswith("suite.yaml")
    ]
    assert f"; {len(notes)} thing" in counts
    for note in notes:
        file, line, _ = note.split(":", 2)
        assert 1 <= int(line) <= len((CONFIGS / file).read_text().splitlines())
        assert f"# {note}\n" in done.stdout
    assert "sk-do-not-show-this" not in done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_what_our_reader_says_of_the_suite_is_said_at_once(name: str) -> None:
    done = import_(f"{name}.yaml")
    said = [line for line in done.stderr.splitlines() if line.startswith("suite.yaml:")]
    assert said == problems_of(done.stdout)


def problems_of(text: str) -> list[str]:
    try:
        parse_suite(text, Path("suite.yaml"), ENVIRONMENT)
    except SuiteError as error:
        return [str(problem) for problem in error.problems]
    return []


def test_a_suite_is_written_beside_its_config_and_never_over_another(tmp_path: Path) -> None:
    config = tmp_path / "promptfooconfig.yaml"
    config.write_text((CONFIGS / "scenarios.yaml").read_text())
    first = import_("promptfooconfig.yaml", "--out", "suite.yaml", "--target", "standin", cwd=tmp_path)
    assert (first.returncode, first.stdout) == (Exit.OK, "")
    written = (tmp_path / "suite.yaml").read_text()
    assert "target: standin" in written
    again = import_("promptfooconfig.yaml", "--out", "suite.yaml", cwd=tmp_path)
    assert again.returncode == Exit.USAGE
    assert "--force" in again.stderr
    assert (tmp_path / "suite.yaml").read_text() == written
    forced = import_("promptfooconfig.yaml", "--out", "suite.yaml", "--force", cwd=tmp_path)
    assert forced.returncode == Exit.OK
    assert "${SIGMA_URL}" in (tmp_path / "suite.yaml").read_text()
    itself = import_("promptfooconfig.yaml", "--out", "promptfooconfig.yaml", "--force", cwd=tmp_path)
    assert itself.returncode == Exit.USAGE
    assert "the config itself" in itself.stderr


def test_a_suite_that_was_imported_can_be_planned(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "prompts: ['Say {{ word }}']\nproviders: [openai:gpt-5]\ntests:\n"
        "  - {vars: {word: [hello, good-bye]}, assert: [{type: icontains, value: '{{ word }}'}]}\n"
        "  - {description: 'Data: JSON', vars: {word: 'yes'}, assert: [{type: regex, value: 'y|n'}]}\n"
    )
    done = import_("c.yaml", "--out", "suite.yaml", "--target", "standin", cwd=tmp_path)
    assert done.stderr.splitlines()[-1] == "3 prompts, 1 variant, 3 checks; 0 things have no equivalent"
    plan = harness("plan", "suite.yaml", "--offline", cwd=tmp_path)
    assert plan.returncode == Exit.OK, plan.stderr
    assert [name in plan.stdout for name in ("test-1", "test-1-2", "Data: JSON")] == [True] * 3


def test_files_are_named_as_the_suite_sees_them(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    config = tmp_path / "config" / "c.yaml"
    config.write_text(
        "prompts: [hi]\nproviders: [openai:gpt-5]\n"
        "tests: [{assert: [{type: python, value: file://checks.py:short}]}]\n"
    )
    import_("config/c.yaml", "--out", "suite.yaml", cwd=tmp_path)
    assert "file://config/checks.py:short" in (tmp_path / "suite.yaml").read_text()


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("none.yaml", None, "cannot be read"),
        ("broken.yaml", "prompts: [a", "this is not YAML"),
        ("other.yaml", "services: {web: {}}", "no promptfoo config"),
        ("list.yaml", "- a\n- b", "no promptfoo config"),
        ("empty.yaml", "", "no promptfoo config"),
        ("ours.yaml", "target: standin\nprompts: [{message: hi}]", "a suite of ours already"),
    ],
)
def test_what_is_no_config_is_exit_2_and_writes_nothing(
    tmp_path: Path, name: str, text: str | None, says: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    done = import_(name, "--out", "suite.yaml", cwd=tmp_path)
    assert done.returncode == Exit.USAGE
    assert says in done.stderr
    assert not (tmp_path / "suite.yaml").exists()


def test_a_target_is_an_address_without_a_password(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("prompts: [hi]\nproviders: [openai:gpt-5]\n")
    done = import_("c.yaml", "--target", "https://sigma.example.com", cwd=tmp_path)
    assert "base_url: https://sigma.example.com" in done.stdout
    wrong = import_("c.yaml", "--target", "https://u:hunter2@sigma.example.com", cwd=tmp_path)
    assert wrong.returncode == Exit.USAGE
    assert "hunter2" not in wrong.stdout + wrong.stderr
