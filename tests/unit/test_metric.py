"""The names of metrics: what each one is, and what is said of one that is none."""

import pytest

from harness.record.tables import EXCHANGES, TOOL_CALLS
from harness.suite.metric import AMOUNTS, LATENCIES, STATES, TIMES, every, metric


@pytest.mark.parametrize(
    "name", ["pass_rate", "score", *STATES, *AMOUNTS, "check:rubric", "pass^3", "pass@2"]
)
def test_a_plain_name_is_a_metric(name: str) -> None:
    assert metric(name).name == name


@pytest.mark.parametrize("time", TIMES)
def test_every_time_has_quantiles_and_a_mean_and_is_a_column(time: str) -> None:
    assert metric(f"{time}.p95").per_mille == 950
    assert metric(f"{time}.p99.9").per_mille == 999
    assert metric(f"{time}.mean").per_mille is None
    assert metric(f"{time}.p50").of in {**EXCHANGES, **TOOL_CALLS}


def test_a_tool_is_named_after_a_colon() -> None:
    found = metric("tool:internal_search.p50")
    assert (found.of, found.tool, found.unit) == ("duration_ms", "internal_search", "ms")


def test_a_share_within_a_limit_has_its_limit_in_ms() -> None:
    found = metric("ttft<=2s")
    assert (found.kind, found.of, found.limit_ms, found.is_time, found.is_share) == (
        "within",
        "ttft_ms",
        2000.0,
        True,
        True,
    )


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("pass_rat", "did you mean pass_rate?"),
        ("ttft", "ttft: which one: ttft.p50, ttft.p95"),
        ("ttft.95", '"ttft.95" is no metric; did you mean'),
        ("ttfd.p95", "did you mean ttft.p95?"),
        ("ttft.p0", "a quantile lies between p0.1 and p99.9"),
        ("ttft<=2", "a duration needs a unit: write 2s"),
        ("tokens_per_s<=2s", "is no metric"),
        ("tool:web<=2s", "a share within a limit is of exchanges"),
        ("pass^0", "is no metric"),
        ("check:", "is no metric"),
    ],
)
def test_a_name_that_is_none_says_what_there_is(name: str, says: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        metric(name)
    assert says in str(caught.value)


def test_what_is_compared_without_being_asked_are_metrics() -> None:
    names = [each.name for each in every(["web"])]
    assert "tool:web.p50" in names
    assert len(set(names)) == len(names)


def test_latencies_are_those_of_the_tables() -> None:
    assert {f"{name}_ms" for name in LATENCIES} <= set(EXCHANGES)
