"""Amounts with a unit, as people write them: ``90s``, ``3M``, ``2/s``, ``15%``.

One parser for every place in a suite, so that a unit means the same everywhere.
A bare number where a unit is needed is an error: peers read ``timeout: 30`` as
seconds in one file and as milliseconds in the next. What is raised is a
`ValueError` that says how to write it; whoever read the value adds where it was.
"""

import re
from decimal import Decimal

_NANOSECONDS = {
    "d": 86_400_000_000_000,
    "h": 3_600_000_000_000,
    "m": 60_000_000_000,
    "s": 1_000_000_000,
    "ms": 1_000_000,
    "us": 1_000,
    "µs": 1_000,
    "ns": 1,
}
_PIECE = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|d|h|m|s)", re.ASCII)
_BARE = re.compile(r"\d+(\.\d+)?", re.ASCII)
_CLOCK = re.compile(r"\d+(:\d\d){1,2}", re.ASCII)
_COUNT = re.compile(r"(\d+(?:\.\d+)?)([kM]?)", re.ASCII)
_RATE = re.compile(r"(\d+(?:\.\d+)?)/(s|m|h)", re.ASCII)
_TIMES = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)x", re.ASCII)
_SHARE = re.compile(r"(\d+(?:\.\d+)?)(%|pp)", re.ASCII)


def duration(written: object) -> int:
    """Nanoseconds of a duration such as ``90s``, ``1h30m``, ``1.5s`` or ``500ms``.

    Units (d h m s ms us ns) go from large to small, each at most once. A part of
    a nanosecond, a sign, a bare number and a clock time (``1:30``) are errors.
    """
    if _is_number(written) or (isinstance(written, str) and _BARE.fullmatch(written)):
        raise ValueError(f"a duration needs a unit: write {written}s, {written}m or {written}ms")
    text = written if isinstance(written, str) else ""
    if _CLOCK.fullmatch(text):
        raise ValueError("a duration is written with units, such as 1m30s or 1h30m, not as a clock time")
    pieces = _PIECE.findall(text)
    sizes = [_NANOSECONDS[unit] for _, unit in pieces]
    if not pieces or "".join(map("".join, pieces)) != text or sizes != sorted(set(sizes), reverse=True):
        raise ValueError(
            "a duration is written as 90s, 1h30m or 500ms (units d h m s ms us ns, largest first)"
        )
    total = sum(Decimal(number) * size for (number, _), size in zip(pieces, sizes, strict=True))
    if total != int(total):
        raise ValueError("a duration has no parts of a nanosecond")
    return int(total)


def count(written: object) -> int:
    """A whole number such as ``3M``, ``20k`` or ``500``; k is a thousand, M a million."""
    if isinstance(written, int) and not isinstance(written, bool) and written >= 0:
        return written
    match = _COUNT.fullmatch(written) if isinstance(written, str) else None
    if match is None:
        raise ValueError("a count is a whole number, or one with k or M: 500, 20k, 3M")
    total = Decimal(match[1]) * {"": 1, "k": 1_000, "M": 1_000_000}[match[2]]
    if total != int(total):
        raise ValueError("a count is whole: 1.5k is 1500, but 1.0005k is no whole number")
    return int(total)


def rate(written: object) -> float:
    """How many per second: ``2/s`` is 2.0, ``30/m`` is 0.5."""
    if _is_number(written):
        raise ValueError(f"a rate needs a unit: write {written}/s, {written}/m or {written}/h")
    match = _RATE.fullmatch(written) if isinstance(written, str) else None
    if match is None or not Decimal(match[1]):
        raise ValueError("a rate is written as 2/s, 30/m or 100/h, and is more than nothing")
    return float(Decimal(match[1]) / {"s": 1, "m": 60, "h": 3600}[match[2]])


def share(written: object) -> float:
    """A part of one: ``15%`` is 0.15 and ``3pp`` (percentage points) is 0.03."""
    if _is_number(written):
        raise ValueError(f"a share needs a unit: write {written}%, or {written}pp for percentage points")
    match = _SHARE.fullmatch(written) if isinstance(written, str) else None
    if match is None:
        raise ValueError("a share is written as 15%, or as 3pp for percentage points")
    return float(Decimal(match[1]) / 100)


def times(written: object) -> float:
    """How many times as fast: ``2x`` is 2.0, ``0.5x`` half as fast."""
    if _is_number(written):
        raise ValueError(f"a speed is so many times as fast: write {written}x")
    match = _TIMES.fullmatch(written) if isinstance(written, str) else None
    if match is None or not Decimal(match[1]):
        raise ValueError("a speed is written as 2x, or 0.5x for half as fast, and is more than nothing")
    return float(match[1])


def _is_number(written: object) -> bool:
    return isinstance(written, int | float) and not isinstance(written, bool)
