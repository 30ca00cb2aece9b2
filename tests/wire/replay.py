"""A server that answers as was recorded: by method and path, whatever is asked there."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.wire.recorded import Recording, chunks, recording

LISTS = {
    name.split("-")[0]: name
    for name in (
        "c0-tool-list",
        "c1-persona-list",
        "c2-llm-provider-list",
        "c3-chat-sessions",
        "c4-health",
        "c5-version",
        "c6-me",
        "c7-settings",
        "c8-tool-by-id",
        "ca-persona-1",
        "cc-auth-type",
        "cf-user-files",
        "cg-file-recent",
    )
}
"""Everything that was recorded of the lists, by the number of the recording."""


@contextmanager
def replaying(*names: str, instead: Mapping[str, str] | None = None) -> Iterator[str]:
    """The address of a server with these recordings; *instead* has others for some `METHOD /path`.

    A stream comes in the chunks in which it was recorded, without its pauses.
    """
    routes = {f"{one.method} {one.path}": one for one in map(recording, names)}
    routes |= {route: recording(name) for route, name in (instead or {}).items()}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each body waits 40 ms for the client to acknowledge its head

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            one = routes.get(f"{self.command} {self.path.partition('?')[0]}")
            if one is None:
                self._whole(404, "application/json", b'{"detail":"404: Not Found"}')
            elif one.content_type.startswith("text/event-stream"):
                self._streamed(one)
            else:
                self._whole(one.status, one.content_type, one.body)

        def _whole(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", content_type)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _streamed(self, one: Recording) -> None:
            self.send_response(one.status)
            self.send_header("content-type", one.content_type)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for chunk in filter(None, chunks(one.name)):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            self.wfile.write(b"0\r\n\r\n")

        do_GET = do_POST = do_DELETE = do_PUT = _answer  # noqa: N815 - named by http.server

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
