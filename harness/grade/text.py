"""What the answer says, and what form it has (`harness.suite.asserts.text`)."""

import re

from harness.grade.opinion import Opinion, shown
from harness.grade.subject import Subject
from harness.suite.asserts.text import Contains, Equals, IContains, Regex, TextCheck


def check(args: TextCheck, subject: Subject) -> Opinion:
    """What a check of the answer finds; nothing, where no whole answer came."""
    return subject.broken() or _answered(args, subject.answer)


def _answered(args: TextCheck, answer: str) -> Opinion:
    match args:
        case Equals(value=value):
            return _found(answer, "equal", value, found=answer == value)
        case Contains(value=value):
            return _found(answer, "contain", value, found=value in answer)
        case IContains(value=value):
            return _found(answer, "contain, in any case,", value, found=value.casefold() in answer.casefold())
        case Regex(value=value):
            return _found(answer, "match", value, found=re.search(value, answer) is not None)
        case _:
            raise AssertionError(f"unreachable: {type(args).__name__} has no grade")


def _found(answer: str, verb: str, wanted: str, *, found: bool) -> Opinion:
    does = "does" if found else "does not"
    return Opinion(found, f"the answer {does} {verb} {wanted!r}: {shown(answer)}")
