"""Projects: their files, their conversations, their instructions."""

import pytest

from tests.conftest import Standin
from tests.standin.test_files import POLICY, one, upload

pytestmark = pytest.mark.parametrize("which", ["sigma", "onyx"])


@pytest.fixture
def target(which: str, request: pytest.FixtureRequest) -> Standin:
    chosen: Standin = request.getfixturevalue(which)
    return chosen


def test_a_project_lists_its_conversations_and_has_files_for_all_of_them(target: Standin) -> None:
    project = target.http.post("/user/projects/create", params={"name": "Canteen"}).json()
    (snapshot,) = upload(target, ("canteen.md", POLICY.encode()), project_id=str(project["id"]))["user_files"]
    asked = target.ask("When does the canteen open?", chat_session_info={"project_id": project["id"]})
    assert "11:30" in asked.answer()
    (listed,) = [each for each in target.get("/user/projects") if each["id"] == project["id"]]
    assert [each["id"] for each in listed["chat_sessions"]] == [asked.session_id]
    within = target.get(f"/chat/get-user-chat-sessions?project_id={project['id']}")["sessions"]
    assert [each["id"] for each in within] == [asked.session_id]
    outside = target.get("/chat/get-user-chat-sessions?only_non_project_chats=true&page_size=100")["sessions"]
    assert asked.session_id not in [each["id"] for each in outside]
    told = target.http.delete(f"/user/projects/file/{snapshot['id']}").json()
    assert (told["has_associations"], told["project_names"]) == (True, ["Canteen"])
    assert target.get(f"/user/projects/files/{project['id']}")[0]["id"] == snapshot["id"]


def test_deep_research_in_a_project_fails_after_the_ids(target: Standin) -> None:
    asked = target.ask(
        "Compare the refund windows of the EU and the US.",
        deep_research=True,
        chat_session_info={"project_id": 7},
    )
    assert asked.error["error_code"] == "UNKNOWN_ERROR"
    assert asked.assistant_id > 0


def test_a_project_that_is_not_there_is_refused(target: Standin) -> None:
    asked = target.ask("hello", chat_session_info={"project_id": 99})
    assert asked.error["error_code"] == "VALIDATION_ERROR"
    made = target.post({"project_id": 99}, "/chat/create-chat-session")
    assert made.status_code == 403


def test_one_project_is_there_from_the_start(target: Standin) -> None:
    (shipped,) = [each for each in target.get("/user/projects") if each["id"] == 7]
    assert shipped["name"] == "Atlas launch"
    assert target.get("/user/projects/7/instructions") == {"instructions": shipped["instructions"]}


def test_instructions_are_kept_and_shown(target: Standin) -> None:
    project = target.http.post("/user/projects/create", params={"name": "Terse"}).json()
    assert project["instructions"] is None
    path = f"/user/projects/{project['id']}/instructions"
    assert target.post({"instructions": "One word."}, path).json() == {"instructions": "One word."}
    (listed,) = [each for each in target.get("/user/projects") if each["id"] == project["id"]]
    assert listed["instructions"] == target.get(path)["instructions"] == "One word."
    assert target.http.get("/user/projects/99999/instructions").status_code == 404


def test_an_upload_is_linked_to_a_project_afterwards(target: Standin) -> None:
    project = target.http.post("/user/projects/create", params={"name": "Late"}).json()
    snapshot = one(target, "canteen.md", POLICY)
    path = f"/user/projects/{project['id']}/files/{snapshot['id']}"
    assert target.post({}, path).json()["name"] == "canteen.md"
    assert target.post({}, f"/user/projects/99999/files/{snapshot['id']}").status_code == 404
    asked = target.ask("When does the canteen open?", chat_session_info={"project_id": project["id"]})
    assert asked.answer() == "canteen.md says: The canteen opens at 11:30."
    assert target.session(asked)["messages"][1]["files"] == []


def test_a_file_of_a_project_is_not_attached_elsewhere(target: Standin) -> None:
    project = target.http.post("/user/projects/create", params={"name": "Apart"}).json()
    upload(target, ("canteen.md", POLICY.encode()), project_id=str(project["id"]))
    asked = target.ask("When does the canteen open?", chat_session_info={"project_id": 7})
    assert "11:30" not in asked.answer()
    assert "11:30" not in target.ask("When does the canteen open?").answer()
