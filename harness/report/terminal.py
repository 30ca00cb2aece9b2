"""The summary of a run as a table in the terminal.

Functions from figures to rich renderables; `harness.cli` prints them. A figure
that is missing is a dash, and a line beneath says why.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Literal

from rich.console import Group, RenderableType
from rich.text import Text

from harness.audit import Word as Effect
from harness.grade.states import State
from harness.report import fair
from harness.report.fitting import Fitting, plain
from harness.report.visible import shortened, visible
from harness.stats.judges import Rate
from harness.stats.quantiles import least_count
from harness.summarise.summary import CheckRow, Figure, LoadRow, Row, Summary
from harness.verdict.word import Verdict, Word

DASH = "–"

NotPassed = tuple[str, str, str, str]
"""State, case, variant and reason of one trial."""


NAME = 120
"""Characters of a name that are shown: one may come from a data set, or from a server."""


def named(text: str, style: str = "") -> Text:
    """A name or a line as it is written: rich would read [...] of a str as markup, and pass escapes on."""
    return Text(visible(text), style=style)


def summary_table(summary: Summary) -> RenderableType:
    """A row per variant (and phase, where there are several), and what a reader must know beside it.

    To be printed with ``crop=False``: a terminal may be narrower than a table.
    """
    phases = len({row.phase for row in summary.rows}) > 1
    table = Fitting(
        _variants(summary.rows, phases=phases), _variants(summary.rows, phases=phases, narrow=True)
    )
    loads = [_loads(summary.loads)] if summary.loads else []
    checks = [_checks(summary, phases=phases)] if summary.checks else []
    alarms = (named(line, STYLES[State.INVALID]) for line in ignored(summary))
    away = {one.says: STYLES[State.ERROR] for one in summary.outages}
    beneath = (named(note, away.get(note, "dim")) for note in notes(summary))
    decided = (named(line) for line in (*reductions(summary), *judged(summary)))
    return Group(table, *loads, *_shared(summary), *checks, *decided, *alarms, *beneath)


_RARE = {State.ERROR: "errors", State.INVALID: "invalid", State.NOT_RUN: "not run"}


def _variants(rows: Iterable[Row], *, phases: bool, narrow: bool = False) -> RenderableType:
    """A line per variant; *narrow*: headings are folded, and states that no trial is in are said beneath."""
    rows = list(rows)
    none = [
        title for state, title in _RARE.items() if narrow and not any(getattr(row, state) for row in rows)
    ]
    titles = ["variant", "trials", "passed", "failed", *_RARE.values()]
    titles += ["TTFT p50", "TTFT p95", "answer tokens/s p50", "tool calls"]
    table = plain()
    for title in titles:
        folded = title.replace(" ", "\n") if narrow else title
        side: Literal["left", "right"] = "left" if title == "variant" else "right"
        if title not in none:
            table.add_column(folded, justify=side, vertical="bottom")
    for row in rows:
        told = zip(titles, _cells(row, phases=phases), strict=True)
        table.add_row(*(cell for title, cell in told if title not in none))
    return Group(table, Text(f"{', '.join(none)}: 0", style="dim")) if none else table


def _shared(summary: Summary) -> Iterator[RenderableType]:
    """What variants that shared a phase did to each other, and the worst conversation of each."""
    told = fair.outstanding(summary.fairness)
    if rows := list(fair.worst(told)):
        table = plain()
        for title in fair.WORST:
            table.add_column(title, justify="right" if title in {"took", "times", "n", "after"} else "left")
        for row in rows[:LISTED]:
            table.add_row(*map(named, row))
        yield table
        if len(rows) > LISTED:
            yield Text(
                f"and {len(rows) - LISTED} more conversations out of line, in summary.json", style="dim"
            )
    yield from (named(line, "yellow") for line in fair.findings(told))
    yield from (named(line, "dim") for line in fair.remarks(told))


_ASKED = ("\narrivals", "asked\n/s", "began\n/s", "goodput\n/s", "\ndelayed", "\ndropped")
_TIMES = (
    *(f"{kind}\nTTFT {level}" for kind in ("service", "response") for level in ("p50", "p95", "p99")),
    "response\ntotal p95",
)


def _loads(rows: Iterable[LoadRow]) -> RenderableType:
    """A line for each open phase: what was asked of it, and service beside response time, or below it."""
    told = [(row.phase, tuple(_asked(row)), tuple(_took(row))) for row in rows]
    asked = _by_load(_ASKED, ((phase, asked) for phase, asked, _ in told))
    took = _by_load(_TIMES, ((phase, took) for phase, _, took in told))
    both = _by_load((*_ASKED, *_TIMES), ((phase, asked + took) for phase, asked, took in told))
    return Fitting(both, Group(asked, took))


def _by_load(titles: Iterable[str], rows: Iterable[tuple[str, tuple[str, ...]]]) -> RenderableType:
    table = plain()
    table.add_column("\nload")
    for title in titles:
        table.add_column(title, justify="right")
    for phase, cells in rows:
        table.add_row(named(phase), *cells)
    return table


def _asked(row: LoadRow) -> Iterator[str]:
    yield str(row.arrivals)
    for rate in (row.asked_per_s, row.began_per_s, row.goodput_per_s):
        yield f"{rate:,.1f}" if rate is not None else DASH
    yield str(row.delayed)
    yield str(row.dropped)


def _took(row: LoadRow) -> Iterator[str]:
    figures = (*row.service["ttft"].values(), *row.response["ttft"].values(), row.response["total"]["p95"])
    return (_number(figure, "ms") for figure in figures)


LISTED = 20
"""Lines of the table of checks: those with most failures come first, and summary.json has all."""


def _checks(summary: Summary, *, phases: bool) -> RenderableType:
    """A line for each check of each variant that failed somewhere, could not be graded, or has a score."""
    told = [row for row in summary.checks if _tells(row)]
    if not told:
        count = sum(row.passed for row in summary.checks if row.deciding)
        return Text("checks: 1 passed" if count == 1 else f"checks: all {count:,} passed", style="dim")
    table = plain()
    table.add_column("\ncheck")
    table.add_column("\nvariant")
    for title in ("\npassed", "\nfailed", "not\ngraded", "mean\nscore"):
        table.add_column(title, justify="right")
    worst = sorted(told, key=lambda row: (-row.failed, -row.ungraded))
    for row in worst[:LISTED]:
        name = row.type if row.metric is None else f"{row.metric} ({row.type})"
        table.add_row(
            named(name if row.deciding else f"{name}, decides nothing itself"),
            _arm(row, phases=phases),
            str(row.passed),
            Text(str(row.failed), style=STYLES[State.FAILED] if row.failed and row.deciding else "dim"),
            Text(str(row.ungraded), style=STYLES[State.ERROR] if row.ungraded else "dim"),
            DASH if row.score is None else f"{row.score:.3f}",
        )
    more = len(told) - LISTED
    return Group(table, Text(f"and {more} more checks, in summary.json", style="dim")) if more > 0 else table


def _tells(row: CheckRow) -> bool:
    """Whether a check is worth a line: it failed somewhere, could not be graded, or has a score below 1."""
    return bool(row.ungraded or (row.deciding and (row.failed or row.score != 1.0)))


def reductions(summary: Summary) -> Iterator[str]:
    """A line for each reduction of each variant: how many prompts it holds for, or its mean."""
    for row in summary.reduced:
        value = DASH if row.value is None else f"{row.value:.3f}"
        if row.passed or row.failed or row.undecided:
            left = f", {row.undecided} undecided" if row.undecided else ""
            told = f"{row.passed} of {row.prompts} prompts{left}; mean {value}"
        else:
            told = f"{value} over {row.n} of {row.prompts} prompts"
        yield f"{row.reduce} [{row.variant}]: {told}"


def judged(summary: Summary) -> Iterator[str]:
    """What labels say of each check's judge, and what its pass rates come to with its mistakes taken out."""
    said: set[str] = set()
    for row in summary.judges:
        of = row.agreement
        if row.check not in said:
            said.add(row.check)
            yield (
                f"judge of {row.check}, by {of.n} labels: sensitivity {_rate(of.sensitivity)}, "
                f"specificity {_rate(of.specificity)}, kappa {_rate(of.kappa, digits=2)}"
            )
        fixed = row.corrected
        if fixed.value is None or fixed.low is None or fixed.high is None:
            told = f"cannot be corrected: {fixed.why_none}"
        else:
            clipped = ", clipped" if fixed.clipped else ""
            told = f"corrected {fixed.value:.1%} ({fixed.low:.1%} to {fixed.high:.1%}{clipped})"
        yield f"  {row.variant}: the judge passes {row.pass_rate:.1%} of {row.n}; {told}"


