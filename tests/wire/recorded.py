"""The recordings: 174 requests and what a real server, or a person who knows one, replied."""

import base64
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FOLDER = HERE / "recordings"
READINGS: dict[str, dict[str, Any]] = json.loads((HERE / "readings.json").read_text(encoding="utf-8"))
"""What each reply of a chat endpoint comes to, worked out from the reading rules and not by our reader."""

NAMES = sorted(path.name.removesuffix(".request.json") for path in FOLDER.glob("*.request.json"))


@dataclass(frozen=True, slots=True)
class Recording:
    """One request and its reply. *asked* is the body of the request: JSON, or the text of what is none."""

    name: str
    method: str
    path: str
    headers: dict[str, str]
    asked: Any
    status: int
    content_type: str
    body: bytes


@cache
def recording(name: str) -> Recording:
    """The recording of that name."""
    request = json.loads((FOLDER / f"{name}.request.json").read_text(encoding="utf-8"))
    with (FOLDER / f"{name}.chunks.jsonl").open(encoding="utf-8") as file:
        meta = json.loads(file.readline())
    heads = (line.partition(":") for line in meta["head"].split("\r\n")[1:])
    answered = {key.strip().lower(): value.strip() for key, _, value in heads}
    return Recording(
        name=name,
        method=request["method"],
        path=request["path"],
        headers=request["headers"],
        asked=request.get("body"),
        status=meta["status"],
        content_type=answered["content-type"],
        body=(FOLDER / f"{name}.body").read_bytes(),
    )


def chunks(name: str) -> list[bytes]:
    """The body of a reply as its HTTP chunks came."""
    with (FOLDER / f"{name}.chunks.jsonl").open(encoding="utf-8") as file:
        _, *rest = map(json.loads, file)
    return [base64.b64decode(each["b64"]) if "b64" in each else each["text"].encode() for each in rest]
