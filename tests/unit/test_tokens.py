"""Tokens are counted by the native part of the package, which counts as the package does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.record import tokens
from harness.record.tokens import VOCABULARY, count_tokens

TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ["", " ", "<|endoftext|>", "it's 3.14 <|endofprompt|>", "日本語 🙂🙂", "\r\n\t  x", "a" * 10_000]
)


@pytest.mark.slow
@settings(max_examples=300)
@given(TEXTS)
def test_the_native_part_counts_as_the_package_does(text: str) -> None:
    from bpe_openai import get_encoding  # noqa: PLC0415  1 s of CPU

    assert count_tokens(text) == len(get_encoding(VOCABULARY).encode_ordinary(text))


def test_the_native_part_is_where_it_is_looked_for() -> None:
    assert tokens._native() is not None


@pytest.mark.slow
def test_without_the_native_part_the_package_itself_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_native", lambda: None)
    tokens._count.cache_clear()
    try:
        assert count_tokens("How long is the refund window?") == 7
    finally:
        tokens._count.cache_clear()


def test_a_text_of_megabytes_has_as_many_tokens_as_its_parts_and_a_few_for_the_seams() -> None:
    sentence = "How long is the refund window for customers in the EU? "
    hundred = count_tokens(sentence * 200) - count_tokens(sentence * 100)
    assert 0 <= count_tokens(sentence * 50_000) - 500 * hundred <= 10


def test_nothing_has_no_tokens() -> None:
    assert count_tokens("") == 0
