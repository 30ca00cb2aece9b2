"""A recorded run played back: the same suite finds the same again, whatever it asks and however it ended."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from harness.errors import UsageError
from harness.journal import Journal, read
from harness.pipeline import Options, Run, run
from harness.record.store import Manifest, write_manifest
from harness.result import Exchange, Failure, Fault, Result, Step
from harness.sigma.session import FileSeen, MessageSeen, ModelParams, SessionDetail, read_session
from harness.standin.recordings import load
from harness.suite.read import parse_suite
from tests.conftest import Reply, Serving, Standin
from tests.e2e.test_audit import suite_text
from tests.replies import MS, SESSION_ID, answer, exchange

HOUR = 3_600_000 * MS
SEND = "/chat/send-chat-message"

# A run of everything, and the same suite again

BROKEN = """
  - id: broken-{at}
    message: Hello
    retry: {{attempts: 2, for: [503, 429]}}
    time_limit: 1s
    llm_override: {{model_provider: Simulated, model_version: "sim:tokens=6,fault={fault}"}}
"""
FAULTS = [
    *("reset@2", "drop@2", "cut@2", "drop", "error@2:CONTEXT_TOO_LONG", "bare@1", "stall@2:20s"),
    *("http:500", "http:503", "http:503-html", "http:422", "flaky:2", "badline@1", "utf8", "bytes"),
]
"""Everything that can go wrong with a reply of the stand-in's."""

MORE = """
  - {id: repeated, message: Tell me anything, repeat: 3}
  - {id: by-its-other-name, message: 5 km in miles, forced_tool_id: Unit Converter}
  - {id: default-provider, message: Hello, llm_override: {model_version: swift, model_provider: Simulated}}
  - {id: in-a-set, message: refunds, search_filters: {document_set: [Policies]}}
  - {id: old, endpoint: send-message, turns: [{message: one}, {message: two}]}
  - {id: simple, endpoint: send-message-simple-api, message: one}
"""


@pytest.fixture(scope="module", params=["sigma", "onyx"])
def twice(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, serving: Serving
) -> tuple[Run, Run, list[dict[str, Any]]]:
    """A run of everything there is to ask, the same suite against its recording, and what was played then."""
    folder: Path = tmp_path_factory.mktemp("replay")
    (folder / "notes.md").write_text("The canteen opens at 11:30.\n")
    text = suite_text(request.param).replace("budget:", "load: {workers: 6}\nbudget:") + MORE
    text += "".join(BROKEN.format(at=at, fault=fault) for at, fault in enumerate(FAULTS))
    suite = parse_suite(text, folder / "audit.yaml", {})
    first = run(suite, Options(results=folder / "results"))
    with serving("--replay", str(first.folder)) as replay:
        second = run(suite, Options(results=folder / "again", target=replay.url))
        return first, second, replay.get("/_standin/plays")


Twice = tuple[Run, Run, list[dict[str, Any]]]


def same(twice: Twice, table: str, *columns: str) -> None:
    first, second = (each.tables[table].select(columns).sort(columns).rows() for each in twice[:2])
    assert first
    assert second == first


@pytest.mark.slow
def test_a_run_of_the_recording_finds_what_the_run_found(twice: Twice) -> None:
    same(twice, "trials", "trial_id", "state")
    same(twice, "exchanges", "exchange_id", "outcome", "fault", "fault_step", "error_code", "http_status")
    same(twice, "exchanges", "exchange_id", "answer", "reasoning", "model_seen")
    same(twice, "packets", "exchange_id", "seq", "kind", "text", "bytes")
    same(twice, "tool_calls", "exchange_id", "name", "arguments", "status")
    same(twice, "audits", "exchange_id", "setting", "finding")
    assert twice[0].exit_code == twice[1].exit_code
    (more,) = {*twice[1].manifest.warnings} - {*twice[0].manifest.warnings}
    assert more.startswith("tags could not be listed")
    faults = {*twice[0].tables["exchanges"]["fault"].drop_nulls()}
    assert faults == {"disconnected", "truncated", "error_line", "timed_out", "http", "protocol"}


@pytest.mark.slow
def test_no_conversation_of_the_recording_is_that_of_the_run(twice: Twice) -> None:
    first, second = (set(each.tables["exchanges"]["chat_session_id"].drop_nulls()) for each in twice[:2])
    assert len(first) == len(second) > 60
    assert first.isdisjoint(second)


