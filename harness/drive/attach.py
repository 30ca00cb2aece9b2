"""The files of a plan: uploaded once each before the first trial, and taken away after the last."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from harness.drive.pool import plain_errors
from harness.drive.transport import transport_of
from harness.plan.trials import Plan
from harness.sigma.catalogue import UserFile
from harness.sigma.client import Address, Client
from harness.sigma.uploads import Uploads, delete, upload
from harness.suite.attachments import digest, path_of
from harness.suite.settings import FileDescriptor, Settings

DELETED_WITHIN_S = 30.0

Say = Callable[[str], None]


@asynccontextmanager
async def attached(
    plan: Plan, address: Address, *, say: Say, done: Callable[[], None] = lambda: None
) -> AsyncIterator[Plan]:
    """*plan* with uploads in the place of paths, for as long as the block lasts.

    Files of the same content are uploaded once. They are deleted when the block is left, however that
    happens, unless `target.cleanup` says otherwise; *say* is told what could not be. Raises `TargetError`
    where a file is not taken.
    """
    paths = files_of(plan)
    if not paths:
        yield plan
        return
    digests = {path: digest(path) for path in paths}
    first = {digests[path]: path for path in reversed(paths)}
    uploads = Uploads()
    async with Client(address, transport_of(plan.suite, address.base_url)()) as client:
        try:
            with plain_errors():
                await upload(client, list(first.values()), uploads, done=done)
            same = {path: uploads.by_path[first[digests[path]]] for path in paths}
            yield plan.with_settings(_uploaded(plan.suite.path, same))
        finally:
            if plan.suite.target.cleanup.files:
                with anyio.move_on_after(DELETED_WITHIN_S, shield=True):
                    await delete(client, uploads)
                for user_file_id, why in uploads.left.items():
                    say(f"the upload {user_file_id} could not be deleted: {why}")


def files_of(plan: Plan) -> list[Path]:
    """The distinct paths among the files of *plan*, in its order."""
    written = (
        file
        for settings in {id(one): one for asked in plan.asked() for one in asked.settings}.values()
        for file in settings.files or ()
        if isinstance(file, str)
    )
    paths = (path_of(file, plan.suite.path) for file in dict.fromkeys(written))
    return [path for path in paths if path is not None]


def _uploaded(suite_path: Path, uploads: Mapping[Path, UserFile]) -> Callable[[Settings], Settings]:
    known: dict[int, Settings] = {}

    def sent(file: str | FileDescriptor) -> str | FileDescriptor:
        path = path_of(file, suite_path) if isinstance(file, str) else None
        return file if path is None else uploads[path].descriptor

    def changed(settings: Settings) -> Settings:
        if settings.files is None:
            return settings
        if id(settings) not in known:
            known[id(settings)] = settings.model_copy(update={"files": tuple(map(sent, settings.files))})
        return known[id(settings)]

    return changed
