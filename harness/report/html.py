"""A run as one HTML file that opens offline: whether to believe it first, then figures, charts and failures.

Nothing in it asks the network for anything: styles, script and charts are inline, and its security policy
allows nothing else, the script by its hash. So a hostile answer that got past the escaping could still do
nothing. The file stays below 3 MiB whatever the run came to: the texts of conversations are cut
first, then tables, then conversations are left out, then charts, and the page says so.
"""

from base64 import b64encode
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from shlex import join
from typing import Any, NamedTuple

from harness import __version__
from harness.compare.comparison import Comparison
from harness.grade.states import State
from harness.record.store import Manifest
from harness.record.tables import scan
from harness.report import decided, fair, figures, pages
from harness.report.nodes import clock_lines
from harness.report.outcome import Prompt
from harness.report.story import ROWS, Story
from harness.report.terminal import exactness, ignored, judged, notes, reductions, spending
from harness.report.visible import LONGEST as CUT
from harness.stats.quantiles import least_count
from harness.summarise.summary import CheckRow, Row
from harness.verdict.word import Word

LIMIT_MIB = 3
LIMIT = LIMIT_MIB * 1024 * 1024


class Room(NamedTuple):
    """What a page has room for: so many characters of a text, and so many rows of a table."""

    longest: int
    rows: int


_ROOMS = (
    Room(CUT, ROWS),
    Room(6_000, ROWS),
    Room(2_000, ROWS),
    Room(500, ROWS),
    Room(500, 100),
    Room(0, 100),
)
_LEAST_ROOMS = (Room(0, 30), Room(0, 10))
"""Each is tried where the page is too large with the one before; between the two, charts go."""


_SECTIONS = {
    "verdict": "Verdict",
    "what": "What is compared",
    "variants": "Variants",
    "pairs": "Variants",
    "charts": "Charts",
    "tools": "Tools",
    "prompts": "Prompts",
    "baseline": "Baseline",
    "failures": "Failures",
    "audit": "Audit",
    "environment": "Environment",
    "definitions": "Definitions",
}
"""What a page may have, in its order: the anchor and the name of each section."""


class Drawn(NamedTuple):
    """A chart as a page holds it: drawn for a desk and for a phone, and what its figures are."""

    name: str
    title: str
    says: str
    wide: str
    narrow: str | None


@dataclass(frozen=True, slots=True)
class Beside:
    """What a page tells of a run beside the run itself: *drawn* charts, and how it compares to its baseline.

    *not_compared* says why there is no comparison, where there should be one.
    """

    drawn: Sequence[Drawn] = ()
    compared: Sequence[Comparison] = ()
    not_compared: str = ""


def page(told: Story, beside: Beside | None = None) -> str:
    """The whole page of a run, below 3 MiB."""
    beside = beside or Beside()
    values = _of_run(told) | _of_failures(told)
    values |= {"compared": beside.compared, "not_compared": beside.not_compared}
    missing = {"what", "pairs"}
    missing |= {"charts"} if not beside.drawn else set()
    missing |= {"tools"} if not values["tools"] else set()
    missing |= {"baseline"} if not (beside.compared or beside.not_compared) else set()
    values["sections"] = sections(_SECTIONS.keys() - missing)
    return fitting("report.html", values, beside.drawn)


def sections(there: Collection[str]) -> list[tuple[str, str]]:
    """The anchors and names of the sections that are *there*, in their order."""
    return [(anchor, name) for anchor, name in _SECTIONS.items() if anchor in there]


def fitting(template: str, values: Mapping[str, Any], drawn: Sequence[Drawn]) -> str:
    """*template* with *values*, and of conversations, tables and *drawn* as much as stays below the limit."""
    made, text = environment(), ""
    for room, charts in _tries(len(drawn)):
        left_out = {"drawn": drawn[:charts], "undrawn": len(drawn) - charts}
        text = pages.render(made, template, **values, **left_out, **room._asdict())
        if len(text.encode()) <= LIMIT:
            break
    return text


def _tries(charts: int) -> Iterator[tuple[Room, int]]:
    """From everything to the least, each a room and a number of charts."""
    yield from ((room, charts) for room in _ROOMS)
    yield from ((_ROOMS[-1], count) for count in range(charts - 1, -1, -1))
    yield from ((room, 0) for room in _LEAST_ROOMS)


