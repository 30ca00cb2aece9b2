"""Runs that several processes or nodes shared, looked at by tests."""

from collections import Counter
from pathlib import Path

import polars as pl

from harness import journal


def folder_of(where: Path) -> Path:
    """The one run whose results are below *where*."""
    (found,) = where.glob("results/*/2*")
    return found


def rows(folder: Path) -> pl.DataFrame:
    """The trials of a run."""
    return pl.read_parquet(folder / "trials.parquet")


def recorded(folder: Path) -> list[Counter[str]]:
    """How often each journal of a run has a result of each trial, by the number of its process."""
    return [Counter(head.trial_id for head in journal.heads(path)) for path in journal.journals(folder)]
