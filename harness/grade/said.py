"""What others said when they were asked: judges, models of embeddings, the suite's own code.

Such answers are kept beside the journal, one line each, by a key that is a
digest of exactly what was asked and of whom. So grading stays a function of
what is recorded, a question is put once however often a run is graded, and
another judge or another rubric is another question.
"""

from typing import Any

from msgspec import Struct


class Vote(Struct, frozen=True, omit_defaults=True):
    """One answer of a judge: *verdict* is ``pass``, ``fail``, ``cannot_tell`` or ``unreadable``.

    For comparisons it is the place of the best, from 1 on, in the order in which they were shown. *text* is
    the whole reply; *error* says why there is none.
    """

    verdict: str
    evidence: str = ""
    text: str = ""
    error: str = ""


class Judgement(Struct, frozen=True, omit_defaults=True, tag="judgement", tag_field="said"):
    """What *judge* (its fingerprint) said of one question, as often as it was asked.

    *check*, *trial_id* and *turn_id* are of whoever asked first: the same question of another is not asked
    again.
    """

    key: str
    judge: str
    votes: tuple[Vote, ...]
    check: str = ""
    trial_id: str = ""
    turn_id: str | None = None


class Similarity(Struct, frozen=True, omit_defaults=True, tag="similarity", tag_field="said"):
    """The cosine of two texts by *model*; None where it could not be had, and *error* says why."""

    key: str
    model: str
    cosine: float | None = None
    error: str = ""


class Called(Struct, frozen=True, omit_defaults=True, tag="called", tag_field="said"):
    """What a function of the suite's own gave back, or how it broke: *error* in a line, *traceback* whole."""

    key: str
    gave: Any = None
    error: str = ""
    traceback: str = ""


Said = Judgement | Similarity | Called
