"""The charts of one exchange: when its packets came, and where its time went."""

import re
from collections.abc import Iterator, Sequence

import altair as alt
import polars as pl

from harness.report.charts import rows
from harness.report.charts.drawing import INK, Chart, Drawing
from harness.report.charts.lines import Row, Unit, unit
from harness.report.charts.rows import Across
from harness.report.charts.series import distinct
from harness.report.charts.steps import parts_of, said
from harness.report.figures.work import BEFORE

_LANES, _TICKS, _SEGMENTS = 24, 2_000, 400
_FINE = 700
_INKS = {"message": "c1", "citation": "c6", "reasoning": "c4", "deep_research_plan": "c4", "stop": "bad"}
_LIFECYCLE = {"section", "chat", "top", "stop", "error", "session"}
_ENDING = re.compile(
    r"(_tool)?(_queries|_documents|_filter|_argument|_thinking|_cited)?"
    r"_(start|delta|done|end|info|docs|final|result|documents|urls|args|debug|heartbeat|branching|no_access|skipped)$"
)


def packets(frame: pl.DataFrame, sent_ns: int | None = None) -> Chart:
    """When each packet of one exchange came: rows of the table `packets`, a lane for each sort.

    Counted from *sent_ns*, of the exchange, or else from the first packet. Raises `ValueError` without any.
    """
    if frame["arrived_ns"].count() == 0:
        raise ValueError("there is no packet to draw")
    start = int(frame["arrived_ns"].drop_nulls().to_list()[0]) if sent_ns is None else sent_ns
    since = "sent" if sent_ns is not None else "first packet"
    placed = list(_lanes(frame, start))
    lanes = list(dict.fromkeys(row["lane"] for row in placed))
    kept = lanes[:_LANES]
    drawn = [row for row in placed if row["lane"] in kept]
    ticks = _thinned(drawn)
    left = len(placed) - len(drawn)
    thinned = (
        f"; ticks upon each other are drawn once, {len(ticks):,} of them" if len(ticks) < len(drawn) else ""
    )
    more = f"; {left:,} packets of {len(lanes) - len(kept):,} more sorts are not drawn" if left else ""
    says = (
        f"{len(placed):,} packets by when they came, a tick for each{thinned}{more}. "
        "Packets that came in one read have the same time."
    )
    of = unit(max((row["ms"] for row in ticks), default=0.0))
    title = f"{of.name} since {'it was sent' if since == 'sent' else 'the first packet'}"
    return Chart(
        "packets", "Packets", says, lambda width: _ticks(ticks, _counted(drawn), of, title=title, width=width)
    )


def _lanes(frame: pl.DataFrame, start: int) -> Iterator[Row]:
    """Each packet with its lane: what its kind is of, and of a tool the place of its call."""
    kinds = frame.filter(pl.col("arrived_ns").is_not_null())
    found: dict[str, tuple[str, str]] = {}
    for row in kinds.select("kind", "turn_index", "tab_index", "arrived_ns", "bytes").iter_rows(named=True):
        family = _ENDING.sub("", row["kind"])
        of_tool = family not in _INKS and family not in _LIFECYCLE
        place = (
            f" {row['turn_index']}.{row['tab_index']}" if of_tool and row["turn_index"] is not None else ""
        )
        found.setdefault(f"{family}{place}", ("", _INKS.get(family, "c2" if of_tool else "soft")))
        yield {
            "lane": f"{family}{place}",
            "ink": found[f"{family}{place}"][1],
            "ms": (row["arrived_ns"] - start) / 1e6,
            "bytes": row["bytes"] or 0,
        }


def _thinned(drawn: Sequence[Row]) -> list[Row]:
    """A row for each tick that can be seen apart, where there are too many for a page."""
    if len(drawn) <= _TICKS:
        return list(drawn)
    low = min(row["ms"] for row in drawn)
    step = (max(row["ms"] for row in drawn) - low) / _FINE or 1.0
    return list({(row["lane"], int((row["ms"] - low) / step)): row for row in drawn}.values())


