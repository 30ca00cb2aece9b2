"""What people say of answers that a judge has judged: drawn, labelled, and held against the judge.

A line a label. It says of which question it is (a digest of every word of it, without who was asked), what
the judge said then and what the person says, and how many judged answers the line stands for: passes and
failures are drawn alike, so that the rarer of them is not left to chance, and are weighed back when rates are
worked out.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from harness.errors import RunDirectoryError, UsageError
from harness.grade.checks import asked
from harness.grade.judged import Question, question, verdict_of
from harness.grade.said import Judgement
from harness.grade.subject import Known
from harness.plan.trials import Trial
from harness.record.store import Manifest, is_where_it_was
from harness.result import Result
from harness.suite.asserts.judged import JudgedCheck
from harness.suite.model import Suite

FILE = "labels.csv"
COLUMNS = ("question", "check", "judge", "verdict", "label", "weight", "by", "case_id", "trial_id", "turn_id")


@dataclass(frozen=True, slots=True)
class Item:
    """A judged answer: what was asked of it, and whether the judge passed it; it stands for *weight* such."""

    question: Question
    key: str
    check: str
    judge: str
    verdict: bool
    variant: str
    case_id: str
    trial_id: str
    turn_id: str | None
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Label:
    """What a person says of a question, and what the judge said of it when it was drawn."""

    question: str
    check: str
    judge: str
    verdict: bool
    human: bool
    weight: float


def items(results: Iterable[Result], trials: Mapping[str, Trial], known: Known) -> Iterator[Item]:
    """Every judged answer of a run that the judge has decided on; comparisons are none."""
    for result in results:
        for expect, subject in asked(result, trials[result.trial_id], known):
            args = expect.args
            told = question(args, subject) if isinstance(args, JudgedCheck) else None
            if not isinstance(told, Question) or told.names or known.judge is None:
                continue
            said = known.said.get(told.key(known.judge))
            verdict = verdict_of(said) if isinstance(said, Judgement) else None
            if verdict is not None:
                yield Item(
                    told,
                    told.key(""),
                    expect.metric or expect.type,
                    known.judge,
                    verdict,
                    result.variant,
                    result.case_id,
                    result.trial_id,
                    subject.turn_id,
                )


def draw(of: Iterable[Item], count: int, seed: int, *, without: frozenset[str] = frozenset()) -> list[Item]:
    """At most *count* items, in random order: of each check as many passes as failures, where there are.

    The same words judged twice are one item. *without* are questions that have a label.
    """
    each = {item.key: item for item in of if item.key not in without}
    strata: dict[tuple[str, bool], list[Item]] = {}
    for item in each.values():
        strata.setdefault((item.check, item.verdict), []).append(item)
    random = Random(seed)  # noqa: S311  a sample, no secret
    drawn: list[Item] = []
    left = count
    for nth, stratum in enumerate(sorted(strata.values(), key=len)):
        most = min(len(stratum), -(-left // (len(strata) - nth)))
        left -= most
        chosen = random.sample(stratum, most)
        drawn += (replace(item, weight=len(stratum) / most) for item in chosen)
    random.shuffle(drawn)
    return drawn


def labels_of(suite: Suite, manifest: Manifest, folder: Path) -> Path:
    """The file of labels of the run in *folder*: the one that *suite* names, beside it, or the run's own.

    What the suite of a stranger's run names is somebody's file, which is neither read nor written: it counts
    where the suite is what it was, or has been edited since and names a file of its own folder.
    """
    named = None if suite.judge is None else suite.judge.labels
    if named is None:
        return folder / FILE
    beside = suite.path.parent.resolve()
    path = (beside / named).resolve()
    came_along = beside.is_relative_to(folder.resolve().parent.parent)
    is_edited = suite.path.is_file() and path.is_relative_to(beside) and not came_along
    return suite.path.parent / named if is_edited or is_where_it_was(manifest, folder) else folder / FILE


def read(path: Path) -> list[Label]:
    """The labels in *path*, the last of each question. Raises `UsageError` for a file of another kind."""
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{path}: this is no ordinary file, and a file of labels is wanted")
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
            if missing:
                raise UsageError(f"{path}: no file of labels: it lacks the columns {', '.join(missing)}")
            return list({row["question"]: _label(row, path, rows.line_num) for row in rows}.values())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path}: cannot be read: {reason}; harness judge label RUN makes it") from error


_SAID = {"pass": True, "fail": False}


def _label(row: Mapping[str, str], path: Path, line: int) -> Label:
    try:
        return Label(
            row["question"],
            row["check"],
            row["judge"],
            _SAID[row["verdict"]],
            human=_SAID[row["label"].strip().lower()],
            weight=float(row["weight"]),
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:  # the last two: a missing cell
        wanted = "label and verdict are pass or fail, weight is a number"
        raise UsageError(f"{path}:{line}: {wanted}: {error} is neither") from error


def append(path: Path, item: Item, *, human: bool, by: str) -> None:
    """Add what a person says of *item*, at once: whoever stops labelling loses nothing."""
    words = {True: "pass", False: "fail"}
    row = (item.key, item.check, item.judge, words[item.verdict], words[human], f"{item.weight:.6g}", by)
    try:
        new = not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8", newline="") as file:
            lines = csv.writer(file, lineterminator="\n")
            if new:
                lines.writerow(COLUMNS)
            lines.writerow((*row, item.case_id, item.trial_id, item.turn_id or ""))
    except OSError as error:
        raise RunDirectoryError(f"{path}: cannot be written: {error.strerror}") from error
