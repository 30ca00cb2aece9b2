"""A Sigma whose heavy replies hold up the light ones by a rule: 20 ms to the first word, 80 more for each.

A request at temperature 1 is heavy: it takes 400 ms and is held up by nobody. Prints its URL; ends when its
standard input does.
"""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HEAVY_S, LIGHT_S, EACH_S = 0.4, 0.02, 0.08
PLACE = {"turn_index": 0, "tab_index": 0}
OPENING = (
    {"chat_session_id": "00000000-0000-4000-8000-000000000001"},
    {"user_message_id": 1, "reserved_assistant_message_id": 2},
    {"placement": PLACE, "obj": {"type": "message_start"}},
)
WORD = {"placement": PLACE, "obj": {"type": "message_delta", "content": "word "}}
STOP = {"placement": PLACE, "obj": {"type": "stop", "stop_reason": "finished"}}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    heavy = 0
    lock = threading.Lock()

    def do_GET(self) -> None:
        self.say({})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        if not self.path.endswith("/send-chat-message"):
            self.say({})
            return
        heavy = (asked.get("llm_override") or {}).get("temperature") == 1
        self.count(1 if heavy else 0)
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Connection", "close")
        self.end_headers()
        for line in OPENING:
            self.line(line)
        time.sleep(HEAVY_S if heavy else LIGHT_S + EACH_S * Handler.heavy)
        for line in (WORD, WORD, WORD, STOP):
            self.line(line)
        self.count(-1 if heavy else 0)
        self.close_connection = True

    def count(self, more: int) -> None:
        with Handler.lock:
            Handler.heavy += more

    def line(self, told: object) -> None:
        self.wfile.write(json.dumps(told).encode() + b"\n")
        self.wfile.flush()

    def say(self, told: object) -> None:
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  theirs
        """Nobody reads it."""


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.read()
