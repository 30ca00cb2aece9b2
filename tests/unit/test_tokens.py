"""Counting tokens of what is no ordinary text."""

from harness.record.tokens import count_tokens


def test_a_text_of_megabytes_has_as_many_tokens_as_its_parts_and_a_few_for_the_seams() -> None:
    sentence = "How long is the refund window for customers in the EU? "
    hundred = count_tokens(sentence * 200) - count_tokens(sentence * 100)
    assert 0 <= count_tokens(sentence * 50_000) - 500 * hundred <= 10


def test_nothing_has_no_tokens() -> None:
    assert count_tokens("") == 0
