"""Checks of these suites' own: `python` names one as file://checks.py:name."""

from typing import Any


def short_enough(output: str, context: dict[str, Any]) -> dict[str, Any]:
    """Whether the answer has at most `config.most` words; half the score at twice as many."""
    words, most = len(output.split()), context["config"]["most"]
    return {"pass": words <= most, "score": min(1.0, most / max(words, 1)), "reason": f"{words} words"}
