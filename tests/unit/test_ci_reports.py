"""What CI reads of a run: JUnit, Markdown, annotations; and that hostile answers stay text in each."""

from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from harness.gate.ruling import Ruled, Ruling, Word
from harness.grade.states import State
from harness.record.store import Manifest
from harness.report.github import MOST, annotations, show
from harness.report.junit import junit
from harness.report.markdown import LISTED, escaped, markdown
from harness.report.outcome import Outcome, Prompt
from harness.verdict.word import Verdict
from harness.verdict.word import Word as Believed

HOSTILE = (
    "</failure>]]> <script>alert(1)</script> | `x` ![p](http://evil) @octocat \x1b[31m \ud800 \x00 www.evil"
)


def prompt(state: State, name: str = "q", reason: str = "", **more: object) -> Prompt:
    fields = {"variant": "v", "phase": "main", "seconds": 1.5, "counts": {state: 2}} | more
    return Prompt(name, state=state, reason=reason, **fields)  # type: ignore[arg-type]


def ruled(word: Word, reason: str = "so it is") -> Ruled:
    return Ruled(
        "pass_rate max_drop 3pp", "pass_rate", "max_drop", 0.03, "share", "v", "main", None, word, reason
    )


def told(*prompts: Prompt, rules: tuple[Ruled, ...] = (), warnings: tuple[str, ...] = ()) -> Outcome:
    manifest = Manifest(
        run_id="r",
        suite="s",
        suite_path="suites/s.yaml",
        suite_text="",
        target="t",
        dialect="sigma",
        seed=0,
        choice={},
        planned=len(prompts),
        started_at="2026-11-23T10:00:00+00:00",
        started_ns=0,
        exit_code=0,
        warnings=warnings,
    )
    ruling = Ruling(rules[0].word, rules, 0.05) if rules else None
    return Outcome(Path("results/s/r"), manifest, Verdict(Believed.VALID), prompts, ruling)


def cases(of: Outcome) -> dict[str, list[str]]:
    """What stands in each test case, by its name."""
    root = Xml.fromstring(junit(of))  # noqa: S314  see above
    return {case.get("name", ""): [child.tag for child in case] for case in root.iter("testcase")}


def test_junit_has_a_test_case_for_each_prompt_and_each_rule() -> None:
    states = [prompt(state, str(state), "why") for state in State]
    rules = tuple(ruled(word) for word in Word)
    found = cases(told(*states, rules=rules[:1]))
    assert found == {
        "passed": [],
        "failed": ["failure"],
        "error": ["error"],
        "invalid": ["error"],
        "not_run": ["skipped"],
        "pass_rate max_drop 3pp [v]": ["failure"],
    }
    assert cases(told(rules=(ruled(Word.INCONCLUSIVE),)))["pass_rate max_drop 3pp [v]"] == ["error"]
    assert cases(told(rules=(ruled(Word.PASS),)))["pass_rate max_drop 3pp [v]"] == ["system-out"]


def test_junit_counts_what_it_holds() -> None:
    three = prompt(State.FAILED, "a"), prompt(State.PASSED, "b"), prompt(State.NOT_RUN, "c")
    root = Xml.fromstring(junit(told(*three)))  # noqa: S314
    (suite,) = root
    for element in (root, suite):
        assert [element.get(name) for name in ("tests", "failures", "errors", "skipped", "time")] == [
            "3",
            "1",
            "0",
            "1",
            "4.500",
        ]
    assert suite.get("name") == "s.v"


def test_a_prompt_in_quarantine_is_skipped_whatever_it_came_to() -> None:
    held = prompt(State.FAILED, "q", quarantined="2027-01-01")
    root = Xml.fromstring(junit(told(held)))  # noqa: S314
    (skipped,) = root.iter("skipped")
    assert skipped.get("message") == "in quarantine until 2027-01-01: 2 failed"


def test_a_hostile_answer_is_text_in_junit() -> None:
    root = Xml.fromstring(junit(told(prompt(State.FAILED, HOSTILE, HOSTILE))))  # noqa: S314
    (case,) = root.iter("testcase")
    assert "<script>" in (case.get("name") or "")
    assert [child.tag for child in case] == ["failure"]
    assert "\\x1b[31m \\ud800 \\x00" in (case[0].text or "")


def test_markdown_says_first_what_was_ruled_and_whether_to_believe_it() -> None:
    text = markdown(told(prompt(State.FAILED, "q", "no citation"), rules=(ruled(Word.FAIL, "it dropped"),)))
    assert text.startswith("## ❌ s: fail\n\nverdict: valid")
    assert "| ❌ fail | pass\\_rate max\\_drop 3pp | v | it dropped |" in text
    assert "| v | 1 | 0 | 1 | 0 | 0 | 0 |" in text
    assert "- **failed** q \\[v\\]: no citation (2 failed)" in text
    assert text.endswith("Results: `s/r`\n")


def test_markdown_lists_some_failures_and_counts_the_rest() -> None:
    text = markdown(told(*(prompt(State.FAILED, f"q{at}") for at in range(LISTED + 5))))
    assert text.count("- **failed**") == LISTED
    assert "- and 5 more" in text


def test_a_hostile_answer_is_text_in_markdown() -> None:
    text = escaped(HOSTILE)
    for bad in ("<script>", "| `x`", "![p]", "@octocat", "://evil", "\x1b", "\x00", "www.evil"):
        assert bad not in text
    assert "\n" not in escaped("a\nb")
    assert "<" not in markdown(told(prompt(State.FAILED, HOSTILE, HOSTILE))).replace("<details>", "").replace(
        "</details>", ""
    ).replace("<summary>", "").replace("</summary>", "")


def test_annotations_are_of_rules_where_a_gate_ruled_and_else_of_prompts() -> None:
    failed = prompt(State.FAILED, "q:1,2", "50% wrong\nhere")
    assert list(annotations(told(failed))) == [
        "::error file=suites/s.yaml,title=q%3A1%2C2 [v]::50%25 wrong here"
    ]
    by_rule = list(annotations(told(failed, rules=(ruled(Word.FAIL, "it dropped"),))))
    assert by_rule == ["::error file=suites/s.yaml,title=pass_rate max_drop 3pp::it dropped"]
    (open_,) = annotations(told(rules=(ruled(Word.INCONCLUSIVE),)))
    assert open_.startswith("::warning ")


def test_no_more_annotations_are_printed_than_are_shown() -> None:
    many = told(*(prompt(State.FAILED, f"q{at}") for at in range(MOST + 5)))
    assert len(list(annotations(many))) == MOST


@pytest.mark.parametrize("there", [True, False])
def test_the_summary_page_is_appended_to_only_where_there_is_one(tmp_path: Path, *, there: bool) -> None:
    page = tmp_path / "summary.md"
    said: list[str] = []
    page.write_text("before\n")
    environ = {"GITHUB_STEP_SUMMARY": str(page), "GITHUB_ACTIONS": "true"} if there else {}
    show(told(prompt(State.FAILED, "q", "no")), said.append, environ)
    assert (page.read_text() == "before\n") is not there
    assert bool(said) is there
