"""Charts: what is drawn is what was said, in the colours of the page; a hostile name is no markup."""

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import polars as pl
import pytest
from playwright.sync_api import Browser

from harness.record.tables import SCHEMAS
from harness.report import charts
from harness.report.charts import Chart, lines
from harness.report.charts.drawing import Drawing
from harness.report.charts.series import distinct
from tests.browser.looking import DESK, PHONE, browser, looking
from tests.report.drawn import (
    HOSTILE,
    SVG,
    Scan,
    by_name,
    manifest,
    numbers,
    run_of,
    scanning,
    svg,
    texts,
    tree,
)

LOOK = Path("harness/report/templates/look.css")


@pytest.fixture(scope="module")
def plain() -> list[Chart]:
    return charts.of_run(run_of(["steady", "slow"]), manifest())


@pytest.fixture(scope="module")
def hostile() -> list[Chart]:
    run = run_of([HOSTILE, "plain"], fault=HOSTILE)
    both = charts.of_comparison(run, run_of([HOSTILE, "plain"], seed=2), (HOSTILE, "b"))
    return [*charts.of_run(run, manifest()), *both]


def test_a_run_has_every_chart_that_it_has_something_for(plain: list[Chart]) -> None:
    assert [chart.name for chart in plain] == [
        "results", "prompts", "tags", "ttft-percentiles", "ttft-distribution", "total-percentiles",
        "response-percentiles", "gap-percentiles", "concurrency", "timeline", "steps", "tools",
    ]  # fmt: skip
    assert all(chart.says.endswith(".") and chart.title for chart in plain)


def test_a_run_without_calls_faults_or_a_schedule_lacks_their_charts() -> None:
    run = run_of(["v"])
    bare = {name: run(name).collect().to_dicts() for name in ("trials", "cases", "exchanges")}
    for row in bare["trials"]:
        row["due_ns"] = None
    for row in bare["exchanges"]:
        row |= {"response_ttft_ms": None, "response_total_ms": None, "fault": None, "gaps": None}
    found = by_name(charts.of_run(scanning(bare), manifest()))
    assert {"tools", "steps", "response-percentiles", "gap-percentiles"} & set(found) == set()
    assert "nothing broke" in found["timeline"].says
    assert "due" not in texts(tree(found["timeline"]))


def test_a_run_of_nothing_has_no_charts() -> None:
    assert charts.of_run(scanning({}), manifest()) == []
    assert charts.of_comparison(scanning({}), scanning({}), ("a", "b")) == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [charts.DESK, charts.PHONE])
def test_a_chart_is_one_picture_of_its_own_with_nothing_in_it_but_drawing(
    hostile: list[Chart], width: int
) -> None:
    for chart in hostile:
        drawn = svg(chart, width)
        root = ElementTree.fromstring(drawn)  # noqa: S314  drawn here
        tags = {element.tag.removeprefix(SVG) for element in root.iter()}
        assert tags <= {"svg", "g", "path", "line", "rect", "text", "tspan", "defs", "clipPath"}, chart.name
        assert root.get("role") == "img"
        assert (root.get("aria-label") or "").startswith(chart.title)
        assert all(
            element.get("role") is None and element.get("aria-label") is None
            for element in root.iter()
            if element is not root
        )
        assert "<script" not in drawn
        assert "\u202e" not in drawn
        assert not re.search(r"\b(href|src|style|class|on\w+)=|https?:(?!//www\.w3\.org/2000/svg)", drawn)
        assert len(drawn) < 60_000, chart.name


def test_a_hostile_name_is_there_as_text(hostile: list[Chart]) -> None:
    shown = [text for chart in hostile for text in texts(tree(chart))]
    assert sum("<script>alert(1)</script>" in text for text in shown) >= 12
    assert any("\\u202e" in text for text in shown)


def test_colours_are_those_of_the_page_and_no_others(hostile: list[Chart]) -> None:
    known = set(re.findall(r"--[a-z0-9]+", LOOK.read_text()))
    for chart in hostile:
        for element in tree(chart).iter():
            for name in ("fill", "stroke"):
                color = element.get(name)
                if color not in {None, "none", "transparent"}:
                    assert re.fullmatch(r"var\((--\w+)\)", color or ""), (chart.name, color)
                    assert (color or "")[4:-1] in known


