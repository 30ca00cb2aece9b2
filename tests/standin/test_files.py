"""Uploads and projects: their states, and what a reply makes of them."""

import time
from typing import Any

import pytest

from harness.standin.files import state_of
from tests.conftest import Standin

pytestmark = pytest.mark.parametrize("which", ["sigma", "onyx"])

POLICY = "The canteen opens at 11:30.\nBicycles are parked behind the east gate.\n"


@pytest.fixture
def target(which: str, request: pytest.FixtureRequest) -> Standin:
    chosen: Standin = request.getfixturevalue(which)
    return chosen


def upload(target: Standin, *files: tuple[str, bytes], **fields: str) -> dict[str, Any]:
    answer = target.http.post(
        "/user/projects/file/upload", files=[("files", each) for each in files], data=fields
    )
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def one(target: Standin, name: str, text: str) -> dict[str, Any]:
    (snapshot,) = upload(target, (name, text.encode()))["user_files"]
    return dict(snapshot)


def descriptor(snapshot: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": snapshot["file_id"],
        "type": snapshot["chat_file_type"],
        "name": snapshot["name"],
        "user_file_id": snapshot["id"],
    }


def states_to_the_end(target: Standin, snapshot: dict[str, Any]) -> list[str]:
    seen = [snapshot["status"]]
    while seen[-1] in {"PROCESSING", "INDEXING"}:
        status = target.get(f"/user/projects/file/{snapshot['id']}")["status"]
        if status != seen[-1]:
            seen.append(status)
    return seen


@pytest.mark.parametrize(
    ("name", "end"), [("a.txt", "COMPLETED"), ("failing.txt", "FAILED"), ("skipped.txt", "SKIPPED")]
)
def test_a_file_is_processed_then_indexed_then_what_its_name_asks_for(
    target: Standin, name: str, end: str
) -> None:
    states = [state_of(name, ms * 1_000_000) for ms in (0, 59, 60, 149, 150, 9999)]
    assert states == ["PROCESSING"] * 2 + ["INDEXING"] * 2 + [end] * 2
    # Over the network, whoever is slow to ask again misses a state.
    first, *between, last = states_to_the_end(target, one(target, name, POLICY))
    assert (first, last) == ("PROCESSING", end)
    assert between in ([], ["INDEXING"])


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.png", "image"), ("a.csv", "tabular"), ("a.md", "plain_text"), ("a.pdf", "document")],
)
def test_the_kind_is_told_by_the_name(target: Standin, name: str, kind: str) -> None:
    assert one(target, name, "x")["chat_file_type"] == kind


def test_what_is_not_taken_is_rejected_under_200_beside_what_is(target: Standin) -> None:
    told = upload(target, ("a.txt", b"x"), ("b.exe", b"x"), ("c.txt", b""))
    assert [each["name"] for each in told["user_files"]] == ["a.txt"]
    assert told["rejected_files"] == [
        {"file_name": "b.exe", "reason": "Unsupported file type: .exe"},
        {"file_name": "c.txt", "reason": "Unsupported file type: .txt"},
    ]


def test_an_upload_without_files_or_to_no_project_is_refused_as_real_servers_do(target: Standin) -> None:
    assert target.http.post("/user/projects/file/upload", data={"x": "y"}).status_code == 422
    lost = target.http.post(
        "/user/projects/file/upload", files={"files": ("a.txt", b"x")}, data={"project_id": "99999"}
    )
    assert lost.status_code == 500


def test_a_file_is_found_by_its_id_in_every_list_and_gone_once_deleted(target: Standin) -> None:
    snapshot = one(target, "a.txt", POLICY)
    path = f"/user/projects/file/{snapshot['id']}"
    assert target.get(path)["name"] == "a.txt"
    assert snapshot["id"] in [each["id"] for each in target.get("/user/files/recent")]
    asked = {"file_ids": [snapshot["id"], "5b0f5e0e-2c4e-4a5e-9c1d-0d8a4f6a1b11"]}
    (status,) = target.post(asked, "/user/projects/file/statuses").json()
    assert status["id"] == snapshot["id"]
    assert target.http.get(f"/chat/file/{snapshot['file_id']}").text == POLICY
    assert target.http.delete(path).json()["has_associations"] is False
    assert target.http.get(path).status_code == 404
    assert target.http.get("/user/projects/file/not-a-uuid").status_code == 422


