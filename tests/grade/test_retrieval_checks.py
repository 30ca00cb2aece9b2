"""What was found and what is cited: a table for each type, and what could not be graded."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.grade.retrieval import documents_of
from harness.grade.subject import Subject
from harness.result import Exchange
from tests.grade.checking import opinion, told
from tests.replies import IDS, SESSION, STOP, delta, exchange, found, packet

A = {
    "document_id": "a",
    "semantic_identifier": "Refund policy",
    "source_type": "confluence",
    "blurb": "30 days",
}
B = {"document_id": "b", "link": "https://x.example/docs/refunds%20eu.md?x=1", "source_type": "web"}
C = {"document_id": "c", "semantic_identifier": "Other"}


def reply(
    *documents: dict[str, Any],
    cited: dict[int, str] | None = None,
    text: str = "It is so",
    request: dict[str, Any] | None = None,
) -> Exchange:
    citations = [
        packet("citation_info", 1, citation_number=n, document_id=d) for n, d in (cited or {}).items()
    ]
    head = [SESSION, IDS, *(found(*documents) if documents else []), packet("message_start", 1)]
    return exchange([*head, delta(text, 1), *citations, STOP], request=request)


BOTH = reply(A, B, cited={1: "a", 2: "b"}, text="So [[1]](http://a) and [2].")


@pytest.mark.parametrize(
    ("written", "one", "passed"),
    [
        ("citations", BOTH, True),
        ("citations", reply(A), False),
        ({"type": "citations", "min": 3}, BOTH, False),
        ({"type": "citations", "max": 0}, reply(A), True),
        ({"type": "citations", "max": 1}, BOTH, False),
        ({"type": "citations", "resolves": True}, BOTH, True),
        ({"type": "citations", "resolves": True}, reply(A, cited={1: "z"}), False),
        ({"type": "citations", "resolves": True}, reply(A, cited={1: "a"}, text="So [1] and [7]."), False),
        ({"type": "citations", "resolves": True}, reply(A, cited={1: "a"}, text="So [1], `x[7]`."), True),
        ({"type": "citations", "source_type": ["Confluence", "web"]}, BOTH, True),
        ({"type": "citations", "source_type": "web"}, BOTH, False),
        ({"type": "citations", "source_type": "web"}, reply(C, cited={1: "c"}), None),
        ({"type": "citations", "document_set": "Policies"}, BOTH, None),
        ({"type": "documents", "contains": "a"}, BOTH, True),
        ({"type": "documents", "contains": "refund POLICY"}, BOTH, True),
        ({"type": "documents", "contains": "refunds eu.md"}, BOTH, True),
        ({"type": "documents", "contains": ["a", "zzz"]}, BOTH, False),
        ({"type": "documents", "contains": "b", "within": 1}, BOTH, False),
        ({"type": "documents", "contains": "b", "within": 2}, BOTH, True),
        ({"type": "documents", "min": 3}, BOTH, False),
        ({"type": "documents", "max": 0}, reply(), True),
        ({"type": "documents", "relevant": ["a", "c"], "recall@2": "50%"}, BOTH, True),
        ({"type": "documents", "relevant": ["a", "c"], "recall@1": 0.6}, BOTH, False),
        ({"type": "documents", "relevant": ["b"], "mrr": 0.5}, BOTH, True),
        ({"type": "documents", "relevant": ["b"], "mrr": 0.6}, BOTH, False),
        ({"type": "documents", "relevant": ["zzz"], "mrr": 0.1}, BOTH, False),
    ],
    ids=str,
)
def test_what_was_found_is_held_against_what_was_expected(
    written: Any, one: Exchange, passed: bool | None
) -> None:
    told_ = opinion(written, one)
    assert told_.passed is passed, told_.reason


def test_a_document_set_is_known_only_of_a_search_that_was_asked_of_it() -> None:
    for key in ("search_filters", "internal_search_filters"):
        request = {"message": "hi", key: {"document_set": ["Policies"]}}
        one = reply(A, cited={1: "a"}, request=request)
        assert opinion({"type": "citations", "document_set": ["Policies", "More"]}, one).passed is True
        assert opinion({"type": "citations", "document_set": "Other"}, one).passed is None


def test_what_an_earlier_turn_found_resolves_what_a_later_one_cites() -> None:
    later = reply(cited={1: "a"}, text="So [1].")
    assert opinion({"type": "citations", "resolves": True}, later).passed is False
    assert opinion({"type": "citations", "resolves": True}, reply(A, cited={1: "a"}), later).passed is True


def test_a_document_is_there_once_with_all_that_was_shown_of_it() -> None:
    again = {"document_id": "b", "semantic_identifier": "Refunds (EU)", "blurb": "…"}
    (a, b) = documents_of(Subject((reply(A, B, again),)))
    assert (a.name, a.blurb) == ("Refund policy", "30 days")
    assert (b.name, b.source_type, b.blurb) == ("Refunds (EU)", "web", "…")


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("{type: citations, min: 2, max: 1}", "no number of citations could pass"),
        ("{type: citations, minimum: 2}", "unknown key; did you mean min?"),
        ("documents", "one of contains, min, max, recall@k and mrr is wanted"),
        ("{type: documents, recall@5: 0.8}", "of which documents? say relevant"),
        ("{type: documents, relevant: [a], recall@0: 0.8}", "unknown key"),
        ("{type: documents, relevant: [a], recall@5: 8}", "at most 1 is wanted"),
        ("{type: documents, relevant: [a], recall: 0.8}", "unknown key; did you mean recall@k?"),
        ("{type: filters-obeyed, value: x}", "unknown key; filters-obeyed has type, weight, metric"),
    ],
)
def test_what_a_type_does_not_take_is_told(written: str, says: str) -> None:
    assert says in told(written)


ids = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8, unique=True)


@given(ids, ids)
def test_recall_grows_with_k_and_mrr_is_the_inverse_of_a_place(
    returned: list[str], relevant: list[str]
) -> None:
    one = reply(*({"document_id": each} for each in returned))
    scores = [
        opinion({"type": "documents", "relevant": relevant, f"recall@{k}": 0.0}, one).score
        for k in range(1, 9)
    ]
    assert scores == sorted(scores, key=lambda score: score or 0.0)
    assert scores[-1] == pytest.approx(len(set(returned) & set(relevant)) / len(relevant))
    mrr = opinion({"type": "documents", "relevant": relevant, "mrr": 0.0}, one).score
    places = [returned.index(each) + 1 for each in relevant if each in returned]
    assert mrr == (pytest.approx(1 / min(places)) if places else 0.0)
