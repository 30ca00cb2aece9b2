import re
from collections.abc import Callable

import pytest

from harness.suite import literals

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("written", "nanoseconds"),
    [
        ("90s", 90 * SECOND),
        ("15m", 900 * SECOND),
        ("1h30m", 5_400 * SECOND),
        ("1d2h", 93_600 * SECOND),
        ("500ms", SECOND // 2),
        ("1.5s", 1_500_000_000),
        ("0.1s", 100_000_000),
        ("20us", 20_000),
        ("20µs", 20_000),
        ("7ns", 7),
        ("1m1s1ms1us1ns", 61_001_001_001),
        ("0s", 0),
    ],
)
def test_a_duration_is_whole_nanoseconds(written: str, nanoseconds: int) -> None:
    assert literals.duration(written) == nanoseconds


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        (90, "write 90s"),
        (1.5, "write 1.5s"),
        ("90", "a duration needs a unit: write 90s, 90m or 90ms"),
        ("1:30", "1m30s"),
        ("1:30:00", "clock time"),
        ("30m1h", "largest first"),
        ("1s1s", "largest first"),
        ("90 s", "90s"),
        ("-5s", "90s"),
        ("0.5ns", "parts of a nanosecond"),
        ("", "90s"),
        ("٣s", "90s"),
        (True, "90s"),
        (None, "90s"),
        (["90s"], "90s"),
    ],
)
def test_what_is_no_duration_is_told_how_to_write_one(written: object, hint: str) -> None:
    with pytest.raises(ValueError, match="a duration") as caught:
        literals.duration(written)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("read", "written", "value"),
    [
        (literals.count, "3M", 3_000_000),
        (literals.count, "20k", 20_000),
        (literals.count, "1.5k", 1_500),
        (literals.count, "500", 500),
        (literals.count, 500, 500),
        (literals.rate, "2/s", 2.0),
        (literals.rate, "30/m", 0.5),
        (literals.rate, "3600/h", 1.0),
        (literals.share, "15%", 0.15),
        (literals.share, "3pp", 0.03),
        (literals.share, "0.5%", 0.005),
        (literals.share, "100%", 1.0),
    ],
)
def test_counts_rates_and_shares_have_one_meaning(
    read: Callable[[object], float], written: object, value: float
) -> None:
    assert read(written) == value


@pytest.mark.parametrize(
    ("read", "written", "hint"),
    [
        (literals.count, "3m", "k or M"),
        (literals.count, -1, "whole number"),
        (literals.count, 1.5, "whole number"),
        (literals.count, True, "whole number"),
        (literals.count, "1.0005k", "whole"),
        (literals.rate, 2, "2/s"),
        (literals.rate, "2", "2/s"),
        (literals.rate, "0/s", "more than nothing"),
        (literals.rate, "2/d", "2/s"),
        (literals.share, 0.15, "needs a unit"),
        (literals.share, "15", "15%"),
        (literals.share, "-3pp", "15%"),
    ],
)
def test_a_bare_number_where_a_unit_is_needed_is_an_error(
    read: Callable[[object], float], written: object, hint: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(hint)):
        read(written)
