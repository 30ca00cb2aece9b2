"""What was found, and what the answer cites of it (`harness.suite.asserts.retrieval`)."""

from harness.grade.opinion import Opinion
from harness.grade.subject import Subject
from harness.suite.asserts.retrieval import RetrievalCheck


def check(args: RetrievalCheck, subject: Subject) -> Opinion:
    """What a check of documents and citations finds; nothing, where a reply is no whole one."""
    broken = subject.broken()
    if broken is not None:
        return broken
    raise AssertionError(f"unreachable: {type(args).__name__} has no grade")