def _counted(drawn: Sequence[Row]) -> dict[str, str]:
    """What is said behind each lane."""
    counts: dict[str, list[int]] = {}
    for row in drawn:
        count = counts.setdefault(row["lane"], [0, 0])
        count[0] += 1
        count[1] += row["bytes"]
    return {lane: f"{count:,}, {_size(size)}" for lane, (count, size) in counts.items()}


def _size(size: int) -> str:
    return f"{size:,} B" if size < 10_000 else f"{size / 1000:,.0f} kB"


def _ticks(ticks: Sequence[Row], ends: dict[str, str], of: Unit, *, title: str, width: int) -> Drawing:
    """A lane is one path: a short thick line for each tick, with a break behind it."""
    called = dict(zip(ends, distinct(list(ends)), strict=True))
    high = max(row["ms"] for row in ticks) / of.ms
    thick = (high or 1.0) * 1.6 / max(200, width - 280)
    marks = [
        {"row": called[row["lane"]], "at": at, "x": x, "ink": row["ink"]}
        for at, row in enumerate(ticks)
        for x in (row["ms"] / of.ms, row["ms"] / of.ms + thick, None)
    ]
    inks = sorted({row["ink"] for row in ticks})
    color = alt.Color("ink:N", scale=alt.Scale(domain=inks, range=[INK[ink] for ink in inks]), legend=None)
    texts = {called[lane]: text for lane, text in ends.items()}
    return rows.ticks(marks, texts, color, across=Across(title, high=high), width=width)


def steps_of(frame: pl.DataFrame) -> Chart:
    """Where the time of one exchange went: rows of the table `steps`, a lane for each step.

    Raises `ValueError` without any.
    """
    if frame.is_empty():
        raise ValueError("there is no step to draw")
    listed = list(
        frame.sort("seq").select("step", "began_ns", "ended_ns", "duration_ms").iter_rows(named=True)
    )
    start = next((row["began_ns"] for row in listed if row["step"] not in BEFORE), listed[0]["began_ns"])
    lasting = [row for row in listed if row["duration_ms"] > 0] or listed
    longest = sorted(lasting, key=lambda row: -row["duration_ms"])[:_SEGMENTS]
    kept = [row for row in lasting if row in longest] if len(lasting) > _SEGMENTS else lasting
    parts = parts_of([{"step": row["step"], "mean_ms": row["duration_ms"]} for row in kept])
    steps = list(dict.fromkeys(row["step"] for row in kept))
    called = dict(zip(steps, distinct(steps), strict=True))
    of = unit(max(row["ended_ns"] - start for row in kept) / 1e6)
    segments = [
        {
            "row": called[row["step"]],
            "part": parts.names[row["step"]],
            "from": (row["began_ns"] - start) / 1e6 / of.ms,
            "upto": (row["ended_ns"] - start) / 1e6 / of.ms,
            "text": said(row["duration_ms"] / of.ms),
        }
        for row in kept
    ]
    ends = {name: _took(segments, name, of) for name in called.values()}
    left = len(lasting) - len(kept)
    says = (
        f"The {len(kept):,} stretches of the exchange, one after the other, each in the lane of its step; "
        "behind a lane is what its stretches took together. Once packets come, the time up to a packet "
        f"belongs to the step of that packet.{f' {left:,} shorter stretches are not drawn.' if left else ''}"
    )
    across = Across(f"{of.name} since it was sent")
    return Chart(
        "exchange-steps",
        "Where its time went",
        says,
        lambda width: rows.bars(segments, parts.inks, ends, across=across, width=width),
    )


def _took(segments: Sequence[Row], name: str, of: Unit) -> str:
    return f"{said(sum(row['upto'] - row['from'] for row in segments if row['row'] == name))} {of.name}"
