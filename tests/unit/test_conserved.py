"""Every law is kept by what really happened, and each is told when its books are cooked."""

from collections.abc import Callable

import polars as pl
import pytest
from msgspec import structs

from harness.grade.states import standing
from harness.record.conserved import broken
from harness.record.tables import Judged, Tables
from harness.record.tokens import count_tokens
from harness.result import Exchange, Failure, Fault, Result, Skip, Step
from tests.replies import (
    IDS,
    MS,
    SESSION,
    START,
    STOP,
    answer,
    delta,
    exchange,
    packet,
    searched,
    side_by_side,
)

Frames = dict[str, pl.DataFrame]

SEARCHED = [SESSION, IDS, *searched(), packet("message_start", 1), delta("30", 1), delta(" days", 1), STOP]
REFUSED = Failure(Fault.CONNECT, Step.CONNECT, "refused")


def trial(number: int, *exchanges: Exchange, skip: Skip | None = None) -> Result:
    """A trial that was under way for exactly as long as it has to be: from 900 ms to 1,300 ms."""
    mine = [
        structs.replace(each, exchange_id=f"t{number}.{each.turn_id}.{each.attempt}") for each in exchanges
    ]
    return Result(
        trial_id=f"t{number}",
        case_id="case",
        variant="base",
        repeat=1,
        phase="main",
        began_ns=900 * MS if exchanges else None,
        ended_ns=1300 * MS if exchanges else None,
        exchanges=tuple(mine),
        skip=skip,
    )


def books() -> Frames:
    """The tables of a run of everything: streams, models side by side, whole replies, failures, retries."""
    never_sent = structs.replace(exchange([], status=None, failure=REFUSED), sent_ns=None)
    early = structs.replace(exchange(['{"detail": "too long"}'], status=413), headers_ns=999 * MS)
    results = [
        trial(1, exchange(SEARCHED)),
        trial(2, structs.replace(exchange(answer("a", "b")), due_ns=950 * MS, headers_ns=1005 * MS)),
        trial(3, exchange(side_by_side([START, delta("zero"), STOP], [START, delta("one"), STOP]))),
        trial(4, never_sent, exchange(answer("a"), attempt=2)),
        trial(5, exchange(answer("a")[:-1])),
        trial(6, exchange(['{"answer": "Paris", "message_id": 2}'], content_type="application/json")),
        trial(7, early),
        trial(8, skip=Skip.BUDGET),
        trial(9, exchange(answer("a", "b")), exchange(answer("c"), turn_id="2")),
    ]
    tables = Tables(count_tokens)
    for one in results:
        tables.add(Judged(one, (), {}, standing(one, [], [])))
    return tables.frames()


SPENT_NS = 8 * 400 * MS


def test_the_books_of_what_happened_balance() -> None:
    assert broken(books(), SPENT_NS) == []


def test_the_books_of_nothing_balance() -> None:
    assert broken(Tables(count_tokens).frames(), 0) == []


Cook = Callable[[pl.DataFrame], pl.DataFrame]


def where(table: str, number: int, **columns: pl.Expr | int | str | None) -> tuple[str, Cook]:
    """Change *columns* of the rows of one trial."""

    def cook(frame: pl.DataFrame) -> pl.DataFrame:
        key = "trial_id" if "trial_id" in frame.columns else "exchange_id"
        here = pl.col(key).str.starts_with(f"t{number}")
        changed = {
            name: pl.when(here)
            .then(value if isinstance(value, pl.Expr) else pl.lit(value, frame.schema[name]))
            .otherwise(pl.col(name))
            for name, value in columns.items()
        }
        return frame.with_columns(**changed)

    return table, cook


def without(table: str, number: int) -> tuple[str, Cook]:
    def cook(frame: pl.DataFrame) -> pl.DataFrame:
        key = "trial_id" if "trial_id" in frame.columns else "exchange_id"
        return frame.filter(~pl.col(key).str.starts_with(f"t{number}"))

    return table, cook


def ms_later(column: str, ms: int) -> pl.Expr:
    return pl.col(column) + ms * MS


