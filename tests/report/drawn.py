"""Runs that have something for every chart, and what is to be read off a chart that was drawn."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from random import Random
from typing import Any
from xml.etree import ElementTree

import polars as pl

from harness.record.store import Manifest
from harness.record.tables import SCHEMAS
from harness.report import charts
from harness.report.charts import Chart
from tests.arms import table

HOSTILE = "\u202e<script>alert(1)</script>\"'& #fe0003"
SVG = "{http://www.w3.org/2000/svg}"

Scan = Callable[[str], pl.LazyFrame]


def manifest() -> Manifest:
    return Manifest(
        run_id="r", suite="s", suite_path="s.yaml", suite_text="", target="t", dialect="sigma", seed=0,
        choice={}, planned=0, started_at="2026-11-26T00:00:00+00:00", started_ns=0,
    )  # fmt: skip


def scanning(rows: Mapping[str, Iterable[Mapping[str, Any]]]) -> Scan:
    frames = {name: table(name, rows.get(name, ())) for name in SCHEMAS}
    return lambda name: frames[name].lazy()


def run_of(
    variants: Iterable[str],
    trials: int = 30,
    *,
    phase: str = "main",
    fault: str = "disconnected",
    seed: int = 1,
) -> Scan:
    """A run that has something for every chart: each variant with so many trials, the last of which broke."""
    random = Random(seed)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in SCHEMAS}
    names = list(variants)
    for at, variant in enumerate(names):
        own = {"variant": variant, "phase": phase}
        counts = {"passed": trials - 2, "failed": 1, "error": 1, "invalid": 0, "not_run": 0}
        rows["cases"].append(
            {
                "case_id": f"case {variant}",
                "tags": [f"tag {variant}"],
                "asked": "a",
                "checks": "c",
                **own,
                **counts,
            }
        )
        for trial in range(trials):
            name, due = f"{at}/{trial}", (trial * len(names) + at) * 100_000_000
            state = {trials - 1: "error", trials - 2: "failed"}.get(trial, "passed")
            ttft = random.lognormvariate(4, 0.5)
            sent, total = due + 1_000_000, ttft + 400
            stamps = {"due_ns": due, "began_ns": due, "ended_ns": sent + int(total * 1e6)}
            rows["trials"].append(
                {
                    "trial_id": name,
                    "case_id": f"case {variant}",
                    "window": "measured",
                    "state": state,
                    **own,
                    **stamps,
                }
            )
            broke = trial == trials - 1
            times = {
                "ttft_ms": ttft,
                "total_ms": total,
                "response_ttft_ms": ttft + 1,
                "response_total_ms": total + 1,
            }
            rows["exchanges"].append(
                {
                    "exchange_id": name, "trial_id": name, "turn_id": "1", "attempt": 1, "counted": not broke,
                    "fault": fault if broke else None, "sent_ns": sent, "ended_ns": stamps["ended_ns"],
                    "first_answer_ns": sent + int(ttft * 1e6), "gaps": 2,
                    "last_answer_ns": sent + int(ttft * 1e6) + 20_000_000, **({} if broke else times),
                }
            )  # fmt: skip
            rows["steps"] += steps(name, due, sent, ttft, variant)
            rows["packets"] += packets(name, sent, ttft)
            rows["tool_calls"].append(
                {
                    "exchange_id": name,
                    "call_id": "t0.0",
                    "name": variant,
                    "status": "ok",
                    "duration_ms": ttft / 2,
                }
            )
    return scanning(rows)


def steps(name: str, due: int, sent: int, ttft: float, tool: str) -> list[dict[str, Any]]:
    parts = [("queue", due, sent), ("first_packet", sent, sent + int(ttft * 5e5))]
    parts += [(f"tool {tool}", parts[-1][2], sent + int(ttft * 1e6))]
    parts += [("answer", parts[-1][2], parts[-1][2] + 400_000_000)]
    return [
        {"exchange_id": name, "seq": seq, "step": step, "began_ns": began, "ended_ns": ended,
         "duration_ms": (ended - began) / 1e6}
        for seq, (step, began, ended) in enumerate(parts)
    ]  # fmt: skip


def packets(
    name: str, sent: int, ttft: float, kinds: Iterable[str] = ("message_delta",) * 3
) -> list[dict[str, Any]]:
    first = sent + int(ttft * 1e6)
    return [
        {"exchange_id": name, "seq": at, "kind": kind, "turn_index": 0, "tab_index": 0, "text": "word",
         "arrived_ns": first + at * 10_000_000, "bytes": 90}
        for at, kind in enumerate(kinds)
    ]  # fmt: skip


def by_name(found: list[Chart]) -> dict[str, Chart]:
    return {chart.name: chart for chart in found}


svg = cache(charts.svg)


def tree(chart: Chart, width: int = charts.DESK) -> ElementTree.Element:
    return ElementTree.fromstring(svg(chart, width))  # noqa: S314  drawn here


def texts(root: ElementTree.Element) -> list[str]:
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


def numbers(chart: Chart) -> list[list[tuple[float, float]]]:
    """The corners of each line of a chart."""
    root = tree(chart)
    paths = [path.get("d", "") for path in root.iter(f"{SVG}path")]
    pairs = [re.findall(r"[ML](-?[\d.]+),(-?[\d.]+)", path) for path in paths]
    return [[(float(x), float(y)) for x, y in each] for each in pairs]
