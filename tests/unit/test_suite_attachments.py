"""What `files:` of a suite names: files beside it, or what only the server can find."""

from pathlib import Path

import pytest

from harness.errors import SuiteError, UsageError
from harness.plan.trials import make_plan
from harness.suite.attachments import digest, path_of
from harness.suite.model import Suite
from harness.suite.read import parse_suite


def read(folder: Path, files: str) -> Suite:
    text = f"target: standin\nprompts: [{{id: a, message: x, files: {files}}}]\n"
    return parse_suite(text, folder / "s.yaml", {})


def ids(suite: Suite) -> list[str]:
    return [trial.trial_id for trial in make_plan(suite).trials]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "invoice.pdf").write_text("1,284.50")
    (tmp_path / "empty.txt").touch()
    return tmp_path


def test_a_path_is_looked_for_beside_the_suite_or_is_absolute(folder: Path) -> None:
    invoice = folder / "papers" / "invoice.pdf"
    assert path_of("papers/invoice.pdf", folder / "s.yaml") == invoice
    assert path_of(str(invoice), Path("elsewhere/s.yaml")) == invoice


@pytest.mark.parametrize("name", ["5b0f5e0e-2c4e-4a5e-9c1d-0d8a4f6a1b11", "invoice.pdf", "x" * 5000])
def test_what_is_no_file_and_has_no_slash_is_for_the_server_to_find(folder: Path, name: str) -> None:
    assert path_of(name, folder / "s.yaml") is None
    assert read(folder, f"[{name}]").prompts[0].files == (name,)


@pytest.mark.parametrize(
    ("written", "wrong"),
    [
        ("papers/invoise.pdf", "there is no such file; did you mean invoice.pdf?"),
        ("./papers.pdf", "there is no such file; "),
        ("paper/invoice.pdf", "there is no folder "),
        ("papers/invoice.pdf/page", "there is no folder "),
        ("papers", "this is a folder, and a file is wanted"),
        ("/dev/null", "this is no ordinary file, and a file is wanted"),
        ("empty.txt", "the file is empty, which servers reject"),
    ],
)
def test_what_cannot_be_sent_is_told_at_its_place(folder: Path, written: str, wrong: str) -> None:
    with pytest.raises(SuiteError) as caught:
        read(folder, f"[{written}]")
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (2, 39)
    assert problem.message.startswith(f"prompts[0].files[0]: {written}: {wrong}")


def test_a_file_that_changes_between_two_plans_makes_other_trials(folder: Path) -> None:
    suite = read(folder, "[papers/invoice.pdf]")
    before = ids(suite)
    assert ids(suite) == before
    (folder / "papers" / "invoice.pdf").write_text("1,284.51")
    assert ids(suite) != before


def test_a_file_that_is_gone_by_the_time_of_reading_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.txt: the file cannot be read: No such file"):
        digest(tmp_path / "gone.txt")


def test_a_descriptor_passes_as_it_is_written(folder: Path) -> None:
    (file,) = read(folder, "[{id: papers, type: image}]").prompts[0].files or ()
    assert not isinstance(file, str)
    assert (file.id, file.type, file.name) == ("papers", "image", None)
    trial = make_plan(read(folder, "[{id: papers, type: image}]")).trials[0]
    assert trial.describe()["turns"][0]["files"] == [{"id": "papers", "type": "image"}]