@pytest.mark.slow
def test_every_piece_is_written_when_it_came_and_never_before(twice: Twice) -> None:
    journal = twice[0].folder / "journal-0.jsonl"
    recorded = {one.exchange_id: one for result in read(journal) for one in result.exchanges}
    late_ms = []
    for play in twice[2]:
        one = recorded[play["exchange_id"]]
        assert one.sent_ns is not None
        sent = [at - play["request_ns"] for at in play["sent_ns"]]
        due = [max(0, at - one.sent_ns) for at in one.arrived_ns]
        late_ms += [(each - wanted) / MS for each, wanted in zip(sent, due, strict=False)]
    assert len(late_ms) > 1000
    assert min(late_ms) > -0.4
    assert median(late_ms) < 250


# A run made by hand, with what a stand-in cannot do


def session(number: int) -> str:
    """The id of a recorded conversation."""
    return str(UUID(int=number))


def recorded(message: str, *pieces: str, of: int = 1, every_ns: int = MS, **changed: Any) -> Exchange:
    """A reply in the conversation of that number; *changed* are fields of the exchange, or of its request."""
    lines = [line.replace(SESSION_ID, session(of)) for line in answer(*pieces)]
    of_request = {"chat_session_id", "parent_message_id", "llm_override", "file_descriptors"}
    request = {"message": message, **{name: changed.pop(name) for name in of_request & changed.keys()}}
    made = exchange(lines, every_ns=every_ns, request=request)
    return structs.replace(made, **{"session_id": session(of), "headers_ns": made.sent_ns} | changed)


def unanswered(message: str, failure: Failure, **changed: Any) -> Exchange:
    """An exchange without so much as a head."""
    nothing: dict[str, Any] = {
        "text": "",
        "read_ends": (),
        "arrived_ns": (),
        "seen_ns": (),
        "headers_ns": None,
    }
    return recorded(message, failure=failure, http_status=None, content_type="", **nothing, **changed)


def kept(folder: Path, *exchanges: Exchange, sessions: tuple[SessionDetail, ...] = (), **known: Any) -> Path:
    """A run that asked these, one after the other; *known* are fields of its manifest."""
    manifest = Manifest(
        run_id="20260101T000000Z-0000",
        suite="hand",
        suite_path="hand.yaml",
        suite_text="",
        target="http://sigma",
        dialect=known.pop("dialect", "sigma"),
        seed=0,
        choice={},
        planned=len(exchanges),
        started_at="2026-01-01T00:00:00Z",
        started_ns=0,
        **known,
    )
    write_manifest(manifest, folder)
    with Journal(folder / "journal-0.jsonl") as journal:
        for number, one in enumerate(exchanges):
            named = structs.replace(one, exchange_id=f"t{number}.1.1", began_ns=1000 + number)
            journal.append(Result(f"t{number}", "case", "base", 1, "main", exchanges=(named,)))
        for detail in sessions:
            journal.append(detail)
    return folder


NO_HEAD = Failure(Fault.DISCONNECTED, Step.HEADERS, "closed before its answer was whole")
NO_ROUTE = Failure(Fault.CONNECT, Step.CONNECT, "All connection attempts failed")
LIMITED = Failure(Fault.HTTP, Step.HEADERS, "slow down", http_status=429, retry_after_s=7.0)
CUT = Failure(Fault.TRUNCATED, Step.BODY, "the body ended without a stop packet")
SILENT = Failure(Fault.TIMED_OUT, Step.BODY, "no end after 1 s (time_limit)")
DETAIL = SessionDetail(
    session(1),
    persona_id=3,
    messages=(
        MessageSeen(1, 0, "user", [FileSeen("f", "notes.md", "u")]),
        MessageSeen(2, 1, "assistant", [], ModelParams("swift", "openai", {"temperature": 0.5})),
    ),
    projects=(7,),
)
NOTES = {"id": "f-1", "type": "document", "name": "notes.md", "user_file_id": "u-1"}

