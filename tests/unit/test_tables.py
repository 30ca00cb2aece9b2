import json
import re
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from statistics import fmean, pstdev

import polars as pl
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec import structs

from harness.audit import Evidence, audit
from harness.grade.opinion import Grade
from harness.grade.states import Standing, State, standing
from harness.record.histograms import DIGITS, LONGEST_US, Histograms
from harness.record.store import new_run, point_latest
from harness.record.tables import SCHEMAS, Judged, Tables, write
from harness.record.tokens import count_tokens
from harness.result import Exchange, Failure, Fault, Result, Skip, Step
from harness.sigma.session import MessageSeen, ModelParams, SessionDetail
from harness.stats.quantiles import quantile
from harness.summarise.summary import summarise
from tests.replies import (
    IDS,
    MS,
    SESSION,
    SESSION_ID,
    START,
    STOP,
    answer,
    delta,
    exchange,
    packet,
    result,
    searched,
    side_by_side,
)

RESULTS_README = Path(__file__).parents[2] / "results" / "README.md"


def tabled(*results: Result, grades: tuple[Grade, ...] = ()) -> dict[str, pl.DataFrame]:
    tables = Tables(count_tokens)
    for one in results:
        findings = {
            each.exchange_id: audit(each.request, each.transcript, Evidence())
            for each in one.exchanges
            if each.transcript
        }
        tables.add(Judged(one, grades, findings, standing(one, [], grades)))
    return tables.frames()


