"""What one reply brought, as it came: bytes and integers, nothing decoded.

A tape is filled while the reply is being read and looked at afterwards. Decoding on
the way would cost more than reading (perf.md 0.5), and half a million decoded packets
held in memory cost pauses of the garbage collector that land in somebody's TTFT.
A bytearray and three lists of integers cost neither. The road not taken is a record
for each piece: it would be nicer to loop over, and is one object for every packet.
"""

from typing import Literal

Stamps = Literal["kernel", "user"]

LONGEST_REPLY = 48 * 2**20
"""Bytes in one reply. A server that never ends would fill our memory; and what is kept of it stays short of
the longest line that is read (`harness.sigma.frames.LIMIT`), so that the packets before it can be."""


class Tape:
    """The body of one reply, when its pieces came, and the marks of the request around it.

    A tape is for one request. Where httpx follows a redirect or answers a challenge, it would hold the
    bodies of all replies, one behind the other.

    Piece *i* is what one read of the socket brought: `body[ends[i - 1]:ends[i]]`. It may hold
    several packets, or part of one. All times are nanoseconds of `time.perf_counter_ns`.

    - `arrived[i]`: when the last segment of the piece reached this machine, so its earlier
      packets (over TLS: records) came no later than that. `seen[i]`: when our reader got round to it
      (over TLS: had decrypted it); never before `arrived[i]`, and the difference is our own delay, not
      Sigma's.
    - `stamps`: "kernel" if every `arrived` (and `headers_ns`) was taken by the kernel; "user" if
      any was taken by us, and is then equal to `seen`.
    - `began_ns`: the transport took up the request.
    - `resolved_ns`, `tcp_ns`, `connected_ns`: the name was looked up; TCP reached the server (by way of a
      proxy: the proxy's name, and the tunnel through it); the connection stood, TLS included. All None when
      a kept connection was used again. The pool has no limit, so nobody waits for it, and it has no mark.
    - `sent_ns`: just before the system call that took the last byte of the request. Before and not
      after, since on loopback the server is already at work when the call returns. None
      when the request never went out whole.
    - `headers_ns`: the first byte of the final response came (not of a 1xx before it).
    - `ended_ns`: the last byte came, or the reply broke, timed out or was given up.
    - `resent`: a kept connection turned out to be dead, and the request went out once more.
    - `refused`: nothing may go out any more: whoever asked has given up, and is about to cancel.
    """

    __slots__ = (
        "arrived", "began_ns", "body", "connected_ns", "ended_ns", "ends", "headers_ns",
        "refused", "resent", "resolved_ns", "seen", "sent_ns", "stamps", "tcp_ns",
    )  # fmt: skip

    def __init__(self) -> None:
        self.body = bytearray()
        self.ends: list[int] = []
        self.arrived: list[int] = []
        self.seen: list[int] = []
        self.stamps: Stamps = "user"
        self.began_ns: int | None = None
        self.resolved_ns: int | None = None
        self.tcp_ns: int | None = None
        self.connected_ns: int | None = None
        self.sent_ns: int | None = None
        self.headers_ns: int | None = None
        self.ended_ns: int | None = None
        self.resent = False
        self.refused = False

    def keep(self, chunk: bytes, arrived: int, seen: int) -> None:
        """Put *chunk* on the tape; pieces of one read (the same *seen*) become one entry."""
        self.body += chunk
        if self.seen and self.seen[-1] == seen:
            self.ends[-1] = len(self.body)
        else:
            self.ends.append(len(self.body))
            self.arrived.append(arrived)
            self.seen.append(seen)