def _rate(rate: Rate, *, digits: int = 0) -> str:
    if rate.value is None:
        return DASH
    shown = "{:.2f}" if digits else "{:.0%}"
    told = shown.format(rate.value)
    if rate.low is None or rate.high is None:
        return told
    return f"{told} ({shown.format(rate.low)} to {shown.format(rate.high)})"


def notes(summary: Summary) -> Iterator[str]:
    """The lines beneath the table: when the target was away, counts and definitions of what stands in it."""
    yield from (one.says for one in summary.outages)
    values = sum(row.ttft_p50_ms.n for row in summary.rows)
    yield (
        f"TTFT: from the turn being sent to the first packet of answer text, ms; n = {values} exchanges. "
        "Tokens: o200k estimate."
    )
    yield from _of_loads(summary)
    yield from _why_dashes(summary.rows)
    if summary.faults:
        yield "faults: " + ", ".join(f"{fault} {count}" for fault, count in summary.faults.items())
    retried = sum(row.retried for row in summary.rows)
    if retried:
        yield f"{retried} exchanges were sent again after a fault; they are in no latency figure."
    if summary.stamps.get("user"):
        yield f"{summary.stamps['user']} exchanges have our stamps, not the kernel's: our delay is in them."
    if summary.unstopped:
        yield (
            f"{summary.unstopped} cut replies could not be stopped: "
            "the server may still be working on them, and spending."
        )
    yield from _masked(summary)
    if summary.unknown_kinds:
        kinds = ", ".join(f"{shortened(kind, NAME)} {count}" for kind, count in summary.unknown_kinds.items())
        yield f"packets of unknown kinds, kept and passed over: {kinds}"
    for held in summary.quarantined:
        yield (
            f"in quarantine until {held.until}, decides nothing: "
            f"{shortened(held.case_id, NAME)} [{held.variant}], {held.passed} passed, {held.failed} failed"
        )
    yield from _left_open(summary)


