"""Two answers side by side: the conversations of a prompt in both arms of a comparison, word by word.

Of the prompts that moved, and of those by which it is told where replies part, one pair of trials each: the
same repeat in both arms, and one that came to another state where there is such a pair.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Literal, NamedTuple

import polars as pl

from harness.compare.arms import Arm
from harness.compare.comparison import Comparison
from harness.report.decided import moved_says, place
from harness.report.failures import Said, Turn, conversations, said

SHOWN = 12
"""Prompts of a comparison whose answers stand side by side."""

_COMPARED = 6_000
"""Characters of an answer whose words are compared; matching takes the square of them at worst."""


class Piece(NamedTuple):
    """A part of a text: in both, or only before, or only after."""

    of: Literal["both", "before", "after"]
    text: str


@dataclass(frozen=True, slots=True)
class TwinTurn:
    """A turn in both arms; None where an arm has none. *pieces* are of both answers, in order.

    *left_out* characters of the longer answer are not compared.
    """

    turn_id: str
    message: Said
    before: Turn | None
    after: Turn | None
    pieces: tuple[Piece, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class Twin:
    """A prompt, *why* it is looked at, and one pair of its trials: their states and turns."""

    case_id: str
    why: str
    repeat: int
    states: tuple[str, str]
    turns: tuple[TwinTurn, ...]


def twins(found: Comparison, arms: tuple[Arm, Arm], folders: Mapping[str, Path]) -> list[Twin]:
    """Pairs of conversations of the prompts that *found* tells of; *folders* are those of the runs by name.

    Of an arm of several runs the last is looked at.
    """
    whys = dict(list(_whys(found))[:SHOWN])
    pairs = {case: pair for case in whys if (pair := _pair(case, arms)) is not None}
    said_by = [
        conversations(folders[arm.sources[-1].run], {pair[side].trial_id for pair in pairs.values()})
        for side, arm in enumerate(arms)
    ]
    return [
        Twin(
            case,
            whys[case],
            before.repeat,
            (before.state, after.state),
            tuple(_turns(said_by[0].get(before.trial_id, ()), said_by[1].get(after.trial_id, ()))),
        )
        for case, (before, after) in pairs.items()
    ]


def _whys(found: Comparison) -> Iterator[tuple[str, str]]:
    """The prompts that say most, each with why: first those that moved."""
    told: set[str] = set()
    moved = ((each.name, moved_says(each)) for each in found.moved if not each.tag)
    parted = ((each.case_id, f"parts at {place(each)}") for each in found.divergences if each.kind != "none")
    for case, why in (*moved, *parted):
        if case not in told:
            told.add(case)
            yield case, why


class _Trial(NamedTuple):
    trial_id: str
    repeat: int
    state: str


def _pair(case: str, arms: tuple[Arm, Arm]) -> tuple[_Trial, _Trial] | None:
    """The first repeat that came to different states, or else the first that both have."""
    before, after = (_of_case(case, arm) for arm in arms)
    both = [(before[repeat], after[repeat]) for repeat in before if repeat in after]
    differing = [pair for pair in both if pair[0].state != pair[1].state]
    return next(iter(differing or both), None)


def _of_case(case: str, arm: Arm) -> dict[int, _Trial]:
    last = len(arm.sources) - 1
    mine = arm.trials.filter(pl.col("case_id") == case, pl.col("run") == last).sort("repeat")
    rows = mine.filter(pl.col("state") != "not_run").select("trial_id", "repeat", "state").iter_rows()
    return {trial.repeat: trial for trial in (_Trial(*row) for row in rows)}


def _turns(before: Sequence[Turn], after: Sequence[Turn]) -> Iterator[TwinTurn]:
    was, now = ({turn.turn_id: turn for turn in side} for side in (before, after))
    for turn_id in dict.fromkeys((*was, *now)):
        one, other = was.get(turn_id), now.get(turn_id)
        texts = [turn.answer.text if turn else "" for turn in (one, other)]
        longest = max(turn.answer.length if turn else 0 for turn in (one, other))
        told = one or other
        yield TwinTurn(
            turn_id,
            told.message if told else said(""),
            one,
            other,
            tuple(pieces(*(text[:_COMPARED] for text in texts))),
            max(0, longest - _COMPARED),
        )


def pieces(before: str, after: str) -> Iterator[Piece]:
    """What both texts have and what one of them only, word by word, in an order that both keep."""
    was, now = (re.findall(r"\s+|\w+|[^\w\s]", text) for text in (before, after))
    for _, low, high, first, last in SequenceMatcher(None, was, now, autojunk=False).get_opcodes():
        old, new = "".join(was[low:high]), "".join(now[first:last])
        if old == new:
            yield Piece("both", old)
            continue
        if old:
            yield Piece("before", old)
        if new:
            yield Piece("after", new)
