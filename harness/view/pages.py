"""What each page shows: from a run and the parameters of its URL to the values of its template."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import polars as pl
from starlette.datastructures import QueryParams

from harness import listing
from harness.grade.states import State
from harness.listing import Asked, Heads
from harness.record.places import quiet_s
from harness.report import fair
from harness.report.live import duration
from harness.report.outcome import judged
from harness.report.pages import ours
from harness.report.visible import shortened
from harness.stats.quantiles import least_count, quantile
from harness.view import compared, texts, trials
from harness.view import trial as one_trial
from harness.view.charted import Drawings
from harness.view.seen import Seen

SHOWN: dict[str, Any] = {
    "duration": duration,
    "short": shortened,
    "utc": listing.utc,
    "placement": one_trial.placement,
    "is_cut": one_trial.cut,
    "states": trials.STATES,
    "enough": least_count,
}
"""What every template may call."""

VERDICTS = ("valid", "degraded", "server-saturated", "client-bound")


def runs(results: Path, query: QueryParams, heads: Heads) -> dict[str, Any]:
    """The list of runs."""
    asked = Asked(
        suite=query.get("suite", ""),
        text=query.get("text", "").strip(),
        verdict=query.get("verdict", ""),
        page=trials.number(query.get("page", "")),
    )
    found = listing.runs(results, asked, heads)
    return {
        "results": results.name,
        "asked": asked,
        "runs": found,
        "verdicts": VERDICTS,
        "live": any(entry.standing == "going" for entry in found.entries),
        "page_url": _pages(query),
    }


def run(seen: Seen, query: QueryParams) -> dict[str, Any]:
    """A run: its verdict, its figures, its trials."""
    want = trials.wanted({name: query.getlist(name) for name in query})
    verdict, ruling = judged(seen.manifest)
    return {
        **_of_run(seen),
        "verdict": verdict,
        "ruling": ruling,
        "summary": seen.summary,
        **_fairness(seen),
        "want": want,
        "choices": trials.choices(seen),
        "sorts": trials.SORTS,
        "trials": trials.listed(seen, want),
        "tools": list(_tools(seen)),
        "page_url": _pages(query),
        "charts": seen.progress is None,
        "has_report": (seen.place.folder / "report.html").is_file(),
        "pairs": _pairs(seen),
        "filtered": bool(set(query) - {"page", "sort"}),
    }


def _of_run(seen: Seen) -> dict[str, Any]:
    """What every page of a run shows of it."""
    return {
        "run": seen,
        "place": seen.place,
        "manifest": seen.manifest,
        "live": seen.standing == "going" or (seen.progress is not None and seen.progress.behind),
        "quiet": duration(quiet_s(seen.place.folder)) if seen.standing == "silent" else "",
    }


def _fairness(seen: Seen) -> dict[str, Any]:
    """What variants that shared a phase did to each other; a run that goes on has none yet."""
    told = seen.summary.fairness if seen.summary else ()
    return {
        "slowed": list(fair.findings(told)),
        "remarks": list(fair.remarks(told)),
        "worst": [(shared.phase, each) for shared in told for each in shared.worst],
    }


def _tools(seen: Seen) -> Iterator[dict[str, Any]]:
    """A row for each tool: its calls, how many failed, and how long they took."""
    calls = seen.scan("tool_calls").select("name", "status", "duration_ms").collect()
    for (name,), own in calls.group_by("name", maintain_order=True):
        took = own["duration_ms"].drop_nulls().to_list()
        yield {
            "name": name,
            "calls": len(own),
            **{status: int((own["status"] == status).sum()) for status in ("ok", "error", "unknown")},
            "n": len(took),
            "p50": quantile(took, 500),
            "p95": quantile(took, 950),
        }


def _pairs(seen: Seen) -> list[str]:
    """The variants that can be held against each other."""
    rows = seen.summary.rows if seen.summary else ()
    return list(dict.fromkeys(row.variant for row in rows))


def trial(seen: Seen, trial_id: str) -> dict[str, Any] | None:
    """A trial, or None where there is none of that id."""
    shown = one_trial.shown(seen, trial_id)
    if shown is None:
        return None
    rivals = [
        each
        for each in shown.others
        if each["repeat"] == shown.row["repeat"] and each["variant"] != shown.row["variant"]
    ]
    repeats = [each for each in shown.others if each["variant"] == shown.row["variant"]]
    return {
        **_of_run(seen),
        "trial": shown,
        "row": shown.row,
        "url": f"{seen.place.url}/trial/{quote(trial_id, safe='')}",
        "rivals": rivals,
        "repeats": repeats,
    }


def packets(seen: Seen, trial_id: str, query: QueryParams) -> dict[str, Any] | None:
    """A page of the packets of an exchange."""
    page = trials.number(query.get("page", ""))
    found = one_trial.packets(seen, query.get("exchange", ""), page)
    if found is None or found[2]["trial_id"] != trial_id:
        return None
    rows, count, row = found
    return {
        **_of_run(seen),
        "row": row,
        "rows": rows,
        "count": count,
        "page": page,
        "last": max(1, -(-count // one_trial.PACKETS_A_PAGE)),
        "first": (page - 1) * one_trial.PACKETS_A_PAGE,
        "url": f"{seen.place.url}/trial/{quote(trial_id, safe='')}",
        "page_url": _pages(query),
    }


def raw(seen: Seen, trial_id: str, query: QueryParams) -> bytes | None:
    """The body of a reply as it came or, asked for its answer, that."""
    exchange_id = query.get("exchange", "")
    if exchange_id.split(".", 1)[0] != trial_id:
        return None
    found = one_trial.raw(seen, exchange_id)
    if found is None:
        return None
    return found[1].encode() if query.get("of") == "answer" else found[0]


def compare(before: Seen, after: Seen, query: QueryParams, run_ids: Sequence[str]) -> dict[str, Any]:
    """Two trials of one prompt, side by side; without a choice, the first prompt that both sides have."""
    a, b = query.get("a", ""), query.get("b", "")
    variants = [_variants(before), _variants(after)]
    a = a or next(iter(variants[0]), "")
    b = b or next((each for each in variants[1] if each != a or after is not before), a)
    shared = _shared(before, after, (a, b))
    case = query.get("case", "") or next(iter(shared), "")
    repeat = trials.number(query.get("repeat", ""))
    sides = [
        compared.side(seen, case, variant, repeat, phase=query.get("phase", ""))
        for seen, variant in ((before, a), (after, b))
    ]
    first, second = sides
    both = first is not None and second is not None
    return {
        **_of_run(before),
        "other": after,
        "run_ids": run_ids,
        "a": a,
        "b": b,
        "case": case,
        "repeat": repeat,
        "variants": variants,
        "cases": shared if case in shared else [case, *shared],
        "repeats": _repeats(before, case, a),
        "sides": sides,
        "turns": compared.turns(first, second) if first is not None and second is not None else [],
        "grades": _grades(first, second) if both and first is not None and second is not None else [],
        "measures": compared.MEASURES,
        "urls": [_trial_url(side) for side in sides],
        "set_out": texts.set_out,
    }


def _trial_url(side: compared.Side | None) -> str:
    return "" if side is None else f"{side.seen.place.url}/trial/{quote(side.row['trial_id'], safe='')}"


def _grades(before: compared.Side, after: compared.Side) -> list[tuple[Any, Any, Any, Any]]:
    """Each check that either side has: its turn, its name, and the grade of each."""
    found: list[dict[tuple[Any, str, int], Any]] = []
    for side in (before, after):
        own: dict[tuple[Any, str, int], Any] = {}
        for grade in side.tables["grades"].iter_rows(named=True):
            name = grade["metric"] or grade["type"]
            again = sum(key[:2] == (grade["turn_id"], name) for key in own)
            own[grade["turn_id"], name, again] = grade
        found.append(own)
    was, now = found
    return [(key[0], key[1], was.get(key), now.get(key)) for key in dict.fromkeys([*was, *now])]


def _variants(seen: Seen) -> list[str]:
    return list(seen.scan("trials").select("variant").unique(maintain_order=True).collect()["variant"])


_OFFERED = 500


def _shared(before: Seen, after: Seen, variants: tuple[str, str]) -> list[str]:
    """The prompts that both sides were asked, as many as a list bears."""
    frames = [
        seen.scan("trials").filter(pl.col("variant") == variant).select("case_id").unique(maintain_order=True)
        for seen, variant in zip((before, after), variants, strict=True)
    ]
    both = frames[0].join(frames[1], on="case_id", how="semi", maintain_order="left")
    return list(both.head(_OFFERED).collect()["case_id"])


def _repeats(seen: Seen, case: str, variant: str) -> list[int]:
    mine = (pl.col("case_id") == case) & (pl.col("variant") == variant)
    found = seen.scan("trials").filter(mine).select(pl.col("repeat").unique().sort()).collect()
    return list(found["repeat"].head(_OFFERED))


def charts(seen: Seen, drawings: Drawings, name: str) -> dict[str, Any]:
    """The charts of a run, or the one of that name."""
    drawn = [(each, ours(each.wide), ours(each.narrow)) for each in drawings.drawn(seen, name)]
    return {**_of_run(seen), "drawn": drawn}


def _pages(query: QueryParams) -> Any:
    """From the number of a page to the same URL at that page."""

    def at(page: int) -> str:
        rest = [(name, value) for name, value in query.multi_items() if name != "page"]
        return "?" + urlencode([*rest, ("page", str(page))])

    return at


def counts(states: Mapping[str, int]) -> list[tuple[str, int]]:
    """The states that there are, in their order."""
    return [(str(state), states[str(state)]) for state in State if states.get(str(state))]


SHOWN["counts"] = counts
