"""Every reader of bytes that are not ours, as a function: it reads them, or raises its own error.

Anything else that it raises is what fuzzing is there to find. `seeds` are honest input, to be changed.
"""

import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import msgspec
import polars as pl

from harness import journal
from harness.errors import HarnessError, RunDirectoryError, SuiteError, UsageError
from harness.record import baselines, labels, said, store
from harness.record.tables import SCHEMAS, scan
from harness.sigma.frames import Frames, LineTooLong
from harness.sigma.session import SessionDetail, read_session
from harness.sigma.tolerant import loads
from harness.sigma.transcript import Transcript, frames_of, read_body
from harness.suite.dataset import DatasetError, rows
from harness.suite.promptfoo import imported
from harness.suite.prompts import Each
from harness.suite.read import load_suite
from tests.replies import answer, exchange, result
from tests.wire.recorded import NAMES, recording

SUITES = Path(__file__).parents[1] / "suites"
PROMPTFOO = Path(__file__).parents[1] / "promptfoo"
FOUND = Path(__file__).parent / "found"
"""What fuzzing found once, by the reader: each is read again by every check."""


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-"))


def _file(name: str, data: bytes) -> Path:
    path = _folder() / name
    path.write_bytes(data)
    return path


def frames(data: bytes) -> None:
    """Frames come out alike however the bytes are cut, and stay inside of the body."""
    limit = 1 << 16
    try:
        decoder = Frames(limit)
        whole = [*decoder.feed(data), *decoder.close()]
    except LineTooLong:
        return
    step = 1 + len(data) % 7
    decoder = Frames(limit)
    pieces = [frame for at in range(0, len(data), step) for frame in decoder.feed(data[at : at + step])]
    assert [*pieces, *decoder.close()] == whole
    assert all(0 < frame.end <= len(data) for frame in whole)


def reply(data: bytes) -> None:
    """A transcript can be kept, and read again as what it was."""
    for endpoint in ("send-chat-message", "send-message"):
        for status, kind in (
            (200, "text/event-stream"),
            (200, "application/json"),
            (500, "application/json"),
        ):
            told = read_body(data, status=status, content_type=kind, endpoint=endpoint)
            assert msgspec.json.decode(msgspec.json.encode(told), type=Transcript) == told
        frames_of(data, endpoint)


def session(data: bytes) -> None:
    """What a server says of a session, kept as a line."""
    try:
        told = read_session(loads(data))
    except ValueError:
        return
    if told is not None:
        assert "\n" not in msgspec.json.encode(told).decode(errors="replace")


def suite(data: bytes) -> None:
    """A suite, or problems that each have a place."""
    problems = []
    try:
        load_suite(_file("suite.yaml", data), environ={})
    except SuiteError as error:
        problems = error.problems
    assert all(problem.line >= 1 and problem.column >= 1 for problem in problems)


def promptfoo(data: bytes) -> None:
    """A config of another tool."""
    try:
        imported(data.decode(errors="replace"), "promptfooconfig.yaml", lambda _: []).text("config")
    except UsageError:
        return


def dataset(ending: str) -> Callable[[bytes], None]:
    """Rows of a file with that *ending*, all of them or a sample."""

    def read(data: bytes) -> None:
        path = _file(f"rows{ending}", data)
        for sample in (None, 1):
            try:
                list(rows(Each(path=path.name, sample=sample), path.parent))
            except DatasetError:
                continue

    return read


def table(data: bytes) -> None:
    """A table of a run."""
    _file("trials.parquet", data)
    try:
        scan("trials", _folder()).collect()
    except RunDirectoryError:
        return


def journalled(data: bytes) -> None:
    """A journal: what it has, or where it is broken."""
    path = _file("journal-0.jsonl", data)
    told = []
    for read in (journal.read, journal.heads, journal.sessions, journal.moments):
        try:
            list(read(path))
        except RunDirectoryError as error:
            told.append(str(error))
    assert all(str(path) in each for each in told)
    journal.torn(path)
    journal.last_leg(path)


def manifest(data: bytes) -> None:
    """A manifest, and whether its suite is where it was."""
    path = _file("manifest.json", data)
    try:
        told = store.read_manifest(path.parent)
    except RunDirectoryError:
        return
    store.is_where_it_was(told, path.parent)


def labelled(data: bytes) -> None:
    """What people said."""
    try:
        labels.read(_file("labels.csv", data))
    except UsageError:
        return


def named(data: bytes) -> None:
    """Which runs have a name: all of them beside the file."""
    folder = _folder() / "suite"
    folder.mkdir(exist_ok=True)
    (folder / baselines.FILE).write_bytes(data)
    try:
        found = baselines.listed("suite", results=_folder(), suite_path=_folder() / "none" / "s.yaml")
    except HarnessError:
        return
    assert all(run.parent == folder for each in found for run in each.folders)


def heard(data: bytes) -> None:
    """What a judge said: lines of another version are passed over."""
    said.read(_file("said.jsonl", data))


READERS: Mapping[str, Callable[[bytes], None]] = {
    "frames": frames,
    "reply": reply,
    "session": session,
    "suite": suite,
    "promptfoo": promptfoo,
    "csv": dataset(".csv"),
    "jsonl": dataset(".jsonl"),
    "parquet": dataset(".parquet"),
    "table": table,
    "journal": journalled,
    "manifest": manifest,
    "labels": labelled,
    "baselines": named,
    "said": heard,
}


@cache
def seeds(name: str) -> list[bytes]:
    """Honest input for the reader called *name*, and what was found for it once."""
    return [*_honest(name), *(path.read_bytes() for path in sorted(FOUND.glob(f"{name}-*")))]


def _honest(name: str) -> list[bytes]:
    match name:
        case "frames" | "reply" | "session":
            bodies = sorted({recording(each).body for each in NAMES}, key=len)
            return [body for body in bodies if 0 < len(body) < 20_000]
        case "suite" | "promptfoo":
            folder = SUITES if name == "suite" else PROMPTFOO
            return [path.read_bytes() for path in sorted(folder.glob("*.yaml"))]
        case "parquet":
            return [(SUITES / "faq.parquet").read_bytes()]
        case "table":
            file, schema = _folder() / "honest.parquet", SCHEMAS["trials"]
            pl.DataFrame({key: [None, None] for key in schema}, schema).write_parquet(file)
            return [file.read_bytes()]
        case "journal":
            answered = exchange(answer("It is Paris."), request={"message": "Where?"})
            lines = (result(answered), SessionDetail("c", 1, ()))
            return [b"".join(msgspec.json.encode(line) + b"\n" for line in lines)]
        case _:
            return [TEXTS[name]]


_MANIFEST = {
    "run_id": "r",
    "suite": "s",
    "suite_path": "s.yaml",
    "suite_text": "",
    "target": "t",
    "dialect": "d",
    "seed": 0,
    "planned": 1,
    "started_ns": 1,
    "choice": {},
    "started_at": "2026-11-26T00:00:00Z",
}
TEXTS: Mapping[str, bytes] = {
    "csv": b'id,a\n1,"x\ny"\n2,\n',
    "jsonl": b'{"id": 1, "a": {"b": [1, null]}}\n\n{"id": "x"}\n',
    "manifest": msgspec.json.encode(_MANIFEST),
    "labels": f"{','.join(labels.COLUMNS)}\nq,c,j,pass,fail,1.5,me,one,t,\n".encode(),
    "baselines": b'{"nightly": {"runs": ["20261126T120000Z-abcd"], "set_at": "2026-11-26"}}',
    "said": b'{"key": "k", "cosine": 0.5}\n',
}
