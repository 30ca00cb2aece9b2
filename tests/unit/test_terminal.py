from io import StringIO

import pytest
from msgspec import structs
from rich.console import Console, RenderableType

from harness.report.fitting import Fitting, plain
from harness.report.terminal import ignored, notes, reasons, summary_table
from harness.report.visible import shortened
from harness.summarise.summary import CheckRow, Figure, Ignored, LoadRow, Row, Summary

SECOND = 1_000_000_000


def row(variant: str = "base", *, p50: Figure, p95: Figure) -> Row:
    return Row(
        variant=variant,
        phase="main",
        trials=3,
        passed=1,
        failed=0,
        error=1,
        invalid=0,
        not_run=1,
        pass_rate=1.0,
        ttft_p50_ms=p50,
        ttft_p95_ms=p95,
        total_p50_ms=p50,
        tokens_per_s_p50=p50,
        tool_calls=5,
        tool_errors=2,
        retried=0,
    )


def summary(*rows: Row) -> Summary:
    return Summary(rows=rows, faults={}, stamps={"kernel": 3}, merged_share=Figure(0.0, 3), unknown_kinds={})


def shown(of: Summary) -> str:
    console = Console(file=StringIO(), width=200)
    console.print(summary_table(of))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_name_is_shown_as_it_is_written_brackets_and_all() -> None:
    text = shown(summary(row("fast [v2] [/bold]", p50=Figure(80.25, 40), p95=Figure(1234.5, 40))))
    assert "fast [v2] [/bold]" in text
    assert "80.2 ms" in text
    assert "1,234 ms" in text
    assert "5 (2 failed)" in text


@pytest.mark.parametrize(
    ("p50", "p95", "why"),
    [
        (Figure(None, 0), Figure(None, 0), ["no TTFT"]),
        (Figure(None, 1), Figure(None, 1), ["p50 needs 2", "p95 needs 20"]),
        (Figure(50.0, 19), Figure(None, 19), ["p95 needs 20"]),
        (Figure(50.0, 20), Figure(90.0, 20), []),
    ],
)
def test_a_dash_is_explained_beneath_the_table(p50: Figure, p95: Figure, why: list[str]) -> None:
    dashes = [note for note in notes(summary(row(p50=p50, p95=p95))) if note.startswith("–")]
    assert len(dashes) == len(why)
    assert all(wanted in note for wanted, note in zip(why, dashes, strict=True))


QUIET = summary(row(p50=Figure(50.0, 20), p95=Figure(90.0, 20)))


def test_what_was_ignored_stands_right_beneath_the_table_in_plain_words() -> None:
    found = (
        Ignored("candidate", "llm_override", "P/m", "openai/other", 12, 12),
        Ignored("candidate", "llm_override.temperature", "0.3", "1.0", 2, 12),
        Ignored("[b]", "search_filters.tags", "team=hr", "d1 with team=it", 1, 3),
    )
    told = structs.replace(QUIET, ignored=found)
    assert list(ignored(told)) == [
        "llm_override was ignored in 12 of 12 trials of candidate: asked P/m, answered by openai/other",
        "llm_override.temperature was ignored in 2 of 12 trials of candidate: asked 0.3, seen 1.0",
        "search_filters.tags was ignored in 1 of 3 trials of [b]: asked team=hr, seen d1 with team=it",
    ]
    lines = shown(told).splitlines()
    assert lines[2].startswith("llm_override was ignored")
    assert "trials of [b]" in lines[4]


def test_a_check_that_failed_in_two_phases_says_in_which_it_failed_more() -> None:
    checks = tuple(
        CheckRow("base", phase, "ttft", None, passed=3, failed=failed, ungraded=0, score=0.5, deciding=True)
        for phase, failed in (("busy", 1), ("peak", 2))
    )
    rows = tuple(structs.replace(QUIET.rows[0], phase=phase) for phase in ("busy", "peak"))
    lines = [line.split() for line in shown(structs.replace(QUIET, rows=rows, checks=checks)).splitlines()]
    assert ["ttft", "base", "(peak)", "3", "2", "0", "0.500"] in lines
    assert ["ttft", "base", "(busy)", "3", "1", "0", "0.500"] in lines
    alone = shown(structs.replace(QUIET, checks=checks[:1]))
    assert "(busy)" not in alone


