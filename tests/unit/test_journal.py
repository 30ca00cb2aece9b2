import errno
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from harness.errors import RunDirectoryError
from harness.journal import (
    AGAIN,
    Journal,
    Leg,
    heads,
    last_leg,
    moments,
    read,
    read_some,
    sessions,
    torn,
)
from harness.result import Exchange, Failure, Fault, Result, Skip, Step
from harness.sigma.session import FileSeen, MessageSeen, ModelParams, SessionDetail
from tests.going import moment
from tests.replies import answer, exchange, result

RESULTS = [
    result(exchange(answer("Paris", " it is."))),
    result(
        exchange(answer("half")[:-1], failure=Failure(Fault.DISCONNECTED, Step.BODY, "reset")), trial_id="u"
    ),
    result(skip=Skip.BUDGET, trial_id="v"),
]


def written(folder: Path, results: list[Result]) -> Path:
    path = folder / "journal-0.jsonl"
    with Journal(path) as journal:
        for each in results:
            journal.append(each)
    return path


def test_a_journal_gives_back_what_was_put_in_transcripts_included(tmp_path: Path) -> None:
    assert list(read(written(tmp_path, RESULTS))) == RESULTS


def test_some_results_are_read_without_looking_at_what_comes_after_them(tmp_path: Path) -> None:
    path = written(tmp_path, RESULTS)
    assert list(read_some(path, {"u"})) == RESULTS[1:2]
    assert list(read_some(path, {"nobody"})) == []
    path.write_bytes(path.read_bytes() + b"no result at all\n")
    assert list(read_some(path, {"u", "v"})) == RESULTS[1:]


def test_a_body_that_is_not_utf_8_survives_the_journal(tmp_path: Path) -> None:
    broken = exchange(answer("x"))
    broken = type(broken)(**{name: getattr(broken, name) for name in broken.__struct_fields__} | {
        "text": "", "b64": b"\xff\xfe not text", "transcript": None, "http_status": None,
    })  # fmt: skip
    (back,) = read(written(tmp_path, [result(broken)]))
    assert back.exchanges[0].body == b"\xff\xfe not text"


def test_appending_goes_on_where_an_earlier_writer_stopped(tmp_path: Path) -> None:
    written(tmp_path, RESULTS[:1])
    assert list(read(written(tmp_path, RESULTS[1:]))) == RESULTS


@settings(max_examples=60)
@given(share=st.floats(0, 1))
def test_cutting_a_journal_at_any_byte_loses_at_most_the_last_record(
    tmp_path_factory: pytest.TempPathFactory, share: float
) -> None:
    path = written(tmp_path_factory.mktemp("cut"), RESULTS)
    whole = path.read_bytes()
    cut = whole[: round(share * len(whole))]
    path.write_bytes(cut)
    assert list(read(path)) == RESULTS[: cut.count(b"\n")]


def test_a_broken_line_before_the_last_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = written(tmp_path, RESULTS)
    path.write_bytes(b"{}\n" + path.read_bytes())
    with pytest.raises(RunDirectoryError, match=r"journal-0\.jsonl:1: not a result"):
        list(read(path))


def test_a_folder_that_cannot_be_written_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="cannot be written"), Journal(tmp_path / "no" / "journal"):
        pass