def clipped(name: str) -> Chart:
    """A chart with something that has an id: what is drawn is cut off at its edges."""
    rows = [{"series": name, "percent": percent, "value_ms": 5.0, "n": 9} for percent in (0, 50)]

    def draw(width: int) -> Drawing:
        made = lines.percentiles(rows, {name: 0}, width, "time")
        made.mark.clip = True
        return made

    return Chart(name, name, "Cut off.", draw)


def test_ids_do_not_clash_on_a_page_with_each_chart_at_two_widths() -> None:
    found: list[str] = []
    for chart in (clipped("a"), clipped("b")):
        for width in (charts.DESK, charts.PHONE):
            mine = [element.get("id", "") for element in tree(chart, width).iter() if element.get("id")]
            used = re.findall(r"url\(#([^)]+)\)", svg(chart, width))
            assert set(used) == set(mine)
            found += mine
    assert len(found) == len(set(found)) == 4


def test_a_chart_is_drawn_alike_each_time(plain: list[Chart]) -> None:
    assert all(charts.svg(chart, charts.DESK) == charts.svg(chart, charts.DESK) for chart in plain[-4:])


@pytest.mark.slow
def test_a_chart_is_as_wide_as_it_was_asked_to_be(plain: list[Chart]) -> None:
    for chart in plain:
        for width in (charts.DESK, charts.PHONE):
            assert float(tree(chart, width).get("width", "0")) == pytest.approx(width, rel=0.06), chart.name


@pytest.mark.slow
def test_every_specification_is_valid(hostile: list[Chart]) -> None:
    for chart in hostile:
        for width in (charts.DESK, charts.PHONE):
            assert chart.draw(width).to_dict(validate=True)


def test_a_picture_is_a_png_of_a_sensible_size(plain: list[Chart]) -> None:
    for chart in (by_name(plain)[name] for name in ("results", "ttft-percentiles", "timeline")):
        picture = charts.png(chart)
        assert picture.startswith(b"\x89PNG\r\n\x1a\n")
        width, height = struct.unpack(">II", picture[16:24])
        assert 1_700 <= width <= 1_900
        assert 300 <= height <= 2_400
        assert 10_000 < len(picture) < 1_000_000


def test_a_curve_lies_where_its_values_are() -> None:
    """Of two curves, of 200 and of 100 ms, the one is twice as far from the bottom as the other."""
    trials = [
        {
            "trial_id": f"{variant}{at}",
            "variant": variant,
            "phase": "main",
            "window": "measured",
            "state": "passed",
        }
        for variant in ("a", "b")
        for at in range(20)
    ]
    exchanges = [
        {"exchange_id": row["trial_id"], "trial_id": row["trial_id"], "attempt": 1, "counted": True,
         "ttft_ms": 200.0 if row["variant"] == "a" else 100.0}
        for row in trials
    ]  # fmt: skip
    chart = by_name(charts.of_run(scanning({"trials": trials, "exchanges": exchanges}), manifest()))
    lines = [corners for corners in numbers(chart["ttft-percentiles"]) if len(corners) > 5]
    heights = sorted({y for corners in lines for _, y in corners})
    assert len(heights) == 2
    assert (300 - heights[0]) == pytest.approx(2 * (300 - heights[1]), abs=1)
    assert texts(tree(chart["ttft-percentiles"])).count("95 %") == 1
    assert "99 %" not in texts(tree(chart["ttft-percentiles"]))
    assert "a (n = 20)" in texts(tree(chart["ttft-percentiles"]))


def test_a_median_without_neighbours_is_drawn() -> None:
    run = run_of(["v"])
    rows = {name: run(name).collect().to_dicts() for name in ("trials", "exchanges")}
    for row in rows["exchanges"]:
        row["counted"] &= 1_000_000_000 <= row["sent_ns"] < 2_000_000_000
    chart = by_name(charts.of_run(scanning(rows), manifest()))["timeline"]
    level = [line for line in numbers(chart) if len(line) == 2 and line[0][1] == line[1][1]]
    short = [line for line in level if line[0][1] != 0]  # those of the legend are at 0
    assert [line[0][0] < line[1][0] for line in short] == [True]