def test_only_the_guides_server_has_the_guides_list(target: Standin, which: str) -> None:
    assert target.http.get("/user/projects/file/").status_code == {"sigma": 200, "onyx": 405}[which]


def test_what_a_file_says_is_answered_from_it_and_stays_for_the_next_turn(target: Standin) -> None:
    files = [descriptor(one(target, "canteen.md", POLICY))]
    asked = target.ask("When does the canteen open?", file_descriptors=files)
    assert asked.answer() == "canteen.md says: The canteen opens at 11:30."
    later = target.ask("Where are bicycles parked?", chat_session_id=asked.session_id)
    assert "behind the east gate" in later.answer()
    (question,) = [
        message for message in target.session(asked)["messages"] if message["message_id"] == asked.user_id
    ]
    assert question["files"] == files


def test_a_question_answered_again_keeps_its_files(target: Standin) -> None:
    files = [descriptor(one(target, "canteen.md", POLICY))]
    first = target.ask("When does the canteen open?", file_descriptors=files)
    again = target.ask("unused", chat_session_id=first.session_id, parent_message_id=first.user_id)
    assert again.user_id == first.user_id
    assert again.answer() == first.answer() == "canteen.md says: The canteen opens at 11:30."


def test_who_does_not_wait_for_a_file_waits_for_the_reply(target: Standin) -> None:
    """The clock is one for both processes, and a file takes 150 ms from its upload."""
    began = time.perf_counter_ns()
    files = [descriptor(one(target, "canteen.md", POLICY))]
    asked = target.ask("When does the canteen open?", file_descriptors=files)
    told = target.get(f"/_standin/ledger/{asked.assistant_id}")
    assert told["sent_ns"][told["kinds"].index("ids")] - began >= 150_000_000


@pytest.mark.parametrize(
    ("method", "path", "what"),
    [
        ("POST", "/user/projects/file/statuses", {"json": {}}),
        ("POST", "/user/projects/file/statuses", {"content": b"{"}),
        ("DELETE", "/user/projects/file/not-a-uuid", {}),
        ("POST", "/user/projects/create", {}),
        ("POST", "/user/projects/7/instructions", {"json": {"instructions": 7}}),
        (
            "POST",
            "/user/projects/file/upload",
            {"files": {"files": ("a.txt", b"x")}, "data": {"project_id": "x"}},
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_where_it_is_wrong(
    target: Standin, method: str, path: str, what: dict[str, Any]
) -> None:
    answer = target.http.request(method, path, **what)
    assert (answer.status_code, answer.json()["status_code"]) == (422, 422)
    assert "'loc': (" in answer.json()["message"]


def test_an_unknown_upload_is_passed_over_without_a_word(target: Standin) -> None:
    unknown = {"id": "x", "type": "plain_text", "user_file_id": "5b0f5e0e-2c4e-4a5e-9c1d-0d8a4f6a1b11"}
    asked = target.ask("When does the canteen open?", file_descriptors=[unknown])
    assert "11:30" not in asked.answer()
    assert [message["files"] for message in target.session(asked)["messages"]] == [[], [], []]


def test_a_file_without_its_upload_id_is_taken_for_one_of_the_project(target: Standin) -> None:
    files = [{"id": "x", "type": "plain_text"}]
    asked = target.ask("hello", file_descriptors=files)
    assert asked.error["error_code"] == "VALIDATION_ERROR"
    within = target.ask("hello", file_descriptors=files, chat_session_info={"project_id": 7})
    assert within.kinds[-1] == "stop"
