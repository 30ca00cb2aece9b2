"""Checks that somebody else answers: a judge, or what says how alike two texts are."""

from collections.abc import Mapping

from harness.suite.prompts import Arguments
from harness.suite.values import Portion, Text


class AskedCheck(Arguments):
    """A check that is put to a judge, or to a model of embeddings, once the load is over."""


class JudgedCheck(AskedCheck):
    """A check that is put to the judge as a question with three answers: yes, no, and cannot tell."""


class LlmRubric(JudgedCheck):
    """The answer is as the rubric *value* says."""

    value: Text


class Factuality(JudgedCheck):
    """The answer contradicts nothing in the reference *value*."""

    value: Text


class ClosedQa(JudgedCheck):
    """The answer meets the criterion *value*."""

    value: Text


class AnswerRelevance(JudgedCheck):
    """The answer is about what was asked."""


class ContextFaithfulness(JudgedCheck):
    """Whatever the answer claims is in its context: *value*, or the documents that the tools returned."""

    value: Text | None = None


class SelectBest(JudgedCheck):
    """Of the variants' answers to the same prompt this one meets the criterion *value* best."""

    value: Text


class Similar(AskedCheck):
    """The embedding of the answer is as near to that of *value* as *threshold* says, by their cosine."""

    value: Text
    threshold: Portion = 0.75


TYPES: Mapping[str, type[AskedCheck]] = {
    "llm-rubric": LlmRubric,
    "factuality": Factuality,
    "model-graded-factuality": Factuality,
    "model-graded-closedqa": ClosedQa,
    "answer-relevance": AnswerRelevance,
    "context-faithfulness": ContextFaithfulness,
    "select-best": SelectBest,
    "similar": Similar,
    "similar:cosine": Similar,
}