def test_settings_whose_effect_was_not_seen_have_one_line_each_over_all_variants() -> None:
    audits = {
        "a": {
            "llm_override": {"took effect": 3},
            "search_filters.tags": {"not shown": 1, "took effect": 2, "not exercised": 4},
        },
        "b": {"search_filters.tags": {"not shown": 2, "ignored": 1}, "origin": {"not shown": 3}},
    }
    told = [note for note in notes(structs.replace(QUIET, audits=audits)) if note.startswith("audit")]
    assert told == [
        "audit: search_filters.tags not shown in 3, not exercised in 4 of 10 trials",
        "audit: origin not shown in 3 of 3 trials",
    ]


def test_unknown_packets_are_named_once_and_replies_that_could_not_be_stopped_are_counted() -> None:
    told = structs.replace(QUIET, unknown_kinds={"sparkle": 20, "(line)": 1}, unstopped=2)
    text = "\n".join(notes(told))
    assert "unknown kinds, kept and passed over: sparkle 20, (line) 1" in text
    assert "2 cut replies could not be stopped: the server may still be working on them" in text
    assert "unknown" not in "".join(notes(QUIET))
    assert "stopped" not in "".join(notes(QUIET))


def test_repeats_that_did_not_pass_are_one_line_and_long_lists_end_with_where_the_rest_is() -> None:
    twice = [("failed", "a", "base", "no\n  Paris"), ("failed", "a", "base", "no Rome")]
    many = [("error", f"case {n}", "base", "reset") for n in range(20)]
    lines = [line.plain for line in reasons(twice + many)]
    assert lines[0] == "failed  a [base] ×2: no Paris"
    assert lines[-1] == "and 9 more, in trials.parquet"
    assert len(lines) == 13


def test_a_long_reason_is_cut_to_its_width() -> None:
    assert shortened("x" * 9, 9) == "x" * 9
    assert shortened("x" * 10, 9) == "x" * 8 + "…"


def drawn(of: RenderableType, width: int) -> list[str]:
    """What a terminal of so many columns is sent."""
    console = Console(file=StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(of, crop=False)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


def test_a_narrow_terminal_is_shown_whole_words_and_no_column_of_noughts() -> None:
    sound = row("policies-only", p50=Figure(80.25, 40), p95=Figure(90.0, 40))
    told = summary(structs.replace(sound, error=0, not_run=0, invalid=0))
    wide, narrow = drawn(summary_table(told), 130), drawn(summary_table(told), 80)
    assert wide[0].split()[:6] == ["variant", "trials", "passed", "failed", "errors", "invalid"]
    assert max(map(len, narrow)) <= 80
    assert narrow[2].split() == ["variant", "trials", "passed", "failed", "p50", "p95", "p50", "calls"]
    assert narrow[3].split()[0] == "policies-only"
    assert narrow[4] == "errors, invalid, not run: 0"
    assert "…" not in "".join(narrow)


def test_an_open_load_is_two_tables_where_one_does_not_fit() -> None:
    times = {level: Figure(1234.5, 400) for level in ("p50", "p95", "p99")}
    both = {"ttft": times, "total": times}
    load = LoadRow(
        phase="peak",
        arrivals=400,
        asked_per_s=20.0,
        began_per_s=20.0,
        goodput_per_s=None,
        delayed=0,
        dropped=0,
        service=both,
        response=both,
    )
    told = structs.replace(summary(row("base", p50=Figure(1.0, 9), p95=Figure(None, 9))), loads=(load,))
    lines = [line for line in drawn(summary_table(told), 80) if line.startswith("peak")]
    assert [len(line.split()) for line in lines] == [7, 15]
    assert len([line for line in drawn(summary_table(told), 150) if line.startswith("peak")]) == 1


def test_what_fits_nowhere_is_left_to_the_terminal_to_wrap() -> None:
    table = plain()
    for title in ("one", "two"):
        table.add_column(title)
    table.add_row("a" * 45, "b" * 45)
    assert drawn(Fitting(table), 60)[1] == f"{'a' * 45}  {'b' * 45}"
    assert all(line == line.rstrip() for line in drawn(Fitting(table), 200))
