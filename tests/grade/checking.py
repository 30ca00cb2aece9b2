"""A check as a suite would write it, on exchanges made by hand."""

from pathlib import Path
from typing import Any

import pytest

from harness.errors import SuiteError
from harness.grade.checks import check
from harness.grade.opinion import Opinion
from harness.grade.subject import Known, Subject
from harness.result import Exchange
from harness.suite.expect import ready
from harness.suite.places import Finding
from harness.suite.prompts import Expect
from harness.suite.read import parse_suite
from tests.replies import answer, exchange


def refuse(finding: Finding) -> None:
    raise ValueError(f"{finding.path}: {finding.message}")


def expect(written: dict[str, Any] | str) -> Expect:
    return ready(Expect.model_validate(written), {}, (), refuse)


def opinion(written: dict[str, Any] | str, *exchanges: Exchange, known: Known | None = None) -> Opinion:
    return check(expect(written), Subject(exchanges, known=known or Known()))


def on(written: dict[str, Any] | str, text: str) -> Opinion:
    """What the check finds in an answer with this text."""
    return opinion(written, exchange(answer(text) if text else answer()))


def told(written: str) -> str:
    """What the reader says of a check that is written like that."""
    text = f"target: standin\njudge: self\nprompts: [{{message: a, assert: [{written}]}}]\n"
    with pytest.raises(SuiteError) as caught:
        parse_suite(text, Path("s.yaml"), {})
    return "\n".join(problem.message for problem in caught.value.problems)
