"""Tokens of a text, estimated offline.

Sigma reports no token counts (wire 0.8), so they are counted here, with
OpenAI's o200k vocabulary whatever model answered: an estimate, and labelled so
wherever it is shown.
"""

from collections.abc import Callable
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

VOCABULARY = "o200k_base"

_PIECE = 500_000
"""Characters that are counted at once: the package refuses a million."""


@cache
def _count() -> Callable[[str], int]:
    """How many tokens a piece has. Not before or during what is measured: it takes 50 MB and a while.

    The package's own way in reads four vocabularies and builds them in Python, which takes 1.1 s of CPU. Its
    native part has them built in, and is there in a tenth of that.
    """
    if (path := _native()) is not None and (spec := spec_from_file_location("bpe_openai._bindings", path)):
        native = module_from_spec(spec)
        if spec.loader is not None:
            spec.loader.exec_module(native)
            counted: Callable[[str], int] = native.tokenizer_for_encoding(VOCABULARY).count
            return counted
    from bpe_openai import get_encoding  # noqa: PLC0415  see above

    encoding = get_encoding(VOCABULARY)
    return lambda text: len(encoding.encode_ordinary(text))


def _native() -> Path | None:
    """Where the native part of the package is; None where a later version has it elsewhere."""
    package = find_spec("bpe_openai")
    places = (package and package.submodule_search_locations) or []
    found = (Path(place) / f"_bindings{suffix}" for place in places for suffix in EXTENSION_SUFFIXES)
    return next((path for path in found if path.is_file()), None)


def count_tokens(text: str) -> int:
    """How many o200k tokens *text* has; of megabytes a few too many, since those are counted in pieces."""
    pieces = (text[at : at + _PIECE] for at in range(0, len(text), _PIECE))
    return sum(map(_count(), pieces))
