"""Checks of these suites' own: `python` names one as file://checks.py:name."""

import re
from typing import Any


def short_enough(output: str, context: dict[str, Any]) -> dict[str, Any]:
    """Whether the answer has at most `config.most` words; half the score at twice as many."""
    words, most = len(output.split()), context["config"]["most"]
    return {"pass": words <= most, "score": min(1.0, most / max(words, 1)), "reason": f"{words} words"}


def covers(output: str, context: dict[str, Any]) -> dict[str, Any]:
    """Whether each of `config.topics` is in a passage that ends in a citation; the score is their share."""
    cited = re.split(r"\[\[\d+\]\]\(\S*\)", output)[:-1]
    topics = context["config"]["topics"]
    missed = [topic for topic in topics if not any(topic in passage for passage in cited)]
    score = 1 - len(missed) / len(topics)
    return {"pass": not missed, "score": score, "reason": f"without a source: {', '.join(missed) or 'none'}"}
