"""Files of a plan against a real stand-in: uploaded once, waited for, taken away."""

import re
from pathlib import Path

import anyio
import httpx
import pytest

from harness.drive.attach import attached, files_of
from harness.drive.pool import plain_errors
from harness.errors import TargetError
from harness.plan.trials import Plan, make_plan
from harness.sigma.client import Address, Client
from harness.sigma.uploads import Uploads, delete, upload
from harness.suite.read import parse_suite
from harness.suite.settings import FileDescriptor
from tests.conftest import Standin
from tests.drive.test_odd_servers import Told

pytestmark = pytest.mark.anyio


def plan_of(folder: Path, target: Standin, files: str, extra: str = "") -> Plan:
    text = f"""
target: {{base_url: "{target.url}"{extra}}}
defaults: {{repeat: 3}}
prompts:
  - {{id: a, message: one, files: {files}}}
  - {{id: b, message: two, files: {files}}}
  - {{id: c, message: three}}
"""
    return make_plan(parse_suite(text, folder / "s.yaml", {}))


def uploads(target: Standin) -> set[str]:
    return {each["id"] for each in target.get("/user/files/recent")}


async def test_a_file_is_uploaded_once_and_ready_when_the_first_trial_may_begin(
    sigma: Standin, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("alpha")
    (tmp_path / "same.txt").write_text("alpha")
    plan = plan_of(tmp_path, sigma, "[a.txt, same.txt]")
    before = uploads(sigma)
    done: list[str] = []
    async with attached(plan, Address(sigma.url), say=done.append, done=lambda: done.append("")) as ready:
        (new,) = uploads(sigma) - before
        assert sigma.get(f"/user/projects/file/{new}")["status"] == "COMPLETED"
        descriptors = {file for trial in ready.trials for file in trial.settings[0].files or ()}
        (only,) = descriptors
        assert isinstance(only, FileDescriptor)
        assert only.user_file_id == new
        assert only.id != new
        assert [trial.trial_id for trial in ready.trials] == [trial.trial_id for trial in plan.trials]
    assert uploads(sigma) == before
    assert done == [""]


async def test_uploads_stay_where_the_suite_says_so(sigma: Standin, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("alpha")
    plan = plan_of(tmp_path, sigma, "a.txt", ", cleanup: false")
    before = uploads(sigma)
    async with attached(plan, Address(sigma.url), say=print):
        pass
    assert len(uploads(sigma) - before) == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.exe", "does not take the file: Unsupported file type: .exe"),
        ("failing.txt", "was uploaded and did not get ready: it is FAILED"),
    ],
)
async def test_a_file_that_is_not_taken_is_named_and_leaves_nothing_behind(
    sigma: Standin, tmp_path: Path, name: str, said: str
) -> None:
    (tmp_path / name).write_text("x")
    (tmp_path / "good.txt").write_text("y")
    before = uploads(sigma)
    with pytest.raises(TargetError, match=said) as error:
        async with attached(plan_of(tmp_path, sigma, f"[good.txt, {name}]"), Address(sigma.url), say=print):
            pass
    assert name in str(error.value)
    assert uploads(sigma) == before


async def test_a_skipped_file_may_be_asked_about(sigma: Standin, tmp_path: Path) -> None:
    (tmp_path / "skipped.txt").write_text("x")
    async with attached(plan_of(tmp_path, sigma, "skipped.txt"), Address(sigma.url), say=print) as ready:
        assert ready.trials[0].settings[0].files != ("skipped.txt",)


async def test_uploads_are_taken_away_when_the_run_is_cancelled(sigma: Standin, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("alpha")
    before = uploads(sigma)
    with anyio.CancelScope() as scope:
        async with attached(plan_of(tmp_path, sigma, "a.txt"), Address(sigma.url), say=print):
            scope.cancel()
            await anyio.lowlevel.checkpoint()
    assert uploads(sigma) == before


async def test_what_cannot_be_deleted_is_said(sigma: Standin, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("alpha")
    said: list[str] = []
    before = uploads(sigma)
    async with attached(plan_of(tmp_path, sigma, "a.txt"), Address(sigma.url), say=said.append):
        (new,) = uploads(sigma) - before
        sigma.http.post(f"/user/projects/7/files/{new}")
    assert said == [
        f"the upload {new} could not be deleted: the server keeps it: it is used by a project or a persona"
    ]


async def test_a_plan_without_files_asks_nothing(tmp_path: Path, sigma: Standin) -> None:
    plan = make_plan(parse_suite("{target: standin, prompts: [{message: hi}]}", tmp_path / "s.yaml", {}))
    assert files_of(plan) == []
    async with attached(plan, Address("http://127.0.0.1:1"), say=print) as same:
        assert same is plan


PROCESSING = {"id": "1", "file_id": "2", "name": "a", "chat_file_type": "document", "status": "PROCESSING"}
TAKEN = httpx.Response(200, json={"user_files": [PROCESSING]})
RESET = httpx.ReadError("reset")


@pytest.mark.parametrize(
    ("sent", "looked_at", "said", "made"),
    [
        (RESET, RESET, "could not be uploaded: reset", []),
        (httpx.Response(200, json={"user_files": ["a"]}), RESET, "answered with something else", []),
        (httpx.Response(200, json={"rejected_files": 5}), RESET, "does not take the file", []),
        (TAKEN, RESET, "while it was being processed: reset", ["1"]),
        (TAKEN, httpx.Response(500), "was uploaded, and then answered 500", ["1"]),
        (TAKEN, httpx.Response(200, json=PROCESSING | {"status": "FAILED"}), "it is FAILED", ["1"]),
    ],
)
async def test_a_file_that_does_not_get_there_is_named_with_the_reason(
    sent: httpx.Response | Exception,
    looked_at: httpx.Response | Exception,
    said: str,
    made: list[str],
    tmp_path: Path,
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        told = sent if request.method == "POST" else looked_at
        if isinstance(told, Exception):
            raise told
        return told

    path = tmp_path / "a.txt"
    path.write_text("alpha")
    uploads = Uploads()
    async with Client(Address("http://sigma"), Told(answer)) as client:
        with pytest.raises(TargetError, match=f"^{re.escape(str(path))}: .*{said}"), plain_errors():
            await upload(client, [path], uploads)
    assert uploads.made == made, "what is to be taken away again"


async def test_of_each_upload_that_cannot_be_deleted_it_is_said_why() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/1"):
            raise RESET
        return httpx.Response(500 if request.url.path.endswith("/2") else 200)

    uploads = Uploads(made=["1", "2", "3"])
    async with Client(Address("http://sigma"), Told(answer)) as client:
        await delete(client, uploads)
    assert uploads.left == {"1": "reset", "2": "DELETE answered 500"}
