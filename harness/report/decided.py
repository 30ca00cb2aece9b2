"""A comparison and a ruling in the terminal: functions from figures to rich renderables."""

from collections.abc import Callable, Iterable, Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from harness.compare.comparison import FOUND, Comparison, Line, Moved, Side
from harness.compare.traces import Divergence
from harness.gate.ruling import Ruling, Word
from harness.grade.states import State
from harness.report.fitting import Fitting, plain
from harness.report.live import several
from harness.report.terminal import DASH, NAME, STYLES, named
from harness.report.visible import shortened
from harness.suite.metric import Metric

_SURE = 0.05
_WORDS = {Word.PASS: "green", Word.FAIL: "red", Word.INCONCLUSIVE: "yellow"}


def comparison(found: Comparison) -> RenderableType:
    """The arms, the metrics with their differences, what moved, and where the replies part."""
    return Group(
        *(named(f"! {flag}", "yellow") for flag in found.flags),
        _sides(found),
        *((Text(""), Fitting(_lines(found))) if found.prompts else ()),
        *_moved(found),
        *_parting(found.divergences),
        *(named(note, "dim") for note in notes(found)),
    )


def ruling(found: Ruling) -> RenderableType:
    """The gate's word, and a line for each rule with its reason."""
    table = plain()
    for title in ("", "rule", "variant", "why"):
        table.add_column(title, overflow="fold")
    for ruled in found.rules:
        table.add_row(
            Text(str(ruled.word), style=_WORDS[ruled.word]),
            named(ruled.rule),
            named(ruled.variant),
            Text(shortened(ruled.reason, 400)),
        )
    heading = Text(f"gate: {found.word}", style=f"bold {_WORDS[found.word]}")
    told = named(f"  {how(found)}", "dim")
    beside = (named(f"! {note}", "yellow") for note in found.notes)
    return Group(table, *beside, heading.append(told))


def how(found: Ruling) -> str:
    """How a gate decided: its chance of a false alarm, its baseline, its looks, what it saved."""
    together = f", {len(found.rules)} rules together" if len(found.rules) > 1 else ""
    alpha = f"false alarms at most {found.alpha:.0%}{together}"
    than = f" · against {found.baseline}" if found.baseline else ""
    if not found.looks:
        return alpha + than
    spent = f"{found.sent} of {found.planned} planned trials sent"
    spent += f", {found.decided} saved" if found.decided else ""
    return f"{alpha}{than} · {found.plan}: {found.looks} looks, {spent}"


def _sides(found: Comparison) -> RenderableType:
    table = plain()
    table.add_column("")
    table.add_column("arm")
    table.add_column("trials", justify="right")
    for state in State:
        title = "errors" if state is State.ERROR else str(state).replace("_", " ")
        table.add_column(title, justify="right")
    for name, side in (("before", found.before), ("after", found.after)):
        table.add_row(name, named(_label(side)), *_states(side))
    return table


def _label(side: Side) -> str:
    phase = "" if side.phase == "main" else f" ({side.phase})"
    return f"{side.label}{phase}"


def _states(side: Side) -> Iterator[Text]:
    yield Text(str(sum(side.states.values())))
    for state in State:
        count = side.states.get(state, 0)
        yield Text(str(count), style=STYLES[state] if count else "dim")


def _lines(found: Comparison) -> RenderableType:
    table = plain()
    table.add_column("metric")
    for title in ("before", "after", "difference", "95 % interval", "p", "n before", "n after", "prompts"):
        table.add_column(title, justify="right")
    table.add_column("note")
    for line in found.lines:
        row = cells(line)
        if row is not None:
            table.add_row(named(line.metric.name), *row)
    return table


