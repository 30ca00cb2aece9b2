"""What pages are made of: the tree of turns, answers in pieces, texts word by word."""

import pytest

from harness.doors import host_name, is_address, is_loopback
from harness.report.pages import breakable
from harness.report.visible import LONGEST
from harness.sigma.transcript import Citation
from harness.view.texts import WORDS, changes, pieces, web_address
from harness.view.tree import Node, tree


def row(name: str, user: int, assistant: int, *, turn: str = "", session: str = "s") -> dict[str, object]:
    ids = {"chat_session_id": session, "user_message_id": user, "assistant_message_id": assistant}
    return {"exchange_id": name, "turn_id": turn or name, **ids}


def test_turns_that_name_no_parent_follow_what_was_said_last_in_their_session() -> None:
    nodes = tree([row("a", 1, 2), row("b", 3, 4), row("c", 5, 6, session="t")], {})
    assert nodes == [Node("a", None, "first"), Node("b", "a", "next"), Node("c", None, "first")]


def test_a_second_turn_after_the_same_answer_is_a_branch_and_one_of_the_same_message_is_answered_again() -> (
    None
):
    rows = [row("a", 1, 2), row("b", 3, 4), row("again", 3, 6), row("branch", 7, 8), row("on", 9, 10)]
    requests = {
        "again": {"parent_message_id": 3},
        "branch": {"parent_message_id": 2},
        "on": {"parent_message_id": 8},
    }
    assert tree(rows, requests) == [
        Node("a", None, "first"),
        Node("b", "a", "next"),
        Node("again", "a", "again", 1),
        Node("branch", "a", "branch", 1),
        Node("on", "branch", "next", 1),
    ]


def test_an_attempt_stands_beside_the_one_before() -> None:
    rows = [row("a", 1, 2), row("b.1", 3, 4, turn="b"), row("b.2", 3, 6, turn="b")]
    assert tree(rows, {"b.2": {"parent_message_id": 2}})[2] == Node("b.2", "a", "attempt")


CITED = [Citation(1, "doc-a"), Citation(None, "doc-b")]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("So [1].", [("So ", None), ("[1]", 1), (".", None)]),
        ("So [[1]](https://a.example/).", [("So ", None), ("[1]", 1), (".", None)]),
        (
            "So [[1]](https://b.example/)",
            [("So ", None), ("[1]", 1), ("(https://b.example/)", None), ("", None)],
        ),
        ("So [2].", [("So [2].", None)]),
    ],
)
def test_only_numbers_that_cite_are_links(answer: str, told: list[tuple[str, int | None]]) -> None:
    assert [tuple(each) for each in pieces(answer, CITED, {"doc-a": "https://a.example/"})] == told


def test_a_long_answer_says_what_is_left_out() -> None:
    assert pieces("a" * (LONGEST + 5), (), {})[-1].text == " … (5 more characters)"


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "data:text/html,x", "//a.example", "https://a b", None, ""]
)
def test_what_is_no_address_of_the_web_is_no_link(link: str | None) -> None:
    assert web_address(link) is None


def test_a_text_without_a_space_can_be_broken_and_stays_the_same() -> None:
    told = breakable("<" + "a" * 1_000)
    assert told.count("<wbr>") == 5
    assert told.replace("<wbr>", "") == "&lt;" + "a" * 1_000


def test_changes_put_together_are_both_texts() -> None:
    found, note = changes("the window is 30 days long", "the window is 14 days")
    assert "".join(each.text for each in found if each.kind != "ins") == "the window is 30 days long"
    assert "".join(each.text for each in found if each.kind != "del") == "the window is 14 days"
    assert [each.text for each in found if each.kind == "ins"] == [" 14"]
    assert note == ""


def test_long_texts_are_compared_in_part_and_it_says_so() -> None:
    _, note = changes("a b " * WORDS, "a")
    assert f"first {WORDS:,}" in note


@pytest.mark.parametrize(
    ("host", "name"),
    [("[::1]:80", "::1"), ("A.example:1", "a.example"), ("a.example.", "a.example"), ("", "")],
)
def test_a_host_is_read_without_its_port(host: str, name: str) -> None:
    assert host_name(host) == name


def test_only_this_machine_is_loopback() -> None:
    assert [is_loopback(each) for each in ("localhost", "127.0.0.9", "::1", "192.0.2.1", "a.example")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert not is_address("127.0.0.1.evil.example")
