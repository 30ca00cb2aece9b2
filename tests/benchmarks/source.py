"""A stream source of known times: NDJSON replies on an absolute schedule, the send stamp in each packet.

`POST /m/ttft=20,gap=20,n=300/anything` gives *n* packets, the first *ttft* ms after the request and then
one every *gap* ms. Each carries in `"ts"` the CLOCK_MONOTONIC nanoseconds taken just before its
`send`. So a late source (it is Python, and one thread) still tells the truth. Prints its port.
"""

import heapq
import re
import select
import signal
import socket
import sys
import time
from dataclasses import dataclass

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
PACKET = '{"placement":{"turn_index":0},"obj":{"type":"message_delta","content":"word "},"ts":"%019d"}\n'
SETTINGS = re.compile(rb"(ttft|gap|n)=(\d+)")
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


@dataclass(slots=True)
class Stream:
    sock: socket.socket
    heard: bytes = b""
    sent: int = 0
    packets: int = 0
    first_ns: int = 0
    gap_ns: int = 0


def hears(stream: Stream) -> bool:
    """Take what the client says; false when it has gone."""
    more = stream.sock.recv(65_536)
    stream.heard += more
    return bool(more)


def whole(heard: bytes) -> bool:
    head, blank, body = heard.partition(b"\r\n\r\n")
    length = LENGTH.search(head)
    return bool(blank) and len(body) >= (int(length[1]) if length else 0)


def begin(stream: Stream) -> int:
    """Send the response head; when the first packet is due."""
    asked = {key: int(value) for key, value in SETTINGS.findall(stream.heard.partition(b" HTTP/")[0])}
    stream.heard = b""
    stream.sent, stream.packets = 0, asked[b"n"]
    stream.first_ns = time.perf_counter_ns() + asked[b"ttft"] * 1_000_000
    stream.gap_ns = asked[b"gap"] * 1_000_000
    stream.sock.send(HEAD)
    return stream.first_ns


def step(stream: Stream) -> int | None:
    """Send the next packet; when the one after it is due, or None after the last."""
    packet = (PACKET % time.perf_counter_ns()).encode()
    stream.sent += 1
    last = stream.sent == stream.packets
    stream.sock.send(b"%x\r\n%b\r\n" % (len(packet), packet) + (b"0\r\n\r\n" if last else b""))
    return None if last else stream.first_ns + stream.sent * stream.gap_ns


def serve(listener: socket.socket) -> None:
    streams: dict[int, Stream] = {}
    due: list[tuple[int, int]] = []
    ready = select.epoll()
    ready.register(listener, select.EPOLLIN)
    while True:
        wait = (due[0][0] - time.perf_counter_ns()) / 1e9 if due else None
        select.select(
            [ready], [], [], wait if wait is None else max(0, wait)
        )  # finer than epoll's milliseconds
        while due and due[0][0] <= time.perf_counter_ns():
            _, number = heapq.heappop(due)
            if number in streams and (then := step(streams[number])):
                heapq.heappush(due, (then, number))
        for number, _ in ready.poll(0):
            if number == listener.fileno():
                sock, _ = listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                streams[sock.fileno()] = Stream(sock)
                ready.register(sock, select.EPOLLIN)
            elif hears(streams[number]):
                if whole(streams[number].heard):
                    heapq.heappush(due, (begin(streams[number]), number))
            else:
                ready.unregister(number)
                streams.pop(number).sock.close()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        print(listener.getsockname()[1], flush=True)
        serve(listener)
