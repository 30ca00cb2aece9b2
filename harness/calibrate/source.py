"""A stream source of known times: a server that says of each packet when it sent it.

`POST /m/ttft=200,gap=20,n=50/chat/send-chat-message` gives a reply of Sigma's: its opening at once, *n*
packets of answer text, the first *ttft* ms after the request and then one every *gap* ms, and a stop one gap
later. ``bytes=100`` is the length of a line (at least that of one with a letter of text), ``stall=25:1000``
holds everything from the 25th packet on up for 1,000 ms. Each line carries in ``"ts"`` the nanoseconds of
CLOCK_MONOTONIC taken just before its `send`, the clock that the harness stamps with. So even a late source
tells the truth; how late it was, and how much it could send, is told by `GET /stats` (`POST /stats/reset`
forgets). `GET /health` answers at once: a control request.

One thread, epoll, absolute due times, nothing but the standard library: it has to hold 500 streams of 50
packets a second on one core, in a process of its own. Linux only, as are the stamps that it is held against.

    python -m harness.calibrate.source [PORT]

prints ``ready URL``, and ends when its standard input does; then it says on standard error how late it was,
and how many packets a second it could have sent.
"""

import heapq
import json
import os
import re
import select
import socket
import sys
import time
from array import array
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field

from harness.drive.timers import arm, open_timer

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
_SESSION = b'{"chat_session_id":"00000000-0000-4000-8000-%012d","ts":"%019d"}\n'
_IDS = b'{"user_message_id":1,"reserved_assistant_message_id":2}\n'
_PACKET = b'{"placement":{"turn_index":0,"tab_index":0},"obj":{"type":"%b"%b},"ts":"%%019d"}\n'
_START = _PACKET % (b"message_start", b"")
_STOP = _PACKET % (b"stop", b',"stop_reason":"finished"')
_SETTINGS = re.compile(rb"(ttft|gap|n|bytes|slots)=(\d+(?:\.\d+)?)")
_STALL = re.compile(rb"stall=(\d+):(\d+)")
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_STAMP_LENGTH = 19
_MS = 1_000_000
_STDIN = 0
_AT_ONCE = 256
"""So many packets go out before connections and requests are looked at: a late source still has to hear."""


@dataclass(slots=True)
class Stream:
    """One connection, and the reply that is going out over it; *due_ns* of its next packet."""

    sock: socket.socket
    heard: bytes = b""
    left: int = 0
    sent: int = 0
    due_ns: int = 0
    gap_ns: int = 0
    stall_at: int = -1
    stall_ns: int = 0
    packet: bytes = b""
    slots: int = 0


@dataclass(slots=True)
class Source:
    """All connections, and how late their packets went out."""

    listener: socket.socket
    streams: dict[int, Stream] = field(default_factory=dict)
    due: list[tuple[int, int]] = field(default_factory=list)
    waiting: deque[tuple[Stream, bytes]] = field(default_factory=deque)
    busy: int = 0
    late_ns: array = field(default_factory=lambda: array("q"))  # type: ignore[type-arg]  # array takes none as it runs
    most: int = 0
    replies: int = 0
    cpu_s: float = 0.0


def serve(source: Source) -> None:
    """Serve until standard input ends."""
    ready, timer = select.epoll(), open_timer()
    for file in (source.listener.fileno(), timer, _STDIN):
        if file is not None:
            with suppress(PermissionError):  # a file or /dev/null never ends, and cannot be watched
                ready.register(file, select.EPOLLIN)
    going = True
    while going:
        events = ready.poll(until_due(source, timer))
        send_due(source)
        for number, _ in events:
            going &= heed(source, number, ready)


def until_due(source: Source, timer: int | None) -> float | None:
    """Set *timer* to the next packet that is due; without one, the seconds to wait for it."""
    first = source.due[0][0] if source.due else None
    if timer is not None:
        arm(timer, first or 0)  # epoll's own timeout has steps of 1 ms
        return None
    return None if first is None else max(0.0, (first - time.perf_counter_ns()) / 1e9)


def heed(source: Source, number: int, ready: select.epoll) -> bool:
    """Take what has come by one file; False when standard input has ended."""
    if number == source.listener.fileno():
        accept(source, ready)
    elif number == _STDIN:
        return bool(os.read(_STDIN, 1))
    elif number in source.streams:
        hear(source, number)
    return True


def send_due(source: Source) -> None:
    """Send the packets that are due by now, as many as go at once."""
    due, streams, late = source.due, source.streams, source.late_ns
    for _ in range(_AT_ONCE):
        if not due or due[0][0] > time.perf_counter_ns():
            return
        at, number = due[0]
        stream = streams.get(number)
        if stream is None or stream.due_ns != at:  # its connection is gone
            heapq.heappop(due)
            continue
        now = time.perf_counter_ns()
        late.append(now - at)
        try:
            stream.sock.send(next_packet(stream, now))
        except OSError:  # gone, or its buffer is full, and then a reply that breaks is seen sooner
            heapq.heappop(due)
            forget(source, stream)
            continue
        if stream.left:
            heapq.heapreplace(due, (stream.due_ns, number))
        else:
            heapq.heappop(due)
            free_slot(source, stream)


def next_packet(stream: Stream, now_ns: int) -> bytes:
    """The next chunk of the reply, stamped, and when the one after it is due."""
    stream.left -= 1
    if not stream.left:
        return chunk(_STOP % now_ns) + b"0\r\n\r\n"
    stream.sent += 1
    stream.due_ns += stream.gap_ns + (stream.stall_ns if stream.sent == stream.stall_at else 0)
    return stream.packet % now_ns


