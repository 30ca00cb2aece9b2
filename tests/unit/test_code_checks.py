"""What a function of the suite's own may give, and what is made of it."""

import io
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.errors import SuiteError
from harness.grade.code import check, context, key_of, opinion_of
from harness.grade.runner import Call, Gave, answer_all
from harness.grade.said import Called
from harness.grade.subject import Known, Subject
from harness.result import Failure, Fault, Step
from harness.suite.asserts.code import Python
from harness.suite.read import parse_suite
from tests.grade.checking import told
from tests.replies import IDS, SESSION, STOP, answer, delta, exchange, packet, result, searched

GOOD = Python(value="file://checks.py:good", config={"most": 3})
PARIS = exchange(answer("It is Paris."), request={"message": "Where?"})


def of(threshold: float | None) -> Python:
    return GOOD.model_copy(update={"threshold": threshold})


@pytest.mark.parametrize(
    ("gave", "threshold", "passed", "score"),
    [
        (True, None, True, None),
        (False, None, False, None),
        (0.2, None, True, 0.2),
        (0, None, False, 0.0),
        (1, None, True, 1.0),
        (0.7, 0.8, False, 0.7),
        (0.8, 0.8, True, 0.8),
        ({"pass": True}, None, True, None),
        ({"pass": True, "score": 0}, None, True, 0.0),
        ({"pass": False, "score": 0.9}, None, False, 0.9),
        ({"pass": True, "score": 0.5}, 0.6, False, 0.5),
        ({"score": 0.5}, None, True, 0.5),
        ({"score": 0.5}, 0.6, False, 0.5),
        ({"pass_": True}, None, True, None),
        (None, None, None, None),
        (2, None, None, None),
        (-0.1, None, None, None),
        ("yes", None, None, None),
        ({}, None, None, None),
        ({"pass": "yes"}, None, None, None),
        ({"pass": True, "score": "high"}, None, None, None),
        ({"score": 7}, None, None, None),
        ([True], None, None, None),
    ],
    ids=str,
)
def test_what_a_function_gives_is_an_opinion_or_could_not_be_graded(
    gave: Any, threshold: float | None, passed: bool | None, score: float | None
) -> None:
    found = opinion_of(of(threshold), gave)
    assert (found.passed, found.score) == (passed, score)


def test_reasons_and_named_scores_are_carried_along() -> None:
    found = opinion_of(GOOD, {"score": 0.5, "reason": "so so", "named_scores": {"tone": 1, "odd": "x"}})
    assert (found.reason, found.named_scores) == ("so so", {"tone": 1.0})


def test_what_was_not_run_broke_or_has_no_answer_could_not_be_graded() -> None:
    subject = Subject((PARIS,), result(PARIS), "1")
    assert check(GOOD, subject).reason == "file://checks.py:good was not run"
    key = key_of(GOOD, subject)
    broke = Known(said={key: Called(key, error="KeyError: 'x'", traceback="Traceback ...")})
    found = check(GOOD, Subject((PARIS,), result(PARIS), "1", known=broke))
    assert (found.passed, found.evidence) == (None, "Traceback ...")
    ran = Known(said={key: Called(key, True)})
    assert check(GOOD, Subject((PARIS,), result(PARIS), "1", known=ran)).passed is True
    reset = exchange(answer("It")[:-1], failure=Failure(Fault.DISCONNECTED, Step.BODY, "reset"))
    assert check(GOOD, Subject((reset,), result(reset), "1", known=ran)).passed is None


