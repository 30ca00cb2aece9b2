"""docs/robustness.md shows what was measured last, of every fault and every kill point that there is."""

import json

from tests.drive.broken import BROKEN
from tests.e2e.test_kill_points import POINTS
from tests.fuzz.readers import READERS
from tests.robustness_tables import FIGURES, MEASURE, PAGE, rendered

MEASURED = json.loads(FIGURES.read_text())
AGAIN = "python -m tests.robustness_tables"


def test_the_tables_are_those_of_the_figures() -> None:
    page = PAGE.read_text()
    assert rendered(page, MEASURED) == page, f"{AGAIN} writes the page"


def test_every_fault_was_met_and_none_was_lost() -> None:
    assert [row["name"] for row in MEASURED["faults"]["rows"]] == [one.name for one in BROKEN], (
        f"{AGAIN} faults"
    )
    assert [row for row in MEASURED["faults"]["rows"] if row["well"] != row["tried"]] == []


def test_every_kill_point_was_tried_and_nothing_was_lost_or_counts_twice() -> None:
    assert [row["name"] for row in MEASURED["kills"]["rows"]] == list(POINTS), f"{AGAIN} kills"
    rows = [row for name in ("kills", "random", "shared") for row in MEASURED.get(name, {}).get("rows", ())]
    assert [row for row in rows if not row["whole"]] == []


def test_every_reader_was_given_changed_input_and_none_broke() -> None:
    rows = MEASURED["fuzzing"]["rows"]
    assert [row["name"] for row in rows] == list(READERS), f"{AGAIN} fuzzing"
    assert [row for row in rows if row["broke"]] == []


def test_the_page_names_what_is_measured_and_each_figure_has_its_day_and_its_machine() -> None:
    assert f"{AGAIN} {' '.join(MEASURE)}" in PAGE.read_text()
    for told in MEASURED.values():
        assert {"on", "took_s", "cores", "load"} <= set(told)
