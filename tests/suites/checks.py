"""Checks that the suites of these tests name."""

from typing import Any


def no_secrets(output: str, context: dict[str, Any]) -> bool:
    return "sk-" not in output