RECORDED = [
    recorded("One after the other", "a", of=1),
    recorded("One after the other", "b", of=2),
    recorded("One after the other", "c", of=3),
    recorded("After hours", "at", " last", of=4, every_ns=HOUR),
    recorded("Go on", "first", of=1, chat_session_id=session(1)),
    recorded("Go on", "second", of=2, chat_session_id=session(2)),
    recorded("Go on", "again", of=1, chat_session_id=session(1), parent_message_id=2),
    recorded("With a model", "x", of=5, llm_override={"model_version": "swift"}),
    unanswered("Nobody there", NO_ROUTE, sent_ns=None, session_id=None),
    recorded("Nobody there", "at last", of=6),
    unanswered("Dropped", NO_HEAD, of=7),
    recorded("Dropped", "not this time", of=8),
    recorded("Not today", of=9, text='{"detail":"slow down"}', http_status=429, read_ends=(22,),
             arrived_ns=(1001 * MS,), content_type="application/json", failure=LIMITED, session_id=None),
    recorded("Wait for it", "nothing", of=10, text=f"{SESSION_ID}", read_ends=(36,), failure=SILENT),
    recorded("Bytes", of=11, text="", b64=b"\xff\xfe" * 50, read_ends=(60, 100), arrived_ns=(2, 3), sent_ns=1,
             failure=CUT),
    recorded("Read this", "done", of=12, file_descriptors=[NOTES]),
    structs.replace(recorded("", of=13), request={}),
]  # fmt: skip


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory, serving: Serving) -> Iterator[Standin]:
    """The run made by hand, played back without its hours."""
    run = kept(tmp_path_factory.mktemp("hand"), *RECORDED, sessions=(DETAIL,))
    with serving("--replay", str(run), "--speed", "max") as replay:
        yield replay


def text_of(reply: Reply) -> str:
    return "".join(obj["content"] for obj in reply.objects("message_delta"))


def refusal(replay: Standin, message: str, **fields: Any) -> str:
    """Why a message is not answered."""
    answer = replay.post({"message": message, **fields})
    assert (answer.status_code, answer.json()["error_code"]) == (404, "NOT_FOUND")
    return str(answer.json()["detail"])


def test_repeats_are_played_in_turn_each_in_a_conversation_of_its_own(replay: Standin) -> None:
    replies = [replay.ask("One after the other") for _ in range(6)]
    said = "".join(map(text_of, replies))
    assert said in "abcabcabc"
    assert len({reply.session_id for reply in replies}) == 6
    assert not {reply.session_id for reply in replies} & {session(number) for number in range(20)}


def test_without_waiting_a_reply_of_hours_comes_at_once(replay: Standin) -> None:
    assert text_of(replay.ask("After hours")) == "at last"


def test_a_later_turn_is_that_of_the_same_conversation_below_the_same_message(replay: Standin) -> None:
    firsts = {text_of(reply): reply for reply in (replay.ask("One after the other") for _ in range(3))}
    goes_on = {said: replay.ask("Go on", chat_session_id=reply.session_id) for said, reply in firsts.items()}
    assert (text_of(goes_on["a"]), text_of(goes_on["b"])) == ("first", "second")
    assert text_of(goes_on["c"]) in {"first", "second", "again"}, "of another, where it has none of its own"
    assert goes_on["a"].session_id == firsts["a"].session_id
    below = replay.ask("Go on", chat_session_id=firsts["a"].session_id, parent_message_id=2)
    assert text_of(below) == "again"


def test_a_conversation_that_is_made_ahead_is_that_of_its_first_turn(replay: Standin) -> None:
    made = replay.post({"description": "a title"}, "/chat/create-chat-session").json()["chat_session_id"]
    reply = replay.ask("After hours", chat_session_id=made)
    assert (text_of(reply), reply.session_id) == ("at last", made)


def test_a_message_that_was_not_recorded_is_named_with_the_nearest_one(replay: Standin) -> None:
    assert refusal(replay, "After our") == (
        "the message 'After our' is not in this recording; did you mean After hours?"
    )


def test_a_message_that_was_recorded_otherwise_is_told_with_what_differs(replay: Standin) -> None:
    other = refusal(replay, "With a model", llm_override={"model_version": "steady"}, deep_research=True)
    assert other.endswith("with these settings: it was recorded with another deep_research, llm_override")
    assert refusal(replay, "Go on").endswith(
        "at this place: it was recorded as a later turn of a conversation"
    )