def timed(ttft_ms: int, *, variant: str = "base", trial_id: str = "t") -> Result:
    lines = [SESSION, delta("Paris"), delta(" it is"), STOP]
    return result(exchange(lines, every_ns=ttft_ms * MS // 2), variant=variant, trial_id=trial_id)


def test_every_column_has_its_type_even_where_every_value_is_missing() -> None:
    frames = tabled(result(skip=Skip.BUDGET))
    assert {name: dict(frame.schema) for name, frame in frames.items()} == {
        name: dict(schema) for name, schema in SCHEMAS.items()
    }


def test_a_reply_becomes_rows_in_every_table() -> None:
    lines = [SESSION, IDS, *searched(), packet("message_start", 1), delta("30", 1), delta(" days", 1), STOP]
    grade = Grade("1", "contains", None, True, 1.0, 1.0, "there")
    frames = tabled(result(exchange(lines, request={"message": "hi", "forced_tool_id": 1})), grades=(grade,))
    (row,) = frames["exchanges"].to_dicts()
    assert (row["ttft_ms"], row["answer_ms"], row["total_ms"]) == (70.0, 70.0, 90.0)
    assert (row["answer"], row["packets"], row["reads"], row["merged_reads"]) == ("30 days", 7, 9, 0)
    assert row["answer_tokens"] == count_tokens("30 days") > 1
    assert row["tokens_per_s"] == pytest.approx((row["answer_tokens"] - 1) / 0.010)
    assert row["audit"] == "not shown"
    assert row["stop_ns"] - row["sent_ns"] == 90 * MS
    (call,) = frames["tool_calls"].to_dicts()
    assert (call["name"], call["arguments"], call["duration_ms"]) == (
        "internal_search",
        '{"queries":["q"]}',
        20.0,
    )
    assert (call["began_ms"], row["queue_ms"], row["response_ttft_ms"]) == (30.0, None, None)
    assert (row["answer_chars"], row["gaps"], row["longest_gap_ms"]) == (7, 1, 10.0)
    assert row["chars_per_s"] == pytest.approx(5 / 0.010)
    assert frames["steps"].select("seq", "step", "duration_ms").rows() == [
        (0, "send", 1.0),
        (1, "first_packet", 30.0),
        (2, "tool internal_search", 20.0),
        (3, "answer", 30.0),
        (4, "end", 10.0),
    ]
    assert frames["packets"]["kind"].to_list()[:2] == ["search_tool_start", "search_tool_queries_delta"]
    assert frames["packets"]["text"].to_list()[-3:] == ["30", " days", None]
    assert frames["packets"]["seq"].to_list() == list(range(7))
    assert frames["grades"].rows() == [
        ("t", "1", "contains", None, True, 1.0, 1.0, "there", None, None, None)
    ]
    assert frames["trials"]["state"].to_list() == ["passed"]


@pytest.mark.parametrize("number", [2**40, 2**63, 2**70, 2**200, -(2**70)])
def test_a_number_that_no_column_holds_costs_its_cell_and_not_the_tables(number: int) -> None:
    ids = json.dumps({"user_message_id": 2**70, "reserved_assistant_message_id": 7})
    lines = [SESSION, ids, packet("message_start", number), delta("Paris", number), STOP]
    frames = tabled(result(exchange(lines)))
    (row,) = frames["exchanges"].to_dicts()
    assert (row["user_message_id"], row["assistant_message_id"], row["packets"]) == (None, 7, 3)
    assert frames["packets"]["turn_index"].to_list() == [None, None, 0]


def detail(*params: ModelParams | None) -> SessionDetail:
    """The conversation of `IDS`, its answers from id 2 on."""
    answers = tuple(MessageSeen(2 + n, 1, "assistant", None, each) for n, each in enumerate(params))
    return SessionDetail(SESSION_ID, messages=answers)


def judged(one: Result, session: SessionDetail) -> Judged:
    evidence = Evidence(session=session)
    findings = {
        each.exchange_id: audit(each.request, each.transcript, evidence)
        for each in one.exchanges
        if each.transcript
    }
    told = [finding for each in findings.values() for finding in each]
    return Judged(one, (), findings, standing(one, told, []), {session.chat_session_id: session})


def test_each_thing_asked_is_a_row_of_its_own_with_what_became_of_it() -> None:
    request = {"llm_override": {"model_provider": "P", "model_version": "m"}, "origin": "api"}
    sent = structs.replace(exchange(answer("yes"), request=request), session_id=SESSION_ID, stopped=False)
    tables = Tables(count_tokens)
    tables.add(judged(result(sent), detail(ModelParams("other", "openai"))))
    frames = tables.frames()
    assert frames["audits"].rows() == [
        ("t.1.1", "llm_override", "P/m", "openai/other", "ignored"),
        ("t.1.1", "origin", "api", None, "not shown"),
    ]
    (row,) = frames["exchanges"].to_dicts()
    assert (row["audit"], row["model_asked"], row["model_seen"]) == ("ignored", "P/m", "other")
    assert (row["endpoint"], row["stopped"], row["counted"]) == ("send-chat-message", False, False)
    assert frames["models"].is_empty()


def test_models_side_by_side_have_a_row_each_with_times_of_their_own() -> None:
    broke = json.dumps(
        {"error": "no", "error_code": "API_ERROR", "details": {"model": "m1", "model_index": 1}}
    )
    lines = [*side_by_side([START, delta("zero"), STOP], [START, *searched(), delta("on", 1)]), broke]
    request = {"llm_overrides": [{"model_version": "m0"}, {"model_provider": "P", "model_version": "m1"}]}
    sent = structs.replace(exchange(lines, request=request), session_id=SESSION_ID)
    tables = Tables(count_tokens)
    tables.add(judged(result(sent), detail(ModelParams("m0"), None)))
    frames = tables.frames()
    zero, one = frames["models"].to_dicts()
    assert (zero["model_asked"], zero["model_seen"], zero["outcome"], zero["answer"]) == (
        "m0",
        "m0",
        "success",
        "zero",
    )
    assert (zero["ttft_ms"], zero["answer_tokens"]) == (40.0, count_tokens("zero"))
    assert zero["stop_ns"] - zero["last_answer_ns"] == 10 * MS
    assert (one["model_asked"], one["model_seen"], one["outcome"], one["error_code"]) == (
        "P/m1",
        "m1",
        "error",
        "API_ERROR",
    )
    assert (one["ttft_ms"], one["stop_ns"], one["answer"]) == (100.0, None, "on")
    (row,) = frames["exchanges"].to_dicts()
    assert (row["model_asked"], row["model_seen"], row["ttft_ms"]) == ("m0 | P/m1", "m0 | m1", 40.0)
    assert frames["tool_calls"]["call_id"].to_list() == ["m1/t0.0"]


def test_packets_that_share_a_read_are_marked_all_but_the_last() -> None:
    one = exchange([*answer("a", "b", "c")])
    merged = Exchange(
        **{name: getattr(one, name) for name in one.__struct_fields__}
        | {"read_ends": one.read_ends[-1:], "arrived_ns": one.arrived_ns[-1:], "seen_ns": one.seen_ns[-1:]}
    )
    frames = tabled(result(structs.replace(merged, resent=True)))
    assert frames["exchanges"]["resent"].to_list() == [True]
    assert frames["packets"]["merged"].to_list() == [True, True, True, True, False]
    assert frames["exchanges"]["merged_reads"].to_list() == [1]
    assert frames["exchanges"]["reads"].to_list() == [1]


def test_the_tables_are_parquet_files_that_carry_their_schema_version(tmp_path: Path) -> None:
    frames = tabled(timed(50))
    write(frames, tmp_path)
    for name, frame in frames.items():
        assert pl.read_parquet(tmp_path / f"{name}.parquet").equals(frame)
        meta = pl.read_parquet_metadata(tmp_path / f"{name}.parquet")
        assert meta["sigma_harness_schema_version"] == "2"
    assert list(tmp_path.glob("*.partial")) == []


def test_every_column_is_documented() -> None:
    text = RESULTS_README.read_text()
    for table, schema in SCHEMAS.items():
        _, _, section = text.partition(f"## `{table}.parquet`")
        section = section.partition("\n## ")[0]
        assert section, table
        missing = [column for column in schema if f"`{column}`" not in section]
        assert missing == [], table


def test_a_summary_counts_states_and_gives_quantiles_only_of_enough_values() -> None:
    results = [timed(10 * n, trial_id=f"t{n}") for n in range(1, 20)]
    frames = tabled(
        *results, result(skip=Skip.BUDGET, trial_id="x"), timed(500, variant="other", trial_id="y")
    )
    base, other = summarise(frames, ["base", "other", "never ran"]).rows
    assert (base.trials, base.passed, base.not_run, base.pass_rate) == (20, 19, 1, 1.0)
    assert (base.ttft_p50_ms.value, base.ttft_p50_ms.n) == (100.0, 19)
    assert (base.ttft_p95_ms.value, base.ttft_p95_ms.n) == (None, 19)
    assert (other.ttft_p50_ms.value, other.ttft_p50_ms.n) == (None, 1)


def test_the_times_of_a_trial_whose_setting_was_ignored_are_in_no_figure() -> None:
    tables = Tables(count_tokens)
    for one, state in ((timed(10), State.PASSED), (timed(900, trial_id="u"), State.INVALID)):
        tables.add(Judged(one, (), {}, Standing(state, "")))
    frames = tables.frames()
    assert frames["exchanges"]["counted"].to_list() == [True, False]
    (row,) = summarise(frames, ["base"]).rows
    assert (row.trials, row.invalid, row.ttft_p50_ms.n) == (2, 1, 1)


def test_an_exchange_that_brought_nothing_is_not_said_to_have_stamps_of_ours() -> None:
    refused = structs.replace(
        exchange([], status=None, failure=Failure(Fault.CONNECT, Step.CONNECT, "refused")), stamps="user"
    )
    assert summarise(tabled(timed(10), result(refused, trial_id="u")), ["base"]).stamps == {"kernel": 1}


def test_nothing_judged_has_no_pass_rate() -> None:
    (row,) = summarise(tabled(result(skip=Skip.BUDGET)), ["base"]).rows
    assert row.pass_rate is None


def with_ttft(one: Result, ttft_ns: int) -> Result:
    """*one* with its first text moved to *ttft_ns* after it was sent; its stamps are not read again."""
    (only,) = one.exchanges
    stamps = tuple(only.sent_ns + ttft_ns + n for n in range(len(only.arrived_ns))) if only.sent_ns else ()
    return structs.replace(one, exchanges=(structs.replace(only, arrived_ns=(0, *stamps[:-1])),))


def of_metric(histograms: Histograms, metric: str) -> HdrHistogram:
    """Those of all phases and variants together."""
    whole = HdrHistogram(1, LONGEST_US, DIGITS)
    for (_, _, name), each in histograms._of.items():
        if name == metric:
            whole.add(each)
    return whole


def percentile_ms(histograms: Histograms, metric: str, percentile: float) -> float:
    return float(of_metric(histograms, metric).get_value_at_percentile(percentile)) / 1000


@settings(max_examples=10, phases=[Phase.generate])
@given(st.lists(st.integers(2_000, 60_000_000_000), min_size=100, max_size=140))
def test_a_histogram_agrees_with_the_exact_quantiles_to_three_digits(ttfts_ns: list[int]) -> None:
    histograms, one = Histograms(), timed(10)
    for ttft_ns in ttfts_ns:
        histograms.add(with_ttft(one, ttft_ns))
    assert of_metric(histograms, "ttft").get_total_count() == len(ttfts_ns)
    ordered = sorted(ttfts_ns)
    for per_mille in (500, 900, 950, 990):
        found = percentile_ms(histograms, "ttft", per_mille / 10)
        # HdrHistogram rounds a rank where nearest rank goes up, so it may be the value next below; and it
        # counts in whole microseconds.
        rank = -(-len(ordered) * per_mille // 1000)
        assert quantile(ordered, per_mille) == ordered[rank - 1]
        low, high = ordered[rank - 2], ordered[rank - 1]
        assert low * (1 - 1e-3) - 1000 <= found * MS <= high * (1 + 1e-3) + 1000


def test_histograms_are_written_one_for_each_variant_and_metric(tmp_path: Path) -> None:
    histograms = Histograms()
    for n in range(1, 30):
        histograms.add(timed(n, variant="candidate/a+b"))
    names = {path.name for path in histograms.write(tmp_path)}
    assert "latency-candidate_a+b-ttft.hgrm" in names
    assert {path.name for path in tmp_path.iterdir()} == names
    lines = (tmp_path / "latency-candidate_a+b-ttft.hgrm").read_text().splitlines()
    assert lines[0].split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    assert "TotalCount     =       29.000" in lines[-2]


def test_phases_are_never_pooled_and_no_histogram_overwrites_another(tmp_path: Path) -> None:
    histograms = Histograms()
    for phase in ("quiet", "busy"):
        for variant in ("a b", "a_b"):
            histograms.add(structs.replace(timed(10, variant=variant), phase=phase))
    paths = histograms.write(tmp_path)
    assert len(set(paths)) == len(list(tmp_path.iterdir())) == 5 * 4
    names = sorted(
        path.name for path in paths if path.name.startswith("latency-busy-") and "ttft" in path.name
    )
    assert names == ["latency-busy-a_b-ttft.hgrm", "latency-busy-a_b-ttft~.hgrm"]


def test_a_histogram_is_written_in_milliseconds_as_hdrhistogram_would_write_it(tmp_path: Path) -> None:
    histograms = Histograms()
    library = HdrHistogram(1, LONGEST_US, DIGITS)
    for ttft_ms in (2, 50, 50, 51, 60, 700, 701, 9_000, 120_000):
        histograms.add(with_ttft(timed(10), ttft_ms * MS))
        library.record_value(ttft_ms * 1000)
    histograms.write(tmp_path)
    ours = (tmp_path / "latency-base-ttft.hgrm").read_text().splitlines()
    written = BytesIO()
    library.output_percentile_distribution(written, 1000.0)
    theirs = written.getvalue().decode().splitlines()
    rows = len(theirs) - 3
    assert ours[:rows] == theirs[:rows]
    assert ours[rows + 1 :] == theirs[rows + 1 :]
    mean, deviation = map(float, re.findall(r"[\d.]+", ours[rows]))
    assert mean == pytest.approx(fmean((2, 50, 50, 51, 60, 700, 701, 9_000, 120_000)), rel=1e-3)
    assert deviation == pytest.approx(pstdev((2, 50, 50, 51, 60, 700, 701, 9_000, 120_000)), rel=1e-3)


def test_histograms_of_parts_that_are_merged_are_those_of_the_whole(tmp_path: Path) -> None:
    parts, whole = [Histograms(), Histograms(), Histograms()], Histograms()
    for n in range(1, 40):
        one = timed(n * 7, variant=f"v{n % 2}")
        parts[n % 3].add(one)
        whole.add(one)
    merged = Histograms()
    for part in parts:
        merged.merge(part)
    for name, histograms in (("merged", merged), ("whole", whole)):
        (tmp_path / name).mkdir()
        histograms.write(tmp_path / name)
    assert of_metric(merged, "ttft").get_total_count() == 39
    assert of_metric(parts[0], "ttft").get_total_count() == 13  # what is merged stays as it was
    files = {path.name: path.read_text() for path in (tmp_path / "whole").iterdir()}
    assert {path.name: path.read_text() for path in (tmp_path / "merged").iterdir()} == files


def test_gaps_are_counted_one_by_one_of_what_counts_and_only_when_asked_for() -> None:
    histograms, one = Histograms(), result(exchange(answer("a", "b", "c", "d")))
    histograms.add(one)
    assert of_metric(histograms, "gap").get_total_count() == 0
    histograms.add_gaps(one)
    histograms.add_gaps(result(exchange(answer("a", "b")[:-1])))
    assert of_metric(histograms, "gap").get_total_count() == 3
    assert percentile_ms(histograms, "gap", 50) == pytest.approx(10, rel=1e-3)


def test_latest_points_to_the_newest_run(tmp_path: Path) -> None:
    for second in (1, 2):
        folder = new_run(tmp_path, "my suite", datetime(2026, 11, 23, 1, 2, second, tzinfo=UTC))
        point_latest(folder)
    assert (tmp_path / "my_suite" / "latest").resolve() == folder.resolve()
    assert folder.name.startswith("20261123T010202Z-")
