"""What GitHub Actions shows of a run: annotations, and the summary page of the job."""

import os
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from harness.gate.ruling import Word
from harness.grade.states import State
from harness.report.markdown import markdown
from harness.report.outcome import Outcome
from harness.report.visible import shortened

MOST = 10
"""GitHub shows so many annotations of a kind in a step."""


def annotations(told: Outcome) -> Iterator[str]:
    """Workflow commands: an error for each rule that failed, or prompt where no gate ruled; then warnings."""
    if told.ruling is not None:
        rules = told.ruling.rules
        failed = [(each.rule, each.reason) for each in rules if each.word is Word.FAIL]
        open_ = [(each.rule, each.reason) for each in rules if each.word is Word.INCONCLUSIVE]
    else:
        failed = [(f"{each.case_id} [{each.variant}]", each.reason) for each in told.of_state(State.FAILED)]
        open_ = []
    broken = told.of_state(State.ERROR, State.INVALID)
    open_ += [(f"{each.case_id} [{each.variant}]", f"{each.state}: {each.reason}") for each in broken]
    open_ += [("harness", warning) for warning in told.manifest.warnings]
    file = told.manifest.suite_path
    for kind, listed in (("error", failed), ("warning", open_)):
        for title, says in islice(listed, MOST):
            yield f"::{kind} file={_property(file)},title={_property(title)}::{_message(says)}"


def is_here(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether GitHub Actions runs this."""
    return bool(environ.get("GITHUB_STEP_SUMMARY")) or environ.get("GITHUB_ACTIONS") == "true"


def show(told: Outcome, say: Callable[[str], None], environ: Mapping[str, str] = os.environ) -> None:
    """Append to the job's summary and print annotations, where GitHub runs this; else nothing."""
    if page := environ.get("GITHUB_STEP_SUMMARY"):
        with Path(page).open("a", encoding="utf-8") as file:
            file.write(markdown(told))
    if environ.get("GITHUB_ACTIONS") == "true":
        for line in annotations(told):
            say(line)


def _message(text: str) -> str:
    return shortened(text, 500).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
