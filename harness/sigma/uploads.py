"""Files on their way to a Sigma: uploaded, waited for, and taken away again.

A file may be asked about while the server still works on it, at a cost in latency (wire 1.4). So it is waited
for: whatever a run measures, it is not somebody's parser.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import httpx

from harness.errors import TargetError
from harness.sigma.catalogue import UserFile, user_file
from harness.sigma.client import Client
from harness.sigma.probe import document, reason

AT_ONCE = 4
UPLOADED_WITHIN_S = 120.0
PROCESSED_WITHIN_S = 300.0
POLL_S = 0.1
LONGEST_POLL_S = 2.0
READY = frozenset({"COMPLETED", "SKIPPED"})
"""A file that is skipped is kept and not indexed: what is asked about it is read from it all the same."""

_UNDER_WAY = frozenset({"PROCESSING", "INDEXING", "UPLOADING"})


@dataclass(slots=True)
class Uploads:
    """The files that a run uploaded: *by_path* once they may be asked about, *made* from the first moment.

    *left* are those that could not be deleted again, and why.
    """

    by_path: dict[Path, UserFile] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)


async def upload(
    client: Client, paths: Sequence[Path], uploads: Uploads, *, done: Callable[[], None] = lambda: None
) -> None:
    """Upload each of *paths* once and wait until the server is through with it; *uploads* is filled.

    *done* is called for each. Raises `TargetError` with the file's name where one is rejected, fails, or is
    not through within five minutes.
    """
    waiting = iter(paths)

    async def worker() -> None:
        for path in waiting:
            uploads.by_path[path] = await _one(client, path, uploads)
            done()

    async with anyio.create_task_group() as tasks:
        for _ in range(AT_ONCE):
            tasks.start_soon(worker)


async def delete(client: Client, uploads: Uploads) -> None:
    """Delete what was uploaded, and nothing else; *uploads* says what is left, and why."""
    uploads.left = dict.fromkeys(uploads.made, "the time was up")
    for user_file_id in uploads.made:
        why = await _deleted(client, user_file_id)
        if why is None:
            del uploads.left[user_file_id]
        else:
            uploads.left[user_file_id] = why


async def _deleted(client: Client, user_file_id: str) -> str | None:
    """Why one upload could not be deleted, None where it was."""
    try:
        answer = await client.delete_file(user_file_id)
    except httpx.RequestError as error:
        return reason(error)
    if not answer.is_success:
        return f"DELETE answered {answer.status_code}"
    if document(answer).get("has_associations"):
        return "the server keeps it: it is used by a project or a persona"
    return None


async def _one(client: Client, path: Path, uploads: Uploads) -> UserFile:
    # Once it is under way, the answer is waited for, even where the run is being ended: only the answer has
    # the id by which the file can be taken away again.
    try:
        with anyio.fail_after(UPLOADED_WITHIN_S, shield=True):
            known = await _sent(client, path)
            uploads.made.append(known.user_file_id)
    except TimeoutError:
        raise TargetError(f"{path}: was not uploaded within {UPLOADED_WITHIN_S:g} s") from None
    return await _processed(client, path, known)


async def _sent(client: Client, path: Path) -> UserFile:
    try:
        answer = await client.upload(path.name, await anyio.Path(path).read_bytes())
    except (httpx.RequestError, OSError) as error:
        raise TargetError(f"{path}: could not be uploaded: {reason(error)}") from error
    told = document(answer)
    rows = told.get("rejected_files")
    rejected = [row.get("reason") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    if not answer.is_success or rejected or not told.get("user_files"):
        why = (
            "; ".join(map(str, rejected))
            or f"the upload was answered {answer.status_code}: {answer.text[:200]}"
        )
        raise TargetError(f"{path}: this Sigma does not take the file: {why}")
    try:
        return user_file(told["user_files"][0])
    except (LookupError, TypeError) as error:
        raise TargetError(
            f"{path}: the upload was answered with something else: {answer.text[:200]}"
        ) from error


async def _processed(client: Client, path: Path, known: UserFile) -> UserFile:
    poll_s = POLL_S
    with anyio.move_on_after(PROCESSED_WITHIN_S):
        while known.status in _UNDER_WAY:
            await anyio.sleep(poll_s)
            poll_s = min(LONGEST_POLL_S, poll_s * 1.5)
            known = await _again(client, path, known)
    if known.status not in READY:
        within = f" within {PROCESSED_WITHIN_S:g} s" if known.status in _UNDER_WAY else ""
        raise TargetError(f"{path}: was uploaded and did not get ready{within}: it is {known.status}")
    return known


async def _again(client: Client, path: Path, known: UserFile) -> UserFile:
    try:
        answer = await client.get(f"/user/projects/file/{known.user_file_id}")
        return user_file(document(answer))
    except httpx.RequestError as error:
        raise TargetError(f"{path}: while it was being processed: {reason(error)}") from error
    except LookupError as error:
        raise TargetError(f"{path}: was uploaded, and then answered {answer.status_code}") from error
