"""Labels: what is drawn, kept and read."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.grade.judged import Question
from harness.grade.said import Called, Judgement, Said, Similarity, Vote
from harness.record import labels
from harness.record.labels import Item, append, draw
from harness.record.said import Book, is_settled
from harness.record.said import read as read_said


def item(number: int, verdict: bool, check: str = "rubric") -> Item:
    asked = Question((("CRITERION", "c"),), (f"answer {number}",))
    return Item(asked, asked.key(""), check, "judge A", verdict, "base", "case", f"t{number}", "1")


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 40))
def test_as_many_passes_as_failures_are_drawn_where_there_are(passes: int, fails: int, count: int) -> None:
    pool = [item(n, verdict=n < passes) for n in range(passes + fails)]
    drawn = draw(pool, count, seed=1)
    assert len({each.key for each in drawn}) == len(drawn) == min(count, passes + fails)
    got = [sum(each.verdict is verdict for each in drawn) for verdict in (True, False)]
    if min(passes, fails) * 2 >= count:
        assert abs(got[0] - got[1]) <= 1
    for verdict, total in ((True, passes), (False, fails)):
        weights = [each.weight for each in drawn if each.verdict is verdict]
        assert sum(weights) == pytest.approx(total if weights else 0)


def test_the_same_words_are_drawn_once_and_what_has_a_label_not_again() -> None:
    pool = [item(1, True), item(1, True), item(2, False)]
    assert len(draw(pool, 9, seed=0)) == 2
    assert [each.key for each in draw(pool, 9, seed=0, without=frozenset({pool[0].key}))] == [pool[2].key]


def test_a_sample_is_the_same_for_the_same_seed() -> None:
    pool = [item(n, verdict=n % 2 == 0) for n in range(50)]
    assert draw(pool, 10, seed=4) == draw(pool, 10, seed=4) != draw(pool, 10, seed=5)


def test_a_label_is_read_as_it_was_kept_and_the_last_of_a_question_counts(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "labels.csv"
    append(path, item(1, True), human=False, by="a, b")
    append(path, item(2, False), human=True, by="")
    append(path, item(1, True), human=True, by="")
    first, second = labels.read(path)
    assert (first.question, first.verdict, first.human, first.judge) == (
        item(1, True).key,
        True,
        True,
        "judge A",
    )
    assert (second.verdict, second.human, second.weight) == (False, True, 1.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n", "no file of labels: it lacks the columns question"),
        (
            "question,check,judge,verdict,label,weight,by,case_id,trial_id,turn_id\nq,c,j,pass,yes,1,,,,\n",
            ":2: label",
        ),
        (
            "question,check,judge,verdict,label,weight,by,case_id,trial_id,turn_id\nq,c,j,pass,fail,x,,,,\n",
            ":2: label",
        ),
    ],
)
def test_a_file_of_another_kind_is_told_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(UsageError, match=says):
        labels.read(tmp_path / "l.csv")


# What others said


SAID: list[Said] = [
    Judgement("j", "judge A", (Vote("pass", "x", "text"),), "llm-rubric", "t", None),
    Judgement("e", "judge A", (Vote("unreadable", error="503"),)),
    Similarity("s", "model", 0.5),
    Similarity("f", "model", error="404"),
    Called("c", {"pass": True}),
]


def test_what_others_said_is_read_as_it_was_kept_and_a_torn_line_is_passed_over(tmp_path: Path) -> None:
    run = tmp_path / "suite" / "run"
    run.mkdir(parents=True)
    with Book(run, tmp_path) as book:
        for said in SAID:
            book.keep(said)
    own, shared = run / "said.jsonl", tmp_path / "said.jsonl"
    assert read_said(own) == {said.key: said for said in SAID}
    assert [*read_said(shared)] == ["j", "s"]
    own.write_bytes(own.read_bytes()[:-5] + b'\n{"said": "other"}\nno json\n')
    assert [*read_said(own)] == ["j", "e", "s", "f"]
    assert read_said(tmp_path / "none.jsonl") == {}


def test_only_an_answer_settles_a_question() -> None:
    assert [is_settled(said) for said in SAID] == [True, False, True, False, False]
    assert not is_settled(Judgement("k", "j", ()))
    assert is_settled(Judgement("k", "j", (Vote("unreadable", text="hm"),)))
