"""Checks of what the answer says."""

import csv
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from harness.suite.prompts import Arguments
from harness.suite.settings import Written
from harness.suite.values import AtLeastOne, Portion, Whole, list_of_one


class TextCheck(Arguments):
    """A check that reads the answer, and nothing else."""


def _whole_text(value: object) -> object:
    if isinstance(value, list):
        raise ValueError("one text is wanted; for a list there are the types with -all and -any")
    if isinstance(value, bool | int | float):
        raise ValueError(f'text is wanted; quote it: "{value}"')
    return value


OneText = Annotated[str, BeforeValidator(_whole_text), Field(min_length=1)]


def _listed(value: object) -> object:
    """A list of texts; or one text with commas between, as promptfoo has it, quoted where one has a comma."""
    if isinstance(value, str):
        value = next(csv.reader([value], skipinitialspace=True), [])
    if isinstance(value, list):
        wrong = next((each for each in value if not isinstance(each, str)), None)
        if wrong is not None:
            raise ValueError(f'texts are wanted; quote it: "{wrong}"')
    return value


Listed = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_listed), Field(min_length=1)
]


class Equals(TextCheck):
    """The answer is exactly *value*; of a mapping, a list or a number, it is the same as JSON."""

    value: Any


class Contains(TextCheck):
    """The answer has *value* somewhere in it."""

    value: OneText


class IContains(TextCheck):
    """The answer has *value* somewhere in it, in any case."""

    value: OneText


class ContainsAll(TextCheck):
    """The answer has every text of *value* in it; the score is the share that it has."""

    example: ClassVar[str] = "{type: contains-all, value: [30 days, invoice]}"
    value: Listed


class ContainsAny(TextCheck):
    """The answer has one text of *value* in it at least."""

    example: ClassVar[str] = "{type: contains-any, value: [30 days, thirty days]}"
    value: Listed


class IContainsAll(ContainsAll):
    """The answer has every text of *value* in it, in any case."""


class IContainsAny(ContainsAny):
    """The answer has one text of *value* in it at least, in any case."""


class StartsWith(TextCheck):
    """The answer begins with *value*."""

    value: OneText


@lru_cache(maxsize=4096)
def _regex(pattern: str) -> str:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"this is no regular expression: {error}") from error
    return pattern


Pattern = Annotated[str, Field(min_length=1), AfterValidator(_regex)]


class Regex(TextCheck):
    """*value* matches somewhere in the answer, in the syntax of Python's `re`, within two seconds."""

    example: ClassVar[str] = "{type: regex, value: '1,?284'}"
    value: Pattern


class IsRefusal(TextCheck):
    """The answer declines: one of the usual phrases in which models say so is in it."""


class Levenshtein(TextCheck):
    """At most *threshold* letters have to be put in, taken out or changed to make *value* of the answer.

    The score is the share of letters that stay.
    """

    value: OneText
    threshold: Annotated[Whole, Field(ge=0)] = 5


class Words(Written):
    """How many words."""

    short: ClassVar[Any] = Annotated[Whole, Field(ge=0)]
    min: Annotated[Whole | None, Field(ge=0)] = None
    max: Annotated[Whole | None, Field(ge=0)] = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("a min is wanted, a max, or both")
        if self.max is not None and self.max < (self.min or 0):
            raise ValueError("min is more than max: no number of words could pass")
        return self


def _words(value: object) -> object:
    return {"min": value, "max": value} if isinstance(value, int) and not isinstance(value, bool) else value


class WordCount(TextCheck):
    """The answer has *value* words, or *min* to *max*; words are what stands between blanks."""

    example: ClassVar[str] = "{type: word-count, value: {max: 120}}"
    value: Annotated[Words, BeforeValidator(_words)]


class RougeN(TextCheck):
    """The ROUGE-N score (F1) of the answer against *value* is *threshold* at least.

    By the library rouge-score: words in lower case, with their endings (no stemmer).
    """

    example: ClassVar[str] = "{type: rouge-n, value: The refund window is 30 days., threshold: 0.6}"
    value: OneText
    n: AtLeastOne = 1
    threshold: Portion = 0.75


class Bleu(TextCheck):
    """The BLEU score of the answer against *value*, or the best of several, is *threshold* at least.

    By sacrebleu: up to four words in a row, tokens as of mteval-v13a, exponential smoothing, on 0 to 1.
    """

    example: ClassVar[str] = "{type: bleu, value: The refund window is 30 days., threshold: 0.4}"
    value: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(list_of_one)]
    threshold: Portion = 0.5


TYPES: Mapping[str, type[TextCheck]] = {
    "equals": Equals,
    "contains": Contains,
    "icontains": IContains,
    "contains-all": ContainsAll,
    "contains-any": ContainsAny,
    "icontains-all": IContainsAll,
    "icontains-any": IContainsAny,
    "starts-with": StartsWith,
    "regex": Regex,
    "is-refusal": IsRefusal,
    "levenshtein": Levenshtein,
    "word-count": WordCount,
    "rouge-n": RougeN,
    "bleu": Bleu,
}
