"""What several processes share out, and how what they say is put together again."""

import io
import os
from collections import Counter
from itertools import islice
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from harness import journal
from harness.crew import split, wire
from harness.crew.crew import worst
from harness.crew.messages import Halt, Over
from harness.drive.pool import Part
from harness.plan.trials import Plan, make_plan
from harness.redact.veil import Veil
from harness.report.tally import Believed, Tally, snapshot
from harness.result import Result, Skip
from harness.suite.read import load_suite
from harness.suite.redaction import KNOWN, finder
from harness.verdict.word import Verdict, Word
from harness.view.lines import result_of
from tests.going import SECOND, answered, broken, moment, plan, skipped, tally
from tests.replies import MS, answer, exchange, result

parts = st.integers(1, 7)


def planned(folder: Path, text: str) -> Plan:
    path = folder / "suite.yaml"
    path.write_text("suite: small\ntarget: standin\n" + text)
    return make_plan(load_suite(path))


@settings(max_examples=25)
@given(of=parts, repeat=st.integers(1, 20))
def test_every_trial_is_in_one_share_and_shares_differ_by_one(
    tmp_path_factory: pytest.TempPathFactory, of: int, repeat: int
) -> None:
    trials = plan(tmp_path_factory.mktemp("s"), "a", "b", repeat=repeat).trials
    shares = split.shares(trials, of)
    assert sorted(each.trial_id for share in shares for each in share) == sorted(t.trial_id for t in trials)
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1


