"""A trace: when conversations began somewhere else, and which, so that a load can begin so again.

A row is an arrival. Its time is in `due_ns` (whole nanoseconds) or `due_s` (seconds), absolute and since
whenever; `variant` and `prompt` (or `case_id`) say what was asked, where the trace says so. The table
`trials` of a run is a trace as it is: what had no due time, in a closed load, was due when it began, and what
was never begun there is left out.

The first arrival that is taken is moment 0 of the load. A file of somebody's own has to be in order: what
is not is most often a list of gaps. Units are in the names, and a trace of more than 31 days is refused,
because it is most often one of an hour whose milliseconds are called seconds.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import did_you_mean
from harness.suite import dataset
from harness.suite.dataset import DatasetError
from harness.suite.phases import Trace

MOST = 2_000_000
"""Arrivals of a trace: as many trials as a plan may have."""
LONGEST_NS = 31 * 86_400_000_000_000

_TIMES = ("due_ns", "due_s")
_OF_A_RUN = {"trial_id", "due_ns", "began_ns"}
_COLUMNS = (*_TIMES, "began_ns", "variant", "prompt", "case_id", "phase")
_NUMBER = re.compile(r"[+-]?\d{1,30}(\.\d{0,30})?([eE][+-]?\d{1,2})?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,30}", re.ASCII)
_SECOND = 1_000_000_000

When = Callable[[Mapping[str, Any]], int | None]
"""When a row was due, in ns; None where it never was. Raises `ValueError` with what is wrong with it."""


class Row(NamedTuple):
    """An arrival: the *number* of its row, when it is due, and which variant and prompt it names, if any."""

    number: int
    at_ns: int
    variant: str | None
    case_id: str | None


def rows(trace: Trace, folder: Path) -> tuple[Row, ...]:
    """The arrivals of *trace*, a file in *folder*, in order, from moment 0 on. Raises `DatasetError`."""
    path = folder / trace.path
    seen = path.stat() if path.is_file() else None
    return _rows(trace, folder, None if seen is None else (seen.st_mtime_ns, seen.st_size))


@lru_cache(maxsize=4)  # the reader looks at them, and so does the plan; *stamp* tells another file
def _rows(trace: Trace, folder: Path, stamp: tuple[int, int] | None) -> tuple[Row, ...]:
    name = Path(trace.path).name
    _refuse_folder(folder / trace.path, trace.path)
    names, given = dataset.table(trace.path, folder, _COLUMNS, MOST)
    of_run = set(names) >= _OF_A_RUN
    when = _when_of_run if of_run else _when(names, name)
    found = list(_read(_of_phase(given, trace, names), when, trace, name))
    if not found:
        raise DatasetError(f"{name}: no row of it was ever due")
    if of_run:
        found.sort(key=lambda row: row.at_ns)
    _in_order(found, name)
    return tuple(_from(found, trace, name))


def _refuse_folder(path: Path, written: str) -> None:
    """Whoever names the folder of a run means the table in it."""
    if (path / "trials.parquet").is_file():
        raise DatasetError(f"{written}: this is a folder; of a run say {written.rstrip('/')}/trials.parquet")


def _when(names: Collection[str], name: str) -> When:
    """How the time of a row is read, by the columns that there are."""
    there = [column for column in _TIMES if column in names]
    if "exchange_id" in names:
        raise DatasetError(f"{name}: this is a run's table of exchanges: say trials.parquet, beside it")
    match there:
        case ["due_ns"]:
            return lambda row: _nanoseconds("due_ns", row.get("due_ns"))
        case ["due_s"]:
            return lambda row: _seconds("due_s", row.get("due_s"))
        case []:
            raise DatasetError(
                f"{name}: when something was due is in a column due_ns (nanoseconds) or due_s (seconds), and "
                f"its columns are {_few(list(names))}"
            )
        case _:
            raise DatasetError(f"{name}: it has due_ns and due_s: leave one of them out")


def _when_of_run(row: Mapping[str, Any]) -> int | None:
    """When a trial of a run was due, or began where no time was set; None of one that did neither."""
    column = "began_ns" if row.get("due_ns") is None else "due_ns"
    value = row.get(column)
    return None if value is None else _nanoseconds(column, value)


def _of_phase(given: list[dataset.Row], trace: Trace, names: Collection[str]) -> Iterator[dataset.Row]:
    if trace.phase is None:
        return iter(given)
    name = Path(trace.path).name
    if "phase" not in names:
        raise DatasetError(f"{name}: it has no column phase, so that none can be taken of it")
    kept = [each for each in given if each[1].get("phase") == trace.phase]
    if not kept:
        phases = list(dict.fromkeys(str(row.get("phase")) for _, row in given))
        near = did_you_mean(trace.phase, phases) or ";"
        raise DatasetError(f"{name}: no row of it is of phase {trace.phase}{near} it has {_few(phases)}")
    return iter(kept)


def _read(given: Iterator[dataset.Row], when: When, trace: Trace, name: str) -> Iterator[Row]:
    texts: dict[str, str] = {}
    for number, row in given:
        try:
            at_ns = when(row)
            variant = None if "variant" in trace.ignore else _text("variant", row, texts)
            case_id = None if "prompt" in trace.ignore else _prompt(row, texts)
        except ValueError as error:
            raise DatasetError(f"{name}: row {number}: {error}") from None
        if at_ns is not None:
            yield Row(number, at_ns, variant, case_id)


def _prompt(row: Mapping[str, Any], texts: dict[str, str]) -> str | None:
    return _text("case_id", row, texts) or _text("prompt", row, texts)


def _text(column: str, row: Mapping[str, Any], texts: dict[str, str]) -> str | None:
    """A name, which may have been written as a number; the same object wherever it is the same."""
    value = row.get(column)
    if value is None or value == "":
        return None
    if type(value) is str:
        return texts.setdefault(value, value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{column} is {_shown(value)}: a name is wanted")
    return texts.setdefault(str(value), str(value))


def _nanoseconds(column: str, value: Any) -> int:
    if type(value) is int and value >= 0:  # of a million rows all, as a rule
        return value
    in_words = isinstance(value, str) and _WHOLE.fullmatch(value)
    whole = int(value) if in_words or (isinstance(value, float) and value.is_integer()) else value
    if isinstance(whole, bool) or not isinstance(whole, int):
        told = f"{column} is {_shown(value)}: a whole number of nanoseconds is wanted"
        raise ValueError(told)
    return _not_negative(column, whole, value)


def _seconds(column: str, value: Any) -> int:
    """The nanoseconds of a number of seconds, by its shortest decimal form: 0.1 s is 100,000,000."""
    written = str(value) if isinstance(value, int | float | Decimal | str) else ""
    if isinstance(value, bool) or not _NUMBER.fullmatch(written):
        raise ValueError(f"{column} is {_shown(value)}: a number of seconds is wanted")
    return _not_negative(column, round(Decimal(written) * _SECOND), value)


def _not_negative(column: str, at_ns: int, value: Any) -> int:
    if at_ns < 0:
        raise ValueError(f"{column} is {_shown(value)}: a time is 0 or more, since whenever")
    return at_ns


def _in_order(found: list[Row], name: str) -> None:
    for before, after in pairwise(found):
        if after.at_ns < before.at_ns:
            raise DatasetError(
                f"{name}: row {after.number} was due before row {before.number}: times are absolute and in "
                "order; sort the file, or, if these are gaps, add them up"
            )
    if (lasts_ns := found[-1].at_ns - found[0].at_ns) > LONGEST_NS:
        days = lasts_ns / LONGEST_NS * 31
        raise DatasetError(
            f"{name}: its last arrival is {days:,.0f} days after the first, and 31 are the most: are these "
            "really seconds (due_s) or nanoseconds (due_ns)?"
        )


def _from(found: list[Row], trace: Trace, name: str) -> Iterator[Row]:
    zero_ns = found[0].at_ns + trace.from_
    if zero_ns > found[-1].at_ns:
        lasts = (found[-1].at_ns - found[0].at_ns) / _SECOND
        raise DatasetError(f"{name}: from: is after its last arrival, {lasts:,.3f} s after its first")
    return (Row(row[0], row[1] - zero_ns, row[2], row[3]) for row in found if row[1] >= zero_ns)


def _shown(value: Any) -> str:
    if value is None:
        return "missing"
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _few(names: list[str]) -> str:
    return ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")