def cells(line: Line) -> list[Text] | None:
    """The cells of one metric; None where neither arm has a value of it."""
    of = line.metric
    if (told := line.difference) is not None:
        if told.value is None:
            return None
        missing = ""
        if told.missing and told.at_least is not None and told.at_most is not None:
            missing = f"{told.missing} missing: {_points(told.at_least)} to {_points(told.at_most)} pp"
        note = "; ".join(filter(None, (missing, told.note)))
        count = [str(told.n_before), str(told.n_after), str(told.prompts)]
        change = Text(f"{_points(told.value)} pp", style=_style(of, told.value, told.p))
        ends = _between(told.low, told.high, _points)
        return _row((_share(told.before), _share(told.after)), change, (ends, _p(told.p), *count), note)
    ratio = line.ratio
    if ratio is None or not (ratio.n_before or ratio.n_after):
        return None
    count = [str(ratio.n_before), str(ratio.n_after), str(ratio.groups or DASH)]
    value = DASH if ratio.value is None else f"×{ratio.value:.3f}"
    change = Text(value, style=_style(of, (ratio.value or 1.0) - 1, ratio.p))
    ends = _between(ratio.low, ratio.high, lambda end: f"{end:.3f}")
    was, now = _amount(ratio.before, of), _amount(ratio.after, of)
    return _row((was, now), change, (ends, _p(ratio.p), *count), ratio.note)


def _row(values: Iterable[str], change: Text, rest: Iterable[str], note: str) -> list[Text]:
    return [*map(Text, values), change, *map(Text, rest), Text(note, style="dim")]


def _style(of: Metric, change: float, p: float | None) -> str:
    if p is None or p > _SURE or not change:
        return "none"
    return "green" if (change > 0) == of.higher_is_better else "red"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"


def _share(value: float | None) -> str:
    return DASH if value is None else f"{value:.1%}"


def _amount(value: float | None, of: Metric) -> str:
    if value is None:
        return DASH
    digits = 6 if of.of == "cost_usd" else 1 if value < 1000 else 0
    return f"{value:,.{digits}f} {of.unit.removesuffix(' a trial')}"


def _between(low: float | None, high: float | None, show: Callable[[float], str]) -> str:
    if low is None or high is None:
        return DASH
    return f"{show(low)} to {show(high)}"


def _p(p: float | None) -> str:
    return DASH if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def _moved(found: Comparison) -> Iterator[RenderableType]:
    if not found.moved:
        return
    yield Text("")
    yield Text(f"moved ({FOUND:.0%} of these may be chance, of {found.tested} prompts)", style="bold")
    for each in found.moved:
        yield named(f"  {moved_says(each)}", "green" if each.value > 0 else "red")


def moved_says(each: Moved) -> str:
    """A prompt or a tag that moved: from how many passes to how many, by how much, how sure that is."""
    name = shortened(f"tag {each.name}" if each.tag else each.name, NAME)
    was, now = (f"{passes} of {of}" for passes, of in (each.before, each.after))
    return f"{name}: {was} → {now} ({_points(each.value)} pp, p {_p(each.p)})"


def _parting(found: tuple[Divergence, ...]) -> Iterator[RenderableType]:
    if not found:
        return
    yield Text("")
    yield Text(f"where paired replies first part, of {found[0].of} pairs", style="bold")
    for each in found[:10]:
        usual = "" if each.usual is None else f" · {each.usual:.0%} between repeats before"
        case = shortened(each.case_id, NAME)
        yield named(f"  {each.count:>6} ({each.share:.0%}{usual})  {place(each)}, as in {case}")


def place(each: Divergence) -> str:
    """Where pairs of replies part: which call of which tool, or the answer; nowhere where they do not."""
    return {"none": "nowhere", "answer": "the answer"}.get(
        each.kind, f"{each.kind}, {shortened(each.what, NAME)}"
    )


_LEFT_OUT = {
    "unmatched": "in one arm only",
    "reworded": "asked in other words",
    "regraded": "graded by other checks: their pass rates are not compared",
    "quarantined": "in quarantine",
}


def notes(found: Comparison) -> Iterator[str]:
    """What the figures of a comparison are of, and the prompts that are in none of them."""
    of = "these prompts" if found.question == "suite" else "all questions that these are drawn from"
    if not found.prompts:
        yield "no prompt was asked in both in the same words, so there is nothing to compare"
        yield from _left_out(found)
        return
    yield (
        f"{several(found.prompts, 'prompt')}, paired. Shares: mean over prompts, after minus before, for "
        f"{of}; times and amounts: ratios. p: two-sided, by exchanging the arms."
    )
    yield from _left_out(found)


def _left_out(found: Comparison) -> Iterator[str]:
    for why, which in found.left_out.items():
        more = "" if len(which) <= 3 else f" and {len(which) - 3} more"
        some = ", ".join(shortened(name, NAME) for name in which[:3])
        yield f"{several(len(which), 'prompt')} {_LEFT_OUT[why]}: {some}{more}"
