"""May a run be believed? Recorded runs under four conditions, and each sign by itself.

`verdicts/` holds what four real runs left: open loads of 20/s over 6 s against the stream source, left alone
(valid), with our process held up for 200 ms every second (blocked), beside eight busy processes on two CPUs
(neighbour), and against a source with six slots (slow).
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest
from msgspec import structs

from harness.report.terminal import verdict_lines
from harness.result import Moment
from harness.stats.arrivals import Conformance
from harness.stats.steady import Trend
from harness.suite.phases import Phase
from harness.verdict.signs import Signs, signs_of
from harness.verdict.word import Verdict, Word, verdict

RECORDED = Path(__file__).parent / "verdicts"
LOADS = {"main": Phase.model_validate({"rate": "20/s", "for": "6s"})}
EXPECTED = {
    "valid": Word.VALID,
    "blocked": Word.CLIENT_BOUND,
    "neighbour": Word.CLIENT_BOUND,
    "slow": Word.SERVER_SATURATED,
}
SEEDS = 25

GOOD = Signs(
    phase="peak",
    is_open=True,
    n=100,
    seconds=10.0,
    ttft_p50_ms=400.0,
    late_n=100,
    late_p99_ms=1.0,
    delay_n=900,
    delay_p99_ms=0.4,
    merged=0.0,
    lag_p50_ms=1.0,
    pressure=0.01,
    cpu=0.2,
    collection_ms=1.0,
    target_p50_ms=1.0,
    own_p50_ms=0.2,
    arrivals=100,
    unserved=0.0,
    refused=0.0,
    in_flight=Trend(0.0, -1.0, 1.0, 100),
    ttft=Trend(0.0, -1.0, 1.0, 100),
)


def recorded(kind: str) -> dict[str, pl.DataFrame]:
    names = ("trials", "exchanges", "packets", "moments")
    return {name: pl.read_parquet(RECORDED / kind / f"{name}.parquet") for name in names}


def judged(frames: Mapping[str, pl.DataFrame]) -> Verdict:
    moments = [Moment(**row) for row in frames["moments"].iter_rows(named=True)]
    return verdict(signs_of(frames, moments, LOADS))


def test_what_was_decided_and_never_sent_is_no_arrival_and_changes_nothing() -> None:
    frames = recorded("valid")
    trials = frames["trials"]
    last = trials["due_ns"].max()
    assert isinstance(last, int)
    moot = trials.head(40).with_columns(
        trial_id=pl.col("trial_id") + "-moot",
        skip=pl.lit("decided"),
        due_ns=pl.int_range(pl.len(), dtype=pl.Int64) * 50_000_000 + last,
        began_ns=pl.lit(None, pl.Int64),
        ended_ns=pl.lit(None, pl.Int64),
    )
    assert judged({**frames, "trials": trials.vstack(moot)}) == judged(frames)


def a_part(frames: Mapping[str, pl.DataFrame], seed: int) -> dict[str, pl.DataFrame]:
    """Nine tenths of what a run recorded, drawn by *seed*, one second of six left out."""
    random = Random(seed)
    every = frames["trials"]["trial_id"].to_list()
    kept = set(random.sample(every, len(every) * 9 // 10))
    exchanges = frames["exchanges"].filter(pl.col("trial_id").is_in(kept))
    seconds = range(len(frames["moments"]))
    left = sorted(random.sample(seconds, len(seconds) - 1))
    return {
        "trials": frames["trials"].filter(pl.col("trial_id").is_in(kept)),
        "exchanges": exchanges,
        "packets": frames["packets"].join(exchanges, on="exchange_id", how="semi"),
        "moments": frames["moments"][left],
    }


@pytest.mark.parametrize("kind", EXPECTED)
def test_a_recorded_run_is_judged_by_what_it_was_like(kind: str) -> None:
    assert judged(recorded(kind)).word == EXPECTED[kind]


def test_ninety_five_of_a_hundred_seeded_parts_of_recorded_runs_are_told_apart() -> None:
    told: Counter[tuple[str, str | None]] = Counter()
    for kind, word in EXPECTED.items():
        frames = recorded(kind)
        for seed in range(SEEDS):
            found = judged(a_part(frames, seed)).word
            told[kind, "right" if found is word else found] += 1
    assert sum(n for (_, found), n in told.items() if found == "right") >= 95, told


def test_a_later_turn_is_not_late_because_its_trial_had_waited_for_room() -> None:
    """The trial found room 100 ms after it was due; its second turn was due 900 ms later, and was in time."""
    frames = recorded("valid")
    found = frames["trials"].with_columns(free_ns=pl.col("due_ns") + 100_000_000)
    later = frames["exchanges"].with_columns(pl.col("due_ns", "began_ns", "sent_ns", "ended_ns") + 10**9)
    (signs,) = signs_of(frames | {"trials": found, "exchanges": later}, [], LOADS)
    assert signs.late_p99_ms is not None
    assert signs.late_p99_ms < 20


def test_nothing_speaks_against_a_run_that_went_well() -> None:
    assert verdict([GOOD]).word is Word.VALID
    assert verdict([GOOD]).reasons == ()
    assert verdict([GOOD]).unknown == ()


@pytest.mark.parametrize(
    ("sign", "word", "says"),
    [
        ({"late_p99_ms": 21.0}, Word.CLIENT_BOUND, "requests went out late: p99 21.0 ms"),
        ({"late_p99_ms": 19.0}, Word.VALID, ""),
        ({"late_p99_ms": 21.0, "is_open": False}, Word.DEGRADED, "requests went out late: p99 21.0 ms"),
        ({"late_p99_ms": 101.0, "is_open": False}, Word.CLIENT_BOUND, "100 ms is allowed"),
        ({"delay_p99_ms": 21.0}, Word.DEGRADED, "packets lay unread: p99 21.0 ms, n = 900; 20.0 ms"),
        ({"delay_p99_ms": 21.0, "user_stamped": 4}, Word.CLIENT_BOUND, "packets lay unread"),
        ({"delay_p99_ms": 101.0}, Word.CLIENT_BOUND, "packets lay unread"),
        ({"delay_p99_ms": 21.0, "merged": 0.1}, Word.CLIENT_BOUND, "packets lay unread: p99 21.0 ms"),
        ({"lag_p50_ms": 101.0}, Word.CLIENT_BOUND, "our event loop was held up: by 101 ms"),
        ({"lag_p50_ms": 21.0}, Word.DEGRADED, "our event loop was held up"),
        ({"own_p50_ms": 101.0}, Word.CLIENT_BOUND, "even our own source took 101 ms"),
        ({"pressure": 0.51}, Word.CLIENT_BOUND, "tasks of this machine waited for a CPU 51.0% of the time"),
        ({"pressure": 0.51, "is_open": False}, Word.DEGRADED, "51.0%"),
        ({"pressure": 0.06}, Word.DEGRADED, "6.0% of the time; 5% is allowed"),
        ({"broken": ("exchanges whose steps do not add up: 1",)}, Word.CLIENT_BOUND, "books do not balance"),
        ({"refused": 0.06}, Word.SERVER_SATURATED, "the server turned away 6.0% of the requests"),
        ({"refused": 0.01}, Word.DEGRADED, "the server turned away 1.0%"),
        ({"unserved": 0.5}, Word.SERVER_SATURATED, "50.0% of 100 arrivals found max_in_flight reached"),
        ({"cpu": 0.85}, Word.DEGRADED, "near its limit: 85.0% of one CPU"),
        ({"collection_ms": 30.0}, Word.DEGRADED, "a garbage collection took 30.0 ms"),
        ({"merged": 0.2}, Word.VALID, ""),
        ({"merged": 0.2, "delay_p99_ms": 3.0}, Word.DEGRADED, "20.0% of the reads brought several packets"),
        ({"clock_steps": 1}, Word.DEGRADED, "the wall clock was set 1 times"),
        ({"user_stamped": 7}, Word.DEGRADED, "7 exchanges have our stamps"),
    ],
)
def test_each_sign_speaks_for_its_word_with_its_figure_and_its_limit(
    sign: dict[str, Any], word: Word, says: str
) -> None:
    told = verdict([structs.replace(GOOD, **sign)])
    assert told.word is word
    assert says in (told.reasons[0].says if told.reasons else "")


def test_of_one_sign_only_the_worst_word_is_told() -> None:
    merging = structs.replace(GOOD, delay_p99_ms=25.0, merged=0.2, unserved=0.3, pressure=0.9)
    found = verdict([merging])
    assert Counter(reason.sign for reason in found.reasons).most_common(1)[0][1] == 1
    assert {reason.sign: reason.word for reason in found.reasons} == {
        "delay_p99_ms": Word.CLIENT_BOUND,
        "pressure": Word.CLIENT_BOUND,
        "unserved": Word.SERVER_SATURATED,
        "merged": Word.DEGRADED,
    }


def test_a_load_that_came_in_bunches_though_asked_to_be_even_is_degraded() -> None:
    asked = Conformance(100, 0.0)
    spoilt = structs.replace(GOOD, asked=asked, began=Conformance(100, 0.4))
    (reason,) = verdict([spoilt]).reasons
    assert reason.word is Word.DEGRADED
    assert reason.says.startswith("conversations began otherwise spaced than asked: their gaps vary by 0.40")
    assert verdict([structs.replace(spoilt, began=asked)]).word is Word.VALID
    delayed = structs.replace(spoilt, unserved=0.01)
    assert [each.sign for each in verdict([delayed]).reasons] == ["unserved"]


def test_a_load_that_was_measured_while_it_warmed_up_is_degraded() -> None:
    (reason,) = verdict([structs.replace(GOOD, warm_n=40, warm_excess=0.5)]).reasons
    assert reason.word is Word.DEGRADED
    assert reason.says.startswith(
        "the first 40 of 100 replies were a warm-up by MSER-5: their TTFT was 50% higher"
    )
    assert verdict([structs.replace(GOOD, warm_n=40, warm_excess=0.1)]).word is Word.VALID
    assert verdict([structs.replace(GOOD, warm_n=10, warm_excess=0.5)]).word is Word.VALID


def test_a_warm_up_is_found_in_the_order_in_which_trials_fell_due() -> None:
    """Three copies of a recorded run, one after the other, the first of them three times as slow."""
    frames = recorded("valid")
    copies: dict[str, list[pl.DataFrame]] = {"trials": [], "exchanges": []}
    for number in range(3):
        for name, listed in copies.items():
            stamps = [column for column in frames[name].columns if column.endswith("_ns")]
            listed.append(
                frames[name].with_columns(
                    pl.col(*stamps) + number * 10**10, trial_id=pl.col("trial_id") + str(number)
                )
            )
    copies["exchanges"][0] = copies["exchanges"][0].with_columns(pl.col("ttft_ms") * 3)
    made = frames | {name: pl.concat(reversed(listed)) for name, listed in copies.items()}
    (signs,) = signs_of(made, [], LOADS)
    assert signs.warm_n is not None
    assert signs.warm_excess is not None
    assert 120 <= signs.warm_n <= 150
    assert signs.warm_excess > 1


def test_a_growing_queue_is_a_server_past_its_capacity_and_a_small_drift_is_not() -> None:
    grows = structs.replace(GOOD, in_flight=Trend(5.0, 4.0, 6.0, 100), ttft=Trend(200.0, 150.0, 250.0, 100))
    (reason,) = verdict([grows]).reasons
    assert reason.word is Word.SERVER_SATURATED
    assert (
        reason.says == "no steady state: 50 more got in flight and TTFT rose by 2,000 ms; 100 ms is allowed"
    )
    drifts = structs.replace(grows, ttft=Trend(2.0, 1.0, 3.0, 100))
    assert verdict([drifts]).word is Word.VALID
    only_one = structs.replace(grows, in_flight=Trend(0.1, -0.1, 0.3, 100))
    assert verdict([only_one]).word is Word.VALID


def test_of_several_phases_the_worst_word_stands_and_a_slow_client_before_a_slow_server() -> None:
    slow = structs.replace(GOOD, phase="b", unserved=0.5)
    late = structs.replace(GOOD, phase="c", late_p99_ms=99.0)
    told = verdict([GOOD, slow, late])
    assert told.word is Word.CLIENT_BOUND
    assert [reason.phase for reason in told.reasons] == ["c", "b"]
    assert verdict([GOOD, slow]).word is Word.SERVER_SATURATED


def test_what_the_system_does_not_show_is_unknown_and_no_fault() -> None:
    told = verdict([structs.replace(GOOD, pressure=None, own_p50_ms=None)])
    assert told.word is Word.VALID
    assert len(told.unknown) == 2


def test_where_nothing_was_measured_there_is_no_verdict() -> None:
    assert verdict([]).word is None
    assert not verdict([]).forbids_latency
    assert verdict([structs.replace(GOOD, n=0)]).word is None
    assert "nothing was measured" in "".join(line.plain for line in verdict_lines(verdict([])))


def test_the_terminal_says_the_word_its_reasons_and_who_answered_a_control_request_how_fast() -> None:
    lines = [line.plain for line in verdict_lines(verdict([structs.replace(GOOD, late_p99_ms=99.0)]))]
    assert lines == [
        "verdict: client-bound",
        (
            "  client-bound (peak): requests went out late: "
            "p99 99.0 ms after they could, n = 100; 20.0 ms is allowed"
        ),
        "  control requests (peak), p50: target 1.0 ms, our own source 0.2 ms",
    ]


def resumed(frames: Mapping[str, pl.DataFrame], *, after: int, gap_ns: int) -> dict[str, pl.DataFrame]:
    """The same run, had it stopped after so many trials and gone on so much later."""
    order = frames["trials"].sort("due_ns").with_row_index("nth")
    leg = order.select("trial_id", leg=(pl.col("nth") >= after).cast(pl.Int32))
    moved = {}
    for name in ("trials", "exchanges"):
        shift = pl.col("leg") * gap_ns
        stamps = [column for column in frames[name].columns if column.endswith("_ns")]
        joined = frames[name].join(leg, on="trial_id", maintain_order="left")
        moved[name] = joined.with_columns(pl.col(stamps) + shift)
    return dict(frames) | moved


def test_no_sign_over_time_spans_the_gap_of_a_run_that_was_resumed() -> None:
    frames = recorded("valid")
    whole = resumed(frames, after=90, gap_ns=60_000_000_000)
    (ours,) = signs_of(whole, [], LOADS)
    (alone,) = signs_of(whole | {"trials": whole["trials"].filter(pl.col("leg") == 0)}, [], LOADS)
    for name in ("seconds", "asked", "began", "in_flight", "ttft"):
        assert getattr(ours, name) == getattr(alone, name), name
    assert ours.seconds < 6
    assert ours.asked is not None
    assert ours.asked.n == 90
    assert ours.n > alone.n, "what is of single exchanges is of all of them"