def test_a_conversation_that_nobody_had_is_not_found(replay: Standin) -> None:
    nobodys = replay.post({"message": "Go on", "chat_session_id": SESSION_ID})
    assert (nobodys.status_code, nobodys.json()["error_code"]) == (404, "SESSION_NOT_FOUND")


def test_a_recorded_conversation_can_be_gone_on_in_under_its_own_id(replay: Standin) -> None:
    assert text_of(replay.ask("Go on", chat_session_id=session(2))) == "second"


def test_what_was_never_answered_is_a_503_that_says_so_and_then_comes_what_came(replay: Standin) -> None:
    refused = replay.post({"message": "Nobody there"})
    assert refused.status_code == 503
    assert "no answer was recorded that could be replayed: connect" in refused.json()["detail"]
    assert text_of(replay.ask("Nobody there")) == "at last"


def test_a_connection_that_was_dropped_before_its_answer_is_dropped_again_once(replay: Standin) -> None:
    assert replay.http.get("/health").headers["connection"] == "close"  # or clients would ask again unasked
    with pytest.raises(httpx.RemoteProtocolError):
        replay.post({"message": "Dropped"})
    assert text_of(replay.ask("Dropped")) == "not this time"


def test_a_refusal_has_its_status_its_body_and_how_long_to_wait(replay: Standin) -> None:
    refused = replay.post({"message": "Not today"})
    assert (refused.status_code, refused.text) == (429, '{"detail":"slow down"}')
    assert refused.headers["retry-after"] == "7"
    assert refused.headers["content-type"] == "application/json"


def test_a_reply_that_was_given_up_ends_where_it_was_left(replay: Standin) -> None:
    with replay.http.stream("POST", SEND, json={"message": "Wait for it"}) as reply:
        pieces = reply.iter_raw()
        assert next(pieces) == SESSION_ID.encode()
        with pytest.raises(httpx.RemoteProtocolError):
            next(pieces)


def test_at_a_speed_a_reply_that_was_given_up_stays_silent_until_the_client_is_gone(
    serving: Serving, tmp_path: Path
) -> None:
    with serving("--replay", str(kept(tmp_path, *RECORDED)), "--speed", "1000") as replay:
        with replay.http.stream("POST", SEND, json={"message": "Wait for it"}, timeout=0.5) as reply:
            pieces = reply.iter_raw()
            assert next(pieces) == SESSION_ID.encode()
            with pytest.raises(httpx.ReadTimeout):
                next(pieces)
        assert replay.ask("One after the other").status == 200


def test_a_body_goes_out_byte_by_byte_as_it_came(replay: Standin) -> None:
    assert replay.post({"message": "Bytes"}).content == b"\xff\xfe" * 50


def test_a_session_shows_what_the_run_saw_of_it_under_its_new_id(replay: Standin) -> None:
    replies = {text_of(reply): reply for reply in (replay.ask("One after the other") for _ in range(3))}
    seen = read_session(replay.session(replies["a"]), DETAIL.projects)
    assert seen == structs.replace(DETAIL, chat_session_id=replies["a"].session_id)
    (project,) = replay.get("/user/projects")
    assert project["id"] == 7
    assert {"id": replies["a"].session_id} in project["chat_sessions"]
    unseen = replay.http.get(f"/chat/get-chat-session/{replies['b'].session_id}")
    assert unseen.status_code == 404


def test_an_upload_is_the_recorded_file_of_its_name_or_a_fresh_one(replay: Standin) -> None:
    def uploaded(name: str) -> dict[str, Any]:
        done = replay.http.post("/user/projects/file/upload", files={"files": (name, b"some text")})
        (row,) = done.json()["user_files"]
        assert replay.get(f"/user/projects/file/{row['id']}") == row
        assert row["status"] == "COMPLETED"
        return dict(row)

    known, fresh = uploaded("notes.md"), uploaded("other.pdf")
    assert (known["id"], known["file_id"]) == ("u-1", "f-1")
    assert fresh["id"] not in {"u-1", "f-1"}
    assert text_of(replay.ask("Read this", file_descriptors=[NOTES | {"id": fresh["file_id"]}])) == "done"
    assert replay.http.delete("/user/projects/file/u-1").status_code == 200


def test_what_the_run_did_not_see_is_not_there(replay: Standin) -> None:
    for path in ("/me", "/settings", "/tool", "/llm/provider", "/nowhere"):
        assert (replay.http.get(path).status_code, replay.http.get(path).json()) == (
            404,
            {"detail": "404: Not Found"},
        )