def chunk(line: bytes) -> bytes:
    """*line* in the framing of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(line), line)


def accept(source: Source, ready: select.epoll) -> None:
    """Take up a connection."""
    sock, _ = source.listener.accept()
    sock.settimeout(0)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with suppress(OSError):  # others pace what they send, which would be none of our lateness
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
    source.streams[sock.fileno()] = Stream(sock)
    source.most = max(source.most, len(source.streams))
    ready.register(sock, select.EPOLLIN)


def hear(source: Source, number: int) -> None:
    """Take what a client says, and answer once it is whole."""
    stream = source.streams[number]
    try:
        more = stream.sock.recv(65_536)
    except OSError:
        more = b""
    if not more:
        forget(source, stream)
        return
    stream.heard += more
    head, blank, body = stream.heard.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    if not blank or len(body) < (int(length[1]) if length else 0):
        return
    stream.heard = b""
    answer(source, stream, head.partition(b"\r\n")[0])


def forget(source: Source, stream: Stream) -> None:
    """Close a connection, and let the next reply have its slot; a closed file is in no epoll either."""
    source.streams.pop(stream.sock.fileno(), None)
    stream.sock.close()
    source.waiting = deque(each for each in source.waiting if each[0] is not stream)
    free_slot(source, stream)


def say(source: Source, stream: Stream, words: bytes) -> bool:
    """Send *words*; False where the client has gone meanwhile, which must not take the others along."""
    try:
        stream.sock.send(words)
    except OSError:
        forget(source, stream)
        return False
    return True


def answer(source: Source, stream: Stream, request: bytes) -> None:
    """Begin the reply to *request*, the first line of it."""
    method, path, _ = request.split(b" ", 2)
    if path.endswith((b"/stats", b"/stats/reset")):
        told = json.dumps(stats(source)).encode()
        if method == b"POST":
            del source.late_ns[:]
            source.most, source.replies, source.cpu_s = len(source.streams), 0, time.process_time()
    elif method == b"POST" and path.endswith(b"/send-chat-message"):
        begin(source, stream, path)
        return
    elif path.endswith(b"/health"):
        told = b'{"success":true,"message":"ok","data":null}'
    else:
        told = b"{}"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(told)
    say(source, stream, head + told)


def begin(source: Source, stream: Stream, path: bytes) -> None:
    """Send the head and the opening of a reply, and work out when its packets are due."""
    asked = {key: float(value) for key, value in _SETTINGS.findall(path)}
    slots = int(asked.get(b"slots", 0))
    if slots and source.busy >= slots:
        source.waiting.append((stream, path))
        return
    stream.slots, source.busy = slots, source.busy + bool(slots)
    stall = _STALL.search(path)
    source.replies += 1
    stream.sent, stream.left = 0, int(asked.get(b"n", 50)) + 1
    stream.gap_ns = round(asked.get(b"gap", 20.0) * _MS)
    stream.stall_at, stream.stall_ns = (int(stall[1]), int(stall[2]) * _MS) if stall else (-1, 0)
    bare = len(_PACKET % (b"message_delta", b',"content":""')) - len(b"%019d") + _STAMP_LENGTH
    length = max(1, int(asked.get(b"bytes", 100)) - bare)
    words = (b"words " * (length // 6 + 1))[:length]
    line = _PACKET % (b"message_delta", b',"content":"%b"' % words)
    stream.packet = b"%x\r\n%b\r\n" % (len(line) - len(b"%019d") + _STAMP_LENGTH, line)
    now = time.perf_counter_ns()
    opening = _SESSION % (source.replies, now) + _IDS + _START % now
    stream.due_ns = now + round(asked.get(b"ttft", 200.0) * _MS)
    if stream.stall_at == 0:
        stream.due_ns += stream.stall_ns
    if say(source, stream, _HEAD + chunk(opening)):
        heapq.heappush(source.due, (stream.due_ns, stream.sock.fileno()))


def free_slot(source: Source, stream: Stream) -> None:
    """Let the next reply begin where *stream* had one of a limited number of slots."""
    if stream.slots:
        stream.slots, source.busy = 0, source.busy - 1
        if source.waiting:
            begin(source, *source.waiting.popleft())


def stats(source: Source) -> dict[str, float | int | None]:
    """How many packets went out since the last reset, how late, and how many a second could have.

    The latter by CPU alone: as many as fit into a second of it.
    """
    late = sorted(source.late_ns)
    n = len(late)
    cpu_s = time.process_time() - source.cpu_s

    def at(share: float) -> float | None:
        return late[min(n - 1, int(n * share))] / 1000 if n else None

    return {
        "packets": n,
        "replies": source.replies,
        "streams_now": len(source.streams),
        "streams_most": source.most,
        "late_p50_us": at(0.5),
        "late_p99_us": at(0.99),
        "late_max_us": at(1.0),
        "cpu_s": cpu_s,
        "ceiling_per_s": n / cpu_s if n and cpu_s else None,
    }


def epilogue(source: Source) -> str:
    """What it says of itself when it ends; nothing where it has streamed nothing."""
    told = stats(source)
    if not told["packets"]:
        return ""
    return (
        "{packets:,} packets sent to {streams_most} streams at most, late by {late_p50_us:,.0f} µs (p50), "
        "{late_p99_us:,.0f} (p99), {late_max_us:,.0f} (max); by CPU {ceiling_per_s:,.0f} packets/s at most\n"
    ).format_map(told)


def main() -> None:
    """Serve on loopback, on the port of the first argument, else on any."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    with socket.create_server(("127.0.0.1", port), backlog=4096) as listener:
        listener.settimeout(0)
        sys.stdout.write(f"ready http://127.0.0.1:{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        source = Source(listener)
        serve(source)
        sys.stderr.write(epilogue(source))


if __name__ == "__main__":
    main()