def test_nothing_is_piled_up_that_is_no_sum() -> None:
    """Lines lie where their values are: Vega would stack areas unasked."""
    drawn = by_name(charts.of_run(run_of(["v"]), manifest()))["timeline"].draw(900).to_dict()
    panels = [layer for panel in drawn["vconcat"] for layer in panel.get("layer", [panel])]
    stacked = [
        panel["encoding"]["y"]["title"]
        for panel in panels
        if panel.get("encoding", {}).get("y", {}).get("stack", False) is not False
    ]
    assert stacked == ["exchanges that broke"]


def test_at_most_eight_series_are_drawn_and_the_others_are_told_of() -> None:
    found = by_name(charts.of_run(run_of([f"v{at}" for at in range(11)], trials=3), manifest()))
    assert "The 8 with most trials are drawn; 3 more are not." in found["results"].says
    labels = [text for text in texts(tree(found["results"])) if re.fullmatch(r"v\d+", text)]
    assert labels == [f"v{at}" for at in range(8)]


def test_a_series_has_its_colour_in_every_chart_that_it_is_in() -> None:
    run = run_of(["never counted", "steady"])
    rows = {name: run(name).collect().to_dicts() for name in SCHEMAS}
    for row in rows["exchanges"]:
        row["counted"] &= row["exchange_id"].startswith("1/")
    found = by_name(charts.of_run(scanning(rows), manifest()))
    for name in ("ttft-percentiles", "ttft-distribution", "concurrency"):
        strokes = [path.get("stroke") for path in tree(found[name]).iter(f"{SVG}path")]
        assert set(strokes) == {"var(--c2)"}, name
    assert {path.get("fill") for path in tree(found["tools"]).iter(f"{SVG}path")} >= {
        "var(--c1)",
        "var(--c2)",
    }


def test_names_that_look_alike_when_cut_stay_apart() -> None:
    long = "x" * 50
    assert distinct([long + "1", long + "2", "", "a"], 10) == [
        "xxxxxxxxx…",
        "xxxxxxxxx… ~2",
        "(no name)",
        "a",
    ]


def test_a_comparison_pairs_variants_by_name_and_two_lone_ones_whatever_they_are_called() -> None:
    several = charts.of_comparison(run_of(["a", "b"]), run_of(["b", "c"], seed=2), ("old", "new"))
    assert [chart.name for chart in several] == ["prompts", "ttft-percentiles", "total-percentiles", "steps"]
    labels = texts(tree(several[1]))
    assert [label for label in labels if "n = " in label] == ["old (n = 29)", "new (n = 29)"]
    lone = charts.of_comparison(run_of(["a"]), run_of(["c"], seed=2), ("old", "new"))
    assert "ttft-percentiles" in by_name(lone)
    assert charts.of_comparison(run_of(["a", "b"]), run_of(["c", "d"]), ("old", "new")) == []


def test_a_comparison_of_two_variants_pairs_their_phases() -> None:
    def both(variant: str) -> Scan:
        parts = [run_of([variant], phase=phase) for phase in ("day", "night")]
        renamed = [{name: part(name).collect() for name in SCHEMAS} for part in parts]
        keys = ("trial_id", "exchange_id")
        for frames in renamed[1:]:
            for name, frame in frames.items():
                frames[name] = frame.with_columns(
                    (pl.lit("n") + pl.col(key)).alias(key) for key in keys if key in frame.columns
                )
        return lambda name: pl.concat([frames[name] for frames in renamed]).lazy()

    found = by_name(charts.of_comparison(both("a"), both("b"), ("A", "B")))
    labels = [text for text in texts(tree(found["total-percentiles"])) if "n = " in text]
    assert labels == ["day, A (n = 29)", "day, B (n = 29)", "night, A (n = 29)", "night, B (n = 29)"]


