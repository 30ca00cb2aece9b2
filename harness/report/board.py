"""A snapshot of a run -> the lines that a terminal shows while it goes on.

Pure, and cheap: no table is laid out, and a line is a few pieces of text, each with its style. Columns have
the width of what will stand in them, so that nothing jumps; what does not fit is left out from the right, and
rows that do not fit are counted. What is not known is a dash, never 0.
"""

from collections.abc import Callable, Iterator, Sequence
from math import ceil
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

from harness.report.tally import Believed, Progress, Snapshot
from harness.report.terminal import DASH, VERDICTS
from harness.report.times import BUCKETS, Latency
from harness.report.visible import shortened

Piece = tuple[str, str]
"""A text and its style; "" is none."""

Line = list[Piece]

SPARKS = "▁▂▃▄▅▆▇█"
TALLEST = 22
"""Lines of a board: it stands beneath what was said before, and is not to push that away."""

_LONGEST_NAME, _SHORTEST_NAME = 32, 8
_BAR = 12


def board(shot: Snapshot, width: int, height: int) -> list[Line]:
    """The lines of *shot* for a terminal so wide and so high; none is wider."""
    most = min(height - 1, TALLEST)
    beneath = list(_beneath(shot, width))
    rows = list(_rows(shot, width, max(1, most - len(beneath) - 2)))
    apart: list[Line] = [[]] if len(rows) + len(beneath) + 2 <= most else []
    return [fitted(line, width) for line in [_head(shot), *rows, *apart, *beneath][: max(1, most)]]


def plain(line: Line) -> str:
    """The text of *line*."""
    return "".join(text for text, _ in line)


def fitted(line: Line, width: int) -> Line:
    """*line*, cut where it is wider than *width*."""
    kept: Line = []
    left = width
    for text, style in line:
        wide = cell_len(text)
        if wide > left:
            return [*kept, (set_cell_size(text, max(0, left - 1)) + "…", style)] if left > 0 else kept
        kept.append((text, style))
        left -= wide
    return kept


def sparks(values: Sequence[float | None]) -> str:
    """*values* as a row of bars, each as high as it is against the highest; None is a blank."""
    high = max((value for value in values if value is not None), default=0.0)
    tallest = len(SPARKS)
    return "".join(
        " " if value is None else SPARKS[max(0, ceil(value / high * tallest) - 1) if high else 0]
        for value in values
    )


