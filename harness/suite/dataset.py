"""Rows of a file as the variables of prompts: csv, tsv, jsonl and Parquet.

A sample is drawn by row number, from the seed and nothing else: the same rows on every machine, in the order
of the file. Files are gone through a row at a time, and only the rows that are drawn are held: polars reads
Parquet, where it can leave out the rest; for lines, the readers of the standard library and msgspec take less
memory than its scans, which grow with the file. Of Parquet a row group is held at once, as whoever wrote the
file cut it: one group over all of it takes memory that grows with it. In a csv everything is text, as it was
written ("007" stays that), and an empty cell is nothing; the other formats say themselves what a value is.
"""

import csv
from codecs import BOM_UTF8
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain, groupby, islice
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from harness.errors import did_you_mean
from harness.suite import parquet
from harness.suite.prompts import Each

ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
MOST = 100_000
"""Prompts that the rows of a suite may make: each is read and planned by itself, in 5 kB and 0.07 ms."""
_AT_ONCE = 16_384
_LONGEST_CELL = 1 << 26

Row = tuple[int, dict[str, Any]]
"""The number of a row in its file, from 1 on, and its columns."""


class DatasetError(ValueError):
    """What is wrong with a file of rows, for whoever wrote its name."""


def rows(each: Each, folder: Path) -> Iterator[Row]:
    """The rows that *each* names, of a file in *folder*. Raises `DatasetError`."""
    path = folder / each.path
    with _readable(path):
        _check(path, each.path)
        if each.sample is not None:
            seen = path.stat()
            yield from _sampled(path, (seen.st_mtime_ns, seen.st_size), each.sample, seed=each.seed or 0)
        else:
            yield from _whole(path)


def table(written: str, folder: Path, wanted: Collection[str], most: int) -> tuple[list[str], list[Row]]:
    """The names of the columns of a file in *folder*, and its rows with no more than those *wanted*.

    For what makes no prompts. Raises `DatasetError`, also where there are more than *most* rows, or none.
    """
    path = folder / written
    with _readable(path):
        _check(path, written)
        if path.suffix.lower() == ".parquet":
            names, read = _taken(path, wanted, most)
        else:
            read = _read(path)
            first = next(read, {})
            names, read = list(first), chain([first] if first else [], read)
        kept = [{name: row[name] for name in wanted if name in row} for row in islice(read, most + 1)]
    if len(kept) > most:
        raise DatasetError(f"{path.name}: it has more than {most:,} rows, which are the most")
    if not kept:
        raise DatasetError(f"{path.name}: there is no row in it")
    return names, list(enumerate(kept, start=1))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DatasetError(f"{path.name}: cannot be read: {reason}") from error