def test_the_shares_of_a_cycle_together_are_the_cycle(tmp_path: Path) -> None:
    text = """
load: {main: {workers: 2, for: 5s, mix: {a: 3, b: 1}}}
variants: {a: {}, b: {}}
prompts: [{message: hi}, {message: ho}]
"""
    cycle = planned(tmp_path, text)
    whole = [each.trial_id for each in islice(cycle.phase("main"), 12)]
    of_each = [
        [each.trial_id for each in islice(split.mine(cycle.phase("main"), Part(n, 3)), 4)] for n in range(3)
    ]
    assert [of_each[nth % 3][nth // 3] for nth in range(12)] == whole


def test_trials_that_go_on_with_one_conversation_are_of_one_process(tmp_path: Path) -> None:
    text = """
defaults: {repeat: 9}
prompts:
  - {id: a, message: hi, chat_session_id: 3f2504e0-4f89-11d3-9a0c-0305e82c3301}
  - {id: b, message: ho, chat_session_id: 6fa459ea-ee8a-3ca4-894e-db77e160355e}
  - {id: c, message: he}
"""
    for of in range(1, 5):
        shares = split.shares(planned(tmp_path, text).trials, of)
        for name in ("a", "b"):
            assert sum(any(each.case.case_id == name for each in share) for share in shares) == 1
        assert sum(map(len, shares)) == 27


@settings(max_examples=50)
@given(of=parts, left=st.integers(0, 30))
def test_deep_research_is_allowed_to_those_that_one_process_would_have_sent(
    tmp_path_factory: pytest.TempPathFactory, of: int, left: int
) -> None:
    text = """
defaults: {repeat: 4}
budget: {deep_research: 8}
prompts:
  - {id: a, message: hi, deep_research: true}
  - {id: b, message: ho}
  - id: c
    deep_research: true
    turns: [{message: x}, {message: y}, {message: z}]
"""
    trials = planned(tmp_path_factory.mktemp("s"), text).trials
    shares = split.shares(trials, of)
    given_ = split.allowed(shares, trials, left)
    assert sum(given_) <= left
    sent: Counter[str] = Counter()
    alone = left
    for trial in trials:
        if 0 < trial.deep_research <= alone:
            alone -= trial.deep_research
            sent[trial.trial_id] += trial.deep_research
    assert given_ == [sum(sent[each.trial_id] for each in share) for share in shares]


@given(
    st.lists(
        st.one_of(st.builds(Over, st.integers(0, 9)), st.builds(Halt, st.sampled_from(Skip), st.booleans()))
    )
)
def test_messages_come_out_of_the_pipe_as_they_went_in(messages: list[Over | Halt]) -> None:
    pipe = io.BytesIO(b"".join(map(wire.packed, messages)))
    assert [wire.read(pipe.read) for _ in messages] == messages
    assert pipe.read() == b""


def test_a_tally_is_the_same_whether_one_process_counted_or_several(tmp_path: Path) -> None:
    load = plan(tmp_path, "a", "b")
    alone, now = tally(load)
    led, _ = tally(load)
    others = [Tally(load, alone.reins) for _ in range(3)]
    for other in others:
        other.enter("main", load.loads["main"])
    for nth in range(60):
        now[0] = (1 + nth // 6) * SECOND
        told = (
            broken("a", at_ns=now[0])
            if nth % 10 == 9
            else skipped("b")
            if nth % 7 == 6
            else answered("ab"[nth % 2], ttft_ms=10 + nth, at_ns=now[0])
        )
        alone.add(told)
        others[nth % 3].add(told)
        if nth % 6 == 5:
            for number, other in enumerate(others):
                led.merge(other.taken(), by=str(number))
    seen, expected = snapshot(led), snapshot(alone)
    assert [(row.variant, row.answered, row.error, row.not_run) for row in seen.rows] == [
        (row.variant, row.answered, row.error, row.not_run) for row in expected.rows
    ]
    assert [(row.ttft.n, row.ttft.p50_ms, row.ttft.p95_ms) for row in seen.rows] == [
        (row.ttft.n, row.ttft.p50_ms, row.ttft.p95_ms) for row in expected.rows
    ]
    assert (seen.ttft.n, seen.ttft.p95_ms) == (expected.ttft.n, expected.ttft.p95_ms)
    assert seen.faults == expected.faults


def test_times_of_another_clock_fall_into_the_stretches_of_ours(tmp_path: Path) -> None:
    load = plan(tmp_path, "a")
    led, _ = tally(load)
    other = Tally(load, led.reins)
    other.enter("main", load.loads["main"])
    for second, ttft_ms in ((1, 10), (4, 40)):
        other.add(answered("a", ttft_ms=ttft_ms, at_ns=second * SECOND))
    led.merge(other.taken(), by="1", ahead_ns=2 * SECOND)
    stretches = led.of_phase["main"][0].buckets
    assert [nth for nth, stretch in enumerate(stretches) if stretch.count] == [3, 6]


def test_the_target_is_away_only_if_it_is_so_for_every_process(tmp_path: Path) -> None:
    load = plan(tmp_path, "a")
    led, _ = tally(load)
    one, two = Tally(load, led.reins), Tally(load, led.reins)
    for nth in range(4):
        one.add(broken("a", at_ns=(9 - nth) * SECOND))
    two.add(answered("a"))
    led.merge(one.taken(), by="1")
    assert led.broken == 4
    led.merge(two.taken(), by="2")
    assert led.broken == 0


def test_a_run_is_worth_what_the_least_of_its_processes_is() -> None:
    valid = Believed(Verdict(Word.VALID), replies=10, delay_n=100, delay_p50_ms=0.1, delay_p99_ms=0.9)
    bound = Believed(Verdict(Word.CLIENT_BOUND), replies=5, delay_n=50, delay_p50_ms=2.0, delay_p99_ms=80.0)
    unknown = Believed(Verdict(None), replies=0)
    told = worst([valid, bound, unknown])
    assert told is not None
    assert (told.verdict.word, told.replies) == (Word.CLIENT_BOUND, 15)
    assert (told.delay_n, told.delay_p99_ms) == (50, 80.0)
    assert worst([]) is None


def written(folder: Path, results: list[Result], journals: list[int]) -> Path:
    """The results in the journals of these processes, in turn."""
    paths = {number: folder / journal.of_process(number) for number in {0, *journals}}
    for path in paths.values():
        path.touch()
    for nth, each in enumerate(results):
        with journal.Journal(paths[journals[nth % len(journals)]]) as book:
            book.append(each)
    return folder


def ended(second: int) -> Result:
    told = result(exchange(answer("x"), sent_ns=second * SECOND), trial_id=f"t{second}")
    return structs.replace(told, began_ns=second * SECOND, ended_ns=second * SECOND + MS)


def test_what_several_processes_wrote_is_read_in_the_order_in_which_it_happened(tmp_path: Path) -> None:
    results = [ended(second) for second in range(1, 30)]
    folder = written(tmp_path, results, [1, 2, 11, 2])
    assert [path.name for path in journal.journals(folder)] == [
        "journal-0.jsonl",
        "journal-1.jsonl",
        "journal-2.jsonl",
        "journal-11.jsonl",
    ]
    assert list(journal.read(folder)) == results
    assert {head.trial_id for head in journal.heads(folder)} == {each.trial_id for each in results}
    assert [each.trial_id for each in journal.read_some(folder, {"t3", "t29"})] != []


def test_what_one_process_had_not_finished_and_another_did_later_counts_once(tmp_path: Path) -> None:
    cut = result(trial_id="t", skip=Skip.INTERRUPTED)
    folder = written(tmp_path, [ended(1), cut, ended(2)], [1, 2])
    assert len(list(journal.read(folder))) == 3
    leg = journal.Leg(number=1, at="", began_ns=0, shift_ns=0, left_out_ns=0, done=2)
    with journal.Journal(folder / journal.JOURNAL, leg):
        pass
    with journal.Journal(folder / journal.of_process(1), leg) as book:
        book.append(result(exchange(answer("x")), trial_id="t"))
    assert journal.last_leg(folder) == 1
    assert [each.skip for each in journal.read(folder) if each.trial_id == "t"] == [None]


def test_journals_are_read_on_from_where_they_were_left(tmp_path: Path) -> None:
    folder = written(tmp_path, [ended(second) for second in range(1, 5)], [1, 2])
    offsets = journal.ends(folder)
    assert list(journal.read_on(folder, offsets)) == []
    more = [ended(9), ended(10)]
    written(folder, more, [2, 1])
    with (folder / journal.of_process(1)).open("ab") as file:
        file.write(b'{"line":"result","trial_id":"torn')
    assert sorted(each.trial_id for each in journal.read_on(folder, offsets)) == ["t10", "t9"]
    assert list(journal.read_on(folder, offsets)) == []


def test_a_stamp_of_a_clock_that_is_behind_is_moved_to_that_of_the_run(tmp_path: Path) -> None:
    path = tmp_path / journal.of_process(1)
    with journal.Journal(path, ahead_ns=7 * SECOND) as book:
        book.append(ended(2))
        book.append(moment(3, began=1))
    (one,) = journal.read(path)
    assert (one.leg, one.ended_ns) == (0, 9 * SECOND + MS)
    assert one.exchanges[0].sent_ns == 9 * SECOND
    assert [each.at_ns for each in journal.moments(path)] == [10 * SECOND + 1]


def test_a_pipe_that_ends_within_a_message_is_no_message() -> None:
    read, write = os.pipe()
    os.write(write, wire.packed(Over(1))[:-1])
    os.close(write)

    async def exactly(count: int) -> bytes:
        told = await anyio.to_thread.run_sync(os.read, read, count)
        if len(told) < count:
            raise anyio.IncompleteRead
        return told

    with pytest.raises(anyio.IncompleteRead):
        anyio.run(wire.received, exactly)
    os.close(read)


def test_who_browses_finds_a_result_in_whatever_journal_it_is_and_the_last_of_several(tmp_path: Path) -> None:
    cut = result(trial_id="t", skip=Skip.INTERRUPTED)
    folder = written(tmp_path, [ended(1), cut, ended(2)], [1, 2])
    assert result_of(folder, "t2") == ended(2)
    assert result_of(folder, "t") == cut
    leg = journal.Leg(number=1, at="", began_ns=0, shift_ns=0, left_out_ns=0, done=2)
    again = result(exchange(answer("x")), trial_id="t")
    with journal.Journal(folder / journal.of_process(1), leg) as book:
        book.append(again)
    assert result_of(folder, "t") == structs.replace(again, leg=1)
    assert result_of(folder, "nobody") is None


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_to_be_masked_is_found_alike_in_every_process(name: str) -> None:
    text = (
        "4111 1111 1111 1111, ann@example.com, sk-abcdefghijklmnopqrstuvwx, +49 30 1234567, "
        "GB82 WEST 1234 5698 7654 32"
    )
    veil = Veil(finders=(finder(name, named=True), finder("[0-9]{3}", named=False))).also("a-secret-of-ours")
    there = wire.read(io.BytesIO(wire.packed(veil)).read)
    assert there.text(text + " a-secret-of-ours") == veil.text(text + " a-secret-of-ours")
    assert "a-secret-of-ours" not in there.text(text + " a-secret-of-ours")
