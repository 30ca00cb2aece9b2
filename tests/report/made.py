"""Runs made up on disk: the tables, journal, summary and manifest of trials that came to this."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import structs, to_builtins

from harness.gate.ruling import Ruled, Ruling, Word
from harness.grade.opinion import Grade
from harness.grade.states import Standing, State
from harness.journal import JOURNAL, Journal
from harness.record.store import SUMMARY, Manifest, write_json, write_manifest
from harness.record.tables import Judged, Tables, write
from harness.result import Result
from harness.summarise.summary import Checked, summarise
from tests.replies import answer, exchange


@dataclass(frozen=True, slots=True)
class Came:
    """One trial: what was asked and answered, and what it came to."""

    case: str = "q"
    variant: str = "v"
    repeat: int = 1
    state: State = State.FAILED
    message: str = "How long?"
    answer: str = "Nobody knows."
    reason: str = "contains: the answer does not contain 'x'"
    tags: tuple[str, ...] = ()
    lines: list[str] | None = None
    phase: str = "main"

    @property
    def trial_id(self) -> str:
        return f"{self.case}/{self.variant}/{self.phase}/{self.repeat}"


SUITE = (
    "suite: made\ntarget: standin\nvariants: {v: {deep_research: false}}\nprompts: [{id: q, message: hi}]\n"
)


def made(folder: Path, came: Iterable[Came], **fields: Any) -> Path:
    """The run of these trials in *folder*; *fields* are of its manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    trials = list(came)
    tables, checked = Tables(lambda text: len(text.split())), Checked()
    with Journal(folder / JOURNAL) as journal:
        for each in trials:
            result = _result(each)
            grades = [_grade(each)]
            standing = Standing(each.state, each.reason)
            tables.add(Judged(result, grades, {}, standing))
            checked.add(result, grades)
            journal.append(result)
    for row in _cases(trials):
        tables.add_case(row)
    frames = tables.frames()
    write(frames, folder)
    write_json(summarise(frames, dict.fromkeys(each.variant for each in trials), checked), folder / SUMMARY)
    write_manifest(manifest(folder, len(trials), **fields), folder)
    return folder


def manifest(folder: Path, planned: int, **fields: Any) -> Manifest:
    told = {
        "run_id": folder.name,
        "suite": "made",
        "suite_path": "suites/made.yaml",
        "suite_text": SUITE,
        "target": "standin",
        "dialect": "sigma",
        "seed": 7,
        "choice": {"variants": ["v"], "repeat": 2},
        "planned": planned,
        "started_at": "2026-11-23T10:00:00+00:00",
        "started_ns": 0,
        "ended_ns": 90_000_000_000,
        "exit_code": 1,
        "verdict": {"word": "valid"},
        "versions": {"harness": "0.0"},
    }
    return Manifest(**(told | fields))  # type: ignore[arg-type]


def ruled(word: Word, reason: str = "it dropped") -> dict[str, Any]:
    """A ruling of one rule, as a manifest has it."""
    rule = Ruled(
        "pass_rate max_drop 3pp", "pass_rate", "max_drop", 0.03, "share", "v", "main", None, word, reason
    )
    found: dict[str, Any] = to_builtins(Ruling(word, (rule,), 0.05, planned=20, sent=12, decided=8, looks=2))
    return found


def _result(each: Came) -> Result:
    sent = exchange(each.lines or answer(each.answer), request={"message": each.message, "stream": True})
    sent = structs.replace(sent, exchange_id=f"{each.trial_id}.1.1")
    return Result(
        each.trial_id,
        each.case,
        each.variant,
        each.repeat,
        each.phase,
        began_ns=999_000_000,
        ended_ns=1_100_000_000,
        exchanges=(sent,),
    )


def _grade(each: Came) -> Grade:
    passed = each.state is State.PASSED
    return Grade("1", "contains", None, passed, float(passed), 1.0, each.reason)


def _cases(trials: Iterable[Came]) -> Iterable[dict[str, Any]]:
    groups: dict[tuple[str, str, str], list[Came]] = {}
    for each in trials:
        groups.setdefault((each.case, each.variant, each.phase), []).append(each)
    for (case, variant, phase), repeats in groups.items():
        counts = {str(state): sum(each.state is state for each in repeats) for state in State}
        judged = counts["passed"] + counts["failed"]
        yield {
            "case_id": case,
            "variant": variant,
            "phase": phase,
            "cluster": None,
            "tags": list(repeats[0].tags),
            "repeats": len(repeats),
            **counts,
            "pass_rate": counts["passed"] / judged if judged else None,
            "score": None,
            "reduce": None,
            "value": None,
            "state": None,
            "reason": None,
            "asked": case,
            "checks": "checks",
            "quarantined": None,
        }
