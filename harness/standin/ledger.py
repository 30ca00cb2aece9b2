"""What the stand-in sent and when: the known source that an instrument is tested against.

A stamp of CLOCK_MONOTONIC is taken just before each line is written. On Linux that clock is one for all
processes, so a client's stamp of the same packet may be held against it: it must be later, and by how much
is the error.
"""

from array import array
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any

REPLIES = 10_000
BODIES = 1_000


@dataclass(slots=True)
class Entry:
    """The stamps of one reply, in nanoseconds; *kinds* has the packet's type for each."""

    request_ns: int
    sent_ns: "array[int]" = field(default_factory=lambda: array("q"))
    kinds: list[str] = field(default_factory=list)

    def note(self, kind: str, now: int) -> None:
        """One line, about to be written."""
        self.sent_ns.append(now)
        self.kinds.append(kind)

    def as_json(self) -> dict[str, Any]:
        """The answer of `GET /_standin/ledger/{assistant_message_id}`."""
        return {"request_ns": self.request_ns, "sent_ns": list(self.sent_ns), "kinds": self.kinds}


class Ledger:
    """The last replies by assistant message id, the last request bodies, and counts since the start."""

    def __init__(self) -> None:
        self._replies: OrderedDict[int, Entry] = OrderedDict()
        self._bodies: deque[tuple[int, str, bytes]] = deque(maxlen=BODIES)
        self._statuses: Counter[int] = Counter()
        self._in_flight = 0
        self._most_in_flight = 0
        self._requests = 0

    def keep(self, message_ids: list[int], entry: Entry) -> None:
        """Keep a reply under the ids of its answers; the oldest go when there are more than `REPLIES`."""
        for message_id in message_ids:
            self._replies[message_id] = entry
        while len(self._replies) > REPLIES:
            self._replies.popitem(last=False)

    def reply(self, message_id: int) -> Entry | None:
        """The stamps of one reply."""
        return self._replies.get(message_id)

    def received(self, now: int, path: str, body: bytes) -> int:
        """Keep a request body; returns its number, from 1."""
        self._requests += 1
        self._bodies.append((now, path, body))
        return self._requests

    def began(self) -> None:
        """A chat request is in flight."""
        self._in_flight += 1
        self._most_in_flight = max(self._most_in_flight, self._in_flight)

    def ended(self, status: int) -> None:
        """A chat request is over; *status* is what it was answered with (0: cut off before the head)."""
        self._in_flight -= 1
        self._statuses[status] += 1

    def requests(self) -> list[dict[str, Any]]:
        """The last request bodies, oldest first, as text."""
        return [
            {"received_ns": now, "path": path, "body": body.decode("utf-8", "replace")}
            for now, path, body in self._bodies
        ]

    def stats(self) -> dict[str, Any]:
        """Counts of chat requests since the start."""
        return {
            "requests": self._requests,
            "in_flight": self._in_flight,
            "max_in_flight": self._most_in_flight,
            "by_status": {str(status): count for status, count in sorted(self._statuses.items())},
            "replies_kept": len(self._replies),
        }