@pytest.mark.parametrize("body", [b"", b"[]", b'{"message": 3}', b"\xff"])
def test_a_body_without_a_message_is_refused_as_a_server_does(replay: Standin, body: bytes) -> None:
    refused = replay.http.post(SEND, content=body)
    assert (refused.status_code, refused.json()["status_code"]) == (422, 422)


@pytest.mark.parametrize("dialect", ["sigma", "onyx"])
def test_the_dialect_of_the_run_can_be_told_from_a_probe(
    serving: Serving, tmp_path: Path, dialect: str
) -> None:
    with serving("--replay", str(kept(tmp_path, *RECORDED, dialect=dialect))) as replay:
        refused = replay.post({"internal_search_filters": {"source_type": ["?"]}})
        assert refused.status_code == 422
        assert ("'body', 'internal_search_filters'" in refused.text) == (dialect == "onyx")


# Reading what is left of a run


def served(*options: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", "serve", *options]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=30, check=False)


@settings(max_examples=40)
@given(share=st.floats(0, 1))
def test_a_journal_that_was_cut_anywhere_plays_what_it_has(
    tmp_path_factory: pytest.TempPathFactory, share: float
) -> None:
    folder = kept(tmp_path_factory.mktemp("cut"), *RECORDED)
    journal = folder / "journal-0.jsonl"
    whole = journal.read_bytes()
    left = whole[: round(len(whole) * share)]
    journal.write_bytes(left)
    if b"\n" in left:
        found = load(folder)
        assert len(found.every) + found.unsent == left.count(b"\n")
    else:
        with pytest.raises(UsageError, match="nothing to replay"):
            load(folder)


def test_the_journals_of_all_processes_are_one_recording(tmp_path: Path) -> None:
    kept(tmp_path, *RECORDED)
    (tmp_path / "journal-0.jsonl").rename(tmp_path / "journal-1.jsonl")
    found = load(kept(tmp_path, recorded("Of the other process", "x")))
    assert len(found.every) == len(RECORDED)
    assert "Of the other process" in {one.asked.message for one in found.every}


def test_a_journal_that_was_edited_is_one_clear_line(tmp_path: Path) -> None:
    kept(tmp_path, *RECORDED)
    journal = tmp_path / "journal-0.jsonl"
    journal.write_bytes(b'{"line": "result"}\n' + journal.read_bytes())
    done = served("--replay", ".", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (4, "")
    assert re.fullmatch(r"\S*journal-0\.jsonl:1: not a result of this version: .*\n", done.stderr)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--replay", "20260101T000000Z-ffff"), "no run 20260101T000000Z-ffff in results"),
        (("--replay", ".", "--speed", "0"), "--speed 0: write a number above 0 (2 is twice as fast), or max"),
        (("--replay", ".", "--speed", "fast"), "--speed fast: write a number above 0"),
        (("--replay", ".", "--speed", "nan"), "--speed nan: write a number above 0"),
        (("--replay", ".", "--dialect", "onyx", "--db", "x"), "--dialect, --db: not with --replay"),
        (("--replay", ".", "--api-key", "k"), "--api-key: not with --replay"),
        (("--speed", "2"), "--speed and --results go with --replay RUN"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_served(
    tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    kept(tmp_path, *RECORDED)
    (tmp_path / "results" / "hand" / "20260101T000000Z-0000").mkdir(parents=True)
    kept(tmp_path / "results" / "hand" / "20260101T000000Z-0000", *RECORDED)
    done = served(*options, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_what_is_played_is_said_on_standard_error(tmp_path: Path) -> None:
    kept(tmp_path, *RECORDED)
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "serve", "--replay", "."],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    ready, url = process.stdout.readline().split()
    assert ready == "ready"
    assert httpx.get(f"{url}/health").status_code == 200
    process.terminate()
    _, said = process.communicate(timeout=10)
    assert process.returncode == 0
    assert said.splitlines() == [
        "replaying hand 20260101T000000Z-0000: 16 recordings of 10 requests in 11 conversations",
        "2 of them broke, and break again",
        "1 had no answer, and are answered with a 503 that says so",
        "1 more broke before there was a request: nothing can ask for them",
    ]
