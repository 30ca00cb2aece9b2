"""How like a reference the answer is, by counting: letters, words, and words in a row.

The measures are those of the libraries that papers quote; nothing is computed here.
"""

from functools import cache
from typing import Any

from harness.grade.opinion import Opinion, shown
from harness.suite.asserts.text import Bleu, Levenshtein, RougeN, TextCheck, WordCount, Words

LONGEST = 20_000
"""Characters up to which a distance is worked out whole: it takes time with the product of both lengths."""


def answered(args: TextCheck, answer: str) -> Opinion:
    """What a measure makes of a whole *answer*."""
    match args:
        case WordCount(value=words):
            return _word_count(words, answer)
        case Levenshtein(value=value, threshold=most):
            return _levenshtein(value, answer, most)
        case RougeN(value=value, n=n, threshold=least):
            score = rouge_n(value, answer, n)
            return _reaches(f"ROUGE-{n}", score, least, answer)
        case Bleu(value=values, threshold=least):
            return _reaches("BLEU", bleu(values, answer), least, answer)
        case _:
            raise AssertionError(f"unreachable: {type(args).__name__} has no grade")


def _reaches(measure: str, score: float, least: float, answer: str) -> Opinion:
    told = f"{measure} {score:.3f}, {least:g} is wanted: {shown(answer)}"
    return Opinion(score >= least, told, min(1.0, max(0.0, score)))


def _word_count(words: Words, answer: str) -> Opinion:
    count = len(answer.split())
    within = (words.min or 0) <= count and (words.max is None or count <= words.max)
    if words.max is None:
        asked = f"at least {words.min}"
    else:
        asked = f"{words.max}" if words.min == words.max else f"{words.min or 0} to {words.max}"
    return Opinion(within, f"{count} words; asked for {asked}")


def _levenshtein(value: str, answer: str, most: int) -> Opinion:
    distance = levenshtein(value, answer, most)
    longest = max(len(value), len(answer), 1)
    told = f"distance {distance}" if distance <= most else f"distance more than {most}"
    score = 1 - min(distance, longest) / longest
    return Opinion(distance <= most, f"{told}; at most {most} is wanted: {shown(answer)}", score)


def levenshtein(one: str, other: str, most: int) -> int:
    """The Levenshtein distance, by rapidfuzz; of long texts only as far as *most*, and one more beyond it."""
    from rapidfuzz.distance import Levenshtein as Distance  # noqa: PLC0415  20 ms, which few suites need

    cut = most if max(len(one), len(other)) > LONGEST else None
    return Distance.distance(one, other, score_cutoff=cut)


def rouge_n(reference: str, answer: str, n: int) -> float:
    """The F1 of the n-grams that both have, by rouge-score."""
    return float(_rouge(n).score(reference, answer)[f"rouge{n}"].fmeasure)


@cache
def _rouge(n: int) -> Any:
    from rouge_score.rouge_scorer import RougeScorer  # noqa: PLC0415  0.5 s, which few suites need

    return RougeScorer([f"rouge{n}"])


def bleu(references: tuple[str, ...], answer: str) -> float:
    """Sentence BLEU against the nearest of *references*, by sacrebleu, on 0 to 1."""
    from sacrebleu import sentence_bleu  # noqa: PLC0415  0.3 s, which few suites need

    return max(float(sentence_bleu(answer, [reference]).score) / 100 for reference in references)
