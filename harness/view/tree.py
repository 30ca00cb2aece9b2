"""The exchanges of a trial as the tree that the conversation is.

The wire knows messages by id. A request names the message that it goes on from: an answer, and then it is the
turn after it; or what a user said, and then that is answered once more. One that names none goes on from what
was last said in its session. So the tree is read from what was sent, and not from what a suite meant.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

How = Literal["first", "next", "branch", "again", "attempt"]
DEEPEST = 5
"""How far a branch is set in."""


@dataclass(frozen=True, slots=True)
class Node:
    """One exchange in the tree: after which other one, and *how*; *depth* counts the branches to it."""

    exchange_id: str
    parent: str | None
    how: How
    depth: int = 0


@dataclass(frozen=True, slots=True)
class _Sent:
    exchange_id: str
    turn_id: str
    session: str | None
    asked: int | None
    user: int | None
    assistant: int | None


def tree(exchanges: Sequence[Mapping[str, Any]], requests: Mapping[str, Mapping[str, Any]]) -> list[Node]:
    """The exchanges in the order of the tree: every turn before what follows it, branches set in.

    *exchanges* are rows of that table in the order of sending, *requests* the bodies, by exchange.
    """
    sent = [_sent(row, requests.get(row["exchange_id"], {})) for row in exchanges]
    placed: dict[str, tuple[str | None, How]] = {}
    for at, one in enumerate(sent):
        placed[one.exchange_id] = _place(one, sent[:at], placed)
    children: dict[str | None, list[str]] = {None: []}
    for name, (parent, _) in placed.items():
        children.setdefault(parent, []).append(name)
    return list(_walk(children, placed))


def _sent(row: Mapping[str, Any], request: Mapping[str, Any]) -> _Sent:
    asked = request.get("parent_message_id")
    return _Sent(
        row["exchange_id"],
        row["turn_id"],
        row["chat_session_id"],
        asked if isinstance(asked, int) else None,
        row["user_message_id"],
        row["assistant_message_id"],
    )


def _place(
    one: _Sent, before: Sequence[_Sent], placed: Mapping[str, tuple[str | None, How]]
) -> tuple[str | None, How]:
    """After which of those sent *before* it one comes, and how."""
    for other in reversed(before):
        if other.turn_id == one.turn_id:
            return placed[other.exchange_id][0], "attempt"
    for other in reversed(before):
        if one.asked is not None and one.asked == other.user:
            return placed[other.exchange_id][0], "again"
        if one.asked is not None and one.asked == other.assistant:
            return other.exchange_id, _first_or_branch(other.exchange_id, placed)
    same = [other for other in before if other.session is not None and other.session == one.session]
    return (same[-1].exchange_id, "next") if same else (None, "first")


def _first_or_branch(parent: str, placed: Mapping[str, tuple[str | None, How]]) -> How:
    return "branch" if any(each == parent for each, _ in placed.values()) else "next"


def _walk(
    children: Mapping[str | None, Sequence[str]], placed: Mapping[str, tuple[str | None, How]]
) -> Iterator[Node]:
    """Depth first. What goes on stays as far left as what it follows; a branch is set in."""
    waiting: list[tuple[str, str | None, int]] = [(name, None, 0) for name in reversed(children[None])]
    while waiting:
        name, above, level = waiting.pop()
        how = placed[name][1]
        own = min(level + 1, DEEPEST) if how in {"branch", "again"} else level
        yield Node(name, above, how, own)
        waiting.extend((child, name, own) for child in reversed(children.get(name, ())))
