"""A server that answers each request exactly as the request says, on raw sockets, in a process of its own.

`?script=` is a JSON list of steps; `?label=` groups requests in the ledger:

    ["send", text]        these bytes (latin-1) in one write; "@CONNECTION@" becomes the connection's number
    ["fill", n]           n bytes
    ["pause", seconds]
    ["wait"]              until the client has closed, reading nothing
    ["close"] ["reset"]   end the connection, politely (over TLS: with a close_notify) or not
    ["cut"]               close the socket, without TLS's good-bye

`?unread` answers without reading the body; `?drop=close` or `reset` does that to any request but the
first of its connection, without a word. `/ledger?label=` tells what came; `/settled?label=` does the same,
once all connections of that label are closed on our side. With `--tls FILE` it speaks TLS, with
`--client-ca FILE` only to clients that this CA vouches for. Prints its port.
"""

import argparse
import json
import re
import select
import socket
import ssl
import struct
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
SETTLE_WITHIN_S = 10


@dataclass
class Ledger:
    """What came, of every label."""

    requests: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    open: dict[str, set[int]] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def note(self, label: str, **facts: Any) -> None:
        with self.changed:
            self.requests.setdefault(label, []).append(facts)
            self.open.setdefault(label, set()).add(facts["connection"])

    def closed(self, connection: int) -> None:
        with self.changed:
            for numbers in self.open.values():
                numbers.discard(connection)
            self.changed.notify_all()

    def read(self, label: str, settled: bool) -> bytes:
        with self.changed:
            if settled:
                self.changed.wait_for(lambda: not self.open.get(label), SETTLE_WITHIN_S)
            return json.dumps(
                {"requests": self.requests.get(label, []), "open": len(self.open.get(label, ()))}
            ).encode()


class GoneError(Exception):
    """The connection is over, by their will or by ours."""


def read_head(sock: socket.socket) -> tuple[bytes, bytes]:
    heard = b""
    while b"\r\n\r\n" not in heard:
        more = sock.recv(65_536)
        if not more:
            raise GoneError
        heard += more
    head, _, body = heard.partition(b"\r\n\r\n")
    return head, body


def read_body(sock: socket.socket, head: bytes, begun: bytes) -> bytes:
    if b"transfer-encoding: chunked" in head.lower():
        while not begun.endswith(b"0\r\n\r\n"):
            begun += sock.recv(65_536)
        return begun
    length = LENGTH.search(head)
    parts, missing = [begun], (int(length[1]) if length else 0) - len(begun)
    while missing > 0:
        more = sock.recv(min(missing, 1_048_576))
        if not more:
            raise GoneError
        parts.append(more)
        missing -= len(more)
    return b"".join(parts)


def end(sock: socket.socket, how: str) -> None:
    match how:
        case "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        case "close" if isinstance(sock, ssl.SSLSocket):
            sock.settimeout(0)  # a good-bye of theirs is not waited for
            sock.unwrap()
    raise GoneError


def play(sock: socket.socket, script: list[list[Any]], connection: int) -> None:
    for step in script:
        match step:
            case ["send", text]:
                sock.sendall(text.replace("@CONNECTION@", f"{connection:08}").encode("latin-1"))
            case ["fill", size]:
                sock.sendall(b"x" * size)
            case ["pause", seconds]:
                time.sleep(seconds)
            case ["wait"]:
                gone = select.poll()
                gone.register(sock, select.POLLRDHUP)
                gone.poll()
                raise GoneError
            case ["close" | "reset" | "cut" as how]:
                end(sock, how)
            case _:
                raise SystemExit(f"streamer: no such step: {step}")


def answer(sock: socket.socket, ledger: Ledger, connection: int, nth: int) -> None:
    head, begun = read_head(sock)
    method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
    url = urlsplit(target)
    query = {key: values[0] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
    label = query.get("label", "")
    if url.path in {"/ledger", "/settled"}:
        told = ledger.read(label, url.path == "/settled")
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(told), told))
        return
    body = b"" if "unread" in query else read_body(sock, head, begun)
    ledger.note(label, connection=connection, method=method, body=len(body), head=head.decode("latin-1"))
    if nth and "drop" in query:
        end(sock, query["drop"])
    play(sock, json.loads(query["script"]), connection)


def converse(sock: socket.socket, ledger: Ledger, connection: int, tls: ssl.SSLContext | None) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        with sock, suppress(GoneError, OSError), ExitStack() as secure:
            if tls is not None:
                sock = secure.enter_context(tls.wrap_socket(sock, server_side=True))
            for nth in range(1_000_000):
                answer(sock, ledger, connection, nth)
    finally:
        ledger.closed(connection)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--tls")
    options.add_argument("--client-ca")
    said = options.parse_args()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if said.tls else None
    if tls is not None:
        tls.load_cert_chain(said.tls)
        if said.client_ca:
            tls.load_verify_locations(said.client_ca)
            tls.verify_mode = ssl.CERT_REQUIRED
    ledger = Ledger()
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        print(listener.getsockname()[1], flush=True)
        for connection in range(1_000_000):
            sock, _ = listener.accept()
            threading.Thread(target=converse, args=(sock, ledger, connection, tls), daemon=True).start()


if __name__ == "__main__":
    main()
