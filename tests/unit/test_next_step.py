"""What a run says comes next: only where it is truly next, and as it would be typed."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec import convert

from harness.cli.choice import cores
from harness.cli.next_step import next_step, what_next
from harness.errors import Exit
from harness.gate.ruling import Ruling, Word
from harness.grade.states import State
from harness.pipeline import Run
from harness.record.store import read_manifest
from harness.record.tables import Stored
from harness.report.story import read_summary
from harness.verdict.word import Verdict
from harness.verdict.word import Word as Believed
from tests.report.made import Came, made, ruled

RUN = "20261123T100000Z-0000"
WHY = f"to see why: harness view {RUN}"
RULED: Mapping[Exit, Word] = {
    Exit.OK: Word.PASS,
    Exit.FAILED: Word.FAIL,
    Exit.INCOMPLETE: Word.INCONCLUSIVE,
}
ALL_CORES = {"processes": cores()}
PASSED, FAILED = Came(repeat=2, state=State.PASSED), Came()
BROKEN = Came(variant="w", state=State.ERROR, reason="disconnected")


def ended(
    *came: Came,
    code: Exit = Exit.FAILED,
    gated: bool = False,
    word: Believed = Believed.VALID,
    each_once: frozenset[str] = frozenset({"main"}),
    results: str = "results",
    **fields: Any,
) -> Run:
    """A run of these trials, in *results*."""
    told = {"choice": {}, "gate": ruled(RULED[code]) if gated else None} | fields
    folder = made(Path(results, "made", RUN), came, **told)
    manifest = read_manifest(folder)
    ruling = convert(manifest.gate, Ruling) if gated else None
    summary = read_summary(folder)
    return Run(folder, manifest, summary, Stored(folder), Verdict(word), code, ruling, each_once=each_once)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_what_failed_or_broke_is_looked_at_and_asked_again() -> None:
    again = "to ask that again: harness run suites/made.yaml --rerun"
    assert next_step(ended(FAILED)) == f"{WHY}; {again} failed"
    assert next_step(ended(BROKEN, PASSED, code=Exit.INCOMPLETE)) == f"{WHY}; {again} error"
    assert next_step(ended(FAILED, BROKEN, PASSED)) == f"{WHY}; {again} failed,error"


def test_a_run_of_a_part_of_its_suite_is_named_since_the_latest_whole_one_is_meant_otherwise() -> None:
    assert next_step(ended(FAILED, choice={"limit": 5})).endswith(f"--rerun failed --of {RUN}")
    rerun = {"of": "another", "states": ["failed"], "gone": []}
    assert next_step(ended(FAILED, rerun=rerun)).endswith(f"--rerun failed --of {RUN}")


def test_where_a_run_is_kept_and_whom_it_asked_are_repeated() -> None:
    done = ended(FAILED, results="my runs", options={"target": "http://127.0.0.1:9"})
    assert next_step(done) == (
        f"{WHY} --results 'my runs'; to ask that again: "
        "harness run suites/made.yaml --target http://127.0.0.1:9 --rerun failed --results 'my runs'"
    )


def test_of_what_was_sent_under_load_nothing_is_asked_again() -> None:
    assert next_step(ended(FAILED, each_once=frozenset({"quiet"}))) == WHY
    assert next_step(ended(FAILED, gated=True, each_once=frozenset())) == ""


def test_where_a_gate_failed_what_failed_is_asked_until_that_is_sure() -> None:
    sure = f"to ask what failed until that is sure: harness confirm {RUN}"
    assert next_step(ended(FAILED, gated=True)) == f"{WHY}; {sure}"


def test_where_a_gate_failed_and_no_prompt_did_there_is_nothing_to_confirm() -> None:
    assert next_step(ended(PASSED, gated=True)) == ""


@pytest.mark.parametrize("gated", [True, False])
def test_a_run_that_is_good_or_not_decided_says_nothing(gated: bool) -> None:
    assert next_step(ended(PASSED, code=Exit.OK, gated=gated)) == ""
    assert next_step(ended(PASSED, code=Exit.INCOMPLETE, gated=gated)) == ""
    assert next_step(ended(FAILED, code=Exit.INCOMPLETE, gated=True)) == ""


def test_a_run_that_this_machine_was_too_slow_for_says_how_more_is_read() -> None:
    slow = partial(ended, FAILED, code=Exit.INCOMPLETE, word=Believed.CLIENT_BOUND)
    alone = slow(options={"processes": 0})
    assert list(what_next(alone)) == ["this machine has more cores: --processes auto reads with all of them"]
    assert next_step(alone) == ""
    crowded = slow(options=ALL_CORES)
    assert list(what_next(crowded)) == []
    assert next_step(crowded).startswith("this machine is the limit: harness calibrate says")


def test_what_was_interrupted_or_never_answered_has_its_line_and_no_other() -> None:
    cut = ended(FAILED, code=Exit.INCOMPLETE, interrupted=True)
    assert list(what_next(cut)) == [f"to go on with it: harness run --resume {RUN}"]
    assert next_step(cut) == ""
    silent = ended(BROKEN, code=Exit.INCOMPLETE)
    (said,) = what_next(silent)
    assert said.startswith("nothing was answered: harness check suites/made.yaml --ask")
    assert next_step(silent) == ""
