import polars as pl
import pytest
from msgspec import structs

from harness.audit import Finding, Word
from harness.grade.states import standing
from harness.record.tables import Judged, Tables
from harness.result import Exchange, Result, Skip
from harness.summarise.summary import Ignored, summarise
from tests.replies import MS, answer, exchange, packet, result

MODEL = "llm_override"


def finding(word: Word, setting: str = MODEL, seen: str = "openai/other") -> Finding:
    return Finding(setting, "P/m", seen, word)


def tabled(*told: tuple[Result, dict[str, list[Finding]]]) -> dict[str, pl.DataFrame]:
    tables = Tables(len)
    for one, findings in told:
        last = [each for turn in one.turns for each in findings.get(turn.exchange_id, ())]
        tables.add(Judged(one, (), findings, standing(one, last, [])))
    return tables.frames()


def trial(
    number: int, *turns: list[Finding], variant: str = "base", attempt: int = 1
) -> tuple[Result, dict[str, list[Finding]]]:
    """A trial with a turn for each list of findings."""
    sent = [turn(number, nth, attempt) for nth in range(len(turns))]
    found = {one.exchange_id: list(findings) for one, findings in zip(sent, turns, strict=True)}
    return result(*sent, variant=variant, trial_id=f"t{number}"), found


def turn(number: int, nth: int, attempt: int = 1) -> Exchange:
    one = exchange(answer("yes"), turn_id=str(nth), attempt=attempt)
    return structs.replace(one, exchange_id=f"t{number}.{nth}.{attempt}")


def test_trials_are_counted_by_what_was_found_of_each_setting_in_each_variant() -> None:
    frames = tabled(
        trial(1, [finding(Word.IGNORED)], variant="b"),
        trial(2, [finding(Word.TOOK_EFFECT), finding(Word.NOT_SHOWN, "origin")], variant="a"),
        trial(3, [finding(Word.TOOK_EFFECT)], variant="a"),
        trial(4, [], variant="a"),
    )
    summary = summarise(frames, ["a", "b"])
    assert summary.audits == {
        "a": {MODEL: {"took effect": 2}, "origin": {"not shown": 1}},
        "b": {MODEL: {"ignored": 1}},
    }
    assert list(summary.audits) == ["a", "b"]
    assert summary.ignored == (Ignored("b", MODEL, "P/m", "openai/other", 1, 1),)


@pytest.mark.parametrize(
    ("words", "counted"),
    [
        ((Word.NOT_EXERCISED, Word.TOOK_EFFECT), "took effect"),
        ((Word.TOOK_EFFECT, Word.NOT_EXERCISED), "took effect"),
        ((Word.NOT_EXERCISED, Word.NOT_EXERCISED), "not exercised"),
        ((Word.TOOK_EFFECT, Word.NOT_SHOWN), "not shown"),
        ((Word.IGNORED, Word.NOT_SHOWN), "ignored"),
    ],
)
def test_of_the_turns_of_a_trial_the_one_that_says_most_counts(
    words: tuple[Word, Word], counted: str
) -> None:
    first, second = ([finding(word)] for word in words)
    assert summarise(tabled(trial(1, first, second)), ["base"]).audits == {"base": {MODEL: {counted: 1}}}


def test_of_a_turn_that_was_sent_again_only_the_last_attempt_counts() -> None:
    attempts = [turn(1, 0, attempt) for attempt in (1, 2)]
    found = {"t1.0.1": [finding(Word.NOT_SHOWN)], "t1.0.2": [finding(Word.TOOK_EFFECT)]}
    frames = tabled((result(*attempts, trial_id="t1"), found))
    assert frames["audits"]["finding"].to_list() == ["not shown", "took effect"]
    assert summarise(frames, ["base"]).audits == {"base": {MODEL: {"took effect": 1}}}


def test_the_most_frequent_case_stands_for_what_was_ignored() -> None:
    seen = ("openai/a", "openai/b", "openai/b")
    trials = [trial(n, [finding(Word.IGNORED, seen=each)]) for n, each in enumerate(seen)]
    summary = summarise(tabled(*trials, trial(9, [finding(Word.TOOK_EFFECT)])), ["base"])
    assert summary.ignored == (Ignored("base", MODEL, "P/m", "openai/b", 3, 4),)


def test_a_trial_with_something_ignored_is_in_no_pass_rate_and_no_latency_figure() -> None:
    frames = tabled(trial(1, [finding(Word.IGNORED)]), trial(2, [finding(Word.TOOK_EFFECT)]))
    (row,) = summarise(frames, ["base"]).rows
    assert (row.trials, row.invalid, row.passed, row.pass_rate, row.ttft_p50_ms.n) == (2, 1, 1, 1.0, 1)


def test_unknown_kinds_are_summed_by_name_the_most_frequent_first() -> None:
    odd = [packet("sparkle"), packet("glitter"), packet("glitter"), '{"what": 1}']
    one = exchange([*odd, *answer("yes")])
    frames = tabled((result(one), {}), (result(one, trial_id="u"), {}), (result(trial_id="v"), {}))
    assert summarise(frames, ["base"]).unknown_kinds == {"glitter": 4, "sparkle": 2, "(line)": 2}


def test_only_replies_that_could_not_be_stopped_are_counted_as_such() -> None:
    sent = [structs.replace(turn(1, n), stopped=word) for n, word in enumerate((None, True, False, False))]
    assert summarise(tabled((result(*sent, trial_id="t1"), {})), ["base"]).unstopped == 2


def test_a_rate_spans_no_gap_between_two_legs_of_a_run() -> None:
    """Eleven arrivals, ten a second, in either leg, with five seconds between."""

    def due(number: int, leg: int) -> Result:
        at_ns = (1_000 + 100 * number + 6_000 * leg) * MS
        one, _ = trial(number + 20 * leg, [])
        return structs.replace(one, due_ns=at_ns, began_ns=at_ns, ended_ns=at_ns + MS, leg=leg)

    frames = tabled(*((due(number, leg), {}) for leg in (0, 1) for number in range(11)))
    (load,) = summarise(frames, ["base"]).loads
    assert (load.arrivals, load.asked_per_s, load.began_per_s) == (22, 10.0, 10.0)
    assert load.goodput_per_s == 10.0
    one_leg = frames | {"trials": frames["trials"].filter(pl.col("leg") == 1)}
    (alone,) = summarise(one_leg, ["base"]).loads
    assert alone.asked_per_s == 10.0


@pytest.mark.parametrize(
    ("skip", "goodput"), [(None, 10 * 9 / 11), (Skip.DROPPED, 10 * 9 / 11), (Skip.INTERRUPTED, None)], ids=str
)
def test_goodput_is_what_passed_of_what_fell_due(skip: Skip | None, goodput: float | None) -> None:
    """Eleven arrivals, ten a second, of which nine pass; the other two have no answer, or are never sent."""

    def due(number: int) -> Result:
        at_ns = (1_000 + 100 * number) * MS
        one, _ = trial(number, [])
        if number >= 9:
            empty = structs.replace(exchange(answer("")), exchange_id=f"t{number}.0.1")
            one = structs.replace(one, exchanges=() if skip else (empty,), skip=skip)
        return structs.replace(one, due_ns=at_ns, began_ns=None if one.skip else at_ns, ended_ns=at_ns)

    (load,) = summarise(tabled(*((due(number), {}) for number in range(11))), ["base"]).loads
    assert load.goodput_per_s == (None if goodput is None else pytest.approx(goodput))
