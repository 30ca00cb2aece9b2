"""The charts of a run, drawn when they are looked at: a page is there before they are."""

from typing import Any

from harness.view.seen import Seen


def names(seen: Seen) -> list[str]:
    """The names of the charts that this run has; none before its tables are there."""
    return []


def drawn(seen: Seen, name: str) -> list[dict[str, Any]]:
    """The chart of that name, or all of them, in both widths."""
    return []
