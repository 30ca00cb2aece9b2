"""What has to hold, as people write it: read, refused, and turned into shares."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.limit.slo import Term, read_slo, slo_of
from harness.suite.metric import LATENCIES
from harness.suite.read import parse_suite


def term(text: str) -> Term:
    (found,) = read_slo(text)
    return found


@pytest.mark.parametrize(
    ("text", "allowed", "bound"),
    [
        ("ttft.p95<2s", 0.05, 2000.0),
        ("ttft.p95 <= 2s", 0.05, 2000.0),
        ("ttft.p99.9<500ms", 0.001, 500.0),
        ("response_total.p50<1m30s", 0.5, 90_000.0),
        ("stall.p90<1s", 0.1, 1000.0),
        ("gap.p99<100ms", 0.01, 100.0),
        ("tokens_per_s.p10>20", 0.1, 20.0),
        ("error_rate<1%", 0.01, None),
        ("error_rate<=0", 0.0, None),
        ("ttft<=2s>=95%", 0.05, 2000.0),
        ("total<=30s > 0.9", 0.1, 30_000.0),
    ],
)
def test_a_limit_is_a_share_that_may_break_it(text: str, allowed: float, bound: float | None) -> None:
    found = term(text)
    assert found.allowed == pytest.approx(allowed)
    assert found.bound == bound


def test_quality_is_what_grading_finds() -> None:
    found = read_slo("ttft.p95<2s", "pass_rate>0.9, check:cites>95%")
    assert [(each.told, each.is_late) for each in found] == [
        ("ttft.p95<2s", False),
        ("pass_rate>0.9", True),
        ("check:cites>95%", True),
    ]


@pytest.mark.parametrize(
    ("slo", "quality", "says"),
    [
        ("ttft.p95", None, "a limit is a metric, < or >, and a value"),
        ("", None, "a limit is a metric"),
        ("tfft.p95<2s", None, "did you mean ttft.p95?"),
        ("ttft<2s", None, "which one: ttft.p50"),
        ("ttft.p95<2", None, "a duration needs a unit: write 2s"),
        ("ttft.p95>2s", None, "good where it is low: ttft.p95<2s"),
        ("tokens_per_s.p10<20", None, "good where it is high: tokens_per_s.p10>20"),
        ("ttft.mean<2s", None, "a mean is no share of the replies"),
        ("tool.p95<2s", None, "cannot be held against a load"),
        ("cost<1", None, "cannot be held against a load"),
        ("invalid_rate<1%", None, "did you mean error_rate<1%?"),
        ("error_rate<200%", None, "a share lies between 0 and 1"),
        ("error_rate<nan", None, "a share is written as 15%"),
        ("error_rate<100%", None, "that holds always, or never"),
        ("ttft.p95<0s", None, "that holds always, or never"),
        ("ttft.p95<" + "9" * 400 + "s", None, "that is more than any number here can be"),
        ("pass_rate>0.9", None, "is said with --quality"),
        ("ttft.p95<2s", "ttft.p95<1s", "--quality takes what grading finds"),
        ("ttft.p95<2s, ttft.p95<3s", None, "ttft.p95 is there twice"),
    ],
)
def test_what_means_nothing_is_refused_with_what_would(slo: str, quality: str | None, says: str) -> None:
    with pytest.raises(UsageError, match=r"^--(slo|quality)|is there twice") as raised:
        read_slo(slo, quality)
    assert says in str(raised.value)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(UsageError) as raised:
        read_slo("ttft.p95<2, error_rat<1%")
    assert len(str(raised.value).splitlines()) == 2


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(UsageError):
        assert all(0 <= each.allowed < 1 for each in read_slo(text))


@given(
    latency=st.sampled_from(LATENCIES),
    per_mille=st.integers(1, 999),
    milliseconds=st.integers(1, 10**7),
    sign=st.sampled_from(["<", "<=", " < "]),
    before=st.sampled_from(["", "response_"]),
)
def test_every_quantile_of_every_latency_can_be_limited(
    latency: str, per_mille: int, milliseconds: int, sign: str, before: str
) -> None:
    found = term(f"{before}{latency}.p{per_mille / 10:g}{sign}{milliseconds}ms")
    assert found.bound == milliseconds
    assert found.allowed == pytest.approx(1 - per_mille / 1000)
    assert not found.breaks(milliseconds)
    assert found.breaks(milliseconds + 0.1)
    assert found.breaks(float("inf"))
    assert found.least >= 1 / found.allowed


def test_of_what_should_be_high_too_little_breaks_it() -> None:
    found = term("tokens_per_s.p10>20")
    assert [found.breaks(each) for each in (19.9, 20.0, 50.0)] == [True, False, False]


def test_the_gates_of_a_suite_say_what_has_to_hold_where_they_hold_it_against_a_number() -> None:
    rules = (
        "{metric: ttft.p95, max: 2s}, {metric: error_rate, max: 1%}, {metric: pass_rate, min: 0.9}, "
        "{metric: total.p50, max_ratio: 1.1}, {metric: ttft.mean, max: 1s}, {metric: score, min: 0.5}"
    )
    text = (
        f"target: standin\nprompts: [{{message: a}}]\nvariants: {{a: {{}}, b: {{}}}}\n"
        f"gates: {{baseline: a, rules: [{rules}]}}\n"
    )
    slo, quality = slo_of(parse_suite(text, Path("s.yaml"), {}))
    assert slo == "ttft.p95<2s, error_rate<1%"
    assert quality is not None
    assert quality.startswith("pass_rate>0.9")
    assert read_slo(slo, quality)
