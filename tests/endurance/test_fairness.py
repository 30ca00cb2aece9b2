"""How often a phase in which nobody slows anybody says that somebody does: the figures of docs/loads.md."""

import re
from pathlib import Path

import pytest

from tests.unit.test_fairness import load, told

pytestmark = [pytest.mark.endurance, pytest.mark.timeout(1800)]

PAGE = Path(__file__).parents[2] / "docs" / "loads.md"


def test_the_false_alarms_are_as_many_as_the_page_says() -> None:
    found = [told(load(seed)) for seed in range(100, 300)]
    alarms = sum(any(each.found for each in shared.interference) for shared in found)
    pairs = [each for shared in found for each in shared.interference if each.kind == "variant"]
    known = [each for each in pairs if each.figure == "ttft" and each.low is not None]
    missed = sum(not (each.low or 0) <= 1 <= (each.high or 0) for each in known)
    says = [
        tuple(map(int, row)) for row in re.findall(r"(\d+) of (\d+) (?:phases|intervals)", PAGE.read_text())
    ]
    assert says == [(alarms, len(found)), (missed, len(known))]