COOKED = {
    "a trial twice": (
        ("trials", lambda frame: pl.concat([frame, frame.head(1)])),
        ["trials that are there twice: 1"],
    ),
    "an exchange twice": (
        ("exchanges", lambda frame: pl.concat([frame, frame.head(1)])),
        ["exchanges that are there twice: 1"],
    ),
    "no state": (where("trials", 1, state=None), ["trials in no state: 1"]),
    "a state of its own": (where("trials", 1, state="fine"), ["trials in no state: 1"]),
    "no trial": (without("trials", 9), ["exchanges without a trial: 2"]),
    "no exchange": (without("exchanges", 6), ["trials with a state and without an exchange: 1"]),
    "sent before it began": (
        where("exchanges", 5, began_ns=ms_later("sent_ns", 1)),
        ["exchanges with sent_ns before began_ns: 1"],
    ),
    "a head before the request": (
        where("exchanges", 2, headers_ns=ms_later("sent_ns", -1)),
        ["exchanges with headers_ns before sent_ns: 1"],
    ),
    "over before the head": (
        where("exchanges", 2, headers_ns=ms_later("ended_ns", 1)),
        ["exchanges with ended_ns before headers_ns: 1"],
    ),
    "a stop after the end": (
        where("exchanges", 2, stop_ns=ms_later("ended_ns", 1)),
        ["exchanges with ended_ns before stop_ns: 1"],
    ),
    "a packet before the request": (
        where("exchanges", 2, first_packet_ns=ms_later("sent_ns", -1)),
        ["exchanges with first_packet_ns before sent_ns: 1"],
    ),
    "a TTFT beyond the total": (
        where("exchanges", 2, ttft_ms=pl.col("total_ms") + 1),
        ["exchanges whose TTFT is longer than their total: 1"],
    ),
    "a trial that is over too soon": (
        where("trials", 1, ended_ns=1001 * MS),
        ["exchanges that are not within their trial: 1"],
    ),
    "a call before the request": (
        where("tool_calls", 1, began_ns=999 * MS),
        ["tool calls that are not within their exchange: 1"],
    ),
    "a call after the end": (
        where("tool_calls", 1, ended_ns=1200 * MS),
        ["tool calls that are not within their exchange: 1"],
    ),
    "a call that ends first": (
        where("tool_calls", 1, ended_ns=ms_later("began_ns", -1)),
        ["tool calls that are not within their exchange: 1"],
    ),
    "a packet that got lost": (
        ("packets", lambda frame: frame.tail(-1)),
        ["exchanges whose packets were counted otherwise than they are listed: 1"],
    ),
    "packets of nobody": (
        without("exchanges", 3),
        [
            "trials with a state and without an exchange: 1",
            "exchanges whose packets were counted otherwise than they are listed: 1",
        ],
    ),
    "a packet seen too soon": (
        ("packets", lambda frame: frame.with_columns(seen_ns=pl.col("arrived_ns") - pl.col("seq") // 6)),
        ["packets that were seen before they came: 1"],
    ),
    "packets out of turn": (
        where("packets", 1, arrived_ns=pl.col("arrived_ns") - (pl.col("seq") == 3).cast(pl.Int64) * 11 * MS),
        ["packets that came before the one before them: 1"],
    ),
    "a step too long": (
        where("steps", 1, ended_ns=pl.col("ended_ns") + (pl.col("seq") == 1).cast(pl.Int64) * MS),
        ["exchanges whose steps do not follow each other: 1", "exchanges whose steps are not their total: 1"],
    ),
    "no steps": (without("steps", 5), ["exchanges without steps: 1"]),
    "another total": (
        where("exchanges", 2, total_ms=pl.col("total_ms") + 1),
        ["exchanges whose steps are not their total: 1"],
    ),
}


@pytest.mark.parametrize("name", COOKED)
def test_each_law_is_told_when_it_is_broken(name: str) -> None:
    (table, cook), wanted = COOKED[name]
    frames = books()
    told = broken(frames | {table: cook(frames[table])})
    assert told == wanted, told


def test_littles_law_is_told_when_the_trials_took_another_time_than_they_were_counted() -> None:
    slack = SPENT_NS // 1000 + 8 * MS
    assert broken(books(), SPENT_NS + slack) == broken(books(), SPENT_NS - slack) == []
    (said,) = broken(books(), SPENT_NS + slack + MS)
    assert said == "Little's law: trials were counted in flight for 3.212 s, and they took 3.200 s"
    assert len(broken(books(), SPENT_NS - slack - MS)) == 1
