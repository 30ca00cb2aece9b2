"""Tokens of a text, estimated offline.

Sigma reports no token counts (wire 0.8), so they are counted here, with
OpenAI's o200k vocabulary whatever model answered: an estimate, and labelled so
wherever it is shown.
"""

from collections.abc import Sequence
from functools import cache
from typing import Protocol

VOCABULARY = "o200k_base"

_PIECE = 500_000
"""Characters that are counted at once: the package refuses a million."""


class _Encoding(Protocol):
    def encode_ordinary(self, text: str) -> Sequence[int]: ...


@cache
def _encoding() -> _Encoding:
    # The package takes 1.5 s of CPU to import: not before or during the measured part of a run.
    from bpe_openai import get_encoding  # noqa: PLC0415

    encoding: _Encoding = get_encoding(VOCABULARY)
    return encoding


def count_tokens(text: str) -> int:
    """How many o200k tokens *text* has; of megabytes a few too many, since those are counted in pieces."""
    pieces = (text[at : at + _PIECE] for at in range(0, len(text), _PIECE))
    return sum(len(_encoding().encode_ordinary(piece)) for piece in pieces)
