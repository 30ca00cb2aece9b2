"""What a Parquet file says that it unpacks to, read from its footer before anybody unpacks it.

A few kilobytes can hold billions of rows, or gigabytes of one letter. The tables of a run come to
some twenty times their size in memory; a file that says it is hundreds of times its size was made to fill
memory, and is not opened. The footer is thrift, of which this reads no more than the numbers.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

MOST_TIMES = 250
"""How many times its size a file may unpack to; one that stays below `ALWAYS` bytes may be anything."""
ALWAYS = 256 * 2**20
_MOST_FOOTER = 64 * 2**20
_A_VALUE = 16  # bytes, about, of one value of a column in memory
_DEEPEST = 16

Fields = dict[int, Any]


class Bomb(ValueError):  # noqa: N818  a name says it
    """A file that unpacks to far more than it is, or whose footer is none."""


def check(path: Path) -> None:
    """Raise `Bomb` where the file at *path* is one, and `OSError` where it cannot be read."""
    if not path.is_file() and path.exists():
        raise Bomb("this is no ordinary file")
    size = path.stat().st_size
    unpacked = unpacked_size(path)
    if unpacked > max(ALWAYS, MOST_TIMES * size):
        raise Bomb(f"{size:,} bytes that unpack to {unpacked:,}: no file that was written to be read")


def unpacked_size(path: Path) -> int:
    """How many bytes all columns of the file at *path* come to in memory, as its footer has it."""
    with path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(max(0, end - 8))
        tail = file.read(8)
        length = int.from_bytes(tail[:4], "little")
        if tail[4:] != b"PAR1" or not 0 < length <= min(end - 8, _MOST_FOOTER):
            raise Bomb("this is no Parquet file, or its end is missing")
        file.seek(end - 8 - length)
        footer = file.read(length)
    try:
        return sum(map(_column_size, _columns(_Reader(footer).struct())))
    except (IndexError, ValueError, TypeError, AttributeError) as error:
        raise Bomb("the footer of this Parquet file cannot be read") from error


def _columns(footer: Fields) -> Iterator[Fields]:
    """The metadata of each column of each group of rows."""
    for group in footer.get(4, []):
        for chunk in group.get(1, []):
            yield chunk.get(3, {})


def _column_size(column: Fields) -> int:
    values, packed = int(column.get(5, 0)), int(column.get(6, 0))
    if values < 0 or packed < 0:
        raise ValueError("less than nothing")
    return max(values * _A_VALUE, packed)


class _Reader:
    """Thrift's compact protocol, read from *data* on."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def struct(self, depth: int = 0) -> Fields:
        """The fields of a struct, by their numbers."""
        if depth > _DEEPEST:
            raise ValueError("nested too deeply")
        fields: Fields = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._signed()
            kind = head & 15
            fields[number] = kind == 1 if kind in {1, 2} else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        match kind:
            case 1 | 2 | 3:
                return self._byte()
            case 4 | 5 | 6:
                return self._signed()
            case 7:
                return self._skip(8)
            case 8:
                return self._skip(self._varint())
            case 9 | 10:
                return self._list(depth)
            case 12:
                return self.struct(depth + 1)
            case _:
                raise ValueError(f"no such kind: {kind}")

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        length = head >> 4 if head >> 4 < 15 else self._varint()
        # An item is a byte at least: the end of the data ends it.
        return [self._value(head & 15, depth + 1) for _ in range(length)]

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _skip(self, count: int) -> None:
        self._at += count
        if self._at > len(self._data):
            raise IndexError("beyond the end")

    def _varint(self) -> int:
        value = shift = 0
        while shift < 70:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
        raise ValueError("no number is as long")

    def _signed(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
