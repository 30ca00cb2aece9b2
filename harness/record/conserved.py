"""Do the books balance? Laws that the tables of any run keep, whatever the server did.

A law that is broken is a fault of ours, and no figure of that run can be trusted until it is found.
"""

from collections.abc import Iterator, Mapping

import polars as pl

from harness.grade.states import State

_LITTLE_SHARE = 0.001
_LITTLE_NS = 1_000_000


def broken(frames: Mapping[str, pl.DataFrame], in_flight_ns: int | None = None) -> list[str]:
    """The laws that these tables do not keep, a sentence each; none is good.

    *in_flight_ns* is the area beneath the number of trials under way, as the pool counted it while they
    were: by Little's law it is the sum of what each of them took.
    """
    trials, exchanges, packets = frames["trials"], frames["exchanges"], frames["packets"]
    laws = [
        *_in_order(exchanges),
        *_counted_alike(exchanges, packets),
        *_adding_up(exchanges.join(frames["models"], on="exchange_id", how="anti"), frames["steps"]),
        *_belonging(trials, exchanges),
        *_in_order_packets(packets),
    ]
    told = [f"{says}: {count}" for says, count in laws if count]
    if in_flight_ns is not None:
        told += _little(trials, in_flight_ns)
    return told


def _in_order(exchanges: pl.DataFrame) -> Iterator[tuple[str, int]]:
    first = exchanges.filter(~pl.col("resent"))
    pairs = [("began_ns", "sent_ns"), ("sent_ns", "headers_ns"), ("headers_ns", "ended_ns")]
    for earlier, later in pairs:
        yield f"exchanges with {later} before {earlier}", len(first.filter(pl.col(later) < pl.col(earlier)))
    after = pl.col("ttft_ms") > pl.col("total_ms")
    yield "exchanges whose TTFT is longer than their total", len(exchanges.filter(after))


def _counted_alike(exchanges: pl.DataFrame, packets: pl.DataFrame) -> Iterator[tuple[str, int]]:
    rows = packets.group_by("exchange_id").len("rows")
    streamed = exchanges.filter(pl.col("packets") > 0).join(rows, on="exchange_id", how="left")
    differ = streamed.filter(pl.col("packets") != pl.col("rows").fill_null(0))
    yield "exchanges whose packets were counted otherwise than they are listed", len(differ)


def _adding_up(exchanges: pl.DataFrame, steps: pl.DataFrame) -> Iterator[tuple[str, int]]:
    """Models side by side are left out: the total is of the first, and the steps are of all."""
    whole = steps.group_by("exchange_id").agg(
        listed=(pl.col("ended_ns") - pl.col("began_ns")).sum(),
        spanned=pl.col("ended_ns").max() - pl.col("began_ns").min(),
    )
    gaps = whole.filter(pl.col("listed") != pl.col("spanned"))
    yield "exchanges whose steps do not add up", len(gaps)
    total = exchanges.join(whole, on="exchange_id").filter(pl.col("total_ms").is_not_null())
    start = pl.coalesce("due_ns", "began_ns")
    took = (pl.col("sent_ns") - start) / 1e6 + pl.col("total_ms")
    off = total.filter((pl.col("spanned") / 1e6 - took).abs() > 1e-3)
    yield "exchanges whose steps are not their total", len(off)


def _belonging(trials: pl.DataFrame, exchanges: pl.DataFrame) -> Iterator[tuple[str, int]]:
    yield "exchanges without a trial", len(exchanges.join(trials, on="trial_id", how="anti"))
    sent = trials.filter(pl.col("state") != State.NOT_RUN)
    yield "trials with a state and without an exchange", len(sent.join(exchanges, on="trial_id", how="anti"))
    yield "trials that are there twice", len(trials) - trials["trial_id"].n_unique()


def _in_order_packets(packets: pl.DataFrame) -> Iterator[tuple[str, int]]:
    unread = packets.filter(pl.col("seen_ns") < pl.col("arrived_ns"))
    yield "packets that were seen before they came", len(unread)
    back = pl.col("arrived_ns") < pl.col("arrived_ns").shift(1).over("exchange_id", order_by="seq")
    yield "packets that came before the one before them", len(packets.filter(back))


def _little(trials: pl.DataFrame, in_flight_ns: int) -> list[str]:
    sent = trials.filter(pl.col("began_ns").is_not_null())
    spent = int((sent["ended_ns"] - sent["began_ns"]).sum())
    if abs(spent - in_flight_ns) <= _LITTLE_SHARE * spent + _LITTLE_NS * len(sent):
        return []
    return [
        f"Little's law: {in_flight_ns / 1e9:.3f} s were in flight, and the trials took {spent / 1e9:.3f} s"
    ]