def test_a_comparison_shows_prompts_before_and_after_the_largest_change_first() -> None:
    def cases(*passed: int) -> list[dict[str, Any]]:
        own = {"variant": "v", "phase": "main", "tags": [], "asked": "a", "checks": "c"}
        return [{"case_id": f"p{at}", **own, "passed": n, "failed": 10 - n} for at, n in enumerate(passed)]

    trials = [{"trial_id": "t", "variant": "v", "phase": "main", "state": "passed", "window": "measured"}]
    reworded = [{**row, "asked": "other"} if row["case_id"] == "p3" else row for row in cases(10, 2, 6, 0)]
    before = scanning({"cases": cases(10, 9, 5, 10), "trials": trials})
    (chart,) = charts.of_comparison(before, scanning({"cases": reworded, "trials": trials}), ("old", "new"))
    shown = texts(tree(chart))
    assert [text for text in shown if "→" in text] == [
        "9 of 10 → 2 of 10", "5 of 10 → 6 of 10", "10 of 10 → 10 of 10"
    ]  # fmt: skip
    assert [text for text in shown if re.fullmatch(r"p\d", text)] == ["p1", "p2", "p0"]
    assert "of 3 prompts" in chart.says
    assert "2 of them changed" in chart.says


def test_steps_stand_in_the_order_of_a_reply_whichever_run_had_them_first() -> None:
    def spending(*parts: str) -> Scan:
        trials = [{"trial_id": "t", "variant": "v", "phase": "main", "state": "passed", "window": "measured"}]
        spans = [
            {
                "exchange_id": "t",
                "seq": at,
                "step": step,
                "began_ns": at,
                "ended_ns": at + 1,
                "duration_ms": 100.0,
            }
            for at, step in enumerate(parts)
        ]
        exchanges = [{"exchange_id": "t", "trial_id": "t", "counted": True, "total_ms": 100.0 * len(parts)}]
        return scanning({"trials": trials, "exchanges": exchanges, "steps": spans})

    before, after = spending("first_packet", "answer", "end"), spending("first_packet", "narration", "answer")
    found = by_name(charts.of_comparison(before, after, ("old", "new")))
    wanted = ["first packet", "narration", "answer", "rest"]
    assert [text for text in texts(tree(found["steps"])) if text in wanted] == wanted
    idle = [
        {"exchange_id": "t", "seq": 0, "step": "answer", "began_ns": 0, "ended_ns": 0, "duration_ms": 0.0}
    ]
    rows = {name: before(name).collect().to_dicts() for name in ("trials", "exchanges")}
    assert "steps" not in by_name(charts.of_run(scanning({**rows, "steps": idle}), manifest()))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as running:
        yield running


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize(("size", "dark"), [(DESK, False), (DESK, True), (PHONE, False), (PHONE, True)])
def test_charts_stand_on_a_page_in_its_colours(
    chromium: Browser, hostile: list[Chart], tmp_path: Path, size: dict[str, int], dark: bool
) -> None:
    shown = by_name(hostile).values()
    drawn = "".join(
        f'<figure><div class="wide">{svg(chart, charts.DESK)}</div>'
        f'<div class="narrow">{svg(chart, charts.PHONE)}</div></figure>'
        for chart in shown
    )
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>c</title>'
    page = tmp_path / "charts.html"
    page.write_text(
        f'<!doctype html><html lang="en"><head>{head}<style>{LOOK.read_text()}</style></head>'
        f'<body><main class="page"><h1>Charts</h1>{drawn}</main></body></html>'
    )
    with looking(chromium, size=size, dark=dark, offline=True) as look:
        look.page.goto(page.as_uri())
        look.check(f"charts-{'dark' if dark else 'light'}-{size['width']}")
        assert look.requests == [page.as_uri()]
        visible = look.page.locator("figure svg:visible")
        assert visible.count() == len(shown)
        width = look.page.evaluate("document.documentElement.scrollWidth")
        assert width <= size["width"]
        color = look.page.evaluate("getComputedStyle(document.querySelector('svg text')).fill")
        red = int(re.findall(r"\d+", color)[0])
        assert (red > 128) == dark