def environment() -> Any:
    """The pages' environment, with what the templates of the report call."""
    made = pages.environment()
    script, styles = _asset("report.js"), _asset("look.css") + _asset("report.css")
    made.globals |= {
        "version": __version__,
        "script": pages.ours(script),
        "script_digest": b64encode(sha256(script.encode()).digest()).decode(),
        "styles": pages.ours(styles),
        "states": [str(state) for state in State],
        "whole": _ROOMS[0],
        "limit_mib": LIMIT_MIB,
        "cells": decided.cells,
        "notes_of": decided.notes,
        "how": decided.how,
        "moved_says": decided.moved_says,
        "place": decided.place,
        "least": least_count,
        "row_counts": row_counts,
        "rank": _rank,
        "cell_says": _cell_says,
    }
    return made


def _asset(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")


def _of_run(told: Story) -> dict[str, Any]:
    outcome, summary = told.outcome, told.summary
    manifest, tables = outcome.manifest, partial(scan, folder=outcome.folder)
    rows = [row_counts(row) for row in summary.rows]
    return {
        "title": f"{manifest.suite} {manifest.run_id}",
        "story": told,
        "manifest": manifest,
        "verdict": outcome.verdict,
        "ruling": outcome.ruling,
        "phases": told.phases,
        "began": began(manifest),
        "took": took(manifest),
        "believed": _BELIEVED,
        "exactness": [*map(str, exactness(manifest.calibration)), *map(str, clock_lines(manifest.nodes))],
        "exit_says": exit_says(manifest),
        "counts": {str(state): sum(row[state] for row in rows) for state in State},
        "trials": sum(row.trials for row in summary.rows),
        "ignored": list(ignored(summary)),
        "confirmed": [str(each.get("says", "")) for each in manifest.confirmed or ()],
        "spending": list(spending(manifest.spent)),
        "notes": list(notes(summary)),
        "priced": any(each.cost.replies for each in told.variants),
        "tools": figures.tools(tables).to_dicts(),
        "waterfall": figures.waterfall(tables).to_dicts(),
        "checks": sorted(filter(_tells, summary.checks), key=lambda row: (-row.failed, -row.ungraded)),
        "reduced": list(reductions(summary)),
        "judged": list(judged(summary)),
        "slowed": list(fair.findings(summary.fairness)),
        "shared": list(fair.remarks(summary.fairness)),
        "worst": list(fair.worst(summary.fairness)),
        "worst_heads": fair.WORST,
        "facts": list(facts(told)),
        "command": command(manifest),
    }


def _of_failures(told: Story) -> dict[str, Any]:
    shown = told.failures
    return {
        "failures": shown,
        "anchors": {
            (each.prompt.case_id, each.prompt.variant, each.prompt.phase): each.anchor for each in shown
        },
        "failed_states": list(dict.fromkeys(str(each.prompt.state) for each in shown)),
        "failed_variants": list(dict.fromkeys(each.prompt.variant for each in shown)),
    }


def row_counts(row: Row) -> dict[State, int]:
    """How many trials of a variant are in each state."""
    return {state: int(getattr(row, state)) for state in State}


def _tells(row: CheckRow) -> bool:
    return bool(row.ungraded or (row.deciding and (row.failed or row.score != 1.0)))


def _rank(cell: Prompt) -> int:
    """How bad a cell is, for sorting: the worst first."""
    return (State.FAILED, State.ERROR, State.INVALID, State.NOT_RUN, State.PASSED).index(cell.state)


def _cell_says(cell: Prompt) -> str:
    """What the repeats of a prompt came to: 3 of 4 passed, and how many did neither."""
    passed, failed = cell.counts[State.PASSED], cell.counts[State.FAILED]
    told = [f"{passed} of {passed + failed}"] if passed + failed else []
    others = (State.ERROR, State.INVALID, State.NOT_RUN)
    told += [f"{cell.counts[state]} {pages.words(state)}" for state in others if cell.counts[state]]
    told += ["in quarantine"] if cell.quarantined else []
    return ", ".join(told)


def began(manifest: Manifest) -> str:
    """When a run began, in UTC."""
    return f"{datetime.fromisoformat(manifest.started_at).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def took(manifest: Manifest) -> str:
    """How long a run took; not known of one that was killed."""
    if manifest.ended_ns is None:
        return "not known: it did not end"
    told = _spoken((manifest.ended_ns - manifest.started_ns) / 1e9)
    if not manifest.resumed:
        return told
    between = _spoken(sum(leg.left_out_ns for leg in manifest.resumed) / 1e9)
    times = "once" if len(manifest.resumed) == 1 else f"{len(manifest.resumed)} times"
    return f"{told}, resumed {times}; the {between} between are in no figure"


def _spoken(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def exit_says(manifest: Manifest) -> str:
    """What the exit code of a run means."""
    by_rules = manifest.gate is not None
    match manifest.exit_code:
        case None:
            return "The run goes on, or was killed."
        case 0:
            return "Every rule of the gate passed." if by_rules else "Everything that decides passed."
        case 1:
            return "A rule of the gate failed." if by_rules else "Something failed."
        case 3 if by_rules:
            return "The gate is inconclusive, or the run is not whole or not to be believed."
        case 3:
            return "Something ended in an error, was invalid or was not run, or the run was interrupted."
        case code:
            return f"It ended with exit code {code}."


_BELIEVED = {
    str(Word.VALID): "Yes: neither our own side nor the server gave a sign of being overrun.",
    str(Word.DEGRADED): "With care: something was not as it should be, and its reason is below.",
    str(Word.SERVER_SATURATED): "Not its latencies: the server was asked for more than it does.",
    str(Word.CLIENT_BOUND): "Not its latencies: our own machine was too slow to measure them.",
}


def facts(told: Story) -> Iterator[tuple[str, str]]:
    """The environment of a run, as terms and what is known of them."""
    manifest, summary = told.outcome.manifest, told.summary
    mark = manifest.fingerprint
    yield from ((name, value) for name, value in manifest.versions.items())
    yield "target", f"{manifest.target} (dialect {manifest.dialect})"
    if mark is not None:
        yield "version of the target", mark.version or "it does not say"
        yield "account", mark.account or "it does not say"
        yield "fingerprint of the target", mark.digest
        yield (
            "parts of it",
            ", ".join(f"{name} {value or 'not to be had'}" for name, value in mark.parts.items()),
        )
    yield "changed while it ran", ", ".join(manifest.changed) or "nothing"
    yield "judge", manifest.judge or "none"
    yield "embeddings", manifest.embeddings or "none"
    stamps = ", ".join(f"{count:,} {whose}" for whose, count in summary.stamps.items())
    yield "stamps", stamps or "none: no reply came"
    merged = summary.merged_share
    yield "merged reads", f"{pages.share(merged.value)} of {merged.n:,} reads brought several packets"
    yield "clock", f"{manifest.clock}; the wall clock was set {manifest.clock_steps} times meanwhile"
    yield "suite", manifest.suite_path
    ids = {"trials": f"{len(manifest.choice.get('trials') or ()):,} by their ids"}
    chosen = {name: ids.get(name, value) for name, value in manifest.choice.items() if value}
    yield "chosen of it", ", ".join(f"{name} {value}" for name, value in chosen.items()) or "all"
    yield "tables", f"schema version {manifest.schema_version}"


def command(manifest: Manifest) -> str:
    """The command that runs the same again."""
    chosen = manifest.choice
    words = ["harness", "run", manifest.suite_path, "--seed", str(manifest.seed)]
    for option, name in (("--variant", "variants"), ("--prompt", "prompts"), ("--only", "tags")):
        words += [word for value in chosen.get(name) or () for word in (option, str(value))]
    for option, name in (("--repeat", "repeat"), ("--limit", "limit")):
        is_given = chosen.get(name) and not (name == "repeat" and manifest.rerun)
        words += [option, str(chosen[name])] if is_given else []
    if manifest.rerun is not None:
        words += ["--rerun", ",".join(manifest.rerun.states), "--of", manifest.rerun.of]
    asked = manifest.options
    for option, name in (("--target", "target"), ("--workers", "workers"), ("--baseline", "baseline")):
        words += [option, str(asked[name])] if asked.get(name) else []
    flags = {"--gate": asked.get("gate"), "--fail-fast": asked.get("fail_fast")}
    return join([*words, *(flag for flag, given in flags.items() if given)])
