"""Do the books balance? Laws that the tables of any run keep, whatever the server did.

A law that is broken is a fault of ours, and no figure of that run can be trusted until it is found. What a
server may do is no law: it may leave out its stop, or refuse a request before it has read all of it.

Everything is asked of whole columns: the packets of a long run are millions.
"""

from collections.abc import Iterator, Mapping

import polars as pl

from harness.grade.states import State

Frames = Mapping[str, pl.DataFrame]
Counted = tuple[str, int]
"""What should not be, in the plural, and how often it is."""

_LITTLE_SHARE = 0.001
_LITTLE_NS = 1_000_000
_ROUNDING_MS = 1e-3

_IN_TURN = (
    ("began_ns", "sent_ns"),
    ("sent_ns", "headers_ns"),
    ("headers_ns", "ended_ns"),
    ("sent_ns", "first_packet_ns"),
    ("first_packet_ns", "first_text_ns"),
    ("first_text_ns", "last_answer_ns"),
    ("last_answer_ns", "stop_ns"),
    ("stop_ns", "ended_ns"),
)
"""Stamps of an exchange, of which the second is never before the first where both are there."""


def broken(frames: Frames, in_flight_ns: int | None = None) -> list[str]:
    """The laws that these tables do not keep, a sentence each; none is good.

    *in_flight_ns* is the area beneath the number of trials under way, as the pool counted it while they
    were: by Little's law it is the sum of what each of them took.
    """
    laws = (
        *_belonging(frames),
        *_in_turn(frames["exchanges"]),
        *_within(frames),
        *_counted_alike(frames),
        *_packets_in_turn(frames["packets"]),
        *_adding_up(frames),
    )
    told = [f"{says}: {count}" for says, count in laws if count]
    return told if in_flight_ns is None else [*told, *_little(frames["trials"], in_flight_ns)]


def _belonging(frames: Frames) -> Iterator[Counted]:
    trials, exchanges = frames["trials"], frames["exchanges"]
    yield "trials that are there twice", len(trials) - trials["trial_id"].n_unique()
    yield "exchanges that are there twice", len(exchanges) - exchanges["exchange_id"].n_unique()
    yield "trials in no state", int((~trials["state"].is_in(list(State)).fill_null(value=False)).sum())
    yield "exchanges without a trial", len(exchanges.join(trials, on="trial_id", how="anti"))
    judged = trials.filter(pl.col("state") != State.NOT_RUN)
    yield (
        "trials with a state and without an exchange",
        len(judged.join(exchanges, on="trial_id", how="anti")),
    )


def _in_turn(exchanges: pl.DataFrame) -> Iterator[Counted]:
    for earlier, later in _IN_TURN:
        backwards = pl.col(later) < pl.col(earlier)
        if (earlier, later) == ("sent_ns", "headers_ns"):
            backwards &= pl.col("http_status") < 400  # a refusal may come before the request is out
        yield f"exchanges with {later} before {earlier}", len(exchanges.filter(backwards))
    longer = pl.col("ttft_ms") > pl.col("total_ms")
    yield "exchanges whose TTFT is longer than their total", len(exchanges.filter(longer))


def _within(frames: Frames) -> Iterator[Counted]:
    """What is part of something else lies within its time."""
    exchanges = frames["exchanges"]
    held = exchanges.join(frames["trials"], on="trial_id", suffix="_of_trial")
    yield (
        "exchanges that are not within their trial",
        _outside(held, "began_ns_of_trial", "ended_ns_of_trial"),
    )
    calls = frames["tool_calls"].join(exchanges, on="exchange_id", suffix="_of_exchange")
    yield "tool calls that are not within their exchange", _outside(calls, "sent_ns", "ended_ns_of_exchange")


def _outside(parts: pl.DataFrame, start: str, end: str) -> int:
    """How many parts began before *start* or ended after *end* of the whole, or before they began."""
    began, ended = pl.col("began_ns"), pl.col("ended_ns")
    return len(parts.filter((began < pl.col(start)) | (ended > pl.col(end)) | (ended < began)))


def _counted_alike(frames: Frames) -> Iterator[Counted]:
    rows = frames["packets"].group_by("exchange_id").len("rows")
    told = frames["exchanges"].select("exchange_id", pl.col("packets").fill_null(0))
    both = told.join(rows, on="exchange_id", how="full", coalesce=True)
    differ = both.filter(pl.col("packets").fill_null(0) != pl.col("rows").fill_null(0))
    yield "exchanges whose packets were counted otherwise than they are listed", len(differ)


def _packets_in_turn(packets: pl.DataFrame) -> Iterator[Counted]:
    """The rows of an exchange are together and in order, as they were made."""
    early = packets["seen_ns"] < packets["arrived_ns"]
    yield "packets that were seen before they came", int(early.sum())
    before = packets["arrived_ns"].shift(1)
    same = packets["exchange_id"] == packets["exchange_id"].shift(1)
    yield "packets that came before the one before them", int((same & (packets["arrived_ns"] < before)).sum())


def _adding_up(frames: Frames) -> Iterator[Counted]:
    """Of models side by side the steps are of all, and the total is of the first: it is not compared."""
    took = (
        frames["steps"]
        .group_by("exchange_id")
        .agg(
            listed=(pl.col("ended_ns") - pl.col("began_ns")).sum(),
            spanned=pl.col("ended_ns").max() - pl.col("began_ns").min(),
            shortest=pl.col("duration_ms").min(),
        )
    )
    holes = took.filter((pl.col("listed") != pl.col("spanned")) | (pl.col("shortest") < 0))
    yield "exchanges whose steps do not follow each other", len(holes)
    ended = frames["exchanges"].filter(pl.col("ended_ns").is_not_null())
    yield "exchanges without steps", len(ended.join(took, on="exchange_id", how="anti"))
    of_one = ended.join(frames["models"], on="exchange_id", how="anti").join(took, on="exchange_id")
    until_sent = (pl.col("sent_ns") - pl.coalesce("due_ns", "began_ns")) / 1e6
    off = (until_sent + pl.col("total_ms") - pl.col("listed") / 1e6).abs() > _ROUNDING_MS
    yield "exchanges whose steps are not their total", len(of_one.filter(off))


def _little(trials: pl.DataFrame, in_flight_ns: int) -> Iterator[str]:
    sent = trials.filter(pl.col("began_ns").is_not_null())
    spent = int((sent["ended_ns"] - sent["began_ns"]).sum())
    if abs(spent - in_flight_ns) > _LITTLE_SHARE * spent + _LITTLE_NS * len(sent):
        counted, took = f"{in_flight_ns / 1e9:.3f} s", f"{spent / 1e9:.3f} s"
        yield f"Little's law: trials were counted in flight for {counted}, and they took {took}"