def spent(seconds: float) -> str:
    """*seconds* as a clock shows them, of one width for the first hour: 0:07, 12:40, 1:02:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _head(shot: Snapshot) -> Line:
    line: Line = [(shortened(shot.suite, _LONGEST_NAME), "bold"), (f"  {spent(shot.elapsed_s)}", "")]
    if shot.stopping is not None:
        words = f"{shot.in_flight} under way may finish" if shot.in_flight else "nothing is under way"
        return [*line, (f"  draining ({shot.stopping}): {words}", "yellow")]
    if shot.phase:
        line.append((f"  {shortened(shot.phase, _LONGEST_NAME)}: {shot.load}", ""))
    if shot.remaining_s is not None:
        about = "" if shot.is_timed else "about "
        line.append((f", {about}{spent(ceil(shot.remaining_s))} to go", ""))
    return line


class _Column(NamedTuple):
    """A column of so many cells. Where they do not all fit, those of the lowest *worth* are left out."""

    title: str
    width: int
    worth: int
    cell: Callable[[Progress], Piece]
    is_text: bool = False


def _columns(rows: Sequence[Progress], width: int) -> list[_Column]:
    count = max(5, *(len(str(max(row.planned or 0, row.done))) for row in rows))
    phases = len({row.phase for row in rows}) > 1
    longest = max(cell_len(_name(row, phases=phases)) for row in rows)
    name = max(_SHORTEST_NAME, min(longest, _LONGEST_NAME))
    columns = [
        _Column("variant", name, 9, lambda row: (_name(row, phases=phases), ""), is_text=True),
        _Column("", _BAR, 2, lambda row: (_bar(row), "cyan"), is_text=True),
        _Column("done", 2 * count + 1, 8, lambda row: (_done(row, count), "")),
        _Column("in flight", max(count, 9), 6, lambda row: (str(row.in_flight), "")),
        _Column("errors", max(count, 6), 7, lambda row: (str(row.error), "red" if row.error else "")),
        _Column("not run", 7, 4, lambda row: (str(row.not_run), "yellow" if row.not_run else "")),
        _Column("TTFT p50", 9, 5, lambda row: (_ms(row.ttft.p50_ms), "")),
        _Column("p95", 9, 3, lambda row: (_ms(row.ttft.p95_ms), "")),
        _Column("n", count, 3, lambda row: (str(row.ttft.n), "")),
        _Column("p50 over time", BUCKETS, 1, lambda row: (sparks(row.ttft.history), "cyan"), is_text=True),
    ]
    while sum(column.width + 2 for column in columns) - 2 > width and len(columns) > 1:
        columns.remove(min(columns, key=lambda column: column.worth))
    return columns


def _name(row: Progress, *, phases: bool) -> str:
    return shortened(f"{row.phase} {row.variant}" if phases else row.variant, _LONGEST_NAME)


def _done(row: Progress, count: int) -> str:
    return f"{row.done}{'' if row.planned is None else f'/{row.planned}'}".rjust(count)


def _rows(shot: Snapshot, width: int, most: int) -> Iterator[Line]:
    """A head and a row for each variant and phase; of more than *most* those first that are not over."""
    if not shot.rows:
        return
    columns = _columns(shot.rows, width)
    titles = (_placed(column, column.title) for column in columns)
    yield [("  ".join(titles).rstrip(), "bold")]
    shown, left_out = list(shot.rows), []
    if len(shown) > most:
        shown.sort(key=lambda row: (not row.in_flight, row.is_over))
        shown, left_out = shown[: max(0, most - 1)], shown[max(0, most - 1) :]
    for row in shown:
        yield list(_row(row, columns))
    if left_out:
        yield [(f"and {len(left_out)} more, {sum(row.is_over for row in left_out)} of them done", "dim")]


def _row(row: Progress, columns: Sequence[_Column]) -> Iterator[Piece]:
    for nth, column in enumerate(columns):
        text, style = column.cell(row)
        between = "  " if nth else ""
        yield between + _placed(column, text), f"{style} dim".strip() if row.is_over else style


def _placed(column: _Column, text: str) -> str:
    """*text* as wide as its column."""
    if cell_len(text) > column.width:
        text = set_cell_size(text, column.width - 1) + "…"
    return set_cell_size(text, column.width) if column.is_text else text.rjust(column.width)


def _bar(row: Progress) -> str:
    """How much of it is done; of what has no end, nothing."""
    if not row.planned:
        return " " * _BAR
    filled = min(_BAR, _BAR * row.done // row.planned)
    return "━" * filled + "╌" * (_BAR - filled)


def _beneath(shot: Snapshot, width: int) -> Iterator[Line]:
    yield _rates(shot)
    yield _latency("TTFT", shot.ttft, "of this phase", width)
    yield _latency("gap", shot.gap, "of each reply its median", width)
    faults = ", ".join(f"{fault} {count}" for fault, count in shot.faults)
    yield _said("faults", faults or "none so far", "red" if faults else "dim")
    if shot.away is not None:
        count, seconds = shot.away
        yield _said("away", f"the last {count:,} exchanges all broke, for {spent(seconds)} now", "red")
    if shot.budget:
        yield _said("budget", " · ".join(_share(*each) for each in shot.budget))
    yield _exact(shot.believed)
    if shot.lag_ms is not None:
        median, most = map(_ms, shot.lag_ms)
        yield _said("", f"loop late by p50 {median}, most {most}, the worst of each of {shot.lag_n} s")
    yield from _verdict(shot.believed)


def _said(title: str, words: str, style: str = "") -> Line:
    return [(title.ljust(9), "dim"), (words, style)]


def _rates(shot: Snapshot) -> Line:
    asked = "" if shot.asked_per_s is None else f"  asked {_per_s(shot.asked_per_s)}"
    over = f", last {shot.looked_s:.0f} s" if shot.looked_s else ""
    dropped = f"  dropped {shot.dropped}" if shot.dropped else ""
    rates = f"  began {_per_s(shot.began_per_s)}  ended {_per_s(shot.ended_per_s)}{over}"
    return _said("load", f"in flight {shot.in_flight:>4}{asked}{rates}{dropped}")


def _latency(title: str, latency: Latency, what: str, width: int) -> Line:
    """The figures, and where there is room their history."""
    figures = f"p50 {_ms(latency.p50_ms):>9}  p95 {_ms(latency.p95_ms):>9}  n {latency.n:>6}"
    known = [value for value in latency.history if value is not None]
    if not known or width < _HISTORY:
        return [*_said(title, figures), (f", {what}", "dim")]
    reach = f"{_ms(min(known))} to {_ms(max(known))}, p50 of each {latency.bucket_s:.0f} s, {what}"
    return [
        *_said(title, figures),
        (f"  {sparks(latency.history):<{BUCKETS}}", "cyan"),
        (f"  {reach}", "dim"),
    ]


_HISTORY = 96


def _share(what: str, used: float, limit: float) -> str:
    match what:
        case "usd":
            return f"{used:.4f} of {limit:g} USD"
        case "minutes":
            return f"{used:.1f} of {limit:g} min"
        case _:
            return f"{used:,.0f} of {limit:,.0f} {what}"


def _exact(believed: Believed | None) -> Line:
    """How far off the times are: by the calibration, and by how late we saw what the kernel had stamped."""
    if believed is None:
        return _said("exact", f"{DASH} no reply has been looked at", "dim")
    known = None if believed.exact.why_not else believed.exact.p99_ms
    exact = "not calibrated" if known is None else f"±{_ms(known)} (p99) by calibration"
    late = DASH if believed.delay_p50_ms is None else f"p50 {_ms(believed.delay_p50_ms)}"
    high = "" if believed.delay_p99_ms is None else f", p99 {_ms(believed.delay_p99_ms)}"
    return _said("exact", f"{exact} · read late by {late}{high}, n = {believed.delay_n:,}")


def _verdict(believed: Believed | None) -> Iterator[Line]:
    """The verdict so far with its first reasons, or why there is none."""
    if believed is None or believed.verdict.word is None:
        yield _said("verdict", f"{DASH} no measured reply has been looked at", "dim")
        return
    word, reasons = believed.verdict.word, believed.verdict.reasons
    line = _said("verdict", f"{word} so far", VERDICTS[word])
    yield [*line, (f", n = {believed.replies} replies", "")]
    for reason in reasons[:_REASONS]:
        yield _said("", shortened(f"{reason.word} ({reason.phase}): {reason.says}", 200), "dim")
    if len(reasons) > _REASONS:
        yield _said("", f"and {len(reasons) - _REASONS} more reasons", "dim")


_REASONS = 2


def _ms(value: float | None) -> str:
    """A time for a narrow column."""
    match value:
        case None:
            return DASH
        case small if small < 10:
            return f"{small:.2f} ms"
        case large if large < 100_000:
            return f"{large:,.0f} ms"
        case huge:
            return f"{huge / 1000:,.0f} s"


def _per_s(rate: float | None) -> str:
    return f"{DASH if rate is None else f'{rate:.1f}':>6}/s"
