"""Figures as CSV and charts as PNG: whole files, nothing for what is missing, and no formulas."""

from pathlib import Path

import polars as pl
import pytest

from harness.errors import RunDirectoryError
from harness.record.store import read_manifest
from harness.record.tables import scan as table_of
from harness.report import charts, export
from tests.report.made import Came, made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return made(tmp_path / "run", [Came(case="=1+1", tags=("x", "y")), Came(case="b", variant="@w")])


def test_tables_are_written_as_csv_with_nothing_for_what_is_missing(folder: Path, tmp_path: Path) -> None:
    written = export.csv(folder, tmp_path / "out")
    assert sorted(path.name for path in written) == sorted(path.name for path in (tmp_path / "out").iterdir())
    assert {"variants.csv", "prompts.csv", "steps.csv", "quantiles.csv", "checks.csv", "audits.csv"} <= {
        path.name for path in written
    }
    prompts = pl.read_csv(tmp_path / "out" / "prompts.csv")
    assert prompts.select("case_id", "variant", "tags").rows() == [("'=1+1", "v", "x y"), ("b", "'@w", "")]
    variants = pl.read_csv(tmp_path / "out" / "variants.csv")
    assert variants["cost_usd"].null_count() == 2
    assert variants["trials"].to_list() == [1, 1]
    assert pl.read_csv(tmp_path / "out" / "checks.csv")["failed"].to_list() == [1, 1]


@pytest.mark.slow
def test_charts_are_written_as_pictures(folder: Path, tmp_path: Path) -> None:
    written = export.png(folder, tmp_path / "out" / "deep")
    names = [
        chart.name for chart in charts.of_run(lambda name: table_of(name, folder), read_manifest(folder))
    ]
    assert [path.name for path in written] == [f"{name}.png" for name in names]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


def test_where_nothing_can_be_written_it_is_said(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(RunDirectoryError, match=r"out.*cannot be written"):
        export.csv(folder, tmp_path / "out")
    with pytest.raises(RunDirectoryError, match="manifest"):
        export.png(tmp_path, tmp_path / "elsewhere")
