"""Samples of rows: the same on every machine, whatever the file looks like."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.suite.dataset import ENDINGS, rows
from harness.suite.prompts import Each
from harness.suite.read import parse_suite
from harness.suite.resolve import resolve_cases
from tests import formats

CELL = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8)
TABLES = st.lists(st.fixed_dictionaries({"id": CELL, "a b": CELL, "topic": CELL}), min_size=1, max_size=30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rows")


def write(table: list[dict[str, Any]], path: Path, columns: list[str] | None = None) -> None:
    formats.written(pl.DataFrame(table).select(columns or list(table[0])), path)


@given(TABLES, st.integers(0, 2**32), st.data())
@settings(max_examples=60)
def test_a_sample_is_rows_of_the_file_in_its_order_and_the_same_in_every_format(
    folder: Path, table: list[dict[str, Any]], seed: int, data: st.DataObject
) -> None:
    sample = data.draw(st.integers(1, len(table)))
    drawn = []
    for ending in ENDINGS:
        write(table, folder / f"a{ending}")
        drawn.append(list(rows(Each(path=f"a{ending}", sample=sample, seed=seed), folder)))
    numbers = [number for number, _ in drawn[0]]
    assert all(other == drawn[0] for other in drawn)
    assert len(numbers) == sample
    assert numbers == sorted(set(numbers))
    assert [row for _, row in drawn[0]] == [table[number - 1] for number in numbers]


@given(TABLES, st.permutations(["id", "a b", "topic"]), st.integers(0, 9), st.sampled_from(ENDINGS))
@settings(max_examples=60)
def test_the_order_of_the_columns_is_of_no_consequence(
    folder: Path, table: list[dict[str, Any]], columns: list[str], seed: int, ending: str
) -> None:
    each = Each(path=f"b{ending}", sample=max(1, len(table) // 2), seed=seed)
    write(table, folder / each.path)
    first = list(rows(each, folder))
    write(table, folder / each.path, columns)
    assert list(rows(each, folder)) == first


@given(TABLES, st.integers(0, 9))
@settings(max_examples=40)
def test_a_sample_of_all_rows_is_the_file(folder: Path, table: list[dict[str, Any]], seed: int) -> None:
    write(table, folder / "c.csv")
    everything = list(rows(Each(path="c.csv"), folder))
    assert everything == list(enumerate(table, start=1))
    assert list(rows(Each(path="c.csv", sample=len(table), seed=seed), folder)) == everything


@given(st.lists(CELL.filter(str.strip), min_size=1, max_size=20, unique=True))
@settings(max_examples=40)
def test_what_a_cell_says_is_asked_word_for_word(folder: Path, cells: list[str]) -> None:
    write([{"id": cell} for cell in cells], folder / "d.csv")
    text = "target: standin\nprompts: [{id: 'x/{{ id }}', each: d.csv, message: '{{ id }}'}]\n"
    cases = resolve_cases(parse_suite(text, folder / "s.yaml", {}))
    assert [case.turns[0].message for case in cases] == cells
    assert [case.case_id for case in cases] == [f"x/{cell}" for cell in cells]
