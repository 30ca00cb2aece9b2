"""Counting tokens of what is no ordinary text."""

from harness.record.tokens import count_tokens


def test_a_text_of_megabytes_is_counted_to_a_token_in_half_a_million_characters() -> None:
    sentence = "How long is the refund window for customers in the EU? "
    times = 50_000
    exactly = count_tokens(sentence * 100) / 100 * times
    assert abs(count_tokens(sentence * times) - exactly) <= len(sentence) * times / 500_000 + 100


def test_nothing_has_no_tokens() -> None:
    assert count_tokens("") == 0
