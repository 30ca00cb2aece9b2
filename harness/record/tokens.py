"""Tokens of a text, estimated offline.

Sigma reports no token counts (wire 0.8), so they are counted here, with
OpenAI's o200k vocabulary whatever model answered: an estimate, and labelled so
wherever it is shown. Loading the vocabulary takes a third of a second of CPU,
so it is loaded after the measured part of a run.
"""

from functools import cache

from bpe_openai import Encoding, get_encoding

VOCABULARY = "o200k_base"


@cache
def _encoding() -> Encoding:
    return get_encoding(VOCABULARY)


def count_tokens(text: str) -> int:
    """How many o200k tokens *text* has."""
    return len(_encoding().encode_ordinary(text)) if text else 0
