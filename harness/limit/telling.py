"""A search for people: its probes as a table, the curve of what they found, and the answer."""

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from harness.limit.deciding import Finding
from harness.limit.probing import Probe
from harness.limit.seeking import Found
from harness.limit.slo import Term
from harness.report.fitting import plain
from harness.report.terminal import DASH, VERDICTS, named
from harness.verdict.word import Word

_STYLES = {"holds": "green", "past": "red", "client": "yellow", "stopped": "yellow"}
_BAR = 32
_FULL = "█"


def lines_of(found: Found, terms: tuple[Term, ...]) -> Iterator[Text]:
    """What stands beneath the table: why each probe was decided as it was, the curve, and the answer."""
    yield Text(
        "figure (broke/n): of n observations so many broke the term; what failed broke it. Decided early: "
        "before the longest time was over.",
        style="dim",
    )
    for each in found.probes:
        yield named(f"  {each.number}  {each.why}", "dim")
    for term in terms[:1] if found.probes else ():
        yield from curve_of(found, term)
    for note in found.notes:
        yield named(f"note: {note}", "yellow")
    yield named(found.says, "bold")


def probes_table(found: Found, terms: tuple[Term, ...]) -> Table:
    """A line for each probe, in the order in which they were asked."""
    table = plain()
    unit = "/s" if found.kind == "rate" else "workers"
    for title in ("\n#", f"asked\n{unit}", "began\n/s", "\ntrials", "\ns"):
        table.add_column(title, justify="right")
    for term in terms:
        table.add_column(named(f"{term.told}\nfigure (broke/n)"), justify="right")
    for title in ("\nverdict", "\nanswer", "\ndecided"):
        table.add_column(title)
    for each in found.probes:
        by_name = {finding.term: finding for finding in each.findings}
        table.add_row(
            str(each.number),
            f"{each.load:g}",
            DASH if each.began_per_s is None else f"{each.began_per_s:.1f}",
            str(each.trials),
            f"{each.seconds:.0f}",
            *(_figure(term, by_name.get(term.told)) for term in terms),
            DASH if each.verdict is None else Text(each.verdict, style=VERDICTS[Word(each.verdict)]),
            Text(each.word, style=_STYLES[each.word]),
            _when(each),
        )
    return table


def _when(probe: Probe) -> str:
    at = "early" if probe.early else "at its end"
    return f"{at}, asked for longer" if probe.longer else at


def _figure(term: Term, finding: Finding | None) -> str:
    if finding is None or not finding.n:
        return DASH
    if finding.n < term.least:
        return f"{DASH} ({finding.broke}/{finding.n})"
    return f"{value_told(term, finding.value)} ({finding.broke}/{finding.n})"


def value_told(term: Term, value: float | None) -> str:
    """A figure in its unit; one that lies among those that failed, or never came, is over its bound."""
    match term.metric.unit:
        case "share":
            return DASH if value is None else f"{value:.1%}"
        case "ms":
            return f">{term.bound:,.0f} ms" if value is None else f"{value:,.0f} ms"
        case unit:
            return DASH if value is None else f"{value:,.1f} {unit}"


def curve_of(found: Found, term: Term) -> Iterator[Text]:
    """A bar for each load, from the lowest: the figure of *term*, up to twice its bound, which is marked."""
    bound = term.allowed if term.bound is None or term.metric.is_share else term.bound
    yield named(f"{term.told} by load; ┊ is the limit", "dim")
    last = {each.load: each for each in found.probes}
    for load in sorted(last):
        probe = last[load]
        finding = next((each for each in probe.findings if each.term == term.told), None)
        if finding is None or finding.n < term.least:
            continue
        value = finding.share if term.metric.is_share else finding.value
        shown = 2.0 if value is None else min(2.0, value / bound) if bound else 2.0
        bar = (_FULL * round(shown * _BAR / 2)).ljust(_BAR)
        marked = bar[: _BAR // 2] + "┊" + bar[_BAR // 2 :]
        yield Text.assemble(
            f"{load:>8g}  ",
            (marked, _STYLES[probe.word]),
            f"  {value_told(term, finding.value)}  {probe.word}",
        )
