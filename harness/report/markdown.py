"""A run as Markdown, for a pull request or a CI summary: may it be believed, did the gate pass, what failed.

What is quoted comes from prompts and answers, which may be hostile: nothing of it is markup here, a link, a
picture, or a mention of somebody.
"""

import re
from collections.abc import Iterator
from itertools import islice

from harness.gate.ruling import Ruling, Word
from harness.grade.states import State
from harness.report import fair
from harness.report.outcome import Outcome, Prompt
from harness.report.visible import shortened

LISTED = 20
_SIGNS = {Word.PASS: "✅", Word.FAIL: "❌", Word.INCONCLUSIVE: "⚠️"}
_MARKUP = re.compile(r"([\\`*_\[\]#!|~$])")


def markdown(told: Outcome) -> str:
    """The summary of a run."""
    return "\n".join(_lines(told)) + "\n"


def _lines(told: Outcome) -> Iterator[str]:
    manifest = told.manifest
    word = f": {told.ruling.word}" if told.ruling is not None else ""
    sign = f"{_SIGNS[told.ruling.word]} " if told.ruling is not None else ""
    yield f"## {sign}{escaped(manifest.suite)}{word}"
    yield ""
    if manifest.interrupted or manifest.exit_code is None:
        yield "**The run was interrupted.**"
    if manifest.rerun is not None:
        yield f"**This is {escaped(manifest.rerun.says)}.**  "
    for line in told.verdict_says:
        yield f"{escaped(line)}  "
    yield ""
    if told.ruling is not None:
        yield from _gate(told.ruling)
    yield from _variants(told)
    yield from _shared(told)
    yield from _failures(told)
    yield from _aside(told)
    yield f"Results: `{told.folder.parent.name}/{told.folder.name}`"


def _gate(found: Ruling) -> Iterator[str]:
    yield "| | rule | variant | why |"
    yield "|---|---|---|---|"
    for ruled in found.rules:
        cells = (ruled.rule, ruled.variant, shortened(ruled.reason, 400))
        yield f"| {_SIGNS[ruled.word]} {ruled.word} | {' | '.join(map(escaped, cells))} |"
    yield ""
    for note in found.notes:
        yield f"⚠️ {escaped(note)}"
        yield ""
    if found.looks:
        sent = f"{found.sent} of {found.planned} planned trials were sent"
        yield f"{sent}, {found.decided} saved ({found.looks} looks)."
        yield ""


def _variants(told: Outcome) -> Iterator[str]:
    yield "| variant | prompts | passed | failed | error | invalid | not run |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    for variant in dict.fromkeys(each.variant for each in told.prompts):
        mine = [each for each in told.prompts if each.variant == variant]
        counts = [str(sum(each.state is state for each in mine)) for state in State]
        yield f"| {escaped(variant)} | {len(mine)} | {' | '.join(counts)} |"
    yield ""


def _shared(told: Outcome) -> Iterator[str]:
    """What variants that shared a phase did to each other, and the worst conversation of each."""
    fairness = fair.outstanding(told.fairness)
    said = [f"⚠️ {escaped(line)}  " for line in fair.findings(fairness)]
    said += [f"{escaped(line)}  " for line in fair.remarks(fairness)]
    yield from [*said, ""] if said else []
    rows = list(fair.worst(fairness))
    if rows:
        yield f"| {' | '.join(fair.WORST)} |"
        yield "|" + "---|" * len(fair.WORST)
        yield from (f"| {' | '.join(map(escaped, row))} |" for row in rows[:LISTED])
        yield ""
    if len(rows) > LISTED:
        yield f"and {len(rows) - LISTED} more out of line, in `summary.json`"
        yield ""


def _failures(told: Outcome) -> Iterator[str]:
    bad = told.of_state(State.FAILED, State.ERROR, State.INVALID)
    if not bad:
        return
    prompts = "1 prompt" if len(bad) == 1 else f"{len(bad):,} prompts"
    yield f"<details><summary>{prompts} did not pass</summary>"
    yield ""
    for each in islice(bad, LISTED):
        yield f"- {_named(each)}: {escaped(shortened(each.reason, 240))} ({each.repeats})"
    if len(bad) > LISTED:
        yield f"- and {len(bad) - LISTED} more"
    yield ""
    yield "</details>"
    yield ""


def _aside(told: Outcome) -> Iterator[str]:
    held = [each for each in told.prompts if each.quarantined is not None]
    for each in held:
        yield f"In quarantine until {each.quarantined}: {_named(each)} ({each.repeats})  "
    for warning in told.manifest.warnings:
        yield f"⚠️ {escaped(warning)}  "
    if held or told.manifest.warnings:
        yield ""


def _named(each: Prompt) -> str:
    return f"**{each.state}** {escaped(each.case_id)} \\[{escaped(each.variant)}\\]"


def escaped(text: str) -> str:
    """*text* in one line, as it is: no markup, no HTML, no mention, nothing that a reader would follow."""
    plain = shortened(text, 2_000).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    marked = _MARKUP.sub(r"\\\1", plain)
    return marked.replace("@", "@\u2060").replace("://", ":\u2060//").replace("www.", "www\u2060.")
