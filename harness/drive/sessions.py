"""The conversations that a run made: looked at once its trials are done, and deleted where that is wanted.

Which model answered, and with which files, only the session's detail shows (wire 1.2). It is fetched outside
the slots, after the phase: a look-up beside a stream that is being measured would be load of our own.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import anyio
import httpx

from harness.sigma.client import Client
from harness.sigma.session import SessionDetail, read_session

Call = Callable[[str], Awaitable[str | None]]

AT_ONCE = 8


@dataclass(slots=True)
class Ids:
    """The ids of many sessions, each once; of one that is a UUID, as Sigma's are, 16 bytes are kept.

    A run of a day has millions of them, and what it needs of memory is not to grow with what it has done.
    """

    packed: bytearray = field(default_factory=bytearray)
    others: dict[str, None] = field(default_factory=dict)

    @classmethod
    def of(cls, session_ids: Iterable[str]) -> "Ids":
        """Those of *session_ids*."""
        ids = cls()
        for session_id in session_ids:
            ids.add(session_id)
        return ids

    def add(self, session_id: str) -> None:
        """Remember *session_id*."""
        try:
            packed = UUID(session_id)
        except ValueError:
            packed = None
        if packed is None or str(packed) != session_id:
            self.others[session_id] = None
        else:
            self.packed += packed.bytes

    def __iter__(self) -> Iterator[str]:
        """Each once, the UUIDs in the order in which they came."""
        whole = (bytes(self.packed[at : at + 16]) for at in range(0, len(self.packed), 16))
        yield from dict.fromkeys(str(UUID(bytes=each)) for each in whole)
        yield from self.others


@dataclass(slots=True)
class Errand:
    """So many calls outside any trial, a few at a time. *failed* says why, with how often."""

    client: Client
    advance: Callable[[], None] = lambda: None
    abandoned: Callable[[], bool] = lambda: False
    done: int = 0
    failed: dict[str, int] = field(default_factory=dict)

    async def run(self, session_ids: Iterable[str], call: Call) -> None:
        """Await *call* for each session, unless the errand is abandoned; what it returns is why it failed."""
        waiting = iter(session_ids)

        async def worker() -> None:
            for session_id in waiting:
                if self.abandoned():
                    return
                try:
                    why = await call(session_id)
                except httpx.RequestError as error:
                    why = str(error) or type(error).__name__
                if why is None:
                    self.done += 1
                else:
                    self.failed[why] = self.failed.get(why, 0) + 1
                self.advance()

        async with anyio.create_task_group() as tasks:
            for _ in range(AT_ONCE):
                tasks.start_soon(worker)

    def why(self) -> str:
        """What went wrong, the most frequent first."""
        ranked = sorted(self.failed.items(), key=lambda item: -item[1])
        return "; ".join(f"{reason} ({count} times)" for reason, count in ranked[:3])


async def look_at(errand: Errand, session_ids: Sequence[str], sink: Callable[[SessionDetail], None]) -> None:
    """Hand *sink* what the server keeps of each session; those that cannot be had are counted."""
    if not session_ids:
        return
    projects = await _projects(errand.client)

    async def look(session_id: str) -> str | None:
        response = await errand.client.session_detail(session_id)
        if not response.is_success:
            return f"GET /chat/get-chat-session answered {response.status_code}"
        try:
            detail = read_session(
                _masked(errand.client, response), None if projects is None else projects.get(session_id, ())
            )
        except ValueError:
            detail = None
        if detail is None:
            return "GET /chat/get-chat-session answered with something that is no session"
        sink(detail)
        return None

    await errand.run(session_ids, look)


def _masked(client: Client, response: httpx.Response) -> Any:
    """The document in *response*, masked as replies are. Raises `ValueError`."""
    if not client.veil.finders:
        return response.json()
    body = bytearray(response.content)
    client.veil.over(body)
    return json.loads(body.decode(errors="replace"))


async def _projects(client: Client) -> dict[str, tuple[int, ...]] | None:
    """For each session that a project lists, the projects that do; None where they cannot be listed."""
    try:
        response = await client.get("/user/projects")
        rows = response.json() if response.is_success else None
        listed = [(row["id"], session["id"]) for row in rows or () for session in row["chat_sessions"]]
    except (httpx.RequestError, ValueError, LookupError, TypeError):
        return None
    if rows is None:
        return None
    found: dict[str, tuple[int, ...]] = {}
    for project, session_id in listed:
        found[session_id] = (*found.get(session_id, ()), project)
    return found


async def delete_sessions(errand: Errand, session_ids: Sequence[str]) -> None:
    """Delete these sessions, and no others."""

    async def delete(session_id: str) -> str | None:
        response = await errand.client.delete_session(session_id)
        return None if response.is_success else f"DELETE answered {response.status_code}"

    await errand.run(session_ids, delete)