def test_what_the_server_keeps_of_a_session_stands_beside_the_results_and_the_last_word_counts(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal-0.jsonl"
    early = SessionDetail("s", 0)
    late = SessionDetail(
        "s",
        1,
        (MessageSeen(3, 2, "assistant", [FileSeen("f")], ModelParams("swift", "openai", {"top_p": 1})),),
        (4,),
    )
    with Journal(path) as journal:
        for told in (early, RESULTS[0], late, SessionDetail("t")):
            journal.append(told)
    assert list(read(path)) == [RESULTS[0]]
    assert sessions(path) == {"s": late, "t": SessionDetail("t")}


LEG = Leg(number=1, at="2026-11-26T20:00:00+00:00", began_ns=5, shift_ns=1_000, left_out_ns=7, done=3)


def stamps(one: Result) -> list[int]:
    """Every stamp of a result and its exchanges, in the order of their fields."""
    names = [name for name in Exchange.__struct_fields__ if name.endswith("_ns")]
    found: list[int] = [getattr(one, name) or 0 for name in ("due_ns", "free_ns", "began_ns", "ended_ns")]
    for each in one.exchanges:
        for name in names:
            value = getattr(each, name)
            found += value if isinstance(value, tuple) else [value or 0]
    return found


def test_every_stamp_of_a_later_leg_is_moved_and_nothing_else(tmp_path: Path) -> None:
    whole = exchange(answer("Paris"))
    whole = structs.replace(
        whole,
        **{
            name: 10
            for name in Exchange.__struct_fields__
            if name.endswith("_ns") and name[:4] not in ("arri", "seen")
        },
    )
    one = structs.replace(result(whole), due_ns=1, free_ns=2, began_ns=3, ended_ns=40)
    path = written(tmp_path, RESULTS)
    with Journal(path, LEG) as journal:
        journal.append(one)
        journal.append(moment(3, began=1))
        journal.append(SessionDetail("s", 0))
    *before, after = read(path)
    assert before == RESULTS[:2], "the third we had not sent"
    assert after.leg == 1
    assert stamps(after) == [stamp + 1_000 for stamp in stamps(one)]
    assert after.exchanges[0].transcript == one.exchanges[0].transcript
    assert moments(path) == [structs.replace(moment(3, began=1), at_ns=moment(3, began=1).at_ns + 1_000)]
    assert path.read_bytes().splitlines().count(msgspec.json.encode(LEG)) == 1


def test_what_came_in_no_time_is_not_moved_to_one(tmp_path: Path) -> None:
    path = tmp_path / "journal-0.jsonl"
    with Journal(path, LEG) as journal:
        journal.append(structs.replace(result(skip=Skip.DROPPED), began_ns=None, ended_ns=None))
    (one,) = read(path)
    assert (one.due_ns, one.began_ns, one.ended_ns) == (None, None, None)


@pytest.mark.parametrize("skip", list(Skip))
def test_what_we_had_not_finished_is_done_again_and_counts_once(tmp_path: Path, skip: Skip) -> None:
    path = written(tmp_path, [result(skip=skip, trial_id="v"), *RESULTS[:2]])
    assert len(list(read(path))) == 3, "nothing was done again yet"
    again = result(exchange(answer("now")), trial_id="v")
    with Journal(path, LEG) as journal:
        journal.append(again)
    expected = 1 if skip in AGAIN else 2
    assert sum(one.trial_id == "v" for one in read(path)) == expected
    (one,) = read_some(path, {"v"})
    assert one.skip == (None if skip in AGAIN else skip)
    assert sum(head.trial_id == "v" for head in heads(path)) == 2


@settings(max_examples=60)
@given(share=st.floats(0, 1))
def test_a_torn_line_is_gone_when_the_run_goes_on_and_all_before_it_is_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, share: float
) -> None:
    path = written(tmp_path_factory.mktemp("torn"), RESULTS)
    whole = path.read_bytes()
    cut = whole[: round(share * len(whole))]
    path.write_bytes(cut)
    left = torn(path)
    assert left == len(cut) - (cut.rfind(b"\n") + 1)
    with Journal(path, structs.replace(LEG, torn=left)) as journal:
        journal.append(result(trial_id="w", skip=Skip.DROPPED))
    assert path.read_bytes().startswith(cut[: len(cut) - left] + b'{"line":"leg"')
    kept = [one for one in RESULTS[: cut.count(b"\n")] if one.skip not in AGAIN]
    assert [one.trial_id for one in read(path)] == [*(one.trial_id for one in kept), "w"]


def test_the_disk_is_asked_for_what_is_new_and_at_the_end(tmp_path: Path) -> None:
    asked: list[int] = []
    path = tmp_path / "journal-0.jsonl"

    def sync(descriptor: int) -> None:
        asked.append(os.fstat(descriptor).st_size)

    with Journal(path, sync=sync) as journal:
        journal.sync()
        assert asked == [], "there is nothing yet"
        journal.append(RESULTS[0])
        journal.sync()
        journal.sync()
        assert asked == [path.stat().st_size], "once for the same lines"
        journal.append(RESULTS[1])
    assert asked[1:] == [path.stat().st_size], "and when it is closed"


def test_a_disk_that_cannot_take_it_is_said_to_be_so_with_what_to_do(tmp_path: Path) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "20261126T200000Z-abcd" / "journal-0.jsonl"
    path.parent.mkdir()
    said = r"No space left on device.*harness run --resume 20261126T200000Z-abcd"
    with Journal(path, sync=full) as journal:
        journal.append(RESULTS[0])
        with pytest.raises(RunDirectoryError, match=said):
            journal.sync()
    assert list(read(path)) == RESULTS[:1]


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_a_journal_that_is_taken_away_is_noticed(tmp_path: Path, how: str) -> None:
    path = tmp_path / "journal-0.jsonl"
    with Journal(path) as journal:
        journal.append(RESULTS[0])
        path.rename(tmp_path / "elsewhere")
        if how == "replaced":
            path.write_bytes(b"")
        with pytest.raises(RunDirectoryError, match="was deleted or replaced"):
            journal.sync()
        (tmp_path / "elsewhere").rename(path)


def test_a_pipe_and_a_folder_are_no_journal_and_keep_nobody_waiting(tmp_path: Path) -> None:
    pipe = tmp_path / "journal-0.jsonl"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path):
        for reader in (read, heads, torn, last_leg):
            with pytest.raises(RunDirectoryError, match="is no file"):
                _ = list(found) if isinstance(found := reader(path), Iterator) else found


def test_a_line_that_no_run_writes_is_an_error_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, RESULTS)
    longest = max(map(len, path.read_bytes().splitlines(keepends=True)))
    monkeypatch.setattr("harness.journal.LONGEST_LINE", longest)
    assert len(list(read(path))) == len(RESULTS)
    monkeypatch.setattr("harness.journal.LONGEST_LINE", longest - 1)
    with pytest.raises(RunDirectoryError, match=r"journal-0\.jsonl:\d: a line of more than"):
        list(read(path))