def _of_loads(summary: Summary) -> Iterator[str]:
    if summary.loads:
        yield "Service time is from the sending of a turn, response time from when it was due."
    if any(shared.worst for shared in fair.outstanding(summary.fairness)):
        yield fair.says_worst()


def _masked(summary: Summary) -> Iterator[str]:
    if summary.masked:
        yield (
            f"{summary.masked_replies} replies had {summary.masked} stretches masked before anything of them "
            "was kept: by redact:, or because they repeated a key."
        )


def verdict_lines(verdict: Verdict) -> Iterator[Text]:
    """May the run be believed, and why not; the target beside our own source, where both were asked."""
    match verdict.word:
        case None:
            yield Text("verdict: none, since nothing was measured", style="dim")
        case word:
            yield Text(f"verdict: {word}", style=VERDICTS[word])
    for reason in verdict.reasons:
        yield named(f"  {reason.word} ({reason.phase}): {reason.says}", VERDICTS[reason.word])
    for signs in verdict.signs:
        if verdict.reasons and signs.target_p50_ms is not None and signs.own_p50_ms is not None:
            yield named(
                f"  control requests ({signs.phase}), p50: target {signs.target_p50_ms:.1f} ms, "
                f"our own source {signs.own_p50_ms:.1f} ms",
                "dim",
            )
    for unknown in verdict.unknown:
        yield named(f"  not known: {unknown}", "dim")


def exactness(calibration: Mapping[str, Any] | None) -> Iterator[Text]:
    """How far off the stamps of a run are, by the calibration of its machine."""
    if not calibration:
        return
    if (why := calibration["why_not"]) or calibration["p99_ms"] is None:
        yield Text(f"exactness: not known; {why or 'too few packets were measured'}", style="dim")
    else:
        yield Text(
            f"exactness: stamps ±{calibration['p50_ms']:.3f} ms (p50), ±{calibration['p99_ms']:.3f} ms (p99) "
            f"as calibrated at {calibration['packets_per_s']:,.0f} packets/s in {calibration['streams']} "
            f"streams, n = {calibration['n']:,}",
            style="dim",
        )


