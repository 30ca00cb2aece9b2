"""The page on the stand-in says what it has: its models and their times, their language, what it knows."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from importlib.resources import files

import pytest

from harness.standin.catalogue import DOCUMENT_SETS, PERSONAS, TOOLS
from harness.standin.models import DEFAULT_MODEL, PROVIDERS, Model
from harness.standin.simulate import ENVELOPES, HIDABLE, IGNORABLE, MANNERS, RESEARCH, parse
from harness.standin.simulate import TOOLS as SCRIPTED
from harness.standin.simulate import __doc__ as language
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "standin.md").read_text()


def model_rows() -> Iterator[str]:
    """The rows of the table of models."""
    for provider in PROVIDERS:
        for number, model in provider.models:
            times = f"{model.first_ms:g} | {model.gap_ms:g} | {model.tool_ms:g}"
            yield f"| {provider.name} | `{model.name}` | {number} | {times} | {_manner(model)} |"


def _manner(model: Model) -> str:
    said = [
        "judges, by words" if model.judges else model.style,
        "says what it is about to do" if model.narrates else "",
        "reasons first" if model.reasons else "",
        f"misses the question in {model.wrong:.0%} of its replies".replace("%", " %") if model.wrong else "",
        f"{model.words} words a packet" if model.words > 1 else "",
    ]
    return "; ".join(filter(None, said))


def test_the_models_of_the_page_are_those_there_are_with_their_times() -> None:
    rows = re.findall(r"^\| (?:Simulated|Harbor) .*$", PAGE, re.MULTILINE)
    assert rows == list(model_rows())
    assert DEFAULT_MODEL is PROVIDERS[0].models[0][1], "the page says that the first is the default"


@pytest.mark.parametrize("key", sorted(set(re.findall(r"^    (\w+)=", language or "", re.MULTILINE))))
def test_every_key_of_the_language_of_models_is_on_the_page(key: str) -> None:
    assert f"`{key}=" in PAGE


def test_every_word_that_a_key_takes_is_on_the_page() -> None:
    words = IGNORABLE | HIDABLE | RESEARCH | SCRIPTED | ENVELOPES | MANNERS
    assert {word for word in words if f"`{word}`" not in PAGE and f"={word}" not in PAGE} == set()


def test_every_model_that_the_page_spells_out_can_be_had() -> None:
    spelled = re.findall(r"sim:[\w=,@%:-]+", PAGE)
    assert spelled
    for name in spelled:
        parse(name)


def test_what_the_page_says_of_the_corpus_is_so() -> None:
    lines = files("harness.standin").joinpath("corpus.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    documents = [row for row in rows if not row.get("internet")]
    sets = Counter(row["document_set"] for row in documents)
    told = ", ".join(f"`{name}` {sets[name]}" for name in DOCUMENT_SETS)
    assert f"{len(documents)} documents in four document sets ({told})" in PAGE
    assert f"and {len(rows) - len(documents)} pages of an internet" in PAGE
    assert {source for row in documents if f"`{(source := row['source_type'])}`" not in PAGE} == set()


def test_every_tool_and_persona_is_on_the_page() -> None:
    names = [*(tool.name for tool in TOOLS), *(persona.name for persona in PERSONAS)]
    assert [name for name in names if f"`{name}`" not in PAGE] == []