def test_a_function_is_given_the_answer_with_everything_around_it() -> None:
    one = exchange([SESSION, IDS, *searched(), packet("message_start", 1), delta("30 days", 1), STOP])
    given = context(GOOD, Subject((PARIS, one), result(PARIS, one), None, variables={"a": 1}))
    assert given["vars"] == {"a": 1}
    assert given["config"] == {"most": 3}
    assert (given["case_id"], given["variant"], given["repeat"], given["turn_id"]) == (
        "case",
        "base",
        1,
        None,
    )
    assert [turn["answer"] for turn in given["turns"]] == ["It is Paris.", "30 days"]
    assert [call["name"] for call in given["tool_calls"]] == ["internal_search"]
    assert given["ttft_ms"] == 70.0


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("{type: python, value: 'return True'}", "a function in a file beside the suite is wanted"),
        ("{type: python, value: 'file://checks.py'}", "a function in a file beside the suite is wanted"),
        (
            "{type: python, value: 'file://nowhere.py:f'}",
            "nowhere.py: there is no such file beside the suite",
        ),
        ("{type: python, value: 'file://../checks.py:f'}", "../checks.py is not in the folder of the suite"),
        ("{type: python, value: 'file://a.py:f', time_limit: 5}", "a duration needs a unit"),
        ("{type: similar, value: x}", "similar compares embeddings: say what compares them"),
    ],
)
def test_what_cannot_be_run_or_asked_is_told(written: str, says: str) -> None:
    assert says in told(written)


def suite_with(value: str, folder: Path) -> list[str]:
    """What is told of a suite in *folder* that has a check in the file *value*."""
    folder.mkdir(parents=True, exist_ok=True)
    text = f"target: standin\nprompts:\n  - {{message: hi, assert: [{{type: python, value: 'file://{value}:f'}}]}}\n"
    try:
        parse_suite(text, folder / "suite.yaml", {})
    except SuiteError as error:
        return [each.message for each in error.problems]
    return []


def test_only_code_of_the_suites_own_folder_is_run(tmp_path: Path) -> None:
    own = tmp_path / "suite"
    (own / "checks").mkdir(parents=True)
    for place in (tmp_path / "outside.py", own / "inside.py", own / "checks" / "below.py"):
        place.write_text("def f(output, context): return True\n")
    (own / "link.py").symlink_to(tmp_path / "outside.py")
    (own / "away").symlink_to(tmp_path)
    for value in ("inside.py", "checks/below.py", "checks/../inside.py"):
        assert suite_with(value, own) == []
    for value in ("../outside.py", str(tmp_path / "outside.py"), "link.py", "away/outside.py"):
        (told,) = suite_with(value, own)
        assert told.endswith(f"{value} is not in the folder of the suite: only what is there is run")


@pytest.mark.parametrize("part", ["journal-0.jsonl", "summary.json"])
def test_code_that_lies_in_the_results_of_a_run_is_not_run(tmp_path: Path, part: str) -> None:
    run = tmp_path / "20261126T120000Z-abcd"
    run.mkdir()
    for name in ("manifest.json", part):
        (run / name).write_text("{}")
    (run / "checks.py").write_text("def f(output, context): return True\n")
    for value, folder in (("checks.py", run), (f"{run.name}/checks.py", tmp_path)):
        (told,) = suite_with(value, folder)
        wanted = f"{value} lies in the results of a run ({run.name}): what comes with results is never run"
        assert told.endswith(wanted)


def test_the_process_that_runs_checks_looks_for_itself_where_a_file_is(tmp_path: Path) -> None:
    """A link may have been put there after the suite was read."""
    (tmp_path / "suite").mkdir()
    (tmp_path / "outside.py").write_text("def f(output, context): return True\n")
    (tmp_path / "suite" / "link.py").symlink_to(tmp_path / "outside.py")
    for file in ("link.py", "../outside.py", str(tmp_path / "outside.py")):
        answers = io.BytesIO()
        call = msgspec.json.encode(Call(file, "f", "", {})) + b"\n"
        answer_all(io.BytesIO(call), answers, tmp_path / "suite")
        gave = msgspec.json.decode(answers.getvalue(), type=Gave)
        assert gave.gave is None
        assert gave.error.endswith("is not in the folder of the suite")