def spending(spent: Mapping[str, float]) -> Iterator[str]:
    """What a run cost, where that was looked after."""
    if "estimated_tokens" in spent:
        usd = spent["estimated_usd"]
        money = f", {usd:.4f} USD" if usd else ""
        yield (
            f"spent: {spent['estimated_tokens']:,.0f} tokens{money} by what is on the wire (o200k estimate)"
        )
    if "server_tokens" in spent:
        yield f"Sigma itself counted {spent['server_tokens']:,.0f} tokens, {spent['server_usd']:.4f} USD"


VERDICTS = {
    Word.VALID: "green",
    Word.DEGRADED: "yellow",
    Word.SERVER_SATURATED: "red",
    Word.CLIENT_BOUND: "red",
}


def ignored(summary: Summary) -> Iterator[str]:
    """A line for each setting that was ignored: what was asked, and what was found instead."""
    for one in summary.ignored:
        model = one.setting.startswith("llm_override") and not one.setting.endswith(".temperature")
        yield (
            f"{one.setting} was ignored in {one.trials} of {one.of} trials of {one.variant}: "
            f"asked {shortened(one.asked, NAME)}, "
            f"{'answered by' if model else 'seen'} {shortened(one.seen, NAME)}"
        )


_OPEN = (Effect.NOT_SHOWN, Effect.NOT_EXERCISED)


def _left_open(summary: Summary) -> Iterator[str]:
    """A line for each setting whose effect was not seen everywhere, over all variants."""
    totals: dict[str, Counter[str]] = {}
    for settings in summary.audits.values():
        for setting, words in settings.items():
            totals.setdefault(setting, Counter()).update(words)
    for setting, words in totals.items():
        told = [f"{word} in {words[word]}" for word in _OPEN if words[word]]
        if told:
            yield f"audit: {setting} {', '.join(told)} of {words.total()} trials"


def _why_dashes(rows: Iterable[Row]) -> Iterator[str]:
    known = [(row.ttft_p50_ms, row.ttft_p95_ms) for row in rows]
    if any(p50.n == 0 for p50, _ in known):
        yield f"{DASH} no TTFT where no reply that counts streamed an answer."
    if any(p50.value is None and p50.n for p50, _ in known):
        yield f"{DASH} p50 needs {least_count(500)} values."
    if any(p95.value is None and p95.n for _, p95 in known):
        yield f"{DASH} p95 needs {least_count(950)} values; more of them with --repeat."


def reasons(not_passed: Iterable[NotPassed], limit: int = 12) -> Iterator[Text]:
    """A line for each case and variant that did not pass, with its first reason; repeats are counted."""
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for state, case, variant, reason in not_passed:
        grouped.setdefault((state, case, variant), []).append(reason)
    for (state, case, variant), why in islice(grouped.items(), limit):
        times = f" ×{len(why)}" if len(why) > 1 else ""
        line = Text(f"{state:<8}", style=STYLES[State(state)])
        who = f"{shortened(case, NAME)} [{shortened(variant, NAME)}]"
        yield line.append(f"{who}{times}: {shortened(why[0], 240)}", style="none")
    if len(grouped) > limit:
        yield Text(f"and {len(grouped) - limit} more, in trials.parquet", style="dim")


STYLES = {
    State.PASSED: "green",
    State.FAILED: "red",
    State.ERROR: "red",
    State.INVALID: "magenta",
    State.NOT_RUN: "yellow",
}


def _arm(row: Row | CheckRow, *, phases: bool) -> Text:
    return named(f"{row.variant} ({row.phase})" if phases else row.variant)


def _cells(row: Row, *, phases: bool) -> Iterator[RenderableType]:
    yield _arm(row, phases=phases)
    yield str(row.trials)
    for state in State:
        count = getattr(row, state)
        yield Text(str(count), style=STYLES[state] if count else "dim")
    yield _number(row.ttft_p50_ms, "ms")
    yield _number(row.ttft_p95_ms, "ms")
    yield _number(row.tokens_per_s_p50)
    yield str(row.tool_calls) + (f" ({row.tool_errors} failed)" if row.tool_errors else "")


def _number(figure: Figure, unit: str = "") -> str:
    if figure.value is None:
        return DASH
    digits = 1 if figure.value < 100 else 0
    return f"{figure.value:,.{digits}f} {unit}".rstrip()