def variables(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a template may use of *row*: each column under its name, and ``row`` with all of them.

    A null is left out of both: a prompt with "None" in it would be asked like any other, and so it is an
    error. What may be missing is written ``{{ x | default("") }}``. A column called "row" is ``row.row``.
    """
    given = {name: value for name, value in row.items() if value is not None}
    return {**given, "row": given}


def _check(path: Path, written: str) -> None:
    if "://" in written:
        told = "only files beside the suite are read, and no hf:// or other address: download it first"
        raise DatasetError(f"{written}: {told}")
    if path.suffix.lower() not in ENDINGS:
        raise DatasetError(f"{written}: rows are read of {', '.join(ENDINGS)}")
    if not path.is_file():
        raise DatasetError(f"{written}: {_not_there(path)}")


def _not_there(path: Path) -> str:
    if path.exists():
        return f"this is {'a folder' if path.is_dir() else 'no ordinary file'}, and a file is wanted"
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}"
    beside = sorted(each.name for each in path.parent.iterdir() if each.suffix.lower() in ENDINGS)
    near = did_you_mean(path.name, beside) or (f"; there is {', '.join(beside[:8])}" if beside else "")
    return f"there is no such file beside the suite{near}"


def _whole(path: Path) -> Iterator[Row]:
    number = 0
    for number, row in enumerate(islice(_read(path), MOST + 1), start=1):
        if number > MOST:
            raise DatasetError(
                f"{path.name}: {_count(path):,} rows would make as many prompts, and {MOST:,} are the most: "
                "say sample: 1000"
            )
        yield number, row
    if not number:
        raise DatasetError(f"{path.name}: there is no row in it")


@lru_cache(maxsize=16)  # the reader looks at the rows, and so does the plan; *stamp* tells another file
def _sampled(path: Path, stamp: tuple[int, int], sample: int, *, seed: int) -> tuple[Row, ...]:
    if sample > MOST:
        raise DatasetError(f"{path.name}: a sample of {sample:,} is wanted, and {MOST:,} are the most")
    count = _count(path)
    if sample > count:
        raise DatasetError(f"{path.name}: it has {count:,} rows, and a sample of {sample:,} is wanted")
    chosen = frozenset(Random(seed).sample(range(count), sample))  # noqa: S311  a sample, no secret
    if path.suffix.lower() == ".parquet":
        return tuple(_picked(path, chosen))
    return tuple((at + 1, row) for at, row in enumerate(_read(path, chosen)) if at in chosen)


def _read(path: Path, chosen: frozenset[int] | None = None) -> Iterator[dict[str, Any]]:
    """Every row of the file; those that are not *chosen* are passed over, and come without their columns."""
    match path.suffix.lower():
        case ".csv":
            return _cells(path, ",", chosen)
        case ".tsv":
            return _cells(path, "\t", chosen)
        case ".parquet":
            return _columns(path)
        case _:
            return _objects(path, chosen)


def _count(path: Path) -> int:
    if path.suffix.lower() != ".parquet":
        return sum(1 for _ in _read(path, frozenset()))
    import polars as pl  # noqa: PLC0415  0.15 s, which suites without Parquet never pay

    with _polars_errors(path):
        parquet.check(path)
        return int(pl.scan_parquet(path).select(pl.len()).collect().item())


def _cells(path: Path, separator: str, chosen: frozenset[int] | None) -> Iterator[dict[str, Any]]:
    lines = _lines(path, separator)
    _, names = next(lines, (1, []))
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DatasetError(f'{path.name}: two columns are called "{twice}"')
    for at, (line, cells) in enumerate((line, cells) for line, cells in lines if cells):
        if len(cells) > len(names):
            told = f"line {line} has {len(cells)} cells, and there are {len(names)} columns"
            raise DatasetError(f"{path.name}: {told}")
        if chosen is not None and at not in chosen:
            yield {}
            continue
        given = [cell or None for cell in cells]
        yield dict(zip(names, [*given, *[None] * (len(names) - len(given))], strict=True))


def _lines(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The cells of each row, and the line of the file that it ends in."""
    csv.field_size_limit(_LONGEST_CELL)
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, delimiter=separator, strict=True)
        try:
            for cells in lines:
                yield lines.line_num, cells
        except csv.Error as error:
            raise DatasetError(f"{path.name}: line {lines.line_num} cannot be read: {error}") from error


def _objects(path: Path, chosen: frozenset[int] | None) -> Iterator[dict[str, Any]]:
    number = -1
    with path.open("rb") as file:
        for at, line in enumerate(file, start=1):
            told = line.removeprefix(BOM_UTF8) if at == 1 else line
            if not told.strip():
                continue
            number += 1
            if chosen is not None and number not in chosen:
                yield {}
                continue
            try:
                yield msgspec.json.decode(told, type=dict[str, Any])
            except (msgspec.DecodeError, RecursionError) as error:
                raise DatasetError(f"{path.name}: line {at} is no JSON object: {error}") from error


def _columns(path: Path) -> Iterator[dict[str, Any]]:
    for start in range(0, _count(path), _AT_ONCE):
        for _, row in _window(path, start, range(_AT_ONCE)):
            yield row


def _taken(path: Path, wanted: Collection[str], most: int) -> tuple[list[str], Iterator[dict[str, Any]]]:
    """The columns that a Parquet file has, and its first rows, one more than *most*, with those *wanted*."""
    import polars as pl  # noqa: PLC0415  as above

    with _polars_errors(path):
        parquet.check(path)
        names = pl.scan_parquet(path).collect_schema().names()
        there = [name for name in names if name in wanted] or names[:1]
        return names, pl.scan_parquet(path).select(there).head(most + 1).collect().iter_rows(named=True)


def _picked(path: Path, chosen: frozenset[int]) -> Iterator[Row]:
    """The *chosen* rows of a Parquet file."""
    for start, places in groupby(sorted(chosen), key=lambda at: at // _AT_ONCE * _AT_ONCE):
        yield from _window(path, start, [at - start for at in places])


def _window(path: Path, start: int, places: Sequence[int]) -> Iterator[Row]:
    """The rows at *places* of a stretch of a Parquet file: what polars streams grows with the file."""
    import polars as pl  # noqa: PLC0415  as above

    with _polars_errors(path):
        stretch = pl.scan_parquet(path).slice(start, _AT_ONCE).collect()
    kept = stretch if len(places) == _AT_ONCE else stretch[list(places)]
    for at, row in zip(places, kept.iter_rows(named=True), strict=False):
        yield start + at + 1, row


@contextmanager
def _polars_errors(path: Path) -> Iterator[None]:
    import polars as pl  # noqa: PLC0415  as above

    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, parquet.Bomb) as error:
        raise DatasetError(f"{path.name}: cannot be read: {str(error).partition(chr(10))[0]}") from error
