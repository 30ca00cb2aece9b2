"""Honest input, changed: bytes flipped, cut, repeated and spliced; of JSON the values, too."""

import json
from typing import Any

from hypothesis import strategies as st

ODD_BYTES = (
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\r",
    b"\n",
    b"\t",
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b"\\ud800",
    b"&a *a",
)
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1.5, 2**31, 2**63, 2**64, 10**40, float("nan"), float("inf")),
    *("", "\ud800", "\x00", "\u202e", "../../etc/passwd", [], {}, [[]], "x" * 1000),
)


@st.composite
def bytes_of(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """One of *seeds*, changed in a few places."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 4))):
        data = _changed(draw, data, seeds)
    return data


def _changed(draw: st.DrawFn, data: bytes, seeds: list[bytes]) -> bytes:
    at = draw(st.integers(0, len(data)))
    to = min(len(data), at + draw(st.integers(0, 200)))
    match draw(st.sampled_from(["flip", "cut", "again", "put", "splice", "swap", "deep"])):
        case "flip":
            middle, to = draw(st.binary(min_size=1, max_size=4)), at + 1
        case "cut":
            middle = b""
        case "again":
            middle = data[at:to] * draw(st.integers(2, 50))
        case "put":
            middle, to = draw(st.sampled_from(ODD_BYTES)), at
        case "splice":
            middle, to = draw(st.sampled_from(seeds))[at:], len(data)
        case "deep":
            middle, to = draw(st.sampled_from([b"[", b'{"a":', b"{a: ", b"- "])) * 3000, at
        case _:
            return _swapped(draw, data)
    return data[:at] + middle + data[to:]


def _swapped(draw: st.DrawFn, data: bytes) -> bytes:
    """One line of JSON with a value that is another, of another kind; twice under the same key."""
    lines = data.split(b"\n")
    nth = draw(st.integers(0, len(lines) - 1))
    try:
        document = json.loads(lines[nth].removeprefix(b"data:"))
    except (ValueError, RecursionError):
        return data
    here, value = document, draw(st.sampled_from(ODD_VALUES))
    while isinstance(here, dict) and here:
        key = draw(st.sampled_from(sorted(here)))
        if isinstance(here[key], dict) and here[key] and draw(st.booleans()):
            here = here[key]
            continue
        here[key] = value
        break
    written = json.dumps(document).encode()
    twice = written[:-1] + b',"type":"x"}' if draw(st.booleans()) and written.endswith(b"}") else written
    return b"\n".join([*lines[:nth], twice, *lines[nth + 1 :]])
