"""However the lines of a run are dealt out over journals, it is read as if one had them all."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from harness import journal
from harness.result import Moment, Result, Skip
from harness.sigma.session import SessionDetail
from tests.going import SECOND, moment
from tests.replies import answer, exchange, result

Told = Result | Moment | SessionDetail


def of_second(second: int, kind: int) -> list[Told]:
    """What is journalled within one second of a run; a trial that was dropped has no end of its own."""
    sent = exchange(answer("x" * kind), sent_ns=second * SECOND)
    told = result(sent, trial_id=f"t{second}")
    dropped = result(trial_id=f"d{second}", skip=Skip.DROPPED)
    every: list[Told] = [
        structs.replace(told, began_ns=second * SECOND, ended_ns=second * SECOND + SECOND // 1000),
        structs.replace(dropped, began_ns=None, ended_ns=None),
        SessionDetail(f"s{second}", kind),
        moment(second, began=second),
    ]
    return every[: kind + 1]


@pytest.mark.slow
@settings(max_examples=50)
@given(
    kinds=st.lists(st.integers(0, 3), min_size=1, max_size=20),
    hands=st.lists(st.integers(0, 7), min_size=1, max_size=20),
    torn=st.sets(st.integers(0, 7)),
)
def test_any_split_of_a_run_is_read_as_the_whole(
    kinds: Sequence[int], hands: Sequence[int], torn: set[int]
) -> None:
    lines = [told for second, kind in enumerate(kinds, 1) for told in of_second(second, kind)]
    with TemporaryDirectory() as one, TemporaryDirectory() as many:
        whole = dealt(Path(one), lines, [0], set())
        split = dealt(Path(many), lines, hands, torn)
        ended = [each for each in journal.read(whole) if each.skip is None]
        assert [each for each in journal.read(split) if each.skip is None] == ended
        assert by_id(split) == by_id(whole)
        assert journal.moments(split) == journal.moments(whole)
        assert journal.sessions(split) == journal.sessions(whole)
        ids = sorted(head.trial_id for head in journal.heads(whole))
        assert sorted(head.trial_id for head in journal.heads(split)) == ids


def by_id(folder: Path) -> list[Result]:
    return sorted(journal.read(folder), key=lambda each: each.trial_id)


def dealt(folder: Path, lines: Sequence[Told], hands: Sequence[int], torn: set[int]) -> Path:
    """The folder of a run with *lines* dealt out in turn; the journals of *torn* end within a line."""
    for number in {0, *hands}:
        with journal.Journal(folder / journal.of_process(number), sync=lambda _: None) as book:
            for nth, told in enumerate(lines):
                if hands[nth % len(hands)] == number:
                    book.append(told)
        if number in torn:
            with book.path.open("ab") as file:
                file.write(b'{"line":"result","trial_id":"torn')
    return folder
