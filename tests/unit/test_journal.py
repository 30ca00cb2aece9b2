from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import RunDirectoryError
from harness.journal import Journal, read, read_some, sessions
from harness.result import Failure, Fault, Result, Skip, Step
from harness.sigma.session import FileSeen, MessageSeen, ModelParams, SessionDetail
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


@settings(max_examples=60, deadline=None)
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
