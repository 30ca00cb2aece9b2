"""Whatever tree of turns a prompt writes, it is sent in an order that a server accepts."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from harness.suite.prompts import Turn
from harness.suite.resolve import in_order


@st.composite
def conversations(draw: st.DrawFn) -> list[Turn]:
    """Turns as they may be written: each follows the one before it, an earlier one, or answers one again."""
    turns = [Turn(id="0", message="m0")]
    for number in range(1, draw(st.integers(1, 12))):
        parents = [each.id for each in turns if each.repeat is None]
        kind = draw(st.sampled_from(["plain", "after", "regenerate"]))
        if kind == "plain" and turns[-1].repeat is not None:
            kind = "after"
        repeat = draw(st.none() | st.integers(1, 3)) if kind != "plain" else None
        match kind:
            case "plain":
                turns.append(Turn(id=str(number), message=f"m{number}"))
            case "after":
                turns.append(
                    Turn(
                        id=str(number),
                        message=f"m{number}",
                        after=draw(st.sampled_from(parents)),
                        repeat=repeat,
                    )
                )
            case _:
                turns.append(Turn(id=str(number), regenerate=draw(st.sampled_from(parents)), repeat=repeat))
    return turns


class Server:
    """The rule of the wire (1.6): a parent must be on the mainline, which every send moves."""

    def __init__(self) -> None:
        self.parent: dict[str, str | None] = {"root": None}
        self.latest: dict[str, str] = {}

    def mainline(self) -> list[str]:
        line = ["root"]
        while line[-1] in self.latest:
            line.append(self.latest[line[-1]])
        return line

    def add(self, node: str, parent: str) -> None:
        assert parent in self.mainline(), f"{node} below {parent}, which is off the mainline"
        self.parent[node] = parent
        self.latest[parent] = node


@given(conversations())
def test_every_turn_is_sent_when_its_parent_is_on_the_mainline(turns: list[Turn]) -> None:
    server = Server()
    before = None
    question: dict[str | None, str] = {}
    for turn in in_order(turns):
        if turn.regenerate is not None:
            question[turn.id] = question[turn.regenerate]
        else:
            parent = turn.after or before
            question[turn.id] = f"q{turn.id}"
            server.add(f"q{turn.id}", "root" if parent is None else f"a{parent}")
        server.add(f"a{turn.id}", question[turn.id])
        before = turn.id


@given(conversations())
def test_a_turn_without_a_parent_of_its_own_comes_right_behind_the_one_it_follows(turns: list[Turn]) -> None:
    follows = {
        turn.id: before.id
        for before, turn in pairwise(turns)
        if turn.after is None and turn.regenerate is None
    }
    ordered = [turn.id for turn in in_order(turns)]
    for turn_id, before_id in follows.items():
        assert ordered[ordered.index(turn_id) - 1] == before_id


@given(conversations())
def test_every_turn_is_sent_and_a_repeated_one_as_often_as_it_says(turns: list[Turn]) -> None:
    ordered = in_order(turns)
    assert len(ordered) == sum(turn.repeat or 1 for turn in turns)
    assert len({turn.id for turn in ordered}) == len(ordered)
    messages = {turn.id: turn.message for turn in ordered}
    for turn in turns:
        if turn.regenerate is not None:
            first = f"{turn.id}/1" if turn.repeat else turn.id
            assert messages[first] == messages[turn.regenerate]


def test_a_conversation_of_thousands_of_turns_is_no_deep_recursion() -> None:
    turns = [Turn(id=str(number), message="m") for number in range(5_000)]
    assert [turn.id for turn in in_order(turns)] == [turn.id for turn in turns]
